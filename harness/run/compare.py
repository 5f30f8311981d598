"""Two run folders beside each other, judged by the same code, as a table."""

from __future__ import annotations

from collections.abc import Sequence

from harness.journal import log
from harness.journal.layout import RunFolder
from harness.judge.beside import Change, beside
from harness.model.events import RunOpened
from harness.render import words
from harness.run.verdict import judge_folder

ASKED = ("scenario", "profile", "seed", "machine", "version")
HEAD = ("", "what", "before", "after", "verdicts", "note")


def compare(before: RunFolder, after: RunFolder) -> tuple[tuple[Change, ...], tuple[str, ...]]:
    """(every change, in what else the two runs differed, so that it may have made the change)."""
    return beside(judge_folder(before), judge_folder(after)), tuple(_differs(before, after))


def _differs(before: RunFolder, after: RunFolder) -> list[str]:
    opened = [
        next((event for event in log.read(folder.journal) if isinstance(event, RunOpened)), None)
        for folder in (before, after)
    ]
    if opened[0] is None or opened[1] is None:
        return ["one of the journals does not tell who ran what"]
    pairs = [(name, getattr(opened[0], name), getattr(opened[1], name)) for name in ("release", *ASKED)]
    return [f"{name}: {then or 'none'} → {now or 'none'}" for name, then, now in pairs if then != now]


def as_table(changes: Sequence[Change]) -> str:
    """The changes as text, aligned."""
    import pandas as pd

    rows = [
        (
            one.word,
            words.line(one.what),
            words.plain(words.span(one.before, one.unit)),
            words.plain(words.span(one.after, one.unit)),
            " → ".join(dict.fromkeys(map(str, one.verdicts or ()))),
            words.line(one.note),
        )
        for one in changes
    ]
    frame = pd.DataFrame(rows, columns=list(HEAD), dtype=str)
    padded = frame.apply(lambda column: column.str.ljust(column.str.len().max()))
    return "\n".join(line.rstrip() for line in padded.to_string(index=False, justify="left").splitlines())
