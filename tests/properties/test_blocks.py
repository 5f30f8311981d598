"""Events that may hang together within a block: what they are worth, and that no bad event ever helps."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.judge import bounds
from harness.judge.blocks import Blocks, packed
from harness.judge.decide import Counts, decide
from harness.model.judgement import Verdict

cells = st.lists(st.tuples(*[st.integers(0, 12)] * 3), min_size=1, max_size=30)
sizes = st.integers(1, 15)
confidences = st.sampled_from([0.8, 0.95, 0.999])


def blocks(rows: list[tuple[int, int, int]], size: int, missing: int = 0) -> Blocks:
    good, bad, unknown = np.array(rows, dtype=np.int64).reshape(-1, 3).T
    return Blocks(good, bad, unknown, missing, size, 1.0)


def interval(made: Blocks, confidence: float = 0.95) -> tuple[float, float]:
    (low_n, low), (high_n, high) = made.effective(worst=True), made.effective(worst=False)
    return bounds.mean_lower(low, low_n, confidence), bounds.mean_upper(high, high_n, confidence)


@given(cells, sizes, st.data(), confidences)
def test_one_more_bad_never_helps_and_one_more_good_never_hurts(rows, size, data, confidence):
    place = data.draw(st.integers(0, len(rows) - 1))
    good, bad, unknown = rows[place]
    before = interval(blocks(rows, size), confidence)

    def after(changed: tuple[int, int, int]) -> tuple[float, float]:
        return interval(blocks([*rows[:place], changed, *rows[place + 1 :]], size), confidence)

    tiny = 1e-11
    with_bad, with_good = after((good, bad + 1, unknown)), after((good + 1, bad, unknown))
    if sum(map(sum, rows)):
        assert with_bad[0] <= before[0] + tiny and with_bad[1] <= before[1] + tiny
        assert with_good[0] >= before[0] - tiny and with_good[1] >= before[1] - tiny
    if good:
        turned = after((good - 1, bad + 1, unknown))
        assert turned[0] <= before[0] + tiny and turned[1] <= before[1] + tiny
        hidden = after((good - 1, bad, unknown + 1))
        assert hidden[0] <= before[0] + tiny
    if bad:
        hidden = after((good, bad - 1, unknown + 1))
        assert hidden[1] >= before[1] - tiny


@given(cells, sizes, st.integers(0, 50))
def test_what_is_missing_counts_as_bad_on_one_side_and_as_good_on_the_other(rows, size, missing):
    whole, damaged = interval(blocks(rows, size)), interval(blocks(rows, size, missing))
    if sum(map(sum, rows)):
        assert damaged[0] <= whole[0] + 1e-11
        assert damaged[1] >= whole[1] - 1e-11


@given(cells, sizes, confidences)
def test_the_interval_holds_what_was_seen_and_lies_in_0_to_1(rows, size, confidence):
    low, high = interval(blocks(rows, size), confidence)
    events, good, best = sum(map(sum, rows)), sum(r[0] for r in rows), sum(r[0] + r[2] for r in rows)
    assert 0.0 <= low <= high <= 1.0
    if events:
        assert low <= good / events + 1e-12
        assert high >= best / events - 1e-12


@given(st.integers(1, 40), sizes, st.integers(0, 300), st.integers(0, 300))
def test_of_sums_alone_the_worst_arrangement_is_assumed(size, other, good, bad):
    made = packed(Counts(good, bad), size, 1.0)
    assert made.good.sum() == good and made.bad.sum() == bad
    if good + bad:
        effective, share = made.effective(worst=True)
        assert effective == pytest.approx(max(1.0, (good + bad) / size / 2))
        assert share == pytest.approx(good / (good + bad))


@given(st.floats(0.01, 0.99), st.floats(1, 5000), confidences)
def test_the_bound_of_means_solves_its_equation(good, events, confidence):
    p = bounds.mean_lower(good, events, confidence)
    far = good * math.log(good / p) + (1 - good) * math.log((1 - good) / (1 - p)) if 0 < p < good else math.inf
    assert p == 0.0 or far * events >= -math.log(1 - confidence) - 1e-6


@given(st.integers(1, 3000), confidences)
def test_without_a_bad_event_it_is_the_exact_bound(events, confidence):
    assert bounds.mean_lower(1.0, events, confidence) == pytest.approx(
        bounds.lower(events, events, confidence), abs=2e-12
    )


@given(st.integers(1, 400), st.data(), confidences)
def test_it_never_claims_more_than_the_exact_bound(events, data, confidence):
    good = data.draw(st.integers(0, events))
    assert bounds.mean_lower(good / events, events, confidence) <= bounds.lower(good, events, confidence) + 1e-11


def test_a_minute_cannot_claim_three_nines_when_a_second_hangs_together():
    rows = [(40, 0, 0)] * 60
    told = decide(Counts(2400, 0), 0.999, "system", 0.95, 1, "request", blocks=blocks(rows, 40))
    assert told.verdict is Verdict.INCONCLUSIVE
    assert told.effective == 30
    assert "worth 30 independent ones" in told.reason and "s more without a bad one would do" in told.reason
    assert decide(Counts(2400, 0), 0.9, "system", 0.95, 1, "request", blocks=blocks(rows, 40)).verdict is Verdict.PASS
    alone = decide(Counts(2400, 0), 0.998, "system", 0.95, 1, "request")
    assert alone.verdict is Verdict.PASS, "independent ones would do"


def test_a_fail_needs_the_corrected_level():
    counts = Counts(970, 30)
    assert decide(counts, 0.98, "system", 0.95, 1, "request").verdict is Verdict.FAIL
    corrected = decide(counts, 0.98, "system", 0.95, 1, "request", fail_confidence=0.999)
    assert corrected.verdict is Verdict.INCONCLUSIVE
