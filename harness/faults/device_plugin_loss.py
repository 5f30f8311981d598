"""The plug-in that tells the kubelet of a device (nvidia.com/gpu) is taken off its nodes, and back when it is undone.

    provider:
      type: python
      module: harness.chaos.actions
      func: inject
      arguments:
        fault: device_plugin_loss
        parameters: {service: gpu-worker, region: sjc, label: nvidia.com/gpu.present}
        blast_radius: 1

The plug-in's DaemonSet chooses its nodes by a label; that is taken from the nodes of the region that have the device,
and Kubernetes ends the plug-in there. Who has a card keeps it, and nobody gets one: so, with `evict`, the service's
pods there are deleted then, and those that follow wait. Counted are these pods. Landed: the kubelets have no device to
give out, the pods are gone, and one that asks for a device there is not scheduled. Gone: there are as many devices as
before, and the service has all its pods ready. A dead man's switch in the cluster puts the label back when
`undo_within` is over.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterable, Mapping

from harness.errors import BadInput, TargetError
from harness.faults import _cluster as on_cluster
from harness.faults import _shared as shared
from harness.kube import agent, deadman, devices, pods
from harness.kube.ports import Kubernetes, Manifest, Site
from harness.kube.rights import rights
from harness.ports import Observation, Selection, Target

REQUIRES = (Kubernetes,)
RIGHTS = (
    *on_cluster.LOOKING,
    *rights("get", "deployments", "apps"),
    *rights("get", "statefulsets", "apps"),
    *rights("get list patch", "nodes", namespaced=False),
    *deadman.RIGHTS,
    *deadman.CLUSTER_RIGHTS,
)
OUTLIVES_PLATFORM = True
LABELS, CARDS = "labels", "cards"  # node → the label's value, node → devices that could be given out
HOST = "kubernetes.io/hostname"
SCHEDULER_S, PLUGIN_S = 5.0, 30.0
LACKING = "Insufficient"  # the scheduler's word; a taint, too, may have the resource's name


class Parameters(on_cluster.Whole):
    """Whose devices: of this service, in this region (every region when left out). `label`: by which the plug-in's
    DaemonSet chooses nodes; `resource`: what the plug-in gives out; `evict` false: who has a device keeps it."""

    label: str
    resource: str = "nvidia.com/gpu"
    evict: bool = True


predict = on_cluster.predict


def select(target: Target, parameters: Parameters) -> Selection:
    """The service's pods on the nodes. BadInput when no node has both the device and the label."""
    chosen = on_cluster.select(target, parameters, RIGHTS)
    site = on_cluster.on(target)
    nodes = {
        each["metadata"]["name"]: each for each in devices.nodes(site, parameters.resource, parameters.region or "")
    }
    labels = {
        name: _labels(node)[parameters.label] for name, node in nodes.items() if parameters.label in _labels(node)
    }
    if chosen.names and not labels:
        raise BadInput(
            f"no node with {parameters.resource} has the label {parameters.label!r}",
            key="label",
            fix="name the label that the plug-in's DaemonSet has in its nodeSelector or affinity",
        )
    cards = {name: _cards(nodes[name], parameters) for name in labels}
    there = pods.by_name(site, chosen.names)
    names = tuple(name for name in chosen.names if name in there and pods.node(there[name]) in labels)
    return Selection(names, {**chosen.before, LABELS: json.dumps(labels), CARDS: json.dumps(cards)})


def prepare(target: Target, selection: Selection, parameters: Parameters) -> None:
    site = on_cluster.on(target)
    calls = [
        deadman.patch(site, "", "nodes", node, _label(parameters, value), wide=True)
        for node, value in _kept(selection, LABELS).items()
    ]
    deadman.arm(site, selection.before[on_cluster.ID], calls, deadman.seconds_left(selection.deadline_wall_ns))


def inject(target: Target, selection: Selection, parameters: Parameters) -> None:
    site = on_cluster.on(target)
    for node in _kept(selection, LABELS):
        site.cluster.patch(devices.NODE, "", node, _label(parameters, None))
    if not parameters.evict:
        return
    end = time.monotonic() + PLUGIN_S
    while left := list(_given_out(site, selection, parameters)):  # or the next pod would get the device
        if time.monotonic() > end:
            raise TargetError(
                f"{'; '.join(left)}\n  fix: name the label by which the plug-in's DaemonSet chooses nodes"
            )
        time.sleep(0.1)
    for name, text in shared.marks(selection).items():
        site.cluster.delete(pods.POD, site.namespace, name, uid=pods.read_mark(text).uid)


def landed(target: Target, selection: Selection, parameters: Parameters) -> Observation:
    return shared.observation(
        _left(target, selection, parameters), "kubelet and scheduler", f"nobody gets {parameters.resource} any more"
    )


def gone(target: Target, selection: Selection, parameters: Parameters) -> Observation:
    return shared.observation(
        _not_back(target, selection, parameters), "kubelet", "as many devices as before, and all pods are ready"
    )


def recover(target: Target, selection: Selection, parameters: Parameters) -> None:
    site = on_cluster.on(target)
    for node, value in _kept(selection, LABELS).items():
        there = site.cluster.read(devices.NODE, "", node)
        if there is not None and parameters.label not in _labels(there):
            site.cluster.patch(devices.NODE, "", node, _label(parameters, value))
    deadman.disarm(site, selection.before[on_cluster.ID], cluster_wide=True)


def by_hand(selection: Selection, parameters: Parameters) -> str:
    labels = _kept(selection, LABELS).items()
    return "; ".join(f"kubectl label node {node} {parameters.label}={value}" for node, value in labels)


def _kept(selection: Selection, key: str) -> Mapping[str, str]:
    return dict(json.loads(selection.before[key]))


def _label(parameters: Parameters, value: str | None) -> Manifest:
    return {"metadata": {"labels": {parameters.label: value}}}


def _labels(node: Manifest) -> Mapping[str, str]:
    return node["metadata"].get("labels") or {}


def _cards(node: Manifest, parameters: Parameters) -> str:
    return str(node["status"].get("allocatable", {}).get(parameters.resource, "0"))


def _left(target: Target, selection: Selection, parameters: Parameters) -> Iterable[str]:
    site = on_cluster.on(target)
    found = list(_given_out(site, selection, parameters))
    if parameters.evict:
        uids = on_cluster.uids(selection)
        there = [each for each in site.cluster.list(pods.POD, site.namespace) if pods.uid(each) in uids]
        found += [f"{pods.name(each)}: is still there" for each in there]
    yield from found
    if not found:
        for number, node in enumerate(_kept(selection, LABELS)):
            yield from _scheduled(site, f"{selection.before[on_cluster.ID]}-{number}", node, selection, parameters)


def _given_out(site: Site, selection: Selection, parameters: Parameters) -> Iterable[str]:
    for name in _kept(selection, LABELS):
        node = site.cluster.read(devices.NODE, "", name)
        if node is None or _cards(node, parameters) != "0":
            yield f"node {name}: {'has ' + _cards(node, parameters) if node else 'is unknown'} {parameters.resource}"


def _scheduled(site: Site, name: str, node: str, selection: Selection, parameters: Parameters) -> Iterable[str]:
    """Objects unless a pod that asks for a device on this node is refused by the scheduler; it goes after the look,
    or it would be the first to get one."""
    name, fault = f"harness-eye-{name}", selection.before[on_cluster.ID]
    about = {"name": name, "namespace": site.namespace, "labels": {**agent.labels(site, fault), **agent.AGENT}}
    container = {
        "name": agent.CONTAINER,
        "image": site.agent_image,
        "command": ["python3", "-c", ""],
        "securityContext": agent.NOBODY,
        "resources": {"limits": {parameters.resource: "1"}},
    }
    spec = {
        "nodeSelector": {HOST: _host(site, node)},
        "tolerations": [{"operator": "Exists"}],  # a taint of the node must not be what keeps it away
        "restartPolicy": "Never",
        "containers": [container],
    }
    site.cluster.create({"apiVersion": "v1", "kind": "Pod", "metadata": about, "spec": spec})
    try:
        said, end = "", time.monotonic() + SCHEDULER_S
        while not said and time.monotonic() < end:
            said = _word(site.cluster.read(pods.POD, site.namespace, name) or {})
            time.sleep(0.05)
        if f"{LACKING} {parameters.resource}" not in said:
            yield f"node {node}: a pod that asks for {parameters.resource} there is {said or 'not looked at'}"
    finally:
        with contextlib.suppress(TargetError):  # `recover` does it again
            site.cluster.delete(pods.POD, site.namespace, name, grace_s=0)


def _word(pod: Manifest) -> str:
    """The scheduler's on a pod, "" when it has none yet."""
    for each in pod.get("status", {}).get("conditions") or []:
        if each["type"] == "PodScheduled":
            return "scheduled" if each["status"] == "True" else str(each.get("message", ""))
    return ""


def _host(site: Site, node: str) -> str:
    return _labels(site.cluster.read(devices.NODE, "", node) or {"metadata": {}}).get(HOST, node)


def _not_back(target: Target, selection: Selection, parameters: Parameters) -> Iterable[str]:
    site = on_cluster.on(target)
    for name, wanted in _kept(selection, CARDS).items():
        node = site.cluster.read(devices.NODE, "", name)
        if node is None or int(_cards(node, parameters)) < int(wanted):
            has = _cards(node, parameters) if node else "is unknown, not"
            yield f"node {name}: {has} of {wanted} {parameters.resource}"
    for workload in on_cluster.workloads(selection):
        yield from on_cluster.complete(site, workload)
    yield from deadman.remaining(site, selection.before[on_cluster.ID], cluster_wide=True)
