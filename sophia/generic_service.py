"""One program that can play any service of an inventory: a name, dependencies, health, readiness, metrics.

Environment, besides the identity: ROLE (a word on what it does), DEPENDS_ON (name=host:port,…: services whose /health
must answer before this one is ready).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
from prometheus_client import Gauge
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sophia import metrics, settings
from sophia.settings import Identity
from sophia.web import answer, application, body_of, field, serve

DEPENDENCY = Gauge("sophia_dependency_up", "1 while it answers.", ("dependency",), registry=metrics.REGISTRY)
LOOK_EVERY = 2.0


class Generic:
    """What the service is, and whether what it depends on answers."""

    def __init__(self, identity: Identity) -> None:
        self.identity = identity
        self.role = settings.text("ROLE", "service")
        self.addresses = dict(pair.split("=", 1) for pair in settings.words("DEPENDS_ON"))
        self.up = dict.fromkeys(self.addresses, False)

    async def look(self, session: aiohttp.ClientSession) -> None:
        """Asks every dependency, for ever."""

        async def healthy(address: str) -> bool:
            try:
                async with session.get(f"http://{address}") as response:
                    return response.status == 200
            except (aiohttp.ClientError, OSError, TimeoutError):
                return False

        while self.addresses:
            answers = await asyncio.gather(*(healthy(address) for address in self.addresses.values()))
            self.up = dict(zip(self.addresses, answers, strict=True))
            for name, answered in self.up.items():
                DEPENDENCY.labels(name).set(int(answered))
            await asyncio.sleep(LOOK_EVERY if all(answers) else 0.25)

    async def ready(self, _: Request) -> Response:
        """GET /ready: 200 when all dependencies answer."""
        good = all(self.up.values())
        return answer({"status": "ready" if good else "waiting", "dependencies": self.up}, 200 if good else 503)

    async def info(self, _: Request) -> Response:
        """GET /info."""
        return answer({"service": self.identity.service, "role": self.role, "release": self.identity.release})

    async def call(self, request: Request) -> Response:
        """POST /call {tool, arguments}: says what it was asked."""
        body = await body_of(request)
        return answer(
            {"service": self.identity.service, "tool": field(body, "tool"), "given": body.get("arguments", {})}
        )


def build(identity: Identity) -> Any:
    """The ASGI application."""
    generic = Generic(identity)

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=1)) as session:
            looking = asyncio.create_task(generic.look(session))
            try:
                yield
            finally:
                looking.cancel()

    routes = [
        Route("/ready", generic.ready),
        Route("/info", generic.info),
        Route("/call", generic.call, methods=["POST"]),
    ]
    return application(identity, routes, lifespan=lifespan)


if __name__ == "__main__":
    me = Identity.from_environment()
    serve(build(me), me)
