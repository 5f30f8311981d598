"""Events per block of the correlation length, and what they are worth as independent events.

Outcomes further apart than the declared correlation length L are taken as independent; within L anything may be. Time
is cut into blocks of L. With m the *declared* number of events of a block, block b holds c = min(n, m)/m; on the side
that is looked at, x = min(bad, m)/m: the bad ones are kept first, so that leaving out the rest errs on the safe side.

Every second block is independent of the others, so E exp(t·Σx) over all blocks is at most the product of the roots of
its odd and its even half (Cauchy and Schwarz), and the half of each sum counts: N = Σc/2 events, k = Σx/2 of them bad.
Blocks that are not full weigh less, for log E exp(t·x) of an x in [0, c] is convex in c (Hoeffding, JASA 58, 1963).
N is floored at one: all of a run together is one value in [0, 1].

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
from harness.judge.windows import Span
from harness.model.scenario import Load
from harness.model.slo import RequestRatio

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from harness.judge.facts import Facts
    from harness.judge.rows import Rows

    Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Blocks:
    """Events by block; `size` is m, `missing` the events of which it is not known when they were."""

    good: Ints
    bad: Ints
    unknown: Ints
    missing: int
    size: int
    length_s: float

    def effective(self, worst: bool) -> tuple[float, float]:
        """(N, share of good events among them); `worst`: what is unknown was bad, and bad ones are kept first."""
        good, bad = (self.good, self.bad + self.unknown) if worst else (self.good + self.unknown, self.bad)
        kept = np.minimum(bad if worst else good, self.size)
        all_ = float(np.minimum(good + bad, self.size).sum()) + self.missing
        if not all_:
            return 0.0, 0.0
        chosen = (float(kept.sum()) + self.missing) / all_
        return max(1.0, all_ / self.size / 2.0), 1.0 - chosen if worst else chosen


def block_counts(rows: Rows, ratio: RequestRatio, spans: Sequence[Span], facts: Facts, length_s: float) -> Blocks:
    """The requests of a ratio by block of `length_s` seconds from the first of the spans on."""
    good, bad, open_ = count_masks(rows, ratio, spans, facts)
    missing = sum(rows.missing.possibly_within(span.start_ns, span.end_ns) for span in spans)
    length_ns = max(1, round(length_s * 1e9))
    start = min(span.start_ns for span in spans)
    counted = good | bad | open_
    block = (rows.intended_ns[counted] - start) // length_ns
    place = np.unique(block, return_inverse=True)[1] if len(block) else block
    found = [np.bincount(place[mask[counted]], minlength=int(place.max(initial=-1)) + 1) for mask in (good, bad, open_)]
    every = facts.evidence.scenario.beacon.every
    size = length_s / every if ratio.table == "beacon" else per_second(facts.evidence.scenario.load, ratio) * length_s
    return Blocks(found[0], found[1], found[2], missing, max(1, math.ceil(size - 1e-9)), length_s)


def packed(counts: Counts, size: int, length_s: float) -> Blocks:
    """Events of which only the sums are known: the worst case is that all bad ones fill blocks of their own."""

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
    return Blocks(parts[0], parts[1], parts[2], 0, size, length_s)


def most_in_a_block(rows: Rows, length_s: float) -> int:
    """The most arrivals in any stretch of `length_s`, those without a record included."""
    length_ns = max(1, round(length_s * 1e9))
    times = rows.intended_ns
    until = np.searchsorted(times, times + length_ns, side="left")
    return int((until - np.arange(len(times))).max(initial=0)) + len(rows.missing)


def per_second(load: Load, ratio: RequestRatio) -> float:
    """Arrivals that the schedule declares for a ratio's journeys, at its greatest rate."""
    rate = max(load.arrivals.rate, getattr(load.arrivals, "to", 0.0))
    chosen = ratio.total.journeys
    weights = sum(weight for journey, weight in load.mix.items() if not chosen or journey in chosen)
    return rate * weights / sum(load.mix.values())
