"""What an SLO means, in plain words."""

from __future__ import annotations

from collections.abc import Iterable

from harness.model import slo as model
from harness.model.base import format_duration
from harness.model.slo import Objective, Slo
from harness.spec.sources import FAULT_INDICATORS

ACROSS = {
    "detection-time": "takes the mean time from a fault until an alert or reaction told of it, over all faults",
    "recovery-time": "takes the mean time from a fault until full service stayed, over all faults that users saw",
    "changes-per-day": "counts the releases that were deployed a day and did not fail",
    "change-failures": "of the releases that were deployed, counts as bad those whose run failed or was rolled back",
}
BOUNDS = {"lte": "at most", "lt": "less than", "gte": "at least", "gt": "more than"}


def explain(slo: Slo) -> str:
    """What the SLO counts, where from, over which window, and what must hold: a few plain sentences."""
    notes = slo.annotations
    goals = "; ".join(goal(slo.indicator, objective) for objective in slo.objectives)
    sentences = [
        f"{slo.title} ({slo.service}): {what(slo.indicator)}; {window(slo)}.",
        f"Must hold: {goals}.",
        method(slo),
        budget(slo),
        *(alert(one) for one in slo.alerts),
        f"Meanwhile answers at level {listed(notes.levels)} count as served." if notes.levels else "",
        f"Fewer than {notes.minimum_events} events decide nothing." if notes.minimum_events > 1 else "",
        f"It must agree with what {notes.same_as} counts." if notes.same_as else "",
        "It speaks of this run only." if notes.claim == "run" else "",
        f"It speaks of the platform, {percent(notes.confidence)} sure." if notes.claim == "system" else "",
        f"Here it is not judged: {notes.not_judged}." if notes.not_judged else "",
    ]
    return " ".join(sentence for sentence in sentences if sentence)


def method(slo: Slo) -> str:
    """How events become a budget, where it is not one event, one count."""
    first = slo.indicator.parts[0].objective if isinstance(slo.indicator, model.Composite) else slo.objectives[0]
    empty = "is bad" if slo.annotations.missing_data == "bad" else "is not known, never good"
    length = format_duration(first.slice_s or 0.0)
    if slo.method == "Timeslices":
        return (
            f"Counted are slices of {length}, not events: a slice is good when at least "
            f"{percent(first.slice_target or 1.0)} of its events are; one without an event {empty}."
        )
    if slo.method == "RatioTimeslices":
        return f"Compared is the mean of the ratios of slices of {length}; a slice without an event {empty}."
    return "A window without an event is bad." if slo.annotations.missing_data == "bad" else ""


def budget(slo: Slo) -> str:
    """Over which time window the error budget counts."""
    window = slo.time_window
    if window is None:
        return ""
    if window.time_zone:
        return (
            f"Its budget counts over {window.duration}, each from {window.start_time} ({window.time_zone}) on; "
            "a run shows the share it spent, `harness slo-report` judges the window."
        )
    return (
        f"Its budget counts over the last {window.duration}; a run shows the share it spent, "
        "`harness slo-report` judges the window."
    )


def alert(one: model.BurnRateAlert) -> str:
    """When a burn-rate alert fires."""
    windows = " and ".join(format_duration(seconds) for seconds in (one.over_s, *one.also_over_s))
    after = f" for {format_duration(one.after_s)}" if one.after_s else ""
    return (
        f"The alert {one.name} ({one.severity}) fires when the budget burns {BOUNDS[one.op]} {one.threshold:g} times "
        f"as fast as allowed over {windows}{after}."
    )


def percent(share: float) -> str:
    """0.999 → "99.9 %"."""
    return f"{float(f'{share * 100:.10g}'):g} %"


def listed(items: Iterable[object]) -> str:
    return " or ".join(str(item) for item in items)


def window(slo: Slo) -> str:
    """Over which stretch the SLO is judged, in words."""
    notes = slo.annotations
    if isinstance(slo.indicator, model.AcrossRuns):
        return "judged across runs, by `harness slo-report`"
    if notes.window == "fault":
        return f"judged from each fault of {notes.experiment or 'any experiment'} on"
    return {
        "steady": "judged outside of fault windows, after the warm-up",
        "run": "judged over the whole run after the warm-up",
    }[notes.window]


def goal(indicator: model.Indicator, objective: Objective) -> str:
    """What must hold, in words."""
    title = f" ({objective.title})" if objective.title else ""
    if objective.op is None or objective.value is None:
        return f"{'all' if objective.target == 1 else f'at least {percent(objective.target)}'}{title}"
    if isinstance(indicator, model.DataLossMeasure) and indicator.measure == "writes":
        share = "not one" if objective.target == 1 else f"at most {percent(1 - objective.target)}"
        return f"{share} of the acknowledged writes{title}"
    bound = f"{BOUNDS[objective.op]} {_valued(indicator, objective.value)}"
    if isinstance(indicator, model.GaugeShare):
        return f"{bound} in at least {percent(objective.target)} of the time{title}"
    if isinstance(indicator, FAULT_INDICATORS) and objective.target < 1:
        return f"{bound} for at least {percent(objective.target)} of the faults{title}"
    return f"{bound}{title}"


def _valued(indicator: model.Indicator, value: float) -> str:
    if isinstance(indicator, model.IncreasePer):
        return f"{value:g} {indicator.unit}"
    if isinstance(indicator, model.GaugeShare | model.WritablePrimaries):
        return f"{value:g}"
    if indicator == model.AcrossRuns(measure="changes-per-day"):
        return f"{value:g} a day"
    return format_duration(value)


def what(indicator: model.Indicator) -> str:
    """What is counted and where from, in words."""
    match indicator:
        case model.Composite():
            parts = "; ".join(
                f"{what(part.indicator)} ({goal(part.indicator, part.objective)}; weight {part.weight:g})"
                for part in indicator.parts
            )
            return f"combines by weight {len(indicator.parts)} objectives: {parts}"
        case model.AcrossRuns():
            return ACROSS[indicator.measure]
        case model.RequestRatio():
            return _requests(indicator)
        case model.CounterRatio():
            part = f"as good {indicator.good}" if indicator.good else f"as bad {indicator.bad}"
            return f"of the increase of {indicator.total}, as Prometheus scraped it, counts {part}"
        case model.GaugeShare(computed=computed):
            how = "as Prometheus evaluates it every second" if computed else "as Prometheus scrapes it"
            return f"looks at {indicator.query} all the time, {how}"
        case model.ComputedRatio():
            part = "bad" if indicator.failure else "good"
            return f"takes the ratio of {part} events as Prometheus computed it: {indicator.query}"
        case model.IncreasePer():
            return f"divides the increase of {indicator.query} by that of {indicator.per}, as Prometheus scraped them"
        case model.CheckRatio():
            return (
                f"counts what the platform's checks ({', '.join(indicator.checks) or 'all'}) looked at and found right"
            )
        case model.MonitoringCoverage():
            return f"of the services that were deployed, counts those that Prometheus scraped (by {indicator.label})"
        case model.RecoveryTime():
            by = f" by {listed(indicator.regions)}" if indicator.regions else ""
            level = "at full service" if indicator.until == "full-service" else "served at a promised level"
            return f"times by beacon and request record how long users were not {level}{by}, until it stayed so"
        case model.ReactionTime():
            first = f"first at {indicator.after:g}, then " if indicator.after is not None else ""
            return f"times from the fault until Prometheus saw {indicator.query} {first}at {indicator.equals:g}"
        case model.DataLossMeasure():
            where = f"in {' and '.join(indicator.regions)}"
            excused = "".join(
                f", but for what was acknowledged within {format_duration(time)} before {name}"
                for name, time in indicator.excused_before.items()
            )
            if indicator.measure == "seconds":
                return f"reads every acknowledged write back {where}: how long before the fault was the oldest lost one"
            return f"reads every acknowledged write back {where} and counts what is {listed(indicator.states)}{excused}"
        case model.AlertTime():
            labels = ", ".join(f'{name}="{value}"' for name, value in indicator.labels.items())
            narrowed = f" with {labels}" if labels else ""
            if indicator.until == "resolved":
                told = f"the alert {indicator.name} ({indicator.severity})"
                return f"times from when the fault was seen gone until {told}{narrowed} had resolved"
            return f"times from the fault until the alert {indicator.name} fired at {indicator.severity}{narrowed}"
        case model.DeploymentTime():
            return "times the deployment of all services"
        case model.WritablePrimaries():
            return (
                f"counts how many databases were writable at the same time, by asking those of "
                f"{' and '.join(indicator.regions)} all the time"
            )
        case model.ScaleUpTime():
            where = f"{indicator.service}{f' in {indicator.region}' if indicator.region else ''}"
            more = f"{indicator.added} more instance{'' if indicator.added == 1 else 's'} of {where}"
            met = " and answered users" if indicator.until == "answered" else ""
            return f"times from the load's step until {more} had become Ready{met}"
        case model.TrafficShift():
            if indicator.measure == "seconds":
                return f"times by who answered users until {indicator.to} served {indicator.all:.0%} of them for good"
            apart = format_duration(indicator.over)
            return f"by who answered users, takes the largest rise of {indicator.to}'s share from {apart} to the next"


def _requests(ratio: model.RequestRatio) -> str:
    source = "the load's own record" if ratio.table == "requests" else "the beacon's probes"
    subject = f"the requests that {_filter(ratio.total)}" if _filter(ratio.total) else "all requests"
    part = ratio.good or ratio.bad or model.RequestFilter()
    same = {name: getattr(model.RequestFilter(), name) for name in part.model_fields_set}
    # What total and part have in common is said once.
    rest = part.model_copy(
        update={name: empty for name, empty in same.items() if getattr(part, name) == getattr(ratio.total, name)}
    )
    return (
        f"of {subject} in {source}, counts{'' if ratio.good else ' as bad'} those that {_filter(rest) or 'there are'}"
    )


def _filter(chosen: model.RequestFilter) -> str:
    words = [
        (f"were {listed(chosen.journeys)}", bool(chosen.journeys)),
        ("were served" if chosen.outcome == "served" else "failed", chosen.outcome != "any"),
        (f"took less than {format_duration(chosen.faster_than or 0.0)}", chosen.faster_than is not None),
        (f"had {chosen.content} content", chosen.content != "any"),
        (f"were at level {listed(chosen.levels)}", bool(chosen.levels)),
        (f"came from {listed(chosen.regions)}", bool(chosen.regions)),
        (f"were answered by release {listed(chosen.releases)}", bool(chosen.releases)),
    ]
    return " and ".join(text for text, holds in words if holds)
