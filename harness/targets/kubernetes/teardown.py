"""The end of a platform on a cluster: everything with the run's label, asked away and then seen to be gone."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from harness.errors import TargetError
from harness.kube import holds
from harness.ports import Leftovers
from harness.targets.kubernetes import claim
from harness.targets.kubernetes.api import ApiError, Cluster, Manifest
from harness.targets.kubernetes.claim import LEASE, LEASE_KIND
from harness.targets.kubernetes.objects import RUN, Key, key
from harness.targets.kubernetes.rights import by_kind
from harness.targets.kubernetes.state import ClusterState

EVERY_S = 0.5
# Of these a run makes some by itself or has them made, whatever the manifests hold.
OWN_KINDS = ("v1/Pod", "v1/Secret", "v1/PersistentVolumeClaim", "apps/v1/ReplicaSet", LEASE_KIND)
# The accounts of dead man's switches. Only a run whose faults have some may look for them.
RBAC = "rbac.authorization.k8s.io/v1"
SWITCH_KINDS = (
    f"{RBAC}/RoleBinding",
    f"{RBAC}/Role",
    "v1/ServiceAccount",
    f"{RBAC}/ClusterRoleBinding",
    f"{RBAC}/ClusterRole",
)


def end(cluster: Cluster, now: ClusterState) -> Leftovers:
    """Deletes what the run made, and waits until it is gone; what is still there, and what we may not look for.

    A namespace that the run made goes as a whole; in one that was there before, each object goes by itself. The Lease
    is given back last. Raises TargetError when the cluster is not the one that the platform was brought up on, and when
    a node is not given back.
    """
    same_cluster(cluster, now)
    _nodes_are_free(cluster, now)
    where = now.on.namespace
    found = claim.namespace(cluster, where)
    volumes = _volumes(cluster, where) if found else []
    if found is not None and claim.is_ours(found, now.id):
        cluster.delete("v1/Namespace", "", where, uid=found["metadata"]["uid"])
    elif found is not None:
        ours = _labelled(cluster, now, namespaced=True, owned=False)
        _delete(cluster, [one for one in ours if one.name != LEASE])
    _delete(cluster, _labelled(cluster, now, namespaced=False, owned=False))
    deadline = time.monotonic() + now.on.down_within
    while left := _seen_left(cluster, now, volumes):
        if time.monotonic() > deadline:
            return Leftovers(objects=tuple(left))
        time.sleep(EVERY_S)
    if found is not None and not claim.is_ours(found, now.id):
        _release_lease(cluster, now)
    return Leftovers(unseen=tuple(_unseen(cluster, now)))


def _nodes_are_free(cluster: Cluster, now: ClusterState) -> None:
    """A switch that still has to give a node back (uncordon it, label it again) would go with the namespace, and nobody
    else would do it; nor would anybody find a node that is marked as held, and off."""
    if marked := _marked(cluster, now.on.namespace):
        raise TargetError(
            f"a fault of this platform's run still has hold of node {', '.join(marked)}\n"
            "  fix: `harness recover RUN` gives it back, and takes the platform down if the run brought it up; when "
            f"nothing is left of that run: {holds.by_hand(marked[0])}"
        )
    try:
        switches = cluster.list(f"{RBAC}/ClusterRole", labels={RUN: now.id})
    except ApiError as error:
        if error.status in (403, 404):  # then the run has none
            return
        raise
    for switch in switches:
        rules = [rule for rule in switch.get("rules") or [] if "nodes" in rule.get("resources", [])]
        names = sorted({name for rule in rules for name in rule.get("resourceNames", [])})
        pod = cluster.read("v1/Pod", now.on.namespace, switch["metadata"]["name"]) if names else None
        waits = pod is not None and pod["status"].get("phase") != "Succeeded"
        held = [name for name in names if waits or _is_cordoned(cluster, name)]
        if held:
            raise TargetError(
                f"a fault of this platform's run still has hold of node {', '.join(held)}\n"
                "  fix: `harness recover RUN` gives it back, and takes the platform down if the run brought it up"
            )


def _marked(cluster: Cluster, namespace: str) -> list[str]:
    """Nodes that a fault of this namespace has, none where we may not look: then no fault of the run takes one."""
    try:
        found = cluster.list(holds.KIND)
    except ApiError as error:
        if error.status == 403:
            return []
        raise
    return [each["metadata"]["name"] for each in found if holds.holder(each).partition("/")[0] == namespace]


def _is_cordoned(cluster: Cluster, name: str) -> bool:
    node = cluster.read("v1/Node", "", name)
    return node is not None and bool(node["spec"].get("unschedulable"))


def _unseen(cluster: Cluster, now: ClusterState) -> Iterator[str]:
    """Kinds of which we may not see whether some are left."""
    for kind, resource in by_kind(cluster, SWITCH_KINDS).items():
        place = now.on.namespace if resource.namespaced else ""
        if kind not in now.kinds and not cluster.allowed("list", resource.group, resource.plural, namespace=place):
            yield resource.plural


def same_cluster(cluster: Cluster, now: ClusterState) -> None:
    """A context may have come to mean another cluster; nothing is done to that one."""
    uid = claim.cluster_uid(cluster)
    if now.cluster and uid != now.cluster:
        raise TargetError(
            f"context {now.on.context!r} is not the cluster any more that {now.id} was brought up on\n"
            f"  fix: let the kubeconfig lead to {now.server} again; when that cluster is gone, remove the state folder"
        )


def _labelled(cluster: Cluster, now: ClusterState, namespaced: bool, owned: bool = True) -> list[Key]:
    """Everything of the run's kinds that carries its label, within its namespace or outside of all. Not `owned`:
    without what goes by itself, with its owner."""
    found: list[Key] = []
    for kind in dict.fromkeys((*now.kinds, *OWN_KINDS, *SWITCH_KINDS)):
        try:
            if cluster.resource(kind).namespaced is namespaced:
                place = now.on.namespace if namespaced else ""
                there = cluster.list(kind, place, {RUN: now.id})
                found += [key(each) for each in there if owned or not each["metadata"].get("ownerReferences")]
        except ApiError as error:
            unseen = error.status == 403 and kind in SWITCH_KINDS and kind not in now.kinds
            if error.status != 404 and not unseen:  # a kind that is not served any more has no objects
                raise
    return found


def _delete(cluster: Cluster, chosen: Sequence[Key]) -> None:
    for one in chosen:
        cluster.delete(one.kind, one.namespace, one.name)


def _volumes(cluster: Cluster, namespace: str) -> list[str]:
    """Names of the volumes that were made for claims in the namespace; none when we may not look."""
    try:
        found = cluster.list("v1/PersistentVolume")
    except ApiError as error:
        if error.status == 403:
            return []
        raise
    return [
        each["metadata"]["name"]
        for each in found
        if (each["spec"].get("claimRef") or {}).get("namespace") == namespace
        and each["spec"].get("persistentVolumeReclaimPolicy") == "Delete"
    ]


def _seen_left(cluster: Cluster, now: ClusterState, volumes: Sequence[str]) -> list[str]:
    """What is left; while the API server is away, that this is not known."""
    try:
        return _left(cluster, now, volumes)
    except ApiError as error:
        if error.passing:
            return [f"not known: {error}"]
        raise


def _left(cluster: Cluster, now: ClusterState, volumes: Sequence[str]) -> list[str]:
    left = []
    found = claim.namespace(cluster, now.on.namespace)
    if found is not None and claim.is_ours(found, now.id):
        left.append(_stuck(found))
    elif found is not None:
        left += [str(one) for one in _labelled(cluster, now, namespaced=True) if one.name != LEASE]
    left += [str(one) for one in _labelled(cluster, now, namespaced=False)]
    if volumes:
        there = {each["metadata"]["name"] for each in cluster.list("v1/PersistentVolume")}
        left += [f"PersistentVolume {name}" for name in volumes if name in there]
    return left


def _stuck(namespace: Manifest) -> str:
    """The namespace, with its own words on what keeps it."""
    conditions = (namespace.get("status") or {}).get("conditions") or []
    why = "; ".join(each["message"] for each in conditions if each["status"] == "True")
    return f"Namespace {namespace['metadata']['name']}" + (f" ({why})" if why else "")


def _release_lease(cluster: Cluster, now: ClusterState) -> None:
    found = cluster.read(LEASE_KIND, now.on.namespace, LEASE)
    if found and (found["metadata"].get("labels") or {}).get(RUN) == now.id:
        cluster.delete(LEASE_KIND, now.on.namespace, LEASE, uid=found["metadata"]["uid"])
