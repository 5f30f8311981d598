"""Service level objectives: OpenSLO v1 documents as they stand in files, and `Slo`, what the judge evaluates.

OpenSLO v1: https://github.com/OpenSLO/OpenSLO. What v1 cannot say stands in annotations under the prefix `harness/`
(see `Annotations`), so every file stays a valid OpenSLO file.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, JsonValue, model_validator

from harness.model.base import Duration, Frozen
from harness.model.judgement import WindowKind

API_VERSION = "openslo/v1"
PREFIX = "harness/"
Name = Annotated[str, Field(pattern=r"^[a-zA-Z0-9]([a-zA-Z0-9.|/\\-]{0,253}[a-zA-Z0-9])?$")]
Shorthand = Annotated[str, Field(pattern=r"^[1-9]\d*[mhdwMQY]$")]
Description = Annotated[str, Field(max_length=1050)]
Operator = Literal["lte", "gte", "lt", "gt"]
SYMBOLS: dict[str, str] = {"lte": "<=", "gte": ">=", "lt": "<", "gt": ">"}


SHORTHAND_DAYS = {"m": 1 / 1440, "h": 1 / 24, "d": 1.0, "w": 7.0, "M": 30.0, "Q": 90.0, "Y": 365.0}


def shorthand_seconds(text: str) -> float:
    """Seconds of an OpenSLO duration; months, quarters and years, whose length varies, as 30, 90 and 365 days."""
    return int(text[:-1]) * SHORTHAND_DAYS[text[-1]] * 86400.0


def _text(value: object) -> object:
    if isinstance(value, bool | int | float):
        raise ValueError(f'annotations are strings: write "{str(value).lower()}" in quotes')
    return value


Text = Annotated[str, BeforeValidator(_text)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Method = Literal["Occurrences", "Timeslices", "RatioTimeslices"]


class Written(Frozen):
    """A mapping as it stands in a file: a key without a value is as good as an absent one."""

    @model_validator(mode="before")
    @classmethod
    def _without_empty_keys(cls, data: object) -> object:
        if not isinstance(data, dict):
            return data
        known = {field.alias or name for name, field in cls.model_fields.items()}
        return {key: value for key, value in data.items() if value is not None or key not in known}


class ObjectMetadata(Written):
    """Name, title and annotations of a document."""

    name: Name
    display_name: str = Field(default="", alias="displayName")
    labels: dict[str, str | tuple[str, ...]] = {}
    annotations: dict[str, Text] = {}


class MetricSource(Written):
    """Where a metric comes from; the fields of `spec` belong to the type."""

    metric_source_ref: str = Field(default="", alias="metricSourceRef")
    type: str = ""
    spec: JsonValue = {}


class Metric(Written):
    """One query."""

    metric_source: MetricSource = Field(alias="metricSource")


class RatioMetric(Written):
    """good/total, bad/total, or a ratio that somebody else computed (raw)."""

    counter: bool = True
    good: Metric | None = None
    bad: Metric | None = None
    total: Metric | None = None
    raw: Metric | None = None
    raw_type: Literal["success", "failure"] | None = Field(default=None, alias="rawType")

    @model_validator(mode="after")
    def _one_form(self) -> RatioMetric:
        if self.raw is not None:
            if self.good or self.bad or self.total:
                raise ValueError("raw cannot stand beside good, bad or total")
            if self.raw_type is None:
                raise ValueError("raw needs rawType: success or failure")
        elif self.total is None or (self.good is None) == (self.bad is None):
            raise ValueError("a ratio needs total and exactly one of good and bad")
        return self


class SLISpec(Written):
    """What is measured."""

    description: Description = ""
    threshold_metric: Metric | None = Field(default=None, alias="thresholdMetric")
    ratio_metric: RatioMetric | None = Field(default=None, alias="ratioMetric")

    @model_validator(mode="after")
    def _one_metric(self) -> SLISpec:
        if (self.threshold_metric is None) == (self.ratio_metric is None):
            raise ValueError("an SLI needs exactly one of thresholdMetric and ratioMetric")
        return self


class Calendar(Written):
    """A calendar-aligned window: it begins at this local time, and again after each duration."""

    start_time: str = Field(alias="startTime", pattern=r"^\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}$")
    time_zone: str = Field(alias="timeZone")


class TimeWindow(Written):
    """Over how long the budget counts."""

    duration: Shorthand
    is_rolling: bool = Field(default=False, alias="isRolling")
    calendar: Calendar | None = None

    @model_validator(mode="after")
    def _rolling_or_calendar(self) -> TimeWindow:
        if self.is_rolling == (self.calendar is not None):
            raise ValueError("a time window is either rolling (isRolling: true) or aligned to a calendar")
        return self


class ObjectiveSpec(Written):
    """A target, and for threshold metrics the value to compare with."""

    display_name: str = Field(default="", alias="displayName")
    op: Operator | None = None
    value: Finite | None = None
    target: float | None = Field(default=None, ge=0, lt=1)
    target_percent: float | None = Field(default=None, ge=0, lt=100, alias="targetPercent")
    time_slice_target: float | None = Field(default=None, gt=0, le=1, alias="timeSliceTarget")
    time_slice_window: Shorthand | Annotated[Finite, Field(gt=0)] | None = Field(default=None, alias="timeSliceWindow")
    indicator: InlineSLI | None = None
    indicator_ref: str = Field(default="", alias="indicatorRef")
    composite_weight: Finite | None = Field(default=None, gt=0, alias="compositeWeight")

    @model_validator(mode="after")
    def _one_target(self) -> ObjectiveSpec:
        if (self.target is None) == (self.target_percent is None):
            raise ValueError("an objective needs exactly one of target and targetPercent")
        if self.indicator is not None and self.indicator_ref:
            raise ValueError("an objective has at most one of indicator and indicatorRef")
        return self

    @property
    def has_indicator(self) -> bool:
        """Whether it brings its own, as the parts of a composite SLO do."""
        return self.indicator is not None or bool(self.indicator_ref)

    @property
    def share(self) -> float:
        """The target as a share, 0..1."""
        return self.target if self.target is not None else round((self.target_percent or 0.0) / 100, 12)


class InlineSLI(Written):
    """An SLI inside an SLO."""

    api_version: Literal["openslo/v1"] = Field(default="openslo/v1", alias="apiVersion")
    kind: Literal["SLI"] = "SLI"
    metadata: ObjectMetadata | None = None
    spec: SLISpec


class SLOSpec(Written):
    """Indicator, window and objectives of an SLO."""

    description: Description = ""
    service: str
    indicator: InlineSLI | None = None
    indicator_ref: str = Field(default="", alias="indicatorRef")
    time_window: tuple[TimeWindow, ...] = Field(default=(), max_length=1, alias="timeWindow")
    budgeting_method: Method | None = Field(default=None, alias="budgetingMethod")
    objectives: tuple[ObjectiveSpec, ...] = Field(min_length=1)
    alert_policies: tuple[AlertPolicyRef | AlertPolicy, ...] = Field(default=(), alias="alertPolicies")

    @model_validator(mode="after")
    def _one_indicator(self) -> SLOSpec:
        own = [objective.has_indicator for objective in self.objectives]
        given = (self.indicator is not None) + bool(self.indicator_ref)
        if any(own) and (given or not all(own)):
            raise ValueError("either the SLO has an indicator or each of its objectives has its own, not both")
        if not any(own) and given != 1:
            raise ValueError("an SLO needs exactly one of indicator and indicatorRef")
        if self.indicator is not None and self.indicator.spec.threshold_metric and len(self.objectives) > 1:
            raise ValueError("with a thresholdMetric there can be one objective only")
        return self


class Document(Written):
    """Base of the seven kinds."""

    api_version: Literal["openslo/v1"] = Field(alias="apiVersion")
    metadata: ObjectMetadata


class SLO(Document):
    kind: Literal["SLO"]
    spec: SLOSpec


class SLI(Document):
    kind: Literal["SLI"]
    spec: SLISpec


class DataSourceSpec(Written):
    description: Description = ""
    type: str
    connection_details: JsonValue = Field(default=None, alias="connectionDetails")


class DataSource(Document):
    kind: Literal["DataSource"]
    spec: DataSourceSpec


class ServiceSpec(Written):
    description: Description = ""


class Service(Document):
    kind: Literal["Service"]
    spec: ServiceSpec = ServiceSpec()


class Condition(Written):
    """A burn rate above `threshold` over `lookbackWindow`."""

    kind: Literal["burnrate"] = "burnrate"
    op: Operator = "gte"
    threshold: Finite
    lookback_window: Shorthand = Field(alias="lookbackWindow")
    alert_after: str = Field(default="0m", pattern=r"^\d+[mhdwMQY]$", alias="alertAfter")


class AlertConditionSpec(Written):
    description: Description = ""
    severity: str
    condition: Condition


class AlertCondition(Written):
    api_version: Literal["openslo/v1"] = Field(default="openslo/v1", alias="apiVersion")
    kind: Literal["AlertCondition"]
    metadata: ObjectMetadata
    spec: AlertConditionSpec


class ConditionRef(Written):
    condition_ref: str = Field(alias="conditionRef")


class AlertNotificationTargetSpec(Written):
    description: Description = ""
    target: str


class AlertNotificationTarget(Written):
    api_version: Literal["openslo/v1"] = Field(default="openslo/v1", alias="apiVersion")
    kind: Literal["AlertNotificationTarget"]
    metadata: ObjectMetadata
    spec: AlertNotificationTargetSpec


class TargetRef(Written):
    target_ref: str = Field(alias="targetRef")


class AlertPolicySpec(Written):
    description: Description = ""
    alert_when_no_data: bool = Field(default=False, alias="alertWhenNoData")
    alert_when_resolved: bool = Field(default=False, alias="alertWhenResolved")
    alert_when_breaching: bool = Field(default=False, alias="alertWhenBreaching")
    conditions: tuple[ConditionRef | AlertCondition, ...] = Field(min_length=1, max_length=1)
    notification_targets: tuple[TargetRef | AlertNotificationTarget, ...] = Field(
        min_length=1, alias="notificationTargets"
    )


class AlertPolicy(Written):
    api_version: Literal["openslo/v1"] = Field(default="openslo/v1", alias="apiVersion")
    kind: Literal["AlertPolicy"]
    metadata: ObjectMetadata
    spec: AlertPolicySpec


class AlertPolicyRef(Written):
    alert_policy_ref: str = Field(alias="alertPolicyRef")


ObjectiveSpec.model_rebuild()
SLOSpec.model_rebuild()
KINDS: dict[str, type[Frozen]] = {
    "SLO": SLO,
    "SLI": SLI,
    "DataSource": DataSource,
    "Service": Service,
    "AlertPolicy": AlertPolicy,
    "AlertCondition": AlertCondition,
    "AlertNotificationTarget": AlertNotificationTarget,
}


# ---- our own fields -------------------------------------------------------------------------------------------------


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


# ---- indicators: what the judge can count ---------------------------------------------------------------------------


class RequestFilter(Frozen):
    """Which requests: all conditions must hold; an empty one holds always.

    `served`: answered with a status below 400 and no wrong content, at a degradation level that counts in its window
    (1, or those promised for the fault). `error`: everything else that was tried.
    """

    journeys: tuple[str, ...] = ()
    outcome: Literal["any", "served", "error"] = "any"
    faster_than: Duration | None = Field(default=None, alias="fasterThan")
    content: Literal["any", "right", "wrong"] = "any"
    levels: tuple[int, ...] = ()
    regions: tuple[str, ...] = ()
    releases: tuple[str, ...] = ()


class RequestRatio(Frozen):
    """Share of requests, counted one by one in the load's record or the beacon's."""

    table: Literal["requests", "beacon"]
    total: RequestFilter
    good: RequestFilter | None = None
    bad: RequestFilter | None = None


class CounterRatio(Frozen):
    """Share of events counted by the platform itself: increases of Prometheus counters.

    What was counted between the last scrape and a crash was never seen; `per_arrival` (at most so many for one arrival
    of the load) or `max_rate` (per second) bound it.
    """

    total: str
    good: str = ""
    bad: str = ""
    per_arrival: float | None = None
    max_rate: float | None = None


class GaugeShare(Frozen):
    """Share of the time in which the series of a Prometheus gauge met the objective's value.

    `computed`: the query is an expression that Prometheus evaluated, not a series that it scraped.
    """

    query: str
    computed: bool = False


class ComputedRatio(Frozen):
    """A ratio that Prometheus computed itself (OpenSLO's raw), of good or (`failure`) of bad events."""

    query: str
    failure: bool = False


class IncreasePer(Frozen):
    """The increase of one counter divided by the increase of another, as in dollars per call."""

    query: str
    per: str
    unit: str = "ratio"


class CheckRatio(Frozen):
    """Share of what the platform's checks looked at that was right; `checks` are their names, none means all."""

    checks: tuple[str, ...] = ()


class MonitoringCoverage(Frozen):
    """Share of the deployed services that Prometheus scraped; `label` is the target's label with the service's name."""

    label: str = "service"


class RecoveryTime(Frozen):
    """Seconds from the fault until the users were served again and it stayed so.

    until `served`: at a promised level; `full-service`: at level 1. `regions`: by one of these.
    """

    until: Literal["served", "full-service"] = "full-service"
    regions: tuple[str, ...] = ()


class ReactionTime(Frozen):
    """Seconds from the fault until a Prometheus gauge was seen at a value; with `after`, first at that, then this."""

    query: str
    equals: float
    after: float | None = None


class DataLossMeasure(Frozen):
    """Acknowledged writes and deletes that did not survive, by the ledger and the read-back.

    `writes`: each memory with an acknowledged operation, in each region, is an event, bad in one of `states`.
    `seconds`: how long before the fault the oldest that is in one of them was acknowledged. `regions`: every one of
    them must have been read back, each time.
    `excused_before`: what an experiment's RPO allows to be lost, as experiment → time before its fault; such writes are
    no events when a read-back after that fault does not find them.
    """

    measure: Literal["writes", "seconds"] = "writes"
    states: tuple[Literal["lost", "stale", "duplicated", "resurrected", "diverged"], ...] = (
        "lost",
        "stale",
        "duplicated",
        "resurrected",
        "diverged",
    )
    regions: tuple[str, ...] = Field(min_length=1)
    excused_before: dict[str, Duration] = Field(default={}, alias="excusedBefore")


class AlertTime(Frozen):
    """Seconds from the fault until the alert fired at its severity, with these labels (all of them).

    until `resolved`: seconds from when the fault was seen gone until the alert, having fired, fires no more.
    """

    name: str
    severity: str
    labels: dict[str, str] = {}
    until: Literal["fires", "resolved"] = "fires"


class DeploymentTime(Frozen):
    """Seconds the deployment of all services took."""


class WritablePrimaries(Frozen):
    """How many databases were writable at the same time.

    Each of `regions` must have answered, and have been asked without a pause longer than `longest_gap` (by default
    twice the watch's interval of 250 ms and its time-out of 2 s): of one that was not, nothing is known.
    """

    regions: tuple[str, ...] = Field(min_length=1)
    longest_gap: Duration = Field(default=4.5, gt=0, alias="longestGap")


class AcrossRuns(Frozen):
    """What only many runs can show; one run says that it is judged across runs.

    `detection-time` and `recovery-time`: the mean over the faults of all runs, in seconds. `changes-per-day`: releases
    that were deployed and did not fail. `change-failures`: the share of deployed releases that failed.
    """

    measure: Literal["detection-time", "recovery-time", "changes-per-day", "change-failures"]


SimpleIndicator = (
    RequestRatio
    | CounterRatio
    | GaugeShare
    | ComputedRatio
    | IncreasePer
    | CheckRatio
    | MonitoringCoverage
    | RecoveryTime
    | ReactionTime
    | DataLossMeasure
    | AlertTime
    | DeploymentTime
    | WritablePrimaries
    | AcrossRuns
)


class Objective(Frozen):
    """`target` is the least share of good events; for thresholds an event is good when its value meets op and value."""

    title: str = ""
    target: float = Field(gt=0, le=1)
    op: Operator | None = None
    value: float | None = None
    slice_target: float | None = None
    slice_s: float | None = None


class Part(Frozen):
    """One of the objectives that a composite SLO combines, with its own indicator."""

    source: str
    indicator: SimpleIndicator
    objective: Objective
    weight: float = 1.0


class Composite(Frozen):
    """The weighted mean of several objectives' shares of good events."""

    parts: tuple[Part, ...]


Indicator = SimpleIndicator | Composite


def simple(indicator: Indicator) -> tuple[SimpleIndicator, ...]:
    """The indicators that one consists of: the parts of a composite, else itself."""
    return tuple(part.indicator for part in indicator.parts) if isinstance(indicator, Composite) else (indicator,)


class BudgetWindow(Frozen):
    """The time window of an SLO's error budget; `start_time` and `time_zone` belong to calendar windows."""

    duration: Shorthand
    start_time: str = ""
    time_zone: str = ""


class BurnRateAlert(Frozen):
    """Fires when the burn rate meets `op threshold` over `over_s` and each of `also_over_s` for `after_s` seconds."""

    name: str
    policy: str
    severity: str
    op: Operator = "gte"
    threshold: float
    over_s: float
    also_over_s: tuple[float, ...] = ()
    after_s: float = 0.0
    when_breaching: bool = False
    when_resolved: bool = False
    when_no_data: bool = False


class Slo(Frozen):
    """A resolved SLO, ready to be judged; `origin` is file:line."""

    name: str
    title: str
    description: str = ""
    service: str
    origin: str = ""
    source: str
    annotations: Annotations = Annotations()
    indicator: Indicator
    objectives: tuple[Objective, ...]
    method: Method = "Occurrences"
    time_window: BudgetWindow | None = None
    alerts: tuple[BurnRateAlert, ...] = ()

    @property
    def in_one_run(self) -> bool:
        """Whether one run can tell anything of it; the findings name those of which it cannot."""
        return not self.annotations.not_judged and not isinstance(self.indicator, AcrossRuns)
