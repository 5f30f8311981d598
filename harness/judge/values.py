"""One measured value, as an interval."""

from __future__ import annotations

from dataclasses import dataclass

from harness.model.judgement import Interval


@dataclass(frozen=True)
class Value:
    """What was measured and what happened, in words. Both ends open: nothing is known."""

    interval: Interval
    reason: str
