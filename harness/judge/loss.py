"""Data loss: the ledger of acknowledged writes and deletes against what each region gave back after healing.

An operation counts when it was acknowledged before its read-back began (after an experiment: before its window ended);
what was never acknowledged is not lost. What a key may hold then is said by harness.judge.ledger. A key that a region
was not asked for, or did not answer for, is indeterminate: in every read-back, for every region that an objective
declares. A key whose regions disagree about its content is diverged, unless they were read at different times and an
operation that was sent, or acknowledged, after the first of these reads explains it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from harness.judge.ledger import Expectation, expectations
from harness.model.judgement import DataLoss, Interval
from harness.model.slo import DataLossMeasure

if TYPE_CHECKING:
    import pyarrow as pa

    from harness.judge.facts import Facts, Fault

STATES = ("present", "deleted", "lost", "stale", "duplicated", "resurrected", "diverged", "indeterminate")
GONE = ("lost", "deleted")  # what a read-back calls a key that was not there
THERE = ("present", "stale", "duplicated", "resurrected")
AGREEING = ("present", "deleted", "stale", "duplicated")  # of these the regions must hold the same
NOT_KEPT = ("lost", "stale", "resurrected")  # an acknowledged write, overwrite or delete is gone
END = "end"  # the read-back after everything
_NEVER = 2**63 - 1


@dataclass(frozen=True)
class Fate:
    """What became of a key's last acknowledged operation in one region, by one read-back."""

    key: str
    after: str
    region: str
    acknowledged_ns: int
    state: str


@dataclass(frozen=True)
class _Read:
    """One row of the read-back; `text_sha256` None: the key was not there."""

    state: str
    text_sha256: str | None


class Fates:
    """Every key with an acknowledged operation × region × read-back."""

    def __init__(
        self, ledger: pa.Table, readback: pa.Table, ends_ns: Mapping[str, int], regions: Iterable[str] = ()
    ) -> None:
        self._ends_ns = ends_ns
        self._regions = frozenset(regions)
        self._ledger = ledger
        self._readback = readback.select(["key", "region", "read_ns", "after", "state", "text_sha256"]).to_pylist()

    @cached_property
    def all(self) -> tuple[Fate, ...]:
        groups: dict[str, list[dict[str, object]]] = {}
        for row in self._readback:
            groups.setdefault(str(row["after"]), []).append(row)
        regions = sorted(self._regions | {str(row["region"]) for row in self._readback})
        # By time, not as the rows happen to lie.
        order = sorted(groups, key=lambda after: (min(int(str(row["read_ns"])) for row in groups[after]), after))
        return tuple(fate for after in order for fate in self._group(after, groups[after], regions))

    def _group(self, after: str, rows: list[dict[str, object]], regions: list[str]) -> Iterable[Fate]:
        until = min(min(int(str(row["read_ns"])) for row in rows), self._ends_ns.get(after, _NEVER))
        read = {(str(row["key"]), str(row["region"])): row for row in rows}
        for key, expected in expectations(self._ledger, until).items():
            told = {region: _read(read.get((key, region)), expected) for region in regions}
            at = [int(str(row["read_ns"])) for region in regions if (row := read.get((key, region)))]
            later = expected.in_flight(min(at, default=until))
            held = {it.text_sha256 for it in told.values() if it.state in AGREEING} - later
            for region, it in told.items():
                apart = len(held) > 1 and it.state in AGREEING and it.text_sha256 in held
                yield Fate(key, after, region, expected.acknowledged_ns, "diverged" if apart else it.state)


def _read(row: dict[str, object] | None, expected: Expectation) -> _Read:
    """What the row says of the key, judged anew: the read-back knew less of the ledger than we do."""
    if row is None:
        return _Read("indeterminate", None)
    told, text, at = str(row["state"]), str(row["text_sha256"]), int(str(row["read_ns"]))
    if told in GONE:
        return _Read(expected.state(None, 0, at), None)
    if told in THERE:
        return _Read(expected.state(text, 2 if told == "duplicated" else 1, at), text)
    return _Read(told if told in STATES else "indeterminate", text)


def fates_of(facts: Facts) -> Fates | None:
    """None when either table is missing."""
    ledger, readback = facts.evidence.ledger, facts.evidence.readback
    ends = {span.experiment: span.end_ns for span in facts.spans if span.kind == "fault"}
    declared = {
        region for slo in facts.slos if isinstance(slo.indicator, DataLossMeasure) for region in slo.indicator.regions
    }
    return None if ledger is None or readback is None else Fates(ledger, readback, ends, declared)


def seconds_before(fault: Fault, fates: Sequence[Fate], states: Sequence[str]) -> Interval:
    """How long before the fault the oldest operation in one of these states was acknowledged: 0 when there is none.

    [least, most]: the fault's effect was made in a stretch of time, and what is indeterminate may be in any state.
    """
    certain = [fate.acknowledged_ns for fate in fates if fate.state in states]
    possible = [fate.acknowledged_ns for fate in fates if fate.state in (*states, "indeterminate")]
    return Interval(
        low=max([0.0, *((fault.from_ns - at) / 1e9 for at in certain)]),
        high=max([0.0, *((fault.to_ns - at) / 1e9 for at in possible)]),
    )


def summary(fates: Fates | None, faults: Sequence[Fault] = ()) -> tuple[DataLoss, ...]:
    """Counts per read-back and region."""
    if fates is None:
        return ()
    groups: dict[tuple[str, str], list[Fate]] = {}
    for fate in fates.all:
        groups.setdefault((fate.after, fate.region), []).append(fate)
    told = []
    for (after, region), group in groups.items():
        counts = dict.fromkeys(STATES, 0)
        for fate in group:
            counts[fate.state] += 1
        fault = next((fault for fault in faults if fault.experiment == after), None)
        reach = seconds_before(fault, group, NOT_KEPT) if fault else None
        told.append(DataLoss(after=after, region=region, acknowledged=len(group), before_fault_s=reach, **counts))
    return tuple(told)
