"""Which rights a run needs on the cluster, as data: asked for in the preflight, and written as a Role."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from harness.kube.rights import Right
from harness.targets.kubernetes.api import ApiError, Cluster, Manifest, Resource

THREADS = 8
# OPTIONS has no verb in RBAC: a gate that asks so needs the empty one.
PROXY_VERBS = {"GET": "get", "POST": "create", "PUT": "update", "OPTIONS": ""}


def needed(
    kinds: Iterable[Resource],
    methods: Iterable[str],
    makes_namespace: bool,
    watches_databases: bool = False,
    fills_in_secrets: bool = False,
) -> list[Right]:
    """What bringing up, checking and taking down needs: `kinds` are what is applied, `methods` the HTTP methods by
    which gates ask pods. Whether a database that is out of sight stands still takes kubelets' signs of life; secrets
    have to be read only where URLs are filled in with them."""
    kinds = list(kinds)
    found = {
        Right(each.group, each.plural, verb, namespaced=each.namespaced)
        for each in kinds
        for verb in ("get", "list", "create", "patch", "delete")
    }
    if any((each.group, each.plural) == ("apps", "statefulsets") for each in kinds):
        found.add(Right("", "pods", "delete"))  # of a bad release, when it is taken back
    found |= {Right("", "pods", verb) for verb in ("get", "list")}
    found |= {Right("", "pods", PROXY_VERBS[method], "proxy") for method in {*methods, "GET"}}
    found.add(Right("", "pods", "get", "log"))
    # A WebSocket is a GET, and new API servers want the right to make one besides.
    found |= {Right("", "pods", verb, "portforward") for verb in ("get", "create")}
    found |= {Right("", "secrets", verb) for verb in ("list", "create", "delete")}
    found |= {Right("", "secrets", "get", needed=fills_in_secrets), Right("", "configmaps", "get", needed=False)}
    found |= {Right("", "persistentvolumeclaims", verb) for verb in ("list", "delete")}
    found |= {Right("apps", plural, "list") for plural in ("deployments", "statefulsets", "daemonsets", "replicasets")}
    found |= {Right("", "services", "list"), Right("discovery.k8s.io", "endpointslices", "list")}
    found |= {Right("coordination.k8s.io", "leases", verb) for verb in ("get", "list", "create", "delete")}
    found.add(Right("", "events", "list", needed=False))
    found |= {Right("", "namespaces", "get", namespaced=False, needed=makes_namespace)}
    if makes_namespace:
        found |= {Right("", "namespaces", verb, namespaced=False) for verb in ("create", "delete")}
    found |= {Right("", plural, "list", namespaced=False, needed=False) for plural in ("nodes", "pods")}
    found.add(Right("", "persistentvolumes", "list", namespaced=False, needed=False))
    if watches_databases:
        found.add(Right("coordination.k8s.io", "leases", "get", namespaced=False, needed=False))
    for plural in ("storageclasses", "csistoragecapacities"):
        found.add(Right("storage.k8s.io", plural, "list", namespaced=False, needed=False))
    return sorted(found)


def granted(manifests: Iterable[Manifest]) -> list[Right]:
    """What Roles among the objects give: nobody may give a right that he has not."""
    return [
        Right(group, *_split(resource, verb), namespaced=each["kind"] == "Role")
        for each in manifests
        if each["kind"] in ("Role", "ClusterRole")
        for rule in each.get("rules") or []
        for group in rule.get("apiGroups") or []
        for resource in rule.get("resources") or []
        for verb in rule["verbs"]
    ]


def _split(resource: str, verb: str) -> tuple[str, str, str]:
    name, _, subresource = resource.partition("/")
    return name, verb, subresource


def denied(cluster: Cluster, namespace: str, rights: Sequence[Right]) -> list[Right]:
    """Those that the cluster says we do not have."""

    def asked(each: Right) -> bool:
        place = namespace if each.namespaced else ""
        return cluster.allowed(each.verb, each.group, each.resource, each.subresource, place)

    with ThreadPoolExecutor(max_workers=THREADS) as pool:
        answers = list(pool.map(asked, rights))
    return [each for each, allowed in zip(rights, answers, strict=True) if not allowed]


def roles(rights: Sequence[Right], name: str, namespace: str) -> list[dict[str, Any]]:
    """A Role with what is needed within the namespace, and a ClusterRole with the rest, apart."""
    about = {"name": name}
    made: list[dict[str, Any]] = [
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "Role",
            "metadata": {**about, "namespace": namespace},
            "rules": rules([each for each in rights if each.namespaced]),
        }
    ]
    if wide := [each for each in rights if not each.namespaced]:
        made.append(
            {
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "ClusterRole",
                "metadata": about,
                "rules": rules(wide),
            }
        )
    return made


def rules(rights: Iterable[Right]) -> list[dict[str, list[str]]]:
    """As RBAC writes them: resources of a group that share their verbs stand in one rule."""
    verbs: dict[tuple[str, str], list[str]] = {}
    for each in sorted(rights):
        whole = each.resource + (f"/{each.subresource}" if each.subresource else "")
        verbs.setdefault((each.group, whole), []).append(each.verb)
    grouped: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for (group, resource), those in verbs.items():
        grouped.setdefault((group, tuple(dict.fromkeys(those))), []).append(resource)
    return [
        {"apiGroups": [group], "resources": resources, "verbs": list(those)}
        for (group, those), resources in grouped.items()
    ]


def by_kind(cluster: Cluster, kinds: Iterable[str]) -> Mapping[str, Resource]:
    """apiVersion/Kind → where it is served, for those that are."""
    found = {}
    for kind in kinds:
        try:
            found[kind] = cluster.resource(kind)
        except ApiError as error:
            if error.status != 404:
                raise
    return found
