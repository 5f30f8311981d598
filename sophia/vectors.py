"""A thin client of Weaviate's HTTP API over one kept session."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import aiohttp

FAILURES = (aiohttp.ClientError, OSError)


def object_id(collection: str, name: str) -> str:
    """The id an object has in every Weaviate: storing twice changes nothing."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"sophia:{collection}:{name}"))


class VectorError(aiohttp.ClientError):
    """Weaviate answered, but not with what was asked for."""


class Weaviate:
    """One Weaviate. Methods raise one of FAILURES or TimeoutError."""

    def __init__(self, session: aiohttp.ClientSession, base: str) -> None:
        self._session, self._base = session, base
        self._known: set[str] = set()

    async def ready(self) -> bool:
        """Whether it says that it is ready."""
        async with self._session.get(f"{self._base}/v1/.well-known/ready") as response:
            return response.status == 200

    async def _graphql(self, query: str) -> Any:
        async with self._session.post(f"{self._base}/v1/graphql", json={"query": query}) as response:
            if response.status != 200:
                raise VectorError(f"status {response.status}")
            body = await response.json()
        if body.get("errors"):
            raise VectorError(str(body["errors"][0].get("message", "")))
        return body["data"]

    async def near(self, collection: str, field: str, condition: str, limit: int) -> list[tuple[str, float]]:
        """(value of `field`, cosine similarity) of the nearest objects, the nearest first."""
        query = f"{{Get{{{collection}({condition},limit:{limit}){{{field} _additional{{distance}}}}}}}}"
        found = (await self._graphql(query))["Get"][collection] or []
        return [(hit[field], 1.0 - hit["_additional"]["distance"]) for hit in found]

    async def near_object(self, collection: str, field: str, id: str, limit: int) -> list[tuple[str, float]]:
        """The neighbours of a stored object, itself included."""
        return await self.near(collection, field, f'nearObject:{{id:"{id}"}}', limit)

    async def near_vector(
        self, collection: str, field: str, vector: Sequence[float], limit: int
    ) -> list[tuple[str, float]]:
        """The neighbours of a vector."""
        return await self.near(collection, field, f"nearVector:{{vector:{json.dumps(list(vector))}}}", limit)

    async def ensure(self, schema: Mapping[str, Any]) -> None:
        """Makes the collection unless it is known to be there."""
        name = schema["class"]
        if name in self._known:
            return
        async with self._session.get(f"{self._base}/v1/schema/{name}") as response:
            if response.status == 404:
                async with self._session.post(f"{self._base}/v1/schema", json=schema) as made:
                    if made.status != 200 and "already exists" not in await made.text():
                        raise VectorError(f"collection {name}: status {made.status}")
            elif response.status != 200:
                raise VectorError(f"status {response.status}")
        self._known.add(name)

    async def put(self, collection: str, name: str, properties: Mapping[str, str], vector: Sequence[float]) -> None:
        """Stores an object under the id that its name has; the same name again replaces it."""
        one = {"class": collection, "id": object_id(collection, name), "properties": properties, "vector": vector}
        async with self._session.post(f"{self._base}/v1/batch/objects", json={"objects": [one]}) as response:
            if response.status != 200:
                self._known.discard(collection)
                raise VectorError(f"status {response.status}")
            refused = [found["result"]["errors"] for found in await response.json() if "errors" in found["result"]]
        if refused:
            self._known.discard(collection)
            raise VectorError(str(refused[0]))

    async def remove(self, collection: str, name: str) -> None:
        """Removes an object, if it is there."""
        async with self._session.delete(
            f"{self._base}/v1/objects/{collection}/{object_id(collection, name)}"
        ) as response:
            if response.status not in (204, 404):
                raise VectorError(f"status {response.status}")

    async def vectors(self, collection: str, field: str, most: int = 1000) -> list[tuple[str, list[float]]]:
        """(value of `field`, vector) of the collection's objects."""
        query = {"class": collection, "include": "vector", "limit": str(most)}
        async with self._session.get(f"{self._base}/v1/objects", params=query) as response:
            if response.status != 200:
                raise VectorError(f"status {response.status}")
            body = await response.json()
        return [(found["properties"][field], found["vector"]) for found in body["objects"]]
