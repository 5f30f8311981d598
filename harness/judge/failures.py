"""What failed on the users' side, in order of time, and the good answers beside it.

Nearly all of a long record is good, and of that only what stands next to a failure matters here. So the rows are
marked by class (harness.judge.classes), and only failures, what nobody knows of, and their good neighbours are sorted.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from harness.judge.classes import THREADS, Piece
from harness.judge.requests import served
from harness.judge.rows import NOTHING
from harness.judge.windows import inside
from harness.model.judgement import Interval
from harness.model.records import Outcome

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from harness.judge.facts import Facts
    from harness.judge.rows import Record, Rows
    from harness.judge.windows import Span

    Ints = NDArray[np.int64]
    Bools = NDArray[np.bool_]
    Marks = NDArray[np.uint8]

SLOTS = 15  # bits: into how many slots of time a piece is cut, so that each holds a few rows
ELSEWHERE, GOOD, OPEN, BAD = range(4)  # how a row went; what was skipped or lies outside of the run is elsewhere


@dataclass(frozen=True)
class View:
    """Requests and probes after the warm-up. By intended start: those that are not good and the good ones next to them,
    with their [start, end]; `times`, in pieces of any order: when each of all of them was intended, and the first and
    the last of the piece.
    """

    intended: Ints
    start: Ints
    end: Ints
    good: Bools
    bad: Bools
    times: tuple[tuple[int, int, Ints], ...]

    def seen(self, from_ns: int, until_ns: int) -> int:
        """How many were intended in [from, until)."""
        found = 0
        for first, last, at in self.times:
            if first >= from_ns and last < until_ns:
                found += len(at)
            elif last >= from_ns and first < until_ns:
                found += int(np.count_nonzero((at >= from_ns) & (at < until_ns)))
        return found


@dataclass(frozen=True)
class Stretch:
    """Failures without a good answer between: the first was intended at `at_ns`, seen in [first_ns, first_end_ns].

    They lasted [least_s, most_s].
    """

    at_ns: int
    first_ns: int
    first_end_ns: int
    last_ns: int
    bad: int
    least_s: float
    most_s: float

    @property
    def seconds(self) -> Interval:
        return Interval(low=self.least_s, high=self.most_s)


def view(facts: Facts, records: Sequence[Record], run: Span) -> View:
    """The users' side of the whole run."""

    def mark(piece: Piece) -> tuple[Rows, Marks, Ints, tuple[int, int, Ints] | None]:
        here = inside(piece.each.intended_ns, [run]) & (piece.each.outcome != Outcome.SKIPPED)
        answer = served(piece.each, facts.spans, facts.promises)
        each = np.where(answer.must, GOOD, np.where(answer.may, OPEN, BAD)).astype(np.uint8)
        each[~here] = ELSEWHERE
        state, at = each[piece.code], piece.rows.intended_ns
        doubts = at[state >= OPEN]
        if not here.all():
            at = at[state != ELSEWHERE]
        return piece.rows, state, doubts, (int(at.min()), int(at.max()), at) if len(at) else None

    with ThreadPoolExecutor(THREADS) as pool:
        found = [pool.map(mark, facts.classified(record).pieces) for record in records]
        marked = [(place, *one) for place, ones in enumerate(found) for one in ones]
        doubtful = np.unique(np.concatenate([NOTHING, *(doubts for _, _, _, doubts, _ in marked)]))
        kept = list(pool.map(lambda one: _kept(one[0], one[1], one[2], doubtful), marked)) if len(doubtful) else []
    none = (NOTHING, NOTHING, NOTHING, NOTHING, NOTHING, NOTHING.astype(np.uint8))
    table, arrival, intended, start, end, state = (np.concatenate(parts) for parts in zip(none, *kept, strict=True))
    order = np.lexsort((arrival, table, intended))
    state = state[order]
    times = tuple(told for *_, told in marked if told)
    return View(intended[order], start[order], end[order], state == GOOD, state == BAD, times)


def _kept(place: int, rows: Rows, state: Marks, doubtful: Ints) -> tuple[Ints, Ints, Ints, Ints, Ints, Marks]:
    """Of one piece: what is not good, and the first and last good ones between two that are not, ties included."""
    right, keep = _near(rows.intended_ns, state == GOOD, doubtful), np.flatnonzero(state >= OPEN)
    if len(right):
        at = rows.intended_ns[right]
        gap = np.searchsorted(doubtful, at)
        tied = doubtful[np.minimum(gap, len(doubtful) - 1)] == at
        gap -= gap.min()
        first = np.full(int(gap.max()) + 1, np.iinfo(np.int64).max)
        last = np.full(len(first), np.iinfo(np.int64).min)
        np.minimum.at(first, gap, at)
        np.maximum.at(last, gap, at)
        keep = np.concatenate([keep, right[tied | (at == first[gap]) | (at == last[gap])]])
    some = rows.at(keep)
    start, end = lasted(some)
    table = np.full(len(keep), place, dtype=np.int64)
    return table, some.arrival.astype(np.int64), some.intended_ns, start, end, state[keep]


def _near(at: Ints, good: Bools, doubtful: Ints) -> Ints:
    """Places of good ones, at least of those that come next before or after a doubtful time or at it, and few others.

    Time is cut into slots, each of which holds a few rows. Wanted are the slots of doubtful times, the nearest ones on
    both sides that hold a good one, and the first and the last of those.
    """
    low, high = int(at.min()), int(at.max())
    shift = max(0, (high - low).bit_length() - SLOTS)
    slot = (at - low) >> shift
    there = np.zeros(((high - low) >> shift) + 1, dtype=bool)
    there[slot[good]] = True
    held = np.flatnonzero(there)
    if not len(held):
        return held
    begin, stop = np.searchsorted(doubtful, low), np.searchsorted(doubtful, high, side="right")
    asked = (doubtful[begin:stop] - low) >> shift
    before = held[np.maximum(np.searchsorted(held, asked) - 1, 0)]
    after = held[np.minimum(np.searchsorted(held, asked, side="right"), len(held) - 1)]
    wanted = np.zeros(len(there), dtype=bool)
    for some in (asked, before, after, held[[0, -1]]):
        wanted[some] = True
    return np.flatnonzero(good & wanted[slot])


def lasted(rows: Rows) -> tuple[Ints, Ints]:
    """[start, end] of each, as far as it is known."""
    start = np.where(rows.started_ns >= 0, rows.started_ns, rows.intended_ns)
    return start, np.maximum(rows.finished_ns, start)


def stretches(seen: View, run: Span) -> list[Stretch]:
    """All bad stretches by the intended time of their first failure."""
    bad, good = np.flatnonzero(seen.bad), np.flatnonzero(seen.good)
    if not len(bad):
        return []
    behind = np.searchsorted(good, bad)  # how many good ones stand before each bad one
    begin = np.flatnonzero(np.concatenate([[True], behind[1:] > behind[:-1]]))
    before, first, started = behind[begin], bad[begin], seen.start[bad]
    since = np.concatenate([[run.start_ns], seen.start[good]])[before]
    until = np.concatenate([seen.end[good], [run.end_ns]])[before]
    last, first_end = np.maximum.reduceat(started, begin), seen.end[first]
    columns = (
        seen.intended[first],
        np.minimum.reduceat(started, begin),
        first_end,
        last,
        np.diff(begin, append=len(bad)),
        np.maximum(last - first_end, 0) / 1e9,
        np.maximum(until - since, 0) / 1e9,
    )
    return [Stretch(*row) for row in zip(*(column.tolist() for column in columns), strict=True)]
