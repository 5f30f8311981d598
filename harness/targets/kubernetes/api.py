"""The API server of a cluster: JSON in, JSON out. Others ask it through here; `connection` and `streams` carry it.

A kind is written `apiVersion/Kind`: "v1/Pod", "apps/v1/Deployment". Objects are plain dicts, as the API gives them.
Nothing is cached but which kinds are served.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote, urlencode

from harness.errors import BadInput
from harness.targets.kubernetes import streams
from harness.targets.kubernetes.connection import APPLY, MERGE, TIMEOUT_S, ApiError, Connection, Manifest, opened
from harness.targets.probe import Answer

__all__ = ["ApiError", "Cluster", "Manifest", "Ran", "Resource"]

FIELD_MANAGER = "sophia-harness"
PAGE = 500
LOG_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True)
class Ran:
    """What a command in a container ended with, and what it printed on both streams."""

    code: int
    output: str


@dataclass(frozen=True)
class Resource:
    """Where objects of a kind are found."""

    group: str
    version: str
    plural: str
    namespaced: bool

    def path(self, namespace: str, name: str = "", subresource: str = "") -> str:
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        place = f"/namespaces/{_segment(namespace)}" if self.namespaced and namespace else ""
        tail = "".join(f"/{_segment(part)}" for part in (name, subresource) if part)
        return f"{root}{place}/{self.plural}{tail}"


class Cluster:
    """One API server; safe for several threads. Every failure is an ApiError.

    A missing object is no failure where a call can say so: `read` gives None, `delete` False.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._resources: dict[str, dict[str, Resource]] = {}
        self._lock = threading.Lock()

    @classmethod
    def connect(cls, kubeconfig: str, context: str) -> Cluster:
        """The cluster of a context; nothing is asked of it yet. Raises BadInput for what cannot be used."""
        return cls(opened(kubeconfig, context))

    @property
    def context(self) -> str:
        return self._connection.context

    @property
    def server(self) -> str:
        return self._connection.server

    # -- objects

    def get(self, path: str, **query: str | int) -> Manifest:
        """The JSON at an API path, for what is no object, as "/version"."""
        return self._connection.json("GET", path, query)

    def version(self) -> str:
        """As "v1.36.3"."""
        return str(self.get("/version")["gitVersion"])

    def resource(self, kind: str) -> Resource:
        """Where a kind is served; ApiError with status 404 when it is not."""
        api_version, _, name = kind.rpartition("/")
        with self._lock:
            if name not in self._resources.get(api_version, {}):  # it may be served by now
                self._resources[api_version] = self._discover(api_version)
            found = self._resources[api_version].get(name)
        if found is None:
            raise ApiError(f"the cluster of context {self.context!r} does not serve {kind}", 404, "NotFound")
        return found

    def _discover(self, api_version: str) -> dict[str, Resource]:
        group, _, version = api_version.rpartition("/")
        try:
            listed = self.get(f"/apis/{api_version}" if group else f"/api/{version}")["resources"]
        except ApiError as error:
            if error.status == 404:
                return {}
            raise
        return {
            each["kind"]: Resource(group, version, each["name"], each["namespaced"])
            for each in listed
            if "/" not in each["name"]
        }

    def read(self, kind: str, namespace: str, name: str) -> Manifest | None:
        """An object, or None. `namespace` is "" for what has none."""
        try:
            return self._connection.json("GET", self.resource(kind).path(namespace, name))
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def list(
        self, kind: str, namespace: str = "", labels: Mapping[str, str] | str = "", fields: str = ""
    ) -> Sequence[Manifest]:
        """All objects of a kind; without a namespace those of all. Each has its apiVersion and kind."""
        selector = labels if isinstance(labels, str) else ",".join(f"{key}={value}" for key, value in labels.items())
        return [*self._pages(kind, namespace, {"labelSelector": selector, "fieldSelector": fields})]

    def _pages(self, kind: str, namespace: str, selectors: Mapping[str, str]) -> Iterator[Manifest]:
        query: dict[str, str | int] = {key: value for key, value in selectors.items() if value}
        query["limit"] = PAGE
        api_version, _, name = kind.rpartition("/")
        while True:
            page = self._connection.json("GET", self.resource(kind).path(namespace), query)
            for item in page.get("items") or []:
                yield {"apiVersion": api_version, "kind": name, **item}
            following = page["metadata"].get("continue")
            if not following:
                return
            query["continue"] = following

    def create(self, manifest: Manifest) -> Manifest:
        """Makes a new object; status 409 when there is one of that name. `generateName` may stand for the name."""
        return self._connection.json(
            "POST", self._place(manifest, named=False), {"fieldManager": FIELD_MANAGER}, manifest
        )

    def apply(self, manifest: Manifest, force: bool = False, dry_run: bool = False) -> Manifest:
        """Server-side apply as our field manager; status 409 when somebody else owns a field, unless `force`."""
        query: dict[str, str | int] = {"fieldManager": FIELD_MANAGER, "force": str(force).lower()}
        if dry_run:
            query["dryRun"] = "All"
        return self._connection.json("PATCH", self._place(manifest), query, manifest, APPLY)

    def patch(self, kind: str, namespace: str, name: str, change: Manifest, subresource: str = "") -> Manifest:
        """JSON merge patch. With `metadata.resourceVersion` in it, status 409 when the object has changed since."""
        path = self.resource(kind).path(namespace, name, subresource)
        return self._connection.json("PATCH", path, {"fieldManager": FIELD_MANAGER}, change, MERGE)

    def delete(self, kind: str, namespace: str, name: str, *, uid: str = "", grace_s: int | None = None) -> bool:
        """Asks for an object's end; False when there is none. With `uid`, status 409 when it is another one by now.

        What belongs to it goes too, later: the garbage collector's business.
        """
        options: Manifest = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background"}
        if uid:
            options["preconditions"] = {"uid": uid}
        if grace_s is not None:
            options["gracePeriodSeconds"] = grace_s
        try:
            self._connection.json("DELETE", self.resource(kind).path(namespace, name), body=options)
        except ApiError as error:
            if error.status == 404:
                return False
            raise
        return True

    def evict(self, namespace: str, pod: str, *, uid: str = "") -> bool:
        """Asks for a pod's end as far as disruption budgets allow it: status 429 when they do not (yet); False when
        there is no such pod."""
        body: Manifest = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": pod, "namespace": namespace},
            "deleteOptions": {"preconditions": {"uid": uid}} if uid else {},
        }
        try:
            self._connection.json("POST", self.resource("v1/Pod").path(namespace, pod, "eviction"), body=body)
        except ApiError as error:
            if error.status == 404:
                return False
            raise
        return True

    def _place(self, manifest: Manifest, named: bool = True) -> str:
        resource = self.resource(f"{manifest['apiVersion']}/{manifest['kind']}")
        about = manifest["metadata"]
        return resource.path(about.get("namespace", ""), about["name"] if named else "")

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
        """What a pod answers on a port, asked through the API server. ApiError when the pod was not reached."""
        place = f"/api/v1/namespaces/{_segment(namespace)}/pods/{_segment(pod)}:{port}/proxy{path}"
        answer = self._connection.send(method, place, body, dict(headers or {}), timeout_s, again=False)
        if _is_status(answer):  # the API server's own words, not the pod's
            raise self._connection.refusal(method, place, answer)
        return answer

    def exec(self, namespace: str, pod: str, container: str, argv: Sequence[str], timeout_s: float = TIMEOUT_S) -> Ran:
        """Runs a command in a container to its end, without a shell and without input."""
        path = self.resource("v1/Pod").path(namespace, pod, "exec")
        return Ran(*streams.run(self._connection, path, container, argv, timeout_s))

    def forward(self, namespace: str, pod: str, port: int) -> socket.socket:
        """A connection to a pod's port, through the API server."""
        path = self.resource("v1/Pod").path(namespace, pod, "portforward")
        return streams.connect(self._connection, path, port, TIMEOUT_S)

    def running(self, node: str, within_s: float) -> frozenset[str]:
        """The uids of all pods of which anything runs on a node, by the word of its kubelet now. ApiError when it does
        not answer, or may not be asked (`get nodes/proxy`)."""
        path = f"/api/v1/nodes/{_segment(node)}/proxy/runningpods/"
        answer = self._connection.send("GET", path, None, {}, within_s, again=False)
        if answer.status != 200:
            raise self._connection.refusal("GET", path, answer)
        return frozenset(str(each["metadata"]["uid"]) for each in json.loads(answer.text).get("items") or [])

    def refuses(self, namespace: str, pod: str, port: int, within_s: float) -> bool:
        """Whether nothing listens at a pod's port, by the word of its kubelet, which tries it from inside."""
        path = self.resource("v1/Pod").path(namespace, pod, "portforward")
        return streams.refuses(self._connection, path, port, within_s)

    def logs(
        self,
        namespace: str,
        pod: str,
        container: str,
        previous: bool = False,
        limit_bytes: int = LOG_BYTES,
        within_s: float = TIMEOUT_S,
    ) -> str:
        """What a container has written, at most the first `limit_bytes`; `previous`: the run before this one."""
        query = urlencode({"container": container, "previous": str(previous).lower(), "limitBytes": limit_bytes})
        path = f"/api/v1/namespaces/{_segment(namespace)}/pods/{_segment(pod)}/log?{query}"
        answer = self._connection.send("GET", path, None, {}, within_s, again=True)
        if answer.status != 200:
            raise self._connection.refusal("GET", path, answer)
        return answer.text

    # -- rights

    def allowed(
        self, verb: str, group: str, resource: str, subresource: str = "", namespace: str = "", name: str = ""
    ) -> bool:
        """Whether we may do this, by the cluster's own word (SelfSubjectAccessReview)."""
        attributes = {
            "verb": verb,
            "group": group,
            "resource": resource,
            "subresource": subresource,
            "namespace": namespace,
            "name": name,
        }
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": {key: value for key, value in attributes.items() if value}},
        }
        answer = self._connection.json("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body=review)
        return bool(answer["status"].get("allowed"))


def _segment(text: str) -> str:
    """One part of a path: what is in it never becomes another path."""
    if text in (".", ".."):
        raise BadInput(f"{text!r} is no name")
    return quote(text, safe="")


def _is_status(answer: Answer) -> bool:
    if answer.status < 400 or "json" not in answer.headers.get("content-type", ""):
        return False
    try:
        said = json.loads(answer.text)
    except ValueError:
        return False
    return isinstance(said, dict) and said.get("kind") == "Status" and said.get("apiVersion") == "v1"
