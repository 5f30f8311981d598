"""Data loss: the ledger of acknowledged writes against what each region gave back after healing.

A write counts when it was acknowledged before its read-back began (after an experiment: before its window ended); what
was never acknowledged is not lost. Of several acknowledged writes to one key the last counts. An acknowledged write
that a region was not asked for, or did not answer for, is indeterminate: in every read-back, for every region that an
objective declares. A write whose regions disagree about its content is diverged.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from harness.model.judgement import DataLoss
from harness.model.slo import DataLossMeasure

if TYPE_CHECKING:
    import pyarrow as pa

    from harness.judge.facts import Facts

STATES = ("present", "lost", "stale", "duplicated", "diverged", "indeterminate")


@dataclass(frozen=True)
class Fate:
    """What became of one acknowledged write in one region, by one read-back."""

    key: str
    after: str
    region: str
    acknowledged_ns: int
    state: str


class Fates:
    """Every acknowledged write × region × read-back."""

    def __init__(
        self, ledger: pa.Table, readback: pa.Table, ends_ns: Mapping[str, int], regions: Iterable[str] = ()
    ) -> None:
        self._ends_ns = ends_ns
        self._regions = frozenset(regions)
        self._ledger = ledger.select(["key", "text_sha256", "acknowledged_ns"]).to_pylist()
        self._readback = readback.select(["key", "region", "read_ns", "after", "state", "text_sha256"]).to_pylist()

    @cached_property
    def all(self) -> tuple[Fate, ...]:
        groups: dict[str, list[dict[str, object]]] = {}
        for row in self._readback:
            groups.setdefault(str(row["after"]), []).append(row)
        regions = sorted(self._regions | {str(row["region"]) for row in self._readback})
        return tuple(fate for after in groups for fate in self._group(after, groups[after], regions))

    def _group(self, after: str, rows: list[dict[str, object]], regions: list[str]) -> Iterable[Fate]:
        until = min(min(int(str(row["read_ns"])) for row in rows), self._ends_ns.get(after, _NEVER))
        written: dict[str, tuple[int, str]] = {}
        for row in self._ledger:
            at, key = int(row["acknowledged_ns"]), str(row["key"])
            if 0 <= at < until and (key not in written or at > written[key][0]):
                written[key] = (at, str(row["text_sha256"]))
        read = {(str(row["key"]), str(row["region"])): row for row in rows}
        for key, (at, digest) in written.items():
            states = {region: _state(read.get((key, region)), digest) for region in regions}
            texts = {str(read[key, region]["text_sha256"]) for region in regions if states[region] in _READ}
            diverged = len(texts) > 1
            for region, state in states.items():
                yield Fate(key, after, region, at, "diverged" if diverged and state in _READ else state)


_READ = ("present", "stale", "duplicated")
_NEVER = 2**63 - 1
END = "end"  # the read-back after everything


def _state(row: dict[str, object] | None, digest: str) -> str:
    if row is None:
        return "indeterminate"
    state = str(row["state"])
    if state not in STATES:
        return "indeterminate"
    if state == "present" and str(row["text_sha256"]) != digest:
        return "stale"
    return state


def fates_of(facts: Facts) -> Fates | None:
    """None when either table is missing."""
    ledger, readback = facts.evidence.ledger, facts.evidence.readback
    ends = {span.experiment: span.end_ns for span in facts.spans if span.kind == "fault"}
    declared = {
        region for slo in facts.slos if isinstance(slo.indicator, DataLossMeasure) for region in slo.indicator.regions
    }
    return None if ledger is None or readback is None else Fates(ledger, readback, ends, declared)


def summary(fates: Fates | None) -> tuple[DataLoss, ...]:
    """Counts per read-back and region."""
    if fates is None:
        return ()
    counts: dict[tuple[str, str], dict[str, int]] = {}
    for fate in fates.all:
        row = counts.setdefault((fate.after, fate.region), dict.fromkeys(STATES, 0))
        row[fate.state] += 1
    return tuple(
        DataLoss(after=after, region=region, acknowledged=sum(row.values()), **row)
        for (after, region), row in counts.items()
    )
