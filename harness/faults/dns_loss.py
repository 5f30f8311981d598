"""A service's pods get no answer from any name server: their questions are lost on the way.

    provider:
      type: python
      module: harness.chaos.actions
      func: inject
      arguments:
        fault: dns_loss
        parameters: {service: unified-api, region: sjc, count: 1}
        blast_radius: 1

An agent on the pod's node loses what goes to port 53 in the pod's own network namespace; the cluster's name server,
which everybody else needs, is not touched. Landed: a question from the pod's place to its name server gets no answer.
Refused where it gets none before. Gone: it does, no rule is left, and the pods are ready. Lifted when the agent ends:
by the undo, at `undo_within`, or when its node ends it.
"""

from __future__ import annotations

from collections.abc import Callable

from harness.faults import _cluster as on_cluster
from harness.faults import _hands as hands
from harness.faults import _network as network
from harness.kube import pods
from harness.kube.ports import Kubernetes, Manifest
from harness.ports import Observation, Selection, Target

REQUIRES = (Kubernetes,)
RIGHTS = hands.RIGHTS
FIX = "name by `server` the IPv4 address of a name server that answers these pods over UDP at port 53"


class Parameters(on_cluster.Pods):
    """Which instances: of this service, in this region (every region when left out), the first `count` of them.

    `server`: the address of the name server they ask; left out, the first of their own /etc/resolv.conf.
    """

    server: str = ""


predict = on_cluster.predict
recover = hands.recover


def select(target: Target, parameters: Parameters) -> Selection:
    selection = hands.select(target, parameters)
    return Selection(selection.names, {**selection.before, network.PEERS: ""})


def prepare(target: Target, selection: Selection, parameters: Parameters) -> None:
    network.prepare(target, selection, _silent(parameters), FIX)


def inject(target: Target, selection: Selection, parameters: Parameters) -> None:
    network.inject(target, selection, loss=1.0, dns=True)


def landed(target: Target, selection: Selection, parameters: Parameters) -> Observation:
    def object_to(ask: hands.Ask, pod: Manifest) -> str:
        return "" if _silent(parameters)(ask, pod) else "the name server answers"

    return network.landed(target, selection, object_to, "the name server's answers do not come")


def gone(target: Target, selection: Selection, parameters: Parameters) -> Observation:
    return network.gone(target, selection, _silent(parameters))


def _silent(parameters: Parameters) -> Callable[[hands.Ask, Manifest], str]:
    def object_to(ask: hands.Ask, pod: Manifest) -> str:
        said = ask("resolve", pods.uid(pod), *([parameters.server] if parameters.server else []))
        if said["answered"]:
            return ""
        return f"name server {said['server']} does not answer ({said['why']})"

    return object_to
