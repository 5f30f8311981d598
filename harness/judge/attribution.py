"""Which failures belong to a fault, and which to the platform itself.

A bad stretch is a run of failed requests and probes, by their intended start, without a good one between. It belongs to
a fault when its first failure may have happened after the injection and before the fault's window and the declared
`propagation` time after it were over; of several such faults to the one injected last. Any other belongs to none.

The control is the steady time outside of every fault's reach: what fails there is the noise that a fault is not to be
blamed for. With nothing to compare with, that is said.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from harness.judge.decide import count
from harness.judge.failures import Stretch, View, lasted, stretches, view
from harness.judge.requests import count_masks
from harness.judge.windows import choose
from harness.model.judgement import (
    Attribution,
    BadStretch,
    BudgetSplit,
    Cause,
    Control,
    Finding,
    Interval,
    ObjectiveResult,
    Spent,
    Verdict,
)
from harness.model.slo import RequestRatio

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from harness.judge.facts import Facts, Fault
    from harness.judge.rows import Rows
    from harness.judge.windows import Span

    Ints = NDArray[np.int64]
    Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Reach:
    """What a fault may have caused began to fail in [from_ns, until_ns)."""

    fault: Fault
    from_ns: int
    until_ns: int


def attribute(facts: Facts, results: Sequence[ObjectiveResult] = ()) -> Attribution | None:
    """None when nobody observed the users' side after the warm-up."""
    run = choose(facts.spans, "run")
    tables = [rows for rows in (facts.beacon, facts.requests) if rows is not None]
    if not run or not tables:
        return None
    seen, reaches, how = view(facts, tables, run[0]), reaches_of(facts), facts.evidence.scenario.attribution
    bad = stretches(seen, run[0])
    firsts = np.array([(one.first_ns, one.first_end_ns) for one in bad], dtype=np.int64).reshape(-1, 2)
    places = causes_of(reaches, firsts[:, 0], firsts[:, 1])
    found = [(one, reaches[place] if place >= 0 else None) for one, place in zip(bad, places, strict=True)]
    calm = _without([(span.start_ns, span.end_ns) for span in choose(facts.spans, "steady")], reaches)
    control = _control(seen, calm, [one for one, reach in found if reach is None])
    causes = [_cause(seen, found, reach, run[0], control) for reach in (*reaches, None)]
    shown = sorted(found, key=lambda pair: (-pair[0].most_s, pair[0].first_ns))
    return Attribution(
        propagation_s=how.propagation,
        control=control,
        causes=tuple(causes),
        stretches=tuple(_listed(one, reach) for one, reach in shown[: how.listed]),
        unlisted=max(0, len(shown) - how.listed),
        budgets=tuple(_budgets(facts, reaches, results)),
    )


def reaches_of(facts: Facts) -> tuple[Reach, ...]:
    """Every fault's reach, in order of time; one without a window reaches until the next injection."""
    after = round(facts.evidence.scenario.attribution.propagation * 1e9)
    return tuple(
        Reach(fault, fault.from_ns, (fault.span.end_ns if fault.span else facts.horizon_ns(fault)) + after)
        for fault in facts.faults
    )


def causes_of(reaches: Sequence[Reach], start_ns: Ints, end_ns: Ints) -> Ints:
    """By place, the fault that each failure in [start, end] belongs to, of several the one injected last; -1: none."""
    found = np.full(len(start_ns), -1, dtype=np.int64)
    for place, reach in enumerate(reaches):  # in order of time
        found[(end_ns >= reach.from_ns) & (start_ns < reach.until_ns)] = place
    return found


def _without(spans: Sequence[tuple[int, int]], reaches: Sequence[Reach]) -> list[tuple[int, int]]:
    """What is left of these times when the faults' reaches are taken out."""
    left = list(spans)
    for reach in reaches:
        left = [
            part
            for low, high in left
            for part in ((low, min(high, reach.from_ns)), (max(low, reach.until_ns), high))
            if part[0] < part[1]
        ]
    return left


def _control(users: View, calm: Sequence[tuple[int, int]], loose: Sequence[Stretch]) -> Control | None:
    seen = sum(users.seen(low, high) for low, high in calm)
    if not seen:
        return None
    here = np.zeros(len(users.intended), dtype=bool)
    for low, high in calm:
        here |= (users.intended >= low) & (users.intended < high)
    bad, open_ = (int(np.count_nonzero(here & mask)) for mask in (users.bad, ~users.bad & ~users.good))
    mine = [one for one in loose if any(low <= one.at_ns < high for low, high in calm)]
    return Control(
        seconds=sum(high - low for low, high in calm) / 1e9,
        observations=seen,
        bad=bad,
        unknown=open_,
        share=Interval(low=bad / seen, high=(bad + open_) / seen),
        stretches=len(mine),
        longest_s=_longest(mine),
    )


def _longest(some: Sequence[Stretch]) -> Interval:
    low, high = (max((getattr(one, end) for one in some), default=0.0) for end in ("least_s", "most_s"))
    return Interval(low=low, high=high)


def _cause(
    users: View, found: Sequence[tuple[Stretch, Reach | None]], reach: Reach | None, run: Span, control: Control | None
) -> Cause:
    mine = [one for one, cause in found if cause is reach]
    low, high = (reach.from_ns, min(reach.until_ns, run.end_ns)) if reach else (run.start_ns, run.end_ns)
    seen = users.seen(low, high)
    bad = sum(one.bad for one in mine)
    # Less than undisturbed time brings forth by itself says nothing about the fault.
    noise = control.share.high * seen if control and control.share.high is not None and reach else None
    return Cause(
        experiment=reach.fault.experiment if reach else "",
        fault=reach.fault.fault if reach else "",
        stretches=len(mine),
        observations=seen,
        bad=bad,
        seconds=Interval(low=sum(one.least_s for one in mine), high=sum(one.most_s for one in mine)),
        longest_s=_longest(mine),
        noise=noise,
    )


def _listed(one: Stretch, reach: Reach | None) -> BadStretch:
    return BadStretch(
        experiment=reach.fault.experiment if reach else "",
        fault=reach.fault.fault if reach else "",
        from_ns=one.first_ns,
        until_ns=one.last_ns,
        seconds=one.seconds,
        bad=one.bad,
    )


def _budgets(facts: Facts, reaches: Sequence[Reach], results: Sequence[ObjectiveResult]) -> Iterator[BudgetSplit]:
    """Each objective on requests or probes: who spent its budget. What had no failure needs no second look."""

    edges = np.array([edge for reach in reaches for edge in (reach.from_ns, reach.until_ns)], dtype=np.int64)

    def cause(rows: Rows) -> Ints | int:
        first, last = rows.span_ns
        if not ((edges > first) & (edges <= max(last, rows.finished_ns.max()))).any():  # alike for all: most pieces are
            at = np.array([first])
            return int(causes_of(reaches, at, at)[0]) + 1
        return causes_of(reaches, *lasted(rows)) + 1

    counted: dict[tuple[RequestRatio, tuple[Span, ...]], Ints] = {}
    asked = {(slo.name, objective.title): (slo, objective) for slo in facts.slos for objective in slo.objectives}
    for result in results:
        slo, objective = asked[result.slo, result.objective]
        if not isinstance(slo.indicator, RequestRatio) or not result.events:
            continue
        key = (slo.indicator, facts.judged(slo))
        if result.bad and key not in counted:
            counted[key] = _spent(facts, cause, len(reaches) + 1, *key)
        spent = counted[key] if result.bad else np.zeros(len(reaches) + 1, dtype=np.int64)
        yield BudgetSplit(
            slo=slo.name,
            objective=objective.title,
            events=result.events,
            allowed=(1.0 - objective.target) * result.events,
            faults=tuple(
                Spent(experiment=reach.fault.experiment, fault=reach.fault.fault, bad=int(number))
                for reach, number in zip(reaches, spent[1:], strict=True)
            ),
            platform=int(spent[0]),
            unknown=result.unknown,
        )


def _spent(
    facts: Facts, cause: Callable[[Rows], Ints | int], causes: int, ratio: RequestRatio, spans: tuple[Span, ...]
) -> Ints:
    """How many bad events belong to none, and to each fault."""
    record = facts.requests if ratio.table == "requests" else facts.beacon
    assert record is not None
    tally = facts.tally(record, ratio, spans, cause)
    bad = count_masks(tally.rows, ratio, spans, facts)[1]
    found = np.broadcast_to(cause(tally.rows), bad.shape)
    return np.bincount(found[bad], tally.weight[bad], minlength=causes).astype(np.int64)


def attribution_findings(told: Attribution | None = None) -> tuple[Finding, ...]:
    """What failed without a fault is told; the objectives judge it."""
    if told is None or not told.causes[-1].bad:
        return ()
    rest = told.causes[-1]
    times = "once" if rest.stretches == 1 else f"{count(rest.stretches)} times"
    text = (
        f"{count(rest.bad, 'failure')} of {count(rest.observations, 'observation')} belong to no fault: "
        f"{times}, at most {rest.longest_s.high:.2f} s long"
    )
    control = told.control
    floor = (
        f"undisturbed: {count(control.bad)} of {count(control.observations, 'observation')} failed in "
        f"{control.seconds:.0f} s, at most {control.longest_s.high:.2f} s in a row"
        if control
        else "there was no undisturbed time to compare with"
    )
    reach = f"a failure counts as a fault's up to {told.propagation_s:g} s after its window"
    return (Finding(name="failures without a fault", cap=Verdict.PASS, reason=text, detail=(floor, reach)),)
