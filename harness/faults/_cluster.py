"""What the kinds on Kubernetes share: the way to the cluster, what is refused before anything, which pods are meant."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence

from pydantic import Field

from harness.errors import BadInput, TargetError
from harness.faults import _shared as shared
from harness.kube import pods
from harness.kube.pods import Workload, read_mark
from harness.kube.ports import Kubernetes, Manifest, Site
from harness.kube.rights import Right, rights
from harness.kube.rights import check as check_rights
from harness.model.base import Frozen
from harness.model.platform import PlatformSpec
from harness.ports import Selection, Target

ID = "id"  # in a selection's `before`: what all objects that are made for the fault carry
LOOKING = (*rights("get list", "pods"), *rights("list", "endpointslices", "discovery.k8s.io"))
SCALABLE = ("Deployment", "StatefulSet")


class Pods(Frozen):
    """Which instances: of this service, in this region (every region when left out), the first `count` of them."""

    service: str
    region: str | None = None
    count: int | None = Field(default=None, ge=1)


class Whole(Frozen):
    """Which workload: that of this service, in this region (every region when left out), with all its pods."""

    service: str
    region: str | None = None


def on(target: Target) -> Site:
    """Where the target's platform runs; TargetError when that is on no cluster."""
    if not isinstance(target, Kubernetes):
        raise TargetError(f"{type(target).__name__} is not on a cluster")
    return target.site()


def check(target: Target, needed: Iterable[Right]) -> Site:
    """Refuses with BadInput, before anything happens, what must not or may not be done."""
    site = on(target)
    check_rights(site, needed)
    return site


def predict(platform: PlatformSpec, parameters: Pods | Whole) -> Selection:
    names = shared.predicted(platform, parameters.service, parameters.region)
    return Selection(names[: parameters.count] if isinstance(parameters, Pods) else names)


def predict_node(platform: PlatformSpec, parameters: Whole) -> Selection:
    """Everything that may lie on the node of the service's first instance: all of its region. Which of it does,
    only the cluster knows."""
    regions = [
        region
        for each in platform.services
        if each.name == parameters.service
        for region in each.instances
        if parameters.region in (None, region)
    ]
    return Selection(tuple(name for region in regions for name in shared.predicted(platform, None, region)))


def first_node(target: Target, site: Site, parameters: Whole) -> tuple[str, dict[str, Manifest]]:
    """(the node of the service's first instance, the platform's pods on it by name); ("", {}) when there is none."""
    ours = pods.by_name(site, {each.name for each in target.instances()})
    first = [each.name for each in target.instances(parameters.service, parameters.region) if each.name in ours][:1]
    node = pods.node(ours[first[0]]) if first else ""
    return node, {name: pod for name, pod in sorted(ours.items()) if node and pods.node(pod) == node}


def select(target: Target, parameters: Pods | Whole, needed: Sequence[Right], scalable: bool = False) -> Selection:
    """The pods that are meant, each with its mark, and an id for what the fault makes.

    Raises BadInput for a right that is lacking, a protected namespace, a pod that nobody would replace, and
    (`scalable`) one whose workload cannot be scaled.
    """
    site = check(target, (*LOOKING, *needed))
    chosen = target.instances(parameters.service, parameters.region)
    if isinstance(parameters, Pods):
        chosen = chosen[: parameters.count]
    found = pods.by_name(site, {each.name for each in chosen})
    marks = {each.name: pods.mark(found[each.name]) for each in chosen if each.name in found}
    for name, mark in marks.items():
        if not mark.workload.kind:
            raise BadInput(f"pod {name} belongs to no workload: nobody would replace it")
        if scalable and mark.workload.kind not in SCALABLE:
            raise BadInput(f"pod {name} belongs to {mark.workload}", fix=f"one of {' or '.join(SCALABLE)}")
    return Selection(tuple(marks), {**{name: str(mark) for name, mark in marks.items()}, ID: new_id()})


def workloads(selection: Selection) -> list[Workload]:
    """Of the selected pods, each once."""
    return list(dict.fromkeys(read_mark(text).workload for text in shared.marks(selection).values()))


def uids(selection: Selection) -> set[str]:
    return {read_mark(text).uid for text in shared.marks(selection).values()}


def read(site: Site, workload: Workload) -> Manifest:
    """The workload as it is now; TargetError when it is gone."""
    there = site.cluster.read(workload.api_kind, site.namespace, workload.name)
    if there is None:
        raise TargetError(f"{workload}: there is no such workload any more")
    return there


def complete(site: Site, workload: Workload) -> Iterable[str]:
    """What keeps a workload from having all its pods, of its newest template, ready."""
    there = read(site, workload)
    status, wanted = there.get("status", {}), int(there["spec"].get("replicas", 1))
    if int(status.get("observedGeneration", 0)) < int(there["metadata"].get("generation", 0)):
        yield f"{workload}: its controller has not seen the change yet"
    for name in ("replicas", "updatedReplicas", "readyReplicas"):
        if workload.kind == "StatefulSet" and name == "updatedReplicas":
            continue  # counts only while a rollout goes on
        if int(status.get(name, 0)) != wanted:
            yield f"{workload}: {name} is {status.get(name, 0)}, not {wanted}"


def new_id() -> str:
    """What all objects that are made for a fault carry; kept in the selection, so that a cold process knows it."""
    return secrets.token_hex(5)
