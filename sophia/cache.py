"""The L1 cache in Redis. A cache that is away is a miss, never an error; a circuit keeps it from costing time."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from sophia.breaker import Rule
from sophia.circuit import Circuit, CircuitOpen

T = TypeVar("T")
HOUR, DAY = 3600, 86400


def key_of(kind: str, *parts: str) -> str:
    """A cache key: its kind in clear, the rest as a digest."""
    return f"{kind}:{hashlib.blake2b(chr(0).join(parts).encode(), digest_size=16).hexdigest()}"


class Cache:
    """JSON values with a time to live."""

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        self._redis = Redis(
            host=host,
            port=int(port),
            socket_timeout=0.25,
            socket_connect_timeout=0.25,
            retry=Retry(NoBackoff(), 0),
        )
        self._circuit = Circuit("redis", Rule(5, 5.0, 1), (RedisError, OSError))

    async def _call(self, attempt: Callable[[], Awaitable[T]]) -> T | None:
        try:
            return await self._circuit.call(attempt, 0.3)
        except (CircuitOpen, RedisError, OSError, TimeoutError):
            return None

    async def get(self, key: str) -> Any:
        """The value, or None."""
        raw = await self._call(lambda: self._redis.get(key))
        return None if raw is None else json.loads(raw)

    async def put(self, key: str, value: object, seconds: int) -> None:
        """Keeps the value for a time, if Redis is there."""
        raw = json.dumps(value, separators=(",", ":"))
        await self._call(lambda: self._redis.set(key, raw, ex=seconds))

    async def close(self) -> None:
        """Ends the connections."""
        await self._redis.aclose()
