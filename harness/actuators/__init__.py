"""Traffic split and rollback: one file per means, and the file's name is what a scenario calls it.

Each module has `Settings` (the model of `rollout.settings`) and `connect(target, rollout, settings) -> Actuator`. An
actuator finds the canary's instances by their release, so that a cold process can take the traffic back.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Collection
from types import ModuleType
from typing import cast

from pydantic import ValidationError

from harness.errors import BadInput
from harness.model.scenario import Rollout
from harness.ports import Actuator, Instance, Releases, Target


def names() -> tuple[str, ...]:
    """The actuators there are: files of this folder."""
    return tuple(sorted(found.name for found in pkgutil.iter_modules(__path__) if not found.name.startswith("_")))


def check(rollout: Rollout) -> object:
    """The actuator's settings, checked. Raises BadInput for an unknown actuator or unknown, missing, wrong settings."""
    try:
        return _module(rollout.actuator).Settings.model_validate(rollout.settings)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(["rollout", "settings", *map(str, first["loc"])])
        raise BadInput(first["msg"], key=key, fix="see docs/reference/actuators.md") from None


def connect(target: Target, rollout: Rollout) -> Actuator:
    """The rollout's actuator on this target. Raises BadInput as `check`, TargetError when it cannot be found there."""
    settings = check(rollout)
    return cast(Actuator, _module(rollout.actuator).connect(target, rollout, settings))


def take_back(target: Target, rollout: Rollout, keep: Collection[str]) -> None:
    """All traffic to the stable release, then no instance of the canary; instances named in `keep` stay in any case.

    Idempotent; works from a cold process.
    """
    connect(target, rollout).rollback()
    leaving = leftovers(target, rollout, keep)
    if leaving and isinstance(target, Releases):
        target.remove_instances(leaving)


def leftovers(target: Target, rollout: Rollout, keep: Collection[str]) -> list[Instance]:
    """Instances of the canary's release that came with the rollout."""
    found = target.instances(rollout.service)
    return [one for one in found if one.release == rollout.canary and one.name not in keep]


def _module(name: str) -> ModuleType:
    """A dotted name is a module of somebody else's, imported as it is."""
    if "." in name:
        try:
            return importlib.import_module(name)
        except ImportError as error:
            fix = "install the module, or use a built-in actuator"
            raise BadInput(f"no actuator {name!r}: {error}", key="rollout.actuator", fix=fix) from None
    if name not in names():
        raise BadInput(f"no actuator {name!r}", key="rollout.actuator", fix=f"one of: {', '.join(names())}")
    return importlib.import_module(f"{__name__}.{name}")
