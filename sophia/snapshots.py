"""Snapshots of the vector index: taken in the primary region, restored in the standby ones."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import aiohttp

from sophia import corpus

KEPT = 3


class SnapshotError(Exception):
    """Weaviate did not take or restore the snapshot."""


async def _call(session: aiohttp.ClientSession, method: str, url: str, body: object = None) -> Any:
    async with session.request(method, url, json=body) as response:
        if response.status >= 400:
            raise SnapshotError(f"{method} {url}: {response.status} {(await response.text())[:300]}")
        return await response.json() if response.content_type == "application/json" else None


async def _finished(session: aiohttp.ClientSession, url: str, within: float = 60.0) -> None:
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        found = await _call(session, "GET", url)
        if found["status"] == "SUCCESS":
            return
        if found["status"] in ("FAILED", "CANCELED"):
            raise SnapshotError(f"{url}: {found.get('error', found['status'])}")
        await asyncio.sleep(0.2)
    raise SnapshotError(f"{url} is not finished after {within:.0f} s")


async def take(session: aiohttp.ClientSession, base: str, name: str) -> None:
    """A snapshot of every collection."""
    await _call(session, "POST", f"{base}/v1/backups/filesystem", {"id": name})
    await _finished(session, f"{base}/v1/backups/filesystem/{name}")


async def restore(session: aiohttp.ClientSession, base: str, name: str) -> None:
    """Replaces every collection by the snapshot's, and sees that each can be read.

    Both Weaviates must have the same node name: with `node_mapping`, 1.35 restores shards that it then seeks on the
    node where the snapshot was taken.
    """
    schema = await _call(session, "GET", f"{base}/v1/schema")
    for collection in schema.get("classes") or ():
        await _call(session, "DELETE", f"{base}/v1/schema/{collection['class']}")
    await _call(session, "POST", f"{base}/v1/backups/filesystem/{name}/restore", {})
    await _finished(session, f"{base}/v1/backups/filesystem/{name}/restore")
    schema = await _call(session, "GET", f"{base}/v1/schema")
    for collection in schema["classes"]:
        await _call(session, "GET", f"{base}/v1/objects?class={collection['class']}&limit=1")


async def loaded(session: aiohttp.ClientSession, base: str) -> bool:
    """Whether the corpus is whole there: a restore in the middle of its loading would leave half of each."""
    query = f"{{Aggregate{{{corpus.COLLECTION}{{meta{{count}}}}}}}}"
    try:
        answer = await _call(session, "POST", f"{base}/v1/graphql", {"query": query})
        return int(answer["data"]["Aggregate"][corpus.COLLECTION][0]["meta"]["count"]) >= corpus.DOCUMENTS
    except (SnapshotError, KeyError, TypeError, IndexError):
        return False


def forget_old(folder: Path) -> None:
    """Removes all but the latest snapshots."""
    found = sorted((path for path in folder.glob("snapshot-*") if path.is_dir()), key=lambda path: path.name)
    for old in found[:-KEPT]:
        shutil.rmtree(old)


async def take_and_restore(
    session: aiohttp.ClientSession, nodes: Sequence[Mapping[str, str]], primary: str, folder: Path
) -> dict[str, Any]:
    """One round; says what was taken, when, and where it was restored. `nodes`: name, region and url of each Weaviate.

    Raises SnapshotError, aiohttp.ClientError, OSError or TimeoutError.
    """
    source = next((node for node in nodes if node["region"] == primary), None)
    if source is None:
        raise SnapshotError(f"there is no Weaviate in {primary}")
    for node in nodes:
        if not await loaded(session, node["url"]):
            raise SnapshotError(f"the corpus is not loaded in {node['region']} yet")
    taken_at = time.time()
    name = f"snapshot-{int(taken_at)}"
    await take(session, source["url"], name)
    restored = []
    for node in nodes:
        if node["region"] != primary:
            await restore(session, node["url"], name)
            restored.append(node["region"])
    forget_old(folder)
    return {"name": name, "taken_at": taken_at, "from": primary, "restored": restored}
