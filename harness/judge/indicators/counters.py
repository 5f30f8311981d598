"""Ratios and quotients of Prometheus counters, from raw samples."""

from __future__ import annotations

import math

from harness.judge import agreement
from harness.judge.blocks import Blocks, most_within, packed
from harness.judge.counters import bound_of, in_prometheus_time, increase, unbounded
from harness.judge.decide import Counts
from harness.judge.question import Question, no_window
from harness.judge.values import Value
from harness.model.judgement import Interval, ObjectiveResult
from harness.model.slo import CounterRatio, IncreasePer


def counter_ratio(ask: Question, indicator: CounterRatio) -> ObjectiveResult:
    facts, part = ask.facts, indicator.good or indicator.bad
    for query in (indicator.total, part, "up"):
        trouble = facts.samples.trouble(query)
        if trouble:
            return ask.missing(trouble)
        if not facts.samples.series(query):
            return ask.missing(f"Prometheus has no series {query}: not one event, or a wrong name")
    spans = in_prometheus_time(facts, facts.judged(ask.slo))
    if not spans:
        return ask.missing(no_window(ask.slo))
    bound = bound_of(facts, indicator.per_arrival, indicator.max_rate)
    total, some = (increase(facts.samples, query, spans, bound) for query in (indicator.total, part))
    notes = (*agreement.note(facts, ask.slo), *dict.fromkeys(total.notes + some.notes))
    if math.isinf(total.unknown) or math.isinf(some.unknown):
        why = (total.notes + some.notes)[0]
        return ask.missing(f"nothing bounds what was counted unseen: {why}", *notes)
    if some.least > total.most + 0.5:
        return ask.missing(
            f"{part} grew by {some.least:g}, more than all of {indicator.total} ({total.most:g})", *notes
        )
    one, rest = round(some.least), max(0, round(total.least - some.most))
    unknown = max(0, math.ceil(total.most - 1e-6) - one - rest)
    counts = Counts(one, rest, unknown) if indicator.good else Counts(rest, one, unknown)
    return ask.ratio(counts, "event", notes, blocks=_blocks(ask, indicator, counts))


def _blocks(ask: Question, indicator: CounterRatio, counts: Counts) -> Blocks | None:
    """By how many there can be within the correlation length: when they were counted is known to a scrape only."""
    length_s, rows = ask.facts.correlation_s(ask.slo), ask.facts.requests
    if not length_s:
        return None
    size = counts.events  # without a bound all may have happened together
    if indicator.per_arrival is not None and rows is not None:
        size = math.ceil(indicator.per_arrival * most_within(rows, length_s))
    return packed(counts, max(1, size), length_s)


def increase_per(ask: Question, indicator: IncreasePer) -> ObjectiveResult:
    facts = ask.facts
    for query in (indicator.query, indicator.per, "up"):
        trouble = facts.samples.trouble(query)
        if trouble:
            return ask.missing(trouble)
        if not facts.samples.series(query):
            return ask.missing(f"Prometheus has no series {query}")
    spans = in_prometheus_time(facts, facts.judged(ask.slo))
    if not spans:
        return ask.missing(no_window(ask.slo))
    top, below = (increase(facts.samples, query, spans, unbounded) for query in (indicator.query, indicator.per))
    notes = tuple(dict.fromkeys(top.notes + below.notes))
    if below.least <= 0:
        return ask.missing(f"{indicator.per} did not grow in the window", *notes)
    if below.least < ask.slo.annotations.minimum_events:
        needed = ask.slo.annotations.minimum_events
        return ask.missing(f"{indicator.per} grew by {below.least:g} only; {needed} are needed to decide", *notes)
    low = top.least / below.most
    high = None if math.isinf(top.most) else top.most / below.least
    text = f"{top.least:g} over {below.least:g} is {top.least / below.least:.3g} {indicator.unit} each"
    return ask.values([Value(Interval(low=low, high=high), text)], "increase", indicator.unit, notes, minimum=1)
