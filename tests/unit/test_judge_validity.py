"""What caps the verdict whatever the objectives say, and the one word and sentence of a run."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.judge import judge
from harness.judge.decide import Counts, count, decide, percent
from harness.judge.rules import NUMBERS
from harness.model import events as e
from harness.model.judgement import Finding, Judgement, Verdict
from harness.model.records import GENERATOR_COLUMNS, Outcome
from harness.model.scenario import ExperimentRef, Validity
from harness.model.slo import RecoveryTime, RequestFilter, RequestRatio
from harness.testing.evidence import (
    EXPERIMENT,
    WALL_NS,
    evidence,
    generator,
    happened,
    ns,
    scenario,
    slo,
    steadily,
    table,
    within,
)

SERVED = slo(RequestRatio(table="requests", total=RequestFilter(), good=RequestFilter(outcome="served")), 0.5)


def judged(**parts) -> Judgement:
    return judge(evidence(**parts), [SERVED])


def finding(judgement: Judgement, name: str) -> Finding:
    return next(finding for finding in judgement.findings if finding.name == name)


def test_a_clean_run_has_no_findings_and_passes():
    judgement = judged()
    assert judgement.findings == ()
    assert judgement.verdict is Verdict.PASS
    assert judgement.sentence == "PASS: The one objective was met, on evidence without a hole that matters."
    assert judgement.rules == NUMBERS


def watched(*, looks: int = 90, failed: int = 0, longest_s: float = 1.0, until_s: float | None = 60.0):
    """How who was Ready was looked at; it was stopped after 60 s."""
    times = {"from_ns": ns(0), "until_ns": 0 if until_s is None else ns(until_s), "every_s": 0.5, "mono_ns": ns(60)}
    return e.ReadinessWatched(**times, looks=looks, failed=failed, longest_s=longest_s)


def test_a_control_plane_that_is_slow_now_and_then_is_no_doubt():
    assert judged(events=happened(watched(longest_s=7.9, failed=3, until_s=59.0))).verdict is Verdict.PASS
    patient = scenario(validity=Validity(api_silent=60.0))
    assert judged(scenario=patient, events=happened(watched(longest_s=30.0))).verdict is Verdict.PASS


THRICE = ExperimentRef(file="x/kill-weaviate.yaml", repeat=3)
FAULT = {"experiment": EXPERIMENT, "fault": "kill"}


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("load record", {"absent": ("requests",)}),
        ("load schedule", {"events": happened(without=(e.ScheduleFixed,))}),
        ("load short", {"requests": steadily()[:3000]}),
        ("load short", {"requests": steadily(change=within((10.0, 10.1), outcome=Outcome.DROPPED))}),
        ("load generator", {"absent": ("generator",)}),
        ("load generator", {"generator": table(GENERATOR_COLUMNS, [])}),
        ("load generator", {"generator": table(GENERATOR_COLUMNS, generator()[:40])}),
        ("load late", {"generator": table(GENERATOR_COLUMNS, generator(late_ms=60.0))}),
        ("load saturated", {"generator": table(GENERATOR_COLUMNS, generator(cpu=0.97))}),
        ("fault not landed", {"events": happened(without=(e.FaultLanded,))}),
        ("fault not landed", {"events": happened(e.FaultLanded(**FAULT, landed=False, observer="process table"))}),
        ("fault not gone", {"events": happened(without=(e.FaultGone,))}),
        ("fault not gone", {"events": happened(e.FaultGone(**FAULT, gone=False, observer="readiness", by="undo"))}),
        ("experiment skipped", {"events": happened(e.ExperimentSkipped(experiment=EXPERIMENT, reason="not steady"))}),
        ("experiment missing", {"events": happened(without=(e.ExperimentEnded,))}),
        ("experiment missing", {"scenario": scenario(experiments=(THRICE,))}),
        ("process lost", {"events": happened(e.ChildEnded(name="locust", child_pid=7, code=-9, expected=False))}),
        ("guard", {"events": happened(e.GuardTripped(guard="errors", detail="60 % of 50"))}),
        ("run not closed", {"events": happened(without=(e.RunClosed,))}),
        ("not clean", {"events": happened(e.RunClosed(reason="port 8080 still taken", clean=False))}),
        ("problems", {"events": happened(e.Problem(where="prometheus", text="connection refused"))}),
        ("problems", {"problems": ("evidence/ledger.parquet is missing",)}),
        ("control plane silent", {"events": happened(watched(longest_s=8.5))}),
        ("control plane silent", {"events": happened(watched(until_s=10.0))}),
        ("control plane silent", {"events": happened(watched(looks=90, failed=90, until_s=None))}),
        ("control plane silent", {"events": happened(watched(looks=0, longest_s=0.0, until_s=None))}),
        ("clock step", {"events": happened(e.ClockRead(clock="wall", offset_ns=WALL_NS + 10**9, error_ns=1000))}),
    ],
)  # fmt: skip
def test_each_doubt_caps_the_verdict(name, parts):
    judgement = judged(**parts)
    assert finding(judgement, name).cap is Verdict.INCONCLUSIVE
    assert judgement.verdict is Verdict.INCONCLUSIVE


def test_mistakes_of_an_experiment_and_a_deviation_cap_too():
    def ended(**changes) -> Judgement:
        done = e.ExperimentEnded(experiment=EXPERIMENT, title="", status="completed", deviated=False, mistakes=())
        return judged(events=happened(done.model_copy(update=changes), without=(e.ExperimentEnded,)))

    assert ended().verdict is Verdict.PASS
    assert finding(ended(mistakes=("action x failed", "y too")), "experiment went wrong").detail == ("y too",)
    assert finding(ended(deviated=True), "experiment deviated").cap is Verdict.INCONCLUSIVE


def test_no_reason_hides_another():
    problems = [e.Problem(where=where, text=text) for where, text in (("x#1/kill", "away"), ("load", "late"))]
    twice = e.Problem(where="load", text="late again")
    gone_wrong = e.RunClosed(reason="port 8080 still taken", clean=False)
    judgement = judged(events=happened(*problems, twice, gone_wrong), problems=("ledger.parquet is missing",))
    told = [one.reason for one in judgement.findings if one.cap is Verdict.INCONCLUSIVE]
    for reason in ("x#1/kill: away", "load: late (and 1 more)", "ledger.parquet is missing", "port 8080"):
        assert any(reason in one for one in told), (reason, told)
    assert judgement.sentence.endswith("(and 3 more reasons).")


def test_a_cap_never_softens_a_fail():
    rows = steadily(change=lambda _n, _at: {"status": 500})
    judgement = judged(requests=rows, problems=("something",))
    assert judgement.verdict is Verdict.FAIL
    assert judgement.sentence.startswith("FAIL: 1 of 1 objectives missed")


LATE = {"generator": table(GENERATOR_COLUMNS, generator(late_ms=60.0))}


def test_a_bad_load_is_told_first():
    doubts = happened(e.Problem(where="prometheus", text="connection refused"), without=(e.FaultLanded, e.RunClosed))
    judgement = judged(events=doubts, **LATE)
    assert judgement.findings[0].name == "load late"
    assert judgement.sentence.startswith("INCONCLUSIVE: the load generator started requests more than 50 ms late")


def test_a_fail_under_a_bad_load_says_so():
    rows = steadily(change=lambda _n, _at: {"status": 500})
    judgement = judged(requests=rows, **LATE)
    assert judgement.verdict is Verdict.FAIL
    assert "; besides, the load generator started requests more than 50 ms late" in judgement.sentence


def test_a_phase_that_was_taken_back_fails_in_one_line():
    back = e.PhaseTakenBack(phase="foundation", reason="weaviate not ready\n  its log ends: …", verified=True)
    judgement = judged(events=happened(back))
    assert judgement.verdict is Verdict.FAIL
    assert "\n" not in judgement.sentence
    assert "phase foundation did not pass its gate and was taken back: weaviate not ready" in judgement.sentence


def test_limits_come_from_the_scenario():
    generous = scenario(validity=Validity(late_p99=0.1, cpu=0.99, dropped=0.01))
    rows = steadily(change=within((10.0, 10.1), outcome=Outcome.DROPPED))
    late = table(GENERATOR_COLUMNS, generator(late_ms=60.0, cpu=0.97))
    assert judged(scenario=generous, requests=rows, generator=late).findings == ()


def test_lateness_in_the_warm_up_does_not_count():
    rows = [{**row, "late_p99_ms": 500.0 if row["at_ns"] < ns(5) else 0.1} for row in generator()]
    assert judged(generator=table(GENERATOR_COLUMNS, rows)).findings == ()


def test_stand_ins_are_told_and_cap_nothing():
    judgement = judged(events=happened(e.StandIn(service="gpu-worker", text="a file is the device")))
    assert finding(judgement, "stand-ins").cap is Verdict.PASS
    assert judgement.verdict is Verdict.PASS


def test_an_objective_about_another_experiment_is_left_out_and_told():
    other = slo(RecoveryTime(), 0.95, op="lte", value=5.0, window="fault", experiment="gpu-loss")
    judgement = judge(evidence(), [SERVED, other])
    assert len(judgement.objectives) == 1
    assert "gpu-loss" in finding(judgement, "not in this run").reason
    assert judgement.verdict is Verdict.PASS


def test_a_declared_experiment_that_left_no_trace_is_judged_and_open():
    declared = scenario(experiments=(ExperimentRef(file="experiments/gpu-loss.yaml"),))
    other = slo(RecoveryTime(), 0.95, op="lte", value=5.0, window="fault", experiment="gpu-loss")
    judgement = judge(evidence(scenario=declared), [SERVED, other])
    assert [result.verdict for result in judgement.objectives] == [Verdict.PASS, Verdict.INCONCLUSIVE]


def test_nothing_judged_is_inconclusive():
    judgement = judge(evidence(), [])
    assert judgement.verdict is Verdict.INCONCLUSIVE
    assert judgement.sentence == "INCONCLUSIVE: no objective was judged."


def test_the_worst_objective_is_named():
    rows = steadily(change=within((10.0, 20.0), status=500))
    goal = SERVED.objectives[0].model_copy(update={"target": 0.999})
    strict = SERVED.model_copy(update={"title": "Availability", "objectives": (goal,)})
    judgement = judge(evidence(requests=rows), [SERVED, strict])
    assert judgement.sentence.startswith("FAIL: 1 of 2 objectives missed; worst: Availability: 75 % of 2,000 requests")


def test_a_broken_table_does_not_stop_the_judge():
    judgement = judge(replace(evidence(), generator=evidence().ledger), [SERVED])
    assert judgement.objectives[0].verdict is Verdict.PASS
    crash = finding(judgement, "judge failed")
    assert crash.cap is Verdict.INCONCLUSIVE
    assert "KeyError" in crash.reason
    assert any("Traceback" in line for line in crash.detail)


# ---- deciding -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("counts", "target", "claim", "verdict"),
    [
        (Counts(999, 1), 0.999, "run", Verdict.PASS),
        (Counts(998, 2), 0.999, "run", Verdict.FAIL),
        (Counts(999, 0, 1), 0.999, "run", Verdict.PASS),
        (Counts(998, 1, 1), 0.999, "run", Verdict.INCONCLUSIVE),
        (Counts(998, 2, 1), 0.999, "run", Verdict.FAIL),
        (Counts(0, 0, 5), 0.5, "run", Verdict.INCONCLUSIVE),
        (Counts(0, 0), 0.5, "run", Verdict.INCONCLUSIVE),
        (Counts(2995, 0), 0.999, "system", Verdict.PASS),
        (Counts(2994, 0), 0.999, "system", Verdict.INCONCLUSIVE),
        (Counts(2994, 0, 1), 0.999, "system", Verdict.INCONCLUSIVE),
        (Counts(990, 10), 0.999, "system", Verdict.FAIL),
        (Counts(998, 2), 0.999, "system", Verdict.INCONCLUSIVE),
        (Counts(10**6, 0), 1.0, "run", Verdict.PASS),
        (Counts(10**6, 0), 1.0, "system", Verdict.INCONCLUSIVE),
    ],
)
def test_decisions(counts, target, claim, verdict):
    assert decide(counts, target, claim, 0.95, 1, "request").verdict is verdict


def test_reasons_are_words():
    assert decide(Counts(2994, 0), 0.999, "system", 0.95, 1, "request").reason == (
        "100 % of 2,994 requests were good, 0 were not; at least 99.9 % must be: "
        "too few to be 95 % sure; 1 request more without a bad one would do"
    )
    assert decide(Counts(10, 0), 1.0, "system", 0.95, 1, "request").reason.endswith("no number of events proves 100 %")
    assert percent(0.99999999) != "100 %"
    assert (count(1, "request"), count(2, "query"), count(1234)) == ("1 request", "2 queries", "1,234")
