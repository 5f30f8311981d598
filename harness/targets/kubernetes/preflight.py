"""What must hold before anything is touched: the cluster, our rights, room, images, secrets. It only looks."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from harness.errors import TargetError
from harness.kube.rights import Right
from harness.model.events import CheckDone
from harness.model.platform import OnKubernetes, PlatformSpec
from harness.ports import Report
from harness.targets.kubernetes import architectures, claim, objects, referred, rights, room
from harness.targets.kubernetes.api import ApiError, Manifest, Resource
from harness.targets.kubernetes.checks import hard_coded
from harness.targets.kubernetes.finding import Finding, Intent
from harness.targets.kubernetes.nodes import node_troubles
from harness.targets.kubernetes.objects import RUN, key

CHECKED = "preflight: "
EVERY_S = 1.0
BUILT = "images are built for the nodes"
IMAGES_LISTED = 50  # a kubelet names at most so many of its images


def preflight(intents: Mapping[str, Intent], report: Report, settles_within_s: float = 0.0) -> None:
    """Reports each finding, named by its cluster ("": the only one); raises TargetError with all that is wrong. A
    cluster that was made a moment ago is given time to settle: device plugins and storage come after the nodes."""
    deadline = time.monotonic() + settles_within_s
    found = list(_everywhere(intents))
    while any(each.wrong for each in found) and time.monotonic() < deadline:
        time.sleep(EVERY_S)
        found = list(_everywhere(intents))
    wrong = []
    for each in found:
        if not (each.of or each.unknown):  # nothing to look at, as claims where there are none
            continue
        passed = 0 if each.unknown else each.of - len(each.wrong)
        detail = each.unknown or "; ".join(each.wrong)
        of = 0 if each.unknown else each.of
        report(CheckDone(name=CHECKED + each.name, passed=max(passed, 0), of=of, detail=detail[:2000]))
        if each.wrong:
            wrong.append(f"{each.name}: {'; '.join(each.wrong)}\n  fix: {each.fix}")
    if wrong:
        raise TargetError("the cluster is not ready for this run; nothing was touched\n" + "\n".join(wrong))


def _everywhere(intents: Mapping[str, Intent]) -> Iterator[Finding]:
    for cluster, intent in intents.items():
        for each in findings(intent):
            yield replace(each, name=f"{cluster}: {each.name}" if cluster else each.name)


def findings(intent: Intent) -> Iterator[Finding]:
    """All looks, one after another; what one of them needs and may not see makes that one unknown."""
    yield Finding(f"the cluster answers ({intent.cluster.version()})", 1)
    kinds = sorted({key(each).kind for each in intent.manifests})
    served = {**objects.defined(intent.manifests), **rights.by_kind(intent.cluster, kinds)}
    yield Finding(
        "API versions are served",
        len(kinds),
        tuple(kind for kind in kinds if kind not in served),
        fix="install what serves them, or change the manifests' apiVersion",
    )
    there = claim.namespace(intent.cluster, intent.namespace)
    yield _rights(intent, served, makes_namespace=there is None)
    yield _free(intent, there)
    yield from _nodes(intent)
    yield from referred.named_by_pods(intent, there)
    yield from referred.claimed(intent, there)
    yield Finding(
        "no hard-coded public address",
        len(intent.manifests),
        tuple(hard_coded(intent.manifests)),
        fix="use a name, or configuration",
    )


def _rights(intent: Intent, served: Mapping[str, Resource], makes_namespace: bool) -> Finding:
    asked = all_rights(intent, served, makes_namespace)
    denied = rights.denied(intent.cluster, intent.namespace, asked)
    return Finding(
        "we have the rights",
        sum(each.needed for each in asked),
        tuple(str(each) for each in denied if each.needed),
        fix="`harness rbac SCENARIO` writes the Role that is needed",
    )


def all_rights(intent: Intent, served: Mapping[str, Resource], makes_namespace: bool) -> list[Right]:
    """What the run, its faults and its actuator need, and what the Roles that it applies give."""
    watched = bool(intent.spec.endpoints.databases)
    filled_in = bool(intent.spec.kubernetes and intent.spec.kubernetes.secrets)
    asked = rights.needed(served.values(), gate_methods(intent.spec), makes_namespace, watched, filled_in)
    return sorted({*asked, *rights.granted(intent.manifests), *intent.needs})


def gate_methods(spec: PlatformSpec) -> set[str]:
    """HTTP methods by which gates and checks ask pods."""
    gates = [*(gate for phase in spec.phases for gate in phase.gates), *spec.checks]
    return {gate.http.method for gate in gates if gate.http}


def _free(intent: Intent, there: Manifest | None) -> Finding:
    """Nobody else holds the namespace, and no object that we would apply is there already."""
    wrong = []
    if there is not None:
        if there.get("status", {}).get("phase") == "Terminating":
            wrong.append(f"namespace {intent.namespace} is on its way out")
        try:
            if by := claim.holder(intent.cluster, intent.namespace):
                wrong.append(claim.taken(intent.namespace, by).split("\n")[0])
        except ApiError as error:
            if error.status != 403:  # told by the rights
                raise
    for each in intent.manifests:
        one = key(each)
        if one.namespace and there is None:
            continue
        try:
            found = intent.cluster.read(one.kind, one.namespace, one.name)
        except ApiError as error:
            if error.status in (403, 404):  # told by the rights and the API versions
                continue
            raise
        if found is not None and (found["metadata"].get("labels") or {}).get(RUN) != intent.run:
            wrong.append(f"{one} is there already, and is not of this run")
    return Finding(
        "the place is free",
        len(intent.manifests) + 1,
        tuple(wrong),
        fix="take down what is there (`harness status`), or give the platform another namespace",
    )


def _nodes(intent: Intent) -> Iterator[Finding]:
    try:
        nodes = intent.cluster.list("v1/Node")
        running = intent.cluster.list("v1/Pod", fields="status.phase!=Succeeded,status.phase!=Failed")
    except ApiError as error:
        if error.status != 403:
            raise
        for name in ("nodes are Ready", "there is room", "images are on the nodes", BUILT):
            yield Finding(name, 0, unknown="we may not look at nodes and at pods of other namespaces")
        return
    troubles = [f"{each['metadata']['name']} {what}" for each in nodes for what in node_troubles(each)]
    troubles += [] if nodes else ["there is no node"]
    yield Finding("nodes are Ready", max(len(nodes), len(troubles)), tuple(troubles), fix="mend or remove the node")
    labels = (intent.spec.kubernetes or OnKubernetes()).labels
    yield Finding(
        "regions are those of the nodes",
        len(intent.manifests),
        tuple(room.relabelled(intent.manifests, nodes, labels.region)),
        fix=f"keep its pods on nodes of their region (nodeSelector), or use another label than {labels.region}",
    )
    count, homeless = room.placed(intent.manifests, nodes, running)
    yield Finding("there is room", count, tuple(homeless), fix="add nodes, free some, or ask for less (requests)")
    yield _images(intent.manifests, nodes)
    yield _architectures(intent, nodes)


# -- images


def _images(manifests: Sequence[Manifest], nodes: Sequence[Manifest]) -> Finding:
    """An image that is never pulled must be on the nodes; of any other it is the kubelet that finds out."""
    known = {name for node in nodes for each in node["status"].get("images") or [] for name in each.get("names") or []}
    cut = any(len(node["status"].get("images") or []) >= IMAGES_LISTED for node in nodes)
    used = {
        (container["image"], container.get("imagePullPolicy", ""))
        for each in manifests
        for container in objects.containers(each, init=True)
    }
    wrong = [] if cut else sorted(image for image, policy in used if policy == "Never" and not _is_known(image, known))
    return Finding("images are on the nodes", len(used), tuple(wrong), fix="load the image onto the nodes")


def _architectures(intent: Intent, nodes: Sequence[Manifest]) -> Finding:
    """What is known to be wrong is told also where something else is not known."""
    wrong = architectures.misplaced(intent.manifests, nodes, intent.built)
    used = {each["image"] for one in intent.manifests for each in objects.containers(one, init=True)}
    return Finding(
        BUILT,
        max(len(used), len(wrong)),
        tuple(wrong),
        unknown="" if wrong else architectures.unknown(intent.manifests, nodes, intent.built),
        fix=f"keep its pods on nodes that fit (nodeSelector {architectures.ARCH}), build it for all, or correct "
        "target.kubernetes.architectures",
    )


def _is_known(image: str, known: Iterable[str]) -> bool:
    names = {image, f"docker.io/{image}", f"docker.io/library/{image}"}
    return any(name in names for name in known)
