"""The record of requests: numpy columns in pieces, as they were read, and the arrivals that have no row.

Nothing here copies a whole column: a piece is a view of the table. What needs rows in order takes a stretch of them
(`Record.between`); what only counts works on classes of equal rows (harness.judge.classes).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]
    Bools = NDArray[np.bool_]
    Whole = NDArray[np.integer[Any]]  # of any width

PIECE = 1 << 17  # rows: the columns of one piece fit into a core's second-level cache one after another


@dataclass(frozen=True)
class Labels:
    """A column of strings: a code per row, and what the codes mean."""

    codes: Whole
    names: tuple[str, ...]

    def among(self, wanted: Iterable[str]) -> Bools:
        """Which rows have one of these strings."""
        chosen = set(wanted)
        table = np.array([name in chosen for name in self.names], dtype=bool)
        return table[self.codes] if len(self.names) else np.zeros(len(self.codes), dtype=bool)


@dataclass(frozen=True)
class Missing:
    """Arrivals without a row; each was due somewhere in [from_ns, until_ns]."""

    from_ns: Ints
    until_ns: Ints

    def __len__(self) -> int:
        return len(self.from_ns)

    def possibly_within(self, start_ns: int, end_ns: int) -> int:
        """How many may have been due in [start_ns, end_ns)."""
        return int(np.count_nonzero((self.from_ns < end_ns) & (self.until_ns >= start_ns)))


@dataclass(frozen=True)
class Rows:
    """One request per place. Times are monotonic nanoseconds, -1 for never."""

    arrival: Whole
    intended_ns: Ints
    started_ns: Ints
    finished_ns: Ints
    outcome: Whole
    status: Whole
    content: Whole
    level: Whole
    journey: Labels
    region: Labels
    release: Labels
    instance: Labels

    def __len__(self) -> int:
        return len(self.intended_ns)

    def at(self, places: slice | Whole | Bools) -> Rows:
        """Some of the rows."""
        changed: dict[str, Any] = {}
        for one in fields(self):
            column = getattr(self, one.name)
            changed[one.name] = (
                Labels(column.codes[places], column.names) if isinstance(column, Labels) else column[places]
            )
        return Rows(**changed)

    @cached_property
    def span_ns(self) -> tuple[int, int]:
        """[first, last] time at which one of them was intended or started."""
        return int(self.intended_ns.min()), int(max(self.intended_ns.max(), self.started_ns.max()))


@dataclass(frozen=True)
class Record:
    """All requests, each once, in no order; two records are the same only if they are one object."""

    pieces: tuple[Rows, ...]
    missing: Missing
    duplicates: int
    _last: dict[tuple[int, int], Rows] = field(default_factory=dict)

    def __len__(self) -> int:
        return sum(len(piece) for piece in self.pieces)

    __eq__ = object.__eq__
    __hash__ = object.__hash__

    @cached_property
    def whole(self) -> Rows:
        """All rows by arrival: a copy of every column, for small records."""
        return _by_arrival(self.pieces)

    def between(self, from_ns: int, until_ns: int) -> Rows:
        """By arrival, the rows that were intended or waited to be started at some time in [from_ns, until_ns).

        The last stretch is kept: what is asked of a fault is asked of the same stretch many times.
        """
        if (from_ns, until_ns) not in self._last:
            self._last.clear()
            self._last[from_ns, until_ns] = self._between(from_ns, until_ns)
        return self._last[from_ns, until_ns]

    def _between(self, from_ns: int, until_ns: int) -> Rows:
        found = []
        for piece in self.pieces:
            first, last = piece.span_ns
            if first < until_ns and last >= from_ns:
                begun = np.maximum(piece.started_ns, piece.intended_ns)
                found.append(piece.at((piece.intended_ns < until_ns) & (begun >= from_ns)))
        return _by_arrival(found)

    def with_outcome(self, outcome: int) -> int:
        """How many rows ended so."""
        return sum(int(np.count_nonzero(piece.outcome == outcome)) for piece in self.pieces)

    def possibly_due(self, start_ns: float, end_ns: float) -> int:
        """How many arrivals there may have been in [start_ns, end_ns], with and without a record."""
        due = 0
        for piece in self.pieces:
            first, last = piece.span_ns
            if first <= end_ns and last >= start_ns:
                due += int(np.count_nonzero((piece.intended_ns >= start_ns) & (piece.intended_ns <= end_ns)))
        return due + self.missing.possibly_within(round(start_ns), round(end_ns) + 1)


def joined(parts: Sequence[Rows]) -> Rows:
    """The rows of all parts one after another; at least one part."""
    if len(parts) == 1:
        return parts[0]
    changed: dict[str, Any] = {}
    for one in fields(Rows):
        columns = [getattr(part, one.name) for part in parts]
        changed[one.name] = _joined(columns) if isinstance(columns[0], Labels) else np.concatenate(columns)
    return Rows(**changed)


def _joined(columns: Sequence[Labels]) -> Labels:
    codes: dict[str, int] = {}
    for column in columns:
        for name in column.names:
            codes.setdefault(name, len(codes))
    tables = [np.array([codes[name] for name in column.names], dtype=np.int32) for column in columns]
    found = [table[column.codes] if len(table) else column.codes for table, column in zip(tables, columns, strict=True)]
    return Labels(np.concatenate(found), tuple(codes))


def _by_arrival(parts: Sequence[Rows]) -> Rows:
    rows = joined(parts) if parts else NONE
    order = np.argsort(rows.arrival, kind="stable")
    return rows.at(order)


NOTHING = np.zeros(0, dtype=np.int64)
_UNNAMED = Labels(NOTHING, ())
_EACH: dict[str, Any] = {one.name: _UNNAMED if one.type == "Labels" else NOTHING for one in fields(Rows)}
NONE = Rows(**_EACH)


def numbers(column: pa.Array | pa.ChunkedArray) -> NDArray[Any]:
    """A column of numbers without empty cells, as it lies in memory. `to_numpy` would import pandas: 0.3 s."""
    chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    found = [np.from_dlpack(chunk) for chunk in chunks]
    return np.concatenate(found) if len(found) > 1 else found[0] if found else NOTHING


def labels(table: pa.Table, name: str) -> Labels:
    """A column of strings."""
    column = table.column(name)
    if column.null_count:
        raise ValueError(f"the column {name} has empty cells")
    return _joined([_labels(chunk) for chunk in column.chunks] or [_UNNAMED])


def _labels(chunk: pa.Array) -> Labels:
    if not pa.types.is_dictionary(chunk.type):
        chunk = pc.dictionary_encode(chunk)
    return Labels(numbers(chunk.indices), tuple(chunk.dictionary.to_pylist()))


def _column(chunk: pa.Array) -> Any:
    return numbers(chunk) if pa.types.is_integer(chunk.type) else _labels(chunk)


def _pieces(table: pa.Table) -> Iterator[Rows]:
    names = [one.name for one in fields(Rows)]
    for name in names:
        if table.column(name).null_count:
            raise ValueError(f"the column {name} has empty cells")
    for batch in table.select(names).to_batches(max_chunksize=PIECE):
        if batch.num_rows:
            yield Rows(**{name: _column(batch.column(name)) for name in names})


def read_rows(
    table: pa.Table,
    *,
    expected: int | None,
    from_ns: int | None,
    until_ns: int | None,
    every_ns: int | None = None,
) -> Record:
    """The table's rows, and what is missing.

    Arrivals 0 … expected-1 (None: up to the last one seen, and with `every_ns` on to `until_ns`) each need a row. One
    without was due between its neighbours, since schedules ascend. Of two rows for one arrival the first counts.
    """
    pieces = tuple(_pieces(table))
    last = max((int(piece.arrival.max()) for piece in pieces), default=-1)
    count = last + 1 if expected is None else expected
    there, inside = _there(pieces, count)
    outside = [piece.arrival[(piece.arrival < 0) | (piece.arrival >= count)] for piece in pieces]
    strange = np.concatenate([NOTHING, *outside])
    duplicates = inside - int(np.count_nonzero(there)) + len(strange) - len(np.unique(strange))
    if duplicates:
        _, first = np.unique(np.concatenate([piece.arrival for piece in pieces]), return_index=True)
        pieces = tuple(_pieces(table.take(pa.array(np.sort(first)))))
    return Record(pieces, _missing(pieces, there, expected, from_ns, until_ns, every_ns), duplicates)


def _there(pieces: Iterable[Rows], count: int) -> tuple[Bools, int]:
    """(which of the arrivals 0 … count-1 have a row, how many rows they have together)"""
    there = np.zeros(max(count, 0), dtype=bool)
    inside = 0
    for piece in pieces:
        arrival = piece.arrival
        if arrival.min() < 0 or arrival.max() >= count:
            arrival = arrival[(arrival >= 0) & (arrival < count)]
        there[arrival] = True
        inside += len(arrival)
    return there, inside


def _missing(
    pieces: Sequence[Rows],
    there: Bools,
    expected: int | None,
    from_ns: int | None,
    until_ns: int | None,
    every_ns: int | None,
) -> Missing:
    absent = np.flatnonzero(~there)
    arrival, intended = _neighbours(pieces, absent, len(there))
    if expected is None and every_ns and until_ns is not None and len(arrival):
        more = max(0, (until_ns - int(intended[-1]) - 1) // every_ns)
        absent = np.concatenate([absent, int(arrival[-1]) + 1 + np.arange(more)])
    if not len(absent):
        return Missing(absent, absent)
    place = np.searchsorted(arrival, absent)
    begin = from_ns if from_ns is not None else (int(intended[0]) if len(intended) else 0)
    end = until_ns if until_ns is not None else (int(intended[-1]) if len(intended) else begin)
    before = np.concatenate([[min(begin, int(intended[0])) if len(intended) else begin], intended])
    after = np.concatenate([intended, [max(end, int(intended[-1])) if len(intended) else end]])
    if every_ns and len(arrival):  # the beacon's schedule is regular: the times are known
        at = int(intended[0]) + (absent - int(arrival[0])) * every_ns
        low, high = np.maximum(before[place], at - every_ns), np.minimum(after[place], at + every_ns)
        return Missing(np.minimum(low, high), np.maximum(low, high))
    return Missing(before[place], after[place])


def _neighbours(pieces: Sequence[Rows], absent: Ints, count: int) -> tuple[Ints, Ints]:
    """(arrival, intended) by arrival, of the first and the last row and of those on both sides of each absent one."""
    if not pieces:
        return NOTHING, NOTHING
    beside = np.zeros(count + 2, dtype=bool)  # arrival -1 … count; what lies outside comes with the ends
    beside[[0, -1]] = True
    beside[absent], beside[absent + 2] = True, True
    first = min(int(piece.arrival.min()) for piece in pieces)
    last = max(int(piece.arrival.max()) for piece in pieces)
    found = []
    for piece in pieces:
        chosen = beside[np.clip(piece.arrival, -1, count) + 1]
        if not chosen.any() and first < piece.arrival.min() and piece.arrival.max() < last:
            continue
        chosen = chosen | (piece.arrival == first) | (piece.arrival == last)
        found.append((piece.arrival[chosen], piece.intended_ns[chosen]))
    arrival, intended = (np.concatenate(columns) for columns in zip(*found, strict=True))
    order = np.argsort(arrival, kind="stable")
    return arrival[order], intended[order]
