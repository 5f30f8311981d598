"""A service's pods are deleted through the API; their workloads make new ones, perhaps on other nodes.

    provider:
      type: python
      module: harness.chaos.actions
      func: inject
      arguments: {fault: pod_delete, parameters: {service: unified-api, region: sjc, count: 1}, blast_radius: 1}

Graceful: the pod gets SIGTERM, and SIGKILL after its grace period (`grace`, else its own). `forced`: the API server
forgets it at once, and its node ends it when it learns of that; this is no SIGKILL (for that: process_kill). Landed:
the pod is gone from the API, which after a graceful deletion is the kubelet's word that its containers have ended, and
no Service sends traffic to it. Gone: the workload has all its pods again, and they are ready. There is nothing to undo.
"""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import Field

from harness.faults import _cluster as on_cluster
from harness.faults import _shared as shared
from harness.kube import pods
from harness.kube.ports import Kubernetes
from harness.kube.rights import rights
from harness.model.base import Duration
from harness.ports import Observation, Selection, Target

REQUIRES = (Kubernetes,)
RIGHTS = (
    *on_cluster.LOOKING,
    *rights("delete", "pods"),
    *rights("get", "deployments", "apps"),
    *rights("get", "statefulsets", "apps"),
)


class Parameters(on_cluster.Pods):
    """Which instances: of this service, in this region (every region when left out), the first `count` of them."""

    forced: bool = False
    grace: Duration | None = Field(default=None, ge=0)


predict = on_cluster.predict


def select(target: Target, parameters: Parameters) -> Selection:
    return on_cluster.select(target, parameters, RIGHTS)


def inject(target: Target, selection: Selection, parameters: Parameters) -> None:
    site = on_cluster.on(target)
    grace = 0 if parameters.forced else None if parameters.grace is None else round(parameters.grace)
    for name, mark in shared.marks(selection).items():
        site.cluster.delete(pods.POD, site.namespace, name, uid=pods.read_mark(mark).uid, grace_s=grace)


def landed(target: Target, selection: Selection, parameters: Parameters) -> Observation:
    return shared.observation(
        _there(target, selection), "API server and EndpointSlices", "the pods are gone and get no traffic"
    )


def gone(target: Target, selection: Selection, parameters: Parameters) -> Observation:
    site = on_cluster.on(target)
    return shared.observation(
        pods.returned(site, shared.marks(selection), selection.made),
        "kubelet",
        shared.seen_back(selection, "new pods have their place and are ready"),
    )


def recover(target: Target, selection: Selection, parameters: Parameters) -> None:
    """Nothing: what replaces a pod is its workload, and `gone` waits for it."""


def _there(target: Target, selection: Selection) -> Iterable[str]:
    site = on_cluster.on(target)
    uids = on_cluster.uids(selection)
    for pod in site.cluster.list(pods.POD, site.namespace):
        if pods.uid(pod) in uids:
            yield f"{pods.name(pod)}: {'is about to go' if pods.going(pod) else 'is still there'}"
    yield from pods.served(site, uids)
