"""Everything in a region is killed at once with SIGKILL and stays dead until it is undone.

    provider:
      type: python
      module: harness.chaos.actions
      func: inject
      arguments: {fault: region_loss, parameters: {region: sjc}, blast_radius: 20}

Landed: every old process is gone from /proc, none has come back, and no port of the region is served. Gone: a new
process runs each instance and its health check passes. Undone by starting all of it: a rejoin, never a second primary
(its database comes back as a standby of whoever was promoted meanwhile).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from pydantic import Field

from harness import proc
from harness.errors import HarnessError, TargetError
from harness.faults import _shared as shared
from harness.model.base import Frozen
from harness.model.platform import PlatformSpec
from harness.ports import Instance, Observation, Processes, Selection, Target

REQUIRES = (Processes,)


class Parameters(Frozen):
    """Which region; services outside of all regions (an edge, Prometheus) are never touched."""

    region: str = Field(min_length=1)


def predict(platform: PlatformSpec, parameters: Parameters) -> Selection:
    return Selection(shared.predicted(platform, None, parameters.region))


def select(target: Target, parameters: Parameters) -> Selection:
    return shared.select(target, target.instances(region=parameters.region))


def inject(target: Target, selection: Selection, parameters: Parameters) -> None:
    _at_once(shared.processes(target).kill_and_hold, shared.named(target, selection))


def landed(target: Target, selection: Selection, parameters: Parameters) -> Observation:
    return shared.observation(
        [*shared.survivors(target, selection), *_returned(target, selection)],
        "/proc and TCP",
        f"nothing of {parameters.region} runs or listens",
    )


def gone(target: Target, selection: Selection, parameters: Parameters) -> Observation:
    return shared.observation(
        shared.replaced(target, selection), "/proc and health checks", f"all of {parameters.region} runs and is ready"
    )


def recover(target: Target, selection: Selection, parameters: Parameters) -> None:
    _at_once(shared.processes(target).start, shared.listed(target, selection))


def _returned(target: Target, selection: Selection) -> Iterable[str]:
    for instance in shared.listed(target, selection):
        if shared.processes(target).status(instance).process:
            yield f"{instance.name}: has a new process"
        for name, port in instance.ports.items():
            if proc.accepts(instance.host, port):
                yield f"{instance.name}: port {name} ({port}) is served"


def _at_once(act: Callable[[Instance], None], instances: list[Instance]) -> None:
    """All instances at the same time; every one is tried before the first error is raised."""
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
