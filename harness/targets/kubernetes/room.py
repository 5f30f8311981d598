"""Whether pods find nodes that take them: labels, affinity, taints, and what is free. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from harness.targets.kubernetes import objects
from harness.targets.kubernetes.api import Manifest
from harness.targets.kubernetes.nodes import node_troubles
from harness.targets.kubernetes.objects import key

Room = dict[str, Decimal]
TOPOLOGY = ("topology.kubernetes.io/region", "topology.kubernetes.io/zone")


@dataclass(frozen=True)
class Wanted:
    """One pod: of which workload, what it asks, and the nodes that let it in."""

    name: str
    asked: Room
    nodes: Sequence[str]


def placed(
    manifests: Sequence[Manifest], nodes: Sequence[Manifest], running: Sequence[Manifest]
) -> tuple[int, list[str]]:
    """(pods that are asked for, what finds no node, in words): those with the fewest nodes to choose from first, each
    on the node with the most left, as Kubernetes itself prefers; where that leaves one without, also with the least."""
    usable = [each for each in nodes if schedulable(each)]
    whole = {each["metadata"]["name"]: allocatable(each) for each in usable}
    free = {name: dict(room) for name, room in whole.items()}
    for pod in running:
        if pod["spec"].get("nodeName") in free:
            _take(free[pod["spec"]["nodeName"]], objects.requests(pod["spec"]))
    wanted = _in_order(list(_wanted(manifests, usable)), whole, free)
    homeless = _homeless(wanted, whole, free, max)
    if homeless and not _homeless(wanted, whole, free, min):
        homeless = []
    return len(wanted), homeless


def _wanted(manifests: Sequence[Manifest], nodes: Sequence[Manifest]) -> Iterator[Wanted]:
    for each in manifests:
        if (template := objects.pod_template(each)) is not None:
            letting = [node["metadata"]["name"] for node in takers(each, nodes)]
            yield from [Wanted(str(key(each)), objects.requests(template["spec"]), letting)] * objects.replicas(each)


def _in_order(wanted: Sequence[Wanted], whole: Mapping[str, Room], free: Mapping[str, Room]) -> list[Wanted]:
    """By how many nodes can take a pod while they are empty of the others; of the same, the largest first."""

    def rank(pod: Wanted) -> tuple[int, Decimal, str]:
        fitting = [node for node in pod.nodes if _has(free[node], pod.asked)]
        least_left = min((_left(free[node], whole[node], pod.asked) for node in fitting), default=Decimal(0))
        return len(fitting), least_left, pod.name

    return sorted(wanted, key=rank)


def _homeless(
    wanted: Sequence[Wanted],
    whole: Mapping[str, Room],
    free: Mapping[str, Room],
    choose: Callable[..., tuple[Decimal, str]],
) -> list[str]:
    """What finds no node when each pod goes to the one that `choose` (max, min) takes by what is then left there."""
    free = {name: dict(room) for name, room in free.items()}
    wrong: dict[str, str] = {}
    for pod in wanted:
        fitting = [
            (_left(free[node], whole[node], pod.asked), node) for node in pod.nodes if _has(free[node], pod.asked)
        ]
        if fitting:
            _take(free[choose(fitting)[1]], pod.asked)
        else:
            wrong[pod.name] = f"{pod.name} finds no node: {_why(pod.asked, [free[node] for node in pod.nodes])}"
    return list(wrong.values())


def _left(free: Room, whole: Room, asked: Room) -> Decimal:
    """The share of a node that is left when a pod was placed there, of what it asks for and will be shortest of."""
    shares = [(free[name] - amount) / whole[name] for name, amount in asked.items() if whole.get(name)]
    return min(shares, default=Decimal(1))


def relabelled(manifests: Sequence[Manifest], nodes: Sequence[Manifest], region: str) -> list[str]:
    """Workloads whose pods could lose their region: Kubernetes writes a node's topology labels over those of the pods
    that it binds there, and their own controller then does not know them any more. In words."""
    if region not in TOPOLOGY:
        return []
    found = []
    for each in manifests:
        own = objects.pod_labels(each).get(region, "")
        for node in takers(each, nodes):
            told, about = node["metadata"].get("labels") or {}, node["metadata"]["name"]
            if told.get(region, own) != own:
                found.append(f"{key(each)} may run on {about}, which would make it {told[region]!r}, not {own!r}")
                break
    return found


def takers(manifest: Manifest, nodes: Sequence[Manifest]) -> list[Manifest]:
    """The nodes on which a workload's pods may run, by labels and taints."""
    template = objects.pod_template(manifest)
    if template is None:
        return []
    spec = template.get("spec") or {}
    return [
        node for node in nodes if _may_run(spec, node["metadata"].get("labels") or {}, node["spec"].get("taints") or [])
    ]


def schedulable(node: Manifest) -> bool:
    return not node["spec"].get("unschedulable") and not node_troubles(node)


def allocatable(node: Manifest) -> Room:
    return {name: objects.quantity(amount) for name, amount in (node["status"].get("allocatable") or {}).items()}


def _may_run(spec: Manifest, labels: Mapping[str, str], taints: Iterable[Mapping[str, str]]) -> bool:
    """By node selector, required node affinity (In, NotIn, Exists, DoesNotExist) and taints."""
    if not (spec.get("nodeSelector") or {}).items() <= labels.items():
        return False
    affinity = ((spec.get("affinity") or {}).get("nodeAffinity") or {}).get(
        "requiredDuringSchedulingIgnoredDuringExecution"
    ) or {}
    terms = affinity.get("nodeSelectorTerms") or []
    if terms and not any(all(matches(one, labels) for one in term.get("matchExpressions") or []) for term in terms):
        return False
    tolerations = spec.get("tolerations") or []
    return all(
        any(_tolerates(one, taint) for one in tolerations)
        for taint in taints
        if taint["effect"] in ("NoSchedule", "NoExecute")
    )


def matches(expression: Mapping[str, object], labels: Mapping[str, str]) -> bool:
    name, values = str(expression["key"]), expression.get("values") or []
    assert isinstance(values, list)
    return {
        "In": labels.get(name) in values,
        "NotIn": labels.get(name) not in values,
        "Exists": name in labels,
        "DoesNotExist": name not in labels,
    }.get(str(expression["operator"]), True)


def _tolerates(toleration: Mapping[str, str], taint: Mapping[str, str]) -> bool:
    if toleration.get("effect") not in (None, "", taint["effect"]):
        return False
    if toleration.get("operator") == "Exists":
        return toleration.get("key") in (None, "", taint["key"])
    return toleration.get("key") == taint["key"] and toleration.get("value", "") == taint.get("value", "")


def _has(free: Room, asked: Room) -> bool:
    return all(free.get(name, Decimal(0)) >= amount for name, amount in asked.items())


def _take(free: Room, asked: Room) -> None:
    for name, amount in asked.items():
        free[name] = free.get(name, Decimal(0)) - amount


def _why(asked: Room, fitting: Sequence[Room]) -> str:
    if not fitting:
        return "no node that is Ready has its labels and lets it in"
    short = [
        f"{amount:f} {name} asked, at most {max(free.get(name, Decimal(0)) for free in fitting):f} free on one node"
        for name, amount in asked.items()
        if not any(free.get(name, Decimal(0)) >= amount for free in fitting)
    ]
    return "; ".join(short) or "no node has all of it free at once"
