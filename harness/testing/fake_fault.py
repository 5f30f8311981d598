"""A fault on a FolderTarget, an equal of the real ones: kind `harness.testing.fake_fault`.

Its parameters say how it misbehaves, so that every path of a fault's life can be walked: one that does not land, one
that does not go, one that takes its time, one that fails halfway.
"""

from __future__ import annotations

import time

from harness.errors import TargetError
from harness.model.base import Duration, Frozen
from harness.model.platform import PlatformSpec
from harness.ports import Observation, Selection, Target
from harness.testing.folder_target import FolderTarget

REQUIRES = (FolderTarget,)


class Parameters(Frozen):
    """`service`: instances whose name begins with it."""

    service: str
    lands: bool = True
    goes: bool = True
    fails: bool = False
    takes: Duration = 0.0
    undo_takes: Duration = 0.0


def predict(platform: PlatformSpec, parameters: Parameters) -> Selection:
    return Selection(
        tuple(
            f"{service.name}-{index}"
            for service in platform.services
            if service.name == parameters.service
            for index in range(sum(service.instances.values()))
        )
    )


def select(target: Target, parameters: Parameters) -> Selection:
    return Selection(tuple(instance.name for instance in target.instances(parameters.service)))


def inject(target: Target, selection: Selection, parameters: Parameters) -> None:
    for name in selection.names:
        if parameters.lands:
            _folder(target).break_instance(name)
        time.sleep(parameters.takes)
        if parameters.fails:
            raise TargetError("the injector failed halfway")


def landed(target: Target, selection: Selection, parameters: Parameters) -> Observation:
    whole = [name for name in selection.names if not _folder(target).broken(name)]
    return Observation(not whole, "folder", f"whole: {whole}")


def gone(target: Target, selection: Selection, parameters: Parameters) -> Observation:
    broken = [name for name in selection.names if _folder(target).broken(name)]
    return Observation(not broken and parameters.goes, "folder", f"broken: {broken}")


def recover(target: Target, selection: Selection, parameters: Parameters) -> None:
    for name in selection.names:
        time.sleep(parameters.undo_takes)
        _folder(target).mend(name)


def _folder(target: Target) -> FolderTarget:
    if not isinstance(target, FolderTarget):
        raise TargetError("this fault needs a FolderTarget")
    return target
