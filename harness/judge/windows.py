"""The stretches of a run: warm-up (never judged), steady, fault, quiet.

A request belongs to the stretch in which it was *intended* to start, whenever it ended. That errs on the strict side: a
fault's window begins before the injection, so a steady request that ends in it was not yet touched by the fault.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.model.events import AnyEvent, Window
from harness.model.judgement import WindowKind

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Span:
    """[start_ns, end_ns) on the host's monotonic clock; `experiment` is the id, as in kill-weaviate#1."""

    kind: str
    experiment: str
    start_ns: int
    end_ns: int

    @property
    def name(self) -> str:
        """The experiment without its repetition."""
        return self.experiment.partition("#")[0]

    @property
    def seconds(self) -> float:
        return (self.end_ns - self.start_ns) / 1e9


def spans_of(events: Iterable[AnyEvent]) -> tuple[Span, ...]:
    """All windows of a run by their start."""
    found = {
        Span(event.kind, event.experiment, event.start_ns, event.end_ns)
        for event in events
        if isinstance(event, Window) and event.end_ns > event.start_ns
    }
    return tuple(sorted(found, key=lambda span: (span.start_ns, span.end_ns, span.kind, span.experiment)))


def choose(spans: Sequence[Span], kind: WindowKind, experiment: str = "") -> tuple[Span, ...]:
    """The spans an objective is judged over. `run` is one span from the end of the warm-up to the end of the last."""
    if kind == "run":
        judged = [span for span in spans if span.kind != "warm-up"]
        if not judged:
            return ()
        return (Span("run", "", min(span.start_ns for span in judged), max(span.end_ns for span in judged)),)
    return tuple(span for span in spans if span.kind == kind and (not experiment or span.name == experiment))


def inside(times_ns: NDArray[np.int64], spans: Sequence[Span]) -> NDArray[np.bool_]:
    """Which times lie in one of the spans."""
    import numpy as np

    found = np.zeros(len(times_ns), dtype=bool)
    for span in spans:
        found |= (times_ns >= span.start_ns) & (times_ns < span.end_ns)
    return found
