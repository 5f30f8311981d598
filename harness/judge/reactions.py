"""What the platform itself showed: alerts and gauges after a fault, writable primaries.

A time is an interval: from the last sample that did not show it yet to the first that did, on a clock known within its
error. What was not shown while somebody was looking has a lower end only: how long was looked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from harness.judge.decide import count
from harness.judge.rows import numbers
from harness.judge.samples import LATE, Series
from harness.judge.values import Value
from harness.judge.windows import Span, inside
from harness.model.events import AlertSeen
from harness.model.judgement import Interval
from harness.model.slo import AlertTime, ReactionTime, WritablePrimaries

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from harness.judge.facts import Facts, Fault

MS = 1e6
ANSWERS = ("writable", "standby")
NOT_WRITABLE = ("standby", "refused", "stopped")


def reaction(facts: Facts, fault: Fault, wanted: ReactionTime) -> Value:
    """From the fault until the first series of a gauge was seen at the value."""
    name = f"{wanted.query} at {wanted.equals:g}"
    trouble = facts.samples.trouble(wanted.query) or facts.samples.trouble("up")
    if trouble:
        return Value(Interval(), trouble)
    series = facts.samples.series(wanted.query)
    if not series:
        return Value(Interval(), f"Prometheus has no series {wanted.query}")
    found = [_first(facts, fault, one, _shows(facts, fault, one, wanted)) for one in series]
    if any(already for already, _, _ in found):
        return Value(Interval(), f"{name} was seen before the fault already")
    if wanted.after is None and not all(_seen_before(facts, fault, one) for one in series):
        return Value(Interval(), f"just before the fault nobody looked whether {name} was seen already")
    known = min(_known_until(facts, fault, one) for one in series)
    times = [(low, high) for _, low, high in found if high is not None]
    if times:
        low, high = min(times, key=lambda time: time[1])
        return _timed(facts, fault, min(low, known), high, f"{name} was first seen")
    return _never(facts, fault, f"{name} was not seen", known)


def _shows(facts: Facts, fault: Fault, series: Series, wanted: ReactionTime) -> NDArray[np.bool_]:
    """Which samples are at the value; with `after`, only those that come later than one at that, since the fault."""
    shows: NDArray[np.bool_] = series.value == wanted.equals
    if wanted.after is None:
        return shows
    start, _ = around(facts, fault)
    return shows & np.logical_or.accumulate((series.value == wanted.after) & (series.t_ms >= start))


def alert(facts: Facts, fault: Fault, wanted: AlertTime) -> Value:
    """From the fault until the alert fired at its severity."""
    name = f"the alert {wanted.name} ({', '.join([wanted.severity, *wanted.labels.values()])})"
    trouble = facts.samples.trouble("ALERTS") or facts.samples.trouble("up")
    if trouble:
        return _told(facts, fault, wanted) or Value(Interval(), trouble)
    firing = [
        one
        for one in facts.samples.series("ALERTS")
        if one.labels.get("alertname") == wanted.name
        and one.labels.get("alertstate") == "firing"
        and has_labels(one.labels, wanted)
    ]
    right = [one for one in firing if one.labels.get("severity") == wanted.severity]
    found = [_first(facts, fault, one, np.ones(len(one.t_ms), dtype=bool)) for one in right]
    if any(already for already, _, _ in found):
        return Value(Interval(), f"{name} was firing before the fault already")
    times = [high for _, _, high in found if high is not None]
    start = around(facts, fault)[0]
    if times and facts.samples.watched_since(start) >= start:
        return Value(Interval(), f"just before the fault nobody looked whether {name} was firing already")
    known = facts.samples.last_scrape_ms(start)
    if times:  # it fires at an evaluation, and none was missed while Prometheus scraped without a pause
        at = min(times)
        return _timed(facts, fault, at if known >= at else known, at, f"{name} fired")
    others = sorted({one.labels.get("severity", "none") for one in firing} - {wanted.severity})
    wrong = f"; it fired with severity {', '.join(others)}" if others else ""
    return _never(facts, fault, f"{name} did not fire", known, wrong)


def has_labels(labels: Mapping[str, str], wanted: AlertTime) -> bool:
    """Whether an alert has all the labels that are wanted."""
    return wanted.labels.items() <= labels.items()


def _told(facts: Facts, fault: Fault, wanted: AlertTime) -> Value | None:
    """From the journal, where the samples cannot tell; only what it saw counts, not what it did not."""
    clock = facts.prometheus_clock
    seen = [
        event.firing_wall_ns
        for event in facts.of(AlertSeen)
        if event.name == wanted.name and event.severity == wanted.severity and has_labels(event.labels, wanted)
    ]
    if clock is None or not seen or min(seen) - clock.offset_ns < fault.from_ns:
        return None
    at = min(seen) / MS
    return _timed(facts, fault, at, at, f"the alert {wanted.name} ({wanted.severity}) was seen firing")


def _first(facts: Facts, fault: Fault, series: Series, shows: NDArray[np.bool_]) -> tuple[bool, float, float | None]:
    """(shown just before the fault, last time without, first time with) on Prometheus' clock in ms."""
    start, until = around(facts, fault)
    step = facts.samples.step_ms(series)
    before = shows & (series.t_ms < start) & (series.t_ms >= start - LATE * step)
    hits = np.flatnonzero(shows & (series.t_ms >= start) & (series.t_ms <= until))
    if before.any():
        return True, start, None
    if not len(hits):
        return False, start, None
    index = int(hits[0])
    last = float(series.t_ms[index - 1]) if index else start
    return False, max(last, start), float(series.t_ms[index])


def _seen_before(facts: Facts, fault: Fault, series: Series) -> bool:
    """Whether the last look at this gauge before the fault, an interval ago at most, told a number or its absence."""
    start, _ = around(facts, fault)
    samples, scrapes = facts.samples, facts.samples.scrapes.get(series.key)
    looks = [series.t_ms, series.nan_ms, series.stale_ms, *([scrapes.t_ms] if scrapes is not None else [])]
    before = np.unique(np.concatenate(looks))
    before = before[before < start]
    if not len(before):  # there was nothing to look at yet, if Prometheus was looking at all
        return samples.watched_since(start) < start
    last = int(before[-1])
    if start - last > LATE * samples.step_ms(series) or last in series.nan_ms:
        return False
    failed = scrapes is not None and last in scrapes.t_ms[~scrapes.up]
    return last in series.t_ms or not failed


def _known_until(facts: Facts, fault: Fault, series: Series) -> float:
    """Until when each scrape of this gauge since the fault came and told a number: the last that did, in ms."""
    start, until = around(facts, fault)
    step = facts.samples.step_ms(series)
    scrapes = facts.samples.scrapes.get(series.key)
    looks = [series.t_ms, series.nan_ms, series.stale_ms, *([scrapes.t_ms] if scrapes is not None else [])]
    at = np.unique(np.concatenate(looks))
    at = at[(at >= start - LATE * step) & (at <= until)]
    told = np.isin(at, series.t_ms) & (np.diff(at, prepend=start) <= LATE * step)
    broken = np.flatnonzero(~told & (at >= start))
    known = at[: broken[0]] if len(broken) else at
    return max(start, float(known[-1])) if len(known) else start


def around(facts: Facts, fault: Fault) -> tuple[float, float]:
    """From the injection to the end of what may be looked at for it, on Prometheus' clock in ms."""
    clock = facts.prometheus_clock
    if clock is None:
        raise ValueError("the journal does not tell wall against monotonic time")
    return (fault.from_ns + clock.offset_ns) / MS, (facts.horizon_ns(fault) + clock.offset_ns) / MS


def _timed(facts: Facts, fault: Fault, low_ms: float, high_ms: float, text: str) -> Value:
    clock = facts.prometheus_clock
    assert clock is not None
    low = (low_ms * MS - clock.offset_ns - clock.error_ns - fault.to_ns) / 1e9
    high = (high_ms * MS - clock.offset_ns + clock.error_ns - fault.from_ns) / 1e9
    interval = Interval(low=max(0.0, low), high=max(0.0, high))
    return Value(interval, f"{text} {interval.high:.1f} s after the fault")


def _never(facts: Facts, fault: Fault, text: str, known_ms: float, more: str = "") -> Value:
    """Not shown while Prometheus looked without a pause, which it did until `known_ms`."""
    start, until = around(facts, fault)
    seen = (min(known_ms, until) - start) / 1000
    watched = max(0.0, seen - (fault.to_ns - fault.from_ns) / 1e9)
    return Value(Interval(low=watched), f"{text} in the {watched:.1f} s that Prometheus watched{more}")


def primaries(facts: Facts, spans: Sequence[Span], wanted: WritablePrimaries) -> Value:
    """The greatest number of databases that were writable at one time, as [seen, possible].

    Two were, when one said so while the other had said so before and said so after. When the other's answers around it
    differ, or one of them did not come, it is possible. One that stands still, by the word of whoever runs it, takes no
    writes; nor did one that gave no answer, when its log shows afterwards that it was none that does. A region that
    never answered, or was not asked for longer than the objective allows, may have been writable all the time.
    """
    table = facts.evidence.primaries
    if table is None or not table.num_rows:
        return Value(Interval(), "nobody asked the databases whether they take writes")
    if not spans:
        return Value(Interval(), "the run has no window")
    asked = numbers(table.column("asked_ns"))
    answered = numbers(table.column("answered_ns"))
    region = np.asarray([str(name) for name in table.column("region").to_pylist()])
    state = np.asarray([str(told) for told in table.column("state").to_pylist()])
    later = state == "unwritten"
    for mine, first, last in zip(region[later], asked[later], answered[later], strict=True):
        during = (region == mine) & (asked >= first) & (answered <= last)
        if not (state[during] == "writable").any():
            state[during & (state == "unreachable")] = "stopped"
    asked, answered, region, state = (column[~later] for column in (asked, answered, region, state))
    writable, maybe = state == "writable", ~np.isin(state, NOT_WRITABLE)
    regions = sorted({*wanted.regions, *region.tolist()})
    within = inside(asked, spans)
    if not within.any():
        return Value(Interval(), "the databases were not asked within the window")
    blind: dict[str, str] = {}
    for name in wanted.regions:
        rows = region == name
        gap = _longest_gap(np.sort(asked[rows]), spans)
        if not np.isin(state[rows & within], ANSWERS).any():
            blind[name] = f"the database of {name} never told whether it takes writes"
        elif gap > wanted.longest_gap:
            blind[name] = f"the database of {name} was not asked for {gap:.1f} s"
    seen = most = int(writable[within].any())
    doubt = ""
    for mine in regions:
        # Where mine may have been writable, others that surely and possibly were at the same time.
        rows = np.flatnonzero(within & (region == mine) & maybe)
        if not len(rows):
            continue
        certain, possible = writable[rows].astype(int), np.ones(len(rows), dtype=int)
        for other in regions:
            if other == mine or other in blind:
                continue
            theirs = np.flatnonzero(region == other)
            theirs = theirs[np.argsort(asked[theirs], kind="stable")]
            before = np.searchsorted(np.maximum.accumulate(answered[theirs]), asked[rows], side="right") - 1
            after = np.searchsorted(asked[theirs], answered[rows], side="left")
            has = (before >= 0) & (after < len(theirs))
            first, last = np.maximum(before, 0), np.minimum(after, len(theirs) - 1)
            doubtful = np.concatenate([[0], np.cumsum(maybe[theirs])])
            certain += writable[rows] & has & writable[theirs[first]] & writable[theirs[last]]
            possible += (~has | (doubtful[last + 1] > doubtful[first])).astype(int)
        seen = max(seen, int(certain.max()))
        if int(possible.max()) > most:
            most = int(possible.max())
            doubt = f"; {most} may have been, where one could not be reached or its answers around differ"
    most = min(len(regions), max(seen, most) + len(blind))
    asked_text = f"asked {count(int(within.sum()), 'time')}"
    text = f"at most {count(seen, 'database')} of {len(regions)} seen writable at one time, {asked_text}"
    if seen > 1:
        text = f"{seen} databases were writable at the same time ({', '.join(regions)})"
    why = "".join(f"; {reason}" for reason in blind.values()) or (doubt if most > seen else "")
    return Value(Interval(low=float(seen), high=float(most)), text + why)


def _longest_gap(asked_ns: NDArray[np.int64], spans: Sequence[Span]) -> float:
    """The longest time within the spans in which nobody asked, in seconds."""
    longest = 0.0
    for span in spans:
        there = asked_ns[(asked_ns >= span.start_ns) & (asked_ns < span.end_ns)]
        longest = max(longest, float(np.diff(np.concatenate([[span.start_ns], there, [span.end_ns]])).max()) / 1e9)
    return longest
