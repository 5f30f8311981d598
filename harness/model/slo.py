"""`Slo`, what the judge evaluates, and the indicators: what it can count."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from harness.model.annotations import Annotations
from harness.model.base import Duration, Frozen
from harness.model.openslo import Method, Operator, Shorthand


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


class ScaleUpTime(Frozen):
    """Seconds from the step of the load's schedule until `added` more instances of a service were Ready by the
    cluster's word and, until `answered`, as many new ones had answered users.

    More than were there at the step, Ready or not, so that a replacement is none; where some were replaced, those new
    ones must have answered too. Where who was Ready was not looked at for longer than `longest_gap`, it cannot be said
    to have come too late.
    """

    service: str
    region: str = ""
    added: int = Field(default=1, ge=1)
    until: Literal["answered", "ready"] = "answered"
    longest_gap: Duration = Field(default=5.0, gt=0, alias="longestGap")


class TrafficShift(Frozen):
    """How users came to the region `to` within a window, by who answered them: the largest `step` of its share (0.5:
    half of all users at once), or the `seconds` until its share stayed at `all` or more.

    At once means from one stretch of `over` to the next. A stretch with fewer answers than `least`, or without any for
    longer than `longest_gap`, says nothing. Probes are no users.
    """

    to: str
    measure: Literal["step", "seconds"] = "step"
    over: Duration = Field(default=4.0, gt=0)
    all: float = Field(default=0.99, gt=0, le=1)
    least: int = Field(default=50, ge=1)
    longest_gap: Duration = Field(default=1.0, gt=0, alias="longestGap")


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
    | ScaleUpTime
    | TrafficShift
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
