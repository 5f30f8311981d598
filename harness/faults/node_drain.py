"""A node takes no new pods (cordon) and the platform's pods on it are asked to go (drain), as before maintenance.

    provider:
      type: python
      module: harness.chaos.actions
      func: inject
      arguments: {fault: node_drain, parameters: {service: weaviate, region: sjc}, blast_radius: 20}

The node is that of the service's first instance. Pods go as far as disruption budgets allow: one that they keep is
asked again, and when it may not go within `within` the fault fails and the node is uncordoned. Only the platform's own
pods are asked to go, and none of a DaemonSet. Since others' pods that end meanwhile find no place there either, it is
refused where pods of other namespaces are on the node, unless these are named (`others`), and where another run has
hold of a node of the cluster. Landed: the node is unschedulable and the selected pods are gone. Gone:
it is schedulable and every workload has all its pods ready. A dead man's switch in the cluster uncordons the node when
`undo_within` is over.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

from harness.errors import BadInput, TargetError
from harness.faults import _cluster as on_cluster
from harness.faults import _nodes as on_node
from harness.faults import _shared as shared
from harness.kube import deadman, holds, pods
from harness.kube.ports import Kubernetes, Manifest, Site, status_of
from harness.kube.rights import rights
from harness.model.base import Duration
from harness.model.platform import PlatformSpec
from harness.ports import Observation, Selection, Target

REQUIRES = (Kubernetes,)
RIGHTS = (
    *on_cluster.LOOKING,
    *rights("create", "pods", subresource="eviction"),
    *rights("get", "deployments", "apps"),
    *rights("get", "statefulsets", "apps"),
    *on_node.RIGHTS,
    *deadman.RIGHTS,
    *deadman.CLUSTER_RIGHTS,
)
NODE, KIND = on_node.NODE, holds.KIND
OUTLIVES_PLATFORM = True
AGAIN_S = 1.0
UNCORDONED = {"spec": {"unschedulable": None}}


class Parameters(on_node.Parameters):
    """The node of the first instance of this service, in this region; `evict` false: only cordoned. `others`:
    namespaces whose pods may be on it too (a list, or a text with commas between them)."""

    evict: bool = True
    within: Duration = 120.0


def predict(platform: PlatformSpec, parameters: Parameters) -> Selection:
    found = on_cluster.predict_node(platform, parameters)
    return found if parameters.evict else Selection(found.names[:1])


def select(target: Target, parameters: Parameters) -> Selection:
    """The platform's pods on the node; without `evict` the one that names it."""
    site = on_cluster.check(target, RIGHTS)
    node, found = on_cluster.first_node(target, site, parameters)
    if node and (site.cluster.read(KIND, "", node) or {}).get("spec", {}).get("unschedulable"):
        raise BadInput(f"node {node} is cordoned already: undoing would uncordon what somebody else cordoned")
    others = on_node.check(target, node, parameters.others)
    marks = {name: str(pods.mark(pod)) for name, pod in found.items() if pods.workload(pod).kind in on_cluster.SCALABLE}
    chosen = marks if parameters.evict else dict(list(marks.items())[:1])
    return Selection(tuple(chosen), {**chosen, NODE: node, on_node.OTHERS: others, on_cluster.ID: on_cluster.new_id()})


def prepare(target: Target, selection: Selection, parameters: Parameters) -> None:
    site = on_cluster.on(target)
    node = selection.before[NODE]
    holds.claim(site, *on_node.held(selection))
    calls = [deadman.patch(site, "", "nodes", node, {**UNCORDONED, **holds.given_back()}, wide=True)]
    seconds = deadman.seconds_left(selection.deadline_wall_ns)
    deadman.arm(site, selection.before[on_cluster.ID], calls, seconds, avoid=[node])


def inject(target: Target, selection: Selection, parameters: Parameters) -> None:
    site = on_cluster.on(target)
    site.cluster.patch(KIND, "", selection.before[NODE], {"spec": {"unschedulable": True}})
    if not parameters.evict:
        return
    waiting = {name: pods.read_mark(text).uid for name, text in shared.marks(selection).items()}
    end = time.monotonic() + parameters.within
    while waiting:
        refused = {name: why for name, uid in waiting.items() if (why := _refused(site, name, uid))}
        waiting = {name: waiting[name] for name in refused}
        if waiting and time.monotonic() > end:
            site.cluster.patch(KIND, "", selection.before[NODE], UNCORDONED)
            told = "; ".join(f"{name} may not go: {why}" for name, why in refused.items())
            raise TargetError(f"{told}\n  fix: allow more disruption, or drain less")
        if waiting:
            time.sleep(AGAIN_S)


def landed(target: Target, selection: Selection, parameters: Parameters) -> Observation:
    told = on_node.seen(f"node {selection.before[NODE]} is drained", selection)
    return shared.observation(_not_drained(target, selection, parameters), "API server", told)


def gone(target: Target, selection: Selection, parameters: Parameters) -> Observation:
    return shared.observation(
        _not_back(target, selection), "API server and kubelet", "the node takes pods and all pods are ready"
    )


def recover(target: Target, selection: Selection, parameters: Parameters) -> None:
    site = on_cluster.on(target)
    if not holds.is_anothers(site, *on_node.held(selection)):
        if _node(site, selection).get("spec", {}).get("unschedulable"):
            site.cluster.patch(KIND, "", selection.before[NODE], UNCORDONED)
        holds.release(site, *on_node.held(selection))
    deadman.disarm(site, selection.before[on_cluster.ID], cluster_wide=True)


def by_hand(selection: Selection, parameters: Parameters) -> str:
    node = selection.before[NODE]
    return f"kubectl uncordon {node}; {holds.by_hand(node)}"


def _refused(site: Site, name: str, uid: str) -> str:
    """Why a pod may not go yet, "" when it was asked to, or is gone."""
    try:
        site.cluster.evict(site.namespace, name, uid=uid)
    except TargetError as error:
        if status_of(error) == 429:
            return str(error).splitlines()[0]
        if status_of(error) != 409:  # 409: there is another pod of that name by now
            raise
    return ""


def _node(site: Site, selection: Selection) -> Manifest:
    return site.cluster.read(KIND, "", selection.before[NODE]) or {}


def _not_drained(target: Target, selection: Selection, parameters: Parameters) -> Iterable[str]:
    site = on_cluster.on(target)
    if not _node(site, selection).get("spec", {}).get("unschedulable"):
        yield f"node {selection.before[NODE]} takes pods"
    if parameters.evict:
        uids = on_cluster.uids(selection)
        for pod in site.cluster.list(pods.POD, site.namespace):
            if pods.uid(pod) in uids:
                yield f"{pods.name(pod)}: is still there"
        yield from pods.served(site, uids)


def _not_back(target: Target, selection: Selection) -> Iterable[str]:
    site = on_cluster.on(target)
    if _node(site, selection).get("spec", {}).get("unschedulable"):
        yield f"node {selection.before[NODE]} is unschedulable"
    yield from holds.remaining(site, *on_node.held(selection))
    for workload in on_cluster.workloads(selection):
        yield from on_cluster.complete(site, workload)
    yield from deadman.remaining(site, selection.before[on_cluster.ID], cluster_wide=True)
