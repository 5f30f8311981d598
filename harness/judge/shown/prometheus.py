"""Raw samples: how far counters went, where gauges changed, when alerts fired."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from harness.judge.counters import in_prometheus_time
from harness.judge.facts import Fault
from harness.judge.shown.base import Rows, Scope
from harness.judge.windows import Span
from harness.model import slo as model

ALERTS = "ALERTS"


def _counters(scope: Scope, queries: Iterable[str]) -> Iterator[Rows]:
    spans = in_prometheus_time(scope.facts, scope.spans)
    for query in queries:
        found = []
        for series in scope.facts.samples.series(query):
            for from_ms, to_ms in spans:
                mine = series.value[(series.t_ms >= from_ms) & (series.t_ms < to_ms)]
                if len(mine):
                    resets = int(np.count_nonzero(np.diff(mine) < 0))
                    found.append((_at(scope, from_ms), series.name, len(mine), float(mine[0]), float(mine[-1]), resets))
        head = ("from s", "series", "samples", "first", "last", "resets")
        yield scope.table(f"stretches of {query}", head, found)


def counter_ratio(scope: Scope, indicator: model.CounterRatio) -> Iterator[Rows]:
    yield from _counters(scope, (indicator.total, indicator.good or indicator.bad))


def increase_per(scope: Scope, indicator: model.IncreasePer) -> Iterator[Rows]:
    yield from _counters(scope, (indicator.query, indicator.per))


def gauge(scope: Scope, indicator: model.GaugeShare | model.ComputedRatio) -> Iterator[Rows]:
    spans = in_prometheus_time(scope.facts, scope.spans)
    yield _changes(scope, indicator.query, spans, f"where {indicator.query} changed")


def reaction(scope: Scope, indicator: model.ReactionTime) -> Iterator[Rows]:
    for fault in scope.facts.faults_of(scope.slo):
        title = f"where {indicator.query} changed since {fault.experiment}"
        yield _changes(scope, indicator.query, _since(scope, fault), title)


def alert(scope: Scope, indicator: model.AlertTime) -> Iterator[Rows]:
    for fault in scope.facts.faults_of(scope.slo):
        spans = _since(scope, fault)
        found = []
        for series in scope.facts.samples.series(ALERTS):
            mine = [int(at) for at in series.t_ms if any(low <= at < high for low, high in spans)]
            if mine and series.labels.get("alertname") == indicator.name:
                found.append((series.name, _at(scope, mine[0]), _at(scope, mine[-1]), len(mine)))
        head = ("series", "first at s", "last at s", "samples")
        yield scope.table(f"alert {indicator.name} since {fault.experiment}", head, found)


def _changes(scope: Scope, query: str, spans: list[tuple[float, float]], title: str) -> Rows:
    found = []
    for series in scope.facts.samples.series(query):
        before: float | None = None
        for at, value in zip(series.t_ms.tolist(), series.value.tolist(), strict=True):
            if any(low <= at < high for low, high in spans) and value != before:
                found.append((_at(scope, at), series.name, f"{value:g}"))
                before = value
    return scope.table(title, ("at s", "series", "value"), sorted(found))


def _since(scope: Scope, fault: Fault) -> list[tuple[float, float]]:
    return in_prometheus_time(
        scope.facts, [Span("fault", fault.experiment, fault.from_ns, scope.facts.horizon_ns(fault))]
    )


def _at(scope: Scope, t_ms: float) -> float:
    clock = scope.facts.prometheus_clock
    return scope.seconds(t_ms * 1e6 - (clock.offset_ns if clock else 0))
