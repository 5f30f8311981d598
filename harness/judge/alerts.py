"""Alerts after their start: when one had resolved once its fault was gone, and what fired that nobody declared."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from harness.judge.reactions import MS, around, has_labels
from harness.judge.samples import LATE, Samples, Series
from harness.judge.values import Value
from harness.judge.windows import choose
from harness.model.events import FaultGone
from harness.model.judgement import Finding, Interval, Verdict
from harness.model.slo import AlertTime, Slo

if TYPE_CHECKING:
    from harness.judge.facts import Facts, Fault

TOLD = 3


@dataclass(frozen=True)
class Stretch:
    """One time of firing, in ms of Prometheus' clock: `ended` is when it was first seen not to, None when it never was.

    It was firing at `first` and at `last`, and may have been until `ended`.
    """

    series: Series
    first: float
    last: float
    ended: float | None


def stretches(samples: Samples, firing: Series) -> Iterator[Stretch]:
    """When this series of ALERTS fired. It ends at a staleness marker, else where the next evaluation shows nothing."""
    times = firing.t_ms.astype(float)
    if not len(times):
        return
    steps = np.diff(times)
    step = float(np.median(steps)) if len(steps) else samples.step_ms(firing)
    cuts = [0, *(np.flatnonzero(steps > LATE * step) + 1).tolist(), len(times)]
    for begin, end in pairwise(cuts):
        last = float(times[end - 1])
        stale = firing.stale_ms[firing.stale_ms > last]
        following = float(times[end]) if end < len(times) else np.inf
        if len(stale) and stale[0] < following:
            ended: float | None = float(stale[0])
        else:
            due = last + LATE * step  # an evaluation was certainly due by then, if Prometheus was there to make it
            ended = due if samples.last_scrape_ms(last) >= due else None
        yield Stretch(firing, float(times[begin]), last, ended)


def resolved(facts: Facts, fault: Fault, wanted: AlertTime) -> Value:
    """From when the fault was seen gone until the alert, having fired, fires no more (before the next fault)."""
    name = f"the alert {wanted.name} ({', '.join([wanted.severity, *wanted.labels.values()])})"
    trouble = facts.samples.trouble("ALERTS") or facts.samples.trouble("up")
    if trouble:
        return Value(Interval(), trouble)
    mine = (fault.experiment, fault.fault)
    gone = min((e.mono_ns for e in facts.of(FaultGone) if (e.experiment, e.fault) == mine and e.gone), default=None)
    if gone is None:
        return Value(Interval(), f"nobody saw the fault gone, so when {name} should have resolved is not known")
    start, until = around(facts, fault)
    fired = [
        stretch
        for one in _firing(facts.samples)
        if one.labels.get("alertname") == wanted.name
        and one.labels.get("severity") == wanted.severity
        and has_labels(one.labels, wanted)
        for stretch in stretches(facts.samples, one)
        if start <= stretch.last and stretch.first <= until
    ]
    if not fired:
        return Value(Interval(), f"{name} did not fire, so nothing resolved")
    clock = facts.prometheus_clock
    assert clock is not None

    def since_gone(at_ms: float, error: int) -> float:
        return max(0.0, float(at_ms * MS - clock.offset_ns + error * clock.error_ns - gone) / 1e9)

    low = since_gone(min(max(stretch.last for stretch in fired), until), -1)
    ends = [stretch.ended for stretch in fired]
    if None in ends or max(end for end in ends if end is not None) > until:
        return Value(Interval(low=low), f"{name} was still firing {low:.1f} s after the fault was gone")
    high = since_gone(max(end for end in ends if end is not None), 1)
    return Value(Interval(low=low, high=high), f"{name} had resolved {high:.1f} s after the fault was gone")


def others(facts: Facts) -> Iterator[Finding]:
    """What fired in the judged part of the run and is declared for no fault of that time; it caps nothing."""
    run, clock = choose(facts.spans, "run"), facts.prometheus_clock
    if not run or clock is None or facts.samples.trouble("ALERTS"):
        return
    begin, end = ((at + clock.offset_ns) / MS for at in (run[0].start_ns, run[0].end_ns))
    found: dict[tuple[str, str, str], list[Stretch]] = {}
    for one in _firing(facts.samples):
        for stretch in stretches(facts.samples, one):
            if stretch.last < begin or stretch.first > end:
                continue
            cause = _window_of(facts, stretch.first * MS - clock.offset_ns)
            if not any(_declares(slo, one, cause) for slo in facts.slos):
                key = (one.labels.get("alertname", "?"), one.labels.get("severity", "no severity"), cause or "no fault")
                found.setdefault(key, []).append(stretch)
    if not found:
        return
    order = sorted(found, key=lambda key: (key[1], min(stretch.first for stretch in found[key]), key))
    told = [f"{name} ({severity}, {cause})" for name, severity, cause in order]
    more = f" and {len(told) - TOLD} more" if len(told) > TOLD else ""
    yield Finding(
        name="other alerts",
        cap=Verdict.PASS,
        reason=f"fired, declared by no objective: {', '.join(told[:TOLD])}{more}",
        detail=tuple(_line(key, found[key], begin) for key in order),
    )


def _line(key: tuple[str, str, str], fired: list[Stretch], begin_ms: float) -> str:
    name, severity, cause = key
    first, last = min(stretch.first for stretch in fired), max(stretch.last for stretch in fired)
    where = f"in the window of {cause}" if cause != "no fault" else "with no fault"
    series = f", {len(fired)} times" if len(fired) > 1 else ""
    return (
        f"{name} ({severity}) {where}: from {(first - begin_ms) / 1000:.1f} s to {(last - begin_ms) / 1000:.1f} s "
        f"after the warm-up{series}"
    )


def _firing(samples: Samples) -> Iterator[Series]:
    return (one for one in samples.series("ALERTS") if one.labels.get("alertstate") == "firing")


def _window_of(facts: Facts, at_ns: float) -> str:
    """The fault in whose window this time lies, "" for none: as injected, before its window ends."""
    inside = [
        fault.experiment
        for fault in facts.faults
        if fault.from_ns <= at_ns and (fault.span is None or at_ns < fault.span.end_ns)
    ]
    return inside[-1] if inside else ""


def _declares(slo: Slo, fired: Series, cause: str) -> bool:
    wanted = slo.indicator
    return (
        isinstance(wanted, AlertTime)
        and bool(cause)
        and slo.annotations.experiment in ("", cause.partition("#")[0])
        and fired.labels.get("alertname") == wanted.name
        and fired.labels.get("severity") == wanted.severity
        and has_labels(fired.labels, wanted)
    )
