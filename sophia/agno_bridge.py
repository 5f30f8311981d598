"""The old UI's endpoints on the new API, with CORS for the production origins.

Environment, besides the identity: API (host:port of the unified API, or of the edge before it), CORS_ORIGINS.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
from starlette.applications import Starlette
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from sophia import settings
from sophia.settings import Identity
from sophia.web import ApiError, answer, application, body_of, field, serve

AGENTS = ({"id": "sophia", "name": "Sophia", "description": "Answers by consensus."},)
TEAMS = ({"id": "swarm", "name": "Consensus swarm", "members": ["sophia"]},)


async def status(_: Request) -> Response:
    """GET /v1/playground/status."""
    return answer({"playground": "available"})


async def agents(_: Request) -> Response:
    """GET /v1/playground/agents."""
    return answer(AGENTS)


async def teams(_: Request) -> Response:
    """GET /v1/playground/teams."""
    return answer(TEAMS)


async def run(request: Request) -> Response:
    """POST /v1/playground/agents/{agent}/runs {message}: a chat through the unified API."""
    if request.path_params["agent"] not in {agent["id"] for agent in AGENTS}:
        raise ApiError(404, "not_found", "no such agent")
    message = field(await body_of(request), "message")
    session: aiohttp.ClientSession = request.app.state.session
    url = f"http://{settings.text('API')}/api/chat"
    try:
        async with session.post(url, json={"question": message}) as response:
            found = await response.json()
            status, level = response.status, response.headers.get("x-degradation-level", "1")
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as problem:
        raise ApiError(502, "api_unavailable", f"{type(problem).__name__}: {problem}") from problem
    if status != 200:
        return answer(found, status)
    return answer({"content": found["answer"], "consensus": found["consensus"], "degradation_level": int(level)})


def build(identity: Identity) -> Any:
    """The ASGI application."""

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5, sock_connect=0.5)) as session:
            app.state.session = session
            yield

    def with_cors(app: ASGIApp) -> ASGIApp:
        return CORSMiddleware(
            app,
            allow_origins=settings.words("CORS_ORIGINS"),
            allow_methods=("GET", "POST"),
            allow_headers=("content-type", "authorization"),
            expose_headers=("x-degradation-level", "x-release"),
            max_age=600,
        )

    routes = [
        Route("/v1/playground/status", status),
        Route("/v1/playground/agents", agents),
        Route("/v1/playground/teams", teams),
        Route("/v1/playground/agents/{agent}/runs", run, methods=["POST"]),
    ]
    return application(identity, routes, lifespan=lifespan, inside=with_cors)


if __name__ == "__main__":
    me = Identity.from_environment()
    serve(build(me), me)
