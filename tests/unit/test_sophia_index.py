"""The index of the memories follows writes and deletions, in words and in vectors."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from sophia.memory_index import MemoryIndex, Row


class FakeWeaviate:
    """Holds names; finds all of them, the latest first."""

    def __init__(self) -> None:
        self.names: list[str] = []

    async def ensure(self, _schema: Mapping[str, Any]) -> None: ...

    async def put(self, _collection: str, name: str, _properties: Mapping[str, str], _vector: Sequence[float]) -> None:
        self.names.append(name)

    async def remove(self, _collection: str, name: str) -> None:
        if name in self.names:
            self.names.remove(name)

    async def near_vector(
        self, _collection: str, _field: str, _vector: Sequence[float], limit: int
    ) -> list[tuple[str, float]]:
        return [(name, 0.9) for name in reversed(self.names)][:limit]


@pytest.fixture
def weaviate() -> FakeWeaviate:
    return FakeWeaviate()


@pytest.fixture
def index(weaviate: FakeWeaviate) -> MemoryIndex:
    return MemoryIndex(":memory:", "Memory", weaviate)  # type: ignore[arg-type]


def follow(index: MemoryIndex, *rows: Row) -> int:
    """What the server does in one round."""
    changed = index.add(rows)

    async def update() -> None:
        for key in index.unwanted(100):
            await index.remove_vector(key)
        for key, text in index.waiting(100):
            await index.add_vector(key, text)

    asyncio.run(update())
    return changed


def found(index: MemoryIndex, query: str) -> list[str]:
    return [key for key, _ in asyncio.run(index.search(query, 5))]


def test_a_deleted_memory_is_gone_from_words_and_vectors(index, weaviate):
    follow(index, Row("a", "green apples", 1, ""), Row("b", "green pears", 1, ""))
    assert set(found(index, "green apples")) == {"a", "b"}
    assert follow(index, Row("a", "", 2, "", deleted=True)) == 1
    assert weaviate.names == ["b"]
    assert found(index, "green apples") == ["b"]
    assert (index.count(), index.unwanted(5)) == (1, [])


def test_what_weaviate_has_not_let_go_yet_is_not_found_either(index, weaviate):
    follow(index, Row("a", "green apples", 1, ""))
    index.add([Row("a", "", 2, "", deleted=True)])
    assert weaviate.names == ["a"]
    assert found(index, "green apples") == []
    assert asyncio.run(index.find_duplicate("c", "green apples")) is None
    assert index.unwanted(5) == ["a"]


def test_a_deletion_is_followed_once_and_a_new_write_brings_the_key_back(index, weaviate):
    gone = Row("a", "", 2, "", deleted=True)
    follow(index, Row("a", "green apples", 1, ""), gone)
    assert follow(index, gone) == 0  # the last three seconds are read again and again
    assert follow(index, Row("a", "green apples", 3, "")) == 1
    assert found(index, "apples") == ["a"]
    assert weaviate.names == ["a"]


def test_a_deletion_of_what_was_never_indexed_is_no_trouble(index, weaviate):
    follow(index, Row("x", "", 2, "", deleted=True))
    assert (index.count(), weaviate.names, index.unwanted(5)) == (0, [], [])
