"""Many runs together: windows, budgets, alerts, and what only many runs can show."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.judge import judge
from harness.judge.across import judge_across
from harness.judge.decide import Counts
from harness.judge.run_record import PartRecord, RunRecord, run_record
from harness.model import slo as model
from harness.model.judgement import Interval, Recovery, Verdict
from harness.model.slo import BudgetWindow, BurnRateAlert, Objective, RequestFilter, RequestRatio
from harness.testing.evidence import WALL_NS, evidence, happened, slo, steadily, within

DAY = 86400.0
SERVED = RequestRatio(table="requests", total=RequestFilter(), good=RequestFilter(outcome="served"))
NINES = slo(SERVED, 0.99, name="nines").model_copy(update={"time_window": BudgetWindow(duration="28d")})


def run(day: float, good: int = 1000, bad: int = 0, unknown: int = 0, name: str = "", **more) -> RunRecord:
    values = {
        "run_id": name or f"run-{day:g}",
        "began_s": day * DAY,
        "ended_s": day * DAY + 120,
        "verdict": Verdict.PASS,
        "release": "1.0.0",
        "changed": True,
        "taken_back": False,
        "recoveries": (),
        "parts": {("nines", 0): PartRecord(Counts(good, bad, unknown))},
    }
    return RunRecord(**{**values, **more})


def one(runs, day: float, *slos):
    return judge_across(runs, slos or [NINES], day * DAY).results[0]


def test_a_rolling_window_takes_the_runs_that_began_in_it():
    runs = [run(1, good=0, bad=1000), run(20), run(30)]
    assert one(runs, 28).verdict is Verdict.FAIL
    assert one(runs, 30).verdict is Verdict.PASS
    assert one(runs, 30).runs == 2
    assert one(runs, 30).events == 2000


def test_a_calendar_window_begins_anew():
    window = BudgetWindow(duration="1M", start_time="1970-01-01 00:00:00", time_zone="UTC")
    monthly = NINES.model_copy(update={"time_window": window})
    runs = [run(30.9, good=900, bad=100), run(31.1)]
    assert one(runs, 30.95, monthly).verdict is Verdict.FAIL
    assert one(runs, 32, monthly).verdict is Verdict.PASS  # February
    york = monthly.model_copy(update={"time_window": window.model_copy(update={"time_zone": "America/New_York"})})
    assert one(runs, 31.15, york).verdict is Verdict.FAIL  # there it is January still


def test_what_is_left_of_the_budget():
    result = one([run(1, good=995, bad=5), run(2)], 3)
    assert result.budget_left.low == pytest.approx(1 - 0.0025 / 0.01)
    assert one([run(1, good=900, bad=100)], 3).budget_left.low == pytest.approx(-9.0)


def test_missing_runs_and_doubtful_ones_never_pass():
    assert one([], 3).verdict is Verdict.INCONCLUSIVE
    assert one([run(1, unknown=500)], 3).verdict is Verdict.INCONCLUSIVE
    blind = run(1, parts={("nines", 0): PartRecord(None)})
    assert one([blind, run(2)], 3).verdict is Verdict.INCONCLUSIVE
    report = judge_across([run(1, problems=("the run did not come to its end",)), run(2)], [NINES], 3 * DAY)
    assert report.results[0].verdict is Verdict.PASS
    assert report.verdict is Verdict.INCONCLUSIVE
    assert "did not come to its end" in report.findings[0].reason


def test_a_run_counts_once():
    assert one([run(1), run(1)], 3).events == 1000


def test_slices_of_many_runs():
    slices = (Counts(10, 0), Counts(10, 0), Counts(0, 10))
    base = NINES.model_copy(update={"objectives": (Objective(target=0.6, slice_target=0.9, slice_s=60.0),)})
    runs = [run(1, parts={("nines", 0): PartRecord(Counts(20, 10), slices)}), run(2, parts={})]
    by_slice = one(runs, 3, base.model_copy(update={"method": "Timeslices"}))
    assert (by_slice.verdict, by_slice.events, by_slice.bad) == (Verdict.PASS, 3, 1)
    mean = one(runs, 3, base.model_copy(update={"method": "RatioTimeslices"}))
    assert mean.observed.low == pytest.approx(2 / 3)


# ---- what only many runs can show -----------------------------------------------------------------------------------


def across(measure: str, op: str | None = None, value: float | None = None, target: float = 0.95):
    made = slo(model.AcrossRuns(measure=measure), target, op=op, value=value)
    return made.model_copy(update={"time_window": BudgetWindow(duration="28d")})


def fault(detected: Interval | None, full: Interval | None, visible: bool = True) -> Recovery:
    return Recovery(
        experiment="kill#1",
        fault="kill",
        landed_ns=Interval(low=0, high=0),
        detected_s=detected,
        full_service_s=full,
        recovered=full is not None,
        visible=visible,
        probes=100,
    )


def exactly(seconds: float) -> Interval:
    return Interval(low=seconds, high=seconds)


MTTD, MTTR = across("detection-time", "lt", 300.0), across("recovery-time", "lt", 900.0)


def test_mean_times_to_detect_and_to_recover():
    runs = [
        run(1, recoveries=(fault(exactly(100), exactly(1000)),)),
        run(2, recoveries=(fault(exactly(300), exactly(600)),)),
    ]
    detected, recovered = judge_across(runs, [MTTD, MTTR], 3 * DAY).results
    assert (detected.verdict, detected.observed) == (Verdict.PASS, exactly(200))
    assert (recovered.verdict, recovered.observed) == (Verdict.PASS, exactly(800))
    slow = [run(1, recoveries=(fault(exactly(700), exactly(2000)),))]
    assert [r.verdict for r in judge_across(slow, [MTTD, MTTR], 3 * DAY).results] == [Verdict.FAIL, Verdict.FAIL]


def test_a_fault_that_nobody_told_of_leaves_the_mean_open():
    runs = [run(1, recoveries=(fault(exactly(10), exactly(10)), fault(None, Interval(low=50.0))))]
    detected, recovered = judge_across(runs, [MTTD, MTTR], 3 * DAY).results
    assert detected.verdict is Verdict.INCONCLUSIVE
    assert detected.observed == Interval(low=5.0, high=None)
    assert recovered.verdict is Verdict.INCONCLUSIVE


def test_faults_that_users_did_not_see_need_no_recovery():
    runs = [run(1, recoveries=(fault(exactly(10), None, visible=False), fault(exactly(10), exactly(60))))]
    assert one(runs, 3, MTTR).observed == exactly(60)
    nothing = [run(1, recoveries=(fault(exactly(10), None, visible=False),))]
    assert one(nothing, 3, MTTR).verdict is Verdict.INCONCLUSIVE


def test_the_share_of_changes_that_failed():
    rate = across("change-failures", target=0.95)
    good = [run(n / 10, name=f"g{n}") for n in range(99)]
    failed = run(9.95, verdict=Verdict.FAIL, name="failed")
    back = run(9.96, taken_back=True, name="back")
    assert one([*good, failed], 28, rate).verdict is Verdict.PASS
    assert one([*good[:30], failed, back], 28, rate).verdict is Verdict.FAIL
    unknown = [run(9.9, verdict=Verdict.INCONCLUSIVE, name=f"u{n}") for n in range(10)]
    assert one([*good[:30], *unknown], 28, rate).verdict is Verdict.INCONCLUSIVE
    assert one([run(1, changed=False)], 28, rate).verdict is Verdict.INCONCLUSIVE


def test_deployments_a_day():
    often = across("changes-per-day", "gte", 2.0).model_copy(update={"time_window": BudgetWindow(duration="7d")})
    runs = [run(n / 2, name=f"r{n}") for n in range(1, 14)]
    assert one(runs, 7, often).verdict is Verdict.FAIL  # 13 in 7 days
    assert one([*runs, run(6.9)], 7, often).verdict is Verdict.PASS


def test_one_run_says_that_it_is_judged_across_runs():
    told = judge(evidence(), [slo(SERVED, 0.9), MTTD.model_copy(update={"title": "MTTD"})])
    assert len(told.objectives) == 1
    (finding,) = [found for found in told.findings if found.name == "judged across runs"]
    assert finding.cap is Verdict.PASS
    assert "MTTD" in finding.reason


def test_what_nobody_can_measure_here_is_named():
    told = judge(evidence(), [slo(SERVED, 0.9), slo(SERVED, 0.999, name="gpu", not_judged="there is no GPU")])
    assert len(told.objectives) == 1
    (finding,) = [found for found in told.findings if found.name == "not judged"]
    assert "gpu: there is no GPU" in finding.detail


# ---- from evidence --------------------------------------------------------------------------------------------------

FAST = BurnRateAlert(name="fast", policy="p", severity="page", threshold=10.0, over_s=30.0, when_breaching=True)
WATCHED = NINES.model_copy(update={"alerts": (FAST,)})


def recorded(rows=None, **more) -> RunRecord:
    found = evidence(requests=rows, **more) if rows is not None else evidence(**more)
    return run_record(found, judge(found, [WATCHED]), [WATCHED, MTTD])


def test_a_run_is_recorded_on_the_wall_clock():
    record = recorded()
    part = record.parts["nines", 0]
    assert part.counts == Counts(2000, 0)
    assert sum(bin_.counts.events for bin_ in part.bins) == 2000
    assert len(part.bins) == 4
    assert all(WALL_NS / 1e9 + 5000 <= bin_.start_s <= WALL_NS / 1e9 + 5078 for bin_ in part.bins)
    assert [fault.experiment for fault in record.recoveries] == ["kill-weaviate#1"]
    assert not record.problems


def test_an_alert_fires_in_a_run_that_burns_and_not_in_a_quiet_one():
    quiet, burning = recorded(), recorded(steadily(change=within((20.0, 30.0), status=500)))
    (calm,) = judge_across([quiet], [WATCHED], quiet.ended_s).results
    assert calm.alerts[0].fired == ()
    (hot,) = judge_across([burning], [WATCHED], burning.ended_s).results
    assert len(hot.alerts[0].fired) == 1
    assert hot.alerts[0].notifies == ("breaching",)


def test_a_run_that_did_not_end_is_in_doubt():
    events = tuple(event for event in happened() if event.event != "run.closed")
    assert recorded(events=events).problems == ("the run did not come to its end",)


def test_lost_evidence_is_not_no_events():
    record = recorded(absent=("requests",))
    assert record.parts["nines", 0].counts is None
    assert one([replace(record, problems=())], 99_999, NINES.model_copy(
        update={"time_window": BudgetWindow(duration="999Y")})).verdict is Verdict.INCONCLUSIVE  # fmt: skip


# ---- properties -----------------------------------------------------------------------------------------------------

records = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 20), st.integers(0, 5), st.integers(0, 5)), max_size=12)


def made(found) -> list[RunRecord]:
    return [run(day, good, bad, unknown, name=f"r{n}") for n, (day, good, bad, unknown) in enumerate(found)]


@given(records, st.integers(0, 45))
def test_the_order_of_runs_does_not_matter(found, day):
    assert judge_across(made(found), [NINES], day * DAY) == judge_across(made(found)[::-1], [NINES], day * DAY)


@given(records, st.integers(0, 45))
def test_turning_known_into_unknown_never_passes(found, day):
    before = one(made(found), day)
    hidden = [(at, 0, 0, good + bad + unknown) for at, good, bad, unknown in found]
    after = one(made(hidden), day)
    assert after.verdict is not Verdict.PASS or before.verdict is Verdict.PASS
    assert after.verdict is not Verdict.PASS or not after.events
