"""What the rendered objects are: workloads of services, phases, labels, releases. Pure."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from harness.errors import BadInput
from harness.model.platform import PlatformSpec, PodLabels, Release
from harness.targets.kubernetes.api import Manifest, Resource

RUN = "sophia-harness/run"  # on every object that a run makes; its value is the platform's id
TEMPLATES = {
    "Deployment": ("spec", "template"),
    "StatefulSet": ("spec", "template"),
    "DaemonSet": ("spec", "template"),
    "ReplicaSet": ("spec", "template"),
    "Job": ("spec", "template"),
    "CronJob": ("spec", "jobTemplate", "spec", "template"),
}
DEFINITION = "CustomResourceDefinition"
ROLLED_OUT = ("Deployment", "StatefulSet", "DaemonSet")

UNITS = {f"{letter}i": Decimal(1024) ** power for power, letter in enumerate("KMGTPE", 1)}
UNITS |= {
    letter: Decimal(1000) ** power for power, letter in zip((-3, -2, -1, 1, 2, 3, 4, 5, 6), "numkMGTPE", strict=True)
}


@dataclass(frozen=True)
class Key:
    """What names an object in a cluster; `kind` is apiVersion/Kind."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        place = f"{self.namespace}/" if self.namespace else ""
        return f"{self.kind.rpartition('/')[2]} {place}{self.name}"


def key(manifest: Manifest) -> Key:
    about = manifest["metadata"]
    return Key(f"{manifest['apiVersion']}/{manifest['kind']}", about.get("namespace", ""), about["name"])


def pod_template(manifest: Manifest) -> Manifest | None:
    """The template of the pods that an object makes, or itself for a pod; None for all else."""
    if manifest["kind"] == "Pod":
        return manifest
    found: Any = manifest
    for part in TEMPLATES.get(manifest["kind"], ("",)):
        found = found.get(part) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else None


def pod_labels(manifest: Manifest) -> dict[str, str]:
    template = pod_template(manifest) or {}
    return dict((template.get("metadata") or {}).get("labels") or {})


def containers(manifest: Manifest, init: bool = False) -> list[Manifest]:
    """Of the object's pods; with `init` also those that run before."""
    spec = (pod_template(manifest) or {}).get("spec") or {}
    return [*(spec.get("initContainers") or [] if init else []), *(spec.get("containers") or [])]


def replicas(manifest: Manifest) -> int:
    """Pods that the object asks for; a DaemonSet's count is the nodes' business and taken as one."""
    return int((manifest.get("spec") or {}).get("replicas", 1)) if manifest["kind"] != "Pod" else 1


def prepared(
    manifests: Iterable[Manifest], run: str, namespace: str, namespaced: Mapping[str, bool], secrets: Iterable[str]
) -> list[Manifest]:
    """The objects as they are applied: in the platform's namespace, labelled with the run, themselves and their pods.

    `namespaced` tells of each kind that is served whether it lies in a namespace. The Namespace itself and the secrets
    that the harness makes are left out. Raises BadInput for an object of another namespace.
    """
    generated, found = set(secrets), []
    for each in manifests:
        mine = copy.deepcopy(each)
        about = mine["metadata"]
        if mine["kind"] == "Namespace" and mine["apiVersion"] == "v1":
            if about["name"] != namespace:
                raise BadInput(f"{key(mine)} is not {namespace}", fix="a run acts on one namespace: name it in both")
            continue
        if mine["kind"] == "Secret" and about["name"] in generated:
            raise BadInput(
                f"Secret {about['name']} stands in the manifests, and the platform file has it made",
                fix="remove it from the manifests: a generated secret is in no file",
            )
        if namespaced.get(key(mine).kind, True) and about.setdefault("namespace", namespace) != namespace:
            raise BadInput(
                f"{key(mine)} is not in namespace {namespace}", fix="a run acts on one namespace: set `namespace`"
            )
        about["labels"] = {**(about.get("labels") or {}), RUN: run}
        template = pod_template(mine)
        claims = (mine.get("spec") or {}).get("volumeClaimTemplates") or []
        for made in [*([template] if template is not None and template is not mine else []), *claims]:
            inner = made.setdefault("metadata", {})
            inner["labels"] = {**(inner.get("labels") or {}), RUN: run}
        found.append(mine)
    return found


def released(manifests: Iterable[Manifest], spec: PlatformSpec, labels: PodLabels, release: Release) -> list[Manifest]:
    """The objects with the workloads of released services set to a release: its label, what it sets, and the image of
    their first container where it names one."""
    services = {service.name for service in spec.services if service.released}
    found = []
    for each in manifests:
        service = pod_labels(each).get(labels.service, "")
        if service in services and release.name:
            each = copy.deepcopy(each)
            template = pod_template(each) or {}
            for about in (each["metadata"], template["metadata"]):
                about["labels"] = {**(about.get("labels") or {}), labels.release: release.name}
            for container in containers(each):
                kept = [one for one in container.get("env") or [] if one["name"] not in release.env]
                added = [{"name": name, "value": value} for name, value in release.env.items()]
                if kept or added:
                    container["env"] = kept + added
            if service in release.images:
                containers(each)[0]["image"] = release.images[service]
        found.append(each)
    return found


def by_phase(manifests: Sequence[Manifest], spec: PlatformSpec, labels: PodLabels) -> list[tuple[str, list[Manifest]]]:
    """(phase, its workloads), in order; first of all ("", what belongs to no service).

    Raises BadInput for a workload of an unknown service, and for a service whose workloads are not what the platform
    file says: regions and counts are the same on every target.
    """
    phase_of = {name: phase.name for phase in spec.phases for name in phase.services}
    found: dict[str, list[Manifest]] = {"": [], **{phase.name: [] for phase in spec.phases}}
    counts: dict[tuple[str, str], int | None] = {}
    for each in manifests:
        told = pod_labels(each)
        service, region = told.get(labels.service, ""), told.get(labels.region, "")
        if service and service not in phase_of:
            raise BadInput(
                f"{key(each)} is of service {service!r} by its label {labels.service}, which the platform file lacks",
                fix=f"services: {', '.join(sorted(phase_of))}",
            )
        found[phase_of.get(service, "")].append(each)
        if service and each["kind"] not in ("Job", "CronJob"):
            open_count = each["kind"] == "DaemonSet" or "replicas" not in (each.get("spec") or {})
            before = counts.get((service, region), 0)
            counts[service, region] = None if open_count or before is None else before + replicas(each)
    _same_counts(spec, counts)
    return list(found.items())


def _same_counts(spec: PlatformSpec, counts: Mapping[tuple[str, str], int | None]) -> None:
    declared = {
        (service.name, region): count
        for service in spec.services
        for region, count in service.instances.items()
        if count
    }
    wrong = []
    for place in sorted({*declared, *counts}):
        want, have = declared.get(place, 0), counts.get(place, 0)
        if have is not None and have != want:
            where = f"{place[0]} in {place[1] or 'no region'}"
            wrong.append(f"{where}: {have} in the manifests, {want} in the platform file")
    if wrong:
        raise BadInput(
            "the manifests and the platform file do not agree on the instances: " + "; ".join(wrong),
            fix="the same services, regions and counts in both (labels: see spec.kubernetes of the platform file)",
        )


def defined(manifests: Iterable[Manifest]) -> dict[str, Resource]:
    """apiVersion/Kind → where it will be served, of the kinds that CustomResourceDefinitions among the objects make."""
    found = {}
    for each in manifests:
        if each["kind"] == DEFINITION:
            spec = each["spec"]
            names, group = spec["names"], spec["group"]
            for version in spec["versions"]:
                resource = Resource(group, version["name"], names["plural"], spec["scope"] == "Namespaced")
                found[f"{group}/{version['name']}/{names['kind']}"] = resource
    return found


def references(manifest: Manifest) -> Iterator[tuple[str, str]]:
    """(Secret or ConfigMap, name) of everything that the object's pods cannot start without."""
    spec = (pod_template(manifest) or {}).get("spec") or {}
    found: list[tuple[str, Any]] = [("Secret", each) for each in spec.get("imagePullSecrets") or []]
    for container in containers(manifest, init=True):
        for each in container.get("env") or []:
            source = each.get("valueFrom") or {}
            found += [("Secret", source.get("secretKeyRef")), ("ConfigMap", source.get("configMapKeyRef"))]
        for each in container.get("envFrom") or []:
            found += [("Secret", each.get("secretRef")), ("ConfigMap", each.get("configMapRef"))]
    for volume in spec.get("volumes") or []:
        if secret := volume.get("secret"):
            found.append(("Secret", {"name": secret.get("secretName"), "optional": secret.get("optional")}))
        sources = (volume.get("projected") or {}).get("sources") or []
        for each in [volume, *sources]:
            found.append(("ConfigMap", each.get("configMap")))
        found += [("Secret", each.get("secret")) for each in sources]
    return ((kind, each["name"]) for kind, each in found if each and not each.get("optional"))


def quantity(text: str | int | float) -> Decimal:
    """A Kubernetes quantity ("250m", "1Gi", "2") as a number. Raises BadInput."""
    word = str(text)
    unit = next((each for each in UNITS if word.endswith(each)), "")
    try:
        return Decimal(word.removesuffix(unit)) * UNITS.get(unit, Decimal(1))
    except InvalidOperation:
        raise BadInput(f"{word!r} is no quantity", fix="write as in 250m, 1Gi or 2") from None


def requests(pod_spec: Mapping[str, Any]) -> dict[str, Decimal]:
    """What a pod asks of its node: the sum over its containers, or what an init container needs, if that is more."""
    total: dict[str, Decimal] = {}
    for container in pod_spec.get("containers") or []:
        for name, amount in _asked(container):
            total[name] = total.get(name, Decimal(0)) + amount
    for container in pod_spec.get("initContainers") or []:
        for name, amount in _asked(container):
            total[name] = max(total.get(name, Decimal(0)), amount)
    total["pods"] = Decimal(1)
    return total


def _asked(container: Mapping[str, Any]) -> Iterator[tuple[str, Decimal]]:
    """Requests; a limit without a request is one."""
    resources = container.get("resources") or {}
    asked = {**(resources.get("limits") or {}), **(resources.get("requests") or {})}
    return ((name, quantity(amount)) for name, amount in asked.items())
