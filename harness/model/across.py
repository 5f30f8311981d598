"""What many runs show together."""

from __future__ import annotations

from typing import Any

from harness.model.base import Frozen
from harness.model.judgement import Finding, Interval, Verdict
from harness.model.slo import Objective, Slo


class AlertTold(Frozen):
    """A burn-rate alert over the runs: [from, until] of each firing, in seconds since 1970.

    `may_have_fired`: what is unknown decides. `silent`: at so many evaluations there was no event to tell from.
    `notifies`: what the policy asks to be told of.
    """

    name: str
    policy: str
    severity: str
    fired: tuple[tuple[float, float], ...] = ()
    may_have_fired: tuple[tuple[float, float], ...] = ()
    worst: float | None = None
    silent: int = 0
    notifies: tuple[str, ...] = ()


class AcrossResult(Frozen):
    """One objective over the runs that began in its window.

    `budget_left`: of what the events that were seen allow; below 0 it is overspent.
    """

    slo: str
    service: str
    title: str
    objective: str = ""
    window: str = ""
    from_s: float | None = None
    until_s: float | None = None
    runs: int = 0
    target: float | None = None
    comparison: str = ">="
    unit: str = "ratio"
    observed: Interval = Interval()
    events: int = 0
    bad: int = 0
    unknown: int = 0
    budget_left: Interval | None = None
    verdict: Verdict
    reason: str
    alerts: tuple[AlertTold, ...] = ()
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, slo: Slo, objective: Objective, verdict: Verdict, reason: str, **more: Any) -> AcrossResult:
        """With everything that the SLO itself says filled in."""
        return cls(
            slo=slo.name,
            service=slo.service,
            title=slo.title,
            objective=objective.title,
            verdict=verdict,
            reason=reason,
            **more,
        )


class AcrossReport(Frozen):
    """The word on many runs at a time."""

    at_s: float
    runs: tuple[str, ...]
    verdict: Verdict
    results: tuple[AcrossResult, ...]
    findings: tuple[Finding, ...] = ()
