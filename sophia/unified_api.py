"""The orchestrator's HTTP API: chat by consensus swarm, memory, search; and the degradation level it can serve.

Environment, besides the identity: DATABASE (conninfo of this region's), PEERS (region=host:port,… of all databases, for
a region that serves users while the primary is elsewhere), DB_HOLD (seconds a request may wait for a planned
move), REDIS, WEAVIATE, GPU, GATEWAY, EMBEDDER, FAILOVER_AGENT
(host:port), HOME_REGION (where the primary is unless the failover agent says otherwise), BREAKER_FAILURES,
BREAKER_RECOVERY (seconds), BREAKER_TRIALS, DB_POOL (connections).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable
from functools import partial
from typing import Any

import aiohttp
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Scope

from sophia import corpus, degradation, knowledge, metrics, swarm
from sophia.cache import HOUR, key_of
from sophia.circuit import CircuitOpen
from sophia.defects import DEGRADED, WRONG, Defects
from sophia.memories import Decision, Unavailable
from sophia.orchestrator import Orchestrator
from sophia.settings import Identity
from sophia.vectors import FAILURES
from sophia.web import ApiError, answer, application, body_of, field, serve

LEVEL = "sophia.level"
EMERGENCY_ANSWER = "The service is in emergency mode and cannot answer questions now."


def _of(request: Request) -> Orchestrator:
    orchestrator: Orchestrator = request.app.state.orchestrator
    return orchestrator


def _worst(orchestrator: Orchestrator, scope: Scope) -> int:
    """The worse of what the instance can serve and what this request was served with."""
    return max(orchestrator.level(), int(scope.get(LEVEL, 0)), int(scope.get(DEGRADED, 0)))


def _serve_at(request: Request, level: int) -> None:
    request.scope[LEVEL] = max(level, request.scope.get(LEVEL, 0))


async def chat(request: Request) -> Response:
    """POST /api/chat: the swarm's answer, from the L1 cache when it agreed on this question within the hour.

    The cache is the release's own: what a bad release says must not be heard from a good one.
    """
    api = _of(request)
    question = field(await body_of(request), "question")
    key = key_of("consensus", api.identity.release, question)
    given: dict[str, Any] | None = await api.cache.get(key)
    cached, cost, result = given is not None, 0.0, "agreed"
    if given is None:
        consensus, cost, full = await api.ask_swarm(question)
        result = consensus.result
        given = {
            "answer": consensus.answer or EMERGENCY_ANSWER,
            "consensus": {"agreed": consensus.agreed, "votes": consensus.votes},
        }
        if not full:
            _serve_at(request, degradation.CPU_SWARM if consensus.answer else degradation.EMERGENCY)
        if consensus.agreed:
            await api.cache.put(key, given, HOUR)
        level = _worst(api, request.scope)
        api.decisions.append(Decision(question, consensus.answer, consensus.agreed, consensus.votes, level, cost))
    if request.scope.get(WRONG):
        given = {**given, "answer": f"{given['answer']}, or so"}
    _count_answer(question, given["answer"], result, cost)
    return answer({**given, "cost_usd": cost, "cached": cached})


def _count_answer(question: str, given: str, result: str, cost: float) -> None:
    metrics.CONSENSUS.labels(result).inc()
    metrics.COST.inc(cost)
    metrics.API_CALLS.inc()
    known = knowledge.answer(question)
    if known is not None:
        right = swarm.normal(given) == swarm.normal(known)
        metrics.CONSENSUS_CORRECT.labels("correct" if right else "wrong").inc()


async def write_memory(request: Request) -> Response:
    """POST /api/memory: 201 when committed in PostgreSQL, 200 when the same text was already there.

    The memory server reads PostgreSQL and indexes what it finds there, so no index can fail or be missed by this write.
    """
    api = _of(request)
    body = await body_of(request)
    key, text = field(body, "key", longest=200), field(body, "text")
    try:
        written = await api.on_primary(lambda memories: memories.write(key, text))
    except Unavailable as problem:
        raise _no_database(api, problem) from problem
    metrics.API_CALLS.inc()
    return answer(
        {"id": written.id, "key": key, "duplicate": written.duplicate, "version": written.version},
        200 if written.duplicate else 201,
    )


def _no_database(api: Orchestrator, problem: Unavailable) -> ApiError:
    if problem.read_only:
        api.writable = False
        return ApiError(503, "read_only", "this region's database is a standby")
    if not api.is_guest:
        api.writable = None
    return ApiError(503, "database_unavailable", "the database does not answer now")


async def read_memory(request: Request) -> Response:
    """GET /api/memory/{key}."""
    key, api = request.path_params["key"], _of(request)
    found = await _read(request, api.on_primary(lambda memories: memories.read([key])))
    metrics.API_CALLS.inc()
    if not found:
        raise ApiError(404, "not_found", f"there is no memory {key!r}")
    return answer({name: found[0][name] for name in ("key", "text", "version")})


async def read_memories(request: Request) -> Response:
    """GET /api/memory?keys=a,b,c: at most 500, from this region's own database."""
    keys = [key for key in request.query_params.get("keys", "").split(",") if key]
    if not 0 < len(keys) <= 500:
        raise ApiError(400, "bad_field", "keys must name 1 to 500 memories, separated by commas")
    return answer({"memories": await _read(request, _of(request).memories.read(keys))})


async def _read(request: Request, reading: Awaitable[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    api = _of(request)
    try:
        found = await reading
    except Unavailable as problem:
        raise _no_database(api, problem) from problem
    if request.scope.get(WRONG):
        found = [{**memory, "text": memory["text"][::-1]} for memory in found]
    return found


async def delete_memory(request: Request) -> Response:
    """DELETE /api/memory/{key}: 200 when committed in PostgreSQL, also when there was none: asking again does no harm.

    The indexes follow, as they do for writes.
    """
    api, key = _of(request), request.path_params["key"]
    try:
        deleted = await api.on_primary(lambda memories: memories.delete(key))
    except Unavailable as problem:
        raise _no_database(api, problem) from problem
    metrics.API_CALLS.inc()
    return answer({"key": key, "deleted": deleted})


async def search(request: Request) -> Response:
    """POST /api/search: from Weaviate, else (level 3) from the cached embeddings."""
    api = _of(request)
    body = await body_of(request)
    limit = body.get("limit", 3)
    if not isinstance(limit, int) or not 1 <= limit <= 100:
        raise ApiError(400, "bad_field", "limit must be a whole number from 1 to 100")
    if "vector_of" in body:
        name = field(body, "vector_of", longest=100)
        if api.embeddings and name not in api.embeddings:
            raise ApiError(404, "not_found", f"there is no document {name!r}")
        vector, wanted = api.embeddings.get(name), corpus.document_id(name)
        hits = await _search(api, request, wanted, limit)
    else:
        vector = await api.embed(field(body, "query"))
        hits = None if vector is None else await _search(api, request, vector, limit)
    if hits is None:
        _serve_at(request, degradation.CACHED_EMBEDDINGS)
        hits = [] if vector is None else api.nearest(vector, limit)
    if request.scope.get(WRONG):
        hits = [(f"doc-{(int(name[4:]) + 7) % corpus.DOCUMENTS}", score) for name, score in hits]
    metrics.API_CALLS.inc()
    return answer({"hits": [{"id": name, "score": round(score, 6)} for name, score in hits]})


async def _search(api: Orchestrator, request: Request, wanted: Any, limit: int) -> list[tuple[str, float]] | None:
    try:
        return await api.search(wanted, limit)
    except (*FAILURES, TimeoutError, CircuitOpen):
        return None


async def ping(request: Request) -> Response:
    """GET /api/ping: level and region, without asking anybody."""
    api = _of(request)
    return answer({"level": _worst(api, request.scope), "region": api.identity.region})


async def known(_: Request) -> Response:
    """GET /api/knowledge: questions with known answers."""
    return answer({"questions": knowledge.questions(), "sum": "What is A plus B?"})


async def ready(request: Request) -> Response:
    """GET /ready: for the edge."""
    api = _of(request)
    body = {
        "status": "ready" if api.serves() else "standby",
        "level": api.level(),
        "writable": api.writable,
        "primary_region": api.primary_region,
        "answers": api.answers,
        "breaker": api.circuit.state.name.lower(),
        "embeddings": len(api.embeddings),
    }
    return answer(body, 200 if api.serves() else 503)


ROUTES = [
    Route("/api/chat", chat, methods=["POST"]),
    Route("/api/memory", write_memory, methods=["POST"]),
    Route("/api/memory", read_memories, methods=["GET"]),
    Route("/api/memory/{key}", read_memory, methods=["GET"]),
    Route("/api/memory/{key}", delete_memory, methods=["DELETE"]),
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
        async with aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=200)) as session:
            orchestrator.connect(session)
            watching = asyncio.create_task(orchestrator.watch())
            try:
                yield
            finally:
                watching.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await watching
                for memories in orchestrator.databases.values():
                    await memories.close()
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
