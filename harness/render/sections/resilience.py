"""What the faults did: recovery and data loss."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from markupsafe import Markup

from harness.model import events as e
from harness.model.evidence import Evidence
from harness.model.judgement import DataLoss, Interval, Judgement, Recovery
from harness.render import plots, polled, steps, words
from harness.render.faults import Fault
from harness.render.page import (
    NARROW,
    WIDE,
    Cell,
    Figure,
    Part,
    Section,
    Table,
    badge,
    chip,
    joined,
    table,
)
from harness.render.series import requests, stretches
from harness.render.story import all_of, origin_ns, titles
from harness.render.timeline import sign
from harness.render.words import sentence


def recoveries(evidence: Evidence, judgement: Judgement, found: tuple[Fault, ...]) -> Section | None:
    if not found:
        return None
    return Section("recovery", "Recovery from faults", tuple(_recovery(evidence, judgement, fault) for fault in found))


def _recovery(evidence: Evidence, judgement: Judgement, fault: Fault) -> Part:
    heading = f"{fault.letter} · {fault.title}"
    recovery = fault.recovery
    seen = _seen(evidence, fault.experiment)
    if recovery is None:
        return Part(heading, ("Nothing is judged of this fault's recovery.", *seen))
    unnoticed = "users noticed nothing"
    moments: list[tuple[Cell, Cell]] = (
        []
        if recovery.phases
        else [
            ("First failure", _after(recovery.first_failure_s, "unknown" if recovery.visible else unnoticed)),
            (sign("detected") + "Alert fired", _after(recovery.detected_s, "none was seen")),
            (
                sign("served") + "Users served again",
                _after(recovery.served_s, "never" if recovery.visible else unnoticed),
            ),
            (
                sign("full") + "Full service",
                _after(recovery.full_service_s, "never" if recovery.visible else unnoticed),
            ),
        ]
    )
    told = f"{words.grouped(recovery.probes)} by probes and requests"
    if recovery.lost_probes:
        told += f"; {recovery.lost_probes} more had no outcome"
    moments.append(("Observations", told))
    if (by_polls := polled.polled(evidence, fault.experiment)) is not None:
        moments.append(("By polls of the API server", sentence(polled.sentence(by_polls, recovery))))
    moments += [
        (f"Objective: {words.label(item)}", joined([words.requirement(item), chip(item.verdict)]))
        for item in judgement.objectives
        if item.unit == "s" and item.experiment in (fault.experiment, fault.experiment.partition("#")[0])
    ]
    lost = _lost(evidence, fault)
    wide, narrow = (plots.phases(recovery, lost, width=width, class_="chart") for width in (WIDE, NARROW))
    figure = Figure(wide, narrow, (_story(fault), *seen, PHASES + (STRIP if lost else "")))
    return Part(heading, figures=(figure, *_waterfall(recovery)), facts=tuple(moments), tables=_steps(recovery))


def _waterfall(recovery: Recovery) -> tuple[Figure, ...]:
    if not steps.observed(recovery):
        return ()
    wide, narrow = (steps.drawing(recovery, width=width, class_="chart") for width in (WIDE, NARROW))
    return (Figure(wide, narrow, (STEPS,)),)


def _steps(recovery: Recovery) -> tuple[Table, ...]:
    """Every step with its time, also those that nobody observed."""
    rows: list[tuple[Cell, ...]] = [
        (
            Markup("{}{}").format(sign(SIGNS[it.name]) if it.name in SIGNS else "", steps.MEANING[it.name]),
            words.back(it.at) if it.at else "not observed",
            words.back(it.took) if it.took else "—",
            joined([words.line(it.told_by), sentence(it.reason)]) if it.told_by else sentence(it.reason),
        )
        for it in recovery.phases
    ]
    caption = "Steps to full service, from the earliest to the latest possible. What they took adds up to the whole."
    return (table(caption, ("Step", "Reached after", "Took", "Who told, and how"), rows),) if rows else ()


SIGNS = {"detected": "detected", "served": "served", "full-service": "full"}
STEPS = (
    "Each step begins where the one before it ended. The thin line with its two ends runs from the earliest to the "
    "latest moment at which the step can have ended. A step that nobody observed is part of the next one."
)
PHASES = (
    "Red: users failed. Amber: users were served at the degradation level promised for this fault. Green: full "
    "service. Hatched: the change happened somewhere in here."
)
STRIP = (
    " The strip below the bar is the beacon, a light probe on a connection of its own: red where it got no good answer."
)


def _story(fault: Fault) -> Cell:
    recovery = fault.recovery
    assert recovery is not None
    served, full = recovery.served_s, recovery.full_service_s
    if not recovery.visible:
        text = "Users noticed nothing of it." if recovery.recovered else "Nothing was seen of it, good or bad."
    elif not (served and served.high is not None):
        text = "Users failed, and were not seen to be served again."
    else:
        text = (
            "Users were served all the time"
            if served.high == 0
            else f"Users were served again after {words.span(served)}"
        )
        back = full and full.high is not None
        text += (
            f" and had full service after {words.span(full)}." if back else "; full service was not seen to come back."
        )
    return Markup("<strong>{}</strong> {}").format(text, sentence(recovery.reason))


def _after(span: Interval | None, otherwise: str) -> str:
    if span is None:
        return otherwise
    return f"{words.span(span)} after the fault" + ("" if span.high is not None else ", not seen to come")


def _seen(evidence: Evidence, experiment: str) -> tuple[Cell, ...]:
    """Who saw the fault land and go: observations that do not come from what made it."""
    landed = [it for it in all_of(evidence.events, e.FaultLanded) if it.experiment == experiment and it.landed]
    gone = [it for it in all_of(evidence.events, e.FaultGone) if it.experiment == experiment and it.gone]
    told = [f"Seen to land: {_told(it)}." for it in landed[:1]] or ["Never seen to land."]
    told += [f"Seen gone: {_told(it)}; undone by {it.by}." for it in gone[:1]] or ["Never seen gone."]
    told += [f"Not as declared: {mistake}." for mistake in _mistakes(evidence, experiment)]
    return (sentence(" ".join(told)),)


def _mistakes(evidence: Evidence, experiment: str) -> list[str]:
    ended = [it for it in all_of(evidence.events, e.ExperimentEnded) if it.experiment == experiment]
    skipped = [it for it in all_of(evidence.events, e.ExperimentSkipped) if it.experiment == experiment]
    return [mistake for it in ended for mistake in it.mistakes] + [f"not run, {it.reason}" for it in skipped]


def _told(event: e.FaultLanded | e.FaultGone) -> str:
    return f"{event.detail} ({event.observer})" if event.detail else event.observer


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


def data_loss(evidence: Evidence, judgement: Judgement) -> Section | None:
    if not judgement.data_loss:
        return None
    names = {"end": "the whole run"} | titles(evidence)
    deletes = any(it.deleted or it.resurrected for it in judgement.data_loss)
    reach = any(it.before_fault_s is not None for it in judgement.data_loss)
    columns: list[tuple[str, Callable[[DataLoss], Cell], bool]] = [
        ("After", lambda it: names.get(it.after, it.after), True),
        ("Region", lambda it: it.region, True),
        ("Acknowledged", lambda it: words.grouped(it.acknowledged), True),
        ("Read back", lambda it: words.grouped(it.present), True),
        ("Deleted as asked", lambda it: words.grouped(it.deleted), deletes),
        ("Lost", lambda it: _none(it.lost), True),
        ("Stale", lambda it: _none(it.stale), True),
        ("Duplicated", lambda it: _none(it.duplicated), True),
        ("Diverged", lambda it: _none(it.diverged), True),
        ("Resurrected", lambda it: _none(it.resurrected), deletes),
        ("Undetermined", lambda it: words.grouped(it.indeterminate), True),
        ("Reaches back", lambda it: words.span(it.before_fault_s), reach),
    ]
    shown = [(head, cell) for head, cell, wanted in columns if wanted]
    rows = [tuple(cell(it) for _, cell in shown) for it in judgement.data_loss]
    caption = (
        "Acknowledged memories, read back from each region's own database once all was healed and quiet. Stale: an "
        "older state. Diverged: regions differ. Undetermined: never acknowledged, so not promised."
    )
    caption += " Resurrected: deleted, and there again." if deletes else ""
    caption += (
        " Reaches back: how long before the fault the oldest of what was not kept had been written." if reach else ""
    )
    bad = sum(it.lost + it.stale + it.duplicated + it.resurrected + it.diverged for it in judgement.data_loss)
    lead = (
        "Nothing that was acknowledged was lost."
        if not bad
        else f"{words.count(bad, 'memory', 'memories')} did not come back as acknowledged."
    )
    it = table(caption, tuple(head for head, _ in shown), rows, numeric=tuple(range(2, len(shown))))
    return Section("data-loss", "Data loss", (Part(paragraphs=(lead,), tables=(it,)),))


def _none(value: int) -> Cell:
    return "0" if not value else badge("fail", str(value))
