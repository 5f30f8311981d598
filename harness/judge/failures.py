"""What failed on the users' side, in order of time, and the good answers beside it.

Nearly all of a long record is good, and of that only what stands next to a failure matters here. So the rows are
marked by class (harness.judge.classes), and only failures, what nobody knows of, and their good neighbours are sorted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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

ELSEWHERE, GOOD, OPEN, BAD = range(4)  # how a row went; what was skipped or lies outside of the run is elsewhere


@dataclass(frozen=True)
class View:
    """Requests and probes after the warm-up. By intended start: those that are not good and the good ones next to them,
    with their [start, end]; `times`, in pieces of any order: when each of all of them was intended.
    """

    intended: Ints
    start: Ints
    end: Ints
    good: Bools
    bad: Bools
    times: tuple[Ints, ...]

    def seen(self, from_ns: int, until_ns: int) -> int:
        """How many were intended in [from, until)."""
        found = 0
        for at in self.times:
            if at.min() >= from_ns and at.max() < until_ns:
                found += len(at)
            elif at.max() >= from_ns and at.min() < until_ns:
                found += int(np.count_nonzero((at >= from_ns) & (at < until_ns)))
        return found


@dataclass(frozen=True)
class Stretch:
    """Failures without a good answer between: the first was intended at `at_ns`, seen in [first_ns, first_end_ns]."""

    at_ns: int
    first_ns: int
    first_end_ns: int
    last_ns: int
    bad: int
    seconds: Interval


def view(facts: Facts, records: Sequence[Record], run: Span) -> View:
    """The users' side of the whole run."""

    def mark(piece: Piece) -> tuple[Rows, Marks]:
        here = inside(piece.each.intended_ns, [run]) & (piece.each.outcome != Outcome.SKIPPED)
        answer = served(piece.each, facts.spans, facts.promises)
        state = np.where(answer.must, GOOD, np.where(answer.may, OPEN, BAD)).astype(np.uint8)
        return piece.rows, np.where(here, state, np.uint8(ELSEWHERE))[piece.code]

    with ThreadPoolExecutor(THREADS) as pool:
        found = [pool.map(mark, facts.classified(record).pieces) for record in records]
        marked = [(place, *one) for place, ones in enumerate(found) for one in ones]
        doubts = [rows.intended_ns[state >= OPEN] for _, rows, state in marked]
        doubtful = np.unique(np.concatenate([NOTHING, *doubts]))
        kept = list(pool.map(lambda one: _kept(one[0], one[1], one[2], doubtful), marked)) if len(doubtful) else []
    none = (NOTHING, NOTHING, NOTHING, NOTHING, NOTHING, NOTHING.astype(np.uint8))
    table, arrival, intended, start, end, state = (np.concatenate(parts) for parts in zip(none, *kept, strict=True))
    order = np.lexsort((arrival, table, intended))
    some = [(rows.intended_ns, state != ELSEWHERE) for _, rows, state in marked]
    times = tuple(at if here.all() else at[here] for at, here in some if here.any())
    state = state[order]
    return View(intended[order], start[order], end[order], state == GOOD, state == BAD, times)


def _kept(place: int, rows: Rows, state: Marks, doubtful: Ints) -> tuple[Ints, Ints, Ints, Ints, Ints, Marks]:
    """Of one piece: what is not good, and the first and last good ones between two that are not, ties included."""
    right, keep = np.flatnonzero(state == GOOD), np.flatnonzero(state >= OPEN)
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


def lasted(rows: Rows) -> tuple[Ints, Ints]:
    """[start, end] of each, as far as it is known."""
    start = np.where(rows.started_ns >= 0, rows.started_ns, rows.intended_ns)
    return start, np.maximum(rows.finished_ns, start)


def stretches(seen: View, run: Span) -> Iterator[Stretch]:
    """All bad stretches by the intended time of their first failure."""
    bad, good = np.flatnonzero(seen.bad), np.flatnonzero(seen.good)
    behind = np.searchsorted(good, bad)  # how many good ones stand before each bad one
    first = np.flatnonzero(np.concatenate([[True], behind[1:] > behind[:-1]])) if len(bad) else NOTHING
    for begin, stop in zip(first, [*first[1:], len(bad)], strict=True) if len(bad) else ():
        rows, before = bad[begin:stop], int(behind[begin])
        since = int(seen.start[good[before - 1]]) if before else run.start_ns
        until = int(seen.end[good[before]]) if before < len(good) else run.end_ns
        start, last = int(seen.start[rows].min()), int(seen.start[rows].max())
        first_end = int(seen.end[rows[0]])
        length = Interval(low=max(0.0, (last - first_end) / 1e9), high=max(0.0, (until - since) / 1e9))
        yield Stretch(int(seen.intended[rows[0]]), start, first_end, last, len(rows), length)
