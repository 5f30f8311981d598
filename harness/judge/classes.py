"""Requests that are alike in everything that is asked of them, counted once however many objectives ask.

Every condition on a request (harness.judge.requests) looks at its outcome, kind of status, content, level and names,
at the stretch of time that it was intended in, and at which of the asked thresholds its latency reaches, at its
shortest and at its longest. Rows that agree in all of these are one class: any of them stands for all. So a record of
millions becomes a few hundred real rows with weights, and each condition has one definition, for rows and classes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from harness.judge.rows import NONE, NOTHING, Rows, joined

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from harness.judge.rows import Bools, Ints, Whole

    Apart = Callable[[Rows], Ints | int]  # a small number for each row, or one for all of them

THREADS = 2
DENSE = 1 << 16  # above so many possible codes those in use are numbered anew
SORTED = 1 << 22  # above so many a table of all of them would be larger than the rows
KINDS = 4  # good, bad, unknown, and what is none of them
COMPARED = 64  # to so many edges comparing with each is faster than searching


@dataclass(frozen=True)
class Tally:
    """Rows that stand for many: `weight` says for how many each."""

    rows: Rows
    weight: Ints

    def of(self, mask: Bools) -> int:
        """How many requests are behind these rows."""
        return int(self.weight[mask].sum())


@dataclass(frozen=True)
class Grid:
    """Classes by block of time: `weight[i]` requests of class `code[i]` in block `place[i]` / KINDS, from 0 on."""

    rows: Rows
    code: Whole
    place: Ints
    weight: NDArray[np.float64]
    blocks: int

    def of(self, *masks: Bools) -> Ints:
        """How many requests there are behind the classes of each mask, a row for each, and each block, a column.

        At most KINDS - 1 masks, of which no two hold the same class.
        """
        kind = np.zeros(len(self.rows), dtype=np.int8)
        for number, mask in enumerate(masks, start=1):
            kind[mask] = number
        found = np.bincount(self.place + kind[self.code], self.weight, minlength=self.blocks * KINDS)
        return found.astype(np.int64).reshape(-1, KINDS).T[1 : len(masks) + 1]


@dataclass(frozen=True)
class Piece:
    """Rows with the number of each one's class, and one row of each class."""

    rows: Rows
    code: Whole
    each: Rows

    @property
    def classes(self) -> int:
        return len(self.each)

    @cached_property
    def weight(self) -> Ints:
        """How many rows each class has."""
        return np.bincount(self.code, minlength=self.classes)


@dataclass(frozen=True)
class Classified:
    """A record by class. `cuts`: where stretches begin and end; `limits`: latencies asked; both ascend."""

    pieces: tuple[Piece, ...]
    cuts: Ints
    limits: Ints

    __eq__ = object.__eq__
    __hash__ = object.__hash__


def classify(pieces: Sequence[Rows], cuts: Ints, limits: Ints) -> Classified:
    """The classes of all rows, piece by piece."""

    def numbers(rows: Rows) -> Piece:
        code, number = numbered(rows, cuts, limits)
        if number <= 1 << 16:
            code = code.astype(np.uint16)
        return Piece(rows, code, rows.at(one_of_each(code, number)))

    with ThreadPoolExecutor(THREADS) as pool:
        return Classified(tuple(pool.map(numbers, pieces)), cuts, limits)


def grid(record: Classified, start_ns: int, length_ns: int) -> Grid:
    """How often each class occurs in each block of this length from the start on.

    Blocks in which nothing was intended have no number.
    """
    if not record.pieces:
        return Grid(NONE, NOTHING, NOTHING, NOTHING.astype(np.float64), 0)

    def counted(piece: Piece) -> tuple[Rows, Whole, Whole, Whole]:
        block = (piece.rows.intended_ns - start_ns) // length_ns
        least, width = int(block.min()), int(block.max() - block.min()) + 1
        pair, pairs = _dense(piece.code * np.int64(width) + (block - least), piece.classes * width)
        each = one_of_each(pair, pairs)
        return piece.each, piece.code[each], block[each], np.bincount(pair, minlength=pairs)

    with ThreadPoolExecutor(THREADS) as pool:
        parts = list(pool.map(counted, record.pieces))
    rows = joined([part[0] for part in parts])
    code, number = numbered(rows, record.cuts, record.limits)
    begin = np.cumsum([0, *(len(part[0]) for part in parts)])
    every = np.concatenate([code[at + part[1]] for at, part in zip(begin, parts, strict=False)])
    block = np.concatenate([part[2] for part in parts])
    least = int(block.min())
    block, blocks = _dense(block - least, int(block.max()) - least + 1)
    weight = np.concatenate([part[3] for part in parts]).astype(np.float64)
    return Grid(rows.at(one_of_each(code, number)), every, block * np.int64(KINDS), weight, blocks)


def tally(record: Classified, apart: Apart | None = None) -> Tally:
    """All classes with their weights; rows are also told apart by `apart`."""
    if not record.pieces:
        return Tally(NONE, NOTHING)

    def counted(piece: Piece) -> Tally:
        place = 0 if apart is None else apart(piece.rows)
        if isinstance(place, int):
            return Tally(piece.each, piece.weight)
        least, width = int(place.min()), int(place.max() - place.min()) + 1
        pair, pairs = _dense(piece.code * np.int64(width) + (place - least), piece.classes * width)
        return Tally(piece.rows.at(one_of_each(pair, pairs)), np.bincount(pair, minlength=pairs))

    with ThreadPoolExecutor(THREADS) as pool:
        found = list(pool.map(counted, record.pieces))
    if len(found) == 1:
        return found[0]
    weight = np.concatenate([part.weight for part in found])
    return _classes(joined([part.rows for part in found]), weight, record.cuts, record.limits, apart)


def _classes(rows: Rows, weight: Ints | None, cuts: Ints, limits: Ints, apart: Apart | None) -> Tally:
    code, number = numbered(rows, cuts, limits, apart)
    counted = np.bincount(code, weight, minlength=number)
    return Tally(rows.at(one_of_each(code, number)), counted.astype(np.int64))


def one_of_each(code: Whole, number: int) -> Whole:
    """For each class the place of one of its rows."""
    place = np.zeros(number, dtype=np.intp)
    place[code] = np.arange(len(code))
    return place


def numbered(rows: Rows, cuts: Ints, limits: Ints, apart: Apart | None = None) -> tuple[Whole, int]:
    """(the class of each row as a number, how many there are)"""
    code: Whole = np.zeros(len(rows), dtype=np.int32)
    number = 1
    for values, least, most in _fields(rows, cuts, limits, apart):
        width = most - least + 1
        if width > 1:
            if number * width > DENSE:
                code, number = _dense(code, number)
            if number * width > np.iinfo(np.int32).max:
                code = code.astype(np.int64)
            code *= width
            code += values
            code -= least
            number *= width
    return _dense(code, number)


def _dense(code: Whole, number: int) -> tuple[Whole, int]:
    """The same classes, numbered without gaps."""
    if number > SORTED:
        used, code = np.unique(code, return_inverse=True)
        return code.astype(np.int32, copy=False), len(used)
    there = np.zeros(number, dtype=bool)
    there[code] = True
    table = np.cumsum(there, dtype=np.int32) - np.int32(1)
    return table[code], int(table[-1]) + 1


def _fields(rows: Rows, cuts: Ints, limits: Ints, apart: Apart | None) -> Iterator[tuple[Whole, int, int]]:
    """(values, least, most) of everything in which rows of one class agree."""
    kind = _STATUS_KINDS[rows.status.astype(np.int16, copy=False).view(np.uint16)]
    place = 0 if apart is None else apart(rows)
    for column in (rows.outcome, kind, rows.content, rows.level, *([] if isinstance(place, int) else [place])):
        yield column, int(column.min()), int(column.max())
    for names in (rows.journey, rows.region, rows.release):
        yield names.codes, 0, len(names.names) - 1
    yield _steps(rows.intended_ns, cuts)
    finished = rows.finished_ns >= 0
    for begun in (rows.intended_ns, np.maximum(rows.started_ns, rows.intended_ns)):
        values, least, most = _steps(rows.finished_ns - begun, limits)
        yield np.where(finished, values, most + 1), least, most + 1


def _steps(values: Ints, edges: Ints) -> tuple[Whole, int, int]:
    """How many of the edges each value reaches, above those that all reach; from, to."""
    low, high = np.searchsorted(edges, [values.min(), values.max()], side="right").tolist()
    if high - low > COMPARED:
        return np.searchsorted(edges[low:high], values, side="right"), 0, high - low
    reached = np.zeros(len(values), dtype=np.uint8)
    for edge in edges[low:high]:
        reached += values >= edge
    return reached, 0, high - low


def _status_kinds() -> NDArray[np.uint8]:
    """Kind of status by its number: below 200, right, 4xx, 5xx and above; a negative one is below 200."""
    status = np.arange(1 << 16, dtype=np.uint16).view(np.int16)
    return np.searchsorted(np.array([200, 400, 500]), status, side="right").astype(np.uint8)


_STATUS_KINDS = _status_kinds()
