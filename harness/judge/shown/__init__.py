"""The rows of the evidence that decided an objective, one function for each kind of indicator."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from harness.judge.shown.base import Rows, Scope
from harness.judge.shown.prometheus import alert, counter_ratio, gauge, increase_per, reaction
from harness.judge.shown.record import checks, coverage, deployment, loss, primaries, readiness, shares
from harness.judge.shown.requests import recovery, requests
from harness.model import slo as model

__all__ = ["SHOWN", "Rows", "Scope", "rows_of"]


def rows_of(scope: Scope) -> Iterator[Rows]:
    """What decided, then what was unknown; nothing for a kind that has no rows to show."""
    found = SHOWN.get(type(scope.slo.indicator))
    if found is not None:
        yield from found(scope, scope.slo.indicator)


SHOWN: dict[type, Callable[[Scope, Any], Iterator[Rows]]] = {
    model.RequestRatio: requests,
    model.RecoveryTime: recovery,
    model.CounterRatio: counter_ratio,
    model.IncreasePer: increase_per,
    model.GaugeShare: gauge,
    model.ComputedRatio: gauge,
    model.ReactionTime: reaction,
    model.AlertTime: alert,
    model.DataLossMeasure: loss,
    model.WritablePrimaries: primaries,
    model.ScaleUpTime: readiness,
    model.TrafficShift: shares,
    model.CheckRatio: checks,
    model.MonitoringCoverage: coverage,
    model.DeploymentTime: deployment,
}
