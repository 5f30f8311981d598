"""The one door to time: CLOCK_MONOTONIC and wall time in nanoseconds."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Real in production, harness.testing.FakeClock in tests."""

    def mono_ns(self) -> int: ...

    def wall_ns(self) -> int: ...

    def sleep(self, seconds: float) -> None: ...


class SystemClock:
    """The host's clocks."""

    def mono_ns(self) -> int:
        return time.monotonic_ns()

    def wall_ns(self) -> int:
        return time.time_ns()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)
