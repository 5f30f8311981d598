"""What the platform showed of itself: gauges over a window, gauges and alerts after a fault, writable primaries."""

from __future__ import annotations

import numpy as np

from harness.judge import gauges, reactions
from harness.judge.counters import in_prometheus_time
from harness.judge.question import Question, no_window, per_fault
from harness.model.judgement import ObjectiveResult
from harness.model.slo import AlertTime, GaugeShare, ReactionTime, WritablePrimaries

MEETS = {"lte": np.less_equal, "lt": np.less, "gte": np.greater_equal, "gt": np.greater}


def gauge_share(ask: Question, indicator: GaugeShare) -> ObjectiveResult:
    samples, query = ask.facts.samples, indicator.query
    trouble = samples.trouble(query) or samples.trouble("up")
    if trouble:
        return ask.missing(trouble)
    if not samples.series(query):
        return ask.missing(f"Prometheus has no series {query}")
    spans = in_prometheus_time(ask.facts, ask.facts.judged(ask.slo))
    if not spans:
        return ask.missing(no_window(ask.slo))
    op, value = ask.objective.op or "gte", ask.objective.value
    assert value is not None
    found = gauges.times(samples, query, lambda told: MEETS[op](told, value), spans)
    asked, target = ask.slo.annotations, ask.objective.target
    share = gauges.decide(found, target, ask.claim, asked.confidence, asked.minimum_events)
    return ask.result(
        share.verdict,
        share.reason,
        measured=share.measured,
        interval=share.interval,
        observed=share.observed,
        events=found.scrapes,
        bad=found.bad,
        unknown=found.missing,
        notes=found.notes,
        target=target,
        comparison=">=",
    )


def reaction_time(ask: Question, indicator: ReactionTime) -> ObjectiveResult:
    return per_fault(ask, lambda fault: reactions.reaction(ask.facts, fault, indicator))


def alert_time(ask: Question, indicator: AlertTime) -> ObjectiveResult:
    return per_fault(ask, lambda fault: reactions.alert(ask.facts, fault, indicator))


def writable_primaries(ask: Question, indicator: WritablePrimaries) -> ObjectiveResult:
    return ask.values([reactions.primaries(ask.facts, ask.facts.judged(ask.slo), indicator)], "run", "count")
