"""What the users' record says of both releases, block by block. What is not known counts against what would be claimed.

- A failure that names no release is read as the canary's and as nobody's where "good enough" is to be shown, as the
  stable release's and as nobody's where harm is; the reading with the least evidence counts. So neither claim becomes
  easier by it. An arrival that the generator dropped is such a failure for the first, and nobody's for the second.
- A latency that is an interval, because the generator started late, counts at its unfavourable end.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

from harness.judge.sequential.canary import Block, Null
from harness.model.records import Content, Outcome
from harness.model.rollout import ContentCriterion, Criterion, ErrorCriterion, ShiftCriterion, SlowCriterion

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    Bools = NDArray[np.bool_]

STABLE, CANARY, NAMELESS, UNSENT, OTHER = range(5)
HISTORY = 100  # responses of the stable release that its quantiles are taken from, at least


@dataclass(frozen=True)
class Record:
    """One row for each response, in any order; and one for each arrival that was dropped, at the time it was due."""

    at_ns: NDArray[np.int64]
    side: NDArray[np.int8]
    failed: Bools
    right: Bools  # the content was checked and is right, and the service was full or said nothing of its level
    told: Bools  # there was an answer to tell right from wrong
    least_s: NDArray[np.float64]
    most_s: NDArray[np.float64]

    def between(self, from_ns: int, to_ns: int) -> Record:
        """The rows of [from, to)."""
        return self.where((self.at_ns >= from_ns) & (self.at_ns < to_ns))

    def where(self, chosen: Bools) -> Record:
        return Record(*(getattr(self, field.name)[chosen] for field in fields(self)))


def of_table(requests: pa.Table, baseline: str, canary: str) -> Record:
    """The record of a run (REQUEST_COLUMNS), as the gate saw it grow."""
    import pyarrow as pa

    def column(name: str) -> NDArray[np.int64]:
        found: NDArray[np.int64] = requests[name].to_numpy().astype(np.int64)
        return found

    outcome, status, content, level = (column(name) for name in ("outcome", "status", "content", "level"))
    finished, started, intended = (column(f"{name}_ns") for name in ("finished", "started", "intended"))
    release = np.asarray(requests["release"].cast(pa.string()).to_pylist(), dtype=object)
    unsent = outcome == Outcome.DROPPED
    side = np.select(
        [unsent, release == baseline, release == canary, release == ""], [UNSENT, STABLE, CANARY, NAMELESS], OTHER
    )
    wrong = content == Content.WRONG
    good = (outcome == Outcome.ANSWERED) & (status < 400) & ~wrong
    told = wrong | (good & ((content == Content.RIGHT) | (level > 0)))
    record = Record(
        at_ns=np.where(unsent, intended, finished),
        side=side.astype(np.int8),
        failed=~good,
        right=told & ~wrong & (level <= 1),
        told=told,
        least_s=(finished - started) / 1e9,
        most_s=(finished - intended) / 1e9,
    )
    return record.where(~np.isin(outcome, (Outcome.UNFINISHED, Outcome.SKIPPED)))


def thresholds(criterion: Criterion, history: Record) -> tuple[float, ...]:
    """The latencies that a criterion counts by; for a shift the stable release's own quantiles so far, or none yet."""
    if isinstance(criterion, SlowCriterion):
        return (criterion.above,)
    if not isinstance(criterion, ShiftCriterion):
        return (0.0,)
    seen = history.most_s[history.side == STABLE]
    if len(seen) < HISTORY:
        return ()
    return tuple(float(np.quantile(seen, q, method="inverted_cdf")) for q in criterion.quantiles)


def count(record: Record, criterion: Criterion, threshold: float, null: Null) -> tuple[Block, ...]:
    """The block's counts on a criterion: without what is unknown, and with it where that hinders refuting this null."""
    sure, maybe = _bad(record, criterion, threshold)
    counted = record.told if isinstance(criterion, ContentCriterion) else np.ones(len(record.side), dtype=bool)
    canary, stable = counted & (record.side == CANARY), counted & (record.side == STABLE)
    nameless = record.failed & (record.side == NAMELESS)
    none = np.zeros(())
    if null is Null.NOT_WORSE:
        read = Block(_sum(canary & sure), _sum(canary), _sum(stable & maybe), _sum(stable))
        more = _sum(nameless)
        doubt = Block(none, none, more, more)
    else:
        read = Block(_sum(canary & maybe), _sum(canary), _sum(stable & sure), _sum(stable))
        more = _sum(nameless | (record.side == UNSENT))
        doubt = Block(more, more, none, none)
    return (read, read + doubt) if more else (read,)


def unknown(record: Record) -> int:
    """Failures that named no release, and arrivals that were dropped."""
    return int(_sum((record.failed & (record.side == NAMELESS)) | (record.side == UNSENT)))


def _bad(record: Record, criterion: Criterion, threshold: float) -> tuple[Bools, Bools]:
    """(surely bad, possibly bad) on the criterion."""
    match criterion:
        case ErrorCriterion():
            return record.failed, record.failed
        case ContentCriterion():
            return ~record.right, ~record.right
        case SlowCriterion() | ShiftCriterion():
            return record.least_s > threshold, record.most_s > threshold


def _sum(mask: Bools) -> NDArray[np.float64]:
    return np.asarray(np.count_nonzero(mask), dtype=float)
