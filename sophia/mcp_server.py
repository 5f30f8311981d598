"""The memory server: follows the memories in PostgreSQL, indexes them, finds them, and tells duplicates.

It reads PostgreSQL by a position that it keeps itself, so nothing that was committed can be missed, however often this
service, Weaviate or the database were away. A standby region's server follows its replica and keeps only words; vectors
come with the snapshots, and from here as soon as its database is primary.

Environment, besides the identity: DATABASE (conninfo), WEAVIATE (host:port), BREAKER_FAILURES, BREAKER_RECOVERY,
BREAKER_TRIALS, CHECK_EVERY (seconds between self-checks of the duplicate detection, 0: none). State is kept in the
working directory.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import psycopg
from prometheus_client import Counter, Gauge
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sophia import dedup, metrics, settings
from sophia.circuit import Circuit, CircuitOpen, rule_from_environment
from sophia.memory_index import MemoryIndex, Row
from sophia.settings import Identity
from sophia.vectors import FAILURES, Weaviate
from sophia.web import ApiError, answer, application, body_of, field, serve

FOLLOW_EVERY = 0.5
BATCH = 500
# A transaction stamps its rows before it commits: what was stamped a little earlier may still turn up.
FOLLOW = """
SELECT key, text, version, changed_at::text, deleted FROM memories
WHERE (changed_at, key) > (%s::timestamptz - interval '3 seconds', '') ORDER BY changed_at, key LIMIT %s
"""
CATCH_UP = """
SELECT key, text, version, changed_at::text, deleted FROM memories
WHERE (changed_at, key) > (%s::timestamptz, %s) ORDER BY changed_at, key LIMIT %s
"""
DUPLICATES = Counter(
    "sophia_duplicates", "Planted duplicates, found or not.", ("kind", "detected"), registry=metrics.REGISTRY
)
FALSE_ALARMS = Counter(
    "sophia_duplicate_false_alarms", "Planted distinct texts.", ("raised",), registry=metrics.REGISTRY
)
FOUND = Counter("sophia_memories_duplicate", "Memories that are duplicates.", ("kind",), registry=metrics.REGISTRY)
BACKLOG = Gauge("sophia_dedup_backlog", "Memories that wait for their vector.", registry=metrics.REGISTRY)
INDEXED = Gauge("sophia_memories_indexed", "Memories in the index.", registry=metrics.REGISTRY)


class Server:
    """The index, the position in PostgreSQL, the breaker of Weaviate."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        weaviate = Weaviate(session, f"http://{settings.text('WEAVIATE')}")
        self.index = MemoryIndex(Path("index.sqlite"), "Memory", weaviate)
        self.planted = MemoryIndex(":memory:", "PlantedDuplicate", weaviate)
        self.circuit = Circuit("weaviate", rule_from_environment(5, 30, 3), FAILURES)
        self.check_every = settings.number("CHECK_EVERY", 5)
        self.primary = False
        self.seeds = itertools.count()
        self.started = str(time.time_ns())

    async def follow(self) -> None:
        """Reads what is new in PostgreSQL, for ever."""
        connection: psycopg.AsyncConnection[Any] | None = None
        while True:
            try:
                if connection is None or connection.closed:
                    async with asyncio.timeout(3):
                        connection = await psycopg.AsyncConnection.connect(settings.text("DATABASE"), autocommit=True)
                async with asyncio.timeout(5):
                    self.primary = await self.read(connection)
            except (psycopg.Error, TimeoutError, OSError):
                if connection is not None:
                    with contextlib.suppress(psycopg.Error, OSError):
                        await connection.close()
                connection = None
            else:
                if self.primary:
                    await self.update_vectors()
                BACKLOG.set(self.index.backlog() if self.primary else 0)
                INDEXED.set(self.index.count())
            await asyncio.sleep(FOLLOW_EVERY)

    async def read(self, connection: psycopg.AsyncConnection[Any]) -> bool:
        """One step; whether the database is primary."""
        cursor = await connection.execute("SELECT NOT pg_is_in_recovery()")
        row = await cursor.fetchone()
        position = self.index.position()
        cursor = await connection.execute(FOLLOW, (position[0], BATCH))
        found = [Row(*columns) for columns in await cursor.fetchall()]
        self.keep(found)
        while len(found) == BATCH:
            cursor = await connection.execute(CATCH_UP, (found[-1].changed_at, found[-1].key, BATCH))
            found = [Row(*columns) for columns in await cursor.fetchall()]
            self.keep(found)
        return bool(row and row[0])

    def keep(self, found: list[Row]) -> None:
        """Into the index, with the position they were read up to."""
        if found:
            self.index.add(found, (found[-1].changed_at, found[-1].key))

    async def update_vectors(self) -> None:
        """What was deleted leaves Weaviate, what waits goes there; what Weaviate does not take now waits on."""
        try:
            for key in self.index.unwanted(100):
                await self.circuit.call(partial(self.index.remove_vector, key), 2.0)
            for key, text in self.index.waiting(100):
                duplicate = await self.circuit.call(partial(self.index.add_vector, key, text), 2.0)
                if duplicate:
                    FOUND.labels(duplicate.kind).inc()
        except (*FAILURES, TimeoutError, CircuitOpen):
            return

    async def check(self, examples: int, seed: str) -> dict[str, float]:
        """Plants examples with known duplicates and counts how many of them are told."""
        told = {"exact": 0, "near": 0, "distinct": 0}
        for number in range(examples):
            planted = dedup.example(f"{seed}-{number}")
            key = f"original-{seed}-{number}"
            self.planted.add([Row(key, planted.original, 1, "")])
            await self.planted.add_vector(key, planted.original)
            for kind, text in (("exact", planted.exact), ("near", planted.near), ("distinct", planted.distinct)):
                found = await self.planted.find_duplicate("copy", text)
                hit = found is not None and (kind == "distinct" or found.of == key)
                told[kind] += hit
                if kind == "distinct":
                    FALSE_ALARMS.labels(str(hit).lower()).inc()
                else:
                    DUPLICATES.labels(kind, str(hit).lower()).inc()
        return {
            "examples": examples,
            "detected": (told["exact"] + told["near"]) / (2 * examples),
            "false_alarms": told["distinct"] / examples,
        }

    async def keep_checking(self) -> None:
        """One example now and then, so that the detection is measured all the time."""
        while self.check_every > 0:
            await asyncio.sleep(self.check_every)
            if not self.primary:
                continue  # a standby's collections are replaced by every snapshot
            with contextlib.suppress(*FAILURES, TimeoutError, CircuitOpen):
                seed = f"{self.started}-{next(self.seeds)}"
                await self.circuit.call(partial(self.check, 1, seed), 2.0)


def _server(request: Request) -> Server:
    server: Server = request.app.state.server
    return server


async def search(request: Request) -> Response:
    """POST /search {query, limit} → {hits: [{key, score}]}."""
    server, body = _server(request), await body_of(request)
    query, limit = field(body, "query"), int(body.get("limit", 5))
    try:
        hits = await server.circuit.call(lambda: server.index.search(query, limit), 2.0)
    except (*FAILURES, TimeoutError, CircuitOpen) as problem:
        raise ApiError(503, "weaviate_unavailable", f"{type(problem).__name__}: {problem}") from problem
    return answer({"hits": [{"key": key, "score": score} for key, score in hits]})


async def duplicates(request: Request) -> Response:
    """POST /duplicates {key, text} → {duplicate, kind, of, score}."""
    server, body = _server(request), await body_of(request)
    key, text = str(body.get("key", "")), field(body, "text")
    try:
        found = await server.circuit.call(lambda: server.index.find_duplicate(key, text), 2.0)
    except (*FAILURES, TimeoutError, CircuitOpen) as problem:
        raise ApiError(503, "weaviate_unavailable", f"{type(problem).__name__}: {problem}") from problem
    if found is None:
        return answer({"duplicate": False})
    return answer({"duplicate": True, "kind": found.kind, "of": found.of, "score": found.score})


async def self_check(request: Request) -> Response:
    """POST /self-check: the share of planted duplicates that is detected, and of distinct texts that is not."""
    server = _server(request)
    try:
        return answer(await server.check(20, f"gate-{time.time_ns()}"))
    except (*FAILURES, TimeoutError) as problem:
        raise ApiError(503, "weaviate_unavailable", f"{type(problem).__name__}: {problem}") from problem


async def status(request: Request) -> Response:
    """GET /status: how far the index is."""
    index = _server(request).index
    return answer({"indexed": index.count(), "backlog": index.backlog(), "position": index.position()})


def build(identity: Identity) -> Any:
    """The ASGI application."""

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5, sock_connect=0.5)) as session:
            app.state.server = server = Server(session)
            tasks = [asyncio.create_task(work) for work in (server.follow(), server.keep_checking())]
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                server.index.close()

    routes = [
        Route("/search", search, methods=["POST"]),
        Route("/duplicates", duplicates, methods=["POST"]),
        Route("/self-check", self_check, methods=["POST"]),
        Route("/status", status),
    ]
    return application(identity, routes, lifespan=lifespan)


if __name__ == "__main__":
    me = Identity.from_environment()
    serve(build(me), me)
