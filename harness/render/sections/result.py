"""What was decided: objectives, findings, and a gate's decisions."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from harness.model import events as e
from harness.model.evidence import Evidence
from harness.model.judgement import Judgement, ObjectiveResult, Verdict
from harness.render import intervals, plots, story, sureness, words
from harness.render.describe import describe
from harness.render.page import (
    NARROW,
    WIDE,
    Cell,
    Figure,
    Group,
    Part,
    Section,
    Table,
    chip,
    joined,
    table,
)
from harness.render.story import all_of, origin_ns, titles
from harness.render.words import sentence

MOST_NOTES = 8


def objectives(evidence: Evidence, judgement: Judgement) -> Section:
    if not judgement.objectives:
        return Section(
            "objectives", "Objectives", (Part(paragraphs=("No objective was judged: nothing can be said.",)),)
        )
    names = titles(evidence)
    groups = tuple(
        Group(service, tuple(_objective(evidence, item, names) for item in items))
        for service, items in words.failures_first(judgement.objectives)
    )
    head = ("Verdict", "Objective, and why", "Measured", "Against its limit", "How sure")
    caption = (
        "By service, what was not met first. In the drawings the upright line is the limit, the plain green side meets "
        "it, the hatched side misses it; the dot is what was measured, the bar what it can be at worst and at best. "
        "Near 100 % each step of the axis is ten times fewer bad events."
    )
    it = Table(caption, head, groups, class_="objectives")
    return Section("objectives", "Objectives", (Part(tables=(it,)),))


def _objective(evidence: Evidence, item: ObjectiveResult, names: dict[str, str]) -> tuple[Cell, ...]:
    reasons = [sentence(item.reason), *(sentence(note) for note in item.notes[:MOST_NOTES])]
    return (
        chip(item.verdict),
        Markup(
            '<span class="name">{}</span> <span class="aim">{}</span><span class="sub">{}</span>'
            '<span class="sub over">{}</span>'
        ).format(words.line(item.title), words.line(item.objective), " ".join(reasons), _over(item, names)),
        Markup('<span class="value">{}</span> <span class="sub">{} required</span>').format(
            words.amount(item.measured, item.unit, beside=item.target), words.requirement(item)
        ),
        intervals.drawing(item),
        _sure(item, story.window_s(evidence, item)),
    )


def _over(item: ObjectiveResult, names: dict[str, str]) -> str:
    """Where and how much was counted."""
    told = [words.capital(words.window(item, names))]
    if item.unit == "ratio" and item.events:
        told.append(words.count(item.events, "event"))
    if item.unknown:
        told.append(f"{words.grouped(item.unknown)} unknown")
    return " · ".join(told)


def _sure(item: ObjectiveResult, seconds: float) -> Markup:
    parts = [Markup("<p>{}</p>").format(sureness.how_sure(item))]
    if more := sureness.settle(item, seconds):
        parts.append(Markup('<p class="settle"><strong>What would settle it:</strong> {}</p>').format(more))
    if others := sureness.besides(item):
        parts.append(Markup('<p class="sub">{}</p>').format(" ".join(others)))
    return Markup("").join(parts)


def settling(evidence: Evidence, judgement: Judgement) -> tuple[tuple[str, str], ...]:
    """What is undecided, and what would settle each, as (what, how)."""
    told: dict[str, list[str]] = {}
    for item in judgement.objectives:
        if more := sureness.settle(item, story.window_s(evidence, item)):
            told.setdefault(more, []).append(f"“{words.label(item)}”")
    found = [(" and ".join((*names[:3], *(["others"] if names[3:] else []))), more) for more, names in told.items()]
    return (
        *found[:MOST_NOTES],
        *(
            (words.capital(words.line(it.name)), f"{sentence(it.reason)} Mend that, and run again.")
            for it in judgement.findings
            if it.cap is Verdict.INCONCLUSIVE
        ),
    )


def waivers(judgement: Judgement) -> Section | None:
    if not judgement.waivers:
        return None
    rows: list[tuple[Cell, ...]] = [
        (words.line(it.objective), words.capital(it.state), words.line(it.who), sentence(it.why), it.until)
        for it in judgement.waivers
    ]
    caption = "A waived objective was missed all the same: the verdict stays, and somebody answers for it for a time."
    it = table(caption, ("Objective", "State", "Who", "Why", "Until"), rows)
    return Section("waivers", "Waivers", (Part(tables=(it,)),))


def findings(judgement: Judgement) -> Section | None:
    if not judgement.findings:
        return None
    rows: list[tuple[Cell, ...]] = [
        (
            chip(item.cap),
            item.name,
            sentence(item.reason),
            joined([sentence(text) for text in item.detail[:MOST_NOTES]]),
        )
        for item in sorted(judgement.findings, key=lambda item: -item.cap.rank)
    ]
    caption = "What bears on the verdict beside the objectives; the verdict is at least as bad as the worst of them."
    return Section(
        "findings", "Findings", (Part(tables=(table(caption, ("At least", "Finding", "Why", "Detail"), rows),)),)
    )


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
    said = " ".join(sentence(describe(it)) for it in _turns(told)[-2:]) or "No decision was made."
    drawn = [
        plots.share(
            settings,
            seen,
            start - pad,
            end + pad,
            width=width,
            title=f"The canary's share of the traffic. {said}",
            class_="chart",
        )
        for width in (WIDE, NARROW)
    ]
    figure = Figure(
        drawn[0],
        drawn[1],
        (
            "Line: the share that was set. Dots: the share of responses that came from the canary, red where it was "
            "not as set.",
        ),
    )
    rows: list[tuple[Cell, ...]] = [(f"{at(it):.1f} s", sentence(describe(it))) for it in told]
    steps = table("Settings, observations and decisions, in order.", ("At", "What"), rows, class_="times")
    figures = (figure, *_comparison(evidence))
    return Section("decisions", "Decisions", (Part(paragraphs=(said,), figures=figures, tables=(steps,)),))


def _comparison(evidence: Evidence) -> tuple[Figure, ...]:
    """How the evidence grew, for a gate that compares the canary with the stable release."""
    if not all_of(evidence.events, e.Compared):
        return ()
    from harness.render import comparison

    told = comparison.story(evidence)
    if told is None:
        return ()
    notes = comparison.notes(told)
    title = words.line(f"How the evidence grew. {notes[1].striptags()}")
    wide, narrow = (comparison.drawing(told, width=width, title=title, class_="chart") for width in (WIDE, NARROW))
    return (Figure(wide, narrow, notes),)


def _turns(told: Sequence[e.AnyEvent]) -> list[e.AnyEvent]:
    """Decisions that moved something, rollbacks, and where the gate stood in the end."""
    decided = [it for it in told if isinstance(it, e.Decided)]
    moved = [it for it in decided if it.decision != "HOLD" or it is decided[-1]]
    return [it for it in told if isinstance(it, e.RolledBack) or it in moved]
