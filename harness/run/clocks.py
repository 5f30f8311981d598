"""One clock against the other, and what is done at most every so often."""

from __future__ import annotations

import time
from collections.abc import Callable


def monotonic_to_wall() -> tuple[int, int]:
    """(wall − monotonic in ns, half the time it took to read both)."""
    before, wall, after = time.monotonic_ns(), time.time_ns(), time.monotonic_ns()
    return wall - (before + after) // 2, (after - before) // 2 + 1


def every(seconds: float, action: Callable[[], None]) -> Callable[[], None]:
    """A watch that runs its action at most once in so many seconds."""
    due = [0.0]

    def watch() -> None:
        if time.monotonic() >= due[0]:
            due[0] = time.monotonic() + seconds
            action()

    return watch
