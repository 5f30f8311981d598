"""Events by short blocks of time, and what they are worth as independent events.

Outcomes further apart than the declared correlation length L are taken as independent; within L anything may be. Time
is cut into blocks of L/r, so a stretch of L touches at most r + 1 of them. With m the *declared* number of events of a
block, a block of n events counts c = min(n, m)/m, and on the side that is looked at x = min(bad, m)/m of it is bad: the
bad ones are kept first, so that leaving out the rest errs on the safe side. N = Σc/(r+1) events, k = Σx/(r+1) bad.

Why that holds. Every (r+1)-th block is independent of the others of its class, so by Hölder's inequality, with the
exponent 1/(r+1) for each class, log E exp(-t·k) ≤ Σ_b log E exp(-t·x_b) / (r+1) (Janson, Random Structures and
Algorithms 24, 2004, for any partly dependent sum). An x in [0, c] with mean c·p has log E exp(-t·x) ≤
c·log(1 - p + p·exp(-t)), being convex in c and 0 at c = 0, and that is concave in p: so the sum is at most what N
independent events of the mean probability have, and Chernoff's bound is Hoeffding's (JASA 58, 1963, theorem 1). N is
floored at one: all of a run together is one value in [0, 1], whatever hangs together.

m comes from the schedule and never from what was seen. So one more bad event cannot help and one more good one cannot
hurt, which does not hold for an estimated design effect.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from harness.judge.decide import Counts
from harness.judge.requests import count_masks
from harness.judge.rows import NOTHING
from harness.judge.windows import Span
from harness.model.scenario import ScenarioSpec
from harness.model.slo import RequestRatio

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from harness.judge.facts import Facts
    from harness.judge.rows import Record

    Ints = NDArray[np.int64]


# A block is to hold about so many events (fewer: much of a block is empty or left out), and L at most so many blocks.
# Neither bears on what the bound promises, only on how narrow it is.
EVENTS_PER_BLOCK = 4
MOST_PER_LENGTH = 8


@dataclass(frozen=True)
class Blocks:
    """Events by block; `missing`: those of which it is not known when they were.

    `size`: m, at least 1. `touched`: how many blocks a stretch of the correlation length, `length_s`, can touch.
    """

    good: Ints
    bad: Ints
    unknown: Ints
    missing: int
    size: float
    touched: int
    length_s: float

    def effective(self, worst: bool) -> tuple[float, float]:
        """(N, share of good events among them); `worst`: what is unknown was bad, and bad ones are kept first.

        What is missing counts on the side that is looked at and not in N: wherever it was, it makes N no smaller.
        """
        kept = self.bad + self.unknown if worst else self.good + self.unknown
        every = float(np.minimum(self.good + self.bad + self.unknown, self.size).sum())
        if not every:
            return (1.0 if self.missing else 0.0), (0.0 if worst else 1.0)
        share = min(1.0, (float(np.minimum(kept, self.size).sum()) + self.missing) / every)
        return max(1.0, every / (self.size * self.touched)), 1.0 - share if worst else share


def pieces(length_s: float, per_second: float) -> int:
    """r: into how many blocks the correlation length is cut, at the declared rate of events."""
    return min(MOST_PER_LENGTH, max(1, int(length_s * per_second / EVENTS_PER_BLOCK)))


def block_counts(record: Record, ratio: RequestRatio, spans: Sequence[Span], facts: Facts, length_s: float) -> Blocks:
    """The requests of a ratio by block; the blocks' edges count from the start of the first span."""
    missing = sum(record.missing.possibly_within(span.start_ns, span.end_ns) for span in spans)
    rate = declared_rate(facts.evidence.scenario, ratio)
    cuts = pieces(length_s, rate)
    block_ns = max(1, math.ceil(length_s * 1e9 / cuts))
    grid = facts.grid(record, ratio, spans, min(span.start_ns for span in spans), block_ns)
    found = grid.of(*count_masks(grid.rows, ratio, spans, facts))
    good, bad, unknown = found[:, found.any(axis=0)]
    return Blocks(good, bad, unknown, missing, max(1.0, rate * length_s / cuts), cuts + 1, length_s)


def packed(counts: Counts, size: int, length_s: float) -> Blocks:
    """Events of which only the sums are known, and that no stretch of the correlation length holds more than `size`.

    Then they are a sum of `size` sums of independent ones (Janson, as above): each counts 1/size, wherever it was.
    """

    def full(number: int) -> Ints:
        whole, rest = divmod(number, size)
        return np.array([size] * whole + ([rest] if rest else []), dtype=np.int64)

    good, bad, open_ = full(counts.good), full(counts.bad), full(counts.unknown)
    none = np.zeros(len(good) + len(bad) + len(open_), dtype=np.int64)
    parts = [none.copy() for _ in range(3)]
    begin = 0
    for part, column in zip(parts, (good, bad, open_), strict=True):
        part[begin : begin + len(column)] = column
        begin += len(column)
    return Blocks(parts[0], parts[1], parts[2], 0, size, 1, length_s)


def most_within(record: Record, length_s: float) -> int:
    """The most arrivals in any stretch of `length_s`, those without a record included."""
    times = np.sort(np.concatenate([NOTHING, *(piece.intended_ns for piece in record.pieces)]))
    until = np.searchsorted(times, times + round(length_s * 1e9), side="right")
    return int((until - np.arange(len(times))).max(initial=0)) + len(record.missing)


def declared_rate(scenario: ScenarioSpec, ratio: RequestRatio) -> float:
    """Events per second that the scenario declares for a ratio's journeys or the beacon, where it is greatest."""
    if ratio.table == "beacon":
        return 1.0 / scenario.beacon.every
    load, chosen = scenario.load, ratio.total.journeys
    rate: float = max(load.arrivals.rate, getattr(load.arrivals, "to", 0.0))
    weights = sum(weight for journey, weight in load.mix.items() if not chosen or journey in chosen)
    return rate * weights / sum(load.mix.values())
