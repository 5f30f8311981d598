"""What several faults need: capabilities of a target, names as the platform file predicts them, objections."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from harness.errors import TargetError
from harness.kube import rights
from harness.kube.ports import Kubernetes
from harness.kube.rights import Right
from harness.model.platform import PlatformSpec
from harness.ports import Calls, Devices, Instance, Observation, Pages, Processes, Selection, Target


def processes(target: Target) -> Processes:
    """The target's capability to kill processes; TargetError when it has none."""
    if not isinstance(target, Processes):
        raise TargetError(f"{type(target).__name__} cannot signal processes")
    return target


def devices(target: Target) -> Devices:
    """The target's capability to detach devices; TargetError when it has none."""
    if not isinstance(target, Devices):
        raise TargetError(f"{type(target).__name__} has no devices")
    return target


def calls(target: Target) -> Calls:
    """The target's capability to call instances; TargetError when it has none."""
    if not isinstance(target, Calls):
        raise TargetError(f"{type(target).__name__} cannot call its instances")
    return target


def check_rights(target: Target, needed: Iterable[Right]) -> None:
    """Refuses with BadInput, where the target is on a cluster, what the API server would not allow."""
    if isinstance(target, Kubernetes):
        rights.check(target.site(), needed)


def pages(target: Target) -> Pages:
    """The target's capability to read what instances tell; TargetError when it has none."""
    if not isinstance(target, Pages):
        raise TargetError(f"{type(target).__name__} cannot ask its instances")
    return target


def predicted(platform: PlatformSpec, service: str | None, region: str | None) -> tuple[str, ...]:
    """Names of the instances that the platform file declares, as a target is going to call them, or would if it named
    them by number (where pods are named at random, only their count is foreseen)."""
    return tuple(
        "-".join(part for part in (each.name, where, str(index)) if part)
        for each in platform.services
        if service in (None, each.name)
        for where, count in each.instances.items()
        if region in (None, where)
        for index in range(count)
    )


def listed(target: Target, selection: Selection) -> list[Instance]:
    """Those of the selected instances that the target knows now."""
    return [instance for instance in target.instances() if instance.name in selection.names]


def missing(instances: Iterable[Instance], selection: Selection) -> list[str]:
    """An objection for each selected instance that is not among these: of what is not there, nothing can be seen."""
    found = {instance.name for instance in instances}
    return [f"{name}: the platform has no such instance any more" for name in selection.names if name not in found]


def named(target: Target, selection: Selection) -> list[Instance]:
    """The selected instances as the target knows them now; TargetError when one is missing."""
    instances = listed(target, selection)
    if objections := missing(instances, selection):
        raise TargetError("; ".join(objections))
    return instances


def select(target: Target, instances: Sequence[Instance]) -> Selection:
    """These instances, with the mark of the process that runs each of them now."""
    return Selection(tuple(instance.name for instance in instances), processes(target).marks(instances))


def marks(selection: Selection) -> Mapping[str, str]:
    """The selected instances' marks; "" where none was kept."""
    return {name: selection.before.get(name, "") for name in selection.names}


def seen_back(selection: Selection, seen: str) -> str:
    """What is seen when a fault is gone that leaves something new; where it was perhaps never made, no more than that
    all is well."""
    return seen if selection.made else "all run and are ready; nobody wrote down that they were killed"


def observation(objections: Iterable[str], observer: str, seen: str) -> Observation:
    """Seen when there is nothing to object; else the first objections."""
    found = list(objections)
    return Observation(not found, observer, "; ".join(found[:5]) if found else seen)
