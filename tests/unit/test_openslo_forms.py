"""Every form of OpenSLO's own examples is read; what nothing here executes is refused with its line, never ignored."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import BadInputs, NotExecuted
from harness.judge.objectives import selectors
from harness.model import slo as model
from harness.run.validate import validate
from harness.spec.openslo import load_slos, read
from harness.spec.words import explain

FORMS = Path(__file__).parents[1] / "fixtures" / "openslo"
FILES = sorted(FORMS.glob("*.yaml"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_form_is_read(file):
    assert read(file)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_validate_takes_what_is_right_and_tells_what_is_not_executed(file):
    (result,) = validate([file])
    assert not result.mistakes, result.mistakes
    assert result.explanation or result.not_executed


REFUSED = {
    ("budgeting.yaml", 21, "a source of type 'Any' is not executed here"),
    ("budgeting.yaml", 55, "a source of type 'Any' is not executed here"),
    ("budgeting.yaml", 73, "a source of type 'Datadog' is not executed here"),
    ("indicators.yaml", 28, "a source of type 'Redshift' is not executed here"),
    ("indicators.yaml", 65, "does not say how its budget counts"),
}


def test_what_is_not_executed_is_refused_with_its_line():
    with pytest.raises(BadInputs) as caught:
        load_slos([FORMS])
    assert all(isinstance(one, NotExecuted) for one in caught.value.mistakes)
    assert all(one.fix for one in caught.value.mistakes)
    found = {(Path(str(one.file)).name, one.line, one.cause) for one in caught.value.mistakes}
    assert {(file, cause) for file, _, cause in found} == {(file, cause) for file, _, cause in REFUSED}
    lines = {line for _, line, _ in found}
    assert all(line and line > 5 for line in lines)


def test_a_composite_brings_its_indicators():
    (slo,) = load_slos([FORMS / "composite.yaml"])
    assert isinstance(slo.indicator, model.Composite)
    served, quick = slo.indicator.parts
    assert (served.weight, quick.weight) == (3.0, 1.0)
    assert quick.indicator.good.faster_than == 0.15
    assert slo.objectives[0].target == pytest.approx((3 * 0.999 + 0.95) / 4)
    assert "combines by weight 2 objectives" in explain(slo)


def test_one_slo_for_each_region_with_its_alerts():
    sjc, lax = load_slos([FORMS / "alerting.yaml"])
    assert (sjc.name, lax.name) == ("availability-sjc", "availability-lax")
    assert (sjc.title, lax.title) == ("Availability in sjc", "Availability in lax")
    assert lax.indicator.total.regions == ("lax",)
    fast, slow = sjc.alerts
    assert (fast.threshold, fast.over_s, fast.also_over_s, fast.severity) == (14.4, 3600.0, (300.0,), "page")
    assert (slow.op, slow.over_s, slow.after_s, slow.when_no_data) == ("gt", 3 * 86400.0, 3600.0, True)
    words = explain(sjc)
    assert "fires when the budget burns at least 14.4 times as fast as allowed over 1h and 5m" in words
    assert "A window without an event is bad." in words
    assert sjc.origin == lax.origin


EACH = """\
apiVersion: openslo/v1
kind: SLO
metadata:
  name: votes-${region}-${service}
  annotations:
    harness/for-each: "region=sjc,lax; service=api"
spec:
  service: ${service}
  indicatorRef: votes
  budgetingMethod: Occurrences
  objectives: [{target: 0.9}]
---
apiVersion: openslo/v1
kind: SLI
metadata: {name: votes}
spec:
  ratioMetric:
    counter: true
    good: {metricSource: {type: Prometheus, spec: {query: 'v{result="ok",region="${region}"}'}}}
    total: {metricSource: {type: Prometheus, spec: {query: 'v{region="${region}"}'}}}
"""


def loaded(tmp_path, text):
    (tmp_path / "a.yaml").write_text(text)
    return load_slos([tmp_path / "a.yaml"])


def test_values_reach_an_sli_that_is_referred_to(tmp_path):
    slos = loaded(tmp_path, EACH)
    assert [slo.name for slo in slos] == ["votes-sjc-api", "votes-lax-api"]
    assert [slo.service for slo in slos] == ["api", "api"]
    assert 'v{region="lax"}' in selectors(slos)


@pytest.mark.parametrize(
    ("old", "new", "line", "cause"),
    [
        ("votes-${region}-${service}", "votes", 4, "would be the name of several SLOs"),
        ('"region=sjc,lax; service=api"', '"region"', 6, "does not say what for"),
        ('"region=sjc,lax; service=api"', '"region=sjc,sjc; service=api"', 6, "names something twice"),
        ('"region=sjc,lax; service=api"', '"region=sjc,l\'x; service=api"', 6, "does not say what for"),
        ('"region=sjc,lax; service=api"', '"region=sjc,lax"', 4, "nothing gives a value for ${service}"),
        ("service: ${service}", "service: ${servce}", 8, "nothing gives a value for ${servce}"),
        ('region="${region}"', 'region="${regio}"', 19, "nothing gives a value for ${regio}"),
        (
            '"region=sjc,lax; service=api"',
            '"region=' + ",".join(map(str, range(501))) + '; service=api"',
            6,
            "more than 500",
        ),
    ],
)
def test_mistakes_in_for_each(tmp_path, old, new, line, cause):
    assert old in EACH
    with pytest.raises(BadInputs) as caught:
        loaded(tmp_path, EACH.replace(old, new, 1))
    assert (line, cause) in {(one.line, cause) for one in caught.value.mistakes if cause in one.cause}


WINDOW = """\
apiVersion: openslo/v1
kind: SLO
metadata: {name: a}
spec:
  service: api
  indicator:
    spec:
      ratioMetric:
        good: {metricSource: {type: RequestRecord, spec: {outcome: served}}}
        total: {metricSource: {type: RequestRecord}}
  timeWindow:
    - duration: 1M
      calendar:
        startTime: 2026-01-31 00:00:00
        timeZone: Europe/Berlin
  budgetingMethod: Timeslices
  objectives:
    - {target: 0.9, timeSliceTarget: 0.99, timeSliceWindow: 0.1}
"""


def test_slices_and_windows_are_resolved(tmp_path):
    (slo,) = loaded(tmp_path, WINDOW)
    assert (slo.method, slo.objectives[0].slice_target, slo.objectives[0].slice_s) == ("Timeslices", 0.99, 6.0)
    assert slo.time_window == model.BudgetWindow(
        duration="1M", start_time="2026-01-31 00:00:00", time_zone="Europe/Berlin"
    )
    assert "each from 2026-01-31 00:00:00 (Europe/Berlin) on" in explain(slo)


@pytest.mark.parametrize(
    ("old", "new", "line", "cause"),
    [
        ("Europe/Berlin", "Europe/Berln", 15, "no time zone"),
        ("2026-01-31 00", "2026-02-31 00", 14, "is no time"),
        ("2026-01-31 00:00:00", "31.1.2026", 14, "pattern"),
        ("      calendar:\n", "      isRolling: true\n      calendar:\n", 12, "either rolling"),
        ("timeSliceWindow: 0.1", "timeSliceWindow: 0", 18, "greater than 0"),
        ("timeSliceWindow: 0.1", "timeSliceWindow: 1Q", 18, "not of one length"),
        ("timeSliceTarget: 0.99", "timeSliceTarget: 1.5", 18, "less than or equal to 1"),
        ("target: 0.9,", "target: 0.9, compositeWeight: -1,", 18, "greater than 0"),
        ("target: 0.9,", "target: .nan,", 18, ""),
        ("{name: a}", "{name: a, annotations: {harness/claim: system}}", 3, "slices hang together"),
        ("{name: a}", "{name: a, annotations: {harness/missing-data: good}}", 3, "'inconclusive' or 'bad'"),
    ],
)
def test_mistakes_in_budgets(tmp_path, old, new, line, cause):
    assert old in WINDOW
    with pytest.raises(BadInputs) as caught:
        loaded(tmp_path, WINDOW.replace(old, new, 1))
    assert any(one.line == line and cause in one.cause for one in caught.value.mistakes), str(caught.value)


def test_an_alert_needs_counted_events(tmp_path):
    text = (FORMS / "alerting.yaml").read_text()
    recovery = text.replace("harness/missing-data: bad", "harness/window: fault").replace(
        "target: 0.999", "op: lte\n      value: 3\n      target: 0.9"
    )
    start, end = recovery.index("      ratioMetric:"), recovery.index("  timeWindow:")
    with pytest.raises(BadInputs, match="burn rates are worked out for counted"):
        loaded(
            tmp_path, recovery[:start] + "      thresholdMetric: {metricSource: {type: Recovery}}\n" + recovery[end:]
        )


def test_what_is_not_judged_here_is_checked_all_the_same(tmp_path):
    with pytest.raises(BadInputs, match="RequestRecrd"):
        loaded(
            tmp_path,
            WINDOW.replace("{name: a}", "{name: a, annotations: {harness/not-judged: because}}").replace(
                "type: RequestRecord,", "type: RequestRecrd,"
            ),
        )
