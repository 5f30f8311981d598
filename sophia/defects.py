"""How a release is made bad on purpose, by environment alone.

DEFECT_SLOW=share:milliseconds · DEFECT_FAILING=share · DEFECT_LEAKING=kilobytes kept per request · DEFECT_WRONG=share ·
DEFECT_DEGRADED=share. Shares are of the requests under /api/, drawn from a generator seeded with the instance's name.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field

from starlette.types import ASGIApp, Receive, Scope, Send

from sophia import settings
from sophia.degradation import CACHED_EMBEDDINGS
from sophia.web import error

DEGRADED = "sophia.degraded"
WRONG = "sophia.wrong"


@dataclass(frozen=True)
class Defects:
    """What is wrong with this release; nothing by default."""

    slow_share: float = 0.0
    slow_seconds: float = 0.0
    failing: float = 0.0
    leaking_kilobytes: int = 0
    wrong: float = 0.0
    degraded: float = 0.0
    leaked: list[bytes] = field(default_factory=list, compare=False)

    @classmethod
    def from_environment(cls) -> Defects:
        slow_share, _, slow_ms = settings.text("DEFECT_SLOW", "0:0").partition(":")
        return cls(
            slow_share=float(slow_share),
            slow_seconds=float(slow_ms or 0) / 1000,
            failing=settings.number("DEFECT_FAILING", 0),
            leaking_kilobytes=settings.integer("DEFECT_LEAKING", 0),
            wrong=settings.number("DEFECT_WRONG", 0),
            degraded=settings.number("DEFECT_DEGRADED", 0),
        )

    @property
    def none(self) -> bool:
        """Whether this is a good release."""
        return self == Defects()

    def around(self, app: ASGIApp, seed: str) -> ASGIApp:
        """The same service with these defects; a good release is not touched at all."""
        if self.none:
            return app
        source = random.Random(seed)

        async def defective(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http" or not scope["path"].startswith("/api/"):
                await app(scope, receive, send)
                return
            if source.random() < self.slow_share:
                await asyncio.sleep(self.slow_seconds)
            if self.leaking_kilobytes:
                self.leaked.append(b"\xa5" * (self.leaking_kilobytes * 1024))
            scope[DEGRADED] = CACHED_EMBEDDINGS if source.random() < self.degraded else 0
            scope[WRONG] = source.random() < self.wrong
            if source.random() < self.failing:
                await error(500, "internal", "internal error")(scope, receive, send)
            else:
                await app(scope, receive, send)

        return defective
