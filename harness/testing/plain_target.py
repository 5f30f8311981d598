"""A platform of plain workloads on a cluster, in memory or real: what the faults on Kubernetes are tried on."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.errors import BadInput, TargetError
from harness.kube import agent, devices, pods
from harness.kube.ports import Cluster, Manifest, Site
from harness.model.platform import Device, Service
from harness.ports import Endpoints, Instance, Leftovers, Report
from harness.targets.kubernetes.processes import ClusterProcesses

SERVICE, REGION = "app.kubernetes.io/name", "topology.kubernetes.io/region"
STATEFUL = ("weaviate", "postgres")
READY_WITHIN_S = 120.0
MADE = (
    pods.POD,
    "v1/ServiceAccount",
    "rbac.authorization.k8s.io/v1/Role",
    "rbac.authorization.k8s.io/v1/RoleBinding",
    "rbac.authorization.k8s.io/v1/ClusterRole",
    "rbac.authorization.k8s.io/v1/ClusterRoleBinding",
)


@dataclass
class PlainTarget(ClusterProcesses):
    """`container` gives the container of a service; `nodes` stops (False) and starts (True) a node by name, None: this
    cluster's provider cannot."""

    api: Cluster
    namespace: str
    services: Sequence[Service]
    container: Callable[[Service], Manifest]
    agent_image: str = "agent.local/python:3"
    nodes: Callable[[str, bool], None] | None = None
    cards: Sequence[Device] = ()  # `path`: the file on the node
    labels: Mapping[str, str] = field(default_factory=lambda: {"sophia-harness/run": "plain-0"})

    @property
    def reference(self) -> str:
        return f"{__name__}:{self.namespace}"

    def site(self) -> Site:
        return Site(self.api, self.namespace, self.agent_image, self.labels)

    # -- deployment

    def up(self, release: str, report: Report) -> None:
        self.api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}})
        for service in self.services:
            for region, count in service.instances.items():
                for manifest in _manifests(self.namespace, service, region, count, self.container(service)):
                    self.api.create(manifest)
        end = time.monotonic() + READY_WITHIN_S
        while left := [*self.ready(), *self._missing()]:
            if time.monotonic() > end:
                raise TargetError(f"not ready: {', '.join(left)}")
            time.sleep(0.25)

    def _missing(self) -> list[str]:
        wanted = sum(count for service in self.services for count in service.instances.values())
        have = len(self.instances())
        return [f"{wanted - have} pods"] if have < wanted else []

    def down(self) -> Leftovers:
        self.api.delete("v1/Namespace", "", self.namespace)
        end = time.monotonic() + READY_WITHIN_S
        while self.api.read("v1/Namespace", "", self.namespace) and time.monotonic() < end:
            time.sleep(0.25)
        return Leftovers()

    # -- looking

    def check(self, report: Report) -> None: ...

    def ready(self) -> Sequence[str]:
        return [pods.name(pod) for pod in self._pods() if not pods.is_ready(pod)]

    def endpoints(self) -> Endpoints:
        return Endpoints("http://127.0.0.1:9", "", "", {}, {}, {})

    def instances(self, service: str | None = None, region: str | None = None) -> Sequence[Instance]:
        found: list[Instance] = []
        for pod in self._pods():
            told = pod["metadata"]["labels"]
            if service in (None, told[SERVICE]) and region in (None, told.get(REGION, "")):
                declared = next(each for each in self.services if each.name == told[SERVICE])
                about = (pods.name(pod), told[SERVICE], told.get(REGION, ""), len(found), "", pods.address(pod))
                found.append(Instance(*about, declared.ports, Path("/nonexistent")))
        return found

    def _pods(self) -> list[Manifest]:
        names = {each.name for each in self.services}
        found = self.api.list(pods.POD, self.namespace)
        ours = [pod for pod in found if pod["metadata"].get("labels", {}).get(SERVICE) in names]
        return [pod for pod in ours if not pods.going(pod) and not pods.ended(pod)]

    def left(self) -> list[str]:
        """What the harness made for faults and has not removed."""
        return [
            f"{kind} {each['metadata']['name']}"
            for kind in MADE
            for each in self.api.list(kind, "" if "/Cluster" in kind else self.namespace, agent.MANAGED)
        ]

    # -- calls and devices

    def page(self, instance: Instance, port: str, path: str, timeout_s: float) -> str:
        return self.call(instance, port, "GET", path, None, timeout_s)[1]

    def call(
        self, instance: Instance, port: str, method: str, path: str, body: str | None, timeout_s: float
    ) -> tuple[int, str]:
        headers = {"content-type": "application/json"} if body else {}
        where = (self.namespace, instance.name, instance.ports[port], method, path)
        answer: Any = self.api.proxy(*where, headers=headers, body=body, timeout_s=timeout_s)
        return answer.status, answer.text

    def devices(self, region: str | None = None) -> Sequence[str]:
        return [each.name for each in self.cards if region in (None, each.region)]

    def device_present(self, name: str) -> bool:
        card = self._card(name)
        return devices.all_well(self.site(), card.kind, card.region)

    def detach_device(self, name: str) -> None:
        card = self._card(name)
        there = [pod for pod in self._pods() if pod["metadata"]["labels"].get(REGION, "") == card.region]
        devices.detach(self.site(), name, card.path, devices.users(there, card.kind))

    def attach_device(self, name: str) -> None:
        card = self._card(name)
        devices.attach(self.site(), name, card.kind, card.region, card.path)

    def _card(self, name: str) -> Device:
        return next(each for each in self.cards if each.name == name)

    # -- nodes

    def check_nodes(self) -> None:
        if self.nodes is None:
            raise BadInput("nobody says how a node of this cluster is stopped")

    def stop_node(self, name: str) -> None:
        self.check_nodes()
        assert self.nodes is not None
        self.nodes(name, False)

    def start_node(self, name: str) -> None:
        self.check_nodes()
        assert self.nodes is not None
        self.nodes(name, True)


def _manifests(namespace: str, service: Service, region: str, count: int, container: Manifest) -> list[Manifest]:
    """A workload, and a Service before it."""
    name = "-".join(part for part in (service.name, region) if part)
    labels = {SERVICE: service.name, **({REGION: region} if region else {})}
    soon = {"operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5}
    spec = {
        "containers": [container],
        "terminationGracePeriodSeconds": 2,
        "tolerations": [{**soon, "key": f"node.kubernetes.io/{key}"} for key in ("not-ready", "unreachable")],
        **({"nodeSelector": {REGION: region}} if region else {}),
    }
    stateful = service.name in STATEFUL
    workload = {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet" if stateful else "Deployment",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "replicas": count,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": spec},
            **({"serviceName": name} if stateful else {}),
        },
    }
    ports = [{"name": key, "port": number} for key, number in service.ports.items()]
    before = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": namespace}}
    return [{**before, "spec": {"selector": labels, "ports": ports}}, workload]
