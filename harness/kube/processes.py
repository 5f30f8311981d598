"""Killing containers from their nodes, and telling their runs apart: the capability `Processes` on a cluster.

SIGKILL to a container's first process has no effect from inside its own namespace, and deleting a pod is no kill. So an
agent with the node's processes in sight, and no right but CAP_KILL, sends the signal; what came of it the kubelet
tells.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence

from harness.errors import BadInput, TargetError
from harness.kube import agent, deadman, pods
from harness.kube.pods import POD, Workload, read_mark
from harness.kube.ports import Manifest, Site, status_of
from harness.kube.rights import rights
from harness.ports import Instance

OBSERVER = "kubelet, as the API server has it"
HELD = "sophia-harness/held"  # annotation of a workload that is scaled to zero: how many replicas it had
AGENT_S = 120.0
RAZE_S = 20.0
RIGHTS = (*agent.RIGHTS, *rights("get", "deployments", "apps"), *rights("get", "statefulsets", "apps"))
HOLD_RIGHTS = (*deadman.RIGHTS, *rights("patch", "deployments", "apps"), *rights("patch", "statefulsets", "apps"))
SCALABLE = ("Deployment", "StatefulSet")


def marks(site: Site, instances: Sequence[Instance]) -> dict[str, str]:
    """`POD UID/CONTAINER ID/KIND/WORKLOAD` of each instance, and `/CONTAINER` where one is named; a pod without a
    container is marked as having none. Raises BadInput for a name that no container of the pod has."""
    found = pods.by_name(site, {each.name for each in instances})
    for each in instances:
        there = pods.containers(found[each.name]) if each.name in found else []
        if each.container and there and each.container not in there:
            fix = f"it has {', '.join(there)}"
            raise BadInput(f"pod {each.name} has no container {each.container!r}", key="container", fix=fix)
    return {
        each.name: str(pods.mark(found[each.name], each.container)) if each.name in found else "" for each in instances
    }


def agent_of(uid: str) -> str:
    """The name of the agent that may kill a pod's container: the same in every process."""
    return f"harness-kill-{uid}"


def kill_id(instance: str) -> str:
    """What that agent carries; by the pod's name, which its successor in a StatefulSet has too."""
    return _short(instance)


def prepare(site: Site, instance: Instance) -> str:
    """Sees to it that an agent waits on the instance's node; the container's id. Idempotent."""
    pod = site.cluster.read(POD, site.namespace, instance.name)
    container = pods.container_id(pods.container_status(pod, instance.container)) if pod else ""
    if pod is None or not container:
        raise TargetError(f"{instance.name} has no running container to signal")
    agent.launch(
        site,
        agent_of(pods.uid(pod)),
        kill_id(instance.name),
        ("node",),
        ["hold", str(AGENT_S)],
        AGENT_S,
        security=agent.KILL,
        node=pods.node(pod),
    )
    return f"{pods.uid(pod)}/{container}"


def kill(site: Site, instance: Instance) -> None:
    """SIGKILL to the instance's container. Raises TargetError when there is none, or when it is not ours to kill."""
    uid, container = prepare(site, instance).split("/")
    agent.ask(site, agent_of(uid), ["kill", container])
    with contextlib.suppress(TargetError):  # `restore` does it again, and so does its deadline
        site.cluster.delete(POD, site.namespace, agent_of(uid))


def prepare_hold(site: Site, instances: Sequence[Instance], deadline_wall_ns: int) -> None:
    """Arms the dead man's switch. Raises TargetError for an instance that could not be started again."""
    found = pods.by_name(site, {each.name for each in instances})
    workloads, calls = dict.fromkeys(pods.workload(pod) for pod in found.values()), []
    for workload in workloads:
        if workload.kind not in SCALABLE:
            raise TargetError(f"{workload} is no Deployment or StatefulSet: it could not be started again")
        there = site.cluster.read(workload.api_kind, site.namespace, workload.name)
        change = _released(int((there or {}).get("spec", {}).get("replicas", 1)))
        calls.append(deadman.patch(site, "apps", workload.plural, workload.name, change))
    deadman.arm(site, hold_id(workloads), calls, deadman.seconds_left(deadline_wall_ns))


def hold_id(workloads: Iterable[Workload]) -> str:
    """What everything that is made for one hold carries; a cold process works it out from the marks, also where a pod
    was replaced since."""
    return _short(" ".join(sorted(map(str, workloads))))


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def _released(replicas: int) -> Manifest:
    return {"metadata": {"annotations": {HELD: None}}, "spec": {"replicas": replicas}}


def kill_and_hold(site: Site, instance: Instance) -> None:
    """Kills the instance's container, and whatever the kubelet starts in its place until the workload, scaled to zero,
    has taken the pod away; how many replicas it had is kept."""
    pod = site.cluster.read(POD, site.namespace, instance.name)
    if pod is None:
        return
    workload = pods.workload(pod)
    if workload.kind not in SCALABLE:
        raise TargetError(f"{instance.name} belongs to no Deployment or StatefulSet: it could not be started again")
    try:
        prepare(site, instance)
        agent.ask(site, agent_of(pods.uid(pod)), ["raze", pods.uid(pod), str(RAZE_S)])
    except TargetError:
        there = site.cluster.read(POD, site.namespace, instance.name)
        if there is not None and pods.uid(there) == pods.uid(pod) and not pods.going(there):
            raise  # else the hold of another pod of its workload was faster
    finally:
        hold(site, workload)


def hold(site: Site, workload: Workload) -> None:
    """Scales to zero; idempotent, also when several do it at once."""
    for _ in range(5):
        there = site.cluster.read(workload.api_kind, site.namespace, workload.name)
        if there is None or _kept(there):
            return
        change = {
            "metadata": {
                "annotations": {HELD: json.dumps({"replicas": there["spec"].get("replicas", 1)})},
                "resourceVersion": there["metadata"]["resourceVersion"],
            },
            "spec": {"replicas": 0},
        }
        try:
            site.cluster.patch(workload.api_kind, site.namespace, workload.name, change)
            return
        except TargetError as error:
            if status_of(error) != 409:
                raise
    raise TargetError(f"{workload} changes all the time: it could not be scaled to zero")


def release(site: Site, workload: Workload) -> None:
    """Scales back to what it was before `hold`; nothing to do when it is not held."""
    there = site.cluster.read(workload.api_kind, site.namespace, workload.name)
    if kept := _kept(there or {}):
        change = _released(json.loads(kept)["replicas"])
        site.cluster.patch(workload.api_kind, site.namespace, workload.name, change)


def _kept(workload: Manifest) -> str:
    """How many replicas a held workload had, as it is written; "" when it is not held."""
    return str((workload.get("metadata", {}).get("annotations") or {}).get(HELD, ""))


def remains(site: Site, marked: Mapping[str, str]) -> Sequence[str]:
    return list(pods.remains(pods.by_name(site, marked), marked))


def runs(site: Site, marked: Mapping[str, str]) -> Sequence[str]:
    return list(pods.lingers(site.cluster.list(POD, site.namespace), marked))


def returned(site: Site, marked: Mapping[str, str], made: bool = True) -> Sequence[str]:
    """A kill that was perhaps never made cannot come any more once no agent is left: it is its kubelet that told of
    the agent's end, and with it of what the agent had killed."""
    waiting = [] if made else agent.remaining(site, *map(kill_id, marked))
    return [*waiting, *pods.returned(site, marked, made)]


def restore_held(site: Site, marked: Mapping[str, str]) -> None:
    """Scales back what is held, then takes the switch away, of which perhaps no more than its account is there."""
    workloads = _scalable(marked)
    for workload in workloads:
        release(site, workload)
    deadman.disarm(site, hold_id(workloads))
    restore(site, marked)


def held(site: Site, marked: Mapping[str, str]) -> Sequence[str]:
    workloads = _scalable(marked)
    found = ((each, site.cluster.read(each.api_kind, site.namespace, each.name)) for each in workloads)
    still = [f"{each} is held" for each, there in found if there and _kept(there)]
    return [*still, *deadman.remaining(site, hold_id(workloads))]


def restore(site: Site, marked: Mapping[str, str]) -> None:
    """Removes agents, and gives a new pod to a container that the kubelet makes wait."""
    agent.remove(site, *map(kill_id, marked))
    for name, pod in pods.by_name(site, marked).items():
        why = pods.reason(pod, read_mark(marked[name]).container)
        if why == "CrashLoopBackOff" and pods.workload(pod).kind and not pods.going(pod):
            site.cluster.delete(POD, site.namespace, pods.name(pod), uid=pods.uid(pod))


def _scalable(marked: Mapping[str, str]) -> list[Workload]:
    workloads = dict.fromkeys(read_mark(text).workload for text in marked.values())
    return [each for each in workloads if each.kind in SCALABLE]
