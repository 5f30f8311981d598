"""The circuit breaker's state machine: when it opens, when it may be tried, what closes it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sophia.breaker import Breaker, Rule, State

RULE = Rule(failures=5, recovery=30.0, trials=3)


def failed_times(count: int, now: float = 0.0) -> Breaker:
    breaker = Breaker(RULE)
    for _ in range(count):
        breaker = breaker.failed(now)
    return breaker


def test_opens_at_the_fifth_failure_in_a_row_and_not_before() -> None:
    assert failed_times(4).state is State.CLOSED
    assert failed_times(5).state is State.OPEN


def test_a_success_starts_the_count_anew() -> None:
    breaker = failed_times(4).succeeded(0.0)
    for _ in range(4):
        breaker = breaker.failed(0.0)
    assert breaker.state is State.CLOSED
    assert breaker.failed(0.0).state is State.OPEN


def test_open_admits_nothing_until_its_recovery_time_has_passed() -> None:
    breaker = failed_times(5, now=100.0)
    assert breaker.admit(129.999) is None
    assert breaker.admit(130.0) is not None
    assert breaker.at(130.0).state is State.HALF_OPEN


def test_half_open_admits_three_trials_and_three_successes_close_it() -> None:
    breaker = failed_times(5)
    for _ in range(3):
        admitted = breaker.admit(30.0)
        assert admitted is not None
        breaker = admitted
    assert breaker.admit(30.0) is None
    for _ in range(2):
        breaker = breaker.succeeded(31.0)
        assert breaker.state is State.HALF_OPEN
    assert breaker.succeeded(31.0) == Breaker(RULE)


def test_one_failed_trial_opens_it_for_a_whole_recovery_time_again() -> None:
    breaker = failed_times(5).admit(30.0)
    assert breaker is not None
    again = breaker.failed(40.0)
    assert again.state is State.OPEN
    assert again.admit(69.9) is None
    assert again.admit(70.0) is not None


def test_an_abandoned_trial_gives_its_place_back() -> None:
    breaker = failed_times(5)
    for _ in range(3):
        breaker = breaker.admit(30.0) or pytest.fail("not admitted")
    assert breaker.admit(30.0) is None
    assert breaker.abandoned(30.0).admit(30.0) is not None


def test_a_straggler_from_before_it_opened_does_not_close_it() -> None:
    breaker = failed_times(5, now=0.0)
    assert breaker.succeeded(1.0).state is State.OPEN
    assert breaker.at(30.0).succeeded(30.0).successes == 0


def test_impaired_means_that_the_last_word_was_bad() -> None:
    assert not Breaker(RULE).impaired
    assert failed_times(1).impaired
    assert not failed_times(1).succeeded(0.0).impaired
    assert failed_times(5).at(30.0).impaired


@given(st.lists(st.sampled_from(["admit", "good", "bad", "gone", "wait"]), max_size=60))
def test_whatever_happens_no_more_than_the_trials_are_under_way_in_half_open(steps: list[str]) -> None:
    breaker, now, under_way = failed_times(5), 0.0, 0
    for step in steps:
        before = breaker.at(now).state
        if step == "wait":
            now += 10.0
        elif step == "admit":
            admitted = breaker.admit(now)
            if admitted is not None:
                breaker = admitted
                under_way += before is State.HALF_OPEN
        elif under_way:
            under_way -= 1
            breaker = {"good": breaker.succeeded, "bad": breaker.failed, "gone": breaker.abandoned}[step](now)
        if breaker.at(now).state is not State.HALF_OPEN:
            under_way = 0
        assert under_way <= RULE.trials
