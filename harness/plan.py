"""Scenario → timeline. Pure: the same scenario and seed give the same plan on every machine."""

from __future__ import annotations

import random
from collections.abc import Iterable

from harness.model.base import format_duration
from harness.model.plan import Plan, PlannedFault, Step
from harness.model.scenario import ExperimentRef, Scenario

# The time a chaos child may take around the injection itself: start, steady-state check, landing, clean-up.
EXPERIMENT_OVERHEAD_S = 20.0
# The time the canary's instances may take to start.
ROLLOUT_OVERHEAD_S = 60.0
UPGRADE_OVERHEAD_S = 300.0


def gaps(experiments: Iterable[ExperimentRef], seed: int) -> list[tuple[ExperimentRef, int, float]]:
    """(experiment, repetition from 1, quiet seconds before it), each gap uniform in [gap, 2·gap] by the seed."""
    draw = random.Random(f"{seed}:gaps")
    return [(one, n, one.gap * (1 + draw.random())) for one in experiments for n in range(1, one.repeat + 1)]


def plan(scenario: Scenario, release: str, seed: int, faults: tuple[PlannedFault, ...], arrivals_per_s: float) -> Plan:
    """The timeline of a run: warm-up, steady, each fault, quiet, read-back.

    `faults` come with their predicted selection; `arrivals_per_s` is the schedule's mean rate over its nominal length.
    """
    spec = scenario.spec
    steps: list[Step] = []
    early = late = 0.0

    def add(stage: str, title: str, shortest: float, longest: float | None = None) -> None:
        nonlocal early, late
        longest = shortest if longest is None else longest
        steps.append(Step(stage=stage, title=title, starts_s=(early, late), ends_s=(early + shortest, late + longest)))
        early, late = early + shortest, late + longest

    add("warm-up", "load on, not judged", spec.load.warm_up)
    if spec.upgrade_from:
        add("redeploy", f"{spec.upgrade_from} → {release}, under load", 0.0, UPGRADE_OVERHEAD_S)
    add("steady", f"undisturbed for {format_duration(spec.steady)}", spec.steady)
    if spec.rollout is not None:
        shortest, longest = spec.rollout.seconds
        title = f"{spec.rollout.canary} beside {spec.rollout.baseline}: " + " → ".join(
            f"{step.share:.0%}" for step in spec.rollout.steps
        )
        add("rollout", title, shortest, longest + ROLLOUT_OVERHEAD_S)
    for fault in faults:
        add("steady", "quiet before the fault", fault.gap_s)
        add(
            "fault",
            f"{fault.experiment}: {fault.title} → {', '.join(fault.selection)}",
            spec.sustained,
            fault.within_s + EXPERIMENT_OVERHEAD_S,
        )
    add("quiet", "healed and quiet", spec.quiet)
    return Plan(
        scenario=scenario.metadata.name,
        seed=seed,
        release=release,
        steps=tuple(steps),
        faults=faults,
        load_s=late + 30.0,
        arrivals=int(arrivals_per_s * early),
    )
