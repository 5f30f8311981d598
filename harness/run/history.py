"""The runs of a reports folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

from harness.journal import log
from harness.journal.layout import RunFolder
from harness.model.events import RunClosed, RunOpened


class Row(NamedTuple):
    """One run; verdict "running" or "ended early" where there is no judgement."""

    run_id: str
    verdict: str
    release: str
    sentence: str


def history(reports: Path) -> list[Row]:
    """All runs, oldest first. A folder that is half written is listed, not hidden."""
    rows = []
    for journal in sorted(reports.glob("*/journal.jsonl")):
        folder = RunFolder(journal.parent)
        events = log.read(journal)
        opened = next((event for event in events if isinstance(event, RunOpened)), None)
        closed = next((event for event in events if isinstance(event, RunClosed)), None)
        verdict, sentence = ("ended early", closed.reason) if closed else ("running", "not closed: running or killed")
        if folder.judgement.exists():
            try:
                judgement = json.loads(folder.judgement.read_text())
                verdict, sentence = judgement["verdict"], judgement["sentence"]
                if judgement.get("waived"):
                    verdict += " (waived)"
            except (ValueError, KeyError):
                verdict, sentence = "unreadable", "judgement.json is damaged; try `harness judge`"
        rows.append(Row(folder.run_id, verdict, opened.release if opened else "?", sentence))
    return rows
