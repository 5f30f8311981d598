"""Many runs judged together: SLOs in their time windows, burn-rate alerts, and what only many runs can show.

A run belongs to the window in which it began. What is judged is what happened in the runs of a window: the time between
them was not observed, and nothing is said of it.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.judge.across_values import across_runs
from harness.judge.budget import mean_ratio, timeslices
from harness.judge.burn_rate import Burn
from harness.judge.decide import Counts, Decision, compare, count, decide, percent
from harness.judge.run_record import RunRecord
from harness.judge.time_windows import Stretch, window_at
from harness.model.across import AcrossReport, AcrossResult, AlertTold
from harness.model.judgement import Finding, Interval, Verdict, worst
from harness.model.slo import AcrossRuns, BurnRateAlert, Composite, Objective, Slo

ANYTHING = Interval(low=0.0, high=1.0)


def judge_across(runs: Sequence[RunRecord], slos: Sequence[Slo], at_s: float) -> AcrossReport:
    """The word on these runs at a time, for every SLO that has a time window or speaks of many runs."""
    kept = sorted({run.run_id: run for run in runs}.values(), key=lambda run: (run.began_s, run.run_id))
    results = tuple(
        _result(slo, number, objective, kept, at_s)
        for slo in slos
        if slo.time_window is not None or isinstance(slo.indicator, AcrossRuns)
        for number, objective in enumerate(slo.objectives)
    )
    doubts = tuple(
        Finding(
            name="run in doubt",
            cap=Verdict.INCONCLUSIVE,
            reason=f"the record of {run.run_id} is not whole: {run.problems[0]}",
            detail=run.problems,
        )
        for run in kept
        if run.problems
    )
    verdict = worst([worst([result.verdict for result in results]), *(doubt.cap for doubt in doubts)])
    return AcrossReport(
        at_s=at_s, runs=tuple(run.run_id for run in kept), verdict=verdict, results=results, findings=doubts
    )


def _result(slo: Slo, number: int, objective: Objective, runs: Sequence[RunRecord], at_s: float) -> AcrossResult:
    window = window_at(slo.time_window, at_s) if slo.time_window else _all(runs, at_s)
    inside = [run for run in runs if window is not None and window.start_s <= run.began_s <= at_s]
    if isinstance(slo.indicator, AcrossRuns):
        told = across_runs(slo, objective, inside, window)
    elif isinstance(slo.indicator, Composite):
        told = _composite(slo, objective, slo.indicator, inside)
    else:
        told = _ratio(slo, objective, (slo.name, number), inside)
    alerts, notes = _alerts(slo, objective, (slo.name, number), inside)
    ratio = objective.op is None or not isinstance(slo.indicator, AcrossRuns)
    return told.model_copy(
        update={
            "window": slo.time_window.duration if slo.time_window else "all runs",
            "from_s": window.start_s if window else None,
            "until_s": window.end_s if window else None,
            "runs": len(inside),
            "budget_left": _left(told.observed, objective.target) if ratio else None,
            "alerts": alerts,
            "notes": (*told.notes, *notes),
        }
    )


def _all(runs: Sequence[RunRecord], at_s: float) -> Stretch | None:
    return Stretch(min(run.began_s for run in runs), at_s) if runs else None


def _left(observed: Interval, target: float) -> Interval | None:
    """What is left of the budget of the events that were seen: 1 - (1 - ratio) / (1 - target); below 0: overspent."""
    if target >= 1.0 or observed.low is None or observed.high is None:
        return None
    return Interval(low=1 - (1 - observed.low) / (1 - target), high=1 - (1 - observed.high) / (1 - target))


def _ratio(slo: Slo, objective: Objective, key: tuple[str, int], runs: Sequence[RunRecord]) -> AcrossResult:
    notes_of, empty_is_bad = slo.annotations, slo.annotations.missing_data == "bad"
    mine = [run.parts[key] for run in runs if key in run.parts]
    blind = [run.run_id for run in runs if key in run.parts and run.parts[key].counts is None]
    notes = tuple(f"of {run_id} nothing is known" for run_id in blind)
    slices = [counts for part in mine for counts in part.slices]
    counts = Counts(0, 0)
    for part in mine:
        counts += part.counts or Counts(0, 0)
    if slo.method == "RatioTimeslices":
        mean = mean_ratio(slices, empty_is_bad)
        reason = (
            f"the mean of {count(len(slices), 'slice')} is {_span(mean)}; at least {percent(objective.target)} must be"
        )
        told = Decision(compare(mean, "gte", objective.target - 1e-12), reason, mean.low, mean, mean)
    else:
        judged, noun = (
            (counts, "event")
            if slo.method == "Occurrences"
            else (timeslices(slices, objective.slice_target or 1.0, empty_is_bad), "slice")
        )
        minimum = notes_of.minimum_events if slo.method == "Occurrences" else 1
        told = decide(judged, objective.target, "run", notes_of.confidence, minimum, noun)
        counts = judged
        if not judged.events and empty_is_bad and runs:
            told = Decision(
                Verdict.FAIL, f"there was not one {noun}, which counts as bad", None, Interval(), Interval()
            )
    verdict, reason = told.verdict, told.reason
    if blind and verdict is not Verdict.INCONCLUSIVE:
        verdict, reason = Verdict.INCONCLUSIVE, f"{reason}; but of {count(len(blind), 'run')} nothing is known"
    return AcrossResult.of(
        slo, objective, verdict, reason, observed=told.observed, events=counts.events, bad=counts.bad,
        unknown=counts.unknown, target=objective.target, notes=notes,
    )  # fmt: skip


def _composite(slo: Slo, objective: Objective, indicator: Composite, runs: Sequence[RunRecord]) -> AcrossResult:
    shares = []
    for number, part in enumerate(indicator.parts):
        told = _ratio(slo, part.objective, (slo.name, number), runs)
        known = told.observed if told.observed.low is not None and not told.notes else ANYTHING
        shares.append((part.weight, known))
    weight = sum(one for one, _ in shares)
    mean = Interval(
        low=sum(one * (share.low or 0.0) for one, share in shares) / weight,
        high=sum(one * (share.high or 0.0) for one, share in shares) / weight,
    )
    reason = (
        f"the weighted mean of {len(shares)} objectives is {_span(mean)}; at least {percent(objective.target)} must be"
    )
    verdict = compare(mean, "gte", objective.target - 1e-12)
    return AcrossResult.of(slo, objective, verdict, reason, observed=mean, target=objective.target)


def _span(mean: Interval) -> str:
    if mean.low is None or mean.high is None:
        return "not known"
    return percent(mean.low) if mean.high - mean.low < 1e-9 else f"{percent(mean.low)} to {percent(mean.high)}"


def _alerts(
    slo: Slo, objective: Objective, key: tuple[str, int], runs: Sequence[RunRecord]
) -> tuple[tuple[AlertTold, ...], tuple[str, ...]]:
    if not slo.alerts:
        return (), ()
    parts = [run.parts[key] for run in runs if key in run.parts]
    bins = [bin_ for part in parts for bin_ in part.bins]
    blind = tuple(dict.fromkeys(part.no_bins for part in parts if part.no_bins))
    burn = Burn(bins, objective.target)
    told = [
        AlertTold(
            name=alert.name,
            policy=alert.policy,
            severity=alert.severity,
            fired=tuple((one.from_s, one.until_s) for one in burn.firings(alert) if one.sure),
            may_have_fired=tuple((one.from_s, one.until_s) for one in burn.firings(alert) if not one.sure),
            worst=max((one.worst for one in burn.firings(alert)), default=None),
            silent=burn.silent(alert),
            notifies=_notifies(alert),
        )
        for alert in slo.alerts
    ]
    return tuple(told), tuple(f"burn rates could not be worked out: {reason}" for reason in blind)


def _notifies(alert: BurnRateAlert) -> tuple[str, ...]:
    """What the policy asks to be told of."""
    asked = {"breaching": alert.when_breaching, "resolved": alert.when_resolved, "no data": alert.when_no_data}
    return tuple(word for word, wanted in asked.items() if wanted)
