"""How users were shifted to a region."""

from __future__ import annotations

from harness.judge.question import Question, no_window
from harness.judge.shifting import shift
from harness.model.judgement import ObjectiveResult
from harness.model.slo import TrafficShift


def traffic_shift(ask: Question, indicator: TrafficShift) -> ObjectiveResult:
    spans = ask.facts.judged(ask.slo)
    if not spans:
        return ask.missing(no_window(ask.slo))
    unit = "s" if indicator.measure == "seconds" else "ratio"
    return ask.values([shift(ask.facts, span, indicator) for span in spans], "shift", unit)
