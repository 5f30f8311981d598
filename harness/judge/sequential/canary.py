"""Is the canary worse than the baseline, or good enough? E-processes: they may be looked at after every block.

A block is a short stretch of time in which both releases were asked. On a criterion each block gives four numbers: bad
events and events of the canary and of the stable release. The promise is a line in the plane of the two rates,

    canary's rate = ratio · stable rate + plus:

below it the canary is good enough, above it is worse. Two nulls are tested side by side: "not worse" (refuted: harm)
and "worse, or on the line" (refuted: good enough). Both are half-planes, hence convex, and for a convex null the
likelihood ratio of any alternative to its Kullback-Leibler projection on the null has expectation ≤ 1 under *every*
point of the null (Grünwald, de Heide and Koolen, "Safe testing", JRSS B 86, 2024; for 2 × 2 tables Turner and Grünwald,
"Exact anytime-valid confidence intervals for contingency tables and beyond", 2023; docs/concepts/sequential.md proves
it in a few lines). So the rates may change from block to block in any way, and the product over blocks is an e-process:
by Ville's inequality it exceeds 1/α with probability ≤ α, ever.

Everything broadcasts: counts of shape (...,) are as many independent rollouts.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

from harness.judge.sequential.rate import log_mixture

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

# Which alternatives are bet on decides how fast a test is, never whether its promise holds.
HARM_ODDS = (2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0)  # odds of the canary's rate over the line's
ENOUGH_GAPS = (0.0, 0.5)  # where between the stable rate and the line the canary's rate is supposed
GUESS = (0.5, 50.0)  # bad events and events that the stable rate is guessed from before any were seen
_EPS = 1e-12
_NEWTON = 60


class Null(StrEnum):
    """What is to be refuted."""

    NOT_WORSE = "not-worse"
    WORSE = "worse"


@dataclass(frozen=True)
class Margin:
    """The line: the canary's rate may be ratio · stable rate + plus. With ratio 0 `plus` is an absolute limit."""

    ratio: float = 1.0
    plus: float = 0.0

    def of(self, stable_rate: Floats) -> Floats:
        return np.clip(self.ratio * stable_rate + self.plus, _EPS, 1.0 - _EPS)


@dataclass(frozen=True)
class Block:
    """Bad events and events of both sides in one stretch of time; arrays of one shape."""

    canary_bad: Floats
    canary: Floats
    stable_bad: Floats
    stable: Floats

    def wide(self) -> Block:
        """With one more axis, for alternatives."""
        return Block(*(x[..., None] for x in (self.canary_bad, self.canary, self.stable_bad, self.stable)))

    def __add__(self, other: Block) -> Block:
        return Block(
            self.canary_bad + other.canary_bad,
            self.canary + other.canary,
            self.stable_bad + other.stable_bad,
            self.stable + other.stable,
        )

    def as_one_event(self) -> Block:
        """Each side's block as one event that is bad in part: whatever failed together in it, the promise holds.

        By Hölder's inequality E[∏ X_i^(1/n)] ≤ ∏ E[X_i]^(1/n) for any dependence of the X_i.
        """
        canary, stable = np.maximum(self.canary, 1), np.maximum(self.stable, 1)
        return Block(
            self.canary_bad / canary,
            np.minimum(self.canary, 1.0),
            self.stable_bad / stable,
            np.minimum(self.stable, 1.0),
        )


def project(
    canary: Floats, stable: Floats, n_canary: Floats, n_stable: Floats, margin: Margin
) -> tuple[Floats, Floats]:
    """The point (canary's rate, stable rate) on the line nearest to an alternative: it minimises
    n_canary · KL(canary ‖ ·) + n_stable · KL(stable ‖ ·). Through the origin (plus 0) it is the smaller root of a
    quadratic; else found by Newton's method within a bracket.
    """
    if margin.ratio == 0:
        return np.broadcast_to(np.clip(margin.plus, _EPS, 1.0 - _EPS), np.shape(canary)), np.asarray(stable)
    if margin.plus == 0:
        square = margin.ratio * (n_canary + n_stable)
        middle = n_canary * (canary + margin.ratio) + n_stable * (1 + margin.ratio * stable)
        last = n_canary * canary + n_stable * stable
        root = 2 * last / np.maximum(middle + np.sqrt(np.maximum(middle**2 - 4 * square * last, 0.0)), _EPS)
        root = np.clip(root, _EPS, min(1.0, 1.0 / margin.ratio) - _EPS)
        return np.clip(margin.ratio * root, _EPS, 1.0 - _EPS), root
    low_end = max(0.0, -margin.plus / margin.ratio) + _EPS
    high_end = min(1.0, (1.0 - margin.plus) / margin.ratio) - _EPS
    on_line = np.clip((canary - margin.plus) / margin.ratio, low_end, high_end)
    low, high = np.minimum(on_line, stable), np.maximum(on_line, stable)
    low, high = np.clip(low, low_end, high_end), np.clip(high, low_end, high_end)
    total = n_canary + n_stable
    x = np.where(total > 0, (n_canary * on_line + n_stable * stable) / np.maximum(total, _EPS), low)
    inside = 1e-3 * (high - low)  # off the poles at 0 and 1, from which Newton's steps only double
    x = np.clip(x, low + inside, high - inside)
    for _ in range(_NEWTON):
        a = np.clip(margin.ratio * x + margin.plus, _EPS, 1.0 - _EPS)
        slope = -n_canary * margin.ratio * (canary - a) / (a * (1 - a)) - n_stable * (stable - x) / (x * (1 - x))
        curve = n_canary * margin.ratio**2 * (canary / a**2 + (1 - canary) / (1 - a) ** 2)
        curve = curve + n_stable * (stable / x**2 + (1 - stable) / (1 - x) ** 2)
        low, high = np.where(slope <= 0, x, low), np.where(slope >= 0, x, high)
        following = x - slope / np.maximum(curve, _EPS)
        following = np.where((following < low) | (following > high), (low + high) / 2, following)
        if np.all(np.abs(following - x) <= 1e-13 + 1e-11 * x):
            x = following
            break
        x = following
    return np.clip(margin.ratio * x + margin.plus, _EPS, 1.0 - _EPS), x


def log_ratio(block: Block, canary: Floats, stable: Floats, margin: Margin, null: Null) -> Floats:
    """log of the block's e-value for the alternatives (canary, stable); 0 for one that lies in the null."""
    a, b = project(canary, stable, block.canary, block.stable, margin)
    found = (
        block.canary_bad * np.log(canary / a)
        + (block.canary - block.canary_bad) * np.log((1 - canary) / (1 - a))
        + block.stable_bad * np.log(stable / b)
        + (block.stable - block.stable_bad) * np.log((1 - stable) / (1 - b))
    )
    line = margin.ratio * stable + margin.plus
    return np.where(canary > line if null is Null.NOT_WORSE else canary < line, found, 0.0)


@dataclass(frozen=True)
class Test:
    """One null on one criterion, as it stands after the blocks so far.

    `log_e` has shape (..., alternatives). What was seen of the stable release before and during the test says where to
    bet next; what was seen of the canary never does, so one more bad event of the canary never lowers the evidence of
    harm, nor raises the evidence that it is good enough.
    """

    null: Null
    margin: Margin
    log_e: Floats
    stable_bad: Floats
    stable: Floats

    def then(self, block: Block, *doubtful: Block) -> Test:
        """The test after one more block. Of several readings of it the least evidence counts; bets follow the first."""
        canary, stable = self.bets()
        ratios = [log_ratio(one.wide(), canary, stable, self.margin, self.null) for one in (block, *doubtful)]
        return replace(
            self,
            log_e=self.log_e + np.minimum.reduce(ratios),
            stable_bad=self.stable_bad + block.stable_bad,
            stable=self.stable + block.stable,
        )

    def bets(self) -> tuple[Floats, Floats]:
        """(canary's rates, stable rate) that the next block is bet on, shape (..., alternatives)."""
        stable = np.clip((self.stable_bad + GUESS[0]) / (self.stable + GUESS[1]), _EPS, 1 - 1e-6)[..., None]
        line = self.margin.of(stable)
        if self.null is Null.NOT_WORSE:
            odds = np.asarray(HARM_ODDS) * line / (1 - line)
            canary = odds / (1 + odds)
        else:
            canary = stable + np.asarray(ENOUGH_GAPS) * (line - stable)
        return np.broadcast_arrays(np.clip(canary, _EPS, 1 - _EPS), stable)  # type: ignore[return-value]

    @property
    def log_evidence(self) -> Floats:
        """log of the e-process: the alternatives weigh alike."""
        peak = self.log_e.max(axis=-1, keepdims=True)
        found: Floats = peak[..., 0] + np.log(np.exp(self.log_e - peak).mean(axis=-1))
        return found


def begin(null: Null, margin: Margin, stable_bad: Floats, stable: Floats) -> Test:
    """A test before its first block; the counts are what was seen of the stable release earlier."""
    stable_bad, stable = np.broadcast_arrays(np.asarray(stable_bad, dtype=float), np.asarray(stable, dtype=float))
    count = len(HARM_ODDS if null is Null.NOT_WORSE else ENOUGH_GAPS)
    return Test(null, margin, np.zeros((*stable.shape, count)), stable_bad, stable)


def constant_rates(total: Block, margin: Margin, null: Null) -> Floats:
    """log of an e-process for when both rates are constant from the first event of the stable release on.

    All events so far count together, those of the stable release before the canary came too. It is the likelihood mixed
    over both rates, divided by the greatest likelihood on the null (universal inference: Wasserman, Ramdas and
    Balakrishnan, PNAS 117, 2020).
    """
    canary = np.clip(total.canary_bad / np.maximum(total.canary, 1), _EPS, 1 - _EPS)
    stable = np.clip(total.stable_bad / np.maximum(total.stable, 1), _EPS, 1 - _EPS)
    a, b = project(canary, stable, total.canary, total.stable, margin)
    line = margin.ratio * stable + margin.plus
    outside = canary > line if null is Null.NOT_WORSE else canary < line
    a, b = np.where(outside, a, canary), np.where(outside, b, stable)
    most = (
        total.canary_bad * np.log(a)
        + (total.canary - total.canary_bad) * np.log1p(-a)
        + total.stable_bad * np.log(b)
        + (total.stable - total.stable_bad) * np.log1p(-b)
    )
    found: Floats = log_mixture(total.canary_bad, total.canary) + log_mixture(total.stable_bad, total.stable) - most
    return found


def with_constant_rates(test: Test, total: Block) -> Floats:
    """log of the mean of the e-process that holds under drift and the one for constant rates: nearly the better one."""
    found: Floats = np.logaddexp(test.log_evidence, constant_rates(total, test.margin, test.null)) - np.log(2)
    return found
