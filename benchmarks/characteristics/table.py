"""The cells as tables of the documentation, between the marks of a page."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from pathlib import Path

from benchmarks.characteristics.cells import Cell
from harness.judge import bounds
from harness.judge.decidable import Expected
from harness.model.base import format_duration

ARRIVALS = 40.0  # a second, as in the scenarios
RESULTS = Path(__file__).parent / "results"
PAGE = Path(__file__).parents[2] / "docs" / "concepts" / "confidence.md"


def read(name: str) -> list[Cell]:
    """The cells of one simulation, as committed."""
    return [Cell(**cell) for cell in json.loads((RESULTS / f"{name}.json").read_text())["cells"]]


def write(name: str, cells: Iterable[Cell], runs: int, seed: int) -> None:
    """One cell a line, so that a change can be read."""
    lines = ",\n".join(f"  {json.dumps(cell.as_dict(), ensure_ascii=False)}" for cell in cells)
    RESULTS.mkdir(exist_ok=True)
    head = f'"runs": {runs}, "seed": {seed}'
    (RESULTS / f"{name}.json").write_text(f'{{{head}, "cells": [\n{lines}\n]}}\n')


def tables(cells: Iterable[Cell]) -> dict[str, str]:
    """Table name → Markdown: a line for each row, a column for each column, in the order in which they come."""
    found: dict[str, dict[str, dict[str, Cell]]] = {}
    for cell in cells:
        found.setdefault(cell.table, {}).setdefault(cell.row, {})[cell.column] = cell
    return {name: _table(rows) for name, rows in found.items()}


def lengths() -> str:
    """Seconds of steady time that a claim takes without a bad event, as `harness plan` foresees them."""
    columns = (0.2, 0.5, 1.0)
    lines = [
        f"| objective, at 95 % | independent events | {' | '.join(f'L = {format_duration(one)}' for one in columns)} |",
        f"|---|{'---:|' * (len(columns) + 1)}",
    ]
    for target in (0.9, 0.95, 0.99, 0.999):
        needed = bounds.effective_needed(0.0, target, 0.95) or math.inf
        worth = [Expected(ARRIVALS, 1.0, length, poisson=True).worth for length in columns]
        seconds = [f"{needed / ARRIVALS / one:,.0f} s" for one in worth]
        lines.append(f"| {target * 100:g} % | {math.ceil(needed):,} | {' | '.join(seconds)} |")
    return "\n".join(lines)


def _table(rows: dict[str, dict[str, Cell]]) -> str:
    columns = list(dict.fromkeys(column for row in rows.values() for column in row))
    lines = [f"| | {' | '.join(columns)} |", f"|---|{'---:|' * len(columns)}"]
    for name, row in rows.items():
        beyond = any(not cell.declared for cell in row.values())
        shown = [_text(row[column]) if column in row else "" for column in columns]
        lines.append(f"| {f'*{name}*' if beyond else name} | {' | '.join(shown)} |")
    return "\n".join(lines)


def _text(cell: Cell) -> str:
    if cell.level is None:
        return f"{cell.happened:,}" if cell.happened >= 0 else "more than tried"
    text = f"{100 * cell.share:.2g} %" if cell.share < 0.1 else f"{100 * cell.share:.0f} %"
    return f"**{text}**" if cell.above else text


def put(page: str, found: dict[str, str]) -> str:
    """The page with each table between `<!-- name -->` and `<!-- /name -->`."""
    for name, table in found.items():
        begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
        if begin in page:
            before, _, rest = page.partition(begin)
            page = f"{before}{begin}\n{table}\n{end}{rest.partition(end)[2]}"
    return page
