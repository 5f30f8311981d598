"""One-sided bounds of a share: exact binomial ones, and ones for means of values in [0, 1].

The exact ones are those of Clopper and Pearson (Biometrika 26, 1934), without scipy.

The bounds are quantiles of beta distributions; the regularised incomplete beta function is computed by its continued
fraction (Lentz's method; Abramowitz and Stegun 26.5.8, DLMF 8.17.22) and inverted by bisection. Bounds are rounded
outward to 12 digits, so that they hold on every machine alike.
"""

from __future__ import annotations

import math
from functools import lru_cache

_TINY = 1e-300
_SCALE = 1e12


def incomplete_beta(a: float, b: float, x: float) -> float:
    """I_x(a, b), for a, b > 0 and 0 ≤ x ≤ 1."""
    if x <= 0.0 or x >= 1.0:
        return 0.0 if x <= 0.0 else 1.0
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x))
    if x < (a + 1.0) / (a + b + 2.0):  # where the fraction converges fast
        return front * _fraction(a, b, x) / a
    return 1.0 - front * _fraction(b, a, 1.0 - x) / b


def _fraction(a: float, b: float, x: float) -> float:
    c, d = 1.0, 1.0 - (a + b) * x / (a + 1.0)
    d = 1.0 / (d if abs(d) > _TINY else _TINY)
    h = d
    for m in range(1, 100_000):
        for numerator in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1.0 + numerator * d
            d = 1.0 / (d if abs(d) > _TINY else _TINY)
            c = 1.0 + numerator / c
            c = c if abs(c) > _TINY else _TINY
            step = c * d
            h *= step
        if abs(step - 1.0) < 1e-15:
            return h
    raise ArithmeticError(f"the incomplete beta function did not converge at a={a:g}, b={b:g}, x={x:g}")


def _beta_quantile(level: float, a: float, b: float) -> float:
    """The x with I_x(a, b) = level."""
    low, high = 0.0, 1.0
    middle = a / (a + b)  # near the answer for the large counts that cost most
    spread = 8.0 * math.sqrt(a * b / (a + b) ** 2 / (a + b + 1.0))
    for x in (middle - spread, middle + spread):
        if 0.0 < x < 1.0:
            low, high = (max(low, x), high) if incomplete_beta(a, b, x) < level else (low, min(high, x))
    while high - low > 1e-14 * max(high, 1e-10):
        x = (low + high) / 2.0
        if x in (low, high):
            break
        low, high = (x, high) if incomplete_beta(a, b, x) < level else (low, x)
    return (low + high) / 2.0


@lru_cache(maxsize=4096)
def lower(good: int, events: int, confidence: float) -> float:
    """The least share of good events that is compatible with what was seen, at this one-sided confidence."""
    if good <= 0 or events <= 0:
        return 0.0
    bound: float = (
        (1.0 - confidence) ** (1.0 / events)
        if good >= events
        else _beta_quantile(1.0 - confidence, good, events - good + 1)
    )
    return max(0.0, math.floor(bound * _SCALE) / _SCALE)


@lru_cache(maxsize=4096)
def upper(good: int, events: int, confidence: float) -> float:
    """The greatest share of good events that is compatible with what was seen, at this one-sided confidence."""
    if events <= 0 or good >= events:
        return 1.0
    # By symmetry, through the bad events: shares near 1 lose no digits.
    bound: float = (
        1.0 - (1.0 - confidence) ** (1.0 / events)
        if good <= 0
        else 1.0 - _beta_quantile(1.0 - confidence, events - good, good + 1)
    )
    return min(1.0, math.ceil(bound * _SCALE) / _SCALE)


def mean_lower(good: float, events: float, confidence: float) -> float:
    """The least mean that is compatible with the mean `good` of `events` independent values in [0, 1], one-sided.

    The p below `good` with events · KL(good ‖ p) = ln(1/(1 - confidence)) (Chernoff's bound for such values: Hoeffding,
    JASA 58, 1963, theorem 1). With good = 1 it is the exact binomial bound (1 - confidence)^(1/events).
    """
    if good <= 0.0 or events <= 0.0:
        return 0.0
    wanted = -math.log1p(-confidence) / events
    if good >= 1.0:
        return max(0.0, math.floor(math.exp(-wanted) * _SCALE) / _SCALE)
    low, high = 0.0, good
    while high - low > 1e-14 * good:
        p = (low + high) / 2.0
        if p in (low, high):
            break
        far = good * math.log(good / p) + (1.0 - good) * (math.log1p(-good) - math.log1p(-p))
        low, high = (p, high) if far > wanted else (low, p)
    return max(0.0, math.floor(low * _SCALE) / _SCALE)


def mean_upper(good: float, events: float, confidence: float) -> float:
    """The greatest such mean."""
    if events <= 0.0 or good >= 1.0:
        return 1.0
    return min(1.0, math.ceil((1.0 - mean_lower(1.0 - good, events, confidence)) * _SCALE) / _SCALE)


def effective_needed(bad: float, target: float, confidence: float) -> float | None:
    """How many independent values in [0, 1], `bad` their bad part, put the lower bound of their mean at the target.

    Exact without a bad part, else rounded up to 1 in 10,000; None beyond a thousand million.
    effective_needed(0, 0.95, 0.95) == 58.4…
    """
    if target >= 1.0 or target <= 0.0:
        return None if target >= 1.0 else max(bad, 1.0)
    if bad <= 0.0:
        return math.log1p(-confidence) / math.log(target)
    low, high = bad, bad / (1.0 - target) + 1.0
    while mean_lower(1.0 - bad / high, high, confidence) < target:
        low, high = high, high * 2.0
        if high > 1e9:
            return None
    while high - low > 1e-4 * high:
        middle = (low + high) / 2.0
        low, high = (middle, high) if mean_lower(1.0 - bad / middle, middle, confidence) < target else (low, middle)
    return high


def events_needed(bad: int, target: float, confidence: float) -> int | None:
    """How many events, `bad` of them bad, put the lower bound at the target; None beyond a thousand million.

    events_needed(0, 0.999, 0.95) == 2995
    """
    if target >= 1.0 or target <= 0.0:
        return None if target >= 1.0 else max(bad, 1)
    low, high = bad, max(bad, 1)
    while lower(high - bad, high, confidence) < target:
        low, high = high, high * 2
        if high > 1_000_000_000:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if lower(middle - bad, middle, confidence) < target else (low, middle)
    return high
