"""One run at a time acts on the nodes of a cluster.

A node belongs to no namespace, so the Lease of a run's namespace keeps nobody off it. Who acts on one writes so on the
node itself: an annotation, taken by its resource version and then looked for on all other nodes. Of two runs that come
at the same moment at least one sees the other, and gives its own back.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from harness.errors import TargetError
from harness.kube import agent
from harness.kube.ports import Manifest, Site, status_of
from harness.kube.rights import rights

KIND = "v1/Node"
HOLDER = agent.FAULT  # annotation of a node: NAMESPACE/ID of the fault that has it
RIGHTS = tuple(rights("get list patch", "nodes", namespaced=False))
TRIES = 5


def holder(node: Manifest) -> str:
    """NAMESPACE/ID of the fault that has a node, "" when none has."""
    return str((node.get("metadata", {}).get("annotations") or {}).get(HOLDER, ""))


def check(site: Site, node: str, fault: str = "") -> None:
    """Raises TargetError when another fault has the node, or another namespace's run has any of the cluster."""
    for each in site.cluster.list(KIND):
        name, by = each["metadata"]["name"], holder(each)
        if by and by != _mine(site, fault) and (name == node or by.partition("/")[0] != site.namespace):
            raise TargetError(
                f"node {name} is held by a fault of namespace {by.partition('/')[0]}: one run at a time acts on nodes\n"
                f"  fix: wait for its end, or `harness recover RUN`; when that run is of a machine that is no more: "
                f"{by_hand(name)}"
            )


def claim(site: Site, node: str, fault: str) -> None:
    """Takes the node for this fault, before anything is done to it; TargetError as `check`. Idempotent."""
    for _ in range(TRIES):
        there = site.cluster.read(KIND, "", node)
        if there is None:
            raise TargetError(f"there is no node {node} any more")
        check(site, node, fault)
        version = {"resourceVersion": there["metadata"]["resourceVersion"]}
        change = {"metadata": {**version, "annotations": {HOLDER: _mine(site, fault)}}}
        try:
            site.cluster.patch(KIND, "", node, change)
            break
        except TargetError as error:
            if status_of(error) != 409:  # 409: it has changed meanwhile, as nodes do with each word of their kubelet
                raise
    else:
        raise TargetError(f"node {node} changes all the time: it could not be taken for the fault")
    try:
        check(site, node, fault)
    except TargetError:
        release(site, node, fault)
        raise


def is_anothers(site: Site, node: str, fault: str) -> bool:
    """Whether another fault has the node by now: then nothing of it is ours to undo. While the API server is away it is
    not known, and what is ours is to be undone: False."""
    with suppress(TargetError):
        return holder(site.cluster.read(KIND, "", node) or {}) not in ("", _mine(site, fault))
    return False


def release(site: Site, node: str, fault: str) -> None:
    """Gives the node back; idempotent, and nothing of another fault's is taken away."""
    if list(remaining(site, node, fault)):
        site.cluster.patch(KIND, "", node, given_back())


def given_back() -> Manifest:
    """The change to a node that gives it back."""
    return {"metadata": {"annotations": {HOLDER: None}}}


def remaining(site: Site, node: str, fault: str) -> Iterator[str]:
    if holder(site.cluster.read(KIND, "", node) or {}) == _mine(site, fault):
        yield f"node {node} is still marked as held by this fault"


def by_hand(node: str) -> str:
    return f"kubectl annotate node {node} {HOLDER}-"


def _mine(site: Site, fault: str) -> str:
    return f"{site.namespace}/{fault}"
