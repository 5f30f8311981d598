"""Every way in which evidence can be missing, as a change of a whole run: what a judge must never take for good.

`whole(good)` is a run in which all of `SLOS` pass (or all fail); `DAMAGES` are the fixtures by name. Each says which
objectives can no longer be decided on a good run; none named: the run as a whole.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from harness.model.events import ClockRead, ScheduleFixed
from harness.model.evidence import Evidence, MetricAnswer
from harness.model.records import REQUEST_COLUMNS, SAMPLE_COLUMNS, STALE_BITS, Outcome
from harness.model.slo import (
    AlertTime,
    ComputedRatio,
    CounterRatio,
    GaugeShare,
    IncreasePer,
    ReactionTime,
    RequestFilter,
    RequestRatio,
    Slo,
)
from harness.testing.evidence import (
    WALL_NS,
    Row,
    answers,
    evidence,
    scraped,
    slo,
    steadily,
    table,
    wall_ms,
)

TOTAL, GOOD, USE, COST, CALLS = "votes_total", 'votes_total{result="agreed"}', "use", "cost_total", "calls_total"
BREAKER, RATIO, START = "breaker", "sum(ok) / sum(total)", "process_start_time_seconds"
ABOUT = {"window": "fault", "experiment": "kill-weaviate"}
SLOS: tuple[Slo, ...] = (
    slo(CounterRatio(good=GOOD, total=TOTAL), 0.95, name="votes"),
    slo(GaugeShare(query=USE), 0.9, op="gt", value=0.8, name="use"),
    slo(IncreasePer(query=COST, per=CALLS, unit="usd"), 0.95, op="lt", value=0.001, name="cost"),
    slo(ComputedRatio(query=RATIO), 0.95, name="ratio"),
    slo(ReactionTime(query=BREAKER, equals=2), 0.95, op="lte", value=10, name="breaker", **ABOUT),
    slo(AlertTime(name="Down", severity="P1"), 0.95, op="lte", value=10, name="alert", **ABOUT),
    slo(
        RequestRatio(table="requests", total=RequestFilter(), good=RequestFilter(outcome="served")),
        0.95,
        name="served",
        minimum_events=100,
    ),
)
QUERIES = {
    "votes": (TOTAL, GOOD),
    "use": (USE,),
    "cost": (COST, CALLS),
    "ratio": (RATIO,),
    "breaker": (BREAKER,),
    "alert": ("ALERTS",),
}
SCRAPED = frozenset(QUERIES)
STALE = struct.unpack("<d", struct.pack("<Q", STALE_BITS))[0]


@dataclass(frozen=True)
class Damage:
    """`undecided`: the objectives that a good run can no longer pass; "run": its verdict."""

    change: Callable[[Evidence], Evidence]
    undecided: frozenset[str]


def whole(good: bool, early: bool = False) -> Evidence:
    """A run without a hole in its evidence: every objective is met, or every one is missed.

    `early`: but the alert fires and the breaker is open before the fault already, which proves nothing.
    """
    bad = 0.0 if good else 0.2
    alert = {"alertname": "Down", "alertstate": "firing", "severity": "P1"}
    begun = 30.0 if early else 41.0 if good else 60.0
    late = [second + 0.3 for second in range(-5, 78) if begun <= second < 70]
    rows = [
        *scraped("up"),
        *scraped(START, lambda _at: WALL_NS / 1e9 + 4000),
        *scraped(TOTAL, lambda at: round(100 * (10 + at) * (1 - bad)), result="agreed"),
        *scraped(TOTAL, lambda at: round(100 * (10 + at) * bad), result="failed"),
        *scraped(GOOD, lambda at: round(100 * (10 + at) * (1 - bad)), result="agreed"),
        *scraped(USE, lambda _at: 0.9 if good else 0.1),
        *scraped(COST, lambda at: (10 + at) * (0.08 if good else 1.0)),
        *scraped(CALLS, lambda at: 100 * (10 + at)),
        *scraped(RATIO, lambda _at: 1 - bad),
        *scraped(BREAKER, lambda at: 2.0 if at >= begun else 0.0),
        *scraped("ALERTS", lambda _at: 1.0, times=late, **alert),
    ]
    requests = steadily(change=None if good else lambda arrival, _at: {"status": 503} if arrival % 5 == 0 else None)
    told = tuple(
        replace(
            one,
            computed_every_s=1.0 if one.query == RATIO else 0.0,
            intervals={"unified-api": 1.0} if one.query == "up" else {},
        )
        for one in answers(rows)
    )
    return evidence(samples=rows, requests=requests, metrics=told)


def samples_of(run: Evidence) -> list[Row]:
    """The samples as rows."""
    assert run.samples is not None
    rows: list[Row] = run.samples.to_pylist()
    return rows


def with_samples(run: Evidence, rows: Iterable[Row], announced: bool = False) -> Evidence:
    """The same run with these samples; `announced`: Prometheus had spoken of those that are gone."""
    kept = list(rows)
    counted = {one.query: one for one in answers(kept)}
    told = run.metrics
    if not announced:
        told = tuple(
            replace(one, series=counted[one.query].series, samples=counted[one.query].samples)
            if one.query in counted
            else replace(one, series=0, samples=0)
            for one in run.metrics
        )
    return replace(run, samples=table(SAMPLE_COLUMNS, kept), metrics=told)


def _only(keep: Callable[[Row], bool], announced: bool = False) -> Callable[[Evidence], Evidence]:
    return lambda run: with_samples(run, [row for row in samples_of(run) if keep(row)], announced)


def _told(change: Callable[[MetricAnswer], MetricAnswer], queries: Sequence[str]) -> Callable[[Evidence], Evidence]:
    return lambda run: replace(run, metrics=tuple(change(one) if one.query in queries else one for one in run.metrics))


def _values(value: float, name: str, from_s: float = -10, to_s: float = 100) -> Callable[[Evidence], Evidence]:
    def change(run: Evidence) -> Evidence:
        rows = [
            {**row, "value": value}
            if row["query"] in QUERIES[name] and wall_ms(from_s) <= row["t_ms"] < wall_ms(to_s)
            else row
            for row in samples_of(run)
        ]
        return with_samples(run, rows)

    return change


def _ended(name: str, at: float) -> Callable[[Evidence], Evidence]:
    """The series of an objective end with a staleness marker, and do not come back."""

    def change(run: Evidence) -> Evidence:
        kept: list[Row] = []
        marked: set[tuple[str, str]] = set()
        for row in samples_of(run):
            which = (row["query"], row["series"])
            if row["query"] not in QUERIES[name] or row["t_ms"] < wall_ms(at):
                kept.append(row)
            elif which not in marked:
                marked.add(which)
                kept.append({**row, "value": STALE})
        return with_samples(run, kept)

    return change


def _clock_step(run: Evidence) -> Evidence:
    """The wall clock jumps by two seconds in the middle of the run."""
    first = next(event for event in run.events if isinstance(event, ClockRead) and event.clock == "wall")
    later = first.model_copy(
        update={"offset_ns": first.offset_ns + 2_000_000_000, "mono_ns": first.mono_ns + 40_000_000_000}
    )
    return replace(run, events=(*run.events, later))


def _short_of_schedule(run: Evidence) -> Evidence:
    """Every tenth arrival was never sent."""
    assert run.requests is not None
    rows = [
        {**row, "outcome": int(Outcome.DROPPED), "started_ns": -1, "finished_ns": -1, "status": 0, "level": 0}
        if row["arrival"] % 10 == 0
        else row
        for row in run.requests.to_pylist()
    ]
    return replace(run, requests=table(REQUEST_COLUMNS, rows))


def _unrecorded(run: Evidence) -> Evidence:
    """Every tenth arrival left no record."""
    assert run.requests is not None
    return replace(
        run, requests=table(REQUEST_COLUMNS, [row for row in run.requests.to_pylist() if row["arrival"] % 10])
    )


def _few_events(run: Evidence) -> Evidence:
    """A load of one request a second, of which the schedule knows."""
    assert run.requests is not None
    rows = [row for row in run.requests.to_pylist() if row["arrival"] % 50 == 0]
    kept = [{**row, "arrival": number} for number, row in enumerate(rows)]
    events = tuple(
        event.model_copy(update={"expected": len(kept)}) if isinstance(event, ScheduleFixed) else event
        for event in run.events
    )
    return replace(run, requests=table(REQUEST_COLUMNS, kept), events=events)


def _each(
    name: str, change: Callable[[str], Callable[[Evidence], Evidence]], objectives: Iterable[str] = SCRAPED
) -> dict[str, Damage]:
    return {f"{name}: {one}": Damage(change(one), frozenset({one})) for one in sorted(objectives)}


def _in(name: str) -> Callable[[Row], bool]:
    return lambda row: row["query"] in QUERIES[name]


DAMAGES: dict[str, Damage] = {
    "no samples at all": Damage(_only(lambda _row: False), SCRAPED - {"alert"}),
    "no samples table": Damage(lambda run: replace(run, samples=None), SCRAPED),
    "nobody asked Prometheus": Damage(lambda run: replace(run, samples=table(SAMPLE_COLUMNS, []), metrics=()), SCRAPED),
    "no scrape health": Damage(_only(lambda row: row["query"] != "up"), frozenset({"votes", "cost", "use"})),
    "Prometheus lost in mid-run": Damage(
        _only(lambda row: row["t_ms"] < wall_ms(15)), frozenset({"votes", "cost", "use", "ratio", "breaker", "alert"})
    ),
    "a gap without proof of the same process": Damage(
        _only(lambda row: row["query"] != START and not wall_ms(15) < row["t_ms"] < wall_ms(20)),
        frozenset({"votes", "cost"}),
    ),
    **_each("absent series", lambda name: _only(lambda row: not _in(name)(row)), SCRAPED - {"alert"}),
    "empty selector: good": Damage(_only(lambda row: row["query"] != GOOD), frozenset({"votes"})),
    "empty selector: total": Damage(_only(lambda row: row["query"] != TOTAL), frozenset({"votes"})),
    **_each("NaN", lambda name: _values(math.nan, name), SCRAPED - {"alert"}),
    **_each("NaN in the middle", lambda name: _values(math.nan, name, 20, 76), SCRAPED - {"alert", "breaker"}),
    **_each("stale", lambda name: _ended(name, 20.0), SCRAPED - {"alert", "breaker"}),
    **_each(
        "query error",
        lambda name: _told(lambda one: replace(one, error="query timed out", series=0, samples=0), QUERIES[name]),
    ),
    **_each("partial answer", lambda name: _told(lambda one: replace(one, warnings=("partial",)), QUERIES[name])),
    **_each(
        "truncated result",
        lambda name: _only(lambda row: not (_in(name)(row) and row["t_ms"] > wall_ms(64)), announced=True),
    ),
    **_each(
        "series limit",
        lambda name: _told(lambda one: replace(one, series=one.series + 1), QUERIES[name]),
    ),
    "clock step": Damage(_clock_step, frozenset({"run"})),
    "generator short of its schedule": Damage(_short_of_schedule, frozenset({"run", "served"})),
    "arrivals without a record": Damage(_unrecorded, frozenset({"run", "served"})),
    "too few events": Damage(_few_events, frozenset({"served"})),
    "no request record": Damage(lambda run: replace(run, requests=None), frozenset({"run", "served"})),
}
