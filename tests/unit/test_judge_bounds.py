"""Exact binomial bounds against their definition, known answers and published figures."""

from __future__ import annotations

from math import comb

import pytest

from harness.judge.bounds import events_needed, incomplete_beta, lower, upper


def tail(n: int, k: int, p: float) -> float:
    """P(at least k of n)."""
    return sum(comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(k, n + 1))


@pytest.mark.parametrize(
    ("good", "events", "confidence", "low", "high"),
    [  # from R's binom.test, one-sided
        (0, 10, 0.95, 0.0, 0.2588656),
        (1, 10, 0.95, 0.005116197, 0.3941633),
        (5, 10, 0.95, 0.2224411, 0.7775589),
        (10, 10, 0.95, 0.7411344, 1.0),
        (59, 59, 0.95, 0.950492, 1.0),
    ],
)
def test_known_answers(good, events, confidence, low, high):
    assert lower(good, events, confidence) == pytest.approx(low, abs=5e-7)
    assert upper(good, events, confidence) == pytest.approx(high, abs=5e-7)


@pytest.mark.parametrize("n", [1, 2, 7, 30, 200])
def test_bounds_are_where_the_tail_has_the_error_probability(n):
    for k in {1, n // 2, n - 1} - {0, n}:
        assert tail(n, k, lower(k, n, 0.95)) == pytest.approx(0.05, rel=1e-6)
        assert 1 - tail(n, k + 1, upper(k, n, 0.95)) == pytest.approx(0.05, rel=1e-6)


def test_figures_for_three_nines():
    assert events_needed(0, 0.999, 0.95) == 2995
    assert events_needed(1, 0.999, 0.95) == 4742
    assert events_needed(0, 0.999, 0.975) == 3688  # two-sided 95 %
    assert events_needed(0, 0.95, 0.95) == 59  # kills that must recover for "95 % of the time"
    assert lower(2994, 2994, 0.95) < 0.999 <= lower(2995, 2995, 0.95)


def test_no_number_of_events_proves_certainty():
    assert events_needed(0, 1.0, 0.95) is None
    assert events_needed(3, 0.999_999_999_9, 0.95) is None


def test_large_counts_stay_exact_and_ordered():
    n = 10_000_000
    low, high = lower(n - 5000, n, 0.95), upper(n - 5000, n, 0.95)
    assert 0.99948 < low < 0.9995 < high < 0.99952
    assert lower(n - 5001, n, 0.95) < low


def test_bounds_widen_with_confidence_and_shrink_with_events():
    assert lower(98, 100, 0.99) < lower(98, 100, 0.9) < 0.98 < upper(98, 100, 0.9) < upper(98, 100, 0.99)
    assert lower(98, 100, 0.95) < lower(980, 1000, 0.95)


def test_nothing_seen_says_nothing():
    assert (lower(0, 0, 0.95), upper(0, 0, 0.95)) == (0.0, 1.0)


def test_incomplete_beta_symmetry():
    for a, b, x in [(0.5, 3.0, 0.2), (40.0, 2.0, 0.97), (1e5, 1e2, 0.9989)]:
        assert incomplete_beta(a, b, x) + incomplete_beta(b, a, 1 - x) == pytest.approx(1.0, abs=1e-9)
    assert incomplete_beta(2, 3, 0.0) == 0.0
    assert incomplete_beta(2, 3, 1.0) == 1.0
