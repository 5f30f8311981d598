"""How long the platform took to add instances after the load had risen: when they were Ready, and when users met them.

Time begins where the schedule itself says that the load rises. Ready is what the cluster said, looked at again and
again, hence an interval; serving is the first good answer in the users' own record that names a new instance.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from pydantic import TypeAdapter, ValidationError

from harness.judge.decide import count
from harness.judge.facts import Facts
from harness.judge.rows import labels, numbers
from harness.judge.values import Value
from harness.model.events import ReadinessSeen, ReadinessWatched, ScheduleFixed
from harness.model.judgement import Interval
from harness.model.load import Arrivals, Step
from harness.model.records import Outcome
from harness.model.slo import ScaleUpTime

ARRIVALS: TypeAdapter[Arrivals] = TypeAdapter(Arrivals)


class Rise(NamedTuple):
    """When the load rose, and how, in words."""

    at_ns: int
    text: str


class Served(NamedTuple):
    """Of a look at who was Ready: how many new instances it takes to explain the growth, those that were replaced
    included; when each new one that did had answered users, in order; and when it was looked."""

    needed: int
    answers: tuple[int, ...]
    seen_ns: int


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
    """Seconds from the step until `added` instances more were Ready, and new ones had answered users: as many, and each
    that replaced one besides."""
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
    enough = [it for it in looks if it.seen_ns > step.at_ns and len(it.ready) >= len(there) + wanted.added]
    told = f"{count(wanted.added, 'instance')} of {place} more than the {len(there)} that were there when {step.text}"
    if not enough:
        if blind:
            return Value(Interval(), f"{told}: not seen Ready; {blind}")
        low = _after(watched[-1].until_ns, step)
        return Value(Interval(low=low), f"{told}: not Ready within the {low:.1f} s that were watched")
    # Unseen, they may have come and gone before.
    soonest = 0.0 if blind else _after(enough[0].since_ns, step)
    ready = Interval(low=soonest, high=_after(enough[0].seen_ns, step))
    text = f"{told}: Ready after {ready.low:.1f} to {ready.high:.1f} s{f'; {blind}' if blind else ''}"
    if wanted.until == "ready":
        return Value(ready, text)
    answers = _answers(facts)
    if isinstance(answers, str):
        return Value(Interval(), f"{text}, but {answers}")
    served = [_served(it, there, wanted.added, answers) for it in enough]
    done = [(it.answers[it.needed - 1], it.seen_ns) for it in served if len(it.answers) >= it.needed]
    if not done:
        nearest = min(served, key=lambda it: it.needed - len(it.answers))
        low = max(soonest, _horizon(facts, step))
        short = f"only {len(nearest.answers)} of {count(nearest.needed, 'new instance')} had answered users"
        return Value(Interval(low=low), f"{text}, but {short} after {low:.1f} s")
    first = _after(min(at for at, _ in done), step)
    high = min(_after(max(both), step) for both in done)
    return Value(Interval(low=max(soonest, first), high=high), f"{text}, users answered by them after {first:.1f} s")


def _served(look: ReadinessSeen, there: frozenset[str], added: int, answers: Mapping[str, int]) -> Served:
    """One that replaces another adds nothing, and cannot be told from one that was added: so all of both count."""
    new = set(look.ready) - there
    more = len(look.ready) - len(there) - added
    return Served(len(new) - more, tuple(sorted(answers[name] for name in new if name in answers)), look.seen_ns)


def _answers(facts: Facts) -> Mapping[str, int] | str:
    """When each instance gave its first good answer; why that cannot be told."""
    table = facts.evidence.requests
    if table is None or not table.num_rows:
        return "there is no record of requests to tell whether users met them"
    named = labels(table, "instance")
    if not any(named.names):
        return "responses do not name the instance that gave them"
    good = (numbers(table.column("outcome")) == Outcome.ANSWERED) & (numbers(table.column("status")) < 400)
    finished = numbers(table.column("finished_ns"))
    its = ((name, good & (named.codes == code)) for code, name in enumerate(named.names))
    return {name: int(finished[mine].min()) for name, mine in its if mine.any()}


def _horizon(facts: Facts, step: Rise) -> float:
    """Until when users were watched, in seconds after the step."""
    table = facts.evidence.requests
    last = int(numbers(table.column("finished_ns")).max()) if table is not None and table.num_rows else step.at_ns
    return _after(last, step)


def _after(at_ns: int, step: Rise) -> float:
    return max(0.0, (at_ns - step.at_ns) / 1e9)
