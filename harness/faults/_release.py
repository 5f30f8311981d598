"""A bad release: a workload's pod template is changed so that its new pods cannot serve, and put back as it was saved.

The new pods carry the fault's id as a label, so that what the bad template made is found and removed also from cold. A
StatefulSet does not replace a pod that never became ready, even after its template is put back: those are deleted.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence

from harness.faults import _cluster as on_cluster
from harness.faults import _shared as shared
from harness.kube import agent, deadman, pods, traffic
from harness.kube.pods import Workload
from harness.kube.ports import Manifest, Site
from harness.kube.rights import Right, rights
from harness.ports import Observation, Selection, Target

RIGHTS = (
    *on_cluster.LOOKING,
    *rights("get patch", "deployments", "apps"),
    *rights("get patch", "statefulsets", "apps"),
    *rights("list delete", "replicasets", "apps"),
    *rights("list delete", "controllerrevisions", "apps"),
    *rights("deletecollection", "pods"),
    *deadman.RIGHTS,
)
LEAVINGS = ("apps/v1/ReplicaSet", "apps/v1/ControllerRevision")


def select(target: Target, parameters: on_cluster.Whole, needed: Sequence[Right]) -> Selection:
    """The pods, and the pod template of each of their workloads as it is now."""
    selection = on_cluster.select(target, parameters, needed, scalable=True)
    site = on_cluster.on(target)
    saved = {
        str(workload): json.dumps(on_cluster.read(site, workload)["spec"]["template"], sort_keys=True)
        for workload in on_cluster.workloads(selection)
    }
    return Selection(selection.names, {**selection.before, **saved})


def prepare(target: Target, selection: Selection, parameters: object) -> None:
    site = on_cluster.on(target)
    fault = selection.before[on_cluster.ID]
    calls = [
        deadman.patch(site, "apps", workload.plural, workload.name, _back(_saved(selection, workload)))
        for workload in on_cluster.workloads(selection)
    ]
    seconds = deadman.seconds_left(selection.deadline_wall_ns)
    deadman.arm(site, fault, [*calls, deadman.delete_pods(site, fault)], seconds)


def inject(target: Target, selection: Selection, spoil: Callable[[Manifest], Manifest]) -> None:
    """`spoil` makes the bad container out of the good one."""
    site = on_cluster.on(target)
    for workload in on_cluster.workloads(selection):
        first, *others = _saved(selection, workload)["spec"]["containers"]
        labels = {agent.FAULT: selection.before[on_cluster.ID]}
        template = {"metadata": {"labels": labels}, "spec": {"containers": [spoil(first), *others]}}
        site.cluster.patch(workload.api_kind, site.namespace, workload.name, {"spec": {"template": template}})


def landed(
    target: Target, selection: Selection, good: Callable[[Site, Manifest], str], seen: str, answers: bool = False
) -> Observation:
    """Of each workload there must be a new pod, and each new one must be as bad as meant: `good` objects, "" if so. No
    Service may count on it, and, unless a bad one `answers` too, nobody may answer there."""
    observer = "kubelet and EndpointSlices" if answers else "kubelet, EndpointSlices, and whoever asks the pods"
    return shared.observation(_whole(target, selection, good, answers), observer, seen)


def gone(target: Target, selection: Selection, parameters: object) -> Observation:
    return shared.observation(
        _not_back(target, selection), "API server and kubelet", "the saved template is back and all its pods are ready"
    )


def recover(target: Target, selection: Selection, parameters: object) -> None:
    site = on_cluster.on(target)
    fault = selection.before[on_cluster.ID]
    for workload in on_cluster.workloads(selection):
        there = site.cluster.read(workload.api_kind, site.namespace, workload.name)
        if there is not None and agent.FAULT in (there["spec"]["template"]["metadata"].get("labels") or {}):
            saved = _saved(selection, workload)
            site.cluster.patch(workload.api_kind, site.namespace, workload.name, _back(saved))
    for pod in new_pods(site, fault):
        if pods.workload(pod).kind == "StatefulSet" and not pods.is_ready(pod):
            site.cluster.delete(pods.POD, site.namespace, pods.name(pod), uid=pods.uid(pod))
    deadman.disarm(site, fault)


def new_pods(site: Site, fault: str) -> list[Manifest]:
    """Pods that the bad template made."""
    return [pod for pod in site.cluster.list(pods.POD, site.namespace, {agent.FAULT: fault}) if pods.workload(pod).kind]


def _saved(selection: Selection, workload: Workload) -> Manifest:
    return dict(json.loads(selection.before[str(workload)]))


def _back(saved: Manifest) -> Manifest:
    """The merge patch that undoes `inject`: lists are replaced as a whole."""
    template = {"metadata": {"labels": {agent.FAULT: None}}, "spec": {"containers": saved["spec"]["containers"]}}
    return {"spec": {"template": template}}


def _whole(target: Target, selection: Selection, good: Callable[[Site, Manifest], str], answers: bool) -> Iterator[str]:
    site = on_cluster.on(target)
    new = [pod for pod in new_pods(site, selection.before[on_cluster.ID]) if not pods.going(pod)]
    for workload in on_cluster.workloads(selection):
        of_it = [pod for pod in new if pods.workload(pod) == workload]
        if not of_it:
            yield f"{workload}: no pod of the bad release is there yet"
        for pod in of_it:
            objections = filter(None, [good(site, pod), *traffic.counted_on(site, pod)])
            yield from (f"{pods.name(pod)}: {each}" for each in objections)
            if not answers:
                yield from (f"{pods.name(pod)}: {each}" for each in traffic.answered(site, pod))


def _not_back(target: Target, selection: Selection) -> Iterable[str]:
    site = on_cluster.on(target)
    fault = selection.before[on_cluster.ID]
    for workload in on_cluster.workloads(selection):
        now = on_cluster.read(site, workload)["spec"]["template"]
        if json.dumps(now, sort_keys=True) != selection.before[str(workload)]:
            yield f"{workload}: its pod template is not what it was"
        yield from on_cluster.complete(site, workload)
    for pod in new_pods(site, fault):
        yield f"{pods.name(pod)}: a pod of the bad release is still there"
    yield from deadman.remaining(site, fault)
    yield from _sweep(site, fault)


def _sweep(site: Site, fault: str) -> Iterator[str]:
    """Removes what the rollout's history keeps of the bad template, once no pod is of it; objects to what it found."""
    for kind in LEAVINGS:
        for each in site.cluster.list(kind, site.namespace, {agent.FAULT: fault}):
            name = each["metadata"]["name"]
            if not new_pods(site, fault) and int(each.get("spec", {}).get("replicas", 0)) == 0:
                site.cluster.delete(kind, site.namespace, name)
            yield f"{kind.rpartition('/')[2]} {name} of the bad release was still there"
