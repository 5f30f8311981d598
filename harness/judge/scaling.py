"""How long the platform took to add instances after the load had risen: when they were Ready, and when users met them.

Time begins where the schedule itself says that the load rises. Ready is what the cluster said, looked at again and
again, hence an interval; serving is the first good answer in the users' own record that names a new instance.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from pydantic import TypeAdapter, ValidationError

from harness.judge.decide import count
from harness.judge.facts import Facts
from harness.judge.rows import labels, numbers
from harness.judge.values import Value
from harness.model.events import ReadinessSeen, ReadinessWatched, ScheduleFixed
from harness.model.judgement import Interval
from harness.model.records import Outcome
from harness.model.scenario import Arrivals, Step
from harness.model.slo import ScaleUpTime

ARRIVALS: TypeAdapter[Arrivals] = TypeAdapter(Arrivals)


class Rise(NamedTuple):
    """When the load rose, and how, in words."""

    at_ns: int
    text: str


class Grown(NamedTuple):
    """When as many instances as asked for were Ready more than were there at the step; None: that was not seen."""

    new: frozenset[str]
    since_ns: int | None
    seen_ns: int | None


def load_step(facts: Facts) -> Rise | str:
    """The rise of the declared schedule; why there is none."""
    fixed: list[ScheduleFixed] = facts.of(ScheduleFixed)
    if not fixed:
        return "the journal does not tell the load's schedule"
    last = fixed[-1]
    try:
        declared = ARRIVALS.validate_python(last.arrivals)
    except ValidationError:
        return "the journal's schedule cannot be read"
    if not isinstance(declared, Step) or declared.to <= declared.rate:
        return "the load has no rising step to scale after (`arrivals: {kind: step}`)"
    if declared.at >= last.duration_s:
        return f"the load ended before its step at {declared.at:g} s"
    rose = f"the load rose from {declared.rate:g} to {declared.to:g} arrivals per second"
    return Rise(last.origin_ns + int(declared.at * 1e9), rose)


def scale_up(facts: Facts, wanted: ScaleUpTime) -> Value:
    """Seconds from the step until `added` instances more were Ready, and as many new ones had answered users."""
    step = load_step(facts)
    if isinstance(step, str):
        return Value(Interval(), step)
    place = f"{wanted.service}{f' in {wanted.region}' if wanted.region else ''}"
    watched: list[ReadinessWatched] = facts.of(ReadinessWatched)
    looks = [it for it in facts.of(ReadinessSeen) if (it.service, it.region) == (wanted.service, wanted.region)]
    if not watched or not looks:
        return Value(Interval(), f"nobody watched which instances of {place} were Ready")
    before = [it for it in looks if it.seen_ns <= step.at_ns]
    if not before:
        return Value(Interval(), f"which instances of {place} there were when {step.text} was not looked at")
    there = frozenset((*before[-1].ready, *before[-1].unready))
    longest = watched[-1].longest_s
    blind = f"for {longest:.1f} s nobody could tell who was Ready" if longest > wanted.longest_gap else ""
    grown = _grown(looks, step.at_ns, there, wanted.added)
    told = f"{count(wanted.added, 'instance')} of {place} more than the {len(there)} that were there when {step.text}"
    if grown.since_ns is None or grown.seen_ns is None:
        if blind:
            return Value(Interval(), f"{told}: not seen Ready; {blind}")
        low = _after(watched[-1].until_ns, step)
        return Value(Interval(low=low), f"{told}: not Ready within the {low:.1f} s that were watched")
    # Unseen, they may have come and gone before.
    ready = Interval(low=0.0 if blind else _after(grown.since_ns, step), high=_after(grown.seen_ns, step))
    text = f"{told}: Ready after {ready.low:.1f} to {ready.high:.1f} s{f'; {blind}' if blind else ''}"
    if wanted.until == "ready":
        return Value(ready, text)
    served = _answers(facts, grown.new)
    if isinstance(served, str):
        return Value(Interval(), f"{text}, but {served}")
    if len(served) < wanted.added:
        low = max(ready.low or 0.0, _horizon(facts, step))
        return Value(Interval(low=low), f"{text}, but {len(served)} of them had answered users after {low:.1f} s")
    first = _after(served[wanted.added - 1], step)
    high = max(ready.high or 0.0, first)
    return Value(
        Interval(low=max(ready.low or 0.0, first), high=high),
        f"{text}, users answered by them after {first:.1f} s",
    )


def _grown(looks: Sequence[ReadinessSeen], step_ns: int, there: frozenset[str], added: int) -> Grown:
    """All new instances that were ever Ready, and when enough were at once."""
    new: set[str] = set()
    since: int | None = None
    seen: int | None = None
    for look in looks:
        if look.seen_ns <= step_ns:
            continue
        new |= set(look.ready) - there
        if seen is None and len(look.ready) >= len(there) + added:
            since, seen = look.since_ns, look.seen_ns
    return Grown(frozenset(new), since, seen)


def _answers(facts: Facts, new: frozenset[str]) -> list[int] | str:
    """When each new instance gave its first good answer, in order; why that cannot be told."""
    table = facts.evidence.requests
    if table is None or not table.num_rows:
        return "there is no record of requests to tell whether users met them"
    named = labels(table, "instance")
    if not any(named.names):
        return "responses do not name the instance that gave them"
    good = (numbers(table.column("outcome")) == Outcome.ANSWERED) & (numbers(table.column("status")) < 400)
    finished = numbers(table.column("finished_ns"))
    mine = (good & (named.codes == code) for code, name in enumerate(named.names) if name in new)
    return sorted(int(finished[its].min()) for its in mine if its.any())


def _horizon(facts: Facts, step: Rise) -> float:
    """Until when users were watched, in seconds after the step."""
    table = facts.evidence.requests
    last = int(numbers(table.column("finished_ns")).max()) if table is not None and table.num_rows else step.at_ns
    return _after(last, step)


def _after(at_ns: int, step: Rise) -> float:
    return max(0.0, (at_ns - step.at_ns) / 1e9)
