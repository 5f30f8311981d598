"""The way to the external LLM providers: rotation, pacing, breakers, and cached answers when all else fails.

A call goes to its model's own provider; when that throttles, fails, is slow or paced down, to the next one at once,
never to the same one again. When no provider answers, the last answer of this model to this question is given, if there
is one.

Environment, besides the identity: PROVIDERS (name=host:port,…), ROUTES (model=provider,…), REDIS, PROVIDER_WITHIN
(seconds), BREAKER_FAILURES, BREAKER_RECOVERY, BREAKER_TRIALS.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
from prometheus_client import Counter, Gauge
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sophia import metrics, settings
from sophia.breaker import Rule
from sophia.cache import HOUR, Cache, key_of
from sophia.circuit import Circuit, CircuitOpen, rule_from_environment
from sophia.pacing import Pace
from sophia.settings import Identity
from sophia.web import ApiError, answer, application, body_of, field, serve

CALLS = Counter("sophia_provider_calls", "Calls by result.", ("provider", "result"), registry=metrics.REGISTRY)
SHARE = Gauge("sophia_provider_share", "Share of calls a provider may get.", ("provider",), registry=metrics.REGISTRY)


class ProviderFailed(Exception):
    """The provider answered, but not with a completion."""


class Throttled(ProviderFailed):
    """The provider answered 429."""


class Provider:
    """One provider with its breaker and its pace."""

    def __init__(self, name: str, address: str, rule: Rule, within: float) -> None:
        self.name, self._url, self._within = name, f"http://{address}/v1/complete", within
        self._circuit = Circuit(f"provider-{name}", rule, (aiohttp.ClientError, OSError, ProviderFailed))
        self._pace = Pace()

    def take(self) -> bool:
        """Whether the next call may go here."""
        self._pace, may = self._pace.next(time.monotonic())
        SHARE.labels(self.name).set(self._pace.share)
        return may

    async def complete(self, session: aiohttp.ClientSession, model: str, question: str) -> dict[str, Any] | None:
        """The completion, or None; how it went is counted."""

        async def post() -> dict[str, Any]:
            async with session.post(self._url, json={"model": model, "question": question}) as response:
                if response.status == 429:
                    raise Throttled
                if response.status != 200:
                    raise ProviderFailed(f"status {response.status}")
                found: dict[str, Any] = await response.json()
                return found

        result, found = "ok", None
        try:
            found = await self._circuit.call(post, self._within)
        except CircuitOpen:
            result = "open"
        except Throttled:
            self._pace, result = self._pace.throttled(time.monotonic()), "throttled"
        except TimeoutError:
            result = "timeout"
        except (aiohttp.ClientError, OSError, ProviderFailed):
            result = "failed"
        CALLS.labels(self.name, result).inc()
        return found


class Gateway:
    """All providers."""

    def __init__(self) -> None:
        rule = rule_from_environment(10, 60, 3)
        within = settings.number("PROVIDER_WITHIN", 0.4)
        addresses = dict(pair.split("=", 1) for pair in settings.words("PROVIDERS"))
        self.providers = {name: Provider(name, address, rule, within) for name, address in addresses.items()}
        self.routes = dict(pair.split("=", 1) for pair in settings.words("ROUTES"))
        self.cache = Cache(settings.text("REDIS"))
        self.session: aiohttp.ClientSession
        self.keeping: set[asyncio.Task[None]] = set()

    def order(self, model: str) -> list[Provider]:
        """The model's own provider first, then the others."""
        own = self.routes[model]
        return sorted(self.providers.values(), key=lambda provider: provider.name != own)

    async def complete(self, request: Request) -> Response:
        """POST /complete {model, question} → {model, answer, cost_usd, provider, cached}."""
        body = await body_of(request)
        model, question = field(body, "model"), field(body, "question")
        if model not in self.routes:
            raise ApiError(404, "no_such_model", f"models: {', '.join(self.routes)}")
        key = key_of("completion", model, question)
        order = self.order(model)
        for provider in order:
            if not provider.take() and provider is not order[-1]:
                continue
            found = await provider.complete(self.session, model, question)
            if found is not None:
                keeping = asyncio.create_task(self.cache.put(key, found["answer"], HOUR))
                self.keeping.add(keeping)
                keeping.add_done_callback(self.keeping.discard)
                return answer({**found, "provider": provider.name, "cached": False})
        kept = await self.cache.get(key)
        if kept is not None:
            CALLS.labels("cache", "ok").inc()
            return answer({"model": model, "answer": kept, "cost_usd": 0.0, "provider": "", "cached": True})
        raise ApiError(503, "no_provider", "no provider answers now")


def build(identity: Identity) -> Any:
    """The ASGI application."""
    gateway = Gateway()

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=200)) as session:
            gateway.session = session
            yield
        await gateway.cache.close()

    return application(identity, [Route("/complete", gateway.complete, methods=["POST"])], lifespan=lifespan)


if __name__ == "__main__":
    me = Identity.from_environment()
    serve(build(me), me)
