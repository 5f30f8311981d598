"""What a run is going to do, printable before anything happens."""

from __future__ import annotations

from harness.model.base import Frozen


class PlannedFault(Frozen):
    """One injection: which experiment, what it will touch, and how long before it the platform is left alone."""

    experiment: str  # kill-weaviate#1
    title: str
    file: str
    kinds: tuple[str, ...]
    selection: tuple[str, ...]
    blast_radius: int
    gap_s: float
    within_s: float
    set: dict[str, str | int | float] = {}


class Step(Frozen):
    """A stretch of the timeline; seconds from the start of the load, earliest and latest."""

    stage: str
    title: str
    starts_s: tuple[float, float]
    ends_s: tuple[float, float]


class Decidability(Frozen):
    """What a run can say of one objective at best.

    `can_pass`: it passes when nothing bad happens; `can_fail`: it fails when all is bad. `effective`: how many
    independent events a claim about the platform would rest on; `shortest_s`, `repeats`: the shortest judged time and
    the fewest clean faults that could make it pass.
    """

    slo: str
    objective: str
    claim: str
    window: str
    origin: str
    can_pass: bool
    can_fail: bool
    events: float
    effective: float | None = None
    shortest_s: float | None = None
    repeats: int | None = None
    reason: str


class Plan(Frozen):
    """The exact timeline: every random choice is already made."""

    scenario: str
    seed: int
    release: str
    steps: tuple[Step, ...]
    faults: tuple[PlannedFault, ...]
    load_s: float  # the longest the load may go on
    arrivals: int  # arrivals due by the earliest possible end
    objectives: tuple[Decidability, ...] = ()
    notes: tuple[str, ...] = ()
