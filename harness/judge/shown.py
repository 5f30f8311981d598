"""The rows of the evidence that decided an objective, one function for each kind of indicator."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.judge import loss
from harness.judge.counters import in_prometheus_time
from harness.judge.facts import Facts, Fault
from harness.judge.requests import select
from harness.judge.rows import Rows as Table
from harness.judge.windows import Span, inside
from harness.model import slo as model
from harness.model.base import Frozen
from harness.model.events import CheckDone, Deployed, PhaseDeployed, RunOpened
from harness.model.records import Content, Outcome
from harness.model.slo import RequestFilter, Slo

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Bools = NDArray[np.bool_]

REQUEST_HEAD = (
    "at s", "intended_ns", "journey", "latency ms", "outcome", "status", "content", "level", "region", "release",
)  # fmt: skip
ALERTS = "ALERTS"


class Rows(Frozen):
    """`total` rows there are; `rows` holds the first of them, as text, in columns `head`."""

    title: str
    total: int
    head: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True)
class Scope:
    """What one result was judged over. `release`: only its requests; "" everybody's."""

    facts: Facts
    slo: Slo
    spans: tuple[Span, ...]
    release: str
    limit: int

    def seconds(self, mono_ns: float) -> float:
        """Since the run was opened."""
        opened = next((event.mono_ns for event in self.facts.evidence.events if isinstance(event, RunOpened)), 0)
        return (mono_ns - opened) / 1e9

    def table(self, title: str, head: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> Rows:
        """All rows counted, the first kept."""
        every = list(rows)
        kept = tuple(tuple(_text(cell) for cell in row) for row in every[: self.limit])
        return Rows(title=title, total=len(every), head=head, rows=kept)


def _text(cell: object) -> str:
    return f"{cell:.3f}" if isinstance(cell, float) else str(cell)


def rows_of(scope: Scope) -> Iterator[Rows]:
    """What decided, then what was unknown; nothing for a kind that has no rows to show."""
    found = SHOWN.get(type(scope.slo.indicator))
    if found is not None:
        yield from found(scope, scope.slo.indicator)


# -- requests and probes


def _requests(scope: Scope, indicator: model.RequestRatio) -> Iterator[Rows]:
    rows = scope.facts.requests if indicator.table == "requests" else scope.facts.beacon
    if rows is None:
        return
    noun = "requests" if indicator.table == "requests" else "probes"
    facts = scope.facts
    here = inside(rows.intended_ns, scope.spans) & (rows.outcome != Outcome.SKIPPED)
    if scope.release:
        here &= rows.release.among((scope.release, ""))
    total = select(rows, indicator.total, facts.spans, facts.promises)
    part = select(rows, indicator.good or indicator.bad or RequestFilter(), facts.spans, facts.promises)
    if indicator.bad is not None:
        part = ~part
    good, bad = here & total.must & part.must, here & total.must & ~part.may
    yield _picked(scope, rows, bad, f"bad {noun}")
    yield _picked(scope, rows, here & total.may & ~good & ~bad, f"{noun} of which it is not known")
    yield from _missing(scope, rows, noun)


def _picked(scope: Scope, rows: Table, mask: Bools, title: str) -> Rows:
    """The first rows of a mask by intended time; the rest is counted, not made."""
    places = np.flatnonzero(mask)
    first = places[np.argsort(rows.intended_ns[places], kind="stable")][: scope.limit]
    kept = tuple(tuple(_text(cell) for cell in _request(scope, rows, int(place))) for place in first)
    return Rows(title=title, total=len(places), head=REQUEST_HEAD, rows=kept)


def _request(scope: Scope, rows: Table, place: int) -> tuple[object, ...]:
    intended, started, finished = (
        int(column[place]) for column in (rows.intended_ns, rows.started_ns, rows.finished_ns)
    )
    latency = "—" if finished < 0 else f"{(finished - intended) / 1e6:.3f}"
    if finished >= 0 and started > intended:
        latency = f"{(finished - started) / 1e6:.3f} to {latency}"
    return (
        scope.seconds(intended),
        intended,
        rows.journey.names[rows.journey.codes[place]],
        latency,
        Outcome(int(rows.outcome[place])).name.lower(),
        int(rows.status[place]) or "—",
        Content(int(rows.content[place])).name.lower(),
        int(rows.level[place]) or "—",
        rows.region.names[rows.region.codes[place]] or "—",
        rows.release.names[rows.release.codes[place]] or "—",
    )


def _missing(scope: Scope, rows: Table, noun: str) -> Iterator[Rows]:
    lost = rows.missing
    here = np.zeros(len(lost), dtype=bool)
    for span in scope.spans:
        here |= (lost.from_ns < span.end_ns) & (lost.until_ns >= span.start_ns)
    if here.any():
        times = zip(lost.from_ns[here].tolist(), lost.until_ns[here].tolist(), strict=True)
        yield scope.table(
            f"arrivals without a record, which may have been {noun} of this window",
            ("due from s", "to s"),
            ((scope.seconds(low), scope.seconds(high)) for low, high in times),
        )


def _recovery(scope: Scope, indicator: model.RecoveryTime) -> Iterator[Rows]:
    """What was not as it should be again after each fault, in the beacon's record and the load's."""
    wanted = (
        RequestFilter(outcome="served", regions=indicator.regions)
        if indicator.until == "served"
        else RequestFilter(outcome="served", levels=(1,), regions=indicator.regions)
    )
    for fault in scope.facts.faults_of(scope.slo):
        span = Span("fault", fault.experiment, fault.from_ns, scope.facts.horizon_ns(fault))
        made = f"{fault.experiment} (made {scope.seconds(fault.from_ns):.3f} to {scope.seconds(fault.to_ns):.3f} s)"
        for noun, rows in (("probes", scope.facts.beacon), ("requests", scope.facts.requests)):
            if rows is None:
                continue
            here = inside(rows.intended_ns, [span]) & (rows.outcome != Outcome.SKIPPED)
            good = select(rows, wanted, scope.facts.spans, scope.facts.promises)
            bad = here & ~good.may
            yield _picked(scope, rows, bad, f"{noun} not {_aim(indicator)} since {made}")
            last = np.zeros(len(rows), dtype=bool)
            last[np.flatnonzero(bad)[-3:]] = True
            yield _picked(scope, rows, last, f"of the last {noun} of these")
            after = here & good.must
            if bad.any():
                after &= rows.intended_ns > rows.intended_ns[np.flatnonzero(bad)[-1]]
            first = np.zeros(len(rows), dtype=bool)
            first[np.flatnonzero(after)[:1]] = True
            yield _picked(scope, rows, first, f"first of the {noun} that were good after the last of these")


def _aim(indicator: model.RecoveryTime) -> str:
    return "served" if indicator.until == "served" else "at full service"


# -- Prometheus


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


def _counter_ratio(scope: Scope, indicator: model.CounterRatio) -> Iterator[Rows]:
    yield from _counters(scope, (indicator.total, indicator.good or indicator.bad))


def _increase_per(scope: Scope, indicator: model.IncreasePer) -> Iterator[Rows]:
    yield from _counters(scope, (indicator.query, indicator.per))


def _gauge(scope: Scope, indicator: model.GaugeShare) -> Iterator[Rows]:
    spans = in_prometheus_time(scope.facts, scope.spans)
    yield _changes(scope, indicator.query, spans, f"where {indicator.query} changed")


def _reaction(scope: Scope, indicator: model.ReactionTime) -> Iterator[Rows]:
    for fault in scope.facts.faults_of(scope.slo):
        title = f"where {indicator.query} changed since {fault.experiment}"
        yield _changes(scope, indicator.query, _since(scope, fault), title)


def _alert(scope: Scope, indicator: model.AlertTime) -> Iterator[Rows]:
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


# -- writes, databases, the deployment


def _loss(scope: Scope, indicator: model.DataLossMeasure) -> Iterator[Rows]:
    fates = loss.fates_of(scope.facts)
    if fates is None:
        return
    name = scope.slo.annotations.experiment
    mine = [
        fate
        for fate in fates.all
        if (not name or fate.after.partition("#")[0] == name) and fate.region in indicator.regions
    ]
    head = ("acknowledged at s", "key", "region", "read back after", "state")
    for title, states in (
        ("acknowledged writes that did not survive as written, excused ones too", indicator.states),
        ("acknowledged writes of which it is not known", ("indeterminate",)),
    ):
        chosen = sorted((fate for fate in mine if fate.state in states), key=lambda fate: fate.acknowledged_ns)
        yield scope.table(
            title,
            head,
            ((scope.seconds(one.acknowledged_ns), one.key, one.region, one.after, one.state) for one in chosen),
        )


def _primaries(scope: Scope, _indicator: model.WritablePrimaries) -> Iterator[Rows]:
    table = scope.facts.evidence.primaries
    if table is None:
        return
    found, before = [], dict[str, str]()
    for row in table.sort_by("asked_ns").to_pylist():
        region, state = str(row["region"]), str(row["state"])
        if before.get(region) != state:
            found.append((scope.seconds(row["asked_ns"]), region, state))
            before[region] = state
    yield scope.table("where a region's database changed its answer", ("asked at s", "region", "state"), found)


def _checks(scope: Scope, _indicator: model.CheckRatio) -> Iterator[Rows]:
    done: list[CheckDone] = scope.facts.of(CheckDone)
    done = sorted(done, key=lambda one: one.passed >= one.of)
    rows = ((scope.seconds(one.mono_ns), one.name, f"{one.passed} of {one.of}", one.detail) for one in done)
    yield scope.table("checks, what was not right first", ("at s", "check", "passed", "detail"), rows)


def _coverage(scope: Scope, indicator: model.MonitoringCoverage) -> Iterator[Rows]:
    seen = scope.facts.samples.scrapes.values()
    rows = ((it.labels.get(indicator.label, "—"), int(it.up.sum()), len(it.up)) for it in seen)
    yield scope.table("scrape targets", ("service", "answered", "scrapes"), sorted(rows))


def _deployment(scope: Scope, _indicator: model.DeploymentTime) -> Iterator[Rows]:
    events = [event for event in scope.facts.evidence.events if isinstance(event, PhaseDeployed | Deployed)]
    rows = (
        (scope.seconds(it.mono_ns), it.phase if isinstance(it, PhaseDeployed) else "all of it", it.seconds)
        for it in events
    )
    yield scope.table("phases of the deployment", ("at s", "phase", "took s"), rows)


SHOWN: dict[type, Callable[[Scope, Any], Iterator[Rows]]] = {
    model.RequestRatio: _requests,
    model.RecoveryTime: _recovery,
    model.CounterRatio: _counter_ratio,
    model.IncreasePer: _increase_per,
    model.GaugeShare: _gauge,
    model.ReactionTime: _reaction,
    model.AlertTime: _alert,
    model.DataLossMeasure: _loss,
    model.WritablePrimaries: _primaries,
    model.CheckRatio: _checks,
    model.MonitoringCoverage: _coverage,
    model.DeploymentTime: _deployment,
}
