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
at least 80 % of the delay, less the jitter, longer than before, and half of it in any case. Refused where they take
half of the delay before it. Gone: they take less than half of it, no rule is left, and the pods are ready. Lifted when
the agent ends: by the undo, at `undo_within`, or when its node ends it.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from pydantic import Field, ValidationInfo, field_validator

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

    @field_validator("jitter")
    @classmethod
    def _less_than_the_delay(cls, jitter: float, about: ValidationInfo) -> float:
        if jitter >= about.data.get("delay", math.inf):
            raise ValueError("must be less than the delay: some packets would not be delayed at all")
        return jitter


predict = on_cluster.predict
select = network.select
recover = hands.recover


def prepare(target: Target, selection: Selection, parameters: Parameters) -> None:
    network.prepare(target, selection, _quick(selection, parameters, keep=True))


def inject(target: Target, selection: Selection, parameters: Parameters) -> None:
    network.inject(target, selection, delay_s=parameters.delay, jitter_s=parameters.jitter)


def landed(target: Target, selection: Selection, parameters: Parameters) -> Observation:
    least_ms = max(SEEN * (parameters.delay - parameters.jitter), parameters.delay / 2) * 1e3

    def object_to(ask: hands.Ask, pod: Manifest) -> str:
        lost, rtt_ms, before_ms = network.measured(ask, pod, selection)
        if before_ms is None:
            return "nobody knows any more how long an echo took before"
        if rtt_ms is not None and rtt_ms - before_ms >= least_ms:
            return ""
        return f"an echo takes {rtt_ms} ms ({lost:.0%} lost), {before_ms} ms before"

    return network.landed(target, selection, object_to, f"echoes take about {parameters.delay * 1e3:g} ms longer")


def gone(target: Target, selection: Selection, parameters: Parameters) -> Observation:
    return network.gone(target, selection, _quick(network.later(target, selection), parameters))


def _quick(selection: Selection, parameters: Parameters, keep: bool = False) -> Callable[[hands.Ask, Manifest], str]:
    """As an eye can tell it also when it knows nothing of before."""

    def object_to(ask: hands.Ask, pod: Manifest) -> str:
        lost, rtt_ms, _ = network.measured(ask, pod, selection, keep)
        quick = rtt_ms is not None and rtt_ms < parameters.delay * 1e3 / 2
        return "" if quick else f"an echo takes {rtt_ms} ms ({lost:.0%} lost)"

    return object_to
