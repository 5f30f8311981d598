"""Was this the run that was declared? What was not caps the verdict, whatever the objectives say.

Load first: a generator that was late, saturated or short of its schedule measured something else. Then the faults (did
each land, and was it seen gone), the children, the clocks, and what the harness itself could not observe.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from harness.judge.agreement import disagreements
from harness.judge.alerts import others
from harness.judge.decide import count, percent
from harness.judge.rollouts import rollout_findings
from harness.judge.rows import numbers
from harness.judge.windows import choose, inside
from harness.model.events import (
    ChildEnded,
    ClockRead,
    ExperimentEnded,
    ExperimentSkipped,
    FaultGone,
    FaultIntended,
    FaultLanded,
    GuardTripped,
    PhaseTakenBack,
    Problem,
    ReadinessWatched,
    RunClosed,
    StandIn,
)
from harness.model.judgement import Finding, Verdict
from harness.model.records import Outcome
from harness.model.slo import AcrossRuns

if TYPE_CHECKING:
    from harness.judge.facts import Facts

# Two readings of one clock may differ by so much more than their own errors before it counts as stepped.
CLOCK_STEP_NS = 50_000_000


def findings(facts: Facts) -> tuple[Finding, ...]:
    """Everything beside the objectives that bears on the verdict, worst first."""
    parts = (_load, rollout_findings, disagreements, _faults, _run, _control_plane, _clocks, _told, others)
    found = [finding for part in parts for finding in part(facts)]
    return tuple(sorted(found, key=lambda finding: -finding.cap.rank))


def _doubt(name: str, reason: str, *detail: str) -> Finding:
    return Finding(name=name, cap=Verdict.INCONCLUSIVE, reason=reason, detail=detail)


def first_line(text: str) -> str:
    """Reasons stand in one sentence; the rest of a log belongs into the details."""
    return next(iter(text.strip().splitlines()), "")


def _load(facts: Facts) -> Iterator[Finding]:
    rows, schedule, valid = facts.requests, facts.schedule, facts.evidence.scenario.validity
    if rows is None or not len(rows):
        yield _doubt("load record", "there is no record of the load's requests")
        return
    if schedule is None:
        yield _doubt(
            "load schedule", "what the load had to do was not written down, so nobody can tell what is missing"
        )
    dropped = rows.with_outcome(Outcome.DROPPED)
    lost = len(rows.missing)
    due = len(rows) + lost
    if (dropped + lost) / due > valid.dropped:
        yield _doubt(
            "load short",
            f"{percent((dropped + lost) / due)} of {count(due, 'arrival')} were not made or left no record; "
            f"{percent(valid.dropped)} are allowed",
            f"{count(dropped)} dropped by the generator with {facts.evidence.scenario.load.max_in_flight} in flight",
            f"{count(lost)} without a record",
        )
    if rows.duplicates:
        yield _doubt("load record", f"{count(rows.duplicates, 'arrival')} were recorded twice; the first record counts")
    yield from _generator(facts)


def _generator(facts: Facts) -> Iterator[Finding]:
    table, valid = facts.evidence.generator, facts.evidence.scenario.validity
    if table is None or not table.num_rows:
        yield _doubt("load generator", "there is no record of how well the load generator kept up")
        return
    run = choose(facts.spans, "run")
    at = numbers(table.column("at_ns"))
    # A row speaks of the second before it.
    here = inside(at - 500_000_000, run) if run else np.ones(len(at), dtype=bool)
    seconds = int(np.count_nonzero(here))
    if run and seconds < 0.8 * run[0].seconds - 2:
        yield _doubt(
            "load generator", f"the generator told of itself in {seconds} of {run[0].seconds:.0f} judged seconds only"
        )
    if not seconds:
        return
    late = numbers(table.column("late_p99_ms"))[here] / 1000
    cpu = numbers(table.column("cpu"))[here]
    for name, mask, text in (
        ("load late", late > valid.late_p99, f"started requests more than {valid.late_p99 * 1000:g} ms late"),
        ("load saturated", cpu > valid.cpu, f"used more than {percent(valid.cpu)} of its core"),
    ):
        share = float(np.count_nonzero(mask)) / seconds
        if share > valid.late_seconds:
            yield _doubt(
                name,
                f"the load generator {text} in {percent(share, 1)} of {seconds} seconds; "
                f"{percent(valid.late_seconds)} are allowed",
                f"worst: {np.max(late) * 1000:.1f} ms late, {percent(float(np.max(cpu)), 0)} of a core",
            )


def _faults(facts: Facts) -> Iterator[Finding]:
    landed: dict[tuple[str, str], FaultLanded] = {(e.experiment, e.fault): e for e in facts.of(FaultLanded)}
    gone: dict[tuple[str, str], FaultGone] = {(e.experiment, e.fault): e for e in facts.of(FaultGone)}
    for intent in facts.of(FaultIntended):
        key = (intent.experiment, intent.fault)
        seen, over = landed.get(key), gone.get(key)
        if seen is None or not seen.landed:
            why = f" ({seen.observer}: {seen.detail})" if seen else ""
            yield _doubt("fault not landed", f"{intent.experiment}: nobody saw the fault {intent.fault} land{why}")
        if over is None or not over.gone:
            why = f" ({over.observer}: {over.detail})" if over else ""
            yield _doubt("fault not gone", f"{intent.experiment}: nobody saw the fault {intent.fault} gone{why}")
    for skipped in facts.of(ExperimentSkipped):
        yield _doubt("experiment skipped", f"{skipped.experiment} was not run: {skipped.reason}")
    ended: list[ExperimentEnded] = facts.of(ExperimentEnded)
    for experiment in ended:
        if experiment.mistakes:
            yield _doubt(
                "experiment went wrong", f"{experiment.experiment}: {experiment.mistakes[0]}", *experiment.mistakes[1:]
            )
        elif experiment.deviated:
            yield _doubt(
                "experiment deviated",
                f"{experiment.experiment}: the steady state that it declares did not hold afterwards",
            )
    done = Counter(experiment.experiment.partition("#")[0] for experiment in ended)
    skips = Counter(event.experiment.partition("#")[0] for event in facts.of(ExperimentSkipped))
    for entry in facts.evidence.scenario.experiments:
        name = entry.file.rsplit("/", 1)[-1].rsplit(".", 1)[0]
        if done[name] + skips[name] < entry.repeat:
            yield _doubt("experiment missing", f"{name} was done {done[name]} of {entry.repeat} times")


def _run(facts: Facts) -> Iterator[Finding]:
    for back in facts.of(PhaseTakenBack):
        proof = "" if back.verified else ", and nobody saw it gone"
        yield Finding(
            name="deployment taken back",
            cap=Verdict.FAIL,
            reason=f"phase {back.phase} did not pass its gate and was taken back{proof}: {first_line(back.reason)}",
            detail=tuple(back.reason.splitlines()[1:]),
        )
    lost = [child for child in facts.of(ChildEnded) if not child.expected]
    for child in lost:
        code = f"exit code {child.code}" if child.code is not None else "unknown exit code"
        yield _doubt("process lost", f"{child.name} ended in mid-run ({code})")
    for guard in facts.of(GuardTripped):
        yield _doubt("guard", f"the run was ended early by the guard {guard.guard}: {guard.detail}")
    closed: list[RunClosed] = facts.of(RunClosed)
    if not closed:
        yield _doubt("run not closed", "the run did not come to its end")
    elif not closed[-1].clean:
        yield _doubt("not clean", f"the clean-up was not proven: {first_line(closed[-1].reason)}")
    yield from _problems(facts)


def _problems(facts: Facts) -> Iterator[Finding]:
    """Each of another place by itself, so that none hides another one's."""
    places: dict[str, list[str]] = {}
    for event in facts.of(Problem):
        places.setdefault(event.where, []).append(f"{event.where}: {event.text}")
    for problems in [*places.values(), *([text] for text in facts.evidence.problems)]:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        yield _doubt(
            "problems", f"the harness could not observe everything: {first_line(problems[0])}{more}", *problems
        )


def _control_plane(facts: Facts) -> Iterator[Finding]:
    """As who looked twice a second found it; also where it said nothing more until the end, or never did."""
    allowed = facts.evidence.scenario.validity.api_silent
    watched: list[ReadinessWatched] = facts.of(ReadinessWatched)
    for watch in watched:
        since = watch.until_ns or min((span.start_ns for span in facts.spans), default=watch.mono_ns)
        silent = max(watch.longest_s, (watch.mono_ns - since) / 1e9)
        if silent > allowed:
            yield _doubt(
                "control plane silent",
                f"the cluster's API server did not answer for {silent:.1f} s; {allowed:g} s are allowed",
                f"{watch.failed} of {count(watch.looks, 'look')} were not answered"
                if watch.looks
                else "the first look got no answer until the end",
            )


def _clocks(facts: Facts) -> Iterator[Finding]:
    readings: dict[str, list[tuple[int, int]]] = {}
    for read in facts.of(ClockRead):
        readings.setdefault(read.clock, []).append((read.offset_ns, read.error_ns))
    if "wall" not in readings:  # the two times of an event are read one after the other, whatever comes between
        readings["wall"] = [(e.wall_ns - e.mono_ns, 0) for e in facts.evidence.events if e.mono_ns and e.wall_ns]
    for clock, reads in readings.items():
        if not reads:
            continue
        spread = max(low - error for low, error in reads) - min(low + error for low, error in reads)
        if spread > CLOCK_STEP_NS:
            yield _doubt(
                "clock step",
                f"the {clock} clock moved by {spread / 1e9:.2f} s against this host's steady one in mid-run",
            )


def _told(facts: Facts) -> Iterator[Finding]:
    parts = {part.service: part for part in facts.of(StandIn)}.values()
    if parts:
        yield Finding(
            name="stand-ins",
            cap=Verdict.PASS,
            reason=f"not the real thing: {', '.join(part.service for part in parts)}",
            detail=tuple(f"{part.service}: {part.text}" for part in parts),
        )
    across = sorted(slo.title for slo in facts.slos if isinstance(slo.indicator, AcrossRuns))
    if across:
        yield Finding(
            name="judged across runs",
            cap=Verdict.PASS,
            reason=f"judged across runs, by `harness slo-report`: {', '.join(across)}",
        )
    elsewhere = [slo for slo in facts.slos if slo.annotations.not_judged]
    if elsewhere:
        yield Finding(
            name="not judged",
            cap=Verdict.PASS,
            reason=f"no run here can measure: {', '.join(sorted(slo.title for slo in elsewhere))}",
            detail=tuple(f"{slo.title}: {slo.annotations.not_judged}" for slo in elsewhere),
        )
    named = {slo.annotations.experiment for slo in facts.slos if not slo.annotations.not_judged}
    absent = sorted(named - facts.experiments - {""})
    if absent:
        yield Finding(
            name="not in this run",
            cap=Verdict.PASS,
            reason=f"objectives about {', '.join(absent)} were not judged: the scenario has no such experiment",
        )
