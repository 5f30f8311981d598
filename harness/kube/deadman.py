"""The dead man's switch of a fault that lies in the API's objects: a pod that undoes it at its deadline, whatever
becomes of the harness. It acts as an account of its own, which may do exactly these calls and no other. It has no end
of its own before the API server has taken them: a fault stands for as long as the server is away.

Armed before the fault is made; disarmed by `disarm`, which the fault's `recover` calls after it has undone the fault.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from harness.errors import TargetError
from harness.kube import agent
from harness.kube.ports import Manifest, Site, status_of
from harness.kube.rights import rights

WITHOUT_DEADLINE_S = 300.0
ACCOUNT, POD = "v1/ServiceAccount", "v1/Pod"
RBAC = "rbac.authorization.k8s.io"
RIGHTS = (
    *agent.RIGHTS,
    *rights("list create delete", "serviceaccounts"),
    *rights("list create delete", "roles", RBAC),
    *rights("list create delete", "rolebindings", RBAC),
)
CLUSTER_RIGHTS = (
    *rights("list create delete", "clusterroles", RBAC, namespaced=False),
    *rights("list create delete", "clusterrolebindings", RBAC, namespaced=False),
)


@dataclass(frozen=True)
class Call:
    """One call that undoes: JSON merge patch, or a deletion. `rule` is what its account needs for it."""

    path: str
    rule: Manifest
    change: Manifest | None = None
    cluster_wide: bool = False

    def as_json(self) -> dict[str, str]:
        if self.change is None:
            return {"method": "DELETE", "path": self.path}
        return {"method": "PATCH", "path": self.path, "body": json.dumps(self.change)}


def patch(
    site: Site, group: str, resource: str, name: str, change: Manifest, subresource: str = "", wide: bool = False
) -> Call:
    """A merge patch of one object, and the right to patch that one; `wide`: one that lies in no namespace."""
    root = f"/apis/{group}/v1" if group else "/api/v1"
    where = "" if wide else f"/namespaces/{site.namespace}"
    tail = f"/{subresource}" if subresource else ""
    rule = {"apiGroups": [group], "resources": [resource + tail], "resourceNames": [name], "verbs": ["patch"]}
    return Call(f"{root}{where}/{resource}/{name}{tail}", rule, change, cluster_wide=wide)


def delete_pods(site: Site, fault: str) -> Call:
    """All pods that a fault's own template made."""
    rule = {"apiGroups": [""], "resources": ["pods"], "verbs": ["deletecollection"]}
    made = f"{agent.FAULT}%3D{fault},{agent.NAME}%21%3Dharness-agent"
    return Call(f"/api/v1/namespaces/{site.namespace}/pods?labelSelector={made}", rule)


def seconds_left(deadline_wall_ns: int) -> float:
    """From now to a token's deadline; a duration, so that clocks need not agree."""
    return max(1.0, deadline_wall_ns / 1e9 - time.time()) if deadline_wall_ns else WITHOUT_DEADLINE_S


def arm(site: Site, fault: str, calls: Sequence[Call], seconds: float, avoid: Sequence[str] = ()) -> None:
    """Returns when the switch is armed; `avoid` names nodes it must not run on. Idempotent."""
    name = f"harness-undo-{fault}"
    about = {"name": name, "namespace": site.namespace, "labels": agent.labels(site, fault)}
    _create(site, {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": about})
    subject = {"kind": "ServiceAccount", "name": name, "namespace": site.namespace}
    for prefix, wide in (("", False), ("Cluster", True)):
        rules = [call.rule for call in calls if call.cluster_wide is wide]
        if rules:
            where = {key: value for key, value in about.items() if not (wide and key == "namespace")}
            role: dict[str, Any] = {"apiVersion": f"{RBAC}/v1", "kind": f"{prefix}Role", "metadata": where}
            _create(site, {**role, "rules": rules})
            reference = {"apiGroup": RBAC, "kind": f"{prefix}Role", "name": name}
            _create(site, {**role, "kind": f"{prefix}RoleBinding", "roleRef": reference, "subjects": [subject]})
    more: dict[str, Any] = {
        "serviceAccountName": name,
        "automountServiceAccountToken": True,
        "activeDeadlineSeconds": None,
    }
    if avoid:
        term = {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "NotIn", "values": list(avoid)}]}
        required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}
        more["affinity"] = {"nodeAffinity": required}
    argv = [str(seconds), json.dumps([call.as_json() for call in calls])]
    agent.launch(site, name, fault, ("undo",), argv, seconds, security=agent.NOBODY, more=more)


def disarm(site: Site, fault: str, cluster_wide: bool = False) -> None:
    """Removes the switch's account with all its rights, then the switch itself. Idempotent, and from cold."""
    for kind, namespace in _kinds(site, cluster_wide):
        for each in site.cluster.list(kind, namespace, {agent.FAULT: fault}):
            site.cluster.delete(kind, namespace, each["metadata"]["name"])
    agent.remove(site, fault)


def remaining(site: Site, fault: str, cluster_wide: bool = False) -> Iterator[str]:
    """What is still there of a fault's switch."""
    yield from agent.remaining(site, fault)
    for kind, namespace in _kinds(site, cluster_wide):
        for each in site.cluster.list(kind, namespace, {agent.FAULT: fault}):
            yield f"{kind.rpartition('/')[2]} {each['metadata']['name']} is still there"


def _kinds(site: Site, cluster_wide: bool) -> list[tuple[str, str]]:
    kinds = [(f"{RBAC}/v1/RoleBinding", site.namespace), (f"{RBAC}/v1/Role", site.namespace)]
    if cluster_wide:
        kinds += [(f"{RBAC}/v1/ClusterRoleBinding", ""), (f"{RBAC}/v1/ClusterRole", "")]
    return [*kinds, (ACCOUNT, site.namespace)]


def _create(site: Site, manifest: Manifest) -> None:
    try:
        site.cluster.create(manifest)
    except TargetError as error:
        if status_of(error) != 409:
            raise
