"""The request record over time: counts, exact percentiles and degradation level per bin, with numpy."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from harness.model.records import Content, Outcome

if TYPE_CHECKING:
    import pyarrow as pa

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

QUANTILES = (0.5, 0.95, 0.99)
WIDTHS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600)


@dataclass(frozen=True)
class Requests:
    """A request record as arrays of equal length, in order of intended start. Times in seconds since the run's start.

    `latency_s` counts from the intended start; it is NaN unless a response was read to its end.
    `failed`: not answered, or not with a status of 200 to 399, or with wrong content.
    `unsent`: dropped, skipped or still in flight at the end; neither good nor failed here.
    """

    at_s: Floats
    latency_s: Floats
    failed: NDArray[np.bool_]
    unsent: NDArray[np.bool_]
    level: Ints

    def between(self, start_s: float, end_s: float) -> Requests:
        """Those with their intended start in [start_s, end_s)."""
        return self.where((self.at_s >= start_s) & (self.at_s < end_s))

    def where(self, mask: NDArray[np.bool_]) -> Requests:
        return Requests(self.at_s[mask], self.latency_s[mask], self.failed[mask], self.unsent[mask], self.level[mask])

    def __len__(self) -> int:
        return len(self.at_s)


@dataclass(frozen=True)
class Bins:
    """One value per bin of `width_s` seconds, the first starting at `start_s`. Percentiles are NaN in an empty bin.

    `level` is the worst level told in the bin, 0 when none was.
    """

    start_s: float
    width_s: float
    arrivals: Ints
    full: Ints
    degraded: Ints
    failed: Ints
    unsent: Ints
    level: Ints
    percentiles_s: Floats  # (len(QUANTILES), bins)

    def __len__(self) -> int:
        return len(self.arrivals)

    @property
    def end_s(self) -> float:
        return self.start_s + self.width_s * len(self)

    def failed_share(self) -> Floats:
        """Failed requests as a share of those that were sent, 0 where none was."""
        sent = self.arrivals - self.unsent
        share: Floats = np.divide(self.failed, sent, out=np.zeros(len(self)), where=sent > 0)
        return share


def requests(table: pa.Table, origin_ns: int) -> Requests:
    """The record (harness.model.records.REQUEST_COLUMNS) as arrays."""
    column = {
        name: table.column(name).to_numpy()
        for name in ("intended_ns", "finished_ns", "outcome", "status", "content", "level")
    }
    order = np.argsort(column["intended_ns"], kind="stable")
    intended, finished, outcome, status, content, level = (values[order] for values in column.values())
    answered = (outcome == Outcome.ANSWERED) & (finished >= 0)
    unsent = np.isin(outcome, (Outcome.DROPPED, Outcome.SKIPPED, Outcome.UNFINISHED))
    return Requests(
        at_s=(intended - origin_ns) / 1e9,
        latency_s=np.where(answered, (finished - intended) / 1e9, np.nan),
        failed=~unsent & (~answered | (status < 200) | (status >= 400) | (content == Content.WRONG)),
        unsent=unsent,
        level=level.astype(np.int64),
    )


def bin_width(seconds: float, most: int) -> float:
    """The narrowest round width with which `seconds` make at most `most` bins."""
    return float(next((width for width in WIDTHS_S if seconds / width <= most), WIDTHS_S[-1]))


def bins(record: Requests, width_s: float, *, start_s: float | None = None, end_s: float | None = None) -> Bins:
    """Bins on whole multiples of `width_s`, over the record or over [start_s, end_s)."""
    first = record.at_s[0] if start_s is None and len(record) else start_s or 0.0
    last = np.nextafter(record.at_s[-1], np.inf) if end_s is None and len(record) else end_s or 0.0
    start = float(np.floor(first / width_s) * width_s)
    number = max(0, int(np.ceil((last - start) / width_s)))
    inside = record.between(start, start + number * width_s)
    index = ((inside.at_s - start) // width_s).astype(np.int64)
    good = ~inside.failed & ~inside.unsent

    def counted(mask: NDArray[np.bool_]) -> Ints:
        return np.bincount(index[mask], minlength=number)

    level = np.zeros(number, dtype=np.int64)
    np.maximum.at(level, index, inside.level)
    return Bins(
        start_s=start,
        width_s=width_s,
        arrivals=counted(np.ones(len(inside), dtype=bool)),
        full=counted(good & (inside.level <= 1)),
        degraded=counted(good & (inside.level > 1)),
        failed=counted(inside.failed),
        unsent=counted(inside.unsent),
        level=level,
        percentiles_s=_percentiles(inside.latency_s, index, number),
    )


def percentile(latency_s: Floats, quantile: float) -> float:
    """The nearest-rank order statistic: the smallest latency that `quantile` of all do not exceed; NaN of none."""
    known = np.sort(latency_s[~np.isnan(latency_s)])
    return float(known[_rank(len(known), quantile)]) if len(known) else float("nan")


def _rank(number: int, quantile: float) -> int:
    # the small amount keeps 0.95 * 20 = 19.000000000000004 from becoming rank 20
    return max(math.ceil(quantile * number - 1e-9), 1) - 1


def _percentiles(latency_s: Floats, index: Ints, number: int) -> Floats:
    """Exact percentiles of each bin; `index` ascends, so that a bin is one slice, which is far faster than one sort."""
    known = ~np.isnan(latency_s)
    latency_s, index = latency_s[known], index[known]
    sizes = np.bincount(index, minlength=number)
    ends = np.cumsum(sizes)
    result = np.full((len(QUANTILES), number), np.nan)
    for column in np.flatnonzero(sizes):
        ordered = np.sort(latency_s[ends[column] - sizes[column] : ends[column]])
        for row, quantile in enumerate(QUANTILES):
            result[row, column] = ordered[_rank(sizes[column], quantile)]
    return result


def stretches(values: Ints) -> list[tuple[int, int, int]]:
    """Runs of equal values: (value, first index, index after the last)."""
    if not len(values):
        return []
    edges = np.flatnonzero(np.diff(values)) + 1
    starts = [0, *edges.tolist()]
    return [(int(values[a]), a, b) for a, b in zip(starts, [*starts[1:], len(values)], strict=True)]
