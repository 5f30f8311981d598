"""A service's containers are short of room: a file that is not theirs lies in their file system.

    provider:
      type: python
      module: harness.chaos.actions
      func: inject
      arguments:
        fault: disk_pressure
        parameters: {service: unified-api, region: sjc, count: 1, path: /tmp, mib: 64}
        blast_radius: 1

An agent on the pod's node writes the file into the folder `path` as the container sees it. What the container's limit
on ephemeral storage would not allow is refused (the kubelet would evict the pod). Landed: the file has that size on
disk. Gone: it is not there, and the pods are ready. Removed when the agent ends: by the undo, at `undo_within`, or when
its node ends it.
"""

from __future__ import annotations

from pydantic import Field

from harness.errors import BadInput
from harness.faults import _cluster as on_cluster
from harness.faults import _hands as hands
from harness.faults import _pressure as pressure
from harness.kube import pods
from harness.kube.ports import Kubernetes, Manifest
from harness.ports import Observation, Selection, Target

REQUIRES = (Kubernetes,)
RIGHTS = hands.RIGHTS
MIB, ALLOWED = 1 << 20, 0.9
UNITS = {"Ki": 1 << 10, "Mi": MIB, "Gi": 1 << 30, "k": 10**3, "M": 10**6, "G": 10**9, "": 1}


class Parameters(on_cluster.Pods):
    """Which instances, in which of their folders, and how many MiB."""

    path: str = Field(default="/tmp", pattern=r"^/")  # noqa: S108
    mib: int = Field(ge=1)


predict = on_cluster.predict
prepare = pressure.prepare
recover = hands.recover


def select(target: Target, parameters: Parameters) -> Selection:
    selection = hands.select(target, parameters)
    site = on_cluster.on(target)
    for name, pod in pods.by_name(site, selection.names).items():
        limits = pods.main_container(pod["spec"]).get("resources", {}).get("limits") or {}
        limit = limits.get("ephemeral-storage")
        if limit and parameters.mib * MIB > ALLOWED * _bytes(limit):
            raise BadInput(f"{name} may use {limit} of its node's disk: {parameters.mib} MiB would have it evicted")
    return selection


def inject(target: Target, selection: Selection, parameters: Parameters) -> None:
    pressure.inject(target, selection, "press_disk", _file(selection, parameters), str(parameters.mib * MIB))


def landed(target: Target, selection: Selection, parameters: Parameters) -> Observation:
    def object_to(ask: hands.Ask, pod: Manifest) -> str:
        size = pressure.usage(ask, pod, _file(selection, parameters))["file"]
        return "" if size >= parameters.mib * MIB else f"the file takes {size / MIB:.0f} MiB"

    return pressure.landed(target, selection, object_to, f"a file of {parameters.mib} MiB is there")


def gone(target: Target, selection: Selection, parameters: Parameters) -> Observation:
    return pressure.gone(target, selection, _file(selection, parameters))


def _file(selection: Selection, parameters: Parameters) -> str:
    return f"{parameters.path.rstrip('/')}/harness-{selection.before[on_cluster.ID]}"


def _bytes(quantity: str) -> float:
    unit = next(each for each in UNITS if quantity.endswith(each))
    return float(quantity.removesuffix(unit)) * UNITS[unit]
