"""The sections of the report, each a function of evidence and judgement. A section without content is left out."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterable

import numpy as np
from markupsafe import Markup

from harness.model import events as e
from harness.model.evidence import Evidence
from harness.model.judgement import Interval, Judgement, ObjectiveResult, Verdict
from harness.model.records import Outcome
from harness.render import plots, svg, words
from harness.render.describe import describe
from harness.render.faults import Fault
from harness.render.page import Cell, Figure, Group, Part, Section, Table, badge, chip, code, joined, table
from harness.render.series import Bins, Requests, bin_width, bins, percentile, requests, stretches
from harness.render.story import all_of, duration_s, first, origin_ns, titles, wall_to_mono_ns
from harness.render.timeline import Mark, Shade, symbol, timeline

MOST_BINS, MOST_ROWS, MOST_EVENTS = 400, 60, 600
WIDE, NARROW = 980.0, 370.0
MOMENTS = (
    ("landed", "fault landed"),
    ("detected", "alert fired"),
    ("served", "users served again"),
    ("full", "full service"),
)


def objectives(evidence: Evidence, judgement: Judgement) -> Section:
    if not judgement.objectives:
        return Section(
            "objectives", "Objectives", (Part(paragraphs=("No objective was judged, so nothing can be said.",)),)
        )
    names = titles(evidence)
    groups = tuple(
        Group(service, tuple(_objective(item, names) for item in items))
        for service, items in words.failures_first(judgement.objectives)
    )
    head = ("Verdict", "Objective", "Required", "Measured", "Interval", "Events", "Judged over", "Why")
    caption = (
        "By service, what was not met first. In the drawings the green side meets the objective, the upright line is the "
        "objective, the dot what was measured, the bar its interval."
    )
    return Section(
        "objectives", "Objectives", (Part(tables=(Table(caption, head, groups, frozenset({5}), class_="objectives"),)),)
    )


def _objective(item: ObjectiveResult, names: dict[str, str]) -> tuple[Cell, ...]:
    sub = [text for text in (item.objective, item.slo) if text]
    title = Markup('{}<span class="sub">{}</span>').format(item.title, " · ".join(sub))
    interval: Cell = Markup('{}<span class="sub">{}</span>').format(plots.objective(item), words.interval(item))
    confidence = f" At {item.confidence:.0%} confidence." if item.confidence else ""
    claim = " Said of the system, not only of this run." if item.claim == "system" else ""
    return (
        chip(item.verdict),
        title,
        words.requirement(item),
        words.amount(item.measured, item.unit, beside=item.target),
        interval,
        _events(item),
        words.window(item, names),
        joined([_sentence(item.reason) + confidence + claim, *(_sentence(note) for note in item.notes)]),
    )


def _events(item: ObjectiveResult) -> Cell:
    number = f"{item.events:,}".replace(",", words.NARROW)
    parts = [f"{item.bad} bad"] if item.bad else []
    parts += [f"{item.unknown} unknown"] if item.unknown else []
    return Markup('{}<span class="sub">{}</span>').format(number, ", ".join(parts)) if parts else number


def _sentence(text: str) -> str:
    text = words.line(text)
    text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "!", "?", "…")) else f"{text}."


def findings(judgement: Judgement) -> Section | None:
    if not judgement.findings:
        return None
    rows: list[tuple[Cell, ...]] = [
        (chip(item.cap), item.name, _sentence(item.reason), joined([_sentence(text) for text in item.detail]))
        for item in sorted(judgement.findings, key=lambda item: -item.cap.rank)
    ]
    caption = "What bears on the verdict beside the objectives; the verdict is at least as bad as the worst of them."
    return Section(
        "findings", "Findings", (Part(tables=(table(caption, ("At least", "Finding", "Why", "Detail"), rows),)),)
    )


def over_time(evidence: Evidence, found: tuple[Fault, ...]) -> Section:
    if evidence.requests is None or not evidence.requests.num_rows:
        return Section(
            "timeline", "Timeline", (Part(paragraphs=("There is no request record, so nothing can be drawn.",)),)
        )
    origin = origin_ns(evidence)
    record = requests(evidence.requests, origin)
    reach = float(record.at_s[-1] - record.at_s[0])
    fine = bins(record, bin_width(reach, MOST_BINS))
    small = bins(record, bin_width(reach, MOST_BINS // 3))
    coarse = bins(record, bin_width(reach, MOST_ROWS))
    shades = tuple(
        Shade("", "warm-up", (it.start_ns - origin) / 1e9, (it.end_ns - origin) / 1e9, "warm-up")
        for it in all_of(evidence.events, e.Window)
        if it.kind == "warm-up"
    ) + tuple(Shade(it.letter, f"{it.letter}: {it.title}", it.start_s, it.end_s, "fault") for it in found)
    marks = tuple(mark for fault in found for mark in _marks(fault))
    outside, inside = _split(record, shades)
    notes = _notes(record, outside, inside, fine, shades)
    title = f"Latency, failed requests, requests per second and degradation level over time. {notes[0].striptags()}"
    figure = Figure(
        timeline(fine, shades, marks, width=WIDE, title=title, class_="chart"),
        timeline(small, shades, marks, width=NARROW, title=title, class_="chart"),
        (*_key(found), *notes),
    )
    return Section("timeline", "Timeline", (Part(figures=(figure,), tables=(_bins_table(coarse, shades),)),))


def _marks(fault: Fault) -> Iterable[Mark]:
    recovery = fault.recovery
    ends: dict[str, Interval | None] = {"landed": Interval(low=0.0, high=0.0)}
    if recovery:
        ends |= {"served": recovery.served_s, "full": recovery.full_service_s}
    for kind, name in MOMENTS:
        at = fault.after(span.high if (span := ends.get(kind)) else None)
        if at is not None:
            yield Mark(at, kind, f"{fault.letter}: {name} at {at:.1f} s")


def _key(found: tuple[Fault, ...]) -> tuple[Cell, ...]:
    """What the letters and signs stand for."""
    lines: list[Cell] = []
    for fault in found:
        parts: list[Cell] = [
            Markup("<strong>{}</strong> {}, {} to {}.").format(
                fault.letter, fault.title, *_from_to(fault.start_s, fault.end_s)
            )
        ]
        for mark, (kind, name) in zip(_marks(fault), MOMENTS, strict=False):
            name = dict(MOMENTS)[mark.kind]
            sign = svg.tag("svg", symbol(7.0, 7.0, mark.kind), viewBox="0 0 14 14", class_="key", aria_hidden="true")
            parts.append(Markup("{}{} at {}").format(sign, name, words.duration(mark.at_s)))
        lines.append(joined(parts, " "))
    return tuple(lines)


def _from_to(start: float, end: float) -> tuple[str, str]:
    return f"{start:.1f} s", f"{end:.1f} s"


def _split(record: Requests, shades: tuple[Shade, ...]) -> tuple[Requests, Requests]:
    """Requests outside of all shades, and those inside of faults."""
    fault, other = np.zeros(len(record), dtype=bool), np.zeros(len(record), dtype=bool)
    for shade in shades:
        mask = (record.at_s >= shade.start_s) & (record.at_s < shade.end_s)
        if shade.kind == "fault":
            fault |= mask
        else:
            other |= mask
    return record.where(~fault & ~other), record.where(fault)


def _notes(
    record: Requests, outside: Requests, inside: Requests, fine: Bins, shades: tuple[Shade, ...]
) -> tuple[Markup, ...]:
    faults = any(shade.kind == "fault" for shade in shades)
    where = "Outside of faults" if faults else "Over the run"
    p50, p95, p99 = (percentile(outside.latency_s, quantile) for quantile in (0.5, 0.95, 0.99))
    slow = ""
    if not np.isnan(fine.percentiles_s).all():
        worst = int(np.nanargmax(fine.percentiles_s[1]))
        slow = f" The slowest {_bin_name(fine.width_s)} began at {fine.start_s + worst * fine.width_s:g} s with a P95 of {words.duration(float(fine.percentiles_s[1, worst]))}."
    latency = (
        f"{where} half of the answers came within {words.duration(p50)}, 95 % within {words.duration(p95)} and 99 % within "
        f"{words.duration(p99)}, counted from when each request was due.{slow}"
        if not math.isnan(p50)
        else f"{where} nothing was answered."
    )
    failures = f"{where} {_failed(outside)}" + (f"; during faults {_failed(inside)}." if faults else ".")
    unsent = int(record.unsent.sum())
    rate = len(record) / max(1e-9, fine.end_s - fine.start_s)
    load = f"{words.count(len(record), 'request')} were due, {rate:.3g} per second; " + (
        f"{unsent} of them were never sent or had no end." if unsent else "all were sent and came to an end."
    )
    if fine.width_s != 1:
        load += f" One step in the drawing is {words.duration(fine.width_s)}."
    return tuple(
        Markup("<strong>{}.</strong> {}").format(name, text)
        for name, text in (("Latency", latency), ("Failures", failures), ("Load", load), ("Degradation", _levels(fine)))
    )


def _bin_name(width_s: float) -> str:
    return "second" if width_s == 1 else f"stretch of {words.duration(width_s)}"


def _failed(record: Requests) -> str:
    sent, failed = int((~record.unsent).sum()), int(record.failed.sum())
    share = f" ({words.amount(failed / sent, 'ratio')})" if sent and failed else ""
    return f"{failed} of {words.count(sent, 'request')} failed{share}"


def _levels(fine: Bins) -> str:
    worse = [(level, a, b) for level, a, b in stretches(fine.level) if level > 1]
    if not fine.level.any():
        return "No response told its degradation level."
    if not worse:
        return "Every response that told its level came from full service (level 1)."
    told = [
        f"level {level} ({words.LEVELS.get(level, 'unknown')}) from {fine.start_s + a * fine.width_s:g} s to {fine.start_s + b * fine.width_s:g} s"
        for level, a, b in worse[:6]
    ]
    more = f" and {words.count(len(worse) - 6, 'more stretch', 'more stretches')}" if len(worse) > 6 else ""
    return _sentence(f"{', '.join(told)}{more}; level 1 (full service) otherwise")


def _bins_table(coarse: Bins, shades: tuple[Shade, ...]) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for row in range(len(coarse)):
        start, end = coarse.start_s + row * coarse.width_s, coarse.start_s + (row + 1) * coarse.width_s
        during = [shade.letter or shade.title for shade in shades if shade.start_s < end and shade.end_s > start]
        rows.append(
            (
                f"{start:g} to {end:g}",
                str(coarse.arrivals[row]),
                str(coarse.failed[row]),
                str(coarse.unsent[row]),
                *("—" if math.isnan(value) else words.duration(float(value)) for value in coarse.percentiles_s[:, row]),
                str(coarse.level[row] or "—"),
                ", ".join(during),
            )
        )
    head = ("Seconds", "Due", "Failed", "Not sent", "P50", "P95", "P99", "Worst level", "During")
    caption = (
        f"The timeline in numbers, {words.duration(coarse.width_s)} per row. A percentile is an exact order statistic of the answers "
        "in the row; of fewer than 100 answers P99 is the slowest one."
    )
    return table(caption, head, rows, numeric=(1, 2, 3, 4, 5, 6, 7), fold="The timeline as a table", class_="times")


def recoveries(evidence: Evidence, judgement: Judgement, found: tuple[Fault, ...]) -> Section | None:
    if not found:
        return None
    return Section("recovery", "Recovery from faults", tuple(_recovery(evidence, judgement, fault) for fault in found))


def _recovery(evidence: Evidence, judgement: Judgement, fault: Fault) -> Part:
    heading = f"{fault.letter} · {fault.title}"
    landed = [it for it in all_of(evidence.events, e.FaultLanded) if it.experiment == fault.experiment]
    gone = [it for it in all_of(evidence.events, e.FaultGone) if it.experiment == fault.experiment]
    facts: list[tuple[str, Cell]] = []
    recovery = fault.recovery
    if recovery is None:
        return Part(heading, ("The judge says nothing of this fault's recovery.",), facts=tuple(_seen(landed, gone)))
    facts += [
        (
            "First failed probe",
            _after(recovery.first_failure_s, "none: users noticed nothing" if not recovery.visible else "unknown"),
        ),
        ("Alert fired", _after(recovery.detected_s, "none was seen")),
        ("Users served again", _after(recovery.served_s, "never" if recovery.visible else "never interrupted")),
        ("Full service", _after(recovery.full_service_s, "never" if not recovery.recovered else "never interrupted")),
        ("Probes", f"{recovery.lost_probes} of {recovery.probes} lost"),
    ]
    facts += [(f"Objective: {item.title}", joined([words.requirement(item), chip(item.verdict)])) for item in judgement.objectives
              if item.experiment == fault.experiment and item.unit == "s"]  # fmt: skip
    lost = _lost(evidence, fault)
    figures = tuple(plots.phases(recovery, lost, width=width, class_="chart") for width in (WIDE, NARROW))
    figure = Figure(figures[0], figures[1], (_story(fault), *_phase_key(recovery.probes)))
    return Part(heading, figures=(figure,), facts=(*facts, *_seen(landed, gone)))


def _phase_key(probes: int) -> tuple[Cell, ...]:
    strip = (
        " The strip below the bar is the beacon: a light probe on its own connection; red where it got no good answer."
        if probes
        else ""
    )
    return (
        "Red: users failed. Amber: served at the degradation level promised for this fault. Green: full service. "
        "Hatched: the moment lies somewhere in here." + strip,
    )


def _story(fault: Fault) -> Cell:
    recovery = fault.recovery
    assert recovery is not None
    if not recovery.visible:
        text = "Users noticed nothing of it."
    elif recovery.served_s is None:
        text = "Users failed and were not served again before the run ended."
    else:
        text = f"Users were served again after {words.span(recovery.served_s)}"
        text += (
            f" and had full service after {words.span(recovery.full_service_s)}."
            if recovery.full_service_s
            else "; full service did not come back before the run ended."
        )
    return Markup("<strong>{}</strong> {}").format(text, _sentence(recovery.reason) if recovery.reason else "")


def _after(span: Interval | None, otherwise: str) -> str:
    return otherwise if span is None else f"{words.span(span)} after the fault"


def _seen(landed: list[e.FaultLanded], gone: list[e.FaultGone]) -> list[tuple[str, Cell]]:
    facts: list[tuple[str, Cell]] = [
        ("Seen to land by", _sentence(f"{it.observer}: {it.detail}")) for it in landed if it.landed
    ]
    facts += [("Seen gone by", _sentence(f"{it.observer}: {it.detail}; undone by {it.by}")) for it in gone if it.gone]
    if not any(it.landed for it in landed):
        facts.append(("Seen to land by", badge("open", "nobody")))
    if not any(it.gone for it in gone):
        facts.append(("Seen gone by", badge("open", "nobody")))
    return facts


def _lost(evidence: Evidence, fault: Fault) -> list[tuple[float, float]]:
    """Stretches of failed probes in seconds since the fault landed."""
    if evidence.beacon is None or fault.landed_s is None or not evidence.beacon.num_rows:
        return []
    record = requests(evidence.beacon, origin_ns(evidence)).between(fault.landed_s, fault.end_s)
    if len(record) < 2:
        return []
    every = float(np.median(np.diff(record.at_s)))
    at = record.at_s - fault.landed_s
    runs = [(float(at[a]), float(at[b - 1]) + every) for bad, a, b in stretches(record.failed.astype(np.int64)) if bad]
    return runs[:200]


def data_loss(judgement: Judgement) -> Section | None:
    if not judgement.data_loss:
        return None
    head = ("After", "Region", "Acknowledged", "Read back", "Lost", "Stale", "Duplicated", "Diverged", "Not told")
    rows: list[tuple[Cell, ...]] = [
        (it.after, it.region, *(str(value) for value in (it.acknowledged, it.present)),
         *(_none(value) for value in (it.lost, it.stale, it.duplicated, it.diverged)), str(it.indeterminate))
        for it in judgement.data_loss
    ]  # fmt: skip
    caption = "Memories that the platform acknowledged, read back from each region's own database once all was healed and quiet."
    bad = sum(it.lost + it.stale + it.duplicated + it.diverged for it in judgement.data_loss)
    lead = (
        "Nothing that was acknowledged was lost."
        if not bad
        else f"{words.count(bad, 'memory', 'memories')} did not come back as acknowledged."
    )
    return Section(
        "data-loss",
        "Data loss",
        (Part(paragraphs=(lead,), tables=(table(caption, head, rows, numeric=tuple(range(2, 9))),)),),
    )


def _none(value: int) -> Cell:
    return "0" if not value else badge("fail", str(value))


def alerts(evidence: Evidence, found: tuple[Fault, ...]) -> Section | None:
    seen = all_of(evidence.events, e.AlertSeen)
    if not seen:
        if not found:
            return None
        return Section("alerts", "Alerts", (Part(paragraphs=("No alert was seen during this run.",)),))
    origin = origin_ns(evidence)
    rows: list[tuple[Cell, ...]] = []
    for it in sorted(seen, key=lambda it: it.firing_wall_ns):
        fired = (wall_to_mono_ns(evidence, it.firing_wall_ns) - origin) / 1e9
        cause = [fault for fault in found if fault.landed_s is not None and fault.landed_s <= fired]
        after = words.duration(fired - (cause[-1].landed_s or 0.0)) if cause else "—"
        labels = ", ".join(f"{key}={value}" for key, value in sorted(it.labels.items()))
        rows.append(
            (
                it.name,
                it.severity,
                f"{fired:.1f} s",
                f"{cause[-1].letter} · {cause[-1].title}" if cause else "no fault before it",
                after,
                labels,
            )
        )
    head = ("Alert", "Severity", "Fired at", "Last fault before it", "Detection time", "Labels")
    caption = "Alerts as Prometheus showed them. Detection time counts from the moment the fault was seen to land."
    return Section("alerts", "Alerts", (Part(tables=(table(caption, head, rows, numeric=(2, 4)),)),))


def deployment(evidence: Evidence) -> Section | None:
    deployed, phases = all_of(evidence.events, e.Deployed), all_of(evidence.events, e.PhaseDeployed)
    gates, checks = all_of(evidence.events, e.GateChecked), all_of(evidence.events, e.CheckDone)
    back = all_of(evidence.events, e.PhaseTakenBack)
    if not (deployed or phases or gates or checks or back):
        return None
    lead: list[Cell] = [
        _sentence(
            f"release {it.release}: {words.count(it.instances, 'instance')} deployed in {words.duration(it.seconds)}"
        )
        for it in deployed
    ]
    lead += [_sentence(describe(it)) for it in back]
    tables = []
    if phases:
        rows: list[tuple[Cell, ...]] = [
            (it.phase, it.strategy, ", ".join(it.services), words.duration(it.seconds)) for it in phases
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
                _word(it.ok, "holds", "does not hold"),
                str(it.attempts),
                words.duration(it.seconds),
                it.evidence,
            )
            for it in gates
        ]
        tables.append(table("Gates", ("Phase", "Gate", "Result", "Attempts", "Time", "Evidence"), rows, numeric=(3, 4)))
    if checks:
        rows = [
            (
                it.name,
                _word(it.passed == it.of and it.of > 0, "right", "not right"),
                f"{it.passed} of {it.of}",
                it.detail,
            )
            for it in checks
        ]
        tables.append(table("Checks of the deployed platform", ("Check", "Result", "Passed", "Detail"), rows))
    return Section("deployment", "Deployment", (Part(paragraphs=tuple(lead), tables=tuple(tables)),))


def _word(ok: bool, good: str, bad: str) -> Markup:
    return badge("pass" if ok else "fail", good if ok else bad)


def decisions(evidence: Evidence) -> Section | None:
    told = [it for it in evidence.events if isinstance(it, e.ShareSet | e.ShareSeen | e.Decided | e.RolledBack)]
    if not told:
        return None
    origin = origin_ns(evidence)

    def at(event: e.Event) -> float:
        return (event.mono_ns - origin) / 1e9

    settings = [(at(it), it.share) for it in told if isinstance(it, e.ShareSet)]
    seen = [(at(it), it.share, it.ok) for it in told if isinstance(it, e.ShareSeen)]
    start, end = at(told[0]), at(told[-1])
    pad = max(2.0, (end - start) * 0.08)
    last = [it for it in told if isinstance(it, e.Decided | e.RolledBack)][-2:]
    story = " ".join(_sentence(describe(it)) for it in last) or "No decision was made."
    drawn = [
        plots.share(
            settings,
            seen,
            start - pad,
            end + pad,
            width=width,
            title=f"The canary's share of the traffic. {story}",
            class_="chart",
        )
        for width in (WIDE, NARROW)
    ]
    figure = Figure(
        drawn[0],
        drawn[1],
        (
            "Line: the share that was set. Dots: the share of responses that came from the canary, outlined red where it was not as set.",
        ),
    )
    rows: list[tuple[Cell, ...]] = [(f"{at(it):.1f} s", _sentence(describe(it))) for it in told]
    steps = table("Settings, observations and decisions, in order.", ("At", "What"), rows, class_="times")
    return Section("decisions", "Decisions", (Part(paragraphs=(story,), figures=(figure,), tables=(steps,)),))


def trust(evidence: Evidence) -> Section:
    facts: list[tuple[str, Cell]] = []
    fixed = first(evidence.events, e.ScheduleFixed)
    if evidence.requests is not None:
        outcomes = np.bincount(evidence.requests.column("outcome").to_numpy(), minlength=len(Outcome))
        recorded = evidence.requests.num_rows
        facts.append(("Requests recorded", f"{recorded}" + (f" of {fixed.expected} in the schedule" if fixed else "")))
        facts.append(
            ("How they ended", ", ".join(f"{outcomes[it]} {it.name.lower()}" for it in Outcome if outcomes[it]) or "—")
        )
    if evidence.generator is not None and evidence.generator.num_rows:
        late = evidence.generator.column("late_p99_ms").to_numpy()
        cpu = evidence.generator.column("cpu").to_numpy()
        facts.append(
            (
                "Requests sent late by (p99 of a second)",
                f"{words.duration(float(np.median(late)) / 1000)}, at worst {words.duration(float(late.max()) / 1000)}",
            )
        )
        facts.append(("Load generator's CPU", f"{np.median(cpu):.0%} of a core, at most {cpu.max():.0%}"))
    if evidence.beacon is not None:
        facts.append(("Beacon", words.count(evidence.beacon.num_rows, "probe")))
    for clock in {it.clock: it for it in all_of(evidence.events, e.ClockRead)}.values():
        facts.append(
            (
                f"Clock of {clock.clock}",
                f"{clock.offset_ns / 1e6:+.2f} ms from ours, known to ± {clock.error_ns / 1e6:.2f} ms",
            )
        )
    tables = []
    if evidence.metrics:
        rows: list[tuple[Cell, ...]] = [
            (
                code(it.query),
                str(it.series),
                str(it.samples),
                badge("open", it.error) if it.error else joined([_sentence(text) for text in it.warnings]) or "—",
            )
            for it in evidence.metrics
        ]
        tables.append(table("What Prometheus was asked, and how it answered.", ("Query", "Series", "Samples", "Errors and warnings"), rows, numeric=(1, 2),
                            fold="" if any(it.error for it in evidence.metrics) else "What Prometheus was asked"))  # fmt: skip
    problems = [describe(it) for it in evidence.events if isinstance(it, e.Problem | e.GuardTripped)]
    problems += [describe(it) for it in all_of(evidence.events, e.ChildEnded) if not it.expected]
    return Section(
        "trust",
        "Can the measurement be trusted?",
        (Part(paragraphs=tuple(_sentence(text) for text in problems), facts=tuple(facts), tables=tuple(tables)),),
    )


def facts(evidence: Evidence, judgement: Judgement) -> Section:
    opened = first(evidence.events, e.RunOpened)
    closed = first(evidence.events, e.RunClosed)
    told: list[tuple[str, Cell]] = [("Run", code(judgement.run_id))]
    if opened:
        told += [
            ("Started by", f"{opened.user} on {opened.host}"),
            ("Started at", words.moment(opened.wall_ns)),
            ("Scenario", f"{opened.scenario}{f', profile {opened.profile}' if opened.profile else ''}"),
            ("Release", opened.release or "as the platform file says"),
            ("Seed", str(opened.seed)),
            ("Harness", f"{opened.version}, commit {opened.commit[:12] or 'unknown'}"),
            ("Machine", f"{opened.machine}; Python {opened.python}"),
        ]
    told.append(("Took", words.duration(duration_s(evidence))))
    told.append(
        ("Clean-up", (_word(closed.clean, "proven", "not proven")) if closed else badge("open", "not recorded"))
    )
    told.append(("Rules of judgement", judgement.rules))
    if last := (all_of(evidence.events, e.Recovered) or (None,))[-1]:
        told.append(("Recovered", _sentence(describe(last))))
    return Section("facts", "Who, when, where", (Part(facts=tuple(told)),))


def reproduce(evidence: Evidence, judgement: Judgement) -> Section:
    opened = first(evidence.events, e.RunOpened)
    commands = [f"# judge the same evidence again, on any machine\nharness judge {shlex.quote(judgement.run_id)}"]
    if opened:
        again = words.line(shlex.join(opened.argv))
        commands.insert(
            0, f"# the same run again, at commit {words.line(opened.commit) or 'unknown'}, seed {opened.seed}\n{again}"
        )
    digests = all_of(evidence.events, e.Digest)
    rows: list[tuple[Cell, ...]] = [(it.name, it.version or "—", code(it.sha256)) for it in digests]
    tables = (table("What the run depended on, by SHA-256.", ("Input", "Version", "SHA-256"), rows),) if rows else ()
    return Section("reproduce", "How to reproduce", (Part(code="\n\n".join(commands), tables=tables),))


def journal(evidence: Evidence) -> Section | None:
    if not evidence.events:
        return None
    origin = origin_ns(evidence)
    shown = evidence.events[:MOST_EVENTS]
    rows: list[tuple[Cell, ...]] = [(f"{(it.mono_ns - origin) / 1e9:.1f} s", describe(it)) for it in shown]
    if len(evidence.events) > len(shown):
        rows.append(("…", f"and {len(evidence.events) - len(shown)} more in journal.jsonl"))
    fold = f"All that happened: {words.count(len(evidence.events), 'event')}"
    it = table("The journal of the run, in words.", ("At", "What"), rows, fold=fold, class_="times")
    return Section("journal", "What happened, step by step", (Part(tables=(it,)),))


def glossary() -> Section:
    said: tuple[tuple[str, Cell], ...] = (
        *((str(verdict), _sentence(words.MEANING[verdict])) for verdict in (Verdict.PASS, Verdict.FAIL)),
        ("INCONCLUSIVE", "Not shown to be good, and not shown to be bad: evidence is missing, too thin or not to be trusted. It is not a pass. Mend the cause that is named, and run again."),
        ("Interval", "The range in which the true value lies, as far as this run can tell. A verdict holds for the whole of it."),
        ("P95", "The time within which 95 of 100 requests were answered. A latency objective counts the requests that were fast enough."),
        ("Steady state", "The run without its warm-up and outside of the faults that were made on purpose."),
        ("Degradation level", "1 full service · 2 without GPU, on the CPU · 3 without vector search, from the cache · 4 static answers."),
        ("Served and full service", "Served: users get the level promised for that fault. Full service: level 1 again, for long enough to count as recovered."),
        ("Recovery time (RTO)", "From the fault to full service, as users see it. RTO is the objective for it."),
        ("Data loss (RPO)", "Writes that the platform acknowledged and no longer had afterwards. RPO is the objective for it."),
        ("Stand-in", "A part of the platform that was not the real one in this run."),
    )  # fmt: skip
    return Section("words", "Words", (Part(facts=said),))
