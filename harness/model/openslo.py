"""OpenSLO v1 documents as they stand in files: https://github.com/OpenSLO/OpenSLO.

What v1 cannot say stands in annotations under the prefix `harness/` (harness.model.annotations), so every file stays a
valid OpenSLO file.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, JsonValue, model_validator

from harness.model.base import Frozen

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
