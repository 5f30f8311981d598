"""The index of the memories: full text in SQLite (FTS5), vectors in Weaviate. Both can be rebuilt from PostgreSQL."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from sophia import dedup
from sophia.corpus import schema
from sophia.embedding import embed
from sophia.vectors import Weaviate

TABLES = """
CREATE TABLE IF NOT EXISTS memory (
    key TEXT PRIMARY KEY, text TEXT NOT NULL, version INTEGER NOT NULL, fingerprint TEXT NOT NULL,
    duplicate_of TEXT, in_vectors INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS by_fingerprint ON memory (fingerprint);
CREATE INDEX IF NOT EXISTS not_in_vectors ON memory (key) WHERE in_vectors = 0;
CREATE VIRTUAL TABLE IF NOT EXISTS words USING fts5 (text, key UNINDEXED);
CREATE TABLE IF NOT EXISTS gone (
    key TEXT PRIMARY KEY, version INTEGER NOT NULL, in_vectors INTEGER NOT NULL DEFAULT 1
);
CREATE TABLE IF NOT EXISTS position (changed_at TEXT NOT NULL, key TEXT NOT NULL);
"""
FORGET = (
    "DELETE FROM memory WHERE key = ?",
    "DELETE FROM gone WHERE key = ?",
    "DELETE FROM words WHERE key = ?",
)


@dataclass(frozen=True, slots=True)
class Row:
    """A memory as it stands in PostgreSQL, or its deletion; `changed_at` in PostgreSQL's own writing."""

    key: str
    text: str
    version: int
    changed_at: str
    deleted: bool = False


class MemoryIndex:
    """One SQLite file and one Weaviate collection. Methods that meet Weaviate raise what its client raises."""

    def __init__(self, file: Path | str, collection: str, weaviate: Weaviate) -> None:
        self._collection, self._weaviate = collection, weaviate
        self._db = sqlite3.connect(file)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = OFF")  # an index: lost pages are read again from PostgreSQL
        self._db.executescript(TABLES)

    def position(self) -> tuple[str, str]:
        """(changed_at, key) up to which PostgreSQL has been read."""
        row = self._db.execute("SELECT changed_at, key FROM position").fetchone()
        return (row[0], row[1]) if row else ("-infinity", "")

    def add(self, rows: Iterable[Row], position: tuple[str, str] | None = None) -> int:
        """Indexes words and fingerprints; how many were new, changed or gone. `position` is kept with them."""
        changed = 0
        with self._db:
            for row in rows:
                known = self._db.execute(
                    "SELECT version FROM memory WHERE key = ?1 UNION ALL SELECT version FROM gone WHERE key = ?1",
                    (row.key,),
                ).fetchone()
                if known and known[0] >= row.version:
                    continue
                changed += 1
                if known:
                    for forget in FORGET:
                        self._db.execute(forget, (row.key,))
                if row.deleted:
                    self._db.execute("INSERT INTO gone (key, version) VALUES (?, ?)", (row.key, row.version))
                    continue
                self._db.execute(
                    "INSERT INTO memory (key, text, version, fingerprint) VALUES (?, ?, ?, ?)",
                    (row.key, row.text, row.version, dedup.fingerprint(row.text)),
                )
                self._db.execute("INSERT INTO words (text, key) VALUES (?, ?)", (row.text, row.key))
            if position:
                self._db.execute("DELETE FROM position")
                self._db.execute("INSERT INTO position VALUES (?, ?)", position)
        return changed

    def backlog(self) -> int:
        """Memories that are not in Weaviate yet."""
        return int(self._db.execute("SELECT count(*) FROM memory WHERE in_vectors = 0").fetchone()[0])

    def count(self) -> int:
        """Memories known here."""
        return int(self._db.execute("SELECT count(*) FROM memory").fetchone()[0])

    def waiting(self, most: int) -> list[tuple[str, str]]:
        """(key, text) of memories that are not in Weaviate yet."""
        return self._db.execute("SELECT key, text FROM memory WHERE in_vectors = 0 LIMIT ?", (most,)).fetchall()

    def unwanted(self, most: int) -> list[str]:
        """Deleted memories that may be in Weaviate still."""
        rows = self._db.execute("SELECT key FROM gone WHERE in_vectors = 1 LIMIT ?", (most,)).fetchall()
        return [key for (key,) in rows]

    def _is_gone(self, key: str) -> bool:
        return self._db.execute("SELECT 1 FROM gone WHERE key = ?", (key,)).fetchone() is not None

    async def remove_vector(self, key: str) -> None:
        """Takes a deleted memory out of Weaviate."""
        await self._weaviate.ensure(schema(self._collection, "name", "text"))
        await self._weaviate.remove(self._collection, key)
        with self._db:
            self._db.execute("UPDATE gone SET in_vectors = 0 WHERE key = ?", (key,))

    async def find_duplicate(self, key: str, text: str) -> dedup.Duplicate | None:
        """What a text, kept or to be kept under `key`, is a duplicate of."""
        same = self._db.execute(
            "SELECT key FROM memory WHERE fingerprint = ? AND key <> ? LIMIT 1", (dedup.fingerprint(text), key)
        ).fetchone()
        if same:
            return dedup.judge(same[0], None)
        await self._weaviate.ensure(schema(self._collection, "name", "text"))
        hits = await self._weaviate.near_vector(self._collection, "name", embed(text), 2)
        return dedup.judge(None, next((hit for hit in hits if hit[0] != key and not self._is_gone(hit[0])), None))

    async def add_vector(self, key: str, text: str) -> dedup.Duplicate | None:
        """Puts a waiting memory into Weaviate, and tells what it is a duplicate of."""
        duplicate = await self.find_duplicate(key, text)
        await self._weaviate.put(self._collection, key, {"name": key, "text": text}, embed(text))
        with self._db:
            self._db.execute(
                "UPDATE memory SET in_vectors = 1, duplicate_of = ? WHERE key = ? AND text = ?",
                (duplicate.of if duplicate else None, key, text),
            )
        return duplicate

    async def search(self, query: str, limit: int) -> list[tuple[str, float]]:
        """(key, score) by words and by meaning, merged by reciprocal rank."""
        words = " OR ".join(f'"{word}"' for word in dedup.normal(query).split())
        by_words = self._db.execute(
            "SELECT key FROM words WHERE words MATCH ? ORDER BY rank LIMIT ?", (words or '""', limit)
        ).fetchall()
        await self._weaviate.ensure(schema(self._collection, "name", "text"))
        by_meaning = await self._weaviate.near_vector(self._collection, "name", embed(query), limit)
        scores: dict[str, float] = {}
        for ranking in ([key for (key,) in by_words], [key for key, _ in by_meaning if not self._is_gone(key)]):
            for rank, key in enumerate(ranking):
                scores[key] = scores.get(key, 0.0) + 1 / (60 + rank)
        return sorted(scores.items(), key=lambda pair: (-pair[1], pair[0]))[:limit]

    def close(self) -> None:
        """Ends the connection to SQLite."""
        self._db.close()
