"""What a service's pods send is delayed, to everybody or to one other service.

    provider:
      type: python
      module: harness.chaos.actions
      func: inject
      arguments:
        fault: network_latency
        parameters: {service: unified-api, region: sjc, count: 1, to: weaviate, delay: 200ms, jitter: 20ms}
        blast_radius: 1

An agent on the pod's node delays packets in the pod's own network namespace. Landed: echoes from the pod's place take
at least 80 % of the delay longer than none would. Refused where they take half of the delay before it. Gone: they take
less than half of it, no rule is left, and the pods are ready. Lifted when the agent ends: by the undo, at
`undo_within`, or when its node ends it.
"""

from __future__ import annotations

from collections.abc import Callable

from pydantic import Field

from harness.faults import _cluster as on_cluster
from harness.faults import _hands as hands
from harness.faults import _network as network
from harness.kube.ports import Kubernetes, Manifest
from harness.model.base import Duration
from harness.ports import Observation, Selection, Target

REQUIRES = (Kubernetes,)
RIGHTS = network.RIGHTS
SEEN = 0.8


class Parameters(network.Network):
    """Which instances, towards whom (`to`, `to_region`: a service; everybody when left out), and by how much."""

    delay: Duration = Field(gt=0)
    jitter: Duration = Field(default=0.0, ge=0)


predict = on_cluster.predict
select = network.select
recover = hands.recover


def prepare(target: Target, selection: Selection, parameters: Parameters) -> None:
    network.prepare(target, selection, _quick(selection, parameters))


def inject(target: Target, selection: Selection, parameters: Parameters) -> None:
    network.inject(target, selection, delay_s=parameters.delay, jitter_s=parameters.jitter)


def landed(target: Target, selection: Selection, parameters: Parameters) -> Observation:
    def object_to(ask: hands.Ask, pod: Manifest) -> str:
        lost, rtt_ms = network.measured(ask, pod, selection)
        enough = rtt_ms is not None and rtt_ms >= SEEN * (parameters.delay - parameters.jitter) * 1e3
        return "" if enough else f"an echo takes {rtt_ms} ms ({lost:.0%} lost)"

    return network.landed(target, selection, object_to, f"echoes take about {parameters.delay * 1e3:g} ms longer")


def gone(target: Target, selection: Selection, parameters: Parameters) -> Observation:
    return network.gone(target, selection, _quick(selection, parameters))


def _quick(selection: Selection, parameters: Parameters) -> Callable[[hands.Ask, Manifest], str]:
    def object_to(ask: hands.Ask, pod: Manifest) -> str:
        lost, rtt_ms = network.measured(ask, pod, selection)
        quick = rtt_ms is not None and rtt_ms < parameters.delay * 1e3 / 2
        return "" if quick else f"an echo takes {rtt_ms} ms ({lost:.0%} lost)"

    return object_to
