"""Progress while a run goes on: a live panel on a terminal, one plain line per event elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol, Self, TextIO

from harness.model import events as e
from harness.render.describe import describe
from harness.render.words import LEVELS, count, duration, line, plain

if TYPE_CHECKING:
    from rich.console import RenderableType

QUIET = (
    e.Digest,
    e.ClockRead,
    e.Window,
    e.ChildStarted,
    e.InstancesSeen,
    e.ReadinessSeen,
    e.ReadinessWatched,
    e.Effort,
)
KEPT = 8
WIDE = 180  # characters of a plain line; the journal holds the rest


@dataclass(frozen=True)
class Progress:
    """What is known of a run that goes on. Times are monotonic nanoseconds; 0 is unknown."""

    run_id: str = ""
    opened_ns: int = 0
    stage: str = ""
    stage_ns: int = 0
    load_until_ns: int = 0
    expected: int = 0
    scheduled: int = 0
    recorded: int = 0
    errors: int = 0
    late_p99_s: float | None = None
    level: int = 0
    share: float | None = None
    faults: tuple[str, ...] = ()
    last: tuple[tuple[int, str], ...] = ()


def fold(progress: Progress, event: e.AnyEvent) -> Progress:
    """The progress after one more event."""
    changes: dict[str, Any] = {}
    progress = replace(progress, opened_ns=progress.opened_ns or event.mono_ns)
    match event:
        case e.RunOpened():
            changes = {"run_id": event.run_id}
        case e.Stage():
            changes = {"stage": event.title or event.name, "stage_ns": event.mono_ns}
        case e.ScheduleFixed():
            changes = {"expected": event.expected, "load_until_ns": event.origin_ns + round(event.duration_s * 1e9)}
        case e.FaultLanded() if event.landed:
            changes = {"faults": (*progress.faults, event.fault)}
        case e.FaultGone() if event.gone:
            changes = {"faults": tuple(fault for fault in progress.faults if fault != event.fault)}
        case e.ShareSeen():
            changes = {"share": event.share}
        case _:
            pass
    if not isinstance(event, QUIET):
        changes["last"] = (*progress.last, (event.mono_ns, describe(event)))[-KEPT:]
    return replace(progress, **changes)


class View(Protocol):
    """What a run tells its progress to. A context manager; every call is cheap."""

    def event(self, event: e.AnyEvent) -> None: ...

    def load(
        self, *, scheduled: int, recorded: int, errors: int = 0, late_p99_s: float | None = None, level: int = 0
    ) -> None:
        """How the load is doing; told about once per second."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


class PlainView:
    """One line per event, and one line of load every `every` seconds: for CI logs and pipes."""

    def __init__(self, stream: TextIO, clock_ns: Callable[[], int], *, every: float = 10.0) -> None:
        self._stream, self._clock_ns, self._every_ns = stream, clock_ns, round(every * 1e9)
        self._progress = Progress()
        self._told_ns = 0

    def event(self, event: e.AnyEvent) -> None:
        self._progress = fold(self._progress, event)
        if not isinstance(event, QUIET):
            self._say(event.mono_ns or self._clock_ns(), describe(event))

    def load(
        self, *, scheduled: int, recorded: int, errors: int = 0, late_p99_s: float | None = None, level: int = 0
    ) -> None:
        now = self._clock_ns()
        if now - self._told_ns < self._every_ns:
            return
        self._told_ns = now
        self._progress = replace(
            self._progress, scheduled=scheduled, recorded=recorded, errors=errors, late_p99_s=late_p99_s, level=level
        )
        self._say(now, _load(self._progress) + (f", level {level}" if level else ""))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.flush()

    def _say(self, at_ns: int, text: str) -> None:
        since = (at_ns - (self._progress.opened_ns or at_ns)) / 1e9
        short = text if len(text) <= WIDE else f"{text[: WIDE - 1]}…"
        self._stream.write(f"{since:8.1f} s  {short}\n")
        self._stream.flush()


class LiveView:
    """A panel that is redrawn in place: stage, load, level, active faults and the last events. Needs a terminal."""

    def __init__(self, stream: TextIO, clock_ns: Callable[[], int]) -> None:
        from rich.console import Console
        from rich.live import Live

        self._clock_ns = clock_ns
        self._progress = Progress()
        self._live = Live(
            console=Console(file=stream, highlight=False),
            get_renderable=lambda: panel(self._progress, self._clock_ns()),
            refresh_per_second=4,
            transient=True,
        )

    def event(self, event: e.AnyEvent) -> None:
        self._progress = fold(self._progress, event)

    def load(
        self, *, scheduled: int, recorded: int, errors: int = 0, late_p99_s: float | None = None, level: int = 0
    ) -> None:
        self._progress = replace(
            self._progress, scheduled=scheduled, recorded=recorded, errors=errors, late_p99_s=late_p99_s, level=level
        )

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.__exit__(None, None, None)


def view(stream: TextIO, clock_ns: Callable[[], int], *, live: bool) -> View:
    """The live panel on a terminal, plain lines elsewhere."""
    return LiveView(stream, clock_ns) if live else PlainView(stream, clock_ns)


def panel(progress: Progress, now_ns: int) -> RenderableType:
    """What the live view shows, as a rich renderable."""
    from rich.console import Group
    from rich.panel import Panel
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(ratio=1)
    for name, value, style in _rows(progress, now_ns):
        grid.add_row(name, Text(value, style=style))
    events = Table.grid(padding=(0, 2))
    events.add_column(justify="right", style="dim", no_wrap=True)
    events.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
    for at_ns, text in progress.last:
        events.add_row(f"{(at_ns - progress.opened_ns) / 1e9:.1f} s", Text(text))
    return Panel(Group(grid, Text(), events), title=Text(line(progress.run_id)), title_align="left", border_style="dim")


def _rows(progress: Progress, now_ns: int) -> list[tuple[str, str, str]]:
    rows = [("stage", _stage(progress, now_ns), "bold")]
    if progress.scheduled:
        rows.append(("load", _load(progress), "red" if progress.errors else ""))
    if progress.level:
        rows.append(
            ("level", f"{progress.level} {LEVELS.get(progress.level, '')}", "" if progress.level == 1 else "yellow")
        )
    if progress.share is not None:
        rows.append(("canary", f"{progress.share:.1%} of responses", ""))
    rows.append(("fault", ", ".join(progress.faults) or "none", "red" if progress.faults else ""))
    return rows


def _stage(progress: Progress, now_ns: int) -> str:
    elapsed = duration(float(round((now_ns - progress.opened_ns) / 1e9))) if progress.opened_ns else "0 s"
    left = (progress.load_until_ns - now_ns) / 1e9
    remaining = f", load for another {duration(float(round(left)))}" if left > 0.5 else ""
    return plain(f"{line(progress.stage) or 'starting'}  ({elapsed}{remaining})")


def _load(progress: Progress) -> str:
    of = f" of {progress.expected}" if progress.expected else ""
    parts = [f"{progress.scheduled}{of} due", f"{progress.recorded} recorded", count(progress.errors, "error")]
    if progress.late_p99_s is not None:
        parts.append(f"starts late by {duration(progress.late_p99_s)} (p99)")
    return plain(", ".join(parts))
