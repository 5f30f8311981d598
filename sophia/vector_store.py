"""Embeddings in three tiers with a cache in Redis (24 h), and documents in Weaviate.

Environment, besides the identity: REDIS, WEAVIATE (host:port), BREAKER_FAILURES, BREAKER_RECOVERY, BREAKER_TRIALS.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
from prometheus_client import Counter
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sophia import metrics, settings
from sophia.cache import DAY, Cache, key_of
from sophia.circuit import Circuit, CircuitOpen, rule_from_environment
from sophia.corpus import schema
from sophia.embedding import DEFAULT_TIER, TIERS, embed
from sophia.settings import Identity
from sophia.vectors import FAILURES, Weaviate
from sophia.web import ApiError, answer, application, body_of, field, serve

EMBEDDINGS = Counter(
    "sophia_embeddings",
    "Embeddings given, by tier and whether from the cache.",
    ("tier", "cached"),
    registry=metrics.REGISTRY,
)
COLLECTION = "Stored"
MOST_TEXTS = 100


def tier_for(text: str) -> str:
    """The tier that a text deserves when its caller does not say: long ones the best, short ones the cheapest."""
    words = len(text.split())
    return "voyage-3" if words > 40 else "cohere-v3" if words > 8 else "bge"


class Store:
    """Clients and the breaker of Weaviate."""

    def __init__(self) -> None:
        self.cache = Cache(settings.text("REDIS"))
        self.circuit = Circuit("weaviate", rule_from_environment(5, 30, 3), FAILURES)
        self.weaviate: Weaviate

    async def embed(self, text: str, tier: str) -> list[float]:
        """One embedding, from the cache when it is there."""
        key = key_of("embedding", tier, text)
        kept: list[float] | None = await self.cache.get(key)
        EMBEDDINGS.labels(tier, str(kept is not None).lower()).inc()
        if kept is None:
            kept = embed(text, tier)
            await self.cache.put(key, kept, DAY)
        return kept

    async def embeddings(self, request: Request) -> Response:
        """POST /embed {texts, tier} → {tier, vectors}; tier `auto` chooses by length, all texts of a call alike."""
        body = await body_of(request)
        texts, tier = body.get("texts"), body.get("tier", DEFAULT_TIER)
        if (
            not isinstance(texts, list)
            or not 0 < len(texts) <= MOST_TEXTS
            or not all(isinstance(t, str) for t in texts)
        ):
            raise ApiError(400, "bad_field", f"texts must be 1 to {MOST_TEXTS} texts")
        if tier == "auto":
            tier = tier_for(max(texts, key=len))
        if tier not in TIERS:
            raise ApiError(400, "bad_field", f"tier must be auto or one of {', '.join(TIERS)}")
        return answer({"tier": tier, "vectors": [await self.embed(text, tier) for text in texts]})

    async def store(self, request: Request) -> Response:
        """POST /documents {name, text}: 201 when Weaviate has it."""
        body = await body_of(request)
        name, text = field(body, "name", longest=200), field(body, "text")
        await self.put(name, text)
        return answer({"name": name}, 201)

    async def search(self, request: Request) -> Response:
        """POST /search {query, limit} among the stored documents."""
        body = await body_of(request)
        vector = await self.embed(field(body, "query"), DEFAULT_TIER)
        limit = int(body.get("limit", 3))
        hits = await self.guarded(lambda: self.weaviate.near_vector(COLLECTION, "name", vector, limit))
        return answer({"hits": [{"id": name, "score": score} for name, score in hits]})

    async def round_trip(self, _: Request) -> Response:
        """POST /round-trip: embeds, stores, finds and removes a document; 200 only when it was the nearest."""
        name = f"round-trip-{uuid.uuid4()}"
        text = f"a text that only this round trip has {name}"
        await self.put(name, text)
        try:
            vector = await self.embed(text, DEFAULT_TIER)
            hits = await self.guarded(lambda: self.weaviate.near_vector(COLLECTION, "name", vector, 1))
        finally:
            await self.guarded(lambda: self.weaviate.remove(COLLECTION, name))
        if not hits or hits[0][0] != name:
            raise ApiError(500, "round_trip_failed", f"found {hits} instead of {name}")
        return answer({"found": True, "score": hits[0][1]})

    async def put(self, name: str, text: str) -> None:
        """Into Weaviate."""
        vector = await self.embed(text, DEFAULT_TIER)

        async def attempt() -> None:
            await self.weaviate.ensure(schema(COLLECTION, "name", "text"))
            await self.weaviate.put(COLLECTION, name, {"name": name, "text": text}, vector)

        await self.guarded(attempt)

    async def guarded(self, attempt: Any) -> Any:
        """Through the breaker; a Weaviate that is away is a 503."""
        try:
            return await self.circuit.call(attempt, 2.0)
        except (*FAILURES, TimeoutError, CircuitOpen) as problem:
            raise ApiError(503, "weaviate_unavailable", f"{type(problem).__name__}: {problem}") from problem


def build(identity: Identity) -> Any:
    """The ASGI application."""
    store = Store()

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5, sock_connect=0.5)) as session:
            store.weaviate = Weaviate(session, f"http://{settings.text('WEAVIATE')}")
            yield
        await store.cache.close()

    routes = [
        Route("/embed", store.embeddings, methods=["POST"]),
        Route("/documents", store.store, methods=["POST"]),
        Route("/search", store.search, methods=["POST"]),
        Route("/round-trip", store.round_trip, methods=["POST"]),
    ]
    return application(identity, routes, lifespan=lifespan)


if __name__ == "__main__":
    me = Identity.from_environment()
    serve(build(me), me)
