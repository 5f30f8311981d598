"""A FakeCluster with nodes, kubelets and agents, and a platform on it: where every fault on Kubernetes can be made.

Pods come and go as their workloads' controllers have it, a container that is killed comes back as another one, a bad
template gives pods that are bad in its way. Agents do not run: what they would have done is worked out from their
arguments when somebody looks.
"""

from __future__ import annotations

import functools
import json
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ParamSpec, TypeVar

from harness.errors import TargetError
from harness.kube import pods
from harness.kube.ports import Manifest
from harness.model.platform import Platform, Service
from harness.targets.kubernetes.api import ApiError, Ran
from harness.targets.probe import Answer
from harness.testing.fake_cluster import SERVED, FakeCluster, node
from harness.testing.plain_target import REGION, SERVICE, PlainTarget
from harness.testing.tiny_service import served_by, shared_with

SERVED["v1"] += [kind for kind in ("Event", "ServiceAccount") if kind not in SERVED["v1"]]
SERVED["apps/v1"] += [kind for kind in ("ControllerRevision",) if kind not in SERVED["apps/v1"]]
SERVED["rbac.authorization.k8s.io/v1"] = ["Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"]
NAMESPACE = "tiny"
MISSING_PROGRAM, MISSING_TAG = ["/harness-no-such-program"], ":harness-no-such-release"
PLUGGED = "nvidia.com/gpu.present"  # the device plug-in chooses its nodes by this label
GATEWAY = "10.245.0.1"
NODES = {"n1": "", "n2": "sjc", "n3": "sjc", "n4": "lax"}


P = ParamSpec("P")
T = TypeVar("T")
LOCK = threading.RLock()


def _alone(method: Callable[P, T]) -> Callable[P, T]:
    """One call at a time: faults act on several pods at once."""

    @functools.wraps(method)
    def alone(*args: P.args, **kwargs: P.kwargs) -> T:
        with LOCK:
            return method(*args, **kwargs)

    return alone


@dataclass
class FakeBed(FakeCluster):
    """`keeps`: pods that a disruption budget does not let go; `down`: nodes that are stopped; `used`: every verb,
    resource and subresource that was asked for."""

    keeps: set[str] = field(default_factory=set)
    down: set[str] = field(default_factory=set)
    used: set[tuple[str, str, str]] = field(default_factory=set)
    behaves: str = "normal"  # how the stand-ins of external APIs were told to
    primary: str = "sjc"  # as whoever decides it tells
    users: dict[str, float] = field(default_factory=lambda: {"sjc": 1.0, "lax": 0.0})  # the same
    pings: int = 0
    counted_on: set[str] = field(default_factory=set)  # by Services, though they are not ready
    speaks: dict[str, int] = field(default_factory=dict)  # with which status, though its container does not run
    schedules_all: bool = False  # a scheduler that does not count devices
    deaf: bool = False  # nobody answers echoes and questions, or takes connections, whatever the fault
    far_ms: float = 0.1  # how long an echo takes without any fault
    kept_ms: dict[str, float] = field(default_factory=dict)  # what each observer was told to keep
    blind: str = ""  # why no agent can look
    cards: str = "1"  # of a node, as its kubelet tells
    gauge: str = ""  # what workers tell of their device, whatever there is
    word: str = "1 Insufficient nvidia.com/gpu"  # the scheduler's, where no device is left

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, region in NODES.items():
            self._put(node(name, {REGION: region, PLUGGED: "true"} if region else {}))

    # -- the API

    def _may(self, verb: str, kind: str) -> None:
        self.used.add((verb, self.resource(kind).plural, ""))
        super()._may(verb, kind)

    @_alone
    def list(
        self, kind: str, namespace: str = "", labels: Mapping[str, str] | str = "", fields: str = ""
    ) -> Sequence[Manifest]:
        if kind == "discovery.k8s.io/v1/EndpointSlice":
            self.used.add(("list", "endpointslices", ""))
            return [self._slice()]
        if kind == "v1/Event" and fields:
            self.used.add(("list", "events", ""))
            uid = fields.partition("involvedObject.uid=")[2].partition(",")[0]
            return [{} for pod in super().list("v1/Pod", namespace) if pods.uid(pod) == uid and _probe_fails(pod)]
        return super().list(kind, namespace, labels)

    @_alone
    def read(self, kind: str, namespace: str, name: str) -> Manifest | None:
        return super().read(kind, namespace, name)

    @_alone
    def delete(self, kind: str, namespace: str, name: str, *, uid: str = "", grace_s: int | None = None) -> bool:
        return super().delete(kind, namespace, name, uid=uid, grace_s=grace_s)

    @_alone
    def create(self, manifest: Manifest) -> Manifest:
        if manifest["kind"] == "Pod":
            manifest = {**manifest, "status": self._status(manifest, ready=False)}
        return super().create(manifest)

    @_alone
    def patch(self, kind: str, namespace: str, name: str, change: Manifest, subresource: str = "") -> Manifest:
        before = set(self.used)
        changed = super().patch(kind, namespace, name, change, subresource)
        self.used = before | {("patch", self.resource(kind).plural, subresource)}
        self._put(_without_none(changed))
        return self._objects[kind, namespace, name]

    @_alone
    def evict(self, namespace: str, pod: str, *, uid: str = "") -> bool:
        self.used.add(("create", "pods", "eviction"))
        if pod in self.keeps:
            raise ApiError(f"{pod}: the disruption budget needs it", 429, "TooManyRequests")
        before = set(self.used)
        gone = self.delete("v1/Pod", namespace, pod, uid=uid)
        self.used = before
        return gone

    @_alone
    def exec(self, namespace: str, pod: str, container: str, argv: Sequence[str], timeout_s: float = 30.0) -> Ran:
        self.used |= {("get", "pods", "exec"), ("create", "pods", "exec")}
        found = self._objects.get(("v1/Pod", namespace, pod))
        if found is None:
            raise ApiError(f"{pod} is not there", 404, "NotFound")
        command, *arguments = argv[3:]
        if self.blind:
            return Ran(1, json.dumps({"error": self.blind}))
        try:
            answer = getattr(self, f"_{command}")(found, *arguments)
        except TargetError as error:
            return Ran(1, json.dumps({"error": str(error)}))
        return Ran(0, json.dumps(answer) + "\n")

    def logs(self, *_: Any, **__: Any) -> str:
        self.used.add(("get", "pods", "log"))
        return json.dumps({"ready": True}) + "\n"

    def proxy(self, namespace: str, pod: str, port: int, method: str, path: str, *rest: Any, **options: Any) -> Answer:
        before = set(self.used)
        found = self._objects.get(("v1/Pod", namespace, pod))
        if found is not None and pods.reason(found):
            self.used.add(("get", "pods", "proxy"))
            if pod in self.speaks:
                return Answer(self.speaks[pod], {}, "")
            raise ApiError(f"dial tcp {pod}:{port}: connect: connection refused", 503, "ServiceUnavailable")
        answer = super().proxy(namespace, pod, port, method, path, *rest, **options)
        verb = {"GET": "get", "POST": "create", "PUT": "update"}[method]
        self.used = before | {(verb, "pods", "proxy")}
        return answer

    # -- what agents answer

    def _kill(self, asked: Manifest, container: str) -> dict[str, Any]:
        for pod in self._objects.values():
            told = pod["status"].get("containerStatuses", []) if pod["kind"] == "Pod" else []
            for status in (each for each in told if pods.container_id(each) == container):
                if pods.node(pod) != pods.node(asked):
                    break
                ended = {"exitCode": 137, "containerID": status["containerID"]}
                status |= {
                    "containerID": f"fake://{next(self._numbers)}",
                    "lastState": {"terminated": ended},
                    "restartCount": status["restartCount"] + 1,
                }
                return {"pid": 1}
        raise TargetError(f"no process of container {container} on this node")

    def _raze(self, asked: Manifest, uid: str, seconds: str) -> dict[str, Any]:
        self._beside(asked, uid)
        return {"killed": 1}

    def _hands(self, command: str) -> Sequence[Sequence[str]]:
        found = []
        for pod in self._objects.values():
            if pod["kind"] == "Pod" and pod["metadata"].get("labels", {}).get(SERVICE) == "harness-agent":
                argv = pod["spec"]["containers"][0]["command"][3:]
                if argv[:1] == [command]:
                    found.append(argv)
        return found

    def _beside(self, asked: Manifest, uid: str) -> None:
        """An agent sees the processes of its own node only."""
        there = [each for each in self._objects.values() if each["kind"] == "Pod" and pods.uid(each) == uid]
        if not there or pods.node(there[0]) != pods.node(asked):
            raise TargetError(f"no process of pod {uid} on this node")

    def _ping(self, asked: Manifest, uid: str, address: str, keep: str = "") -> dict[str, Any]:
        self._beside(asked, uid)
        specs = [json.loads(argv[2]) for argv in self._hands("disturb")]
        mine = [one for one in specs if one["pod"] == uid and not one["dns"] and address in (one["peers"] or [address])]
        there = {GATEWAY, *(pods.address(each) for each in self._objects.values() if each["kind"] == "Pod")}
        lost = 1 if self.deaf or address not in there else max((one["loss"] for one in mine), default=0)
        rtt = self.far_ms + sum(one["delay_ms"] for one in mine)
        if keep and lost < 1:
            self.kept_ms[pods.uid(asked)] = rtt
        before = self.kept_ms.get(pods.uid(asked))
        answer = {"rtt_ms": None if lost == 1 else rtt, "before_ms": before}
        return {"sent": 20, "received": round(20 * (1 - lost)), **answer}

    def _resolve(self, asked: Manifest, uid: str, server: str = "") -> dict[str, Any]:
        self._beside(asked, uid)
        specs = [json.loads(argv[2]) for argv in self._hands("disturb")]
        answered = not self.deaf and not any(one["dns"] for one in specs if one["pod"] == uid)
        return {"answered": answered, "server": server or "10.96.0.10", "why": "timed out"}

    def _gateway(self, _: Manifest, uid: str) -> dict[str, Any]:
        return {"address": GATEWAY}

    def _swept(self, _: Manifest, uid: str, fault: str) -> dict[str, Any]:
        return {"chains": 0}

    def _usage(self, _: Manifest, container: str, file: str = "") -> dict[str, Any]:
        cpu = [argv for argv in self._hands("press_cpu") if argv[2] == container]
        memory = [float(argv[3]) for argv in self._hands("press_memory") if argv[2] == container]
        size = sum(int(argv[4]) for argv in self._hands("press_disk") if argv[2:4] == [container, file])
        return {
            "cores": 1.0 if cpu else 0.01,
            "memory": int(1e8 * max([0.2, *memory])),
            "limit": int(1e8),
            "foreign": len(cpu) + len(memory),
            "file": size,
        }

    def _show(self, _: Manifest, folder: str) -> dict[str, Any]:
        return {"shown": 0}

    def _look(self, _: Manifest, host: str, port: str) -> dict[str, Any]:
        taken = self.deaf or any(argv[2] == host for argv in self._hands("take"))
        return {"said": "53300" if taken else "asks"}

    # -- controllers

    def _settle(self) -> None:
        super()._settle()
        for each in self._objects.values():
            if each["kind"] == "Node":
                ready = str(each["metadata"]["name"] not in self.down)
                each["status"]["conditions"] = [{"type": "Ready", "status": ready}]
                hidden = self._hands("hide") and each["metadata"]["name"] == "n2"
                hidden = hidden or PLUGGED not in each["metadata"]["labels"]
                each["status"] |= {
                    "capacity": {"nvidia.com/gpu": self.cards},
                    "allocatable": {**each["status"]["allocatable"], "nvidia.com/gpu": "0" if hidden else self.cards},
                }

    def _pods_of(self, workload: Manifest) -> None:
        template, wanted = workload["spec"]["template"], int(workload["spec"].get("replicas", 1))
        mine = [each for each in self._objects.values() if each["kind"] == "Pod" and _owned(each, workload)]
        new = [each for each in mine if each["template"] == template]
        old = [each for each in mine if each["template"] != template]
        if workload["kind"] == "StatefulSet":
            if old and not [each for each in new if not pods.is_ready(each)] and pods.is_ready(old[-1]):
                self._drop(old.pop())
            wanted_new = wanted - len(old)
        else:
            wanted_new = wanted if not old or (new and all(map(pods.is_ready, new))) else 1
            while old and wanted_new == wanted:
                self._drop(old.pop())
        while len(new) > wanted_new or (old and len(new) + len(old) > wanted + 1):
            self._drop(new.pop() if len(new) > wanted_new else old.pop())
        while len(new) < wanted_new:
            new.append(self._born(workload, len(new)))
        for each in (*new, *old):
            if each["status"]["phase"] == "Pending":  # a device may be there by now
                each["status"] = self._status(each, ready=False)
            away = pods.node(each) in self.down
            ready = not away and _becomes_ready(each)
            each["status"]["conditions"] = [{"type": "Ready", "status": str(ready)}]
        workload["status"] = {
            "observedGeneration": workload["metadata"]["generation"],
            "replicas": len(new) + len(old),
            "updatedReplicas": len(new),
            "readyReplicas": sum(pods.is_ready(each) for each in (*new, *old)),
        }

    def _drop(self, pod: Manifest) -> None:
        del self._objects["v1/Pod", pod["metadata"]["namespace"], pod["metadata"]["name"]]

    def _born(self, workload: Manifest, number: int) -> Manifest:
        about, template = workload["metadata"], workload["spec"]["template"]
        labels = dict(template["metadata"]["labels"])
        owner = {"kind": workload["kind"], "name": about["name"], "uid": about["uid"], "controller": True}
        name = f"{about['name']}-{number}"
        if workload["kind"] == "Deployment":
            labels["pod-template-hash"] = "5d8f"
            owner |= {"kind": "ReplicaSet", "name": f"{about['name']}-5d8f"}
            name = f"{about['name']}-5d8f-{next(self._numbers)}"
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": about["namespace"], "labels": labels, "ownerReferences": [owner]},
            "template": template,
            "spec": {**template["spec"], "nodeName": self._room(labels.get(REGION, ""))},
        }
        return self._put({**pod, "status": self._status(pod, ready=True)})

    def _room(self, region: str) -> str:
        nodes = [each for each in self._objects.values() if each["kind"] == "Node"]
        free = {each["metadata"]["name"] for each in nodes if not each["spec"].get("unschedulable")}
        busy = [pods.node(each) for each in self._objects.values() if each["kind"] == "Pod"]
        return min((name for name, place in NODES.items() if region in ("", place) and name in free), key=busy.count)

    def _cards(self, name: str) -> str:
        there = self._objects.get(("v1/Node", "", name), {})
        return str(there.get("status", {}).get("allocatable", {}).get("nvidia.com/gpu", "1"))

    def _status(self, pod: Manifest, ready: bool) -> Manifest:
        container, number = pod["spec"]["containers"][0], next(self._numbers)
        asks = "nvidia.com/gpu" in (container.get("resources", {}).get("limits") or {})
        host = (pod["spec"].get("nodeSelector") or {}).get("kubernetes.io/hostname", "")
        if asks and self._cards(pod["spec"].get("nodeName", host)) == "0":
            word = {"type": "PodScheduled", "status": str(self.schedules_all), "message": self.word}
            return {"phase": "Pending", "conditions": [word]}
        status: dict[str, Any] = {"name": container["name"], "restartCount": 0, "state": {"running": {}}}
        status |= {"containerID": f"fake://{number}", "image": container["image"], "imageID": f"sha256:{'0' * 64}"}
        if container["image"].endswith(MISSING_TAG):
            status |= {"containerID": "", "state": {"waiting": {"reason": "ErrImagePull"}}}
        elif container.get("command") == MISSING_PROGRAM:
            status |= {"restartCount": 2, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}
        aside = [
            {
                "name": each["name"],
                "restartCount": 0,
                "state": {"running": {}},
                "containerID": f"fake://{number}-{beside}",
            }
            for beside, each in enumerate(pod["spec"]["containers"][1:], 1)
        ]
        return {
            "phase": "Running",
            "podIP": f"10.244.0.{number % 250 + 1}",
            "conditions": [{"type": "Ready", "status": str(ready)}],
            "containerStatuses": [status, *aside],
        }

    def _slice(self) -> Manifest:
        endpoints = [
            {
                "targetRef": {"uid": pods.uid(pod), "name": pods.name(pod)},
                "conditions": {"ready": True, "serving": pods.is_ready(pod) or pods.name(pod) in self.counted_on},
            }
            for pod in super().list("v1/Pod", NAMESPACE)
            if pods.workload(pod).kind
        ]
        return {"metadata": {"name": "all"}, "ports": [{"port": 8080}], "endpoints": endpoints}


def _owned(pod: Manifest, workload: Manifest) -> bool:
    owners = pod["metadata"].get("ownerReferences") or []
    return any(each["uid"] == workload["metadata"]["uid"] for each in owners)


def _probe_fails(pod: Manifest) -> bool:
    probe = pod["spec"]["containers"][0].get("readinessProbe") or {}
    return bool(probe.get("exec", {}).get("command") == MISSING_PROGRAM)


def _becomes_ready(pod: Manifest) -> bool:
    return not pods.reason(pod) and not _probe_fails(pod)


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    return value


def bed_target(platform: Platform, can_stop_nodes: bool = True) -> PlainTarget:
    """The services of a platform file on a FakeBed, up and ready."""

    def answer(_: Manifest, __: int, method: str, path: str, body: str | None) -> Answer:
        if path.startswith("/admin/"):
            if method == "PUT":
                bed.behaves = json.loads(body or "")["name"]
            return Answer(200, {}, json.dumps({"name": bed.behaves}))
        if path == "/term":
            return Answer(200, {}, json.dumps({"primary": bed.primary, "users": bed.users}))
        if path == "/api/ping":
            bed.pings += 1
            return Answer(200, {}, json.dumps({"region": served_by(bed.users, bed.pings)}))
        if path == "/switchover":
            bed.primary = json.loads(body or "")["to"]
        if path == "/users":
            asked = json.loads(body or "")
            bed.users = shared_with(bed.users, asked["region"], asked["share"])
        if method == "POST":
            return Answer({"throttled": 429, "failing": 500}.get(bed.behaves, 200), {}, "{}")
        gauge = bed.gauge or ("0" if bed._hands("hide") else "1")
        return Answer(200, {}, f"sophia_gpu_present {gauge}\n")

    bed = FakeBed(answer)

    def switch(name: str, on: bool) -> None:
        (bed.down.discard if on else bed.down.add)(name)

    cards = [each.model_copy(update={"path": "/var/local/gpus/${CARD}"}) for each in platform.spec.devices]
    nodes = switch if can_stop_nodes else None
    target = PlainTarget(bed, NAMESPACE, platform.spec.services, _container, nodes=nodes, cards=cards)
    target.up("", lambda _: None)
    return target


def _container(service: Service) -> Manifest:
    card = {"nvidia.com/gpu": "1"} if service.name == "gpu-worker" else {}
    return {
        "name": service.name,
        "image": f"tiny.local:5000/{service.name}:1",
        "resources": {"limits": {"memory": "100M", "ephemeral-storage": "1Gi", **card}},
    }
