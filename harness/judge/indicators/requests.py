"""Ratios of requests and probes."""

from __future__ import annotations

from harness.judge.blocks import block_counts
from harness.judge.question import Question, no_window
from harness.judge.requests import count_requests
from harness.model.judgement import ObjectiveResult
from harness.model.slo import RequestRatio


def requests(ask: Question, indicator: RequestRatio) -> ObjectiveResult:
    rows = ask.facts.requests if indicator.table == "requests" else ask.facts.beacon
    if rows is None:
        return ask.missing(f"there is no record of the {indicator.table}")
    spans = ask.facts.judged(ask.slo)
    if not spans:
        return ask.missing(no_window(ask.slo))
    counts, causes, notes = count_requests(rows, indicator, spans, ask.facts)
    length_s = ask.facts.correlation_s(ask.slo)
    blocks = block_counts(rows, indicator, spans, ask.facts, length_s) if length_s else None
    return ask.ratio(counts, "request" if indicator.table == "requests" else "probe", notes, causes, blocks)
