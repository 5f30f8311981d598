"""A service's instances are stopped in their tracks (SIGSTOP) and go on when it is undone (SIGCONT).

    provider:
      type: python
      module: harness.chaos.actions
      func: inject
      arguments: {fault: process_pause, parameters: {service: weaviate, region: sjc}, blast_radius: 1}

The grey failure: connections are accepted by the kernel and never answered, so only time-outs notice. Landed: the
kernel shows the process, and whoever holds its ports, as stopped. Gone: none is stopped and the health checks pass.
"""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import Field

from harness import proc
from harness.errors import TargetError
from harness.faults import _shared as shared
from harness.model.base import Frozen
from harness.model.platform import PlatformSpec
from harness.ports import Instance, Observation, Pauses, Process, Selection, Target

REQUIRES = (Pauses,)
STOPPED = "T"


class Parameters(Frozen):
    """Which instances: of this service, in this region (every region when left out), the first `count` of them."""

    service: str
    region: str | None = None
    count: int | None = Field(default=None, ge=1)


def predict(platform: PlatformSpec, parameters: Parameters) -> Selection:
    return Selection(shared.predicted(platform, parameters.service, parameters.region)[: parameters.count])


def select(target: Target, parameters: Parameters) -> Selection:
    instances = target.instances(parameters.service, parameters.region)[: parameters.count]
    return Selection(tuple(instance.name for instance in instances))


def inject(target: Target, selection: Selection, parameters: Parameters) -> None:
    for instance in shared.named(target, selection):
        _pauses(target).pause(instance)


def landed(target: Target, selection: Selection, parameters: Parameters) -> Observation:
    return shared.observation(_running(target, selection), "/proc", "the processes are stopped")


def gone(target: Target, selection: Selection, parameters: Parameters) -> Observation:
    return shared.observation(_stopped(target, selection), "/proc and health checks", "none is stopped, all are ready")


def recover(target: Target, selection: Selection, parameters: Parameters) -> None:
    for instance in shared.listed(target, selection):
        if _pauses(target).status(instance).alive:
            _pauses(target).resume(instance)
        else:  # somebody ended it while it was paused
            _pauses(target).start(instance)


def _pauses(target: Target) -> Pauses:
    if not isinstance(target, Pauses):
        raise TargetError(f"{type(target).__name__} cannot pause processes")
    return target


def _holders(target: Target, instance: Instance) -> set[Process]:
    """The instance's process, and whoever listens on its ports (a launcher's child)."""
    process = _pauses(target).status(instance).process
    listening = {each for port in instance.ports.values() for each in proc.listeners(port)}
    return listening | {process} if process else listening


def _running(target: Target, selection: Selection) -> Iterable[str]:
    instances = shared.listed(target, selection)
    yield from shared.missing(instances, selection)
    for instance in instances:
        holders = _holders(target, instance)
        if not holders:
            yield f"{instance.name}: no process"
        for process in holders:
            if proc.state(process) != STOPPED:
                yield f"{instance.name}: process {process.pid} is not stopped"


def _stopped(target: Target, selection: Selection) -> Iterable[str]:
    unready = set(target.ready())
    instances = shared.listed(target, selection)
    yield from shared.missing(instances, selection)
    for instance in instances:
        holders = _holders(target, instance)
        if not holders:
            yield f"{instance.name}: no process"
        elif any(proc.state(process) == STOPPED for process in holders):
            yield f"{instance.name}: still stopped"
        elif instance.name in unready:
            yield f"{instance.name}: not ready"
