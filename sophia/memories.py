"""The truth of the memories: PostgreSQL, through a pool of connections."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout

from sophia import metrics
from sophia.settings import SettingError

WRITE = """
WITH written AS (
    INSERT INTO memories AS m (key, text) VALUES (%(key)s, %(text)s)
    ON CONFLICT (key) DO UPDATE
    SET text = excluded.text, version = m.version + 1, changed_at = clock_timestamp(), deleted = false
    WHERE m.text <> excluded.text OR m.deleted
    RETURNING id::text, version
)
SELECT id, version, false FROM written
UNION ALL
SELECT id::text, version, true FROM memories WHERE key = %(key)s AND NOT EXISTS (SELECT 1 FROM written)
"""

DELETE = """
UPDATE memories SET text = '', version = version + 1, changed_at = clock_timestamp(), deleted = true
WHERE key = %s AND NOT deleted RETURNING key
"""
DECIDED = """
INSERT INTO consensus_results (question, answer, agreed, votes, level, cost_usd)
SELECT * FROM unnest(%s::text[], %s::text[], %s::boolean[], %s::jsonb[], %s::integer[], %s::double precision[])
RETURNING id
"""


class Unavailable(Exception):
    """The database did not answer in time, or refused: it is starting, gone, or (`read_only`) a standby."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(f"{type(cause).__name__}: {cause}".strip())
        self.read_only = isinstance(cause, psycopg.errors.ReadOnlySqlTransaction)


@dataclass(frozen=True, slots=True)
class Written:
    """A memory that is committed."""

    id: str
    version: int
    duplicate: bool


@dataclass(frozen=True, slots=True)
class Decision:
    """A vote of the swarm."""

    question: str
    answer: str | None
    agreed: bool
    votes: dict[str, int]
    level: int
    cost: float


def conninfo_of(own: str, address: str) -> str:
    """The same database, user and password at another host:port. SettingError when one of both cannot be read."""
    host, _, port = address.rpartition(":")
    try:
        return make_conninfo(own, host=host, port=port)
    except psycopg.ProgrammingError as problem:
        raise SettingError(f"DATABASE or PEERS cannot be read: {problem}".strip()) from None


class Memories:
    """The table `memories`. Methods raise Unavailable.

    `look` must be called now and then: it opens the pool when the database is there, and drops it when it is not, so
    that requests fail at once instead of waiting for connections that cannot come.
    """

    def __init__(self, conninfo: str, *, connections: int = 20, within: float = 2.0) -> None:
        self._conninfo, self._connections, self._within = conninfo, connections, within
        self._pool: AsyncConnectionPool | None = None
        self._watch: psycopg.AsyncConnection[Any] | None = None
        self._looking = asyncio.Lock()

    async def look(self) -> bool | None:
        """True: a primary, False: a standby, None: no database."""
        async with self._looking:
            try:
                async with asyncio.timeout(self._within):
                    if self._watch is None or self._watch.closed:
                        self._watch = await psycopg.AsyncConnection.connect(self._conninfo, autocommit=True)
                    cursor = await self._watch.execute("SELECT NOT pg_is_in_recovery()")
                    row = await cursor.fetchone()
            except (psycopg.Error, TimeoutError, OSError):
                await self.close()
                return None
            if self._pool is None:
                self._pool = AsyncConnectionPool(
                    self._conninfo,
                    min_size=2,
                    max_size=self._connections,
                    timeout=self._within,
                    max_idle=60.0,
                    open=False,
                    kwargs={"autocommit": True},
                )
                await self._pool.open(wait=False)
            return bool(row and row[0])

    async def close(self) -> None:
        """Ends all connections."""
        pool, watch, self._pool, self._watch = self._pool, self._watch, None, None
        if watch is not None:
            with contextlib.suppress(psycopg.Error, OSError):
                await watch.close()
        if pool is not None:
            await pool.close(timeout=0)

    async def _query(self, sql: str, parameters: Any) -> list[Any]:
        if self._pool is None:
            raise Unavailable(ConnectionError("there is no database"))
        try:
            async with asyncio.timeout(self._within), self._pool.connection() as connection:
                metrics.DB_POOL.inc()
                try:
                    cursor = await connection.execute(sql, parameters)
                    return await cursor.fetchall()
                finally:
                    metrics.DB_POOL.dec()
        except (psycopg.Error, PoolTimeout, PoolClosed, TimeoutError, OSError) as problem:
            raise Unavailable(problem) from problem

    async def _again(self, sql: str, parameters: Any) -> list[Any]:
        """Twice at most: the connection may have died with a database that is long back. All queries here may be
        repeated without harm."""
        try:
            return await self._query(sql, parameters)
        except Unavailable as first:
            if not isinstance(first.__cause__, psycopg.OperationalError) or await self.look() is None:
                raise
            return await self._query(sql, parameters)

    async def write(self, key: str, text: str) -> Written:
        """Returns when it is committed. The same key and text again is a duplicate, another text a new version."""
        rows = await self._again(WRITE, {"key": key, "text": text})
        if not rows:  # a concurrent first write of this key was not yet visible to this statement
            rows = await self._again(WRITE, {"key": key, "text": text})
        id, version, duplicate = rows[0]
        return Written(id, version, duplicate)

    async def delete(self, key: str) -> bool:
        """Returns when it is committed that the memory is gone; whether it had been there."""
        return bool(await self._again(DELETE, (key,)))

    async def keep_decisions(self, decisions: Sequence[Decision]) -> None:
        """Into the table of consensus results, all or none."""
        rows = [(d.question, d.answer, d.agreed, json.dumps(d.votes), d.level, d.cost) for d in decisions]
        await self._query(DECIDED, [list(column) for column in zip(*rows, strict=True)])

    async def read(self, keys: Sequence[str]) -> list[dict[str, Any]]:
        """Memories by key, each with how many rows have it (one, or something is badly wrong)."""
        sql = """
            SELECT key, min(text), max(version), count(*) FROM memories WHERE key = ANY(%s) AND NOT deleted GROUP BY key
        """
        rows = await self._again(sql, (list(keys),))
        return [{"key": k, "text": t, "version": v, "count": c} for k, t, v, c in rows]
