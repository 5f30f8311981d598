"""What OpenSLO v1 cannot say: annotations under the prefix `harness/`, each a string."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from harness.model.base import Duration, Frozen
from harness.model.judgement import WindowKind


def _share(value: object) -> object:
    if isinstance(value, str):
        number = value.removesuffix("%").strip()
        if re.fullmatch(r"\d+(\.\d+)?", number):
            return float(number) / 100 if value.endswith("%") else float(number)
        raise ValueError(f"{value!r} is not a share: write it as in 99.9% or 0.999")
    return value


def _number(value: object) -> object:
    if isinstance(value, str):
        if re.fullmatch(r"\d+", value):
            return int(value)
        raise ValueError(f"{value!r} is not a whole number")
    return value


def _levels(value: object) -> object:
    if isinstance(value, str):
        if re.fullmatch(r"[1-9](\s*,\s*[1-9])*", value):
            return tuple(int(part) for part in value.split(","))
        raise ValueError(f'{value!r} does not list degradation levels: write them as in "1,3"')
    return value


_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def for_each(text: str) -> dict[str, tuple[str, ...]]:
    """ "region=sjc,lax; service=api" → the values of each name. ValueError with what was expected."""
    found: dict[str, tuple[str, ...]] = {}
    for part in text.split(";"):
        name, equals, values = (word.strip() for word in part.partition("="))
        listed = tuple(one.strip() for one in values.split(","))
        named = re.fullmatch(r"[a-z][a-z0-9-]*", name) and name not in found
        if not equals or not named or not all(map(_WORD.fullmatch, listed)):
            raise ValueError(f'{text!r} does not say what for: write it as in "region=sjc,lax; service=api"')
        if len(set(listed)) < len(listed):
            raise ValueError(f"{text!r} names something twice")
        found[name] = listed
    return found


def _texts(value: object) -> object:
    return for_each(value) if isinstance(value, str) else value


def _durations(value: object) -> object:
    return tuple(part.strip() for part in value.split(",")) if isinstance(value, str) else value


ForEach = Annotated[dict[str, tuple[str, ...]], BeforeValidator(_texts)]
Durations = Annotated[tuple[Annotated[Duration, Field(gt=0)], ...], BeforeValidator(_durations)]
Share = Annotated[float, BeforeValidator(_share), Field(gt=0, le=1)]
Count = Annotated[int, BeforeValidator(_number), Field(ge=1)]
Levels = Annotated[tuple[int, ...], BeforeValidator(_levels)]


class Annotations(Frozen):
    """What OpenSLO v1 cannot say; each field is an annotation `harness/<name>` with a string as its value."""

    window: WindowKind = Field(default="steady", alias="harness/window", description="the stretch that is judged")
    experiment: str = Field(
        default="", alias="harness/experiment", description="only the fault windows of this experiment"
    )
    claim: Literal["run", "system"] | None = Field(
        default=None,
        alias="harness/claim",
        description="run: in this window this happened; system: the platform does so, inferred. "
        "Default: what the scenario claims for steady windows, run for the others",
    )
    confidence: Share = Field(
        default=0.95, lt=1, alias="harness/confidence", description="of the one-sided bounds on each side"
    )
    correlation: Duration | None = Field(
        default=None,
        alias="harness/correlation",
        description="events further apart are independent; replaces the scenario's. 0s: all of them are",
    )
    minimum_events: Count = Field(
        default=1, alias="harness/minimum-events", description="with fewer events the objective is INCONCLUSIVE"
    )
    missing_data: Literal["inconclusive", "bad"] = Field(
        default="inconclusive",
        alias="harness/missing-data",
        description="what a slice or a window without a single event means; it never counts as good",
    )
    target: Share | None = Field(
        default=None,
        alias="harness/target",
        description='replaces the target where OpenSLO\'s "< 1" is not enough, as in "100%"',
    )
    recovery_time: Duration | None = Field(
        default=None, alias="harness/recovery-time", description="RTO with its unit; must agree with `value`"
    )
    data_loss: str = Field(
        default="",
        pattern=r"^(|0|\d+(\.\d+)?(ms|s|m|h|d|w))$",
        alias="harness/data-loss",
        description='RPO: "0" for not one acknowledged write lost, or a time before the fault; must agree with `value`',
    )
    levels: Levels = Field(
        default=(),
        alias="harness/levels",
        description="degradation levels promised while this experiment's fault lasts: they count as served",
    )
    phase: Literal["detected", "failed-over", "ready"] | None = Field(
        default=None,
        alias="harness/phase",
        description="the step of a recovery that this alert, reaction or recovery tells; "
        "default: detected for alerts and reactions, ready for reactions with `after`, none for the others",
    )
    same_as: str = Field(
        default="",
        alias="harness/same-as",
        description="the SLO on the load's record that counts the same requests as these Prometheus counters: "
        "both counts are shown, and a difference that no missing data explains is a finding",
    )

    for_each: ForEach = Field(
        default={},
        alias="harness/for-each",
        description='one SLO for each value, as in "region=sjc,lax": `${region}` in its texts is replaced',
    )
    not_judged: str = Field(
        default="",
        alias="harness/not-judged",
        description="why no run here can measure it: it is told in every report, and never judged",
    )

    @model_validator(mode="after")
    def _levels_of_something(self) -> Annotations:
        if self.levels and not self.experiment:
            raise ValueError("harness/levels promises levels during a fault: say of which with harness/experiment")
        if self.experiment and self.window != "fault":
            raise ValueError("harness/experiment needs harness/window: fault")
        if self.phase and not self.experiment:
            raise ValueError("harness/phase tells a step of a fault's recovery: say of which with harness/experiment")
        return self


class ConditionAnnotations(Frozen):
    """What an AlertCondition of OpenSLO v1 cannot say."""

    also_over: Durations = Field(
        default=(),
        alias="harness/also-over",
        description='further look-back windows over which the burn rate must hold too, as in "5m"',
    )
