"""What the kinds share that act on a whole node: who else is on it, counted before anything is touched."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Annotated

from pydantic import BeforeValidator

from harness.errors import BadInput
from harness.faults import _cluster as on_cluster
from harness.kube import holds, pods
from harness.kube.ports import Manifest, Site
from harness.kube.rights import rights
from harness.ports import Selection, Target

NODE, OTHERS = "node", "others"  # in a selection's `before`
RIGHTS = (*holds.RIGHTS, *rights("list", "pods", namespaced=False))
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
    holds.check(site, node)
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


def held(selection: Selection) -> tuple[str, str]:
    """(node, id of the fault). Undo tokens of earlier versions have no id: they never took a node."""
    return selection.before[NODE], selection.before.get(on_cluster.ID, "")


def seen(what: str, selection: Selection) -> str:
    """What was seen, and whom it met beside the platform."""
    met = selection.before.get(OTHERS, "")
    return f"{what}; with it pods of others: {met}" if met else what


def _place(pod: Manifest) -> str:
    return str(pod["metadata"].get("namespace", ""))


def _short(found: Sequence[str]) -> str:
    return ", ".join(found[:SHOWN]) + (f" and {len(found) - SHOWN} more" if len(found) > SHOWN else "")
