"""What the kinds share that act on a whole node: who else is on it, and that one run at a time does so on a cluster.

A node belongs to no namespace, so the Lease of a run's namespace keeps nobody off it. Who acts on one writes so on the
node itself: an annotation, taken by its resource version and then looked for on all other nodes. Of two runs that come
at the same moment at least one sees the other, and gives its own back.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from typing import Annotated

from pydantic import BeforeValidator

from harness.errors import BadInput, TargetError
from harness.faults import _cluster as on_cluster
from harness.kube import agent, pods
from harness.kube.ports import Manifest, Site, status_of
from harness.kube.rights import rights
from harness.ports import Selection, Target

KIND = "v1/Node"
NODE, OTHERS = "node", "others"  # in a selection's `before`
HOLDER = agent.FAULT  # annotation of a node: NAMESPACE/ID of the fault that has it
RIGHTS = (
    *rights("get list patch", "nodes", namespaced=False),
    *rights("list", "pods", namespaced=False),
)
TRIES = 5
SYSTEM = "kube-"  # namespaces of the cluster itself begin so
COME_BACK = ("DaemonSet", "Node")  # owners of pods that belong to the node as it is
SHOWN = 8


def _split(value: object) -> object:
    return [each.strip() for each in value.split(",") if each.strip()] if isinstance(value, str) else value


Namespaces = Annotated[tuple[str, ...], BeforeValidator(_split)]


class Parameters(on_cluster.Whole):
    """`others`: namespaces whose pods may be on the node too (a list, or a text with commas between them)."""

    others: Namespaces = ()


def others(site: Site, node: str) -> list[str]:
    """`NAMESPACE/POD` of everybody else's pods on a node. The cluster's own do not count: what lies in `kube-…`, and
    what a node has by itself (DaemonSets, static pods)."""
    found = site.cluster.list(pods.POD, fields=f"spec.nodeName={node}") if node else []
    return sorted(
        f"{_place(pod)}/{pods.name(pod)}"
        for pod in found
        if pods.node(pod) == node
        and _place(pod) != site.namespace
        and not _place(pod).startswith(SYSTEM)
        and pods.workload(pod).kind not in COME_BACK
        and not pods.ended(pod)
    )


def check(target: Target, node: str, allowed: Collection[str]) -> str:
    """Refuses, with nothing touched, a node with somebody else's pods on it (BadInput) and one of a cluster on which
    another run acts on a node (TargetError). Returns the pods of others that are allowed, to be told.

    On a cluster that goes with its run there is nobody else.
    """
    site = on_cluster.on(target)
    if taken := list(_held(site, node, "")):
        raise TargetError(_told(taken))
    if getattr(target, "goes_with_cluster", False):
        return ""
    found = others(site, node)
    strange = [each for each in found if each.partition("/")[0] not in allowed]
    if strange:
        places = sorted({each.partition("/")[0] for each in strange})
        raise BadInput(
            f"on node {node} there are pods of others: {_short(strange)}",
            key=OTHERS,
            fix=f"choose a service on another node, or allow it: parameters: {{others: [{', '.join(places)}]}}",
        )
    return _short(found)


def claim(site: Site, selection: Selection) -> None:
    """Takes the node for this fault, before anything is done to it. Raises TargetError when another fault has it, or
    another run has any node of the cluster. Idempotent."""
    node, mine = selection.before[NODE], _mine(site, selection)
    for _ in range(TRIES):
        there = site.cluster.read(KIND, "", node)
        if there is None:
            raise TargetError(f"there is no node {node} any more")
        if taken := list(_held(site, node, mine)):
            raise TargetError(_told(taken))
        version = {"resourceVersion": there["metadata"]["resourceVersion"]}
        try:
            site.cluster.patch(KIND, "", node, {"metadata": {**version, "annotations": {HOLDER: mine}}})
            break
        except TargetError as error:
            if status_of(error) != 409:  # 409: it has changed meanwhile, as nodes do with each word of their kubelet
                raise
    else:
        raise TargetError(f"node {node} changes all the time: it could not be taken for the fault")
    if taken := list(_held(site, node, mine)):
        release(site, selection)
        raise TargetError(_told(taken))


def is_anothers(site: Site, selection: Selection) -> bool:
    """Whether another fault has the node by now: then nothing of it is ours to undo. While the API server is away it is
    not known, and what is ours is to be undone: False."""
    with suppress(TargetError):
        held = _holder(site.cluster.read(KIND, "", selection.before[NODE]) or {})
        return held not in ("", _mine(site, selection))
    return False


def release(site: Site, selection: Selection) -> None:
    """Gives the node back; idempotent, and nothing of another fault's is taken away."""
    node, mine = selection.before[NODE], _mine(site, selection)
    if _holder(site.cluster.read(KIND, "", node) or {}) == mine:
        site.cluster.patch(KIND, "", node, given_back())


def given_back() -> Manifest:
    """The change to a node that gives it back."""
    return {"metadata": {"annotations": {HOLDER: None}}}


def still_held(site: Site, selection: Selection) -> Iterator[str]:
    node = selection.before[NODE]
    if _holder(site.cluster.read(KIND, "", node) or {}) == _mine(site, selection):
        yield f"node {node} is still marked as held by this fault"


def seen(what: str, selection: Selection) -> str:
    """What was seen, and whom it met beside the platform."""
    met = selection.before.get(OTHERS, "")
    return f"{what}; with it pods of others: {met}" if met else what


def _held(site: Site, node: str, mine: str) -> Iterator[tuple[str, str]]:
    """(node, holder) of what speaks against taking this node: another fault has it, or another namespace's run has
    one."""
    for each in site.cluster.list(KIND):
        name, holder = each["metadata"]["name"], _holder(each)
        if holder and holder != mine and (name == node or holder.partition("/")[0] != site.namespace):
            yield name, holder


def _told(taken: Sequence[tuple[str, str]]) -> str:
    name, holder = taken[0]
    return (
        f"node {name} is held by a fault of namespace {holder.partition('/')[0]}: one run at a time acts on nodes\n"
        f"  fix: wait for its end, or `harness recover RUN`; when that run is of a machine that is no more: "
        f"kubectl annotate node {name} {HOLDER}-"
    )


def _holder(node: Manifest) -> str:
    return str((node.get("metadata", {}).get("annotations") or {}).get(HOLDER, ""))


def _mine(site: Site, selection: Selection) -> str:
    return f"{site.namespace}/{selection.before.get(on_cluster.ID, '')}"


def _place(pod: Manifest) -> str:
    return str(pod["metadata"].get("namespace", ""))


def _short(found: Sequence[str]) -> str:
    return ", ".join(found[:SHOWN]) + (f" and {len(found) - SHOWN} more" if len(found) > SHOWN else "")
