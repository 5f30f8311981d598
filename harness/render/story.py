"""What a run's events tell: picked out by type, and its times as seconds since the run was opened."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TypeVar

from harness.model import events as e
from harness.model.evidence import Evidence
from harness.model.judgement import ObjectiveResult
from harness.render import words

E = TypeVar("E", bound=e.Event)


def all_of(events: Iterable[e.AnyEvent], kind: type[E]) -> tuple[E, ...]:
    """The events of one type, in their order."""
    return tuple(event for event in events if isinstance(event, kind))


def first(events: Iterable[e.AnyEvent], kind: type[E]) -> E | None:
    """The first event of one type."""
    return next((event for event in events if isinstance(event, kind)), None)


def origin_ns(evidence: Evidence) -> int:
    """Monotonic time of the run's start, which every time in a report is counted from."""
    opened = first(evidence.events, e.RunOpened)
    if opened and opened.mono_ns:
        return opened.mono_ns
    return min((event.mono_ns for event in evidence.events if event.mono_ns), default=0)


def duration_s(evidence: Evidence) -> float:
    """From the first to the last event."""
    times = [event.mono_ns for event in evidence.events if event.mono_ns]
    return (max(times) - origin_ns(evidence)) / 1e9 if times else 0.0


def took(evidence: Evidence) -> str:
    """How long the run was, and after how long of it its cluster was up and the platform deployed."""
    made, deployed = first(evidence.events, e.ClusterMade), first(evidence.events, e.Deployed)
    times = [
        f"{what} after {words.duration((event.mono_ns - origin_ns(evidence)) / 1e9)}"
        for what, event in (("cluster up", made), ("deployed", deployed))
        if event is not None and event.mono_ns
    ]
    return " ".join(["took", words.duration(duration_s(evidence)), *([f"({', '.join(times)})"] if times else [])])


def window_s(evidence: Evidence, result: ObjectiveResult) -> float:
    """How long a result was judged over: its windows together, 0.0 when that is not known."""
    if result.window == "run":
        return duration_s(evidence)
    mine = [
        (it.end_ns - it.start_ns) / 1e9
        for it in all_of(evidence.events, e.Window)
        if it.kind == result.window and result.experiment in ("", it.experiment, it.experiment.partition("#")[0])
    ]
    return sum(mine)


def wall_to_mono_ns(evidence: Evidence, wall_ns: int) -> int:
    """A wall time on the run's monotonic clock, by the two stamps of the event nearest to it."""
    stamped = [event for event in evidence.events if event.mono_ns and event.wall_ns]
    if not stamped:
        return 0
    near = min(stamped, key=lambda event: abs(event.wall_ns - wall_ns))
    return wall_ns - near.wall_ns + near.mono_ns


def stamp(wall_ns: int) -> str:
    """ISO 8601 in UTC, to the second."""
    return datetime.fromtimestamp(wall_ns // 1_000_000_000, UTC).isoformat()


def titles(evidence: Evidence) -> dict[str, str]:
    """Experiment id (name#n) and plain name → title; an id's is numbered when the experiment ran more than once."""
    ended = {event.experiment: event.title for event in all_of(evidence.events, e.ExperimentEnded) if event.title}
    repeated = {name.partition("#")[0] for name in ended if not name.endswith("#1")}
    found = {name.partition("#")[0]: title for name, title in ended.items()}
    for name, title in ended.items():
        plain, _, number = name.partition("#")
        found[name] = f"{title} ({number})" if plain in repeated else title
    return found
