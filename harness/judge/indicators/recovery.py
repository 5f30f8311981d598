"""Recovery time at the user."""

from __future__ import annotations

from harness.judge.facts import Fault
from harness.judge.question import Question, per_fault
from harness.judge.recovery import recovery
from harness.judge.values import Value
from harness.model.judgement import Interval, ObjectiveResult, Recovery
from harness.model.slo import RecoveryTime


def recovery_time(ask: Question, indicator: RecoveryTime) -> ObjectiveResult:
    def measure(fault: Fault) -> Value:
        seen = recovery(ask.facts, fault, indicator.until, indicator.regions)
        return Value(_interval(seen, indicator), seen.reason)

    return per_fault(ask, measure)


def _interval(seen: Recovery, indicator: RecoveryTime) -> Interval:
    if not seen.probes:
        return Interval()
    back = seen.full_service_s if indicator.until == "full-service" else seen.served_s
    return back if back is not None else Interval(low=0.0, high=0.0)
