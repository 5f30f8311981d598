"""How peers decide, stated again by us from their documented rules. A rule gets one Block of counts for each minute.

- Argo Rollouts: an analysis measures a metric at an interval; a value outside the success condition is a failure, and
  more than `failureLimit` of them fail the analysis. The example in its documentation: success rate ≥ 95 %,
  `failureLimit` 3. (Its interval there is 5 minutes; here one, which finds sooner.)
- Flagger: each minute the success rate must be ≥ 99 %; `threshold` failed checks (5 in its examples), in a row or not,
  roll back.
- three in a row: an error rate above 5 % in three consecutive minutes, as alerting rules are written.
- Kayenta: Mann-Whitney U over the minutes' error rates of canary and baseline, confidence 0.98, tolerance 0.25: bad
  when the lower end of the confidence interval of the shift is above a quarter of its Hodges-Lehmann estimate. Judged
  once, at the end. (Its documentation asks for 50 points or more; a bake of 15 minutes has 15.)

Minutes without data pass in all of them. Each rule returns the canary requests seen when it says "bad"; inf: never.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import NormalDist

import numpy as np

from harness.judge.sequential.canary import Block

ARGO_LIMIT, ARGO_FAILURES = 0.05, 3
FLAGGER_LIMIT, FLAGGER_FAILURES = 0.01, 5
ROW_LIMIT, ROW = 0.05, 3
KAYENTA_CONFIDENCE, KAYENTA_TOLERANCE = 0.98, 0.25


def _rates(minutes: Sequence[Block]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(canary's error rates, stable ones, canary requests so far), each of shape (minutes, runs)."""
    canary = np.stack([m.canary_bad / np.maximum(m.canary, 1) for m in minutes])
    stable = np.stack([m.stable_bad / np.maximum(m.stable, 1) for m in minutes])
    return canary, stable, np.cumsum(np.stack([m.canary for m in minutes]), axis=0)


def _first(hit: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Requests seen at the first minute with a hit."""
    at = np.take_along_axis(seen, hit.argmax(axis=0)[None], axis=0)[0]
    return np.where(hit.any(axis=0), at, np.inf)


def argo_rollouts(minutes: Sequence[Block]) -> np.ndarray:
    canary, _, seen = _rates(minutes)
    return _first(np.cumsum(canary > ARGO_LIMIT, axis=0) > ARGO_FAILURES, seen)


def flagger(minutes: Sequence[Block]) -> np.ndarray:
    canary, _, seen = _rates(minutes)
    return _first(np.cumsum(canary > FLAGGER_LIMIT, axis=0) >= FLAGGER_FAILURES, seen)


def three_in_a_row(minutes: Sequence[Block]) -> np.ndarray:
    canary, _, seen = _rates(minutes)
    row, hit = np.zeros(canary.shape[1]), np.zeros(canary.shape, dtype=bool)
    for k, bad in enumerate(canary > ROW_LIMIT):
        row = np.where(bad, row + 1, 0)
        hit[k] = row >= ROW
    return _first(hit, seen)


def kayenta(minutes: Sequence[Block]) -> np.ndarray:
    canary, stable, seen = _rates(minutes)
    n = len(minutes)
    found = np.full(canary.shape[1], np.inf)
    z = NormalDist().inv_cdf((1 + KAYENTA_CONFIDENCE) / 2)
    rank = max(0, math.floor(n * n / 2 - z * math.sqrt(n * n * (2 * n + 1) / 12)) - 1)
    for part in np.array_split(np.arange(canary.shape[1]), max(1, canary.shape[1] // 1000)):
        shifts = np.sort((canary[:, None, part] - stable[None, :, part]).reshape(n * n, len(part)), axis=0)
        bad = shifts[rank] > KAYENTA_TOLERANCE * np.abs(np.median(shifts, axis=0))
        found[part] = np.where(bad, seen[-1][part], np.inf)
    return found


RULES: dict[str, Callable[[Sequence[Block]], np.ndarray]] = {
    "Argo Rollouts, > 5 %, more than 3 times": argo_rollouts,
    "Flagger, > 1 %, 5 times": flagger,
    "three minutes in a row > 5 %": three_in_a_row,
    "Kayenta, Mann-Whitney at the end": kayenta,
}
