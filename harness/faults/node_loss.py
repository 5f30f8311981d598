"""A node is stopped, with everything on it, and started again when it is undone.

    provider:
      type: python
      module: harness.chaos.actions
      func: inject
      arguments: {fault: node_loss, parameters: {service: weaviate, region: sjc}, blast_radius: 20}

The node is that of the service's first instance. Whoever provides the cluster stops it; where that cannot be done the
fault is refused, and so it is where pods of other namespaces are on the node, unless these are named (`others`), or
where another run has hold of a node of the cluster. Landed: the control plane has lost sight of the node (not Ready),
and none of the platform's pods there answers the API server any more. Gone: the node is Ready and every workload has
all its pods ready. Kubernetes moves pods only after their `tolerationSeconds` (300 s unless the manifests say less),
and a StatefulSet's pod not before the node is back or its end is forced. There is no dead man's switch: what starts a
machine again is outside of the cluster. The harness's watchdog does.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from harness.errors import TargetError
from harness.faults import _cluster as on_cluster
from harness.faults import _nodes as on_node
from harness.faults import _shared as shared
from harness.kube import holds, pods
from harness.kube.ports import Kubernetes, Manifest, Nodes, Site
from harness.kube.rights import rights
from harness.ports import Instance, Observation, Selection, Target

REQUIRES = (Kubernetes, Nodes)
RIGHTS = (
    *on_cluster.LOOKING,
    *on_node.RIGHTS,
    *rights("get", "pods", subresource="proxy"),
    *rights("get", "deployments", "apps"),
    *rights("get", "statefulsets", "apps"),
)
NODE, KIND = on_node.NODE, holds.KIND
OUTLIVES_PLATFORM = True
TIMEOUT_S = 2.0


class Parameters(on_node.Parameters):
    """The node of the first instance of this service, in this region. `others`: namespaces whose pods may be on it too
    (a list, or a text with commas between them)."""


predict = on_cluster.predict_node


def select(target: Target, parameters: Parameters) -> Selection:
    """The platform's pods on the node. BadInput where nodes cannot be stopped, and where others are on it."""
    _nodes(target).check_nodes()
    site = on_cluster.check(target, RIGHTS)
    node, found = on_cluster.first_node(target, site, parameters)
    others = on_node.check(target, node, parameters.others)
    marks = {name: str(pods.mark(pod)) for name, pod in found.items()}
    return Selection(tuple(marks), {**marks, NODE: node, on_node.OTHERS: others, on_cluster.ID: on_cluster.new_id()})


def prepare(target: Target, selection: Selection, parameters: Parameters) -> None:
    holds.claim(on_cluster.on(target), *on_node.held(selection))


def inject(target: Target, selection: Selection, parameters: Parameters) -> None:
    _nodes(target).stop_node(selection.before[NODE])


def landed(target: Target, selection: Selection, parameters: Parameters) -> Observation:
    told = on_node.seen(f"node {selection.before[NODE]} and its pods are away", selection)
    return shared.observation(_alive(target, selection), "control plane and the pods", told)


def gone(target: Target, selection: Selection, parameters: Parameters) -> Observation:
    return shared.observation(
        _not_back(target, selection), "control plane and kubelet", "the node is Ready and so are all pods"
    )


def recover(target: Target, selection: Selection, parameters: Parameters) -> None:
    site = on_cluster.on(target)
    if holds.is_anothers(site, *on_node.held(selection)):
        return
    _nodes(target).start_node(selection.before[NODE])
    holds.release(site, *on_node.held(selection))


def by_hand(selection: Selection, parameters: Parameters) -> str:
    node = selection.before[NODE]
    return f"switch node {node} on again, then {holds.by_hand(node)}"


def _nodes(target: Target) -> Nodes:
    if not isinstance(target, Nodes):
        raise TargetError(f"{type(target).__name__} cannot stop nodes")
    return target


def _is_ready(node: Manifest) -> bool:
    conditions = node.get("status", {}).get("conditions") or []
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def _alive(target: Target, selection: Selection) -> Iterable[str]:
    site = on_cluster.on(target)
    node = site.cluster.read(KIND, "", selection.before[NODE])
    if node is None or _is_ready(node):
        yield f"node {selection.before[NODE]}: {'is Ready' if node else 'is unknown'}"
        return
    asked = [each for each in shared.listed(target, selection) if "http" in each.ports]
    with ThreadPoolExecutor(max_workers=max(1, len(asked))) as pool:
        answers = list(pool.map(lambda each: _answers(site, each), asked))
    yield from (f"{each.name}: still answers" for each, answer in zip(asked, answers, strict=True) if answer)


def _answers(site: Site, instance: Instance) -> bool:
    try:
        site.cluster.proxy(site.namespace, instance.name, instance.ports["http"], "GET", "/", timeout_s=TIMEOUT_S)
    except TargetError:
        return False
    return True


def _not_back(target: Target, selection: Selection) -> Iterable[str]:
    site = on_cluster.on(target)
    node = site.cluster.read(KIND, "", selection.before[NODE])
    if node is None or not _is_ready(node):
        yield f"node {selection.before[NODE]}: is not Ready"
    yield from holds.remaining(site, *on_node.held(selection))
    for workload in on_cluster.workloads(selection):
        if workload.kind in on_cluster.SCALABLE:
            yield from on_cluster.complete(site, workload)
