"""A service's workload is scaled to zero and stays there until it is undone: all of the service is away.

    provider:
      type: python
      module: harness.chaos.actions
      func: inject
      arguments: {fault: scale_to_zero, parameters: {service: weaviate, region: sjc}, blast_radius: 1}

Landed: the workload has no pod any more and no Service sends traffic to one. Gone: it has as many as before, all ready.
Undone by scaling back, unless somebody else has scaled it meanwhile. A dead man's switch in the cluster scales back
when `undo_within` is over, whatever becomes of the harness.
"""

from __future__ import annotations

from collections.abc import Iterable

from harness.faults import _cluster as on_cluster
from harness.faults import _shared as shared
from harness.kube import deadman, pods
from harness.kube.pods import Workload
from harness.kube.ports import Kubernetes, Manifest, Site
from harness.kube.rights import rights
from harness.ports import Observation, Selection, Target

REQUIRES = (Kubernetes,)
RIGHTS = (
    *on_cluster.LOOKING,
    *rights("get", "deployments", "apps"),
    *rights("get", "statefulsets", "apps"),
    *rights("patch", "deployments", "apps", "scale"),
    *rights("patch", "statefulsets", "apps", "scale"),
    *deadman.RIGHTS,
)


class Parameters(on_cluster.Whole):
    """Which workload: that of this service, in this region (every region when left out), with all its pods."""


predict = on_cluster.predict


def select(target: Target, parameters: Parameters) -> Selection:
    selection = on_cluster.select(target, parameters, RIGHTS, scalable=True)
    site = on_cluster.on(target)
    counts = {
        str(workload): str(on_cluster.read(site, workload)["spec"].get("replicas", 1))
        for workload in on_cluster.workloads(selection)
    }
    return Selection(selection.names, {**selection.before, **counts})


def prepare(target: Target, selection: Selection, parameters: Parameters) -> None:
    site = on_cluster.on(target)
    calls = [
        deadman.patch(site, "apps", workload.plural, workload.name, _scale(_count(selection, workload)), "scale")
        for workload in on_cluster.workloads(selection)
    ]
    seconds = deadman.seconds_left(selection.deadline_wall_ns)
    deadman.arm(site, selection.before[on_cluster.ID], calls, seconds)


def inject(target: Target, selection: Selection, parameters: Parameters) -> None:
    site = on_cluster.on(target)
    for workload in on_cluster.workloads(selection):
        _set(site, workload, 0)


def landed(target: Target, selection: Selection, parameters: Parameters) -> Observation:
    return shared.observation(
        _left(target, selection), "API server and EndpointSlices", "no pod is there and none gets traffic"
    )


def gone(target: Target, selection: Selection, parameters: Parameters) -> Observation:
    return shared.observation(_not_back(target, selection), "kubelet", "all pods are there again and ready")


def recover(target: Target, selection: Selection, parameters: Parameters) -> None:
    site = on_cluster.on(target)
    for workload in on_cluster.workloads(selection):
        there = site.cluster.read(workload.api_kind, site.namespace, workload.name)
        if there is not None and there["spec"].get("replicas", 1) == 0:
            _set(site, workload, _count(selection, workload))
    deadman.disarm(site, selection.before[on_cluster.ID])


def _count(selection: Selection, workload: Workload) -> int:
    return int(selection.before[str(workload)])


def _set(site: Site, workload: Workload, replicas: int) -> None:
    site.cluster.patch(workload.api_kind, site.namespace, workload.name, _scale(replicas), "scale")


def _scale(replicas: int) -> Manifest:
    return {"spec": {"replicas": replicas}}


def _left(target: Target, selection: Selection) -> Iterable[str]:
    site = on_cluster.on(target)
    yield from pods.lingers(site.cluster.list(pods.POD, site.namespace), shared.marks(selection))
    yield from pods.served(site, on_cluster.uids(selection))


def _not_back(target: Target, selection: Selection) -> Iterable[str]:
    site = on_cluster.on(target)
    for workload in on_cluster.workloads(selection):
        if on_cluster.read(site, workload)["spec"].get("replicas", 1) == 0:
            yield f"{workload}: is scaled to zero"
        yield from on_cluster.complete(site, workload)
    yield from deadman.remaining(site, selection.before[on_cluster.ID])
