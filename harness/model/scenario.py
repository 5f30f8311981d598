"""The top document: what to run, against what, judged by what."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field, JsonValue, model_validator

from harness.model.base import Duration, Frozen
from harness.model.platform import Metadata


class Constant(Frozen):
    """Arrivals at equal distances."""

    kind: Literal["constant"]
    rate: float = Field(gt=0, description="arrivals per second")


class Poisson(Frozen):
    """Independent arrivals: exponential distances, seeded."""

    kind: Literal["poisson"]
    rate: float = Field(gt=0, description="mean arrivals per second")


class Ramp(Frozen):
    """A rate that grows linearly, then stays."""

    kind: Literal["ramp"]
    rate: float = Field(gt=0, description="arrivals per second at the start")
    to: float = Field(gt=0, description="arrivals per second after `over`")
    over: Duration


class Step(Frozen):
    """A rate that jumps at a time and stays."""

    kind: Literal["step"]
    rate: float = Field(gt=0)
    to: float = Field(gt=0)
    at: Duration


Arrivals = Annotated[Constant | Poisson | Ramp | Step, Field(discriminator="kind")]


class Load(Frozen):
    """An open workload: a schedule of arrivals, the journeys they are drawn from, and the connection policy."""

    locustfile: str
    arrivals: Arrivals
    mix: dict[str, float] = Field(min_length=1, description="journey → weight")
    warm_up: Duration = 5.0
    timeout: Duration = 5.0
    max_in_flight: int = Field(default=1000, ge=1)
    connections: Literal["kept", "new"] = "kept"
    drain: Duration = 6.0
    settings: dict[str, JsonValue] = {}


class Validity(Frozen):
    """When the load was not what was declared, the verdict is capped at INCONCLUSIVE."""

    late_p99: Duration = Field(default=0.05, description="start lateness in a second that still counts as on time")
    late_seconds: float = Field(default=0.05, ge=0, le=1, description="share of seconds that may be late")
    dropped: float = Field(default=0.0, ge=0, le=1, description="share of arrivals that may be dropped")
    cpu: float = Field(default=0.85, gt=0, le=1, description="share of a core above which the generator is saturated")


class Beacon(Frozen):
    """A light probe on its own, through the same edge, a new connection each time: it times recovery."""

    path: str = "/"
    every: Duration = 0.02
    timeout: Duration = 2.0


class Guard(Frozen):
    """Ends the run early: when the user-visible error share over `over` is above `errors`, outside what is expected."""

    name: str
    errors: float = Field(gt=0, le=1)
    over: Duration = 10.0
    windows: tuple[Literal["steady", "fault"], ...] = ("steady",)


class ExperimentRef(Frozen):
    """One experiment file and how often it is run."""

    file: str
    repeat: int = Field(default=1, ge=1)
    gap: Duration = Field(default=2.0, description="quiet time before each injection, drawn from [gap, 2·gap] by seed")
    within: Duration = Field(default=120.0, description="time after the fault within which all must be healed")
    blast_radius: int = Field(default=1, ge=1, description="instances that the fault may touch")


class _CountingTrigger(Frozen):
    """Takes a bad release off whatever else is said: its condition in `consecutive` windows of the canary's responses.

    A window with fewer than `minimum` responses says nothing; nothing is promoted while it could have been a hit.
    """

    window: Duration = Field(gt=0)
    consecutive: int = Field(ge=1)
    minimum: int = Field(default=1, ge=1, description="responses below which a window says nothing")


class ErrorTrigger(_CountingTrigger):
    """The share of failed responses is above a limit."""

    kind: Literal["errors"]
    above: float = Field(ge=0, lt=1)


class LatencyTrigger(_CountingTrigger):
    """The quantile of the latency is above a limit, counted: more than 1 − quantile of the responses are slower."""

    kind: Literal["latency"]
    quantile: float = Field(default=0.95, gt=0, lt=1)
    above: Duration


class AccuracyTrigger(_CountingTrigger):
    """The share of right answers among those whose content was checked is below a limit."""

    kind: Literal["accuracy"]
    below: float = Field(gt=0, le=1)
    journey: str = Field(default="", description="only this journey's answers; empty: all")


class HealthTrigger(Frozen):
    """An instance of the canary fails so many health checks in a row."""

    kind: Literal["health"]
    consecutive: int = Field(ge=1)
    path: str = "/health"
    port: str = "http"
    every: Duration = Field(default=1.0, gt=0)
    timeout: Duration = Field(default=1.0, gt=0)


Trigger = Annotated[ErrorTrigger | LatencyTrigger | AccuracyTrigger | HealthTrigger, Field(discriminator="kind")]


class Hold(Frozen):
    """How long a step may be held before the rollout is halted and the traffic goes back."""

    times: int = Field(
        default=2, ge=0, description="bakes of one step that may be inconclusive, drift or lose evidence"
    )
    silence: Duration = Field(default=3.0, gt=0, description="the record is lost when it is older than this")
    patience: Duration = Field(default=30.0, gt=0, description="time that lost evidence has to come back")


class RolloutStep(Frozen):
    """A share of the traffic and how long it is watched. The last step may be 100 % without a bake: the promotion."""

    share: float = Field(gt=0, le=1)
    bake: Duration = 0.0


class Rollout(Frozen):
    """The canary's steps and the rules by which it goes on or back."""

    service: str
    region: str = ""
    baseline: str
    canary: str
    instances: int = Field(default=1, ge=1)
    actuator: str = "haproxy"
    settings: dict[str, JsonValue] = Field(default={}, description="what the actuator needs; see its reference page")
    steps: tuple[RolloutStep, ...] = Field(min_length=1)
    share_tolerance: float = Field(default=0.05, gt=0, lt=1)
    share_minimum: int = Field(default=40, ge=1, description="responses needed to see a share")
    shift_within: Duration = 10.0
    rollback_within: Duration = 30.0
    sustained: Duration = Field(default=2.0, gt=0, description="time without the other release until it counts as gone")
    hold: Hold = Hold()
    triggers: tuple[Trigger, ...] = ()

    @property
    def judged(self) -> tuple[RolloutStep, ...]:
        """The steps with a bake; 100 % without one is the promotion itself."""
        return tuple(step for step in self.steps if step.bake > 0)

    @property
    def seconds(self) -> tuple[float, float]:
        """(the shortest a promotion can take, the longest a rollout can go on), without starting the instances."""
        bakes = sum(step.bake for step in self.judged)
        shifts = len(self.judged) + 1
        held = (self.hold.times + 1) * (bakes + shifts * (self.shift_within + self.hold.patience + self.hold.silence))
        return bakes + self.sustained, held + self.rollback_within + self.sustained

    @model_validator(mode="after")
    def _ordered(self) -> Rollout:
        if self.baseline == self.canary:
            raise ValueError("baseline and canary are the same release: their responses could not be told apart")
        if not self.judged:
            raise ValueError("no step has a bake, so nothing would be judged")
        for before, after in pairwise(self.steps):
            if after.share <= before.share:
                raise ValueError("the shares of the steps must rise")
        for step in self.steps:
            if step.bake == 0 and step.share < 1:
                raise ValueError(f"the step with share {step.share:g} has no bake; only 100 % may go without")
        return self


class ReadBack(Frozen):
    """How acknowledged writes are read again from each region's own endpoint.

    GET `path`?`parameter`=k1,k2,… answers `{"memories": [{"key", "text", "version", "count"}]}` with what is there.
    """

    path: str
    parameter: str = "keys"
    batch: int = Field(default=200, ge=1)
    within: Duration = Field(
        default=15.0, description="time that a replica has to catch up before a write counts as lost"
    )


class TargetRef(Frozen):
    """Which target, and which platform on it. `state` attaches to a platform that is already up."""

    kind: str = "local"
    platform: str
    release: str = ""
    state: str = ""


class ScenarioSpec(Frozen):
    """Everything that decides what a run does."""

    target: TargetRef
    seed: int = 1
    load: Load
    beacon: Beacon = Beacon()
    validity: Validity = Validity()
    steady: Duration = 30.0
    experiments: tuple[ExperimentRef, ...] = ()
    rollout: Rollout | None = None
    read_back: ReadBack | None = None
    quiet: Duration = Field(default=3.0, description="time without fault before the final read-back")
    guards: tuple[Guard, ...] = ()
    slos: tuple[str, ...] = Field(min_length=1, description="OpenSLO files or folders")
    claim: Literal["run", "system"] = "run"
    sustained: Duration = Field(default=2.0, description="a recovery counts once service stayed good for so long")


class Scenario(Frozen):
    """A scenario document (`kind: Scenario`)."""

    api_version: Literal["harness/v1"] = Field(alias="apiVersion")
    kind: Literal["Scenario"]
    metadata: Metadata
    spec: ScenarioSpec
