"""What only many runs can show: mean times to detect and to recover, changes a day, and how many of them failed."""

from __future__ import annotations

from collections.abc import Sequence

from harness.judge.decide import Counts, compare, count, decide
from harness.judge.run_record import RunRecord
from harness.judge.time_windows import Stretch
from harness.model.across import AcrossResult
from harness.model.base import format_duration
from harness.model.judgement import Interval, Recovery, Verdict
from harness.model.openslo import SYMBOLS
from harness.model.slo import AcrossRuns, Objective, Slo

DAY = 86400.0


def across_runs(slo: Slo, objective: Objective, runs: Sequence[RunRecord], window: Stretch | None) -> AcrossResult:
    """The result of an `Across` indicator over the runs of a window."""
    assert isinstance(slo.indicator, AcrossRuns)
    if not runs:
        return AcrossResult.of(slo, objective, Verdict.INCONCLUSIVE, "no run began in the window")
    match slo.indicator.measure:
        case "change-failures":
            counts = changes(runs)
            asked = slo.annotations
            told = decide(counts, objective.target, "run", asked.confidence, asked.minimum_events, "change")
            return AcrossResult.of(
                slo, objective, told.verdict, told.reason, observed=told.observed, events=counts.events, bad=counts.bad,
                unknown=counts.unknown, target=objective.target,
            )  # fmt: skip
        case "changes-per-day":
            return _per_day(slo, objective, changes(runs), window)
        case "detection-time":
            return _mean(slo, objective, [_detected(one) for run in runs for one in run.recoveries], "fault")
        case "recovery-time":
            seen = [one for run in runs for one in run.recoveries if one.visible or not one.probes]
            return _mean(slo, objective, [_recovered(one) for one in seen], "fault that users saw")


def changes(runs: Sequence[RunRecord]) -> Counts:
    """Runs that deployed a release: failed when the run did or the release was taken back; INCONCLUSIVE is unknown."""
    made = [run for run in runs if run.changed]
    bad = sum(run.taken_back or run.verdict is Verdict.FAIL for run in made)
    unknown = sum(not run.taken_back and run.verdict is Verdict.INCONCLUSIVE for run in made)
    return Counts(len(made) - bad - unknown, bad, unknown)


def _detected(fault: Recovery) -> Interval:
    return fault.detected_s or Interval(low=0.0)


def _recovered(fault: Recovery) -> Interval:
    return fault.full_service_s or Interval(low=0.0)


def _per_day(slo: Slo, objective: Objective, counts: Counts, window: Stretch | None) -> AcrossResult:
    days = max(1.0, window.seconds / DAY if window else 1.0)
    found = Interval(low=counts.good / days, high=(counts.good + counts.unknown) / days)
    maybe = f", and perhaps {count(counts.unknown)} more" if counts.unknown else ""
    reason = f"{count(counts.good, 'change')} in {days:.3g} days did not fail{maybe}"
    return _valued(slo, objective, found, reason, counts.events, "a day")


def _mean(slo: Slo, objective: Objective, times: Sequence[Interval], noun: str) -> AcrossResult:
    """The mean of intervals: open above when one of them is."""
    if not times:
        return AcrossResult.of(slo, objective, Verdict.INCONCLUSIVE, f"there was no {noun} to judge by", unit="s")
    low = sum(time.low or 0.0 for time in times) / len(times)
    highs = [time.high for time in times if time.high is not None]
    high = sum(highs) / len(times) if len(highs) == len(times) else None
    open_ = len(times) - len(highs)
    shown = (
        f"{low:.1f} s"
        if high is not None and high - low < 0.05
        else f"{low:.1f} to {'?' if high is None else f'{high:.1f}'} s"
    )
    reason = f"the mean over {count(len(times))} {'fault' if len(times) == 1 else 'faults'} is {shown}"
    if open_:
        reason += f"; of {count(open_)} the end was not seen"
    return _valued(slo, objective, Interval(low=low, high=high), reason, len(times), "s")


def _valued(slo: Slo, objective: Objective, found: Interval, reason: str, events: int, unit: str) -> AcrossResult:
    op, value = objective.op or "lte", objective.value or 0.0
    required = format_duration(value) if unit == "s" else f"{value:g} {unit}"
    verdict = compare(found, op, value)
    text = reason if verdict is Verdict.PASS else f"{reason}; {SYMBOLS[op]} {required} is required"
    return AcrossResult.of(
        slo, objective, verdict, text, observed=found, events=events, unit=unit, target=value, comparison=SYMBOLS[op]
    )
