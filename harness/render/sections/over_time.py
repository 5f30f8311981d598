"""The timeline: latency, failures, load and degradation, in a drawing, in sentences and in a table."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from markupsafe import Markup

from harness.model import events as e
from harness.model.evidence import Evidence
from harness.model.judgement import Interval
from harness.render import words
from harness.render.faults import Fault
from harness.render.page import (
    NARROW,
    WIDE,
    Cell,
    Figure,
    Part,
    Section,
    Table,
    joined,
    table,
)
from harness.render.series import QUANTILES, Bins, Requests, bin_width, bins, percentile, requests, stretches
from harness.render.story import all_of, origin_ns
from harness.render.timeline import Mark, Shade, sign, timeline
from harness.render.words import NARROW as THIN
from harness.render.words import SPACE, duration, sentence

MOST_BINS, MOST_ROWS, MOST_STRETCHES = 400, 60, 6
MOMENTS = {"landed": "fault landed", "served": "users served again", "full": "full service"}


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
    for kind, name in MOMENTS.items():
        at = fault.after(span.high if (span := ends.get(kind)) else None)
        if at is not None:
            yield Mark(at, kind, f"{fault.letter}: {name} at {at:.1f} s")


def _key(found: tuple[Fault, ...]) -> tuple[Cell, ...]:
    """What the letters and signs stand for."""
    lines: list[Cell] = []
    for fault in found:
        name = Markup("<strong>{}</strong> {}, {:.1f} s to {:.1f} s.").format(
            fault.letter, fault.title, fault.start_s, fault.end_s
        )
        signs = [Markup("{}{} at {:.1f} s").format(sign(it.kind), MOMENTS[it.kind], it.at_s) for it in _marks(fault)]
        lines.append(joined([name, *signs]))
    return tuple(lines)


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
    """What the four panels show, a sentence or two each."""
    faults = any(shade.kind == "fault" for shade in shades)
    where = "Outside of faults" if faults else "Over the run"
    failures = f"{where} {_failed(outside)}" + (f"; during faults {_failed(inside)}." if faults else ".")
    told = {
        "Latency": _latency(where, outside, fine),
        "Failures": failures,
        "Load": _load(record, fine),
        "Degradation": _levels(fine),
    }
    return tuple(Markup("<strong>{}.</strong> {}").format(name, text) for name, text in told.items())


def _latency(where: str, outside: Requests, fine: Bins) -> str:
    p50, p95, p99 = (percentile(outside.latency_s, quantile) for quantile in QUANTILES)
    if math.isnan(p50):
        return f"{where} nothing was answered."
    worst = int(np.nanargmax(fine.percentiles_s[1]))
    began = f"{fine.start_s + worst * fine.width_s:g}{SPACE}s"
    stretch = "second" if fine.width_s == 1 else f"stretch of {duration(fine.width_s)}"
    return (
        f"{where} half of the answers came within {duration(p50)}, 95{THIN}% within {duration(p95)} and 99{THIN}% "
        f"within {duration(p99)}, counted from when each request was due. The slowest {stretch} began at {began} with "
        f"a P95 of {duration(float(fine.percentiles_s[1, worst]))}."
    )


def _load(record: Requests, fine: Bins) -> str:
    unsent = int(record.unsent.sum())
    rate = len(record) / max(1e-9, fine.end_s - fine.start_s)
    ends = f"{unsent} of them were never sent or had no end" if unsent else "all were sent and came to an end"
    step = "" if fine.width_s == 1 else f" One step in the drawing is {duration(fine.width_s)}."
    return f"{words.count(len(record), 'request')} were due, {rate:.3g} per second; {ends}.{step}"


def _failed(record: Requests) -> str:
    sent, failed = int((~record.unsent).sum()), int(record.failed.sum())
    share = f" ({words.amount(failed / sent, 'ratio')})" if sent and failed else ""
    return f"{failed} of {words.count(sent, 'request')} failed{share}"


def _levels(fine: Bins) -> str:
    if not fine.level.any():
        return "No response told its degradation level."
    worse = [(level, a, b) for level, a, b in stretches(fine.level) if level > 1]
    if not worse:
        return "Every response that told its level came from full service (level 1)."

    def at(index: int) -> str:
        return f"{fine.start_s + index * fine.width_s:g}{SPACE}s"

    told = [
        f"level {level} ({words.LEVELS.get(level, 'unknown')}) from {at(a)} to {at(b)}"
        for level, a, b in worse[:MOST_STRETCHES]
    ]
    rest = len(worse) - MOST_STRETCHES
    more = f" and {words.count(rest, 'more stretch', 'more stretches')}" if rest > 0 else ""
    return sentence(f"{', '.join(told)}{more}; level 1 (full service) otherwise")


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
                *("—" if math.isnan(value) else duration(float(value)) for value in coarse.percentiles_s[:, row]),
                str(coarse.level[row] or "—"),
                ", ".join(during),
            )
        )
    head = ("Seconds", "Due", "Failed", "Not sent", "P50", "P95", "P99", "Worst level", "During")
    caption = (
        f"The timeline in numbers, {duration(coarse.width_s)} per row. A percentile is an exact order statistic of the "
        "answers in the row; of fewer than 100 answers P99 is the slowest one."
    )
    return table(caption, head, rows, numeric=(1, 2, 3, 4, 5, 6, 7), fold="The timeline as a table", class_="times")
