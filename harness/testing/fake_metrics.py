"""A MetricSource in memory, equal to the Prometheus adapter under the contract test."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.model.evidence import MetricAnswer
from harness.model.promql import parse_selector
from harness.model.records import SAMPLE_COLUMNS

if TYPE_CHECKING:
    import pyarrow as pa

Point = tuple[float, float]  # wall time in seconds, value


@dataclass(frozen=True)
class FakeMetrics:
    """Series by their labels (with `__name__`), staleness markers among their values; `errors`, `warnings` by selector.

    It evaluates no PromQL: what is no series selector is an error.
    """

    series: Sequence[tuple[Mapping[str, str], Sequence[Point]]]
    errors: Mapping[str, str] | None = None
    warnings: Mapping[str, tuple[str, ...]] | None = None

    def samples(self, selector: str, from_wall_s: float, to_wall_s: float) -> tuple[pa.Table, MetricAnswer]:
        """As Prometheus would answer."""
        error = (self.errors or {}).get(selector, "")
        try:
            wanted = parse_selector(selector)
        except ValueError as wrong:
            error = str(wrong)
        rows: list[tuple[str, str, int, float]] = []
        found = 0
        if not error:
            for labels, points in self.series:
                inside = [(at, value) for at, value in points if from_wall_s <= at <= to_wall_s]
                if inside and wanted.matches(labels):
                    found += 1
                    name = json.dumps(dict(labels), sort_keys=True, separators=(",", ":"))
                    rows.extend((selector, name, round(at * 1000), value) for at, value in sorted(inside))
        told = (self.warnings or {}).get(selector, ())
        return _table(rows), MetricAnswer(selector, found, len(rows), error=error, warnings=told, stale=not error)


def _table(rows: Sequence[tuple[str, str, int, float]]) -> pa.Table:
    import pyarrow as pa

    text = pa.dictionary(pa.int32(), pa.string())
    return pa.table(
        {
            name: pa.array([row[place] for row in rows], text if kind == "string" else pa.type_for_alias(kind))
            for place, (name, kind) in enumerate(SAMPLE_COLUMNS.items())
        }
    )
