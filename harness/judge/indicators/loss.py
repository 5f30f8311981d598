"""Acknowledged writes lost, as a count or as time before the fault."""

from __future__ import annotations

from collections.abc import Sequence

from harness.judge import loss as losses
from harness.judge.decide import Counts, count
from harness.judge.facts import Facts
from harness.judge.question import Question
from harness.judge.values import Value
from harness.model.judgement import Interval, ObjectiveResult
from harness.model.slo import DataLossMeasure


def data_loss(ask: Question, indicator: DataLossMeasure) -> ObjectiveResult:
    fates = losses.fates_of(ask.facts)
    if fates is None:
        return ask.missing("there is no ledger of acknowledged writes, or no read-back of them")
    name = ask.slo.annotations.experiment
    regions = set(indicator.regions)
    chosen = [
        fate
        for fate in fates.all
        if (not name or fate.after.partition("#")[0] == name)
        and (not regions or fate.region in regions)
        and not (fate.state in losses.NOT_KEPT and _excused(ask.facts, indicator, fate))
    ]
    absent = _not_read_back(ask, fates.all)
    if not chosen:
        return ask.missing(f"not one acknowledged write was read back{_after(absent)}")
    bad = [fate for fate in chosen if fate.state in indicator.states]
    open_ = [fate for fate in chosen if fate.state == "indeterminate"]
    kinds = tuple(
        f"{count(sum(fate.state == state for fate in chosen))} {state}"
        for state in losses.STATES
        if any(fate.state == state for fate in chosen)
    )
    if indicator.measure == "writes":
        if absent and not bad:
            return ask.missing(f"nothing was read back{_after(absent)}", *kinds)
        counts = Counts(len(chosen) - len(bad) - len(open_), len(bad), len(open_))
        causes = tuple(kind for kind in kinds if kind.rpartition(" ")[2] in indicator.states)
        return ask.ratio(counts, "acknowledged write", kinds, causes, target=ask.objective.target, comparison=">=")
    found = []
    for fault in ask.facts.faults_of(ask.slo):
        mine = [fate for fate in chosen if fate.after == fault.experiment]
        if not mine:
            found.append(Value(Interval(), f"after {fault.experiment} nothing was read back"))
            continue
        reach = losses.seconds_before(fault, mine, indicator.states)
        lost = sum(fate.state in indicator.states for fate in mine)
        dark = sum(fate.state == "indeterminate" for fate in mine)
        text = (
            f"the oldest of {count(lost, 'lost write')} was acknowledged {reach.low:.2f} s before the fault"
            if lost
            else f"none of {count(len({fate.key for fate in mine}), 'acknowledged write')} was lost"
        )
        if dark:
            text += f"; of {count(dark)} nothing is known"
        found.append(Value(reach, text))
    return ask.values(found, "fault", "s", kinds)


def _excused(facts: Facts, indicator: DataLossMeasure, fate: losses.Fate) -> bool:
    """Whether a fault that came before this read-back is allowed to have cost the write."""
    read_after = [fault.from_ns for fault in facts.faults if fault.experiment == fate.after]
    return any(
        0 <= fault.to_ns - fate.acknowledged_ns <= indicator.excused_before.get(fault.name, -1.0) * 1e9
        and (fate.after == losses.END or any(fault.from_ns <= at for at in read_after))
        for fault in facts.faults
    )


def _after(read_backs: Sequence[str]) -> str:
    names = ["at the end" if name == losses.END else f"after {name}" for name in read_backs]
    return f" {' and '.join(names)}" if names else ""


def _not_read_back(ask: Question, fates: Sequence[losses.Fate]) -> list[str]:
    """The read-backs that this objective needs and that hold nothing, by what they came after."""
    needed = [losses.END]
    if ask.slo.annotations.window == "fault":
        needed = [fault.experiment for fault in ask.facts.faults_of(ask.slo)]
    return sorted(set(needed) - {fate.after for fate in fates})
