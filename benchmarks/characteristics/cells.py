"""One cell of the table: how often something happened in how many simulated runs, and how often it may."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from harness.judge import bounds

SIMULATION_CONFIDENCE = 0.99


@dataclass(frozen=True)
class Cell:
    """`happened` in `runs`; `level` is the most that is promised, None where nothing is (the power of a rule).

    `declared`: the stream is what was declared, so that the promise holds for it. Beyond that the cell only shows.
    """

    table: str
    row: str
    column: str
    happened: int
    runs: int
    level: float | None = None
    declared: bool = True

    @property
    def share(self) -> float:
        return self.happened / self.runs

    @property
    def above(self) -> bool:
        """Whether even the lower end of the simulation's own error lies above the level."""
        return self.level is not None and bounds.lower(self.happened, self.runs, SIMULATION_CONFIDENCE) > self.level

    @property
    def fails(self) -> bool:
        return self.declared and self.above

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)
