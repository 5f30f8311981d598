"""What the API server must allow: declared by each kind of fault, and asked before anything happens."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from harness.errors import BadInput
from harness.kube.ports import Site

WITHIN = ("pods", "leases")  # they lie in namespaces, and some are asked for in all of these


@dataclass(frozen=True, order=True)
class Right:
    """One verb on one resource. Without `namespaced` it is for the whole cluster; without `needed` a run does with
    less: it then knows less."""

    group: str
    resource: str
    verb: str
    subresource: str = ""
    namespaced: bool = True
    needed: bool = True

    def __str__(self) -> str:
        whole = self.resource + (f"/{self.subresource}" if self.subresource else "")
        everywhere = " in all namespaces" if not self.namespaced and self.resource in WITHIN else ""
        return f"{self.verb or 'OPTIONS'} {whole}{everywhere}" + (f" ({self.group})" if self.group else "")


def rights(verbs: str, resource: str, group: str = "", subresource: str = "", namespaced: bool = True) -> list[Right]:
    """The same for several verbs, written "get list"."""
    return [Right(group, resource, verb, subresource, namespaced) for verb in verbs.split()]


MAKES_AGENTS = Right("", "pods", "create")


def check(site: Site, needed: Iterable[Right]) -> None:
    """Raises BadInput, with nothing touched, for a protected namespace and for what is not allowed."""
    if site.namespace.startswith("kube-"):
        raise BadInput(f"namespace {site.namespace} is protected: the cluster itself lives there")
    asked = list(dict.fromkeys(needed))
    if MAKES_AGENTS in asked and not site.agent_image:
        raise BadInput(
            "no agent_image is named, and this fault acts through a pod of the harness",
            fix="name an image with Python 3 that the nodes have or can pull: target.kubernetes.agent_image",
        )
    lacking = [
        str(each)
        for each in asked
        if not site.cluster.allowed(
            each.verb, each.group, each.resource, each.subresource, site.namespace if each.namespaced else ""
        )
    ]
    if lacking:
        raise BadInput(
            f"the API server would not allow: {', '.join(lacking)}",
            fix="`harness rbac SCENARIO` writes the Role that a scenario's faults need",
        )
