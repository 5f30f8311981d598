"""The same act on several instances at the same time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from harness.errors import HarnessError, TargetError

if TYPE_CHECKING:
    from harness.ports import Instance


def at_once(act: Callable[[Instance], object], instances: Sequence[Instance]) -> None:
    """Every one is tried; then TargetError with all that went wrong."""
    from concurrent.futures import ThreadPoolExecutor

    def one(instance: Instance) -> str:
        try:
            act(instance)
        except HarnessError as error:
            return f"{instance.name}: {error}"
        return ""

    with ThreadPoolExecutor(max_workers=max(1, len(instances))) as pool:
        errors = [error for error in pool.map(one, instances) if error]
    if errors:
        raise TargetError("\n".join(errors))
