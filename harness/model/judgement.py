"""Verdicts and what they rest on."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Literal

from pydantic import field_validator

from harness.model.base import Frozen


class Verdict(StrEnum):
    """PASS < INCONCLUSIVE < FAIL; the worst of several counts."""

    PASS = "PASS"  # noqa: S105
    INCONCLUSIVE = "INCONCLUSIVE"
    FAIL = "FAIL"

    @property
    def rank(self) -> int:
        return list(Verdict).index(self)


def worst(verdicts: list[Verdict]) -> Verdict:
    """The maximum in the order PASS < INCONCLUSIVE < FAIL; nothing judged is INCONCLUSIVE."""
    return max(verdicts, key=lambda verdict: verdict.rank, default=Verdict.INCONCLUSIVE)


class Interval(Frozen):
    """A closed interval; None is an open end (unknown)."""

    low: float | None = None
    high: float | None = None


WindowKind = Literal["steady", "fault", "run"]


class ObjectiveResult(Frozen):
    """One objective of one SLO over one window (or over all windows of a kind).

    `measured` and `interval` are in `unit` ("ratio", "s", "count", "usd", "bool"); `target` and `comparison`
    ("<=", "<", ">=", ">") say what was required. Ratios count good/total events; `unknown` events count as good at one
    end of the interval and as bad at the other. `observed` is what happened in this run, exactly but for the unknown;
    `interval` what that says of the platform: one-sided bounds, the lower at `confidence`, the upper at
    `fail_confidence` (corrected for the number of objectives; None: at `confidence` too). `effective`: how many
    independent events the interval rests on, when outcomes within `correlation_s` seconds may hang together.
    `budget_spent`: the share of the SLO's own time window's budget, were traffic to go on as in the judged window.
    """

    slo: str
    service: str
    title: str
    objective: str = ""
    window: WindowKind
    experiment: str = ""
    source: str
    claim: Literal["run", "system"] = "run"
    confidence: float | None = None
    target: float | None = None
    comparison: str = ">="
    unit: str = "ratio"
    measured: float | None = None
    interval: Interval = Interval()
    observed: Interval = Interval()
    events: int = 0
    bad: int = 0
    unknown: int = 0
    effective: float | None = None
    correlation_s: float | None = None
    fail_confidence: float | None = None
    budget_spent: Interval | None = None
    verdict: Verdict
    reason: str
    notes: tuple[str, ...] = ()


PhaseName = Literal["first-failure", "detected", "failed-over", "ready", "served", "full-service"]


class Phase(Frozen):
    """One step from a fault to full service; times in seconds since the fault landed, as [earliest, latest].

    `at`: when the step was reached, as observed; an open end: not while somebody looked; None: nobody observed it.
    `until`: where the phase ends in the chain of phases: a step counts as reached at the latest when a later one was.
    `took`: from the `until` of the phase before that was observed (at first the fault, 0) to this one's. So phases add
    up: whatever the true times within their `until` are, each lasts within its `took`, and together they are the time
    to full service. Both are None where nobody observed the step or no failure was visible.
    """

    name: PhaseName
    at: Interval | None = None
    until: Interval | None = None
    took: Interval | None = None
    told_by: str = ""
    reason: str = ""


class Recovery(Frozen):
    """What a fault did to the user. Seconds since the fault landed, as [earliest, latest]; an open end: not while
    somebody looked. None: it did not happen, and of `detected_s`, `failed_over_s`, `ready_s`: nobody observed it.

    `phases`: the steps in their causal order, also those that nobody observed; empty in judgements of version 0.1.0.
    """

    experiment: str
    fault: str
    landed_ns: Interval
    first_failure_s: Interval | None = None
    detected_s: Interval | None = None
    failed_over_s: Interval | None = None
    ready_s: Interval | None = None
    served_s: Interval | None = None
    full_service_s: Interval | None = None
    recovered: bool
    visible: bool
    probes: int = 0
    lost_probes: int = 0
    reason: str = ""
    phases: tuple[Phase, ...] = ()


class DataLoss(Frozen):
    """Acknowledged writes and deletes after healing, counted per region by what became of them.

    `deleted`: gone, as was asked for; `resurrected`: deleted and there again. `before_fault_s`: how long before the
    fault the oldest of those that were not kept (lost, stale, resurrected) had been acknowledged, as [least, most]; 0
    when all were kept, None when the read-back followed no fault.
    """

    after: str
    region: str
    acknowledged: int
    present: int
    lost: int
    stale: int
    duplicated: int
    diverged: int
    indeterminate: int
    deleted: int = 0
    resurrected: int = 0
    before_fault_s: Interval | None = None


class Control(Frozen):
    """The steady time that no fault reaches: what fails there is noise. `share` of the observations, as an interval
    over the unknown ones; `longest_s` of its bad stretches."""

    seconds: float
    observations: int
    bad: int
    unknown: int
    share: Interval
    stretches: int
    longest_s: Interval


class Cause(Frozen):
    """The failures that belong to a fault, or (`experiment` empty) to none.

    `observations`: how many there were within its reach (of none: in the whole run); `seconds` in all and `longest_s`
    of its bad stretches; `noise`: how many failures undisturbed time would have brought forth among as many.
    """

    experiment: str = ""
    fault: str = ""
    observations: int
    bad: int
    stretches: int
    seconds: Interval
    longest_s: Interval
    noise: float | None = None


class BadStretch(Frozen):
    """Failed requests and probes without a good one between, from the start of the first to that of the last."""

    experiment: str = ""
    fault: str = ""
    from_ns: int
    until_ns: int
    seconds: Interval
    bad: int


class Spent(Frozen):
    """What one fault spent of an error budget."""

    experiment: str
    fault: str
    bad: int


class BudgetSplit(Frozen):
    """Who spent the error budget of an objective on requests: of `events`, `allowed` may be bad."""

    slo: str
    objective: str = ""
    events: int
    allowed: float
    faults: tuple[Spent, ...]
    platform: int
    unknown: int


class Attribution(Frozen):
    """Which failures belong to which fault. `causes` has one entry per fault and, last, that of no fault; `stretches`
    are the longest ones, `unlisted` how many more there were. `control` None: no undisturbed time to compare with."""

    propagation_s: float
    control: Control | None
    causes: tuple[Cause, ...]
    stretches: tuple[BadStretch, ...]
    unlisted: int
    budgets: tuple[BudgetSplit, ...]


class Finding(Frozen):
    """Something that bears on the verdict beside the objectives. `cap`: the verdict is at least this bad."""

    name: str
    cap: Verdict
    reason: str
    detail: tuple[str, ...] = ()

    @property
    def about_load(self) -> bool:
        """Whether the load was not as declared: then all that was measured under it is in doubt."""
        return self.name.startswith("load ") and self.cap is not Verdict.PASS


class Waived(Frozen):
    """A waiver and what it did: it covers a FAIL of this run (used), nothing (unused), or ended before (expired)."""

    objective: str
    who: str
    why: str
    until: str
    state: Literal["used", "unused", "expired"]


class Correction(Frozen):
    """How the chance that a platform that meets every objective FAILs is kept below `false_fail` for a whole run.

    Bonferroni: each of the `claims` about the platform FAILs at 1 - false_fail/claims (or at its own confidence, where
    that is higher). PASS needs none: a run passes only if all pass, which is rarer than that any one does.
    """

    method: Literal["Bonferroni"] = "Bonferroni"
    false_fail: float
    claims: int


class Judgement(Frozen):
    """The word on a run, recomputable from its folder.

    `rules`: name → number of every rule (harness.judge.rules). `what_if`: judged by these objectives instead of the
    run's own. `waived`: every FAIL is covered by a waiver; the verdict is FAIL all the same.
    """

    run_id: str
    rules: dict[str, int]
    verdict: Verdict
    sentence: str
    objectives: tuple[ObjectiveResult, ...]
    findings: tuple[Finding, ...] = ()
    recoveries: tuple[Recovery, ...] = ()
    data_loss: tuple[DataLoss, ...] = ()
    attribution: Attribution | None = None
    correction: Correction | None = None
    what_if: tuple[str, ...] = ()
    waivers: tuple[Waived, ...] = ()
    waived: bool = False

    @field_validator("rules", mode="before")
    @classmethod
    def _one_number_for_all(cls, value: Any) -> Any:
        """0.1.0 wrote one number for all rules."""
        return {"*": int(value)} if isinstance(value, str) else value
