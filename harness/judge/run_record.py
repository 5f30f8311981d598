"""What one run contributes to a report over many: its counts by SLO on the wall clock, its faults, its change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from harness.judge.answer import answer
from harness.judge.budget import UNSEEN, cut
from harness.judge.burn_rate import Bin
from harness.judge.composite import parts_of
from harness.judge.decide import Counts
from harness.judge.facts import Facts
from harness.judge.question import Question
from harness.judge.slices import slices_of
from harness.model.events import Deployed, PhaseTakenBack, RolledBack, RunClosed, RunOpened
from harness.model.evidence import Evidence
from harness.model.judgement import Judgement, Recovery, Verdict
from harness.model.slo import AcrossRuns, Composite, GaugeShare, RequestRatio, Slo

# Burn rates are looked at so often.
BIN_S = 10.0


@dataclass(frozen=True)
class PartRecord:
    """One objective in one run. `counts` None: it was to be counted, and nothing is known of it."""

    counts: Counts | None
    slices: tuple[Counts, ...] = ()
    bins: tuple[Bin, ...] = ()
    no_bins: str = ""


@dataclass(frozen=True)
class RunRecord:
    """One run, by wall time; `parts` by SLO and number of the objective, those only that the run was asked."""

    run_id: str
    began_s: float
    ended_s: float
    verdict: Verdict
    release: str
    changed: bool
    taken_back: bool
    recoveries: tuple[Recovery, ...]
    parts: dict[tuple[str, int], PartRecord]
    problems: tuple[str, ...] = ()


def run_record(evidence: Evidence, judgement: Judgement, slos: Sequence[Slo]) -> RunRecord:
    """The record of a run by these SLOs; `judgement` is the run's own."""
    facts = Facts(evidence, slos)
    opened: list[RunOpened] = facts.of(RunOpened)
    problems = list(evidence.problems)
    if not facts.of(RunClosed):
        problems.append("the run did not come to its end")
    stamps = [event.wall_ns for event in evidence.events if event.wall_ns]
    if not stamps:
        problems.append("its journal does not tell when it was")
    parts = {
        (slo.name, number): _part(question)
        for slo in slos
        if not isinstance(slo.indicator, AcrossRuns) and facts.asked(slo) and facts.judged(slo)
        for number, question in enumerate(_questions(facts, slo))
    }
    return RunRecord(
        run_id=evidence.run_id,
        began_s=min(stamps, default=0) / 1e9,
        ended_s=max(stamps, default=0) / 1e9,
        verdict=judgement.verdict,
        release=opened[0].release if opened else "",
        changed=bool(facts.of(Deployed)),
        taken_back=bool(facts.of(RolledBack) or facts.of(PhaseTakenBack)),
        recoveries=judgement.recoveries,
        parts=parts,
        problems=tuple(problems),
    )


def _questions(facts: Facts, slo: Slo) -> list[Question]:
    if isinstance(slo.indicator, Composite):
        return parts_of(Question(facts, slo, slo.objectives[0]), slo.indicator)
    return [Question(facts, slo, objective) for objective in slo.objectives]


def _part(ask: Question) -> PartRecord:
    told = answer(ask)
    counts: Counts | None = Counts(told.events - told.bad - told.unknown, told.bad, told.unknown)
    sliced: tuple[Counts, ...] = ()
    if isinstance(ask.slo.indicator, GaugeShare) and ask.slo.method == "Occurrences":
        found = slices_of(ask.slo.indicator, ask)
        counts = None if isinstance(found, str) else sum(found[0], Counts(0, 0))
    elif ask.slo.method != "Occurrences":
        found = slices_of(ask.slo.indicator, ask)
        if isinstance(found, str):
            return PartRecord(None, no_bins=found)
        sliced = tuple(found[0])
    elif not told.events and not _looked(ask):
        counts = None
    if not ask.slo.alerts:
        return PartRecord(counts, sliced)
    bins = _bins(ask)
    return PartRecord(counts, sliced, (), bins) if isinstance(bins, str) else PartRecord(counts, sliced, bins)


def _looked(ask: Question) -> bool:
    """Whether the record of requests is there, so that no event means that none was."""
    facts, indicator = ask.facts, ask.slo.indicator
    if not isinstance(indicator, RequestRatio):
        return False
    return (facts.requests if indicator.table == "requests" else facts.beacon) is not None


def _bins(ask: Question) -> tuple[Bin, ...] | str:
    clock = ask.facts.clock
    if clock is None:
        return "nothing tells the time of day"
    found = slices_of(ask.slo.indicator, replace(ask, objective=ask.objective.model_copy(update={"slice_s": BIN_S})))
    if isinstance(found, str):
        return found
    edges = [edge for span in ask.facts.judged(ask.slo) for edge in cut(span.start_ns, span.end_ns, BIN_S * 1e9)]
    return tuple(
        Bin((start + clock.offset_ns) / 1e9, (end + clock.offset_ns) / 1e9, counts, counts is UNSEEN)
        for (start, end), counts in zip(edges, found[0], strict=True)
    )
