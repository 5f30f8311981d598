"""Prometheus' answers as values: series as points, a table, durations and times."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from harness.model.records import SAMPLE_COLUMNS, is_stale

if TYPE_CHECKING:
    import pyarrow as pa

    from harness.metrics.remote_read import TimeSeries

Points = dict[str, dict[int, float]]  # by the labels as JSON: value by ms


def points_of(result: Iterable[Mapping[str, Any]], from_ms: int) -> Points:
    """Samples from `from_ms` on; a series without one is none."""
    found: Points = {}
    for one in result:
        points = {round(at * 1000): float(value) for at, value in one["values"]}
        inside = {at: value for at, value in points.items() if at >= from_ms}
        if inside:
            found[name_of(one["metric"])] = inside
    return found


def name_of(labels: Mapping[str, str]) -> str:
    return json.dumps(labels, sort_keys=True, separators=(",", ":"))


def add_markers(found: Points, seen: Iterable[TimeSeries]) -> int:
    """Adds the staleness markers that remote read saw; how many of its samples the answer lacks."""
    lost = 0
    for labels, points in seen:
        name = name_of(labels)
        known = found.get(name, {})
        for at, value in points:
            if is_stale(value):
                found.setdefault(name, {})[at] = value
            elif at not in known:
                lost += 1
    return lost


def table_of(query: str, found: Points) -> pa.Table:
    import pyarrow as pa

    rows = [(name, at, value) for name, points in found.items() for at, value in sorted(points.items())]
    text = pa.dictionary(pa.int32(), pa.string())
    columns: dict[str, list[Any]] = {
        "query": [query] * len(rows),
        "series": [name for name, _, _ in rows],
        "t_ms": [at for _, at, _ in rows],
        "value": [value for _, _, value in rows],
    }
    return pa.table(
        {
            name: pa.array(columns[name], type=text if kind == "string" else pa.type_for_alias(kind))
            for name, kind in SAMPLE_COLUMNS.items()
        }
    )


def seconds_of(text: str) -> float | None:
    """Prometheus' durations, as in 1m30s or 500ms; None for anything else."""
    units = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0, "y": 31536000.0}
    if not re.fullmatch(r"(\d+(ms|[smhdwy]))+", text):
        return None
    return sum(int(number) * units[unit] for number, unit in re.findall(r"(\d+)(ms|[smhdwy])", text))


def wall_ns_of(text: str) -> int:
    """RFC 3339 with any number of fractional digits; 0 for Prometheus' "never" (year 1)."""
    from datetime import datetime

    base, _, fraction = text.removesuffix("Z").partition(".")
    if base.startswith("0001-"):
        return 0
    digits, zone = fraction, "+00:00"
    for sign in "+-":
        if sign in fraction:
            digits, _, rest = fraction.partition(sign)
            zone = sign + rest
    if not fraction and len(base) > 19:
        base, zone = base[:19], base[19:]
    whole = datetime.fromisoformat(base + zone)
    return int(whole.timestamp()) * 1_000_000_000 + int((digits or "0")[:9].ljust(9, "0"))
