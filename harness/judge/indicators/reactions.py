"""What the platform showed of itself: gauges over a window, gauges and alerts after a fault, writable primaries."""

from __future__ import annotations

import numpy as np

from harness.judge import alerts, gauges, reactions
from harness.judge.counters import in_prometheus_time
from harness.judge.decide import count, percent
from harness.judge.question import Question, no_window, per_fault
from harness.judge.samples import LATE
from harness.model.judgement import Interval, ObjectiveResult, Verdict
from harness.model.slo import AlertTime, ComputedRatio, GaugeShare, ReactionTime, WritablePrimaries

COMPUTED = "as Prometheus computed it: the expression was evaluated there, not here from raw samples"
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
        notes=(*((COMPUTED,) if indicator.computed else ()), *found.notes),
        target=target,
        comparison=">=",
    )


def computed_ratio(ask: Question, indicator: ComputedRatio) -> ObjectiveResult:
    """The ratio as Prometheus gave it last in each window; of several windows the worst and the best."""
    samples, query = ask.facts.samples, indicator.query
    trouble = samples.trouble(query)
    if trouble:
        return ask.missing(trouble, COMPUTED)
    series = samples.series(query)
    if len(series) != 1:
        return ask.missing(f"{query} gave {len(series)} series where one ratio is needed", COMPUTED)
    spans = in_prometheus_time(ask.facts, ask.facts.judged(ask.slo))
    if not spans:
        return ask.missing(no_window(ask.slo), COMPUTED)
    step = samples.computed_every_ms(query) or samples.step_ms(series[0])
    ends = [gauges.last(series[0], to_ms, LATE * step) for _, to_ms in spans]
    told = [end if end is None or not indicator.failure else 1 - end for end in ends]
    wrong = [value for value in told if value is not None and not 0 <= value <= 1]
    if wrong:
        return ask.missing(f"{query} gave {wrong[0]:g}, which is no ratio", COMPUTED)
    low = min(0.0 if value is None else value for value in told)
    high = max(1.0 if value is None else value for value in told)
    known = [value for value in told if value is not None]
    target, missing = ask.objective.target, told.count(None)
    verdict = Verdict.PASS if low >= target else Verdict.FAIL if high < target else Verdict.INCONCLUSIVE
    seen = f"Prometheus computed {percent(min(known))}" if known else "Prometheus computed nothing"
    reason = f"{seen}; at least {percent(target)} must be good"
    if missing:
        reason += f"; at the end of {count(missing, 'window')} it gave no value"
    if ask.slo.annotations.minimum_events > 1:
        verdict, reason = Verdict.INCONCLUSIVE, f"{reason}; of how many events, nobody knows"
    between = Interval(low=low, high=high)
    return ask.result(
        verdict, reason, measured=min(known, default=None), interval=between, observed=between,
        events=len(told), bad=0, unknown=missing, notes=(COMPUTED,),
    )  # fmt: skip


def reaction_time(ask: Question, indicator: ReactionTime) -> ObjectiveResult:
    return per_fault(ask, lambda fault: reactions.reaction(ask.facts, fault, indicator))


def alert_time(ask: Question, indicator: AlertTime) -> ObjectiveResult:
    if indicator.until == "resolved":
        return per_fault(ask, lambda fault: alerts.resolved(ask.facts, fault, indicator))
    return per_fault(ask, lambda fault: reactions.alert(ask.facts, fault, indicator))


def writable_primaries(ask: Question, indicator: WritablePrimaries) -> ObjectiveResult:
    return ask.values([reactions.primaries(ask.facts, ask.facts.judged(ask.slo), indicator)], "run", "count")
