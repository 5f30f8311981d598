"""Alerts that resolve, and alerts that nobody declared. The fault is injected at 37 s and seen gone at 60 s."""

from __future__ import annotations

import struct

import pytest

from harness.judge import judge
from harness.model import events as e
from harness.model.judgement import Finding, ObjectiveResult, Verdict
from harness.model.records import STALE_BITS
from harness.model.slo import AlertTime, Slo
from harness.testing.evidence import Row, answers, evidence, happened, scraped, series, slo

STALE = struct.unpack("<d", struct.pack("<Q", STALE_BITS))[0]
SECONDS = [second + 0.3 for second in range(-5, 78)]
RESOLVED = AlertTime(name="WeaviateDown", severity="P1", until="resolved")
FIRES = AlertTime(name="WeaviateDown", severity="P1")


def firing(
    from_s: float,
    to_s: float,
    *,
    name: str = "WeaviateDown",
    severity: str = "P1",
    state: str = "firing",
    stale: float = 0,
) -> list[Row]:
    labels = {"__name__": "ALERTS", "alertname": name, "alertstate": state, "severity": severity}
    points = [(at, 1.0) for at in SECONDS if from_s <= at < to_s]
    return series("ALERTS", labels, [*points, *([(stale, STALE)] if stale else [])])


def about(indicator: AlertTime, seconds: float = 10.0) -> Slo:
    return slo(indicator, 0.95, op="lte", value=seconds, window="fault", experiment="kill-weaviate")


def judged(rows: list[Row], *slos: Slo, up: list[float] | None = None, **more):
    samples = [*scraped("up", times=up), *rows]
    return judge(evidence(samples=samples, **{"metrics": answers(samples, "ALERTS"), **more}), slos)


def result(rows: list[Row], seconds: float = 10.0, **more) -> ObjectiveResult:
    return judged(rows, about(RESOLVED, seconds), **more).objectives[0]


def test_resolved_between_the_last_evaluation_with_it_and_the_first_without():
    told = result(firing(41, 63))
    assert told.verdict is Verdict.PASS
    assert told.interval.low == pytest.approx(2.299, abs=0.002)  # still firing at 62.3
    assert told.interval.high == pytest.approx(3.801, abs=0.002)  # one evaluation later at the latest
    assert "had resolved 3.8 s after the fault was gone" in told.reason


def test_a_staleness_marker_tells_when_it_resolved():
    told = result(firing(41, 63, stale=63.3))
    assert told.interval.high == pytest.approx(3.301, abs=0.002)


def test_resolved_before_anybody_saw_the_fault_gone_is_at_once():
    assert result(firing(41, 50)).interval.high == 0.0


def test_too_late_and_never():
    assert result(firing(41, 75), 10.0).verdict is Verdict.FAIL
    still = result(firing(41, 90), 10.0)
    assert still.verdict is Verdict.FAIL
    assert "was still firing 17.3 s after the fault was gone" in still.reason
    assert result(firing(41, 90), 60.0).verdict is Verdict.INCONCLUSIVE


def test_one_that_fires_again_has_not_resolved():
    assert result([*firing(41, 62), *firing(70, 76)], 5.0).verdict is Verdict.FAIL


@pytest.mark.parametrize(
    "more",
    [
        {"metrics": answers(scraped("up"))},
        {"events": happened(without=(e.FaultGone,))},
        {"up": [at for at in SECONDS if at < 62]},
    ],
)
def test_what_nobody_saw_decides_nothing(more):
    rows = firing(41, 62) if "up" in more else firing(41, 63)
    assert result(rows, **more).verdict is Verdict.INCONCLUSIVE


def test_one_that_never_fired_did_not_resolve_either():
    told = result([])
    assert told.verdict is Verdict.INCONCLUSIVE
    assert "did not fire" in told.reason


def test_a_resolved_alert_is_no_detection():
    (recovery,) = judged(firing(41, 63), about(RESOLVED)).recoveries
    assert recovery.detected_s is None


# ---- what else fired ------------------------------------------------------------------------------------------------


def others(rows: list[Row], *slos: Slo, **more) -> list[Finding]:
    found = judged(rows, *(slos or (about(FIRES),)), **more).findings
    return [one for one in found if one.name == "other alerts"]


def test_a_declared_alert_in_its_fault_is_not_listed():
    assert others(firing(41, 63)) == []


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        (firing(41, 63, name="Other", severity="P2"), "Other (P2, kill-weaviate#1)"),
        (firing(41, 63, severity="P3"), "WeaviateDown (P3, kill-weaviate#1)"),
        (firing(10, 20), "WeaviateDown (P1, no fault)"),
        (firing(67, 77, name="Other"), "Other (P1, no fault)"),
    ],
)
def test_what_nobody_declared_is_listed_with_its_fault(rows, told):
    (found,) = others(rows)
    assert found.cap is Verdict.PASS
    assert told in found.reason


def test_pending_and_what_ended_before_the_judged_part_are_not_listed():
    assert others([*firing(41, 63, state="pending", name="Other"), *firing(-5, 4, name="Warm")]) == []


def test_it_caps_nothing():
    told = judged([*firing(41, 63), *firing(41, 63, name="Other")], about(FIRES))
    assert told.objectives[0].verdict is Verdict.PASS
    assert told.verdict is Verdict.PASS
