"""One request of the sample run, and the run's times in seconds since it was opened."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from harness.model.records import Content, Outcome

Kind = Literal["pass", "fail", "inconclusive", "rollback"]
KINDS: tuple[Kind, ...] = ("pass", "fail", "inconclusive", "rollback")

SECOND = 1_000_000_000
OPENED_MONO_NS = 5_000 * SECOND
OPENED_WALL_NS = 1_795_183_380 * SECOND
LOAD_FROM_S, LOAD_S, RATE = 27.0, 90.0, 40.0
WARM_UP_S, LANDED_S, SERVED_S, FULL_S = 5.0, 62.05, 63.41, 91.9
EXPERIMENT = "kill-weaviate#1"
NAME = "kill-weaviate"


@dataclass(frozen=True)
class Row:
    """The columns of harness.model.records.REQUEST_COLUMNS."""

    arrival: int
    journey: str
    intended_ns: int
    started_ns: int
    finished_ns: int
    outcome: int
    status: int
    content: int
    level: int
    release: str
    region: str
    instance: str

    @property
    def good(self) -> bool:
        return self.outcome == Outcome.ANSWERED and self.status < 400 and self.content != Content.WRONG

    @property
    def latency_s(self) -> float:
        return (self.finished_ns - self.intended_ns) / SECOND


def at_ns(seconds: float) -> int:
    """Monotonic time of a moment of the run."""
    return OPENED_MONO_NS + round(seconds * SECOND)
