"""A circuit breaker as a value: no clock, no I/O. `Circuit` in `circuit.py` gives it both.

CLOSED ── `failures` consecutive failures ──▶ OPEN ── `recovery` seconds ──▶ HALF_OPEN
HALF_OPEN ── `trials` successes ──▶ CLOSED,  HALF_OPEN ── one failure ──▶ OPEN
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum


class State(IntEnum):
    """As shown by the gauge `sophia_breaker_state`."""

    CLOSED = 0
    HALF_OPEN = 1
    OPEN = 2


@dataclass(frozen=True, slots=True)
class Rule:
    """Consecutive failures until it opens, seconds until it may be tried again, successful trials until it closes."""

    failures: int
    recovery: float
    trials: int


@dataclass(frozen=True, slots=True)
class Breaker:
    """The state after what was reported so far. Times are seconds of one monotonic clock."""

    rule: Rule
    state: State = State.CLOSED
    failures: int = 0
    opened_at: float = 0.0
    admitted: int = 0
    successes: int = 0

    def at(self, now: float) -> Breaker:
        """The state at `now`: an open breaker becomes half-open by time alone."""
        if self.state is State.OPEN and now - self.opened_at >= self.rule.recovery:
            return replace(self, state=State.HALF_OPEN, admitted=0, successes=0)
        return self

    def admit(self, now: float) -> Breaker | None:
        """The state with one more call under way, or None when the call must not be made."""
        current = self.at(now)
        if current.state is State.OPEN:
            return None
        if current.state is State.CLOSED:
            return current
        if current.admitted >= current.rule.trials:
            return None
        return replace(current, admitted=current.admitted + 1)

    def succeeded(self, now: float) -> Breaker:
        """An admitted call succeeded. A straggler that reports while the breaker is open changes nothing."""
        current = self.at(now)
        if current.state is State.CLOSED:
            return replace(current, failures=0)
        if current.state is State.OPEN or current.admitted == 0:
            return current
        successes = current.successes + 1
        if successes >= current.rule.trials:
            return Breaker(current.rule)
        return replace(current, successes=successes)

    def failed(self, now: float) -> Breaker:
        """An admitted call failed."""
        current = self.at(now)
        if current.state is State.OPEN:
            return current
        failures = current.failures + 1
        if current.state is State.HALF_OPEN or failures >= current.rule.failures:
            return Breaker(current.rule, State.OPEN, failures, now)
        return replace(current, failures=failures)

    def abandoned(self, now: float) -> Breaker:
        """An admitted call ended without telling anything (its caller went away): its place is free again."""
        current = self.at(now)
        if current.state is State.HALF_OPEN and current.admitted > current.successes:
            return replace(current, admitted=current.admitted - 1)
        return current

    @property
    def impaired(self) -> bool:
        """Whether the last thing heard of the dependency was bad."""
        return self.state is not State.CLOSED or self.failures > 0
