"""Of what a service's pods send, a share is lost on the way, to everybody or to one other service.

    provider:
      type: python
      module: harness.chaos.actions
      func: inject
      arguments:
        fault: network_loss
        parameters: {service: unified-api, region: sjc, count: 1, loss: 0.3}
        blast_radius: 1

An agent on the pod's node loses packets in the pod's own network namespace. Landed: of echoes from the pod's place at
least a third of the declared share is lost (there are twenty in a look). Refused where echoes are lost before it. Gone:
none is lost, no rule is left, and the pods are ready. Lifted when the agent ends: by the undo, at `undo_within`, or
when its node ends it.
"""

from __future__ import annotations

from pydantic import Field

from harness.faults import _cluster as on_cluster
from harness.faults import _hands as hands
from harness.faults import _network as network
from harness.kube.ports import Kubernetes, Manifest
from harness.ports import Observation, Selection, Target

REQUIRES = (Kubernetes,)
RIGHTS = network.RIGHTS
SEEN = 1 / 3


class Parameters(network.Network):
    """Which instances, towards whom (`to`, `to_region`: a service; everybody when left out), and what share is lost."""

    loss: float = Field(gt=0, le=1)


predict = on_cluster.predict
select = network.select
recover = hands.recover


def prepare(target: Target, selection: Selection, parameters: Parameters) -> None:
    network.prepare(target, selection, network.lossless(selection))


def inject(target: Target, selection: Selection, parameters: Parameters) -> None:
    network.inject(target, selection, loss=parameters.loss)


def landed(target: Target, selection: Selection, parameters: Parameters) -> Observation:
    def object_to(ask: hands.Ask, pod: Manifest) -> str:
        lost = network.measured(ask, pod, selection).lost
        return "" if lost >= SEEN * parameters.loss and lost > 0 else f"{lost:.0%} of the echoes are lost"

    return network.landed(target, selection, object_to, "echoes are lost")


def gone(target: Target, selection: Selection, parameters: Parameters) -> Observation:
    return network.gone(target, selection, network.lossless(network.later(target, selection)))
