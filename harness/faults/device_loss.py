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
file); it shows it again when it ends, after a quarter of an hour at the latest. Landed and gone are told by two. By
whoever gives the device out: on Kubernetes the nodes, which can give out fewer than they have (allocatable, capacity).
And by its effect, what the workers say of the device in their own metrics: 0 when it is lost, at least 1 when they have
it again.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

from harness.errors import BadInput, TargetError
from harness.faults import _shared as shared
from harness.kube import devices as on_cluster
from harness.kube.ports import Kubernetes
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
    """BadInput for a device that is lost already: nobody could tell what the fault did, or that it is undone."""
    there = shared.devices(target)
    names = tuple(name for name in there.devices(parameters.region) if name == parameters.device)
    for name in names:
        if not there.device_present(name):
            raise BadInput(f"{name} is lost already", key="device", fix="put it right first, or name another device")
    return Selection(names)


def inject(target: Target, selection: Selection, parameters: Parameters) -> None:
    for name in selection.names:
        shared.devices(target).detach_device(name)


def landed(target: Target, selection: Selection, parameters: Parameters) -> Observation:
    found = [*_not_so(target, selection, lost=True), *_unless(target, parameters, lost=True)]
    return shared.observation(found, _observer(target, parameters), "it is lost, and every worker says so")


def gone(target: Target, selection: Selection, parameters: Parameters) -> Observation:
    found = [*_not_so(target, selection, lost=False), *_unless(target, parameters, lost=False)]
    return shared.observation(found, _observer(target, parameters), "it is there, and every worker has it again")


def recover(target: Target, selection: Selection, parameters: Parameters) -> None:
    for name in selection.names:
        shared.devices(target).attach_device(name)


def _observer(target: Target, parameters: Parameters) -> str:
    return f"{'kubelet' if isinstance(target, Kubernetes) else 'device file'} and metric {parameters.metric}"


def _not_so(target: Target, selection: Selection, lost: bool) -> Iterable[str]:
    """Objections of who gives the devices out; what it does not tell is one too."""
    for name in selection.names:
        try:
            if shared.devices(target).device_present(name) is lost:
                yield f"{name}: {'can be given out still' if lost else 'cannot be given out'}"
        except TargetError as error:
            yield f"{name}: {str(error).splitlines()[0]}"


def _unless(target: Target, parameters: Parameters, lost: bool) -> Iterable[str]:
    """Objections of the workers that do not say so; silence is an objection too."""
    workers = target.instances(parameters.worker, parameters.region)
    if not workers:
        yield f"no instance of {parameters.worker} tells"
    for worker in workers:
        value = _gauge(shared.pages(target), worker, parameters)
        if value is None:
            yield f"{worker.name}: tells no {parameters.metric}"
        elif math.isnan(value):
            yield f"{worker.name}: {parameters.metric} is no number"
        elif (value < 1) is not lost:
            yield f"{worker.name}: {parameters.metric} is {value:g}"


def _gauge(pages: Pages, worker: Instance, parameters: Parameters) -> float | None:
    """The sum of the metric's series, NaN for what is no number; None when there is none or the worker does not
    answer."""
    try:
        text = pages.page(worker, parameters.port, parameters.path, TIMEOUT_S)
    except TargetError:
        return None
    pattern = rf"^{re.escape(parameters.metric)}(?:\{{[^}}]*\}})?\s+(\S+)"
    values = [_number(value) for value in re.findall(pattern, text, re.MULTILINE)]
    return sum(values) if values else None


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
