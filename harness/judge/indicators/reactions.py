"""What the platform showed of itself: gauges over a window, gauges and alerts after a fault, writable primaries."""

from __future__ import annotations

from harness.judge import reactions
from harness.judge.counters import in_prometheus_time
from harness.judge.question import Question, no_window, per_fault
from harness.model.judgement import ObjectiveResult
from harness.model.slo import AlertTime, GaugeShare, ReactionTime, WritablePrimaries


def gauge_share(ask: Question, indicator: GaugeShare) -> ObjectiveResult:
    spans = in_prometheus_time(ask.facts, ask.facts.judged(ask.slo))
    if not spans:
        return ask.missing(no_window(ask.slo))
    told = reactions.gauge_share(ask.facts, indicator, ask.objective, spans)
    if isinstance(told, str):
        return ask.missing(told)
    counts, notes = told
    return ask.ratio(counts, "scrape", notes, target=ask.objective.target, comparison=">=")


def reaction_time(ask: Question, indicator: ReactionTime) -> ObjectiveResult:
    return per_fault(ask, lambda fault: reactions.reaction(ask.facts, fault, indicator))


def alert_time(ask: Question, indicator: AlertTime) -> ObjectiveResult:
    return per_fault(ask, lambda fault: reactions.alert(ask.facts, fault, indicator))


def writable_primaries(ask: Question, indicator: WritablePrimaries) -> ObjectiveResult:
    return ask.values([reactions.primaries(ask.facts, ask.facts.judged(ask.slo), indicator)], "run", "count")
