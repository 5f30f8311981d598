"""A verdict walked down to the rows that decided it, from a run's folder, as text."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from harness.errors import BadInput
from harness.journal.layout import RunFolder
from harness.render import words
from harness.run.verdict import judge_folder, slo_folders

if TYPE_CHECKING:
    from harness.judge.explain import Explanation
    from harness.judge.shown import Rows


def explain(folder: RunFolder, objective: str, limit: int) -> list[tuple[str, Explanation]]:
    """(what the SLO counts in words, the explanation) for every result of the objective. Raises BadInput for none."""
    from harness.judge import explain as judge
    from harness.metrics.evidence import load_evidence
    from harness.spec.openslo import load_slos
    from harness.spec.words import explain as in_words

    slos = load_slos(slo_folders(folder.inputs / "slos"))
    judgement = judge_folder(folder)
    found = judge.explain(load_evidence(folder), slos, judgement, objective, limit)
    if not found:
        names = sorted({item.slo for item in judgement.objectives})
        close = difflib.get_close_matches(objective, names, n=3, cutoff=0.4)
        fix = f"did you mean {', '.join(close)}?" if close else f"one of: {', '.join(names)}"
        raise BadInput(f"no objective {objective!r} was judged in {folder.run_id}", fix=fix)
    told = {slo.name: in_words(slo) for slo in slos}
    return [(told[one.result.slo], one) for one in found]


def as_text(counted: str, it: Explanation) -> Iterator[str]:
    """One explanation, line by line."""
    item = it.result
    yield f"{item.verdict}  {words.label(item)} [{words.window(item)}]"
    yield f"  because    {words.line(item.reason)}"
    for note in item.notes:
        yield f"             {words.line(note)}"
    yield f"  decided by {it.decided_by} (rules {', '.join(it.rules)})"
    known = item.events - item.bad - item.unknown
    measured = words.amount(item.measured, item.unit, beside=item.target)
    observed = words.span(item.observed, item.unit, beside=item.target)
    yield f"  measured   {measured}; required {words.requirement(item)}"
    yield f"  observed   {observed}; interval {words.interval(item)}"
    yield f"  counts     {words.count(item.events, 'event')}: {known} good, {item.bad} bad, {item.unknown} unknown"
    yield f"  from       {item.source}; {words.line(it.origin)}"
    for line in counted.splitlines():
        yield f"             {words.line(line)}"
    for index, window in enumerate(it.windows):
        yield f"  {'windows' if not index else '':<10} {window}"
    for rows in it.rows:
        yield from _table(rows)
    if not it.rows:
        yield "  no rows    the record holds none of this kind to show; what is said above is all there is"


def _table(rows: Rows) -> Iterator[str]:
    shown = f", the first {len(rows.rows)}" if len(rows.rows) < rows.total else ""
    yield ""
    yield f"  {rows.total} {words.line(rows.title)}{shown}"
    if not rows.rows:
        return
    lines = [rows.head, *(tuple(words.line(cell) for cell in row) for row in rows.rows)]
    sizes = [max(len(line[column]) for line in lines) for column in range(len(rows.head))]
    for line in lines:
        yield "    " + "  ".join(cell.ljust(size) for cell, size in zip(line, sizes, strict=True)).rstrip()
