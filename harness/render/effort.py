"""What the harness itself took, in words."""

from __future__ import annotations

from collections.abc import Iterator

from harness.model import events as e
from harness.model.evidence import Evidence
from harness.render import words
from harness.render.story import all_of


def effort(evidence: Evidence) -> Iterator[tuple[str, str]]:
    """(process and stage, what it took), in the order in which they ended. Children are the load, chaos, and programs
    that were run; what the latter ask of the API server is not counted here."""
    for it in all_of(evidence.events, e.Effort):
        name = f"{it.process}, {it.stage}" if it.stage else it.process
        told = [f"{words.duration(it.cpu_s)} of CPU{_per_minute(it.cpu_s, it.seconds, 's')}"]
        if it.children_cpu_s:
            told.append(f"{words.duration(it.children_cpu_s)} in its children that ended")
        if calls := sum(it.api_calls.values()):
            by_method = ", ".join(f"{words.grouped(number)} {method}" for method, number in it.api_calls.items())
            asked = f"{words.count(calls, 'request')} to the API server{_per_minute(calls, it.seconds, '')}"
            told.append(f"{asked}: {by_method}")
        told += [f"{name} run {words.count(number, 'time')}" for name, number in it.programs.items()]
        yield name, f"{'; '.join(told)}; in {words.duration(it.seconds)}"


def _per_minute(amount: float, seconds: float, unit: str) -> str:
    """Told for what lasts: of a few seconds it says nothing."""
    if seconds < 10.0:
        return ""
    return f" ({amount / seconds * 60:.3g}{f'{words.NARROW}{unit}' if unit else ''} a minute)"
