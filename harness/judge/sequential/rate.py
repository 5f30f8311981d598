"""A confidence sequence for one rate: an interval that may be looked at after every event.

The mixture of likelihoods under Beta(½, ½), divided by the likelihood at p, is a martingale when p is the rate
(Robbins, Annals of Mathematical Statistics 41, 1970; for the beta-binomial Howard, Ramdas, McAuliffe and Sekhon, Annals
of Statistics 49, 2021). By Ville's inequality it exceeds 1/α with probability ≤ α at any time; the interval is every p
where it has not. For events that may fail in groups of m the likelihood is raised to 1/m (Hölder's inequality).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

PRIOR = 0.5  # Beta(½, ½): Krichevsky and Trofimov's, the regret is at most ½ log n + log 2
_STEPS = 60


def log_gamma(x: Any) -> Floats:
    """log Γ(x) for x > 0: Stirling's series after eight steps of the recurrence; error below 1e-11."""
    x = np.asarray(x, dtype=float)
    shift = np.log(x)
    for step in range(1, 8):
        shift = shift + np.log(x + step)
    y = x + 8.0
    series = 1 / (12 * y) - 1 / (360 * y**3) + 1 / (1260 * y**5) - 1 / (1680 * y**7)
    found: Floats = (y - 0.5) * np.log(y) - y + 0.5 * np.log(2 * np.pi) + series - shift
    return found


def log_mixture(bad: Any, events: Any) -> Floats:
    """log of the likelihood of `bad` among `events` in one order, mixed over the rate by Beta(½, ½)."""
    bad, events = np.asarray(bad, dtype=float), np.asarray(events, dtype=float)
    found: Floats = (
        log_gamma(bad + PRIOR)
        + log_gamma(events - bad + PRIOR)
        - log_gamma(events + 2 * PRIOR)
        - (2 * log_gamma(PRIOR) - log_gamma(2 * PRIOR))
    )
    return found


def log_evidence(bad: Any, events: Any, rate: Any) -> Floats:
    """log of the evidence against this rate; above log 1/α at any time with probability ≤ α when it is the rate."""
    bad, events, rate = (np.asarray(x, dtype=float) for x in (bad, events, rate))
    with np.errstate(divide="ignore", invalid="ignore"):
        ones = np.where(bad > 0, bad * np.log(rate), 0.0)
        zeros = np.where(events > bad, (events - bad) * np.log1p(-rate), 0.0)
    found: Floats = log_mixture(bad, events) - ones - zeros
    return found


def interval(bad: Any, events: Any, alpha: float, group: float = 1.0) -> tuple[Floats, Floats]:
    """(least, most) rate of bad events, right at all times together with probability ≥ 1 − alpha.

    `group`: at most so many events fail together; 1: each by itself. Rounded outward to 9 digits.
    """
    bad, events = np.broadcast_arrays(np.asarray(bad, dtype=float) / group, np.asarray(events, dtype=float) / group)
    peak = np.where(events > 0, bad / np.maximum(events, 1e-300), 0.0)
    limit = -np.log(alpha)

    def edge(inside: Floats, outside: Floats) -> Floats:
        for _ in range(_STEPS):
            middle = (inside + outside) / 2
            kept = log_evidence(bad, events, middle) < limit
            inside, outside = np.where(kept, middle, inside), np.where(kept, outside, middle)
        return outside

    low = np.where(events > 0, edge(peak, np.zeros_like(peak)), 0.0)
    high = np.where(events > 0, edge(peak, np.ones_like(peak)), 1.0)
    return np.floor(low * 1e9) / 1e9, np.ceil(high * 1e9) / 1e9
