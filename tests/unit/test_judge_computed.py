"""Ratios and values as Prometheus computed them: recorded, judged, and marked so."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.errors import BadInput
from harness.judge import judge, selectors
from harness.model.judgement import ObjectiveResult, Verdict
from harness.model.slo import ComputedRatio, GaugeShare
from harness.spec.openslo import load_slos
from harness.spec.words import explain
from harness.testing.evidence import Row, answers, evidence, scraped, series, slo

EXPRESSION = "sum(rate(ok_total[30s])) / sum(rate(all_total[30s]))"
SECONDS = [float(second) for second in range(-5, 78)]


def evaluated(value, times=SECONDS, **labels: str) -> list[Row]:
    return series(EXPRESSION, labels, [(at, value(at)) for at in times])


def judged(
    rows: list[Row], indicator=None, target: float = 0.95, error: str = "", warnings=(), **more
) -> ObjectiveResult:
    rows = [*scraped("up"), *rows]
    told = tuple(
        replace(one, computed_every_s=1.0, error=error, warnings=warnings) if one.query == EXPRESSION else one
        for one in answers(rows, "ALERTS", EXPRESSION)
    )
    asked = slo(indicator or ComputedRatio(query=EXPRESSION), target, **more)
    return judge(evidence(samples=rows, metrics=told), [asked]).objectives[0]


def test_the_ratio_at_the_end_of_each_window():
    told = judged(evaluated(lambda at: 0.99 if at <= 40 else 0.97))
    assert told.verdict is Verdict.PASS
    assert (told.interval.low, told.interval.high) == (0.97, 0.99)
    assert "as Prometheus computed it" in told.notes[0]
    assert judged(evaluated(lambda at: 0.99 if at <= 40 else 0.9)).verdict is Verdict.INCONCLUSIVE
    assert judged(evaluated(lambda _at: 0.9)).verdict is Verdict.FAIL


def test_a_ratio_of_failures():
    failing = ComputedRatio(query=EXPRESSION, failure=True)
    assert judged(evaluated(lambda _at: 0.01), failing).verdict is Verdict.PASS
    assert judged(evaluated(lambda _at: 0.1), failing).verdict is Verdict.FAIL


@pytest.mark.parametrize(
    ("rows", "more"),
    [
        ([], {}),
        (evaluated(lambda _at: float("nan")), {}),
        (evaluated(lambda _at: 1.5), {}),
        (evaluated(lambda _at: 1.0, [at for at in SECONDS if at < 60]), {}),
        (evaluated(lambda at: float("nan") if 34 <= at <= 35 else 1.0), {}),
        ([*evaluated(lambda _at: 1.0, region="a"), *evaluated(lambda _at: 1.0, region="b")], {}),
        (evaluated(lambda _at: 1.0), {"error": "query timed out"}),
        (evaluated(lambda _at: 1.0), {"warnings": ("partial",)}),
        (evaluated(lambda _at: 1.0), {"minimum_events": 100}),
    ],
)
def test_what_prometheus_did_not_tell_never_passes(rows, more):
    assert judged(evaluated(lambda _at: 1.0)).verdict is Verdict.PASS
    assert judged(rows, **more).verdict is Verdict.INCONCLUSIVE


def test_a_value_that_prometheus_evaluated_is_a_share_of_time():
    gauge = GaugeShare(query=EXPRESSION, computed=True)
    told = judged(evaluated(lambda at: 0.1 if 10 <= at < 12 else 0.9), gauge, 0.9, op="gt", value=0.5)
    assert told.verdict is Verdict.PASS
    assert told.measured == pytest.approx(0.95)
    assert "as Prometheus computed it" in told.notes[0]
    half = judged(evaluated(lambda _at: 0.9, [at for at in SECONDS if at < 20]), gauge, 0.9, op="gt", value=0.5)
    assert half.verdict is Verdict.INCONCLUSIVE


FILE = """apiVersion: openslo/v1
kind: SLO
metadata:
  name: computed
spec:
  service: api
  indicator: {{spec: {{{metric}}}}}
  budgetingMethod: Occurrences
  objectives: [{{{objective}}}]
"""
RAW = "ratioMetric: {{rawType: {kind}, raw: {{metricSource: {{type: {type}, spec: {{{spec}}}}}}}}}"


def loaded(tmp_path, metric: str, objective: str = "target: 0.9"):
    (tmp_path / "slos.yaml").write_text(FILE.format(metric=metric, objective=objective))
    return load_slos([tmp_path])[0]


def raw(kind: str = "success", type: str = "Prometheus", spec: str = "expression: sum(a) / sum(b)") -> str:
    return RAW.format(kind=kind, type=type, spec=spec)


def test_raw_is_loaded_and_asked_for(tmp_path):
    found = loaded(tmp_path, raw("failure"))
    assert found.indicator == ComputedRatio(query="sum(a) / sum(b)", failure=True)
    assert "sum(a) / sum(b)" in selectors([found])
    assert "as Prometheus computed it" in explain(found)
    assert loaded(tmp_path, raw(spec="query: job:ratio")).indicator == ComputedRatio(query="job:ratio")


def test_an_expression_under_a_threshold(tmp_path):
    metric = "thresholdMetric: {metricSource: {type: Prometheus, spec: {expression: 'max(a) > 0'}}}"
    found = loaded(tmp_path, metric, "op: gte, value: 1, target: 0.9")
    assert found.indicator == GaugeShare(query="max(a) > 0", computed=True)


@pytest.mark.parametrize(
    ("metric", "cause"),
    [
        (raw(spec="expression: a, query: b"), "exactly one of query"),
        (raw(spec=""), "exactly one of query"),
        (raw(spec="expression: a, perArrival: 1"), "nothing else belongs beside expression"),
        (raw(type="Check", spec=""), "a raw ratio of Check is not executed here"),
    ],
)
def test_what_cannot_be_executed_is_refused(tmp_path, metric, cause):
    with pytest.raises(BadInput, match=cause):
        loaded(tmp_path, metric)
