"""A cluster in memory, the equal of `harness.targets.kubernetes.api.Cluster`: objects are dicts, controllers act when
somebody looks, a pod's answers come from a function."""

from __future__ import annotations

import copy
import hashlib
import itertools
import json
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from harness.targets.kubernetes.api import LOG_BYTES, ApiError, Manifest, Ran, Resource
from harness.targets.probe import Answer

SERVED = {
    "v1": [
        "Namespace", "Node", "PersistentVolume",
        "Pod", "Secret", "Service", "ConfigMap", "PersistentVolumeClaim", "Event",
    ],
    "apps/v1": ["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet"],
    "coordination.k8s.io/v1": ["Lease"],
    "storage.k8s.io/v1": ["StorageClass", "CSIStorageCapacity"],
    "rbac.authorization.k8s.io/v1": ["Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"],
    "discovery.k8s.io/v1": ["EndpointSlice"],
    "gateway.networking.k8s.io/v1": ["HTTPRoute"],
}  # fmt: skip
WHOLE = ("Namespace", "Node", "PersistentVolume", "StorageClass", "ClusterRole", "ClusterRoleBinding")
SLICE = "discovery.k8s.io/v1/EndpointSlice"
Where = tuple[str, str, str]  # kind, namespace, name


def node(
    name: str, labels: Mapping[str, str] | None = None, cpu: str = "4", memory: str = "8Gi", architecture: str = "amd64"
) -> Manifest:
    """A node that is Ready and has room."""
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": dict(labels or {})},
        "spec": {},
        "status": {
            "allocatable": {"cpu": cpu, "memory": memory, "pods": "110"},
            "conditions": [{"type": "Ready", "status": "True"}],
            "nodeInfo": {"architecture": architecture},
        },
    }


@dataclass
class FakeCluster:
    """See the module.

    `answers(pod, port, method, path, body)` is what a pod says; `broken` names images whose pods never become ready;
    `forbidden` are (verb, resource) that we lack, `only_within` those that we have in namespaces only; `stuck` names
    objects that survive their deletion; `closed` are (pod, port) at which nothing listens; `routes` is how the
    Gateway controller takes routes up: "told" with the generation, "untold" without, "away" never; `lagging` Services
    lead where they did; `kubelets` that may be asked say by uid what runs on their node; `written` is the log of a
    pod (its name, whether of the run before).
    """

    answers: Callable[[Manifest, int, str, str, str | None], Answer]
    context: str = "fake"
    server: str = "https://fake.invalid"
    broken: set[str] = field(default_factory=set)
    forbidden: set[tuple[str, str]] = field(default_factory=set)
    only_within: set[tuple[str, str]] = field(default_factory=set)
    stuck: set[str] = field(default_factory=set)
    closed: set[tuple[str, int]] = field(default_factory=set)
    routes: Literal["told", "untold", "away"] = "told"
    lagging: set[str] = field(default_factory=set)
    kubelets: dict[str, frozenset[str]] = field(default_factory=dict)
    written: dict[tuple[str, bool], str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._objects: dict[Where, Manifest] = {}
        self._applied: dict[Where, Manifest] = {}
        self._selectors: dict[Where, dict[str, str]] = {}
        self._numbers = itertools.count(1)
        self.requests: list[str] = []  # verb and object of everything that changed something
        for each in ("kube-system", "default"):
            self._put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": each}})
        self._put(node("node-1"))

    # -- objects

    def version(self) -> str:
        return "v0-fake"

    def resource(self, kind: str) -> Resource:
        api_version, _, name = kind.rpartition("/")
        if name not in SERVED.get(api_version, []):
            raise ApiError(f"{kind} is not served", 404, "NotFound")
        group, _, version = api_version.rpartition("/")
        plural = name.lower().removesuffix("y") + {"s": "es", "y": "ies"}.get(name[-1], "s")
        return Resource(group, version, plural, name not in WHOLE)

    def read(self, kind: str, namespace: str, name: str) -> Manifest | None:
        self._may("get", kind)
        self._settle()
        found = self._objects.get((kind, namespace, name))
        return copy.deepcopy(found)

    def list(
        self, kind: str, namespace: str = "", labels: Mapping[str, str] | str = "", fields: str = ""
    ) -> Sequence[Manifest]:
        self._may("list", kind)
        if not namespace and ("list", self.resource(kind).plural) in self.only_within:
            raise ApiError(f"list {kind} in all namespaces: forbidden", 403, "Forbidden")
        self._settle()
        if kind == SLICE:
            return [self._slice_of(each) for each in self._objects.values() if _is_service(each, namespace)]
        wanted = dict(part.split("=", 1) for part in labels.split(",") if part) if isinstance(labels, str) else labels
        return [
            copy.deepcopy(each)
            for (its_kind, place, _), each in self._objects.items()
            if its_kind == kind
            and namespace in ("", place)
            and wanted.items() <= (each["metadata"].get("labels") or {}).items()
        ]

    def create(self, manifest: Manifest) -> Manifest:
        where = _where(manifest)
        self._may("create", where[0])
        self._needs_namespace(where)
        if where in self._objects:
            raise ApiError(f"{where[2]} already exists", 409, "AlreadyExists")
        return self._changed("create", manifest)

    def apply(self, manifest: Manifest, force: bool = False, dry_run: bool = False) -> Manifest:
        where = _where(manifest)
        self._may("patch", where[0])
        self._needs_namespace(where)
        if dry_run:
            return copy.deepcopy(manifest)
        there = _without(self._objects.get(where, {}), self._applied.get(where, {}), manifest)
        self._applied[where] = copy.deepcopy(manifest)
        return self._changed("apply", _merged(there, manifest))

    def patch(self, kind: str, namespace: str, name: str, change: Manifest, subresource: str = "") -> Manifest:
        self._may("patch", kind)
        if (kind, namespace, name) not in self._objects:
            raise ApiError(f"{name} not found", 404, "NotFound")
        seen = (change.get("metadata") or {}).get("resourceVersion")
        if seen and seen != self._objects[kind, namespace, name]["metadata"]["resourceVersion"]:
            raise ApiError("the object has changed", 409, "Conflict")
        return self._changed("patch", _merged(self._objects[kind, namespace, name], change))

    def delete(self, kind: str, namespace: str, name: str, *, uid: str = "", grace_s: int | None = None) -> bool:
        self._may("delete", kind)
        found = self._objects.get((kind, namespace, name))
        if found is None:
            return False
        if uid and found["metadata"]["uid"] != uid:
            raise ApiError("the uid is another one", 409, "Conflict")
        self.requests.append(f"delete {kind} {name}")
        if name not in self.stuck:
            del self._objects[kind, namespace, name]
            self._applied.pop((kind, namespace, name), None)
        if kind == "v1/Namespace" and name not in self.stuck:
            for where in [each for each in self._objects if each[1] == name]:
                del self._objects[where]
        return True

    # -- pods

    def proxy(
        self,
        namespace: str,
        pod: str,
        port: int,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        body: str | bytes | None = None,
        timeout_s: float = 5.0,
    ) -> Answer:
        found = self.read("v1/Pod", namespace, pod)
        if found is not None and (pod, port) in self.closed:
            raise ApiError(f"dial tcp {pod}:{port}: connect: connection refused", 503, "ServiceUnavailable")
        if found is None or not _ready(found):
            raise ApiError(f"{pod}:{port} does not answer", 503, "ServiceUnavailable")
        return self.answers(found, port, method, path, body.decode() if isinstance(body, bytes) else body)

    def exec(self, namespace: str, pod: str, container: str, argv: Sequence[str], timeout_s: float = 30.0) -> Ran:
        return Ran(0, "")

    def forward(self, namespace: str, pod: str, port: int) -> socket.socket:
        raise ApiError(f"{pod}:{port} cannot be forwarded: there is nothing behind it")

    def running(self, node: str, within_s: float) -> frozenset[str]:
        if node not in self.kubelets:
            raise ApiError(f"nodes/{node}/proxy: forbidden", 403, "Forbidden")
        return self.kubelets[node]

    def refuses(self, namespace: str, pod: str, port: int, within_s: float) -> bool:
        return (pod, port) in self.closed

    def logs(
        self,
        namespace: str,
        pod: str,
        container: str,
        previous: bool = False,
        limit_bytes: int = LOG_BYTES,
        within_s: float = 5.0,
    ) -> str:
        if self.read("v1/Pod", namespace, pod) is None:
            raise ApiError(f"no pod {pod}", 404, "NotFound")
        return self.written.get((pod, previous), "Server is up\n")[:limit_bytes]

    def allowed(
        self, verb: str, group: str, resource: str, subresource: str = "", namespace: str = "", name: str = ""
    ) -> bool:
        return (verb, resource) not in self.forbidden | (set() if namespace else self.only_within)

    # -- controllers

    def _settle(self) -> None:
        """What controllers and kubelets would have done by now."""
        for each in [one for one in self._objects.values() if one["kind"] in ("Deployment", "StatefulSet")]:
            self._pods_of(each)
        for each in [one for one in self._objects.values() if one["kind"] == "HTTPRoute"]:
            self._take_up(each)
        owners = {each["metadata"]["uid"] for each in self._objects.values()}
        for where, each in list(self._objects.items()):
            if any(one["uid"] not in owners for one in each["metadata"].get("ownerReferences") or []):
                del self._objects[where]

    def _slice_of(self, service: Manifest) -> Manifest:
        """Where a Service leads."""
        about = service["metadata"]
        if about["name"] not in self.lagging:
            self._selectors[_where(service)] = dict(service["spec"]["selector"])
        selector = self._selectors[_where(service)]
        mine = [each for each in self._objects.values() if each["kind"] == "Pod" and _selected(each, service, selector)]
        endpoints = [
            {
                "addresses": [each["status"]["podIP"]],
                "conditions": {"ready": _ready(each)},
                "targetRef": {"kind": "Pod", "name": each["metadata"]["name"], "uid": each["metadata"]["uid"]},
            }
            for each in mine
        ]
        labels = {"kubernetes.io/service-name": about["name"]}
        named = {"name": f"{about['name']}-slice", "namespace": about["namespace"], "labels": labels}
        return {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": named, "endpoints": endpoints}

    def _take_up(self, route: Manifest) -> None:
        if self.routes == "away":
            return
        told = {"observedGeneration": route["metadata"]["generation"]} if self.routes == "told" else {}
        for parent in (route.get("status") or {}).get("parents") or []:
            parent["conditions"] = [
                {**{key: value for key, value in each.items() if key != "observedGeneration"}, **told}
                for each in parent["conditions"]
            ]

    def _pods_of(self, workload: Manifest) -> None:
        about, template = workload["metadata"], workload["spec"]["template"]
        wanted = workload["spec"].get("replicas", 1)
        mine = {
            where: each
            for where, each in self._objects.items()
            if any(one["uid"] == about["uid"] for one in each["metadata"].get("ownerReferences") or [])
        }
        stateful = workload["kind"] == "StatefulSet"
        for where, each in mine.items():
            held = stateful and not _ready(each)  # until it is Ready or gone
            if (each["template"] != template and not held) or len(mine) > wanted:
                del self._objects[where]
        kept = [each for where, each in mine.items() if where in self._objects]
        names = {each["metadata"]["name"] for each in kept}
        for number in range(wanted):
            suffix = str(number) if stateful else f"x{number}"
            name = f"{about['name']}-{suffix}"
            if name not in names:
                kept.append(self._put(self._pod(workload, name, number)))
        ready = sum(_ready(each) for each in kept)
        workload["status"] = {
            "observedGeneration": about["generation"],
            "replicas": wanted,
            "updatedReplicas": sum(each["template"] == template for each in kept),
            "readyReplicas": ready,
            "updateRevision": _revision(template),
        }

    def _pod(self, workload: Manifest, name: str, number: int) -> Manifest:
        about, template = workload["metadata"], workload["spec"]["template"]
        labels = dict(template["metadata"]["labels"])
        if workload["kind"] == "StatefulSet":
            labels |= {"apps.kubernetes.io/pod-index": str(number), "controller-revision-hash": _revision(template)}
        images = [each["image"] for each in template["spec"]["containers"]]
        well = not self.broken & set(images)
        state = {"running": {}} if well else {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": name,
                "namespace": about["namespace"],
                "labels": labels,
                "ownerReferences": [{"uid": about["uid"]}],
            },
            "template": copy.deepcopy(template),
            "spec": {**copy.deepcopy(template["spec"]), "nodeName": "node-1"},
            "status": {
                "phase": "Running" if well else "Pending",
                "podIP": "10.0.0.1",
                "conditions": [{"type": "Ready", "status": str(well)}],
                "containerStatuses": [
                    {
                        "name": each["name"],
                        "image": each["image"],
                        "imageID": f"sha256:{each['image'].encode().hex():0<64}"[:71],
                        "containerID": f"fake://{next(self._numbers)}",
                        "restartCount": 0,
                        "state": state,
                    }
                    for each in template["spec"]["containers"]
                ],
            },
        }

    # -- inside

    def _may(self, verb: str, kind: str) -> None:
        resource = self.resource(kind).plural
        if (verb, resource) in self.forbidden:
            raise ApiError(f"{verb} {resource}: forbidden", 403, "Forbidden")

    def _needs_namespace(self, where: Where) -> None:
        if where[1] and ("v1/Namespace", "", where[1]) not in self._objects:
            raise ApiError(f"namespace {where[1]} not found", 404, "NotFound")

    def _changed(self, verb: str, manifest: Manifest) -> Manifest:
        self.requests.append(f"{verb} {_where(manifest)[0]} {manifest['metadata']['name']}")
        return copy.deepcopy(self._put(manifest))

    def _put(self, manifest: Manifest) -> Manifest:
        where, before = _where(manifest), self._objects.get(_where(manifest))
        stored = copy.deepcopy(manifest)
        about = stored["metadata"]
        if stored["kind"] == "Secret" and "stringData" in stored:
            import base64

            coded = {key: base64.b64encode(text.encode()).decode() for key, text in stored.pop("stringData").items()}
            stored["data"] = {**stored.get("data", {}), **coded}
        about["uid"] = before["metadata"]["uid"] if before else f"uid-{next(self._numbers)}"
        number = next(self._numbers)
        about["resourceVersion"] = str(number)
        about["generation"] = number
        self._objects[where] = stored
        return stored


def _where(manifest: Manifest) -> Where:
    about = manifest["metadata"]
    return f"{manifest['apiVersion']}/{manifest['kind']}", about.get("namespace", ""), about["name"]


def _ready(pod: Manifest) -> bool:
    return any(each == {"type": "Ready", "status": "True"} for each in pod["status"]["conditions"])


def _revision(template: Manifest) -> str:
    return hashlib.sha256(json.dumps(template, sort_keys=True).encode()).hexdigest()[:10]


def _is_service(each: Manifest, namespace: str) -> bool:
    mine = each["kind"] == "Service" and namespace in ("", each["metadata"]["namespace"])
    return mine and bool(each["spec"].get("selector"))


def _selected(pod: Manifest, service: Manifest, selector: Mapping[str, str]) -> bool:
    same = pod["metadata"].get("namespace") == service["metadata"]["namespace"]
    return same and selector.items() <= (pod["metadata"].get("labels") or {}).items()


def _without(there: Any, before: Any, now: Any) -> Any:
    """What was applied before and is not any more goes: map by map."""
    if not (isinstance(there, dict) and isinstance(before, dict) and isinstance(now, dict)):
        return there
    kept = {key: value for key, value in there.items() if key in now or key not in before}
    return {key: _without(value, before.get(key), now.get(key)) for key, value in kept.items()}


def _merged(old: Any, new: Any) -> Any:
    """Maps key by key; lists and all else whole."""
    if not (isinstance(old, dict) and isinstance(new, dict)):
        return copy.deepcopy(new)
    return {**old, **{key: _merged(old.get(key), value) for key, value in new.items()}}
