"""What a Chaos Toolkit journal says, read by our rules and never by the exit code of `chaos`.

`chaos run` exits 0 when an action raises, when a process action exits 3 or times out, when the hypothesis fails before
anything was done, and when a continuous hypothesis breaks and heals. So an experiment went as declared only if: there
is a journal ∧ `status` is completed ∧ not `deviated` ∧ the hypothesis was met before and after, and each time during ∧
every declared activity and roll-back was played and `succeeded` ∧ every process ended with the status it was meant to ∧
every tolerance declared in the method holds (Chaos Toolkit looks at those of the hypothesis only).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Item = dict[str, Any]


@dataclass(frozen=True)
class Verdict:
    """What an experiment's journal says; all went as declared when there are no mistakes."""

    title: str
    status: str
    deviated: bool
    mistakes: tuple[str, ...]


def read(journal: Path, title: str = "") -> Verdict:
    """The verdict of a journal file; one that is missing or torn is a mistake, never an exception."""
    try:
        data = json.loads(journal.read_bytes())
    except FileNotFoundError:
        return Verdict(title, "missing", False, ("Chaos Toolkit left no journal",))
    except (OSError, ValueError) as error:
        return Verdict(title, "unreadable", False, (f"the journal of Chaos Toolkit cannot be read: {error}",))
    if not isinstance(data, dict) or not isinstance(data.get("experiment"), dict):
        return Verdict(title, "unreadable", False, ("the journal of Chaos Toolkit is of an unknown form",))
    return Verdict(
        title=str(data["experiment"].get("title") or title),
        status=str(data.get("status")),
        deviated=data.get("deviated") is True,
        mistakes=tuple(mistakes(data)),
    )


def mistakes(journal: Item) -> Iterator[str]:
    """Everything in a journal that was not as declared, in the order of the experiment."""
    experiment = journal["experiment"]
    yield from _hypothesis(journal, experiment, "before")
    yield from _activities(journal.get("run"), experiment.get("method"), "activity")
    for number, state in enumerate(journal.get("steady_states", {}).get("during") or [], 1):
        if not (state or {}).get("steady_state_met"):
            yield f"steady state not met during the method (look {number}): {_failed_probe(state)}"
    yield from _hypothesis(journal, experiment, "after")
    if journal.get("deviated") is not False:
        yield "the experiment deviated from its steady state"
    yield from _activities(journal.get("rollbacks"), experiment.get("rollbacks"), "roll-back")
    if journal.get("status") != "completed":
        yield f"the experiment's status is {journal.get('status')!r}, not 'completed'"


def _hypothesis(journal: Item, experiment: Item, when: str) -> Iterator[str]:
    if not (experiment.get("steady-state-hypothesis") or {}).get("probes"):
        if when == "before":
            yield "no steady state is declared, so none was proved before the fault"
        return
    state = (journal.get("steady_states") or {}).get(when)
    if state is None:
        yield f"the steady state was not looked at {when} the method"
    elif state.get("steady_state_met") is not True:
        yield f"steady state not met {when} the method: {_failed_probe(state)}"


def _failed_probe(state: Item | None) -> str:
    for probe in (state or {}).get("probes") or []:
        if probe.get("status") != "succeeded" or probe.get("tolerance_met") is not True:
            return f"{_name(probe)} gave {_reason(probe)}"
    return "no probe gave an answer"


def _activities(played: list[Item] | None, declared: list[Item] | None, word: str) -> Iterator[str]:
    played, declared = played or [], declared or []
    for missing in declared[len(played) :]:
        yield f"{word} {(missing.get('name') or missing.get('ref'))!r} was not played"
    for item in played:
        if complaint := _complaint(item):
            yield f"{word} {_name(item)}: {complaint}"


def _complaint(item: Item) -> str:
    status = item.get("status")
    if status != "succeeded":
        return f"{status or 'did not end'}: {_reason(item)}"
    activity, output = item.get("activity") or {}, item.get("output")
    if "tolerance" in activity:
        return "" if _tolerated(activity["tolerance"], output) else f"{_short(output)} is not within its tolerance"
    kind = (activity.get("provider") or {}).get("type")
    answered = output.get("status") if isinstance(output, dict) else None
    if kind == "process" and answered != 0:
        return f"the process ended with status {answered}, not 0"
    if kind == "http" and not (isinstance(answered, int) and answered < 400):
        return f"answered with status {answered}"
    if activity.get("type") == "probe" and output is False:
        return "the probe said False"
    return ""


def _tolerated(tolerance: Any, output: Any) -> bool:
    """Scalars by equality, pairs of numbers and `range` by order, other lists by membership; anything else is no."""
    value = output["status"] if isinstance(output, dict) and "status" in output else output
    if isinstance(tolerance, dict) and tolerance.get("type") == "range":
        return _tolerated(tolerance.get("range"), value)
    if isinstance(tolerance, list):
        if len(tolerance) == 2 and all(_is_number(bound) for bound in tolerance):
            return _is_number(value) and tolerance[0] <= value <= tolerance[1]
        return value in tolerance
    return isinstance(tolerance, bool | int | float | str) and type(value) is type(tolerance) and value == tolerance


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _name(item: Item) -> str:
    return repr((item.get("activity") or {}).get("name", "?"))


def _reason(item: Item) -> str:
    trace = item.get("exception")
    if trace:
        last = trace[-1] if isinstance(trace, list) else str(trace)
        return str(last).strip().splitlines()[0].removeprefix("chaoslib.exceptions.ActivityFailed: ")
    return _short(item.get("output"))


def _short(value: Any) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 200 else text[:200] + "…"
