"""Which failures are a fault's, which the platform's own, and how much fails when nothing is broken."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.judge import judge
from harness.model import events as e
from harness.model.evidence import Evidence
from harness.model.judgement import Attribution, Verdict
from harness.model.records import Outcome
from harness.model.scenario import AttributionRule
from harness.model.slo import RequestFilter, RequestRatio
from harness.testing.evidence import EXPERIMENT, evidence, happened, ns, probes, scenario, slo, steadily, within

FAULT = EXPERIMENT
DOWN = {"outcome": Outcome.REFUSED, "latency": 0.001}
SERVED = RequestFilter(outcome="served")
WHOLE = slo(RequestRatio(table="requests", total=RequestFilter(), good=SERVED), 0.9, window="run", name="whole")
STEADY = slo(RequestRatio(table="requests", total=RequestFilter(), good=SERVED), 0.99, name="steady")


def failing(*stretches: tuple[float, float], propagation: float = 5.0, listed: int = 20, **more) -> Evidence:
    """Requests (50/s) and probes (50/s) fail in these stretches."""
    change = within(*stretches, **DOWN)
    rule = AttributionRule(propagation=propagation, listed=listed)
    return evidence(
        beacon=probes(change=change), requests=steadily(change=change), scenario=scenario(attribution=rule), **more
    )


def told(run: Evidence) -> Attribution:
    found = judge(run, [WHOLE, STEADY]).attribution
    assert found is not None
    return found


def split(run: Evidence) -> dict[str, int]:
    return {cause.experiment: cause.bad for cause in told(run).causes}


def test_an_outage_after_the_injection_is_the_faults():
    found = told(failing((37.0, 39.0)))
    fault, none = found.causes
    assert (fault.experiment, fault.fault, fault.bad, fault.stretches) == (EXPERIMENT, "kill", 200, 1)
    assert fault.longest_s.low <= 2.0 <= fault.longest_s.high
    assert fault.longest_s.high - fault.longest_s.low <= 0.05
    assert (none.experiment, none.bad) == ("", 0)
    assert [(one.experiment, one.bad) for one in found.stretches] == [(EXPERIMENT, 200)]
    assert not [it for it in judge(failing((37.0, 39.0)), [WHOLE]).findings if it.name == "failures without a fault"]


def test_what_fails_in_undisturbed_time_is_the_platforms_own_and_told():
    run = failing((10.0, 10.1), (37.0, 38.0))
    assert split(run) == {EXPERIMENT: 100, "": 10}
    control = told(run).control
    assert control is not None
    assert (control.bad, control.stretches) == (10, 1)
    assert control.seconds == pytest.approx(30 + 5)  # 5–35, and 70–75: until 70 the fault reaches
    assert control.observations == 35 * 100
    assert control.share.low == control.share.high == pytest.approx(10 / 3500)
    assert control.longest_s.low <= 0.1 <= control.longest_s.high
    judgement = judge(run, [WHOLE])
    (finding,) = [it for it in judgement.findings if it.name == "failures without a fault"]
    assert finding.cap is Verdict.PASS  # the objectives judge it
    assert finding.reason.startswith("10 failures of 7,300 observations belong to no fault: once, at most 0.")
    assert judgement.verdict is Verdict.PASS


@pytest.mark.parametrize(
    ("at", "propagation", "whose"),
    [
        (64, 5.0, EXPERIMENT),
        (69.9, 5.0, EXPERIMENT),
        (70, 5.0, ""),
        (66, 0.0, ""),
        (70, 6.0, EXPERIMENT),
        (36, 5.0, ""),
    ],
)
def test_a_fault_reaches_from_its_injection_to_the_declared_time_after_its_window(at, propagation, whose):
    assert split(failing((at, at + 0.1), propagation=propagation))[whose] == 10


def test_a_request_in_flight_at_the_injection_may_be_its_victim():
    hangs = lambda _n, at: {"outcome": Outcome.TIMEOUT, "latency": 2.0} if 36.5 <= at < 37.0 else None  # noqa: E731
    assert split(evidence(requests=steadily(change=hangs), absent=("beacon",))) == {EXPERIMENT: 25, "": 0}
    earlier = lambda _n, at: {"outcome": Outcome.TIMEOUT, "latency": 0.1} if 36.5 <= at < 36.8 else None  # noqa: E731
    assert split(evidence(requests=steadily(change=earlier), absent=("beacon",))) == {EXPERIMENT: 0, "": 15}


def test_of_two_faults_the_one_injected_last_has_it():
    second = {"experiment": "gpu-loss#1", "fault": "lost"}
    more = (
        e.FaultIntended(**second, kind="device-loss", selection=("g",), token="t", mono_ns=ns(66)),
        e.FaultInjected(**second, from_ns=ns(66.0), to_ns=ns(66.01)),
        e.FaultLanded(**second, landed=True, observer="o", mono_ns=ns(66.05)),
        e.Window(kind="fault", experiment="gpu-loss#1", start_ns=ns(65.5), end_ns=ns(70)),
    )
    run = failing((37.0, 38.0), (65.7, 65.8), (66.5, 66.7), events=happened(*more))
    assert split(run) == {EXPERIMENT: 110, "gpu-loss#1": 20, "": 0}


def test_a_promised_level_is_no_failure_inside_the_faults_window_only():
    levels = lambda _n, at: {"level": 3} if 40 <= at < 41 or 72 <= at < 73 else None  # noqa: E731
    run = evidence(beacon=probes(change=levels), requests=steadily(change=levels))
    promise = WHOLE.annotations.model_copy(update={"experiment": "kill-weaviate", "window": "fault", "levels": (1, 3)})
    found = judge(run, [WHOLE.model_copy(update={"annotations": promise})]).attribution
    assert found is not None
    assert {cause.experiment: cause.bad for cause in found.causes} == {EXPERIMENT: 0, "": 100}


def test_the_budget_is_split_between_faults_and_the_platform():
    found = told(failing((10.0, 10.1), (37.0, 38.0), (67.0, 67.2)))
    whole, steady = found.budgets
    assert (whole.slo, whole.events, whole.platform, whole.unknown) == ("whole", 3650, 5, 0)
    assert [spent.bad for spent in whole.faults] == [60]
    assert whole.allowed == pytest.approx(365.0)
    # Of steady time the ten failures at 67 s are the fault's still: it reaches 5 s beyond its window.
    assert (steady.slo, steady.events, steady.platform) == ("steady", 2000, 5)
    assert [spent.bad for spent in steady.faults] == [10]


def test_noise_is_what_undisturbed_time_would_have_brought_forth():
    run = failing((10.0, 10.1), (37.0, 38.0))
    fault = told(run).causes[0]
    assert fault.observations == (70 - 37) * 100
    assert fault.noise == pytest.approx(10 / 3500 * 3300)


def test_without_undisturbed_time_there_is_no_floor_and_that_is_said():
    run = failing((36.0, 36.2), events=happened(without=()))
    steady = [event for event in run.events if not (isinstance(event, e.Window) and event.kind == "steady")]
    judgement = judge(replace(run, events=tuple(steady)), [WHOLE])
    assert judgement.attribution is not None
    assert judgement.attribution.control is None
    (finding,) = [it for it in judgement.findings if it.name == "failures without a fault"]
    assert "there was no undisturbed time to compare with" in finding.detail


def test_lost_observations_widen_the_floor():
    dropped = within((10.0, 11.0), outcome=Outcome.DROPPED)
    control = told(evidence(requests=steadily(change=dropped), absent=("beacon",))).control
    assert control is not None
    assert (control.share.low, control.share.high) == (0.0, pytest.approx(50 / 1750))


def test_only_the_longest_stretches_are_listed():
    run = failing((10.0, 10.1), (20.0, 20.5), (37.0, 38.0), listed=2)
    found = told(run)
    assert [one.bad for one in found.stretches] == [100, 50]
    assert found.unlisted == 1
    assert found.causes[-1].stretches == 2


def test_nobody_watched():
    assert judge(evidence(absent=("beacon", "requests")), [WHOLE]).attribution is None


stretches = st.lists(
    st.tuples(st.integers(0, 76), st.sampled_from([0.02, 0.1, 1.0, 5.0])).map(lambda it: (it[0], it[0] + it[1])),
    max_size=4,
)
FEW = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@given(stretches, st.sampled_from([0.0, 2.0, 20.0]))
@FEW
def test_every_failure_has_one_cause_and_a_longer_reach_never_blames_the_platform_more(found, propagation):
    run = failing(*found, propagation=propagation)
    first = told(run)
    bad = sum(
        1
        for rows in (run.requests, run.beacon)
        for row in rows.select(["intended_ns", "outcome"]).to_pylist()
        if row["outcome"] == Outcome.REFUSED and ns(5) <= row["intended_ns"]
    )
    assert sum(cause.bad for cause in first.causes) == bad
    assert sum(cause.stretches for cause in first.causes) == len(first.stretches) + first.unlisted
    longer = told(failing(*found, propagation=propagation + 3))
    assert longer.causes[-1].bad <= first.causes[-1].bad
    for budget in first.budgets:
        assert budget.platform + sum(spent.bad for spent in budget.faults) <= budget.events


@given(stretches, st.integers(0, 2**32))
@FEW
def test_the_order_of_rows_does_not_matter(found, seed):
    run = failing(*found)
    order = np.random.default_rng(seed).permutation(run.requests.num_rows)
    assert told(replace(run, requests=run.requests.take(order))) == told(run)
