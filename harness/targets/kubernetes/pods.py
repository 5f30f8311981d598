"""Pods as the platform's instances: which there are, whether they serve, and how one is asked. Computes from what the
API gave; nothing is kept."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult

from harness.errors import BadInput
from harness.ports import Instance
from harness.spec.placeholders import Address, DevicePath, Name, OwnPort, Placeholder, Secret, substitute
from harness.spec.platform import locate
from harness.targets.kubernetes.api import ApiError, Cluster, Manifest
from harness.targets.kubernetes.forward import forwarded
from harness.targets.kubernetes.objects import ROLLED_OUT, RUN, key, replicas
from harness.targets.kubernetes.state import ClusterState
from harness.targets.probe import Answer, Send, send_direct, target_of

INDEX = "apps.kubernetes.io/pod-index"  # a StatefulSet's pods carry it
TRACK = "sophia-harness/track"  # on canaries: the name of their workload
WORKLOADS = tuple(f"apps/v1/{kind}" for kind in ROLLED_OUT)


def of_run(cluster: Cluster, state: ClusterState) -> list[Manifest]:
    """All pods that carry the run's label and are not on their way out."""
    found = cluster.list("v1/Pod", state.on.namespace, {RUN: state.id})
    return [pod for pod in found if not leaving(pod)]


def leaving(pod: Manifest) -> bool:
    """Being deleted, or over and done with (an evicted pod stays as an object)."""
    return "deletionTimestamp" in pod["metadata"] or pod["status"].get("phase") in ("Failed", "Succeeded")


def is_ready(pod: Manifest) -> bool:
    """By the kubelet's word."""
    conditions = pod["status"].get("conditions") or []
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions) and not leaving(pod)


def statuses(pod: Manifest) -> list[Manifest]:
    """Of all its containers that run all the time."""
    return list(pod["status"].get("containerStatuses") or [])


def instances(state: ClusterState, pods: Sequence[Manifest], folder: Path) -> list[Instance]:
    """Pods of the platform's services, in the order of its phases; those of one service by region and index."""
    labels = state.labels
    order = {name: number for number, name in enumerate(name for each in state.spec.phases for name in each.services)}
    groups: dict[tuple[str, str], list[Manifest]] = {}
    for pod in pods:
        told = pod["metadata"].get("labels") or {}
        if told.get(labels.service) in order:
            groups.setdefault((told[labels.service], told.get(labels.region, "")), []).append(pod)
    found = []
    for service, region in sorted(groups, key=lambda place: (order[place[0]], _region_order(state, place[1]))):
        declared = state.service(service)
        aged = sorted(groups[service, region], key=lambda pod: (_is_canary(pod), _index(pod), _age(pod)))
        for number, pod in enumerate(aged):
            told = pod["metadata"]["labels"]
            found.append(
                Instance(
                    name=pod["metadata"]["name"],
                    service=service,
                    region=region,
                    index=int(told[INDEX]) if INDEX in told else number,
                    release=told.get(labels.release, "") if declared.released else "",
                    host=pod["status"].get("podIP", ""),
                    ports=_ports(pod, declared.ports),
                    state=folder,
                )
            )
    return found


def _is_canary(pod: Manifest) -> bool:
    return TRACK in (pod["metadata"].get("labels") or {})


def _region_order(state: ClusterState, region: str) -> int:
    return state.spec.regions.index(region) if region in state.spec.regions else -1


def _index(pod: Manifest) -> int:
    return int((pod["metadata"].get("labels") or {}).get(INDEX, 0))


def _age(pod: Manifest) -> tuple[str, str]:
    return pod["metadata"].get("creationTimestamp", ""), pod["metadata"]["name"]


def _ports(pod: Manifest, declared: Mapping[str, int]) -> dict[str, int]:
    """Those of the platform file; a container port of the same name wins over the file's number."""
    named = {
        port["name"]: port["containerPort"]
        for container in pod["spec"]["containers"]
        for port in container.get("ports") or []
        if "name" in port
    }
    return {name: named.get(name, number) for name, number in declared.items()}


def port_of(pod: Manifest, name: str, number: int) -> int:
    """A port of one pod, whose number in the platform file is `number`."""
    return _ports(pod, {name: number})[name]


def unready(cluster: Cluster, state: ClusterState) -> list[str]:
    """Pods that should serve and do not; and, for a workload that has too few, how many are missing."""
    pods = of_run(cluster, state)
    names = {each.name for each in instances(state, pods, Path())}
    found = [pod["metadata"]["name"] for pod in pods if pod["metadata"]["name"] in names and not is_ready(pod)]
    for kind in WORKLOADS:
        for workload in cluster.list(kind, state.on.namespace, {RUN: state.id}):
            wanted = desired(workload)
            selector = workload["spec"]["selector"].get("matchLabels") or {}
            mine = [pod for pod in pods if TRACK in selector or not _is_canary(pod)]
            have = sum(selector.items() <= (pod["metadata"].get("labels") or {}).items() for pod in mine)
            if have < wanted:
                found.append(f"{key(workload)}: {wanted - have} of {wanted} pods are missing")
    return found


def readiness(state: ClusterState, pods: Sequence[Manifest]) -> dict[tuple[str, str], tuple[list[str], list[str]]]:
    """As harness.ports.Readiness has it, of the platform's declared places, also where no pod is."""
    found: dict[tuple[str, str], tuple[list[str], list[str]]] = {
        (service.name, region): ([], [])
        for service in state.spec.services
        for region, count in service.instances.items()
        if count
    }
    ready = {pod["metadata"]["name"] for pod in pods if is_ready(pod)}
    for each in instances(state, pods, Path()):
        well, ill = found.setdefault((each.service, each.region), ([], []))
        (well if each.name in ready else ill).append(each.name)
    return found


def desired(workload: Manifest) -> int:
    if workload["kind"] == "DaemonSet":
        return int(workload.get("status", {}).get("desiredNumberScheduled", 0))
    return replicas(workload)


@dataclass(frozen=True)
class Filling:
    """Fills the placeholders of gates and checks. An address is `pod name:port`: `through` knows how to get there."""

    state: ClusterState
    ready: Sequence[Instance]  # ready ones first, as `address` takes the first
    source: Path
    folder: Path
    instance: Instance | None = None
    resolve: Callable[[Instance, int], str] = lambda instance, port: f"{instance.name}:{port}"

    def __call__(self, text: str) -> str:
        return substitute(text, self.value)

    def value(self, found: Placeholder) -> str:
        match found:
            case Address():
                return self.address(found)
            case OwnPort(name=name) if self.instance and name in self.instance.ports:
                return str(self.instance.ports[name])
            case Name(name=name):
                return self.name(name)
            case DevicePath() | Secret() | OwnPort():
                pass
        raise BadInput(f"{found} has no meaning on Kubernetes here", file=self.state.platform_file)

    def name(self, name: str) -> str:
        each = self.instance
        known = {
            "python": sys.executable,
            "source": str(self.source),
            "platform": str(self.folder),
            "release": each.release if each else self.state.release,
        }
        own = {"instance": each.name, "region": each.region, "index": str(each.index)} if each else {}
        if name not in {**known, **own}:
            raise BadInput(f"${{{name}}} has no meaning on Kubernetes here", file=self.state.platform_file)
        return {**known, **own}[name]

    def address(self, found: Address) -> str:
        """Of the service's first pod that is ready (else of its first). Raises LookupError when there is none."""
        region = locate(self.state.spec, found, self.instance.region if self.instance else None)
        for each in self.ready:
            if (each.service, each.region) == (found.service, region):
                return self.resolve(each, each.ports[found.port])
        raise LookupError(f"service {found.service!r} has no pod in {region or 'no region'}")


def tunnelled(cluster: Cluster, namespace: str) -> Send:
    """As `through`, on a connection to the pod itself: the API server's proxy takes CORS headers out of answers."""

    def send(method: str, url: SplitResult, headers: Mapping[str, str], body: str | None, timeout: float) -> Answer:
        with forwarded(cluster, namespace, url.hostname or "", url.port or 80) as address:
            return send_direct(method, url._replace(netloc=address), headers, body, timeout)

    return send


def through(cluster: Cluster, namespace: str) -> Send:
    """Asks pods, named as hosts, through the API server's proxy."""

    def send(method: str, url: SplitResult, headers: Mapping[str, str], body: str | None, timeout: float) -> Answer:
        try:
            return cluster.proxy(
                namespace, url.hostname or "", url.port or 80, method, target_of(url), headers, body, timeout
            )
        except ApiError as error:
            raise ConnectionError(str(error)) from None

    return send
