"""The result on a terminal or in a CI log: plain text, aligned, coloured only when asked for."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path
from unicodedata import combining, east_asian_width

from harness.model.judgement import Judgement, ObjectiveResult, Verdict
from harness.render import words
from harness.render.describe import describe
from harness.render.live import LiveView, PlainView, View, view

__all__ = ["LiveView", "PlainView", "View", "describe", "result", "view", "wants_colour"]

COLOURS = {Verdict.PASS: "32", Verdict.INCONCLUSIVE: "33", Verdict.FAIL: "31"}


def wants_colour(is_tty: bool, environ: Mapping[str, str]) -> bool:
    """https://no-color.org: NO_COLOR set to anything wins, then FORCE_COLOR, then whether it is a terminal."""
    if environ.get("NO_COLOR"):
        return False
    return bool(environ.get("FORCE_COLOR")) or (is_tty and environ.get("TERM") != "dumb")


def result(judgement: Judgement, folder: Path | str, colour: bool = False, *, width: int = 100) -> str:
    """Verdict and why, the objectives as a table no wider than `width` columns, findings, and where the report is."""
    blocks = [_verdict(judgement, colour, width)]
    if judgement.objectives:
        blocks.append(_table(judgement.objectives, colour, width))
    findings = [item for item in judgement.findings if item.cap is not Verdict.PASS]
    if findings:
        blocks.append(
            "\n".join(
                _wrap(f"{item.cap}  {words.line(item.name)}: {words.line(item.reason)}", width) for item in findings
            )
        )
    if judgement.recoveries:
        blocks.append(
            "\n".join(
                _wrap(
                    f"{words.line(item.experiment)}: "
                    + ("" if item.recovered else "NOT RECOVERED; ")
                    + f"served again after {words.span(item.served_s)}, full service after {words.span(item.full_service_s)}",
                    width,
                )
                for item in judgement.recoveries
            )
        )
    blocks.append(f"Report: {Path(folder) / 'report.html'}")
    return "\n\n".join(blocks) + "\n"


def _verdict(judgement: Judgement, colour: bool, width: int) -> str:
    word = _paint(str(judgement.verdict), f"1;{COLOURS[judgement.verdict]}", colour)
    sentence = _wrap(words.line(judgement.sentence), width)
    return f"{word}  {words.tally(judgement.objectives)}\n{sentence}"


def _table(results: tuple[ObjectiveResult, ...], colour: bool, width: int) -> str:
    head = ("VERDICT", "OBJECTIVE", "REQUIRED", "MEASURED", "INTERVAL", "EVENTS")
    rows: list[tuple[str, ...] | ObjectiveResult] = [head]
    for _, items in words.failures_first(results):
        for item in items:
            rows.append(_cells(item))
            if item.verdict is not Verdict.PASS:
                rows.append(item)
    cells = [row for row in rows if isinstance(row, tuple)]
    sizes = [max(_columns(row[column]) for row in cells) for column in range(len(head))]
    if sum(sizes) + 2 * (len(sizes) - 1) > width:  # first the interval goes, then the objective is shortened
        sizes[4] = 0
        sizes[1] = max(12, min(sizes[1], width - sum(sizes) + sizes[1] - 2 * (len(sizes) - 2)))
    lines = []
    for row in rows:
        if isinstance(row, tuple):
            parts = [
                _pad(cell, size, right=column == 5)
                for column, (cell, size) in enumerate(zip(row, sizes, strict=True))
                if size
            ]
            verdict = COLOURS.get(row[0]) if row is not head else "1"  # type: ignore[call-overload]
            parts[0] = _paint(parts[0], verdict or "1", colour)
            lines.append("  ".join(parts).rstrip())
        else:
            lines.append(_wrap(words.line(row.reason), width, indent="    "))
    return "\n".join(lines)


def _cells(item: ObjectiveResult) -> tuple[str, ...]:
    return (
        str(item.verdict),
        words.line(f"{item.service}: {item.title} ({words.window(item)})"),
        words.requirement(item),
        words.amount(item.measured, item.unit, beside=item.target),
        words.interval(item),
        str(item.events),
    )


def _columns(text: str) -> int:
    """Columns of a terminal that a text takes."""
    return sum(0 if combining(sign) else 2 if east_asian_width(sign) in "WF" else 1 for sign in text)


def _pad(text: str, size: int, *, right: bool = False) -> str:
    if _columns(text) > size:
        kept = ""
        for sign in text:
            if _columns(kept + sign) > size - 1:
                break
            kept += sign
        text = kept + "…"
    space = " " * (size - _columns(text))
    return space + text if right else text + space


def _wrap(text: str, width: int, indent: str = "") -> str:
    return textwrap.fill(text, max(20, width), initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)


def _paint(text: str, code: str, colour: bool) -> str:
    return f"\x1b[{code}m{text}\x1b[0m" if colour else text
