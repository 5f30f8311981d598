"""From a target's reference to the target, in whatever process."""

from __future__ import annotations

import importlib
from typing import cast

from harness.errors import TargetError
from harness.ports import Target


def attach(reference: str) -> Target:
    """The target behind `KIND:REST`: KIND is a file of harness/targets (or a dotted module) with `attach(REST)`.

    A bare path is a local target. Raises TargetError when there is none.
    """
    if not reference:
        raise TargetError("no target is named\n  fix: set HARNESS_TARGET to the reference that `harness up` prints")
    kind, colon, rest = reference.partition(":")
    if not colon or "/" in kind:
        kind, rest = "local", reference
    module = kind if "." in kind else f"harness.targets.{kind}"
    try:
        return cast(Target, importlib.import_module(module).attach(rest))
    except ModuleNotFoundError as error:
        raise TargetError(f"no kind of target is called {kind!r} ({error})") from None
