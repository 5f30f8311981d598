"""What the verdict rests on: deployment, measurement, who and when, how to do it again, and the words used."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

import numpy as np

from harness.model import events as e
from harness.model.evidence import Evidence
from harness.model.judgement import Judgement
from harness.model.records import Outcome
from harness.render import words
from harness.render.describe import describe, how
from harness.render.effort import effort
from harness.render.page import (
    Cell,
    Part,
    Section,
    Table,
    badge,
    code,
    joined,
    table,
    told,
)
from harness.render.story import all_of, duration_s, first, origin_ns
from harness.render.words import sentence

MOST_EVENTS, MOST_EVIDENCE = 600, 160


def deployment(evidence: Evidence) -> Section | None:
    deployed, phases = all_of(evidence.events, e.Deployed), all_of(evidence.events, e.PhaseDeployed)
    gates, checks = all_of(evidence.events, e.GateChecked), all_of(evidence.events, e.CheckDone)
    back = all_of(evidence.events, e.PhaseTakenBack)
    if not (deployed or phases or gates or checks or back):
        return None
    lead: list[Cell] = [
        sentence(
            f"release {it.release}: {words.count(it.instances, 'instance')} deployed in {words.duration(it.seconds)}"
        )
        for it in deployed
    ]
    lead += [sentence(describe(it)) for it in back]
    tables = []
    if phases:
        rows: list[tuple[Cell, ...]] = [
            (it.phase, how(it), ", ".join(it.services), words.duration(it.seconds)) for it in phases
        ]
        tables.append(
            table(
                "Phases, in order. Each starts only when the gates of the one before it hold.",
                ("Phase", "How", "Services", "Time"),
                rows,
                numeric=(3,),
            )
        )
    if gates:
        rows = [
            (
                it.phase,
                it.gate,
                told(it.ok, "holds", "does not hold"),
                str(it.attempts),
                words.duration(it.seconds),
                words.line(it.evidence, MOST_EVIDENCE),
            )
            for it in gates
        ]
        tables.append(table("Gates", ("Phase", "Gate", "Result", "Attempts", "Time", "Evidence"), rows, numeric=(3, 4)))
    if checks:
        rows = [
            (
                it.name,
                told(it.passed == it.of and it.of > 0, "right", "not right"),
                f"{it.passed} of {it.of}",
                it.detail,
            )
            for it in checks
        ]
        tables.append(table("Checks of the deployed platform", ("Check", "Result", "Passed", "Detail"), rows))
    return Section("deployment", "Deployment", (Part(paragraphs=tuple(lead), tables=tuple(tables)),))


def trust(evidence: Evidence) -> Section:
    problems = [describe(it) for it in evidence.events if isinstance(it, e.Problem | e.GuardTripped)]
    problems += [describe(it) for it in all_of(evidence.events, e.ChildEnded) if not it.expected]
    paragraphs = tuple(sentence(text) for text in problems) or ("Nothing went wrong with the observing itself.",)
    part = Part(paragraphs=paragraphs, facts=tuple(_observed(evidence)), tables=_metrics(evidence))
    return Section("trust", "Can the measurement be trusted?", (part,))


def _observed(evidence: Evidence) -> Iterator[tuple[str, Cell]]:
    """What was recorded, and how well the load kept its schedule."""
    if evidence.requests is not None:
        fixed = first(evidence.events, e.ScheduleFixed)
        outcomes = np.bincount(evidence.requests.column("outcome").to_numpy(), minlength=len(Outcome))
        due = f" of {words.grouped(fixed.expected)} in the schedule" if fixed else ""
        yield "Requests recorded", f"{words.grouped(evidence.requests.num_rows)}{due}"
        ends = [f"{words.grouped(int(outcomes[it]))} {it.name.lower()}" for it in Outcome if outcomes[it]]
        yield "How they ended", ", ".join(ends) or "—"
    if evidence.generator is not None and evidence.generator.num_rows:
        late = evidence.generator.column("late_p99_ms").to_numpy() / 1000
        cpu = evidence.generator.column("cpu").to_numpy()
        usual, worst = words.duration(float(np.nanmedian(late))), words.duration(float(np.nanmax(late)))
        yield "Starts behind schedule, P99", f"{usual} in a usual second, {worst} in the worst"
        yield "Load generator's CPU", f"{np.nanmedian(cpu):.0%} of a core, at most {np.nanmax(cpu):.0%}"
    if evidence.beacon is not None:
        yield "Beacon", words.count(evidence.beacon.num_rows, "probe")
    for it in {it.clock: it for it in all_of(evidence.events, e.ClockRead) if it.clock != "wall"}.values():
        yield f"Clock of {it.clock}", f"{it.offset_ns / 1e6:+.2f} ms from ours, known to ± {it.error_ns / 1e6:.2f} ms"


def _metrics(evidence: Evidence) -> tuple[Table, ...]:
    if not evidence.metrics:
        return ()
    rows: list[tuple[Cell, ...]] = [
        (
            code(it.query),
            str(it.series),
            str(it.samples),
            badge("open", it.error) if it.error else joined([sentence(text) for text in it.warnings]) or "—",
        )
        for it in evidence.metrics
    ]
    fold = "" if any(it.error for it in evidence.metrics) else "What Prometheus was asked"
    head = ("Query", "Series", "Samples", "Errors and warnings")
    return (table("What Prometheus was asked, and how it answered.", head, rows, numeric=(1, 2), fold=fold),)


def facts(evidence: Evidence, judgement: Judgement) -> Section:
    opened = first(evidence.events, e.RunOpened)
    closed = first(evidence.events, e.RunClosed)
    known: list[tuple[str, Cell]] = [("Run", code(judgement.run_id))]
    if opened:
        profile = f", profile {opened.profile}" if opened.profile else ""
        known += [
            ("Started by", f"{opened.user} on {opened.host}"),
            ("Started at", words.moment(opened.wall_ns)),
            ("Scenario", f"{opened.scenario}{profile}"),
            ("Release", opened.release or "as the platform file says"),
            ("Seed", str(opened.seed)),
            ("Harness", f"{opened.version}, commit {opened.commit[:12] or 'unknown'}"),
            ("Machine", f"{opened.machine}; Python {opened.python}"),
        ]
    known.append(("Took", words.duration(duration_s(evidence))))
    known += [(f"Effort of {name}", text) for name, text in effort(evidence)]
    known.append(("Clean-up", told(closed.clean, "proven", "not proven") if closed else badge("open", "not recorded")))
    known.append(("Rules of judgement", words.rules(judgement)))
    recovered = all_of(evidence.events, e.Recovered)
    if recovered:
        known.append(("Recovered", sentence(describe(recovered[-1]))))
    return Section("facts", "Who, when, where", (Part(facts=tuple(known)),))


def reproduce(evidence: Evidence, judgement: Judgement, root: str) -> Section:
    opened = first(evidence.events, e.RunOpened)
    run = shlex.quote(judgement.run_id)
    commands = [f"# judge the same evidence again, on any machine\nharness judge {run}"]
    if opened:
        again = words.line(shlex.join(opened.argv))
        commands.insert(
            0, f"# the same run again, at commit {words.line(opened.commit) or 'unknown'}, seed {opened.seed}\n{again}"
        )
    if root:
        commands.append(f"# is the folder as the run left it?\nharness verify {run} --root {root}")
    digests = all_of(evidence.events, e.Digest)
    rows: list[tuple[Cell, ...]] = [(it.name, it.version or "—", code(it.sha256)) for it in digests]
    tables = (table("What the run depended on, by SHA-256.", ("Input", "Version", "SHA-256"), rows),) if rows else ()
    return Section("reproduce", "How to reproduce", (Part(code="\n\n".join(commands), tables=tables),))


def journal(evidence: Evidence) -> Section | None:
    told = [it for it in evidence.events if not isinstance(it, e.ClockRead | e.InstancesSeen) and not _first_look(it)]
    if not told:
        return None
    origin = origin_ns(evidence)
    rows: list[tuple[Cell, ...]] = [(f"{(it.mono_ns - origin) / 1e9:.1f} s", describe(it)) for it in told[:MOST_EVENTS]]
    if len(told) > MOST_EVENTS:
        rows.append(("…", f"and {len(told) - MOST_EVENTS} more in journal.jsonl"))
    fold = f"All that happened: {words.count(len(told), 'event')}"
    caption = "The journal of the run in words; readings of clocks are left out."
    whole = table(caption, ("At", "What"), rows, fold=fold, class_="times")
    return Section("journal", "What happened, step by step", (Part(tables=(whole,)),))


def _first_look(event: e.AnyEvent) -> bool:
    """Of those only what changed is told."""
    return isinstance(event, e.ReadinessSeen) and not event.since_ns


def glossary() -> Section:
    return Section("words", "Words", (Part(facts=WORDS),))


WORDS: tuple[tuple[str, Cell], ...] = (
    (
        "P95",
        "The time within which 95 of 100 requests were answered. A latency objective counts the requests that were "
        "fast enough.",
    ),
    ("Steady state", "The run without its warm-up and outside of the faults that were made on purpose."),
    (
        "Degradation level",
        "1 full service · 2 without GPU, on the CPU · 3 without vector search, from the cache · 4 static answers.",
    ),
    (
        "Served, full service",
        "Served: users get at least the level promised for that fault. Full service: level 1 again, and it stayed so.",
    ),
    ("Detection time (MTTD)", "From the fault to the first alert for it. P0 is the most urgent kind of alert."),
    (
        "Canary",
        "A new release that gets a small share of the traffic first, beside the stable release.",
    ),
    ("Recovery time (RTO)", "From the fault to full service, as users see it. RTO is the objective for it."),
    (
        "Data loss (RPO)",
        "Writes that the platform acknowledged and no longer had afterwards. RPO is the objective for it.",
    ),
    ("Stand-in", "A part of the platform that was not the real one in this run."),
)
