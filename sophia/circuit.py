"""A breaker with a clock: guards the calls to one dependency and shows its state as a metric."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from sophia import metrics, settings
from sophia.breaker import Breaker, Rule, State

T = TypeVar("T")


class CircuitOpen(Exception):
    """The call was not made."""


def rule_from_environment(failures: int, recovery: float, trials: int) -> Rule:
    """These, unless BREAKER_FAILURES, BREAKER_RECOVERY or BREAKER_TRIALS say otherwise."""
    return Rule(
        settings.integer("BREAKER_FAILURES", failures),
        settings.number("BREAKER_RECOVERY", recovery),
        settings.integer("BREAKER_TRIALS", trials),
    )


class Circuit:
    """Calls go through `call`; whatever of `failures` they raise counts against the dependency."""

    def __init__(self, name: str, rule: Rule, failures: tuple[type[Exception], ...]) -> None:
        self.name = name
        self._breaker = Breaker(rule)
        self._failures: tuple[type[Exception], ...] = (*failures, TimeoutError)
        self._show()

    def _show(self) -> None:
        metrics.BREAKER.labels(self.name).set(int(self._breaker.state))

    @property
    def state(self) -> State:
        """The state now."""
        return self._breaker.at(time.monotonic()).state

    @property
    def impaired(self) -> bool:
        """Whether the last call failed or the circuit is not closed."""
        return self._breaker.impaired

    def tick(self) -> None:
        """Lets time open the way for trials, and shows it."""
        self._breaker = self._breaker.at(time.monotonic())
        self._show()

    async def call(self, attempt: Callable[[], Awaitable[T]], within: float) -> T:
        """The attempt's result; raises CircuitOpen, what the attempt raised, or TimeoutError after `within` seconds."""
        admitted = self._breaker.admit(time.monotonic())
        if admitted is None:
            raise CircuitOpen(self.name)
        self._breaker = admitted
        try:
            async with asyncio.timeout(within):
                result = await attempt()
        except self._failures:
            self._breaker = self._breaker.failed(time.monotonic())
            raise
        except BaseException:
            self._breaker = self._breaker.abandoned(time.monotonic())
            raise
        else:
            self._breaker = self._breaker.succeeded(time.monotonic())
            return result
        finally:
            self._show()
