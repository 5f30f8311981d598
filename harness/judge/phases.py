"""The way from a fault to full service in phases: first failure, detected, failed over, ready, served, full service.

Each step is told by whoever observed it: users' answers, a declared alert or reaction, or the journal. A step that
nobody observed is said so and joins the phase after it; it is never invented.

Phases add up by definition. A step counts as reached at the latest when a later one was (whatever fails over by itself
was detected by then, though the alert fires later): its phase ends at the least of its own time and those after it.
So the ends ascend at both of their bounds, the first phase begins at the fault, the last ends at full service, and
whatever the true times are, each phase lasts within its `took` and all together the time to full service.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from harness.judge import reactions
from harness.judge.recovery import Observations, observe, recovery
from harness.judge.requests import answered_right
from harness.model import slo as model
from harness.model.events import FaultGone, FaultLanded
from harness.model.judgement import Interval, Phase, PhaseName, Recovery

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from harness.judge.facts import Facts, Fault

    Ints = NDArray[np.int64]

NOWHERE = Interval()
ALWAYS = Interval(low=0.0, high=0.0)


@dataclass(frozen=True)
class Mark:
    """When a step was reached, in seconds since the fault; None: nobody observed it. `needed` False: nothing had been
    lost that had to be reached again, so it bounds no phase."""

    name: PhaseName
    at: Interval | None
    told_by: str = ""
    reason: str = ""
    needed: bool = True


def story(facts: Facts, fault: Fault) -> Recovery:
    """One fault's recovery at the user with all its phases."""
    told = recovery(facts, fault)
    marks = [
        Mark("first-failure", told.first_failure_s, "users"),
        _declared(facts, fault, "detected") or Mark("detected", None, reason="no alert or reaction is declared for it"),
        _declared(facts, fault, "failed-over") or _failed_over(facts, fault),
        _declared(facts, fault, "ready") or _gone(facts, fault),
        _served(told),
        Mark("full-service", told.full_service_s, "users"),
    ]
    by_name = {mark.name: mark.at for mark in marks}
    return told.model_copy(
        update={
            "detected_s": by_name["detected"],
            "failed_over_s": by_name["failed-over"],
            "ready_s": by_name["ready"],
            "phases": chain(marks) if told.visible else tuple(_phase(mark) for mark in marks),
        }
    )


def _served(told: Recovery) -> Mark:
    if told.visible and told.served_s == ALWAYS:
        return Mark("served", ALWAYS, "users", "users were served at a promised level all the time", needed=False)
    return Mark("served", told.served_s, "users")


def chain(marks: Sequence[Mark]) -> tuple[Phase, ...]:
    """The phases of these steps, which stand in their causal order; the last one must have been observed."""
    ends: list[Interval | None] = []
    next_end = NOWHERE
    for mark in reversed(marks):
        if mark.at is None or not mark.needed:
            ends.append(None)
            continue
        next_end = least([mark.at, next_end])
        ends.append(next_end)
    found, begin = [], ALWAYS
    for mark, end in zip(marks, reversed(ends), strict=True):
        found.append(_phase(mark, end, between(begin, end) if end else None))
        begin = end or begin
    return tuple(found)


def _phase(mark: Mark, until: Interval | None = None, took: Interval | None = None) -> Phase:
    return Phase(name=mark.name, at=mark.at, until=until, took=took, told_by=mark.told_by, reason=mark.reason)


def least(times: Iterable[Interval]) -> Interval:
    """The first of several times: none is earlier than the least low end, one has come by the least high end."""
    known = [time for time in times if time != NOWHERE]
    return Interval(
        low=min((time.low or 0.0 for time in known), default=None),
        high=min((time.high for time in known if time.high is not None), default=None),
    )


def between(begin: Interval, end: Interval) -> Interval:
    """How long it is from one time to a later one; never negative."""
    low, high = max(0.0, (end.low or 0.0)), end.high
    return Interval(
        low=max(0.0, low - begin.high) if begin.high is not None else 0.0,
        high=None if high is None else max(0.0, high - (begin.low or 0.0)),
    )


def _declared(facts: Facts, fault: Fault, name: PhaseName) -> Mark | None:
    """By the objectives about this experiment: detected by the first that was seen, anything else when all were."""
    times: list[tuple[str, Interval]] = []
    for slo in facts.slos:
        if slo.annotations.experiment != fault.name or _tells(slo) != name:
            continue
        match slo.indicator:
            case model.AlertTime() as wanted:
                times.append((f"the alert {wanted.name}", reactions.alert(facts, fault, wanted).interval))
            case model.ReactionTime() as wanted:
                times.append((wanted.query, reactions.reaction(facts, fault, wanted).interval))
            case model.RecoveryTime() as wanted:
                seen = recovery(facts, fault, wanted.until, wanted.regions)
                back = seen.served_s if wanted.until == "served" else seen.full_service_s
                times.append((f"answers of {', '.join(wanted.regions) or 'any region'}", back or NOWHERE))
            case _:
                pass
    known = [(who, time) for who, time in times if time != NOWHERE]
    if not times:
        return None
    if not known:
        return Mark(name, None, reason=f"{times[0][0]} could not be observed")
    if name == "detected":
        first = least(time for _, time in known)
        # One that could not be observed may have been the first.
        at = first if len(known) == len(times) else Interval(low=0.0, high=first.high)
        who = min(known, key=lambda one: float("inf") if one[1].high is None else one[1].high)[0]
        return Mark(name, at, who, "" if at.high is not None else "not seen while somebody looked")
    ends = [time.high for _, time in times]
    at = Interval(low=max(time.low or 0.0 for _, time in known), high=None if None in ends else max(map(float, ends)))  # type: ignore[arg-type]
    return Mark(name, at, ", ".join(who for who, _ in known), "" if at.high is not None else "not seen to the end")


def _tells(slo: model.Slo) -> str:
    """The phase that an objective tells: as annotated, else by its kind."""
    match slo.indicator:
        case model.AlertTime(until=until):
            usual = "detected" if until == "fires" else ""
        case model.ReactionTime(after=after):
            usual = "detected" if after is None else "ready"
        case _:
            usual = ""
    return slo.annotations.phase or usual


def _gone(facts: Facts, fault: Fault) -> Mark:
    """Ready, by the journal: between the last time the fault was seen there and the first that it was seen gone."""
    mine = (fault.experiment, fault.fault)
    gone = [e for e in facts.of(FaultGone) if (e.experiment, e.fault) == mine and e.gone]
    if not gone:
        return Mark("ready", None, reason="nobody saw the fault gone")
    first = min(gone, key=lambda event: event.mono_ns)
    there = [e.mono_ns for e in facts.of(FaultLanded) if (e.experiment, e.fault) == mine and e.landed]
    low = max([at for at in there if at <= first.mono_ns], default=fault.from_ns)
    at = Interval(low=max(0.0, (low - fault.to_ns) / 1e9), high=max(0.0, (first.mono_ns - fault.from_ns) / 1e9))
    return Mark("ready", at, f"the journal: gone by {first.by} ({first.observer})")


def _failed_over(facts: Facts, fault: Fault) -> Mark:
    """By the users' answers: the first of a region, else an instance, that did not answer in this fault's window before
    it, while one that did is not heard of for the `sustained` time from then on."""
    for kind in ("region", "instance"):
        mark = _changed(facts, fault, kind)
        if mark is not None:
            return mark
    return Mark("failed-over", None, reason="whoever answered before the fault answered on; nothing took over")


def _changed(facts: Facts, fault: Fault, kind: str) -> Mark | None:
    sustained, until = round(facts.evidence.scenario.sustained * 1e9), facts.horizon_ns(fault)
    if fault.span is None:
        return None
    heard = {name: (start, end) for name, start, end in _heard(facts, kind, fault.span.start_ns, until) if len(start)}
    before = {name for name, (start, end) in heard.items() if bool((end < fault.from_ns).any())}
    later = {name: start[start >= fault.from_ns] for name, (start, _) in heard.items() if name not in before}
    first = {name: int(start.min()) for name, start in later.items() if len(start)}
    if not before or not first:
        return None
    name = min(first, key=lambda one: (first[one], one))
    began = first[name]
    if began + sustained > until:
        return None
    gone = sorted(old for old in before if not ((heard[old][0] >= began) & (heard[old][0] < began + sustained)).any())
    if not gone:
        return None
    low = _switch(observe(facts, fault.from_ns, until, fault.span, "served"), began, fault.from_ns)
    high = int(heard[name][1].min())
    at = Interval(low=max(0.0, (low - fault.to_ns) / 1e9), high=max(0.0, (high - fault.from_ns) / 1e9))
    return Mark("failed-over", at, "users", f"{name} answered where {', '.join(gone)} had")


def _switch(seen: Observations, began: int, from_ns: int) -> int:
    """The last time before the first answer of the new one at which it certainly had not answered yet."""
    known = (seen.good | seen.bad) & (seen.start < began)
    last = int(seen.start[known].max()) if known.any() else from_ns
    dark = ~seen.good & ~seen.bad & (seen.start < began)
    return min(last, int(seen.start[dark].min())) if dark.any() else last


def _heard(facts: Facts, kind: str, from_ns: int, until_ns: int) -> Iterator[tuple[str, Ints, Ints]]:
    """(name, starts, ends) of the good answers that tell who they are from."""
    found: dict[str, list[tuple[Ints, Ints]]] = {}
    for table in (facts.beacon, facts.requests):
        if table is None:
            continue
        rows = table.between(from_ns, until_ns)
        good = answered_right(rows).must & (rows.started_ns >= from_ns) & (rows.started_ns < until_ns)
        who = rows.region if kind == "region" else rows.instance
        for code, name in enumerate(who.names):
            mine = good & (who.codes == code)
            if name and mine.any():
                found.setdefault(name, []).append((rows.started_ns[mine], rows.finished_ns[mine]))
    for name, parts in found.items():
        yield name, np.concatenate([start for start, _ in parts]), np.concatenate([end for _, end in parts])
