"""The result on a terminal or in a CI log: plain text, aligned, coloured only when asked for."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path
from unicodedata import combining, east_asian_width

from harness.judge.again import Compared
from harness.model.judgement import Judgement, ObjectiveResult, Recovery, Verdict, Waived
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


def result(
    judgement: Judgement,
    folder: Path | str | None = None,
    colour: bool = False,
    *,
    width: int = 100,
    root: str = "",
    compared: Compared | None = None,
) -> str:
    """Verdict and why, the objectives as a table no wider than `width` columns, findings, recoveries.

    `compared`: what the sealed judgement said otherwise. The last lines name the report in `folder` and the `root` of
    the seal; without them they are left out.
    """
    blocks = [_verdict(judgement, colour, width)]
    if judgement.what_if:
        names = ", ".join(words.line(path) for path in judgement.what_if)
        blocks.insert(0, _wrap(f"WHAT IF: judged by {names}, not as the run was; nothing is written", width))
    if judgement.objectives:
        blocks.append(_table(judgement.objectives, colour, width))
    findings = [item for item in judgement.findings if item.cap is not Verdict.PASS]
    told = [f"{item.cap}  {words.line(item.name)}: {words.line(item.reason)}" for item in findings]
    told += [_recovery(item) for item in judgement.recoveries]
    if told:
        blocks.append("\n".join(_wrap(text, width) for text in told))
    told = [f"Waived: {item.objective} by {item.who} until {item.until}: {item.why}" for item in _used(judgement)]
    told += [
        f"Waiver {item.state}: {item.objective} by {item.who}" for item in judgement.waivers if item.state != "used"
    ]
    if told:
        blocks.append("\n".join(_wrap(words.line(text), width) for text in told))
    if compared is not None:
        blocks.append("\n".join(_wrap(words.line(text), width) for text in words.compared(compared)))
    last = [f"Report: {Path(folder) / 'report.html'}"] if folder and not judgement.what_if else []
    last += [f"Sealed: {root}"] if root else []
    if last:
        blocks.append("\n".join(last))
    return words.plain("\n\n".join(blocks)) + "\n"


def _used(judgement: Judgement) -> list[Waived]:
    return [item for item in judgement.waivers if item.state == "used"]


def _verdict(judgement: Judgement, colour: bool, width: int) -> str:
    word = _paint(words.word(judgement), f"1;{COLOURS[judgement.verdict]}", colour)
    return f"{word}  {words.tally(judgement.objectives)}\n{_wrap(words.why(judgement), width)}"


def _recovery(item: Recovery) -> str:
    name = words.line(item.experiment)
    if not item.visible:
        return f"{name}: users noticed nothing"
    state = "" if item.recovered else "NOT RECOVERED; "
    back = f"served again: {words.back(item.served_s)}, full service: {words.back(item.full_service_s)}"
    return f"{name}: {state}{back}"


HEAD = ("VERDICT", "OBJECTIVE", "REQUIRED", "MEASURED", "INTERVAL", "EVENTS")
OBJECTIVE, INTERVAL, EVENTS, GAP, LEAST = 1, 4, 5, 2, 24


def _table(results: tuple[ObjectiveResult, ...], colour: bool, width: int) -> str:
    items = [item for _, group in words.failures_first(results) for item in group]
    rows = [_cells(item) for item in items]
    sizes = _sizes([HEAD, *rows], width)
    lines = [_row(HEAD, sizes, "1", colour)]
    for item, row in zip(items, rows, strict=True):
        lines.append(_row(row, sizes, COLOURS[item.verdict], colour))
        if item.verdict is not Verdict.PASS:
            lines.append(_wrap(words.line(item.reason), width, indent="    "))
    return "\n".join(lines)


def _sizes(rows: list[tuple[str, ...]], width: int) -> list[int]:
    """Columns that each cell may take, 0 for a cell left out: the interval goes first, then the objective is cut."""
    sizes = [max(_columns(cell) for cell in cells) for cells in zip(*rows, strict=True)]
    if sum(sizes) + GAP * (len(sizes) - 1) > width:
        sizes[INTERVAL] = 0
        room = width - sum(sizes) + sizes[OBJECTIVE] - GAP * (len(sizes) - 2)
        sizes[OBJECTIVE] = min(sizes[OBJECTIVE], max(LEAST, room))
    return sizes


def _row(cells: tuple[str, ...], sizes: list[int], code: str, colour: bool) -> str:
    sized = enumerate(zip(cells, sizes, strict=True))
    parts = [_pad(cell, size, right=column == EVENTS) for column, (cell, size) in sized if size]
    return " ".join([_paint(parts[0], code, colour), *(" " + part for part in parts[1:])]).rstrip()


def _cells(item: ObjectiveResult) -> tuple[str, ...]:
    return (
        str(item.verdict),
        words.line(f"{item.service}: {words.label(item)} [{item.window}]"),
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
