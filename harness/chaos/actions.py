"""Actions for Chaos Toolkit experiments: `module: harness.chaos.actions`.

Durations are written with their unit ("5s", "500ms", "2m").
"""

from __future__ import annotations

from typing import Any

from pydantic import JsonValue

from harness.chaos import context, lifecycle
from harness.model.base import parse_duration


def inject(
    fault: str,
    parameters: dict[str, JsonValue],
    blast_radius: int = 1,
    name: str = "",
    undo_within: str = "5m",
    configuration: dict[str, Any] | None = None,
) -> dict[str, JsonValue]:
    """Makes a fault of the kind `fault` (a file of harness/faults). Returns what was selected.

    Refused, with nothing touched, when the selection is empty or larger than `blast_radius`. `name` tells two faults of
    one kind in one experiment apart. Before the fault is made, its intent and its undo are on disk.
    """
    token = lifecycle.inject(
        context.session(configuration),
        name or fault,
        fault,
        parameters,
        context.blast_radius(int(blast_radius)),
        parse_duration(undo_within),
    )
    return {"fault": token.fault, "selection": list(token.selection)}


def recover(
    fault: str, name: str = "", within: str = "60s", configuration: dict[str, Any] | None = None
) -> dict[str, JsonValue]:
    """Undoes a fault of this experiment and sees it gone; does nothing when there is nothing (left) to undo.

    Raises when it is not gone in time. Belongs into `rollbacks` of every experiment that injects.
    """
    seen = lifecycle.recover(context.session(configuration), name or fault, parse_duration(within))
    return {"gone": seen.seen, "observer": seen.observer, "detail": seen.detail}
