"""An external LLM provider, as seen from the gateway: seeded latencies, a price, and bad days on demand.

Environment, besides the identity: SEED, MODELS, MEDIAN (seconds), SPREAD (sigma of the lognormal), PRICE (US dollars a
call), BEHAVIOUR. A behaviour is `name:share`, name one of normal, throttled (429), timeout, failing (500), wrong
(another answer); `PUT /admin/behaviour {"name", "share", "for"}` changes it while it runs, `for` so many seconds or
until it is changed again.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from dataclasses import dataclass
from typing import Any

from prometheus_client import Counter
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sophia import knowledge, metrics, settings
from sophia.models import UNKNOWN
from sophia.settings import Identity
from sophia.web import ApiError, answer, application, body_of, field, serve

BEHAVIOURS = ("normal", "throttled", "timeout", "failing", "wrong")
NEVER = 30.0
SERVED = Counter("sophia_provider_served", "Completions by outcome.", ("outcome",), registry=metrics.REGISTRY)


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How a share of the calls is answered; the others are answered well."""

    name: str = "normal"
    share: float = 1.0

    def __post_init__(self) -> None:
        if self.name not in BEHAVIOURS or not 0 <= self.share <= 1:
            raise ValueError(f"a behaviour is one of {', '.join(BEHAVIOURS)}, its share is from 0 to 1")

    @classmethod
    def parse(cls, text: str) -> Behaviour:
        """Of `name` or `name:share`."""
        name, _, share = text.partition(":")
        return cls(name, float(share or 1))


@dataclass(frozen=True, slots=True)
class Latency:
    """A lognormal distribution, cut at eight medians."""

    median: float
    spread: float

    def draw(self, source: random.Random) -> float:
        """Seconds."""
        return min(source.lognormvariate(math.log(self.median), self.spread), 8 * self.median)


class Provider:
    """The provider's state."""

    def __init__(self) -> None:
        self.models = settings.words("MODELS")
        self.price = settings.number("PRICE", 0.0001)
        self.latency = Latency(settings.number("MEDIAN", 0.012), settings.number("SPREAD", 0.35))
        self.source = random.Random(settings.text("SEED", "0"))
        self._behaviour, self._until = Behaviour.parse(settings.text("BEHAVIOUR", "normal")), math.inf

    @property
    def behaviour(self) -> Behaviour:
        """The behaviour now."""
        return self._behaviour if time.monotonic() < self._until else Behaviour()

    async def complete(self, request: Request) -> Response:
        """POST /v1/complete {model, question}."""
        body = await body_of(request)
        model, question = field(body, "model"), field(body, "question")
        if model not in self.models:
            raise ApiError(404, "no_such_model", f"models: {', '.join(self.models)}")
        now = self.behaviour
        behaviour = now.name if self.source.random() < now.share else "normal"
        SERVED.labels(behaviour).inc()
        if behaviour == "throttled":
            return answer({"error": {"code": "throttled", "message": "too many requests"}}, 429, {"retry-after": "1"})
        if behaviour == "failing":
            raise ApiError(500, "internal", "internal error")
        if behaviour == "timeout":
            await asyncio.sleep(NEVER)
        await asyncio.sleep(self.latency.draw(self.source))
        found = knowledge.answer(question) or UNKNOWN
        if behaviour == "wrong":
            found = f"{found}, or rather {self.source.randrange(1000)}"
        return answer({"model": model, "answer": found, "cost_usd": self.price})

    async def read_behaviour(self, _: Request) -> Response:
        """GET /admin/behaviour."""
        now = self.behaviour
        return answer({"name": now.name, "share": now.share})

    async def write_behaviour(self, request: Request) -> Response:
        """PUT /admin/behaviour {name, share, for}."""
        body = await body_of(request)
        try:
            until = time.monotonic() + float(body.get("for", math.inf))
            self._behaviour, self._until = Behaviour(field(body, "name"), float(body.get("share", 1))), until
        except (TypeError, ValueError) as problem:
            raise ApiError(400, "bad_field", str(problem)) from problem
        return await self.read_behaviour(request)


def build(identity: Identity) -> Any:
    """The ASGI application."""
    provider = Provider()
    return application(
        identity,
        [
            Route("/v1/complete", provider.complete, methods=["POST"]),
            Route("/admin/behaviour", provider.read_behaviour, methods=["GET"]),
            Route("/admin/behaviour", provider.write_behaviour, methods=["PUT"]),
        ],
    )


if __name__ == "__main__":
    me = Identity.from_environment()
    serve(build(me), me)
