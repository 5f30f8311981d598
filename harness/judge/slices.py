"""Timeslices and RatioTimeslices: the events of each slice, from requests, counters and gauges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import singledispatch
from typing import TYPE_CHECKING

import numpy as np

from harness.judge import gauges
from harness.judge.budget import UNSEEN, cut, mean_ratio, timeslices
from harness.judge.counters import Increase, bound_of, in_prometheus_time, increase
from harness.judge.decide import Counts, compare, count, percent
from harness.judge.indicators.reactions import MEETS
from harness.judge.question import Question, no_window
from harness.judge.requests import count_masks, count_requests
from harness.judge.windows import Span
from harness.model.judgement import ObjectiveResult
from harness.model.slo import CounterRatio, GaugeShare, Indicator, RequestRatio

if TYPE_CHECKING:
    from harness.judge.facts import Facts
    from harness.judge.rows import Record

NS = 1e9
MS = 1000.0
SCRAPES_IN_A_SLICE = 2


def sliced(ask: Question) -> ObjectiveResult:
    """The result by the SLO's budgeting method, Timeslices or RatioTimeslices."""
    if not ask.facts.judged(ask.slo):
        return ask.missing(no_window(ask.slo))
    told = slices_of(ask.slo.indicator, ask)
    if isinstance(told, str):
        return ask.missing(told)
    slices, notes = told
    events = sum(counts.events for counts in slices)
    if events < ask.slo.annotations.minimum_events:
        needed = ask.slo.annotations.minimum_events
        return ask.missing(f"only {count(events, 'event')}, fewer than the {count(needed)} that are needed to decide")
    return (_by_ratio if ask.slo.method == "RatioTimeslices" else _by_slice)(ask, slices, notes)


def _by_slice(ask: Question, slices: Sequence[Counts], notes: tuple[str, ...]) -> ObjectiveResult:
    notes_of = ask.slo.annotations
    changed = notes_of.model_copy(update={"minimum_events": 1})
    slice_target = ask.objective.slice_target or 1.0
    counts = timeslices(slices, slice_target, notes_of.missing_data == "bad")
    return replace(ask, slo=ask.slo.model_copy(update={"annotations": changed})).ratio(
        counts,
        "slice",
        (f"a slice is good when {percent(slice_target)} of its events are", *_empty(ask, slices), *notes),
    )


def _by_ratio(ask: Question, slices: Sequence[Counts], notes: tuple[str, ...]) -> ObjectiveResult:
    mean = mean_ratio(slices, ask.slo.annotations.missing_data == "bad")
    if mean.low is None or mean.high is None:
        return ask.missing("there was not one slice to judge by")
    shown = percent(mean.low) if mean.high - mean.low < 1e-9 else f"{percent(mean.low)} to {percent(mean.high)}"
    target = ask.objective.target
    return ask.result(
        compare(mean, "gte", target - 1e-12),
        f"the mean of {count(len(slices), 'slice')} is {shown}; at least {percent(target)} must be",
        measured=mean.low,
        interval=mean,
        observed=mean,
        events=sum(counts.events for counts in slices),
        bad=sum(counts.bad for counts in slices),
        unknown=sum(counts.unknown for counts in slices),
        notes=(*_empty(ask, slices), *notes),
    )


def _empty(ask: Question, slices: Sequence[Counts]) -> tuple[str, ...]:
    empty = sum(not counts.events for counts in slices)
    meaning = "counted as bad" if ask.slo.annotations.missing_data == "bad" else "of which nothing is known"
    return (f"{count(empty, 'slice')} without an event, {meaning}",) if empty else ()


@singledispatch
def slices_of(_indicator: Indicator, _ask: Question) -> tuple[list[Counts], tuple[str, ...]] | str:
    """(events of each slice, notes); a str says why nothing can be told."""
    return "this indicator cannot be cut into slices"


@slices_of.register
def _(indicator: RequestRatio, ask: Question) -> tuple[list[Counts], tuple[str, ...]] | str:
    rows = ask.facts.requests if indicator.table == "requests" else ask.facts.beacon
    if rows is None:
        return f"there is no record of the {indicator.table}"
    spans = ask.facts.judged(ask.slo)
    size = round((ask.objective.slice_s or 60.0) * NS)
    edges = [(round(a), round(b)) for span in spans for a, b in cut(span.start_ns, span.end_ns, size)]
    _, causes, notes = count_requests(rows, indicator, spans, ask.facts)
    return request_slices(rows, indicator, spans, edges, ask.facts), (*causes, *notes)


def request_slices(
    record: Record, ratio: RequestRatio, spans: Sequence[Span], edges: Sequence[tuple[int, int]], facts: Facts
) -> list[Counts]:
    """The events of each slice [from_ns, to_ns); the slices ascend and do not overlap."""
    tally = facts.tally(record, ratio, [*spans, *(Span("slice", "", *edge) for edge in edges)])
    rows = tally.rows
    starts, ends = (np.array([edge[side] for edge in edges], dtype=np.int64) for side in (0, 1))
    place = np.searchsorted(starts, rows.intended_ns, side="right") - 1
    here = (place >= 0) & (rows.intended_ns < ends[np.maximum(place, 0)])
    masks = count_masks(rows, ratio, spans, facts)
    goods, bads, opens = (
        np.bincount(place[mask & here], tally.weight[mask & here], minlength=len(edges)) for mask in masks
    )
    return [
        Counts(int(goods[at]), int(bads[at]), int(opens[at]) + record.missing.possibly_within(*edge))
        for at, edge in enumerate(edges)
    ]


@slices_of.register
def _(indicator: CounterRatio, ask: Question) -> tuple[list[Counts], tuple[str, ...]] | str:
    facts, size = ask.facts, (ask.objective.slice_s or 60.0) * MS
    part = indicator.good or indicator.bad
    for query in (indicator.total, part, "up"):
        trouble = facts.samples.trouble(query)
        if trouble:
            return trouble
        if not facts.samples.series(query):
            return f"Prometheus has no series {query}: not one event, or a wrong name"
    spans = in_prometheus_time(facts, facts.judged(ask.slo))
    step = max((scrapes.step_ms for scrapes in facts.samples.scrapes.values()), default=0.0)
    if not spans or not step:
        return "nothing tells when Prometheus scraped"
    if size < SCRAPES_IN_A_SLICE * step:
        return f"slices of {size / MS:g} s are too short for scrapes every {step / MS:g} s"
    bound = bound_of(facts, indicator.per_arrival, indicator.max_rate)
    found: list[Counts] = []
    for start, end in spans:
        edges = cut(start, end, size)
        totals, parts = (
            [
                (
                    increase(facts.samples, query, [edge], bound),
                    increase(facts.samples, query, [(start, edge[1])], bound),
                )
                for edge in edges
            ]
            for query in (indicator.total, part)
        )
        grown = [0.0, 0.0]
        for (total, total_so_far), (some, some_so_far) in zip(totals, parts, strict=True):
            # From the sum so far: what was counted between two scrapes belongs to the slice of the later one.
            every, one = total_so_far.least - grown[0], some_so_far.least - grown[1]
            grown = [total_so_far.least, some_so_far.least]
            found.append(UNSEEN if _unseen(total) or _unseen(some) else _counts(every, one, bool(indicator.good)))
    return found, ()


def _unseen(grown: Increase) -> bool:
    return bool(grown.dark) or grown.unknown > 0


def _counts(every: float, one: float, good: bool) -> Counts:
    """More of a part than of all is a contradiction, of which nothing is known."""
    part, rest = round(one), round(every - one)
    if part < 0 or rest < 0:
        return UNSEEN
    return Counts(part, rest) if good else Counts(rest, part)


@slices_of.register
def _(indicator: GaugeShare, ask: Question) -> tuple[list[Counts], tuple[str, ...]] | str:
    """Of a gauge the events are milliseconds."""
    samples, query, size = ask.facts.samples, indicator.query, (ask.objective.slice_s or 60.0) * MS
    trouble = samples.trouble(query) or samples.trouble("up")
    if trouble:
        return trouble
    if not samples.series(query):
        return f"Prometheus has no series {query}"
    op, value = ask.objective.op or "gte", ask.objective.value
    assert value is not None
    found = [
        gauges.times(samples, query, lambda told: MEETS[op](told, value), [edge])
        for start, end in in_prometheus_time(ask.facts, ask.facts.judged(ask.slo))
        for edge in cut(start, end, size)
    ]
    return [Counts(round(one.good_ms), round(one.bad_ms), round(one.unknown_ms)) for one in found], ()
