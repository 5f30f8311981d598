"""Whether a run can decide an objective at all, before it is run: from what the scenario declares alone.

Taken is the best case for each side, not one bad event for PASS and only bad ones for FAIL. What goes wrong in a run
costs events on top, so one as short as `shortest_s` decides only when nothing does.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from harness.judge import bounds
from harness.judge.blocks import declared_rate, pieces
from harness.judge.decide import Claim, count, percent
from harness.model.base import format_duration
from harness.model.load import Poisson, Step
from harness.model.plan import Decidability, Plan
from harness.model.scenario import ScenarioSpec
from harness.model.slo import CounterRatio, Objective, RequestFilter, RequestRatio, ScaleUpTime, Slo

TOGETHER = "nothing declared tells how many of its events hang together, so all of them count as one"
FAULT_KINDS = ("RecoveryTime", "ReactionTime", "AlertTime")


@dataclass(frozen=True)
class Expected:
    """Events that an objective may expect at best: per second, and over how many seconds.

    `together`: the most of them within the correlation length, where blocks of time are not known; 0: they are.
    """

    rate: float
    seconds: float
    correlation_s: float
    poisson: bool = False
    together: float = 0.0

    @property
    def worth(self) -> float:
        """Independent events for one event: 1 without a correlation length."""
        if not self.correlation_s:
            return 1.0
        if self.together:
            return 1.0 / max(1.0, self.together)
        cuts = pieces(self.correlation_s, self.rate)
        mean = self.rate * self.correlation_s / cuts
        size = max(1.0, mean)
        return _kept(mean, size, self.poisson) / mean / size / (cuts + 1) if mean else 0.0

    @property
    def events(self) -> float:
        return self.rate * self.seconds

    @property
    def effective(self) -> float:
        return max(1.0, self.events * self.worth) if self.events else 0.0


def decidability(slos: Sequence[Slo], spec: ScenarioSpec, plan: Plan) -> tuple[Decidability, ...]:
    """One entry for each objective that this run will judge, in order."""
    names = {fault.experiment.partition("#")[0] for fault in plan.faults}
    asked = [
        slo
        for slo in slos
        if slo.in_one_run and (not slo.annotations.experiment or slo.annotations.experiment in names)
    ]
    system = sum(len(slo.objectives) for slo in asked if claim_of(slo, spec) == "system")
    return tuple(_one(slo, objective, spec, plan, system) for slo in asked for objective in slo.objectives)


def claim_of(slo: Slo, spec: ScenarioSpec) -> Claim:
    """As annotated; else what the scenario claims for counted events of steady windows, and the run elsewhere."""
    if slo.annotations.claim:
        return slo.annotations.claim
    if slo.method != "Occurrences":
        return "run"  # slices that follow one another hang together
    counted = isinstance(slo.indicator, RequestRatio | CounterRatio)
    return spec.claim if counted and slo.annotations.window == "steady" else "run"


def correlation_of(slo: Slo, spec: ScenarioSpec) -> float:
    """Within how many seconds events may hang together: as annotated, else as the scenario declares."""
    return spec.correlation if slo.annotations.correlation is None else slo.annotations.correlation


def _one(slo: Slo, objective: Objective, spec: ScenarioSpec, plan: Plan, system: int) -> Decidability:
    claim, notes = claim_of(slo, spec), slo.annotations
    told = {"slo": slo.name, "objective": objective.title, "claim": claim, "window": notes.window, "origin": slo.origin}
    if isinstance(slo.indicator, ScaleUpTime):
        return _after_step(told, objective, spec, plan)
    expected = _expected(slo, spec, plan)
    if expected is None:
        return _few(told, slo, objective, plan, claim, correlation_of(slo, spec))
    if claim == "run":
        enough = expected.events >= notes.minimum_events
        shortest = notes.minimum_events / expected.rate if expected.rate else None
        reason = f"about {count(round(expected.events), 'event')} expected"
        if not enough:
            reason += f", {count(notes.minimum_events)} are needed to decide"
        return Decidability(
            **told, can_pass=enough, can_fail=enough, events=expected.events, shortest_s=shortest, reason=reason
        )
    confidence = notes.confidence
    strict = max(confidence, 1.0 - spec.false_fail / max(1, system))
    needed = _needed(objective.target, confidence, expected)
    effective = expected.effective
    can_fail = bool(effective) and bounds.mean_upper(0.0, effective, strict) < objective.target
    shortest = None if math.isinf(needed) or not expected.rate else needed / expected.worth / expected.rate
    can_pass = effective >= needed and expected.events >= notes.minimum_events
    reason = f"about {count(round(expected.events), 'event')} expected, worth {effective:,.0f} independent ones"
    if not can_pass:
        takes = "no number proves" if math.isinf(needed) else f"{math.ceil(needed):,} without one bad are needed for"
        reason += f"; {takes} {percent(objective.target)} at {percent(confidence)}"
    return Decidability(
        **told,
        can_pass=can_pass,
        can_fail=can_fail,
        events=expected.events,
        effective=effective,
        shortest_s=shortest,
        reason=reason,
    )


def _after_step(told: dict[str, str], objective: Objective, spec: ScenarioSpec, plan: Plan) -> Decidability:
    """What scales up after a load step takes a schedule with one, and time to see that it does not."""
    arrivals = spec.load.arrivals
    if not isinstance(arrivals, Step) or arrivals.to <= arrivals.rate:
        reason = "the load has no rising step to scale after (`arrivals: {kind: step}`)"
        return Decidability(**told, can_pass=False, can_fail=False, events=0, reason=reason)
    left = max(0.0, max(step.ends_s[0] for step in plan.steps) - arrivals.at)
    able = left >= (objective.value or 0.0)
    reason = f"the load goes on for at least {format_duration(left)} after its step"
    return Decidability(**told, can_pass=left > 0, can_fail=able, events=1, reason=reason)


def _needed(target: float, confidence: float, expected: Expected) -> float:
    if expected.correlation_s:
        return bounds.effective_needed(0.0, target, confidence) or math.inf
    return bounds.events_needed(0, target, confidence) or math.inf


def _few(
    told: dict[str, str], slo: Slo, objective: Objective, plan: Plan, claim: Claim, correlation: float
) -> Decidability:
    """Objectives on single values: one for each fault, or one for the run."""
    per_fault = type(slo.indicator).__name__ in FAULT_KINDS
    name = slo.annotations.experiment
    faults = sum(not name or fault.experiment.partition("#")[0] == name for fault in plan.faults)
    values = faults if per_fault else 1
    needed = bounds.events_needed(0, objective.target, slo.annotations.confidence)
    sure = f"{percent(objective.target)} of the time, {percent(slo.annotations.confidence)} sure"
    takes = "no number of faults proves it" if needed is None else f"takes {count(needed, 'clean fault')}"
    if claim == "run":
        able = values > 0
        if not per_fault:
            reason = "measured in this run"
            return Decidability(**told, can_pass=able, can_fail=able, events=values, reason=reason)
        reason = f"{count(values, 'fault')} planned; as a claim on the platform, {sure}, it {takes}"
        return Decidability(**told, can_pass=able, can_fail=able, events=values, repeats=needed, reason=reason)
    if not per_fault:
        apart = correlation == 0.0
        reason = "how many there will be is not declared" if apart else TOGETHER
        return Decidability(**told, can_pass=apart, can_fail=apart, events=0, reason=reason)
    can_pass = needed is not None and values >= needed
    return Decidability(
        **told,
        can_pass=can_pass,
        can_fail=values > 0,
        events=values,
        repeats=needed,
        reason=f"{count(values, 'fault')} planned; {sure}: {takes}",
    )


def _expected(slo: Slo, spec: ScenarioSpec, plan: Plan) -> Expected | None:
    """None where nothing is counted by the second, or nobody declares how often it happens."""
    indicator, notes = slo.indicator, slo.annotations
    correlation = correlation_of(slo, spec)
    seconds, share = _seconds(notes.window, notes.experiment, spec, plan)
    poisson = isinstance(spec.load.arrivals, Poisson)
    match indicator:
        case RequestRatio(table="beacon"):
            return Expected(1.0 / spec.beacon.every, seconds, correlation)
        case RequestRatio():
            return Expected(declared_rate(spec, indicator) * share, seconds, correlation, poisson)
        case CounterRatio(per_arrival=float() as per_arrival):
            every = RequestRatio(table="requests", total=RequestFilter(), good=RequestFilter())
            rate = declared_rate(spec, every) * share * per_arrival
            # In the fullest of all stretches: about four standard deviations above the mean.
            mean = rate * correlation
            together = mean + (4.0 * math.sqrt(mean) if poisson else 1.0)
            return Expected(rate, seconds, correlation, together=together)
        case _:
            return None


def _seconds(window: str, experiment: str, spec: ScenarioSpec, plan: Plan) -> tuple[float, float]:
    """(the shortest time that is judged, the share of the traffic that is)."""
    if spec.rollout is not None:
        step = min(spec.rollout.judged, key=lambda one: one.share * one.bake)
        return step.bake, step.share
    if window == "run":
        kinds: Iterable[str] = ("redeploy", "steady", "rollout", "fault", "quiet")
    else:
        kinds = (window,)
    chosen = [step for step in plan.steps if step.stage in kinds]
    if experiment:
        chosen = [step for step in chosen if step.title.partition("#")[0] == experiment]
    return sum(step.ends_s[0] - step.starts_s[0] for step in chosen), 1.0


def _kept(mean: float, size: float, poisson: bool) -> float:
    """E min(n, size) for the number n of events in a block: what it holds beyond its declared number counts nothing."""
    if not poisson:
        whole = math.floor(mean)
        return (1.0 - (mean - whole)) * min(whole, size) + (mean - whole) * min(whole + 1, size)
    total, chance, below, n = 0.0, math.exp(-mean), 0.0, 0
    while n < size:
        total, below = total + n * chance, below + chance
        n, chance = n + 1, chance * mean / (n + 1)
    return total + size * max(0.0, 1.0 - below)


def words(one: Decidability) -> str:
    """One line for people."""
    able = {(True, True): "decidable", (True, False): "can only pass", (False, True): "can only fail"}
    line = able.get((one.can_pass, one.can_fail), "cannot be decided")
    about = f"{one.slo}{f': {one.objective}' if one.objective else ''} [{one.claim}]"
    short = ""
    if not one.can_pass and one.shortest_s is not None:
        short = f"; the shortest window that could: {format_duration(float(math.ceil(one.shortest_s)))}"
    return f"{line:<18} {about}: {one.reason}{short}"
