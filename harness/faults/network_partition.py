"""A service's pods and another service do not reach each other: nothing is refused, packets just do not arrive.

    provider:
      type: python
      module: harness.chaos.actions
      func: inject
      arguments:
        fault: network_partition
        parameters: {service: unified-api, region: sjc, count: 1, to: weaviate}
        blast_radius: 1

Without `to` the pods are cut off from everybody, also from the kubelet, which then calls them unready and restarts them
if they have a liveness probe. An agent on the pod's node loses the packets of both directions in the pod's own network
namespace; no NetworkPolicy is used, because a cluster may accept one and not enforce it. Landed: no echo from the pod's
place comes back. Refused where one is lost before it. Gone: all do, no rule is left, and the pods are ready. Lifted
when the agent ends: by the undo, at `undo_within`, or when its node ends it.
"""

from __future__ import annotations

from harness.faults import _cluster as on_cluster
from harness.faults import _hands as hands
from harness.faults import _network as network
from harness.kube.ports import Kubernetes, Manifest
from harness.ports import Observation, Selection, Target

REQUIRES = (Kubernetes,)
RIGHTS = network.RIGHTS


class Parameters(network.Network):
    """Which instances, and from whom they are cut (`to`, `to_region`: a service; from everybody when left out)."""


predict = on_cluster.predict
select = network.select
recover = hands.recover


def prepare(target: Target, selection: Selection, parameters: Parameters) -> None:
    network.prepare(target, selection, network.lossless(selection))


def inject(target: Target, selection: Selection, parameters: Parameters) -> None:
    network.inject(target, selection, loss=1.0, both=True)


def landed(target: Target, selection: Selection, parameters: Parameters) -> Observation:
    def object_to(ask: hands.Ask, pod: Manifest) -> str:
        lost = network.measured(ask, pod, selection).lost
        return "" if lost == 1 else f"{1 - lost:.0%} of the echoes come back"

    return network.landed(target, selection, object_to, "no echo comes back")


def gone(target: Target, selection: Selection, parameters: Parameters) -> Observation:
    return network.gone(target, selection, network.lossless(network.later(target, selection)))
