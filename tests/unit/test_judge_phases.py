"""The phases of a recovery: who observed which step, what nobody observed, and that they add up."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from harness.judge import judge
from harness.judge.phases import ALWAYS, Mark, chain
from harness.model import events as e
from harness.model.evidence import Evidence
from harness.model.judgement import Interval, Phase, Recovery
from harness.model.records import Outcome
from harness.model.slo import AlertTime, ReactionTime, RecoveryTime, Slo
from harness.testing.evidence import END_S, EXPERIMENT, evidence, happened, ns, probes, scraped, slo, steadily, within

NAMES = ("first-failure", "detected", "failed-over", "ready", "served", "full-service")
DOWN = {"outcome": Outcome.REFUSED, "latency": 0.001}
FAULT = {"op": "lte", "value": 30.0, "window": "fault", "experiment": "kill-weaviate"}
ALERT = slo(AlertTime(name="Down", severity="P1"), 0.95, name="alert", **FAULT)
REPLACED = slo(ReactionTime(query="ready", equals=1, after=0), 0.95, name="replaced", **FAULT)
BREAKER = slo(ReactionTime(query="breaker", equals=2), 0.95, name="breaker", **FAULT)


def down(*stretches: tuple[float, float], **more) -> Evidence:
    failing = within(*stretches, **DOWN)
    return evidence(beacon=probes(change=failing), requests=steadily(change=failing), **more)


def firing(from_s: float) -> list[dict]:
    times = [second + 0.3 for second in range(-5, round(END_S)) if second + 0.3 >= from_s]
    return scraped("ALERTS", times=times, alertname="Down", alertstate="firing", severity="P1")


def told(run: Evidence, *slos: Slo) -> tuple[Recovery, dict[str, Phase]]:
    recovery = judge(run, slos or [slo(RecoveryTime(), 0.95, **FAULT)]).recoveries[0]
    return recovery, {phase.name: phase for phase in recovery.phases}


def consistent(phases: tuple[Phase, ...], total: Interval) -> None:
    """The chain of phases, by its definition."""
    ends = [phase.until for phase in phases if phase.until is not None]
    assert ends[-1] == total
    for before, after in pairwise([ALWAYS, *ends]):
        assert (before.low or 0) <= (after.low or 0)
        assert after.high is None or (before.high is not None and before.high <= after.high)
    took = [phase.took for phase in phases if phase.took is not None]
    assert len(took) == len(ends)
    assert sum(each.low or 0 for each in took) <= (total.low or 0) + 1e-9
    if total.high is not None:
        assert sum(each.high or 0 for each in took) >= total.high - 1e-9


def test_every_step_is_told_by_who_saw_it():
    """Down 37–45; the alert fires at 40.3; ready is 0 from 38.3 and 1 from 43.3."""
    samples = [
        *scraped("up"),
        *firing(40.0),
        *scraped("ready", lambda at: 0.0 if 38 <= at < 43 else 1.0),
    ]
    recovery, phases = told(down((37.0, 45.0), samples=samples), ALERT, REPLACED)
    assert tuple(phases) == NAMES
    assert recovery.first_failure_s == phases["first-failure"].at
    assert phases["detected"].at == recovery.detected_s
    assert phases["detected"].told_by == "the alert Down"
    assert recovery.detected_s.high == pytest.approx(3.3, abs=0.01)
    assert recovery.ready_s.low == pytest.approx(5.3, abs=0.02)
    assert recovery.ready_s.high == pytest.approx(6.3, abs=0.02)
    assert recovery.full_service_s.high == pytest.approx(8.0, abs=0.03)
    assert phases["failed-over"].at is None
    assert "nothing took over" in phases["failed-over"].reason
    # From detection (3.3 s) to ready (5.3–6.3 s); the fail-over that nobody saw has no part of its own.
    assert phases["ready"].took.low == pytest.approx(2.0, abs=0.05)
    assert phases["ready"].took.high == pytest.approx(3.0, abs=0.05)
    consistent(recovery.phases, recovery.full_service_s)


def test_what_nobody_observed_is_said_and_not_invented():
    run = down((37.0, 40.0), events=happened(without=(e.FaultGone,)))
    recovery, phases = told(run)
    assert recovery.detected_s is recovery.failed_over_s is recovery.ready_s is None
    for name in ("detected", "failed-over", "ready"):
        assert phases[name].at is phases[name].until is phases[name].took is None
        assert phases[name].reason
    consistent(recovery.phases, recovery.full_service_s)


def test_the_journal_tells_ready_where_nothing_is_declared():
    _, phases = told(down((37.0, 64.0)))
    assert phases["ready"].told_by == "the journal: gone by the platform (readiness)"
    assert phases["ready"].at.low == pytest.approx(0.04, abs=0.001)  # seen there at 37.05, gone at 60
    assert phases["ready"].at.high == pytest.approx(23.0)


def test_an_alert_that_fires_after_the_recovery_detected_nothing_of_it():
    unseen = happened(without=(e.FaultGone,))
    recovery, phases = told(down((37.0, 38.0), samples=[*scraped("up"), *firing(50.0)], events=unseen), ALERT)
    assert recovery.detected_s.high == pytest.approx(13.3, abs=0.01)
    assert phases["detected"].until == recovery.full_service_s  # the whole outage went by undetected
    consistent(recovery.phases, recovery.full_service_s)


def test_an_alert_that_did_not_fire_has_a_lower_end():
    recovery, phases = told(down((37.0, 38.0), samples=[*scraped("up"), *scraped("ALERTS", times=[])]), ALERT)
    assert recovery.detected_s.low == pytest.approx(40.3, abs=0.2)
    assert recovery.detected_s.high is None
    assert phases["detected"].reason == "not seen while somebody looked"


def test_the_first_of_several_detections_counts_and_one_that_nobody_saw_opens_it():
    samples = [*scraped("up"), *firing(40.0), *scraped("breaker", lambda at: 2.0 if at >= 39 else 0.0)]
    run = down((37.0, 45.0), samples=samples)
    recovery, phases = told(run, ALERT, BREAKER)
    assert recovery.detected_s.high == pytest.approx(2.3, abs=0.01)
    assert phases["detected"].told_by == "breaker"
    unseen = slo(ReactionTime(query="never_scraped", equals=2), 0.95, name="other", **FAULT)
    recovery, _ = told(run, ALERT, BREAKER, unseen)
    assert (recovery.detected_s.low, recovery.detected_s.high) == (0.0, pytest.approx(2.3, abs=0.01))


def test_an_annotation_says_which_step_a_reaction_tells():
    notes = BREAKER.annotations.model_copy(update={"phase": "failed-over"})
    samples = [*scraped("up"), *scraped("breaker", lambda at: 2.0 if at >= 39 else 0.0)]
    recovery, phases = told(down((37.0, 45.0), samples=samples), BREAKER.model_copy(update={"annotations": notes}))
    assert recovery.detected_s is None
    assert recovery.failed_over_s.high == pytest.approx(2.3, abs=0.01)
    assert phases["failed-over"].told_by == "breaker"


def moved(back_s: float, until_s: float = 99.0) -> Evidence:
    def change(_number, at):
        if 37.0 <= at < back_s:
            return DOWN
        return {"region": "lax"} if back_s <= at < until_s else None

    return evidence(beacon=probes(change=change), requests=steadily(change=change))


@pytest.mark.parametrize("back_s", [37.2, 39.0, 44.321])
def test_another_region_that_answers_is_a_fail_over(back_s):
    recovery, phases = told(moved(back_s))
    at = recovery.failed_over_s
    assert at.low <= back_s - 37.0 <= at.high
    assert at.high - at.low <= 0.04
    assert phases["failed-over"].reason == "lax answered where sjc had"
    consistent(recovery.phases, recovery.full_service_s)


def test_another_region_beside_the_old_one_is_no_fail_over():
    both = lambda n, at: {"region": "lax"} if at >= 39.0 and n % 2 else None  # noqa: E731
    recovery, _ = told(evidence(beacon=probes(change=both), requests=steadily(change=both)))
    assert recovery.failed_over_s is None


def test_a_region_that_answered_before_did_not_take_over():
    before = lambda n, at: {"region": "lax"} if (35 <= at < 37 and n % 2) or at >= 40 else None  # noqa: E731
    recovery, _ = told(evidence(beacon=probes(change=before), requests=steadily(change=before)))
    assert recovery.failed_over_s is None


def test_probes_that_were_lost_may_have_been_the_first_of_the_new_region():
    run = moved(40.0)
    kept = [row for row in run.beacon.to_pylist() if not ns(38.0) <= row["intended_ns"] < ns(40.5)]
    asked = [row for row in run.requests.to_pylist() if not ns(38.0) <= row["intended_ns"] < ns(40.5)]
    at = told(evidence(beacon=kept, requests=asked))[0].failed_over_s
    assert at.low <= 1.0
    assert 3.4 <= at.high <= 3.6


def test_no_visible_failure_has_marks_and_no_durations():
    recovery, phases = told(evidence())
    assert not recovery.visible
    assert phases["ready"].at is not None
    assert {phase.took for phase in recovery.phases} == {None}


def test_service_that_was_never_lost_bounds_no_phase():
    level = within((37.5, 45.0), level=3)
    promised = slo(RecoveryTime(until="served"), 0.95, levels="1,3", **FAULT)
    recovery, phases = told(evidence(beacon=probes(change=level), requests=steadily(change=level)), promised)
    assert phases["served"].until is None
    assert phases["served"].reason == "users were served at a promised level all the time"
    assert phases["first-failure"].took.high == pytest.approx(0.5, abs=0.03)
    consistent(recovery.phases, recovery.full_service_s)


def test_never_recovered_keeps_an_open_end():
    recovery, phases = told(down((37.0, END_S)))
    assert phases["full-service"].until == recovery.full_service_s
    assert phases["full-service"].took.high is None
    consistent(recovery.phases, recovery.full_service_s)


def test_a_repeat_is_told_by_its_own_events():
    other = e.FaultGone(experiment="kill-weaviate#2", fault="kill", gone=True, observer="o", by="x", mono_ns=ns(40.0))
    recovery, phases = told(down((37.0, 64.0), events=happened(other)))
    assert recovery.experiment == EXPERIMENT
    assert phases["ready"].at.high == pytest.approx(23.0)


# ---- the chain itself -----------------------------------------------------------------------------------------------

times = st.floats(0, 100).map(lambda value: round(value, 3))
spans = st.tuples(times, times).map(lambda pair: Interval(low=min(pair), high=max(pair)))
marks = st.one_of(st.none(), spans, times.map(lambda low: Interval(low=low)))


@given(st.lists(marks, min_size=5, max_size=5), st.one_of(spans, times.map(lambda low: Interval(low=low))))
def test_phases_add_up_whatever_was_observed(found, total):
    phases = chain([Mark(name, at) for name, at in zip(NAMES, [*found, total], strict=True)])
    last = phases[-1].until
    # Full service is what it was observed to be: nothing earlier in the chain can move its end.
    assert last == total
    consistent(phases, total)
    assert [phase.until is None for phase in phases[:-1]] == [at is None for at in found]


@given(st.lists(st.tuples(times, st.floats(0, 5), st.floats(0, 5), st.booleans()), min_size=6, max_size=6))
def test_true_times_lie_within_their_phases(drawn):
    """Any truth: each step's own time is inside `at`; then the true duration of each phase is inside `took`."""
    observed = [seen for *_, seen in drawn[:-1]] + [True]
    truth = [at for at, *_ in drawn]
    assume(truth[-1] >= 0)
    named = [
        Mark(name, Interval(low=max(0.0, at - before), high=at + after) if seen else None)
        for name, (at, before, after, _), seen in zip(NAMES, drawn, observed, strict=True)
    ]
    reached = [min(at for at, seen in zip(truth[i:], observed[i:], strict=True) if seen) for i in range(6)]
    begin = 0.0
    total = 0.0
    for phase, end in zip(chain(named), reached, strict=True):
        if phase.took is None:
            continue
        length = end - begin
        assert (phase.took.low or 0.0) - 1e-9 <= length <= (phase.took.high or 0.0) + 1e-9
        total, begin = total + length, end
    assert total == pytest.approx(truth[-1])


@given(st.lists(marks, min_size=6, max_size=6), st.integers(0, 5), st.floats(0, 10))
def test_a_step_known_less_well_never_narrows_a_phase(found, which, wider):
    assume(found[-1] is not None and found[which] is not None)
    less = list(found)
    at = found[which]
    less[which] = Interval(low=max(0.0, (at.low or 0) - wider), high=None if at.high is None else at.high + wider)
    before = chain([Mark(name, at) for name, at in zip(NAMES, found, strict=True)])
    after = chain([Mark(name, at) for name, at in zip(NAMES, less, strict=True)])
    for narrow, wide in zip(before, after, strict=True):
        if narrow.took is None:
            continue
        assert (wide.took.low or 0) <= (narrow.took.low or 0) + 1e-9
        assert wide.took.high is None or (narrow.took.high is not None and wide.took.high >= narrow.took.high - 1e-9)
