"""Every kind of missing evidence moves a verdict towards INCONCLUSIVE, never towards PASS."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.judge import judge
from harness.model.evidence import Evidence
from harness.model.judgement import Verdict
from harness.testing.missing import DAMAGES, SLOS, samples_of, whole, with_samples

GOOD, BAD = whole(good=True), whole(good=False)


def verdicts(run: Evidence) -> dict[str, Verdict]:
    told = judge(run, SLOS)
    return {**{result.slo: result.verdict for result in told.objectives}, "run": told.verdict}


RUNS = {"good": GOOD, "bad": BAD, "early": whole(good=True, early=True)}
WHOLE = {"good": verdicts(GOOD), "bad": verdicts(BAD)}


def test_the_whole_runs_are_decided():
    assert set(WHOLE["good"].values()) == {Verdict.PASS}
    assert set(WHOLE["bad"].values()) == {Verdict.FAIL}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_good_run_is_no_longer_passed(name):
    after = verdicts(DAMAGES[name].change(GOOD))
    assert after["run"] is Verdict.INCONCLUSIVE
    assert {one: after[one] for one in DAMAGES[name].undecided} == dict.fromkeys(
        DAMAGES[name].undecided, Verdict.INCONCLUSIVE
    )
    for one, verdict in after.items():
        assert verdict in (Verdict.PASS, Verdict.INCONCLUSIVE), f"{one}: what is missing is no failure"


def test_what_was_there_before_the_fault_proves_nothing():
    told = verdicts(RUNS["early"])
    assert (told["alert"], told["breaker"]) == (Verdict.INCONCLUSIVE, Verdict.INCONCLUSIVE)


@pytest.mark.parametrize("name", DAMAGES)
def test_a_bad_run_is_not_made_better(name):
    for one, verdict in verdicts(DAMAGES[name].change(BAD)).items():
        assert verdict in (Verdict.FAIL, Verdict.INCONCLUSIVE), f"{one}: {name} made it pass"


@given(st.sampled_from(sorted(DAMAGES)), st.sampled_from(sorted(DAMAGES)), st.booleans())
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_two_damages_are_no_better_than_one(first, second, good):
    """Where the one leaves nothing for the other to damage, it is left out."""
    run = GOOD if good else BAD
    once = DAMAGES[first].change(run)
    try:
        twice = DAMAGES[second].change(once)
    except AssertionError:
        return
    before = verdicts(run)
    for one, verdict in verdicts(twice).items():
        assert verdict in (before[one], Verdict.INCONCLUSIVE)


@given(
    st.sampled_from(sorted(RUNS)), st.lists(st.tuples(st.integers(-6, 80), st.integers(1, 20)), min_size=1, max_size=4)
)
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_stretches_without_prometheus_never_help(which, stretches):
    from harness.testing.evidence import wall_ms

    run = RUNS[which]
    kept = [
        row
        for row in samples_of(run)
        if not any(wall_ms(start) <= row["t_ms"] < wall_ms(start + length) for start, length in stretches)
    ]
    before = verdicts(run)
    for one, verdict in verdicts(with_samples(run, kept)).items():
        assert verdict in (before[one], Verdict.INCONCLUSIVE)
