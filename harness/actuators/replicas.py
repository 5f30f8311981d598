"""Replicas: the canary's share is its part of the instances, where all of them are given the same traffic.

Needs nothing but a target that can run so many instances of a release: Services, or an edge that knows every instance.
As coarse as the count is small, and a share that whole instances cannot make is refused before anything.
"""

from __future__ import annotations

from fractions import Fraction

from pydantic import Field

from harness.errors import BadInput, TargetError
from harness.kube.rights import rights
from harness.model.base import Duration, Frozen
from harness.model.rollout import Rollout
from harness.ports import Count, Counts, Target

MAKES_INSTANCES = True  # a rollout begins with none of the canary
RIGHTS = (*rights("get patch", "deployments", "apps"), *rights("list", "pods"))


class Settings(Frozen):
    """How many instances there are of both releases together, while the rollout goes on."""

    instances: int = Field(ge=2, description="of both releases together: shares are multiples of 1/instances")
    ready_within: Duration = Field(default=60.0, gt=0, description="time that new instances have to become ready")
    back_within: Duration = Field(
        default=15.0, gt=0, description="on the way back: the canary stays at most so long for the stable ones"
    )


def refuse(rollout: Rollout, settings: Settings) -> None:
    """Raises BadInput for a share that no whole number of instances makes."""
    for number, step in enumerate(rollout.steps):
        wanted = Fraction(str(step.share)) * settings.instances
        if wanted.denominator != 1:
            enough = Fraction(str(step.share)).denominator
            raise BadInput(
                f"{step.share:.10g} of {settings.instances} instances is no whole number",
                key=f"rollout.steps.{number}.share",
                fix=f"a multiple of {1 / settings.instances:.4g}, or settings.instances a multiple of {enough}",
            )


def connect(target: Target, rollout: Rollout, settings: Settings) -> Replicas:
    """Raises TargetError for a target that cannot set counts."""
    if not isinstance(target, Counts):
        raise TargetError(f"{type(target).__name__} cannot say how many instances of a release run")
    # As the rollout itself has it: no region named means that of the first instance.
    first = next(iter(target.instances(rollout.service)), None)
    region = rollout.region or (first.region if first else "")
    return Replicas(target, rollout.model_copy(update={"region": region}), settings)


class Replicas:
    """The Actuator. Nothing is remembered between calls: counts are read from the target."""

    def __init__(self, target: Counts, rollout: Rollout, settings: Settings) -> None:
        self._target, self._rollout, self._settings = target, rollout, settings

    def observe(self) -> float:
        """The canary's part of the instances that serve; one of the canary that should be there counts, as it may
        serve any moment. Raises TargetError when there is none of either."""
        baseline, canary = self._counts()
        there = max(canary.wanted, canary.ready)
        if not there + baseline.ready:
            raise TargetError(f"no instance of {self._rollout.service} is ready")
        return there / (there + baseline.ready)

    def set_weight(self, share: float) -> None:
        if share <= 0:
            self.rollback()
            return
        canary = round(Fraction(str(min(share, 1.0))) * self._settings.instances)
        wanted = {self._rollout.canary: canary, self._rollout.baseline: self._settings.instances - canary}
        baseline, there = self._counts()
        now = {self._rollout.canary: there.wanted, self._rollout.baseline: baseline.wanted}
        # The side that gains comes first: at no moment may there be fewer than before.
        for release in sorted(wanted, key=lambda each: wanted[each] <= now[each]):
            self._set(release, wanted[release], self._settings.ready_within)

    def promote(self) -> None:
        self.set_weight(1.0)

    def rollback(self) -> None:
        """The stable release is as large as the platform declares it, then the canary ends. When the stable one does
        not get there in time, the canary ends all the same, unless nothing of the stable one is ready: its count alone
        tells nothing, as an earlier attempt has raised it."""
        try:
            self._set(self._rollout.baseline, None, self._settings.back_within)
        except TargetError:
            if not self._counts()[0].ready:
                raise
        if self._counts()[1].wanted:
            self._set(self._rollout.canary, 0, self._settings.back_within)

    def _counts(self) -> tuple[Count, Count]:
        """Of the baseline and of the canary, as they are now."""
        found = self._target.counts(self._rollout.service, self._rollout.region)
        return found.get(self._rollout.baseline, Count()), found.get(self._rollout.canary, Count())

    def _set(self, release: str, count: int | None, within_s: float) -> None:
        self._target.set_count(self._rollout.service, self._rollout.region, release, count, within_s)
