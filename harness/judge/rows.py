"""Request tables as numpy columns, and the arrivals that have no row."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]
    Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Labels:
    """A column of strings: a code per row, and what the codes mean."""

    codes: NDArray[np.int64]
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
    """One request per place, by intended time. Times are monotonic nanoseconds, -1 for never."""

    intended_ns: Ints
    started_ns: Ints
    finished_ns: Ints
    outcome: NDArray[np.int64]
    status: NDArray[np.int64]
    content: NDArray[np.int64]
    level: NDArray[np.int64]
    journey: Labels
    region: Labels
    release: Labels
    instance: Labels
    missing: Missing
    duplicates: int

    def __len__(self) -> int:
        return len(self.intended_ns)

    @cached_property
    def lateness_ns(self) -> int:
        """How late the latest start was; nothing starts before it was intended."""
        return max(0, int((self.started_ns - self.intended_ns).max())) if len(self) else 0

    def between(self, from_ns: int, until_ns: int) -> Rows:
        """All rows that started or were intended in [from_ns, until_ns), with a few more around; `missing` is whole."""
        first, last = np.searchsorted(self.intended_ns, [from_ns - self.lateness_ns, until_ns])
        cut = slice(int(first), int(last))
        changed: dict[str, Any] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Labels):
                changed[field.name] = Labels(value.codes[cut], value.names)
            elif isinstance(value, np.ndarray):
                changed[field.name] = value[cut]
        return replace(self, **changed)


def ints(table: pa.Table, name: str) -> Ints:
    """A column of whole numbers."""
    column = table.column(name)
    if column.null_count:
        raise ValueError(f"the column {name} has empty cells")
    return np.asarray(column.to_numpy())


def labels(table: pa.Table, name: str) -> Labels:
    """A column of strings."""
    column = table.column(name)
    if column.null_count:
        raise ValueError(f"the column {name} has empty cells")
    if not pa.types.is_dictionary(column.type):
        column = pc.dictionary_encode(column)
    merged = column.unify_dictionaries().combine_chunks()
    if isinstance(merged, pa.ChunkedArray):
        if merged.num_chunks == 0:
            return Labels(np.zeros(0, dtype=np.int64), ())
        merged = merged.chunk(0)
    return Labels(np.asarray(merged.indices.to_numpy(zero_copy_only=False)), tuple(merged.dictionary.to_pylist()))


def read_rows(
    table: pa.Table,
    *,
    expected: int | None,
    from_ns: int | None,
    until_ns: int | None,
    every_ns: int | None = None,
) -> Rows:
    """The table's rows by arrival, and what is missing.

    Arrivals 0 … expected-1 (None: up to the last one seen, and with `every_ns` on to `until_ns`) each need a row. One
    without was due between its neighbours, since schedules ascend. Of two rows for one arrival the first counts.
    """
    arrival = ints(table, "arrival")
    order = np.argsort(arrival, kind="stable")
    if np.array_equal(order, np.arange(len(order))):
        ordered = table
    else:
        ordered, arrival = table.take(pa.array(order)), arrival[order]
    fresh = np.ones(len(arrival), dtype=bool)
    fresh[1:] = arrival[1:] != arrival[:-1]
    duplicates = int(len(arrival) - np.count_nonzero(fresh))
    if duplicates:
        ordered, arrival = ordered.filter(pa.array(fresh)), arrival[fresh]
    intended = ints(ordered, "intended_ns")
    return Rows(
        intended_ns=intended,
        started_ns=ints(ordered, "started_ns"),
        finished_ns=ints(ordered, "finished_ns"),
        outcome=ints(ordered, "outcome"),
        status=ints(ordered, "status"),
        content=ints(ordered, "content"),
        level=ints(ordered, "level"),
        journey=labels(ordered, "journey"),
        region=labels(ordered, "region"),
        release=labels(ordered, "release"),
        instance=labels(ordered, "instance"),
        missing=_missing(arrival, intended, expected, from_ns, until_ns, every_ns),
        duplicates=duplicates,
    )


def _missing(
    arrival: Ints, intended: Ints, expected: int | None, from_ns: int | None, until_ns: int | None, every_ns: int | None
) -> Missing:
    last = int(arrival[-1]) if len(arrival) else -1
    count = last + 1 if expected is None else expected
    if expected is None and every_ns and until_ns is not None and len(arrival):
        count = max(count, last + 1 + max(0, (until_ns - int(intended[-1]) - 1) // every_ns))
    if count <= len(arrival) and last < count:
        absent = np.zeros(0, dtype=np.int64)
    else:
        there = np.zeros(max(count, 0), dtype=bool)
        there[arrival[(arrival >= 0) & (arrival < count)]] = True
        absent = np.flatnonzero(~there)
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
