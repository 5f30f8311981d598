"""A device goes away (a GPU falls off the bus, its plug-in or node is lost) and comes back when it is undone.

    provider:
      type: python
      module: harness.chaos.actions
      func: inject
      arguments:
        fault: device_loss
        parameters: {device: gpu0, worker: gpu-worker, metric: gpu_present}
        blast_radius: 1

On Kubernetes an agent on the node hides the file that stands for the device (`spec.kubernetes.devices` of the platform
file); it shows it again when it ends, after a quarter of an hour at the latest. Landed and gone are what the workers
say of the device in their own metrics: 0 when it is lost, at least 1 when they have it again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from harness.errors import TargetError
from harness.faults import _shared as shared
from harness.kube import devices as on_cluster
from harness.model.base import Frozen
from harness.model.platform import PlatformSpec
from harness.ports import Devices, Instance, Observation, Pages, Selection, Target

REQUIRES = (Devices, Pages)
RIGHTS = on_cluster.RIGHTS  # on Kubernetes
TIMEOUT_S = 2.0


class Parameters(Frozen):
    """The device, and who tells whether it is there: the gauge `metric` of the service `worker` in `region`."""

    device: str
    worker: str
    metric: str
    port: str = "http"
    path: str = "/metrics"
    region: str | None = None


def predict(platform: PlatformSpec, parameters: Parameters) -> Selection:
    return Selection(
        tuple(
            device.name
            for device in platform.devices
            if device.name == parameters.device and parameters.region in (None, device.region)
        )
    )


def select(target: Target, parameters: Parameters) -> Selection:
    there = shared.devices(target).devices(parameters.region)
    return Selection(tuple(name for name in there if name == parameters.device))


def inject(target: Target, selection: Selection, parameters: Parameters) -> None:
    for name in selection.names:
        shared.devices(target).detach_device(name)


def landed(target: Target, selection: Selection, parameters: Parameters) -> Observation:
    return shared.observation(
        _unless(target, parameters, lost=True), f"metric {parameters.metric}", "every worker says that it is lost"
    )


def gone(target: Target, selection: Selection, parameters: Parameters) -> Observation:
    return shared.observation(
        _unless(target, parameters, lost=False), f"metric {parameters.metric}", "every worker has it again"
    )


def recover(target: Target, selection: Selection, parameters: Parameters) -> None:
    for name in selection.names:
        shared.devices(target).attach_device(name)


def _unless(target: Target, parameters: Parameters, lost: bool) -> Iterable[str]:
    """Objections of the workers that do not say so; silence is an objection too."""
    workers = target.instances(parameters.worker, parameters.region)
    if not workers:
        yield f"no instance of {parameters.worker} tells"
    for worker in workers:
        value = _gauge(shared.pages(target), worker, parameters)
        if value is None:
            yield f"{worker.name}: tells no {parameters.metric}"
        elif (value < 1) is not lost:
            yield f"{worker.name}: {parameters.metric} is {value:g}"


def _gauge(pages: Pages, worker: Instance, parameters: Parameters) -> float | None:
    """The sum of the metric's series; None when there is none or the worker does not answer."""
    try:
        text = pages.page(worker, parameters.port, parameters.path, TIMEOUT_S)
    except TargetError:
        return None
    pattern = rf"^{re.escape(parameters.metric)}(?:\{{[^}}]*\}})?\s+(\S+)"
    values = [float(value) for value in re.findall(pattern, text, re.MULTILINE)]
    return sum(values) if values else None
