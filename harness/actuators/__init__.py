"""Traffic split and rollback: one file per means, and the file's name is what a scenario calls it.

Each module has `Settings` (the model of `rollout.settings`) and `connect(target, rollout, settings) -> Actuator`. It
may have `refuse(rollout, settings)`, which raises BadInput for shares that it cannot make, `RIGHTS` that it needs on a
cluster, and `MAKES_INSTANCES` when the canary's instances are its own business. An actuator finds the canary's
instances by their release, so that a cold process can take the traffic back.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Collection
from types import ModuleType
from typing import cast

from pydantic import ValidationError

from harness.errors import BadInput
from harness.kube.rights import Right
from harness.model.rollout import Rollout
from harness.ports import Actuator, Instance, Releases, Settles, Spread, Target


def names() -> tuple[str, ...]:
    """The actuators there are: files of this folder."""
    return tuple(sorted(found.name for found in pkgutil.iter_modules(__path__) if not found.name.startswith("_")))


def check(rollout: Rollout) -> object:
    """The actuator's settings, checked. Raises BadInput for an unknown actuator, unknown, missing, wrong settings, and
    shares that it cannot make."""
    module = _module(rollout.actuator)
    try:
        settings = module.Settings.model_validate(rollout.settings)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(["rollout", "settings", *map(str, first["loc"])])
        raise BadInput(first["msg"], key=key, fix="see docs/reference/actuators.md") from None
    if getattr(module, "MAKES_INSTANCES", False) != (rollout.instances == 0):
        fix = f"{rollout.actuator} makes the canary's instances itself: 0" if rollout.instances else "at least 1"
        raise BadInput(f"{rollout.instances} instances of the canary", key="rollout.instances", fix=fix)
    if hasattr(module, "refuse"):
        module.refuse(rollout, settings)
    return settings


def rights(rollout: Rollout) -> tuple[Right, ...]:
    """What the actuator needs on a cluster."""
    return tuple(getattr(_module(rollout.actuator), "RIGHTS", ()))


def connect(target: Target, rollout: Rollout) -> Actuator:
    """The rollout's actuator on this target, or on its part that has the canary's region. Raises BadInput as `check`,
    TargetError when it cannot be found there."""
    settings = check(rollout)
    if isinstance(target, Spread):
        if not rollout.region:
            raise BadInput("the platform lies on several targets", key="rollout.region", fix="name the canary's region")
        (target,) = target.parts(rollout.region)
    return cast(Actuator, _module(rollout.actuator).connect(target, rollout, settings))


def take_back(target: Target, rollout: Rollout, keep: Collection[str]) -> None:
    """All traffic to the stable release, then no instance of the canary; instances named in `keep` stay in any case.

    Idempotent; works from a cold process. Raises TargetError, with the canary's instances left, when nobody confirms
    that the traffic is off them.
    """
    actuator = connect(target, rollout)
    actuator.rollback()
    end_instances(target, actuator, rollout, keep)


def end_instances(target: Target, actuator: Actuator, rollout: Rollout, keep: Collection[str]) -> None:
    """No instance of a canary whose share is 0, once that is carried out. Raises TargetError when it is not."""
    if isinstance(actuator, Settles):
        actuator.settle()
    if isinstance(target, Releases):
        target.remove_instances(leftovers(target, rollout, keep))


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
