"""What the API tells of pods and of the workloads they belong to, as plain functions on its objects."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from harness.kube.ports import Manifest, Site

POD, SLICE = "v1/Pod", "discovery.k8s.io/v1/EndpointSlice"
KILLED = 137  # 128 + SIGKILL


@dataclass(frozen=True)
class Workload:
    """What keeps pods alive: `kind` is Deployment or StatefulSet (or something that cannot be scaled)."""

    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind}/{self.name}"

    @property
    def api_kind(self) -> str:
        return f"apps/v1/{self.kind}"

    @property
    def plural(self) -> str:
        return f"{self.kind.lower()}s"


@dataclass(frozen=True)
class Mark:
    """Which run of a pod's container this is; the workload's kind is "" for a pod that nobody replaces, `container` for
    the main one."""

    uid: str
    container_id: str
    workload: Workload
    container: str = ""

    def __str__(self) -> str:
        return f"{self.uid}/{self.container_id}/{self.workload}" + (f"/{self.container}" if self.container else "")


def read_mark(text: str) -> Mark:
    uid, container_id, kind, name, *container = (text or "///").split("/")
    return Mark(uid, container_id, Workload(kind, name), *container)


def mark(pod: Manifest, container: str = "") -> Mark:
    return Mark(uid(pod), container_id(container_status(pod, container)), workload(pod), container)


def name(pod: Manifest) -> str:
    return str(pod["metadata"]["name"])


def uid(pod: Manifest) -> str:
    return str(pod["metadata"]["uid"])


def node(pod: Manifest) -> str:
    return str(pod["spec"].get("nodeName", ""))


def address(pod: Manifest) -> str:
    return str(pod.get("status", {}).get("podIP", ""))


def going(pod: Manifest) -> bool:
    """Whether its end has been asked for."""
    return bool(pod["metadata"].get("deletionTimestamp"))


def ended(pod: Manifest) -> bool:
    return pod.get("status", {}).get("phase") in ("Succeeded", "Failed")


def workload(pod: Manifest) -> Workload:
    """The pod's controller; a ReplicaSet stands for its Deployment, whose name it has before the template's hash."""
    for owner in pod["metadata"].get("ownerReferences") or []:
        if owner.get("controller"):
            template = pod["metadata"].get("labels", {}).get("pod-template-hash", "")
            if owner["kind"] == "ReplicaSet" and template and owner["name"].endswith(f"-{template}"):
                return Workload("Deployment", owner["name"].removesuffix(f"-{template}"))
            return Workload(owner["kind"], owner["name"])
    return Workload("", "")


def main_container(spec: Manifest) -> Manifest:
    """The container that is the service, of a pod's spec or a template's: the first (the rest are side-cars)."""
    return dict(spec["containers"][0])


def containers(pod: Manifest) -> list[str]:
    """The names of all that run as long as the pod does: the first is the main one; side-cars may be among the init
    containers."""
    aside = [each for each in pod["spec"].get("initContainers") or [] if each.get("restartPolicy") == "Always"]
    return [str(each["name"]) for each in (*pod["spec"]["containers"], *aside)]


def main(pod: Manifest) -> Manifest:
    """What the kubelet says of the main container; empty when it says nothing yet."""
    return container_status(pod)


def container_status(pod: Manifest, container: str = "") -> Manifest:
    """The same of the container of that name."""
    wanted, told = container or main_container(pod["spec"])["name"], pod.get("status", {})
    for status in (*(told.get("containerStatuses") or []), *(told.get("initContainerStatuses") or [])):
        if status["name"] == wanted:
            return dict(status)
    return {}


def container_id(status: Manifest) -> str:
    """Without the runtime's name before it; "" while there is none."""
    return str(status.get("containerID", "")).rpartition("/")[2]


def is_ready(pod: Manifest) -> bool:
    """Ready by its own condition, and not about to go."""
    conditions = pod.get("status", {}).get("conditions") or []
    return not going(pod) and any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def reason(pod: Manifest, container: str = "") -> str:
    """Why a container of it, else the main one, does not run, in the kubelet's words; "" when it does."""
    state = container_status(pod, container).get("state") or {}
    for kind in ("waiting", "terminated"):
        if kind in state:
            return str(state[kind].get("reason", kind))
    return "" if "running" in state else str(pod.get("status", {}).get("phase", "unknown"))


def by_name(site: Site, names: Collection[str]) -> dict[str, Manifest]:
    """Those of the named pods that there are."""
    return {name(pod): pod for pod in site.cluster.list(POD, site.namespace) if name(pod) in names}


def remains(pods: Mapping[str, Manifest], marks: Mapping[str, str]) -> Iterator[str]:
    """What speaks against the marked containers having been killed, by the kubelet's report; `pods` by name."""
    for each, text in marks.items():
        old, pod = read_mark(text), pods.get(each)
        if pod is None or uid(pod) != old.uid:
            yield f"{each}: the pod is gone, so nobody tells how its container ended"
            continue
        status = container_status(pod, old.container)
        states = [status.get("state") or {}, status.get("lastState") or {}]
        told = [state["terminated"] for state in states if "terminated" in state]
        of_old = [one for one in told if str(one.get("containerID", "")).rpartition("/")[2] == old.container_id]
        if of_old and of_old[0].get("exitCode") != KILLED:
            yield f"{each}: its container ended with exit code {of_old[0].get('exitCode')}, not {KILLED}"
        elif not of_old and container_id(status) == old.container_id:
            yield f"{each}: container {old.container_id[:12]} still runs"
        elif not container_id(status):
            yield f"{each}: the kubelet does not tell its container"
        elif not of_old:  # it tells of the last one that ended
            yield f"{each}: replaced more than once, so nobody tells how container {old.container_id[:12]} ended"


def lingers(pods: Sequence[Manifest], marks: Mapping[str, str]) -> Iterator[str]:
    """What is left of the marked instances: pods of their names, and of their workloads."""
    workloads = {read_mark(text).workload for text in marks.values()} - {Workload("", "")}
    for pod in pods:
        if (name(pod) in marks or workload(pod) in workloads) and not ended(pod):
            yield f"{name(pod)}: the pod is there{', about to go' if going(pod) else ''}"


def returned(site: Site, marks: Mapping[str, str], made: bool = True) -> Iterator[str]:
    """What keeps the marked instances from being back: no later container (unless they were perhaps never killed,
    `made`), or not ready.

    A pod that went for good is back when its workload has all the ready pods that it should have.
    """
    pods = site.cluster.list(POD, site.namespace)
    found = {name(pod): pod for pod in pods}
    for each, text in marks.items():
        old, pod = read_mark(text), found.get(each)
        if pod is not None:
            if made and uid(pod) == old.uid and container_id(container_status(pod, old.container)) == old.container_id:
                yield f"{each}: still container {old.container_id[:12]}"
            elif not is_ready(pod):
                why = reason(pod, old.container)
                yield f"{each}: not ready{' (' + why + ')' if why else ''}"
        elif any(uid(other) == old.uid for other in pods):
            yield f"{each}: still the same pod"
        else:
            yield from short(site, old.workload, pods)


def short(site: Site, of: Workload, pods: Sequence[Manifest]) -> Iterator[str]:
    """An objection when a workload has fewer ready pods than it should, or none to have."""
    there = (
        site.cluster.read(of.api_kind, site.namespace, of.name) if of.kind in ("Deployment", "StatefulSet") else None
    )
    if there is None:
        yield f"{of}: there is no such workload"
        return
    wanted = int(there["spec"].get("replicas", 1))
    ready = sum(workload(pod) == of and is_ready(pod) for pod in pods)
    if wanted == 0:
        yield f"{of}: is scaled to zero"
    elif ready < wanted:
        yield f"{of}: {ready} of {wanted} pods are ready"


def served(site: Site, uids: Collection[str]) -> Iterator[str]:
    """Which of these pods Services still send traffic to, by their EndpointSlices."""
    for each in site.cluster.list(SLICE, site.namespace):
        for endpoint in each.get("endpoints") or []:
            about = endpoint.get("targetRef") or {}
            if about.get("uid") in uids and endpoint.get("conditions", {}).get("ready") is not False:
                yield f"{about.get('name')}: {each['metadata']['name']} still sends traffic to it"
