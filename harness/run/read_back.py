"""Reading every acknowledged write again, from each region's own endpoint."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.model.records import READBACK_COLUMNS
from harness.model.scenario import ReadBack

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Acknowledged:
    """A write that the platform said it had kept."""

    key: str
    text_sha256: str


def acknowledged(ledger: pa.Table, before_ns: int) -> list[Acknowledged]:
    """The writes acknowledged before this time; of several with one key the last."""
    rows = ledger.select(["key", "text_sha256", "acknowledged_ns"]).to_pylist()
    latest = {
        row["key"]: Acknowledged(row["key"], row["text_sha256"])
        for row in sorted(rows, key=lambda row: row["acknowledged_ns"])
        if 0 <= row["acknowledged_ns"] < before_ns
    }
    return list(latest.values())


def read_back(
    writes: Sequence[Acknowledged], regions: Mapping[str, str], how: ReadBack, after: str
) -> list[dict[str, object]]:
    """One row of READBACK_COLUMNS per write and region.

    Asks again until all are present or `how.within` is over, since a replica may lag; what then is absent is lost, what
    no answer came for is indeterminate.
    """
    import httpx

    rows: list[dict[str, object]] = []
    for region, base in regions.items():
        deadline = time.monotonic() + how.within
        waiting = {write.key: write for write in writes}
        latest: dict[str, dict[str, object]] = {}
        with httpx.Client(base_url=base, timeout=5.0) as client:
            while waiting:
                for batch in _batches(list(waiting.values()), how.batch):
                    found = _ask(client, how, [write.key for write in batch])
                    for write in batch:
                        latest[write.key] = _row(write, region, after, found)
                waiting = {key: write for key, write in waiting.items() if latest[key]["state"] != "present"}
                if time.monotonic() >= deadline:
                    break
                if waiting:
                    time.sleep(0.5)
        rows.extend(latest.values())
    return rows


def _batches(writes: list[Acknowledged], size: int) -> list[list[Acknowledged]]:
    return [writes[start : start + size] for start in range(0, len(writes), size)]


def _ask(client: Any, how: ReadBack, keys: list[str]) -> dict[str, dict[str, Any]] | None:
    import httpx

    try:
        answer = client.get(how.path, params={how.parameter: ",".join(keys)})
        answer.raise_for_status()
        return {memory["key"]: memory for memory in answer.json()["memories"]}
    except (httpx.HTTPError, ValueError, KeyError, TypeError):
        return None


def _row(write: Acknowledged, region: str, after: str, found: dict[str, dict[str, Any]] | None) -> dict[str, object]:
    digest = ""
    if found is None:
        state = "indeterminate"
    elif write.key not in found:
        state = "lost"
    else:
        memory = found[write.key]
        digest = hashlib.sha256(str(memory["text"]).encode()).hexdigest()
        state = "stale" if digest != write.text_sha256 else "duplicated" if memory.get("count", 1) != 1 else "present"
    return {
        "key": write.key,
        "region": region,
        "read_ns": time.monotonic_ns(),
        "after": after,
        "state": state,
        "text_sha256": digest,
    }


def to_table(rows: Sequence[dict[str, object]]) -> pa.Table:
    """Rows as a table with READBACK_COLUMNS."""
    import pyarrow as pa

    types = {"int64": pa.int64(), "string": pa.string()}
    return pa.table(
        {name: pa.array([row[name] for row in rows], types[kind]) for name, kind in READBACK_COLUMNS.items()}
    )
