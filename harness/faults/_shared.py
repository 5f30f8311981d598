"""What several faults need: capabilities of a target, names as the platform file predicts them, old processes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from harness import proc
from harness.errors import TargetError
from harness.model.platform import PlatformSpec
from harness.ports import Devices, Instance, Observation, Process, Processes, Selection, Target


def processes(target: Target) -> Processes:
    """The target's capability to signal processes; TargetError when it has none."""
    if not isinstance(target, Processes):
        raise TargetError(f"{type(target).__name__} cannot signal processes")
    return target


def devices(target: Target) -> Devices:
    """The target's capability to detach devices; TargetError when it has none."""
    if not isinstance(target, Devices):
        raise TargetError(f"{type(target).__name__} has no devices")
    return target


def predicted(platform: PlatformSpec, service: str | None, region: str | None) -> tuple[str, ...]:
    """Names of the instances that the platform file declares, as the target is going to call them."""
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
    """These instances, with the process that runs each of them now and the time of looking, both in clock ticks."""
    control, now = processes(target), proc.ticks_now()
    before = {}
    for instance in instances:
        process = control.status(instance).process
        before[instance.name] = f"{process.pid}:{process.start_time}:{now}" if process else f"0:0:{now}"
    return Selection(tuple(instance.name for instance in instances), before)


def old_process(selection: Selection, name: str) -> tuple[Process, int]:
    """(the process that ran this instance when it was selected, the time of selection in clock ticks)."""
    pid, start_time, selected = (int(part) for part in selection.before.get(name, "0:0:0").split(":"))
    return Process(pid, start_time), selected


def survivors(target: Target, selection: Selection) -> Iterable[str]:
    """What still speaks for the old processes: that one runs, or that a port is served by somebody as old."""
    instances = listed(target, selection)
    yield from missing(instances, selection)
    for instance in instances:
        old, selected = old_process(selection, instance.name)
        if proc.is_running(old):
            yield f"{instance.name}: process {old.pid} still runs"
        for name, port in instance.ports.items():
            if proc.accepts(instance.host, port):
                for holder in proc.listeners(port):
                    if holder.start_time <= selected:
                        yield f"{instance.name}: port {name} ({port}) is still served by process {holder.pid}"


def replaced(target: Target, selection: Selection) -> Iterable[str]:
    """What keeps the selected instances from being back: no new process, or not ready."""
    control, unready = processes(target), set(target.ready())
    instances = listed(target, selection)
    yield from missing(instances, selection)
    for instance in instances:
        old, _ = old_process(selection, instance.name)
        status = control.status(instance)
        if status.process is None or not proc.is_running(status.process):
            yield f"{instance.name}: no process"
        elif status.process == old:
            yield f"{instance.name}: still process {old.pid}"
        elif instance.name in unready:
            yield f"{instance.name}: not ready"


def observation(objections: Iterable[str], observer: str, seen: str) -> Observation:
    """Seen when there is nothing to object; else the first objections."""
    found = list(objections)
    return Observation(not found, observer, "; ".join(found[:5]) if found else seen)
