"""A table of rows, and what it is taken from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from harness.judge.facts import Facts
from harness.judge.windows import Span
from harness.model.base import Frozen
from harness.model.events import RunOpened
from harness.model.slo import Slo


class Rows(Frozen):
    """`total` rows there are; `rows` holds the first of them, as text, in columns `head`."""

    title: str
    total: int
    head: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True)
class Scope:
    """What one result was judged over. `release`: only its requests; "" everybody's."""

    facts: Facts
    slo: Slo
    spans: tuple[Span, ...]
    release: str
    limit: int

    def seconds(self, mono_ns: float) -> float:
        """Since the run was opened."""
        opened = next((event.mono_ns for event in self.facts.evidence.events if isinstance(event, RunOpened)), 0)
        return (mono_ns - opened) / 1e9

    def table(self, title: str, head: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> Rows:
        """All rows counted, the first kept."""
        every = list(rows)
        kept = tuple(tuple(text_of(cell) for cell in row) for row in every[: self.limit])
        return Rows(title=title, total=len(every), head=head, rows=kept)


def text_of(cell: object) -> str:
    return f"{cell:.3f}" if isinstance(cell, float) else str(cell)
