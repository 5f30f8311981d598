"""Reading every key with an acknowledged operation again, from each region's own endpoint."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from harness import tls
from harness.judge.ledger import Expectation
from harness.model.records import READBACK_COLUMNS
from harness.model.scenario import ReadBack

if TYPE_CHECKING:
    import pyarrow as pa

AS_ACKNOWLEDGED = ("present", "deleted")
Expected = Mapping[str, Expectation]


def read_back(
    expected: Callable[[], Expected], regions: Mapping[str, str], how: ReadBack, after: str
) -> list[dict[str, object]]:
    """One row of READBACK_COLUMNS per key and region.

    Asks again until all is as acknowledged or `how.within` is over, since a replica may lag; what then is absent is
    lost, what no answer came for is indeterminate. `expected` is asked anew each time: load that goes on may have
    deleted a key meanwhile.
    """
    import httpx

    keys = list(expected())
    rows: list[dict[str, object]] = []
    for region, base in regions.items():
        deadline = time.monotonic() + how.within
        waiting = keys
        latest: dict[str, dict[str, object]] = {}
        with httpx.Client(base_url=base, timeout=5.0, verify=tls.trusted()) as client:
            while waiting:
                now = expected()
                for batch in _batches(waiting, how.batch):
                    found = _ask(client, how, batch)
                    for key in batch:
                        latest[key] = _row(now[key], region, after, found)
                waiting = [key for key in waiting if latest[key]["state"] not in AS_ACKNOWLEDGED]
                if time.monotonic() >= deadline:
                    break
                if waiting:
                    time.sleep(0.5)
        rows.extend(latest.values())
    return rows


def _batches(keys: list[str], size: int) -> list[list[str]]:
    return [keys[start : start + size] for start in range(0, len(keys), size)]


def _ask(client: Any, how: ReadBack, keys: list[str]) -> dict[str, dict[str, Any]] | None:
    import httpx

    try:
        answer = client.get(how.path, params={how.parameter: ",".join(keys)})
        answer.raise_for_status()
        return {memory["key"]: memory for memory in answer.json()["memories"]}
    except (httpx.HTTPError, ValueError, KeyError, TypeError):
        return None


def _row(expected: Expectation, region: str, after: str, found: dict[str, dict[str, Any]] | None) -> dict[str, object]:
    read_ns = time.monotonic_ns()
    digest, state = "", "indeterminate"
    if found is not None:
        memory = found.get(expected.key)
        text = None if memory is None else hashlib.sha256(str(memory["text"]).encode()).hexdigest()
        state = expected.state(text, memory.get("count", 1) if memory else 0, read_ns)
        digest = text or ""
    return {
        "key": expected.key,
        "region": region,
        "read_ns": read_ns,
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
