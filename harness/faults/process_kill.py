"""SIGKILL of a service's instances: no warning, no clean-up, as when the kernel is out of memory.

    provider:
      type: python
      module: harness.chaos.actions
      func: inject
      arguments: {fault: process_kill, parameters: {service: weaviate, region: sjc}, blast_radius: 1}

Restarting is the platform's business. Landed: each old process is gone, and nothing as old as that serves. On the local
target /proc and TCP tell: pid and start time. On Kubernetes the signal comes from the container's node, and the kubelet
tells: that container ended with exit code 137 and another one has its place. Gone: a new process runs each instance and
its health check passes; the old one does where nobody wrote down that it was killed. Undone by starting what is still
down; an instance that runs is left alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from pydantic import Field

from harness.errors import BadInput
from harness.faults import _shared as shared
from harness.kube import processes as on_cluster
from harness.kube.ports import Kubernetes
from harness.model.base import Frozen
from harness.model.platform import PlatformSpec
from harness.ports import Instance, Observation, Processes, Selection, Target

REQUIRES = (Processes,)
RIGHTS = on_cluster.RIGHTS  # on Kubernetes


class Parameters(Frozen):
    """Which instances: of this service, in this region (every region when left out), the first `count` of them. On
    Kubernetes which `container` of each pod: by its name, also a side-car; the first when left out."""

    service: str
    region: str | None = None
    count: int | None = Field(default=None, ge=1)
    container: str | None = Field(default=None, min_length=1)


def predict(platform: PlatformSpec, parameters: Parameters) -> Selection:
    return Selection(shared.predicted(platform, parameters.service, parameters.region)[: parameters.count])


def select(target: Target, parameters: Parameters) -> Selection:
    if parameters.container and not isinstance(target, Kubernetes):
        raise BadInput("an instance of this platform is a process", key="container", fix="leave it out")
    instances = target.instances(parameters.service, parameters.region)[: parameters.count]
    return shared.select(target, _meant(instances, parameters))


def prepare(target: Target, selection: Selection, parameters: Parameters) -> None:
    shared.processes(target).prepare(_meant(shared.named(target, selection), parameters))


def inject(target: Target, selection: Selection, parameters: Parameters) -> None:
    for instance in _meant(shared.named(target, selection), parameters):
        shared.processes(target).kill(instance)


def landed(target: Target, selection: Selection, parameters: Parameters) -> Observation:
    control = shared.processes(target)
    return shared.observation(
        control.remains(shared.marks(selection)), control.observer, "the old processes are gone and serve no port"
    )


def gone(target: Target, selection: Selection, parameters: Parameters) -> Observation:
    control = shared.processes(target)
    return shared.observation(
        control.returned(shared.marks(selection), selection.made),
        control.observer,
        shared.seen_back(selection, "new processes run and are ready"),
    )


def recover(target: Target, selection: Selection, parameters: Parameters) -> None:
    shared.processes(target).restore(shared.marks(selection))


def _meant(instances: Sequence[Instance], parameters: Parameters) -> list[Instance]:
    return [dataclasses.replace(each, container=parameters.container or "") for each in instances]
