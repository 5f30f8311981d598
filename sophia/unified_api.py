"""The orchestrator: chat by consensus swarm, memory, search; and the degradation level it can serve.

Environment, besides the identity: DATABASE (conninfo), REDIS, WEAVIATE (host:port), HOME_REGION (where the primary is
unless the failover agent says otherwise), BREAKER_FAILURES, BREAKER_RECOVERY (seconds), BREAKER_TRIALS.
"""

from __future__ import annotations

import asyncio
import contextlib
import operator
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from functools import partial
from typing import Any

import aiohttp
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Scope

from sophia import corpus, degradation, knowledge, metrics, models, settings, swarm
from sophia.breaker import Rule
from sophia.cache import DAY, HOUR, Cache, key_of
from sophia.circuit import Circuit, CircuitOpen
from sophia.defects import DEGRADED, WRONG, Defects
from sophia.embedding import embed
from sophia.memories import Memories, Unavailable
from sophia.settings import Identity
from sophia.vectors import FAILURES, Weaviate
from sophia.web import ApiError, answer, application, body_of, field, serve

LEVEL = "sophia.level"
PROBE_EVERY = 0.25
SEARCH_WITHIN = 0.5
MODEL_WITHIN = 2.0
EMERGENCY_ANSWER = "The service is in emergency mode and cannot answer questions now."


class Orchestrator:
    """What the handlers share: clients, caches, and the latest knowledge of what can be reached."""

    def __init__(self, identity: Identity) -> None:
        self.identity = identity
        self.cache = Cache(settings.text("REDIS"))
        self.memories = Memories(settings.text("DATABASE"), connections=settings.integer("DB_POOL", 20))
        self.circuit = Circuit(
            "weaviate",
            Rule(
                settings.integer("BREAKER_FAILURES", 5),
                settings.number("BREAKER_RECOVERY", 30),
                settings.integer("BREAKER_TRIALS", 3),
            ),
            FAILURES,
        )
        self.vectors_answer = False
        self.writable: bool | None = None  # None: the database does not answer
        self.primary_region = settings.text("HOME_REGION", identity.region)
        self.embeddings: dict[str, Sequence[float]] = {}
        self.session: aiohttp.ClientSession
        self.weaviate: Weaviate

    def level(self) -> int:
        """The level this instance serves now."""
        return degradation.level(
            degradation.Dependencies(
                vectors=self.vectors_answer and not self.circuit.impaired,
                database=self.writable is not None,
            )
        )

    def serves(self) -> bool:
        """Whether the edge should send traffic here: to the region whose database is, or was last, the writable one."""
        return self.primary_region == self.identity.region if self.writable is None else self.writable

    async def search(self, wanted: str | Sequence[float], limit: int) -> list[tuple[str, float]]:
        """From Weaviate; raises one of FAILURES, TimeoutError or CircuitOpen."""
        if self.circuit.state != 0 and not self.vectors_answer:
            raise CircuitOpen("weaviate does not say that it is ready: no trial is wasted on it")
        if isinstance(wanted, str):
            return await self.circuit.call(
                lambda: self.weaviate.near_object(corpus.COLLECTION, "name", wanted, limit), SEARCH_WITHIN
            )
        return await self.circuit.call(
            lambda: self.weaviate.near_vector(corpus.COLLECTION, "name", wanted, limit), SEARCH_WITHIN
        )

    async def probe_vectors(self) -> None:
        """Sees whether Weaviate is back; the breaker decides when it may be used again, trials close it."""
        try:
            async with asyncio.timeout(SEARCH_WITHIN):
                self.vectors_answer = await self.weaviate.ready()
        except (*FAILURES, TimeoutError):
            self.vectors_answer = False
        self.circuit.tick()
        while self.vectors_answer and self.circuit.impaired:
            try:
                await self.search(corpus.document_id("doc-0"), 1)
            except (*FAILURES, TimeoutError, CircuitOpen):
                return

    async def probe_database(self) -> None:
        """Sees whether the database of this region answers, and whether it is the writable one."""
        try:
            self.writable = await self.memories.writable()
        except Unavailable:
            self.writable = None

    async def fill_embeddings(self) -> None:
        """Keeps a copy of the corpus' embeddings for the time when Weaviate is away: from it, else from Redis."""
        key = key_of("embeddings", corpus.COLLECTION)
        try:
            async with asyncio.timeout(5):
                self.embeddings = dict(await self.weaviate.vectors(corpus.COLLECTION, "name"))
            await self.cache.put(key, self.embeddings, DAY)
        except (*FAILURES, TimeoutError):
            self.embeddings = await self.cache.get(key) or {}

    async def follow_term(self) -> None:
        """Learns from the failover agent which region is primary; while it is silent, the latest word holds."""
        address = settings.text("FAILOVER_AGENT", "")
        while address:
            try:
                async with asyncio.timeout(1), self.session.get(f"http://{address}/term") as response:
                    if response.status == 200:
                        self.primary_region = (await response.json())["primary"]
            except (aiohttp.ClientError, OSError, TimeoutError):
                pass
            await asyncio.sleep(1.0)

    async def watch(self) -> None:
        """Looks at the dependencies for as long as the service lives."""
        filled_at = -DAY * 1.0
        while True:
            started = time.monotonic()
            await asyncio.gather(self.probe_vectors(), self.probe_database())
            metrics.LEVEL.set(self.level())
            if self.vectors_answer and started - filled_at > (60.0 if self.embeddings else 1.0):
                await self.fill_embeddings()
                filled_at = started
            await asyncio.sleep(max(0.0, PROBE_EVERY - (time.monotonic() - started)))


def nearest(embeddings: Mapping[str, Sequence[float]], vector: Sequence[float], limit: int) -> list[tuple[str, float]]:
    """(name, cosine similarity) by looking at every cached embedding, the nearest first."""
    scored = ((sum(map(operator.mul, vector, other)), name) for name, other in embeddings.items())
    return [(name, score) for score, name in sorted(scored, reverse=True)[:limit]]


def _of(request: Request) -> Orchestrator:
    orchestrator: Orchestrator = request.app.state.orchestrator
    return orchestrator


def _serve_at(request: Request, level: int) -> None:
    request.scope[LEVEL] = max(level, request.scope.get(LEVEL, 0))


async def chat(request: Request) -> Response:
    """POST /api/chat: the swarm's answer, from the L1 cache when it has answered this question within the hour."""
    api = _of(request)
    question = field(await body_of(request), "question")
    key = key_of("consensus", api.identity.release, question)
    kept = await api.cache.get(key)
    cost = 0.0
    if kept is None:
        replies = await models.ask_all(
            {"atlas": models.on_cpu, "borealis": models.on_cpu, "cygnus": models.on_cpu}, question, MODEL_WITHIN
        )
        cost = sum(reply.cost for reply in replies.values())
        consensus = swarm.vote({name: reply.answer for name, reply in replies.items()})
        if consensus.answer is None:
            _serve_at(request, degradation.EMERGENCY)
        given: dict[str, Any] = {
            "answer": consensus.answer or EMERGENCY_ANSWER,
            "consensus": {"agreed": consensus.agreed, "votes": consensus.votes},
        }
        result = consensus.result
        if consensus.agreed:
            await api.cache.put(key, given, HOUR)
    else:
        given, result = kept, "agreed"
    if request.scope.get(WRONG):
        given = {**given, "answer": f"{given['answer']}, or so"}
    metrics.CONSENSUS.labels(result).inc()
    metrics.COST.inc(cost)
    metrics.API_CALLS.inc()
    known = knowledge.answer(question)
    if known is not None:
        right = swarm.normal(given["answer"]) == swarm.normal(known)
        metrics.CONSENSUS_CORRECT.labels("correct" if right else "wrong").inc()
    return answer({**given, "cost_usd": cost, "cached": kept is not None})


async def write_memory(request: Request) -> Response:
    """POST /api/memory: 201 when committed in PostgreSQL, 200 when it was already there."""
    api = _of(request)
    body = await body_of(request)
    key, text = field(body, "key", longest=200), field(body, "text")
    try:
        written = await api.memories.write(key, text)
    except Unavailable as problem:
        raise _no_database(request, problem) from problem
    metrics.API_CALLS.inc()
    return answer(
        {"id": written.id, "key": key, "duplicate": written.duplicate, "version": written.version},
        200 if written.duplicate else 201,
    )


def _no_database(request: Request, problem: Unavailable) -> ApiError:
    api = _of(request)
    if "ReadOnlySqlTransaction" in str(problem):
        api.writable = False
        return ApiError(503, "read_only", "this region's database is a standby")
    api.writable = None
    return ApiError(503, "database_unavailable", "the memory cannot be committed now")


async def read_memory(request: Request) -> Response:
    """GET /api/memory/{key}."""
    key = request.path_params["key"]
    found = await _read(request, [key])
    if not found:
        raise ApiError(404, "not_found", f"there is no memory {key!r}")
    metrics.API_CALLS.inc()
    memory = found[0]
    return answer({name: memory[name] for name in ("key", "text", "version")})


async def read_memories(request: Request) -> Response:
    """GET /api/memory?keys=a,b,c: at most 500, from this region's own database."""
    keys = [key for key in request.query_params.get("keys", "").split(",") if key]
    if not 0 < len(keys) <= 500:
        raise ApiError(400, "bad_field", "keys must name 1 to 500 memories, separated by commas")
    return answer({"memories": await _read(request, keys)})


async def _read(request: Request, keys: list[str]) -> list[dict[str, Any]]:
    try:
        found = await _of(request).memories.read(keys)
    except Unavailable as problem:
        raise _no_database(request, problem) from problem
    if request.scope.get(WRONG):
        found = [{**memory, "text": memory["text"][::-1]} for memory in found]
    return found


async def search(request: Request) -> Response:
    """POST /api/search: from Weaviate, else (level 3) from the cached embeddings."""
    api = _of(request)
    body = await body_of(request)
    limit = body.get("limit", 3)
    if not isinstance(limit, int) or not 1 <= limit <= 100:
        raise ApiError(400, "bad_field", "limit must be a whole number from 1 to 100")
    wanted: str | Sequence[float]
    cached: Sequence[float] | None
    if "vector_of" in body:
        name = field(body, "vector_of", longest=100)
        wanted, cached = corpus.document_id(name), api.embeddings.get(name)
    else:
        wanted = cached = embed(field(body, "query"))
    try:
        hits = await api.search(wanted, limit)
    except (*FAILURES, TimeoutError, CircuitOpen):
        _serve_at(request, degradation.CACHED_EMBEDDINGS)
        hits = nearest(api.embeddings, cached, limit) if cached is not None else []
    if request.scope.get(WRONG):
        hits = [(f"doc-{int(name[4:]) + 7}", score) for name, score in hits]
    metrics.API_CALLS.inc()
    return answer({"hits": [{"id": name, "score": round(score, 6)} for name, score in hits]})


async def ping(request: Request) -> Response:
    """GET /api/ping: the level, without asking anybody."""
    return answer({"level": _level(request.scope)})


async def known(_: Request) -> Response:
    """GET /api/knowledge: questions with known answers."""
    return answer({"questions": knowledge.questions(), "sum": "What is A plus B?"})


async def ready(request: Request) -> Response:
    """GET /ready: for the edge."""
    api = _of(request)
    body = {"status": "ready" if api.serves() else "standby", "writable": api.writable, "level": api.level()}
    return answer(body, 200 if api.serves() else 503)


def _level(scope: Scope) -> int:
    orchestrator: Orchestrator = scope["app"].state.orchestrator
    return _worst(orchestrator, scope)


def _worst(orchestrator: Orchestrator, scope: Scope) -> int:
    """The worse of what the instance can serve and what this request was served with."""
    return max(orchestrator.level(), int(scope.get(LEVEL, 0)), int(scope.get(DEGRADED, 0)))


ROUTES = [
    Route("/api/chat", chat, methods=["POST"]),
    Route("/api/memory", write_memory, methods=["POST"]),
    Route("/api/memory", read_memories, methods=["GET"]),
    Route("/api/memory/{key}", read_memory, methods=["GET"]),
    Route("/api/search", search, methods=["POST"]),
    Route("/api/ping", ping),
    Route("/api/knowledge", known),
    Route("/ready", ready),
]


def build(identity: Identity) -> Any:
    """The ASGI application."""
    orchestrator = Orchestrator(identity)

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        app.state.orchestrator = orchestrator
        timeout = aiohttp.ClientTimeout(total=10, sock_connect=0.5)
        async with aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=100)) as session:
            orchestrator.session = session
            orchestrator.weaviate = Weaviate(session, f"http://{settings.text('WEAVIATE')}")
            await orchestrator.memories.open()
            tasks = [asyncio.create_task(work) for work in (orchestrator.watch(), orchestrator.follow_term())]
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                await orchestrator.memories.close()
                await orchestrator.cache.close()

    defects = Defects.from_environment()
    return application(
        identity,
        ROUTES,
        lifespan=lifespan,
        level=partial(_worst, orchestrator),
        inside=lambda app: defects.around(app, identity.instance),
    )


if __name__ == "__main__":
    me = Identity.from_environment()
    serve(build(me), me)
