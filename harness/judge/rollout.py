"""A rollout judged again from its record: each bake as a little run of its own, and the word of the gate on top.

A failure that names no release may or may not have been the canary's. So a bake is judged twice, without them and with
all of them; what both say holds, and where they differ the bake is inconclusive.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from harness.judge.objectives import judge
from harness.judge.verdict import merge, sentence
from harness.model.events import (
    AnyEvent,
    ChildEnded,
    ClockRead,
    Compared,
    GuardTripped,
    Problem,
    RunClosed,
    ScheduleFixed,
    Window,
)
from harness.model.evidence import Evidence
from harness.model.judgement import Finding, Judgement, ObjectiveResult, Verdict
from harness.model.records import Outcome
from harness.model.slo import Slo

if TYPE_CHECKING:
    import pyarrow as pa

# How well the load kept its schedule is asked of each bake: between them nothing is judged.
_ASKED_OF_BAKES = ("load record", "load generator")
_BESIDES = (ClockRead, Problem, ChildEnded, GuardTripped)


def judge_bake(evidence: Evidence, slos: Sequence[Slo], canary: str, from_ns: int, to_ns: int) -> Judgement:
    """The canary's own requests intended in [from, to), judged as a run of their own.

    `evidence` is the run's, finished or still growing; of its events only those count that tell what went wrong.
    """

    spec = evidence.scenario.model_copy(update={"rollout": None})
    bake = replace(evidence, scenario=spec, beacon=None, ledger=None, readback=None, primaries=None)
    rows = evidence.requests

    def told(with_nameless: bool) -> Judgement:
        mine = None if rows is None else of_release(rows, canary, from_ns, to_ns, with_nameless)
        events = _events(evidence.events, from_ns, to_ns, 0 if mine is None else mine.num_rows)
        return judge(replace(bake, events=events, requests=mine), slos)

    return agreed(told(False), told(True))


def judge_rollout(evidence: Evidence, slos: Sequence[Slo]) -> Judgement:
    """The judgement of a run with a rollout: promoted can be PASS, taken off is FAIL, all else is INCONCLUSIVE."""
    rollout = evidence.scenario.rollout
    assert rollout is not None
    whole = judge(evidence, ())
    results: list[ObjectiveResult] = []
    findings = [finding for finding in whole.findings if finding.name not in _ASKED_OF_BAKES]
    # A bake that went on was judged again from its start: the last word on it counts.
    bakes = {event.start_ns: event for event in evidence.events if isinstance(event, Window) and event.kind == "bake"}
    for bake in bakes.values():
        judged = judge_bake(evidence, slos, rollout.canary, bake.start_ns, bake.end_ns)
        results += [result.model_copy(update={"experiment": bake.experiment}) for result in judged.objectives]
        findings += [
            finding.model_copy(update={"reason": f"at {bake.experiment}: {finding.reason}"})
            for finding in judged.findings
            if finding not in findings
        ]
    findings += _comparisons(evidence)
    verdict = merge(results, findings)
    return whole.model_copy(
        update={
            "verdict": verdict,
            "sentence": sentence(verdict, results, findings),
            "objectives": tuple(results),
            "findings": tuple(findings),
        }
    )


def _comparisons(evidence: Evidence) -> list[Finding]:
    """What the comparison said when it decided, and whether the whole record says the same again."""
    from harness.judge.sequential.record import of_table
    from harness.judge.sequential.watch import again

    rollout = evidence.scenario.rollout
    told = [event for event in evidence.events if isinstance(event, Compared)]
    if rollout is None or rollout.compare is None or not told:
        return []
    name = "canary beside baseline"
    if evidence.requests is None:
        return [Finding(name=name, cap=Verdict.INCONCLUSIVE, reason="there is no request record to work it out again")]
    record = of_table(evidence.requests, rollout.baseline, rollout.canary)
    found = [again(event, record, rollout) for event in told]
    lines = tuple(
        f"step {event.step + 1}: {event.word}; {one.criterion}: {one.canary_bad} of {one.canary} beside "
        f"{one.stable_bad} of {one.stable}, evidence of harm 10^{one.harm:.1f}, of good enough 10^{one.enough:.1f}"
        for event in found
        for one in event.criteria
    )
    other = [(one.word, event.word) for one, event in zip(told, found, strict=True) if one.word != event.word]
    if other:
        said, now = other[0]
        reason = f"the gate's word was {said}, the whole record says {now}"
        return [Finding(name=name, cap=Verdict.INCONCLUSIVE, reason=reason, detail=lines)]
    words = ", then ".join(event.word for event in told)
    return [Finding(name=name, cap=Verdict.PASS, reason=f"{words}: worked out again from the record", detail=lines)]


def of_release(requests: pa.Table, release: str, from_ns: int, to_ns: int, with_nameless: bool) -> pa.Table:
    """The rows intended in [from, to) that this release answered, numbered anew as arrivals from 0.

    Drops of the generator always belong to them, for they are nobody's; `with_nameless` also takes the requests that
    were sent and ended without an answer that named a release.
    """
    import numpy as np
    import pyarrow as pa

    intended = requests["intended_ns"].to_numpy()
    outcome = requests["outcome"].to_numpy()
    named = np.asarray(requests["release"].cast(pa.string()).to_pylist(), dtype=object)
    mine = (named == release) | (outcome == Outcome.DROPPED)
    if with_nameless:
        mine |= (named == "") & ~np.isin(outcome, (Outcome.SKIPPED, Outcome.UNFINISHED))
    found = requests.filter(pa.array((intended >= from_ns) & (intended < to_ns) & mine)).sort_by("arrival")
    place = found.schema.get_field_index("arrival")
    return found.set_column(place, "arrival", pa.array(np.arange(found.num_rows, dtype=np.int64)))


def agreed(without: Judgement, with_: Judgement) -> Judgement:
    """The judgement that holds either way; INCONCLUSIVE where the two differ."""
    if without.verdict is with_.verdict:
        return without
    said = (
        f"{Verdict.INCONCLUSIVE}: it depends on whose failures those were that named no release "
        f"({without.sentence} Or: {with_.sentence})"
    )
    return with_.model_copy(update={"verdict": Verdict.INCONCLUSIVE, "sentence": said})


def _events(events: Sequence[AnyEvent], from_ns: int, to_ns: int, arrivals: int) -> tuple[AnyEvent, ...]:
    """The bake as a whole little run: one window, as many arrivals due as there are, and what went wrong meanwhile."""
    offset = next((event.wall_ns - event.mono_ns for event in events if event.mono_ns and event.wall_ns), 0)
    stamp = {"mono_ns": to_ns, "wall_ns": to_ns + offset}
    schedule = ScheduleFixed(
        origin_ns=from_ns, seed=0, duration_s=(to_ns - from_ns) / 1e9, arrivals={}, expected=arrivals, **stamp
    )
    besides = [
        event
        for event in events
        if isinstance(event, ClockRead) or (isinstance(event, _BESIDES) and from_ns <= event.mono_ns)
    ]
    return (
        *besides,
        Window(kind="steady", start_ns=from_ns, end_ns=to_ns, **stamp),
        schedule,
        RunClosed(reason="end of the bake", clean=True, **stamp),
    )
