"""The sequential tests: exact expectations, known answers, and small simulations that look after every block."""

from __future__ import annotations

import math

import numpy as np
import pytest

from harness.judge import bounds
from harness.judge.sequential import rate
from harness.judge.sequential.canary import (
    Block,
    Margin,
    Null,
    Test,
    begin,
    constant_rates,
    log_ratio,
    project,
    with_constant_rates,
)
from harness.judge.sequential.record import Record, thresholds
from harness.judge.sequential.watch import levels
from harness.model.rollout import Comparison, ErrorCriterion, Hold, Rollout, RolloutStep, ShiftCriterion

Test.__test__ = False  # type: ignore[attr-defined]

MARGINS = [Margin(1, 0), Margin(1, 0.02), Margin(1.5, 0), Margin(2, 0.1), Margin(0.5, 0.01), Margin(0, 0.03)]


def expectation(n: tuple[int, int], bet: tuple[float, float], margin: Margin, null: Null, truth: tuple[float, float]):
    """E[e-value of one block] by summing over all of its outcomes."""
    x, y = (a.astype(float) for a in np.meshgrid(np.arange(n[0] + 1), np.arange(n[1] + 1), indexing="ij"))
    block = Block(x, np.full_like(x, n[0]), y, np.full_like(x, n[1]))
    logs = log_ratio(block, np.full_like(x, bet[0]), np.full_like(x, bet[1]), margin, null)
    chance = np.array(
        [
            [
                math.comb(n[0], i) * truth[0] ** i * (1 - truth[0]) ** (n[0] - i)
                * math.comb(n[1], j) * truth[1] ** j * (1 - truth[1]) ** (n[1] - j)
                for j in range(n[1] + 1)
            ]
            for i in range(n[0] + 1)
        ]
    )  # fmt: skip
    return float((chance * np.exp(logs)).sum())


@pytest.mark.parametrize("margin", MARGINS)
@pytest.mark.parametrize("null", Null)
def test_a_blocks_e_value_has_expectation_1_at_most_wherever_in_the_null_the_rates_are(margin: Margin, null: Null):
    rng = np.random.default_rng(1)
    greatest = 0.0
    for _ in range(150):
        n = (int(rng.integers(0, 8)), int(rng.integers(0, 8)))
        bet = (float(rng.beta(0.6, 2)), float(rng.beta(0.6, 3)))
        stable = float(rng.beta(0.5, 3))
        line = margin.ratio * stable + margin.plus
        if line > 1:
            continue
        inside = rng.choice([0.0, 0.0, rng.random()])
        canary = line * (1 - inside) if null is Null.NOT_WORSE else line + (1 - line) * inside
        greatest = max(greatest, expectation(n, bet, margin, null, (float(canary), stable)))
    assert 0.9 < greatest <= 1 + 1e-9


def test_beyond_the_null_it_grows():
    assert expectation((6, 54), (0.05, 0.001), Margin(1, 0), Null.NOT_WORSE, (0.05, 0.001)) > 1.3
    assert expectation((6, 54), (0.001, 0.001), Margin(1, 0.05), Null.WORSE, (0.001, 0.001)) > 1.3


def test_without_margin_the_projection_is_the_common_rate():
    a, b = project(np.array(0.3), np.array(0.1), np.array(10.0), np.array(30.0), Margin(1, 0))
    assert (float(a), float(b)) == pytest.approx((0.15, 0.15))


def test_a_side_without_events_says_nothing():
    block = Block(np.array(3.0), np.array(5.0), np.array(0.0), np.array(0.0))
    assert float(log_ratio(block, np.array(0.5), np.array(0.1), Margin(1, 0), Null.NOT_WORSE)) == pytest.approx(0)


# ---- one rate


def test_log_gamma():
    x = np.array([0.5, 1, 1.5, 7, 123.25, 1e6])
    assert rate.log_gamma(x) == pytest.approx([math.lgamma(one) for one in x], rel=1e-10, abs=1e-10)


def test_the_sequence_is_wider_than_the_bound_for_one_look_and_not_by_much():
    low, high = (float(x) for x in rate.interval(5, 1000, 0.1))
    assert low < 1 - bounds.upper(995, 1000, 0.95) < 0.005 < 1 - bounds.lower(995, 1000, 0.95) < high
    assert high < 2 * (1 - bounds.lower(995, 1000, 0.95))


def test_no_events_say_nothing_and_groups_say_less():
    assert [float(x) for x in rate.interval(0, 0, 0.05)] == [0.0, 1.0]
    alone, together = rate.interval(10, 1000, 0.05), rate.interval(10, 1000, 0.05, group=10)
    assert together[0] < alone[0] and together[1] > alone[1]


def ever_wrong(p: float, group: int, declared: float, runs: int = 2000, events: int = 1000) -> float:
    """Share of runs whose interval at 10 % misses p at any look; events fail in groups."""
    rng = np.random.default_rng(2)
    bad = np.cumsum(np.repeat(rng.random((runs, events // group)) < p, group, axis=1), axis=1)
    seen = np.arange(1, bad.shape[1] + 1)
    evidence = rate.log_evidence(bad / declared, seen / declared, p)
    return float((evidence >= math.log(10)).any(axis=1).mean())


def test_the_sequence_holds_at_every_look_at_once():
    assert ever_wrong(0.02, 1, 1) <= 0.1
    assert ever_wrong(0.02, 10, 10) <= 0.1
    assert ever_wrong(0.02, 10, 1) > 0.2  # the negative control: failing in tens, declared as failing alone


# ---- canary and baseline, looked at after every block

RUNS = 400  # benchmarks/characteristics/sequential.py makes 10,000 of each
SIMULATION_ERROR = 2.6 * math.sqrt(0.1 * 0.9 / RUNS)


def ever(
    rates: tuple[float, float],
    margin: Margin,
    null: Null,
    *,
    alpha: float = 0.1,
    share: float = 0.1,
    drift: float = 1.0,
    clumped: bool = False,
    assume: str = "independent",
    blocks: int = 90,
    runs: int = RUNS,
) -> float:
    """Share of runs whose e-process ever reaches 1/alpha; `drift`: factor on both rates in the middle third."""
    rng = np.random.default_rng(3)
    before = np.full(runs, 300.0)
    test, total = begin(null, margin, rng.binomial(300, rates[1], runs), before), None
    total = Block(np.zeros(runs), np.zeros(runs), test.stable_bad, test.stable)
    found = np.zeros(runs, dtype=bool)
    for k in range(blocks):
        factor = drift if blocks // 3 <= k < 2 * blocks // 3 else 1.0
        sides = []
        for rate_, mean in ((rates[0], 60 * share), (rates[1], 60 * (1 - share))):
            events = rng.poisson(mean, runs).astype(float)
            p = min(1.0, rate_ * factor)
            bad = events * (rng.random(runs) < p) if clumped else rng.binomial(events.astype(int), p).astype(float)
            sides += [bad, events]
        block = Block(*sides)
        total = total + block
        test = test.then(block.as_one_event() if assume == "together" else block)
        log_e = with_constant_rates(test, total) if assume == "constant" else test.log_evidence
        found |= log_e >= math.log(1 / alpha)
    return float(found.mean())


@pytest.mark.parametrize("drift", [1.0, 8.0])
@pytest.mark.parametrize("margin", [Margin(1, 0), Margin(1, 0.02), Margin(2, 0)])
def test_a_canary_on_the_line_is_called_neither_by_chance(margin: Margin, drift: float):
    """On the line both nulls are true. A relative line stays one when both rates drift; an absolute one need not."""
    stable = 0.01
    line = margin.ratio * stable + margin.plus
    assert (
        ever((line, stable), margin, Null.NOT_WORSE, drift=drift if not margin.plus else 1.0) <= 0.1 + SIMULATION_ERROR
    )
    assert ever((line, stable), margin, Null.WORSE, drift=drift if not margin.plus else 1.0) <= 0.1 + SIMULATION_ERROR


def test_drift_of_both_together_is_no_harm():
    for assume in ("independent", "together"):
        assert ever((0.01, 0.01), Margin(1, 0), Null.NOT_WORSE, drift=20.0, assume=assume) <= 0.1 + SIMULATION_ERROR


def test_a_bad_canary_is_found_and_a_good_one_is_shown():
    assert ever((0.05, 0.001), Margin(1, 0), Null.NOT_WORSE, alpha=0.001) > 0.95
    assert ever((0.05, 0.001), Margin(1, 0), Null.NOT_WORSE, alpha=0.001, share=0.5, assume="constant") > 0.95
    assert ever((0.001, 0.001), Margin(1, 0.02), Null.WORSE, alpha=0.05) > 0.95
    assert ever((0.05, 0.001), Margin(1, 0.02), Null.WORSE, alpha=0.05) <= 0.05 + SIMULATION_ERROR


def test_failing_together_needs_to_be_declared():
    """The negative control: whole blocks fail at once, on either side alone."""
    found = {
        assume: ever((0.02, 0.02), Margin(1, 0), Null.NOT_WORSE, clumped=True, assume=assume)
        for assume in ("independent", "together")
    }
    assert found["together"] <= 0.1 + SIMULATION_ERROR and found["independent"] > 0.5


def test_constant_rates_are_an_assumption():
    """Constant rates under which the baseline has drifted: the one that takes them as constant is wrong."""
    quiet = Block(np.array(0.0), np.array(0.0), np.array(0.0), np.array(5000.0))
    storm = Block(np.array(20.0), np.array(100.0), np.array(20.0), np.array(100.0))
    assert float(constant_rates(quiet + storm, Margin(1, 0), Null.NOT_WORSE)) > 20
    test = begin(Null.NOT_WORSE, Margin(1, 0), np.array(0.0), np.array(5000.0)).then(storm)
    assert float(test.log_evidence) < 1


def test_at_a_large_share_constant_rates_are_faster():
    """By the log of the evidence after the same events: canary 5 % against 0.1 %, half of the traffic each."""
    block = Block(np.array(1.5), np.array(30.0), np.array(0.03), np.array(30.0))
    test, total = begin(Null.NOT_WORSE, Margin(1, 0), np.array(3.0), np.array(3000.0)), None
    total = Block(np.array(0.0), np.array(0.0), np.array(3.0), np.array(3000.0))
    for _ in range(5):
        test, total = test.then(block), total + block
    assert float(with_constant_rates(test, total)) > float(test.log_evidence) + 1


# ---- declared shares of alpha, thresholds


def test_alpha_is_shared_by_criteria_and_steps_and_beta_by_the_bakes_of_a_step():
    steps = (RolloutStep(share=0.1, bake=1.0), RolloutStep(share=0.5, bake=1.0), RolloutStep(share=1.0))
    compare = Comparison(criteria=(ErrorCriterion(kind="errors"), ShiftCriterion(kind="shift")), alpha=0.01, beta=0.1)
    rollout = Rollout(service="a", baseline="1", canary="2", steps=steps, compare=compare, hold=Hold(times=2))
    assert [math.exp(one) for one in levels(rollout)] == pytest.approx([400, 30])


def test_a_shift_counts_by_the_baselines_quantiles_once_there_are_enough():
    def history(n: int) -> Record:
        no = np.zeros(n, dtype=bool)
        latency = np.arange(1.0, n + 1)
        return Record(np.zeros(n, dtype=np.int64), np.zeros(n, dtype=np.int8), no, no, no, latency, latency)

    shift = ShiftCriterion(kind="shift", quantiles=(0.5, 0.9))
    assert thresholds(shift, history(99)) == ()
    assert thresholds(shift, history(100)) == (50.0, 90.0)
