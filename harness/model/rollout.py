"""A canary's steps: how its traffic grows, and the rules by which it goes on or back."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field, JsonValue, model_validator

from harness.model.base import Duration, Frozen


class _CountingTrigger(Frozen):
    """Takes a bad release off whatever else is said: its condition in `consecutive` windows of the canary's responses.

    A window with fewer than `minimum` responses says nothing; nothing is promoted while it could have been a hit.
    """

    window: Duration = Field(gt=0, description="length of one window")
    consecutive: int = Field(ge=1, description="windows in a row that must be bad")
    minimum: int = Field(default=1, ge=1, description="responses below which a window says nothing")


class ErrorTrigger(_CountingTrigger):
    """The share of failed responses is above a limit."""

    kind: Literal["errors"] = Field(description="which trigger")
    above: float = Field(ge=0, lt=1, description="share of failed responses")


class LatencyTrigger(_CountingTrigger):
    """The quantile of the latency is above a limit, counted: more than 1 − quantile of the responses are slower."""

    kind: Literal["latency"] = Field(description="which trigger")
    quantile: float = Field(default=0.95, gt=0, lt=1, description="0.95: P95")
    above: Duration = Field(description="the limit of the quantile")


class AccuracyTrigger(_CountingTrigger):
    """The share of right answers among those whose content was checked is below a limit."""

    kind: Literal["accuracy"] = Field(description="which trigger")
    below: float = Field(gt=0, le=1, description="share of right answers")
    journey: str = Field(default="", description="only this journey's answers; empty: all")


class HealthTrigger(Frozen):
    """An instance of the canary fails so many health checks in a row."""

    kind: Literal["health"] = Field(description="which trigger")
    consecutive: int = Field(ge=1, description="failed checks in a row")
    path: str = Field(default="/health", description="what is asked of the instance")
    port: str = Field(default="http", description="name of the instance's port")
    every: Duration = Field(default=1.0, gt=0, description="time between two checks")
    timeout: Duration = Field(default=1.0, gt=0, description="a check without an answer by then has failed")


Trigger = Annotated[ErrorTrigger | LatencyTrigger | AccuracyTrigger | HealthTrigger, Field(discriminator="kind")]


class _Criterion(Frozen):
    """The canary is good enough while its share of bad events stays below ratio · the baseline's share + plus."""

    ratio: float = Field(default=1.0, ge=0, description="relative margin; 0 makes `plus` an absolute limit")
    plus: float = Field(default=0.0, ge=0, lt=1, description="absolute margin, as a share of the events")

    @model_validator(mode="after")
    def _somewhere(self) -> _Criterion:
        if self.ratio == 0 and self.plus == 0:
            raise ValueError(
                "ratio 0 and plus 0: not one bad event would be allowed, and none can be shown not to come"
            )
        return self


class ErrorCriterion(_Criterion):
    """Responses that failed: no answer, an error status, or wrong content."""

    kind: Literal["errors"] = Field(description="which criterion")


class SlowCriterion(_Criterion):
    """Responses slower than a threshold."""

    kind: Literal["slow"] = Field(description="which criterion")
    above: Duration = Field(gt=0, description="latency from which a response is slow")


class ContentCriterion(_Criterion):
    """Answers with wrong content or from a degraded service, among the answers that tell."""

    kind: Literal["content"] = Field(description="which criterion")


class ShiftCriterion(_Criterion):
    """Latency as a whole: responses slower than the baseline's own quantiles, whatever they are."""

    kind: Literal["shift"] = Field(description="which criterion")
    quantiles: tuple[float, ...] = Field(
        default=(0.5, 0.9, 0.99),
        min_length=1,
        description="of the baseline's latency before the step; each is compared",
    )


Criterion = Annotated[ErrorCriterion | SlowCriterion | ContentCriterion | ShiftCriterion, Field(discriminator="kind")]


class Comparison(Frozen):
    """Canary against baseline, block by block of the same time; looked at after each: docs/concepts/sequential.md."""

    criteria: tuple[Criterion, ...] = Field(min_length=1, description="what is compared, each with its margin")
    alpha: float = Field(
        default=0.01, gt=0, lt=1, description="chance that a rollout takes off a canary within every margin"
    )
    beta: float = Field(
        default=0.05, gt=0, lt=1, description="chance that a step calls a canary good enough that is beyond a margin"
    )
    block: Duration = Field(default=1.0, gt=0, description="both releases are compared within stretches of this length")
    assume: Literal["independent", "together", "constant"] = Field(
        default="independent",
        description="within a block requests fail independently, or may fail together; constant: rates never change",
    )
    required: bool = Field(
        default=False, description="a step that has not shown the canary good enough by its end is inconclusive"
    )


class Hold(Frozen):
    """How long a step may be held before the rollout is halted and the traffic goes back."""

    times: int = Field(
        default=2, ge=0, description="bakes of one step that may be inconclusive, drift or lose evidence"
    )
    silence: Duration = Field(default=3.0, gt=0, description="the record is lost when it is older than this")
    patience: Duration = Field(default=30.0, gt=0, description="time that lost evidence has to come back")


class RolloutStep(Frozen):
    """A share of the traffic and how long it is watched. The last step may be 100 % without a bake: the promotion."""

    share: float = Field(gt=0, le=1, description="the canary's share of the responses")
    bake: Duration = Field(default=0.0, description="how long the share is watched before it is judged")
    minimum: Duration | None = Field(
        default=None,
        gt=0,
        description="a bake may end after this when the canary is shown to be good enough; unset: never",
    )


class Rollout(Frozen):
    """The canary's steps and the rules by which it goes on or back."""

    service: str = Field(description="the service that gets a new release")
    region: str = Field(default="", description="region of the canary's instances")
    baseline: str = Field(description="the stable release")
    canary: str = Field(description="the new release")
    instances: int = Field(default=1, ge=0, description="of the canary; 0 where the actuator makes them")
    actuator: str = Field(default="haproxy", description="the means of splitting traffic")
    settings: dict[str, JsonValue] = Field(default={}, description="what the actuator needs; see its reference page")
    steps: tuple[RolloutStep, ...] = Field(min_length=1, description="shares, rising")
    share_tolerance: float = Field(default=0.05, gt=0, lt=1, description="a seen share may be off by so much")
    share_minimum: int = Field(default=40, ge=1, description="responses needed to see a share")
    shift_within: Duration = Field(default=10.0, description="time until a set share must be seen")
    rollback_within: Duration = Field(default=30.0, description="time from its cause until a rollback must be seen")
    sustained: Duration = Field(default=2.0, gt=0, description="time without the other release until it counts as gone")
    hold: Hold = Field(default=Hold(), description="how long a step may be held")
    triggers: tuple[Trigger, ...] = Field(default=(), description="what takes the canary off at once")
    compare: Comparison | None = Field(default=None, description="the canary against the baseline, all the time")

    @property
    def judged(self) -> tuple[RolloutStep, ...]:
        """The steps with a bake; 100 % without one is the promotion itself."""
        return tuple(step for step in self.steps if step.bake > 0)

    @property
    def seconds(self) -> tuple[float, float]:
        """(the shortest a promotion can take, the longest a rollout can go on), without starting the instances."""
        bakes = sum(step.bake for step in self.judged)
        least = sum(step.bake if step.minimum is None else min(step.minimum, step.bake) for step in self.judged)
        shifts = len(self.judged) + 1
        held = (self.hold.times + 1) * (bakes + shifts * (self.shift_within + self.hold.patience + self.hold.silence))
        return least + self.sustained, held + self.rollback_within + self.sustained

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
            if step.minimum is not None and self.compare is None:
                raise ValueError(
                    "a step has a minimum, but nothing is compared (`compare`) that could end its bake early"
                )
        return self
