"""Waiver files."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from harness.errors import BadInput, BadInputs
from harness.model.waiver import Waiver, Waivers
from harness.spec.yaml import load_document


def load_waivers(file: Path, slos: Collection[str] = ()) -> tuple[Waiver, ...]:
    """The waivers of a file. Raises BadInput(s) with file and line.

    Two for the same objective are a mistake, and so is one for an SLO that is not among `slos`, when those are given.
    """
    document = load_document(file, Waivers)
    waivers = document.value.spec.waivers
    mistakes: list[BadInput] = []
    for index, one in enumerate(waivers):
        place = ("spec", "waivers", index, "objective")
        if any((one.objective, one.experiment) == (other.objective, other.experiment) for other in waivers[:index]):
            mistakes.append(document.error(place, f"{one.objective} is waived twice", "keep one of the two"))
        name = one.objective.partition("/")[0]
        if slos and name not in slos:
            mistakes.append(document.error(place, f"no SLO {name!r}", f"one of: {', '.join(sorted(slos))}"))
    if mistakes:
        raise BadInputs(mistakes)
    return waivers
