"""Every alert that fired, from the journal or from Prometheus' samples, beside the fault before it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from harness.judge.alerts import stretches
from harness.judge.facts import Facts
from harness.model import events as e
from harness.model.evidence import Evidence
from harness.render import words
from harness.render.faults import Fault
from harness.render.page import Cell, Part, Section, table
from harness.render.story import all_of, origin_ns, wall_to_mono_ns

LEFT_OUT = ("__name__", "alertname", "alertstate", "severity")


@dataclass(frozen=True)
class Fired:
    """Seconds since the run was opened; `ended` None: it was not seen to stop."""

    name: str
    severity: str
    at_s: float
    ended_s: float | None
    labels: str


def alerts(evidence: Evidence, found: tuple[Fault, ...]) -> Section | None:
    fired = sorted([*_told(evidence), *_sampled(evidence)], key=lambda it: (it.at_s, it.name))
    if not fired:
        return Section("alerts", "Alerts", (Part(paragraphs=(_none(evidence),)),)) if found else None
    rows: list[tuple[Cell, ...]] = []
    for it in fired:
        cause = [fault for fault in found if fault.landed_s is not None and fault.landed_s <= it.at_s]
        rows.append(
            (
                words.line(it.name),
                words.line(it.severity),
                f"{it.at_s:.1f} s",
                "—" if it.ended_s is None else f"{it.ended_s:.1f} s",
                f"{cause[-1].letter} · {cause[-1].title}" if cause else "no fault before it",
                words.duration(it.at_s - (cause[-1].landed_s or 0.0)) if cause else "—",
                words.line(it.labels),
            )
        )
    head = ("Alert", "Severity", "Seen firing at", "Stopped by", "Last fault before it", "After that fault", "Labels")
    caption = "Alerts as Prometheus showed them, in seconds since the run was opened."
    return Section("alerts", "Alerts", (Part(tables=(table(caption, head, rows, numeric=(2, 3, 5)),)),))


def _none(evidence: Evidence) -> str:
    trouble = "" if evidence.samples is None else Facts(evidence, ()).samples.trouble("ALERTS")
    if evidence.samples is None or trouble:
        return words.sentence(f"Whether an alert fired is not known: {trouble or 'there are no Prometheus samples'}")
    return "No alert was seen during this run."


def _told(evidence: Evidence) -> Iterator[Fired]:
    """Of journals that tell alerts as events."""
    origin = origin_ns(evidence)
    for it in all_of(evidence.events, e.AlertSeen):
        at = (wall_to_mono_ns(evidence, it.firing_wall_ns) - origin) / 1e9
        yield Fired(it.name, it.severity, at, None, _labels(it.labels))


def _sampled(evidence: Evidence) -> Iterator[Fired]:
    facts, origin = Facts(evidence, ()), origin_ns(evidence)
    clock = facts.prometheus_clock
    if evidence.samples is None or clock is None or facts.samples.trouble("ALERTS"):
        return

    def at(t_ms: float) -> float:
        return (t_ms * 1e6 - clock.offset_ns - origin) / 1e9

    for one in facts.samples.series("ALERTS"):
        if one.labels.get("alertstate") == "firing":
            for it in stretches(facts.samples, one):
                ended = None if it.ended is None else at(it.ended)
                name, severity = one.labels.get("alertname", "?"), one.labels.get("severity", "")
                yield Fired(name, severity, at(it.first), ended, _labels(one.labels))


def _labels(labels: Mapping[str, str]) -> str:
    return ", ".join(f"{key}={value}" for key, value in sorted(labels.items()) if key not in LEFT_OUT)
