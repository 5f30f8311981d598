"""What every service does the same way: identity headers, metrics, errors as JSON, health, and serving.

The middleware is plain ASGI, because on two cores the usual request/response wrappers cost more than the services.
"""

from __future__ import annotations

import contextlib
import json
import signal
import time
from collections.abc import Awaitable, Callable, Generator, Mapping
from typing import Any

import uvicorn
from prometheus_client import generate_latest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sophia import metrics, settings
from sophia.settings import Identity

Handler = Callable[[Request], Awaitable[Response]]
QUIET = frozenset({"/metrics", "/health", "/ready"})


class ApiError(Exception):
    """An answer that is an error: `{"error": {"code", "message"}}`."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code


def answer(body: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON response."""
    return Response(json.dumps(body, separators=(",", ":")), status, headers, "application/json")


def error(status: int, code: str, message: str) -> Response:
    """A JSON error response."""
    return answer({"error": {"code": code, "message": message}}, status)


async def body_of(request: Request) -> dict[str, Any]:
    """The request's JSON object; raises ApiError 400 when it is something else."""
    try:
        body = json.loads(await request.body())
    except ValueError:
        raise ApiError(400, "bad_json", "the body is not JSON") from None
    if not isinstance(body, dict):
        raise ApiError(400, "bad_json", "the body is not a JSON object")
    return body


def field(body: dict[str, Any], name: str, *, longest: int = 10_000) -> str:
    """A required, non-empty text of a body; raises ApiError 400."""
    value = body.get(name)
    if not isinstance(value, str) or not value or len(value) > longest:
        raise ApiError(400, "bad_field", f"{name} must be a text of 1 to {longest} characters")
    return value


async def _on_api_error(_: Request, exception: Exception) -> Response:
    assert isinstance(exception, ApiError)
    return error(exception.status, exception.code, str(exception))


async def _on_http_error(_: Request, exception: Exception) -> Response:
    assert isinstance(exception, HTTPException)
    return error(exception.status_code, exception.detail.lower().replace(" ", "_"), exception.detail)


class Instrumented:
    """Adds the identity headers and counts every request by route, method, class of status and level."""

    def __init__(self, app: ASGIApp, identity: Identity, routes: list[Route], level: Callable[[Scope], int]) -> None:
        self._app, self._level, self._service = app, level, identity
        self._exact = {route.path for route in routes if "{" not in route.path}
        self._patterns = [(route.path, route.path.partition("{")[0]) for route in routes if "{" in route.path]
        self._headers = [
            (b"x-release", identity.release.encode()),
            (b"x-region", identity.region.encode()),
            (b"x-instance", identity.instance.encode()),
        ]

    def _route(self, path: str) -> str:
        if path in self._exact:
            return path
        return next((pattern for pattern, prefix in self._patterns if path.startswith(prefix)), "other")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        status, level = 500, 1

        async def send_with_headers(message: Message) -> None:
            nonlocal status, level
            if message["type"] == "http.response.start":
                status, level = message["status"], self._level(scope)
                message["headers"] = [
                    *message["headers"],
                    *self._headers,
                    (b"x-degradation-level", b"%d" % level),
                ]
            await send(message)

        try:
            await self._app(scope, receive, send_with_headers)
        finally:
            path = scope["path"]
            if path not in QUIET:
                who = self._service
                labels = (
                    who.service,
                    self._route(path),
                    scope["method"],
                    f"{status // 100}xx",
                    who.release,
                    who.region,
                )
                metrics.REQUESTS.labels(*labels).inc()
                metrics.DURATION.labels(*labels, str(level)).observe(time.perf_counter() - started)


async def _health(_: Request) -> Response:
    return answer({"status": "ok"})


async def _metrics(_: Request) -> Response:
    return Response(generate_latest(metrics.REGISTRY), media_type="text/plain; version=0.0.4")


def always_full(_: Scope) -> int:
    """The level of a service that knows no degradation."""
    return 1


def application(
    identity: Identity,
    routes: list[Route],
    *,
    lifespan: Any = None,
    level: Callable[[Scope], int] = always_full,
    inside: Callable[[ASGIApp], ASGIApp] = lambda app: app,
) -> ASGIApp:
    """A service: its routes with `/health` and `/metrics` (unless it brings its own), instrumented.

    `inside` wraps the routes within the instrumentation, so that what it does is measured too.
    """
    own = {route.path for route in routes}
    common = [Route("/health", _health), Route("/metrics", _metrics)]
    routes = [*routes, *(route for route in common if route.path not in own)]
    app = Starlette(
        routes=routes,
        lifespan=lifespan,
        exception_handlers={ApiError: _on_api_error, HTTPException: _on_http_error},
    )
    return Instrumented(inside(app), identity, routes, level)


class _Server(uvicorn.Server):
    """Uvicorn raises the signal again after an orderly end, which would end the process by it instead of with 0."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self.handle_exit)
        yield


def serve(app: ASGIApp, identity: Identity) -> None:
    """Serves on `HOST` until SIGTERM; requests under way get two seconds to end."""
    config = uvicorn.Config(
        app,
        host=settings.host(),
        port=identity.port,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="on",
        access_log=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=2,
    )
    server = _Server(config)
    server.run()
    if not server.started:
        raise SystemExit(3)
