"""The kubernetes target: a platform file and manifests, brought up on a cluster that is there."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from harness.errors import BadInput, PlatformAbsent, TargetError
from harness.kube import devices
from harness.kube import rights as rights_for
from harness.kube.ports import Site
from harness.kube.rights import Right
from harness.model.events import CheckDone, ClusterMade, StandIn
from harness.model.on_cluster import OnCluster
from harness.model.platform import Device, Platform
from harness.ports import Count, Endpoints, Instance, Leftovers, Report
from harness.spec.placeholders import Address, Secret, placeholders, substitute
from harness.spec.platform import locate
from harness.spec.yaml import Located
from harness.targets.kubernetes import (
    canary,
    checks,
    claim,
    deployment,
    fetch,
    k3s,
    kind,
    objects,
    planning,
    pods,
    power,
    rights,
    sources,
    state,
    teardown,
)
from harness.targets.kubernetes.api import Cluster
from harness.targets.kubernetes.deployment import Deployment, Rollout
from harness.targets.kubernetes.finding import Finding
from harness.targets.kubernetes.gates import Gates, Place
from harness.targets.kubernetes.preflight import all_rights, findings, preflight
from harness.targets.kubernetes.processes import ClusterProcesses
from harness.targets.kubernetes.rollout import wait_for_add_ons
from harness.targets.kubernetes.standstill import Standstill
from harness.targets.kubernetes.state import ClusterFolder, ClusterState, make_folder

# Modules with `create(on, folder)` and `delete(on, folder)`, for clusters that a run makes for itself.
PROVIDERS = {"kind": kind, "k3s": k3s}
SETTLES_WITHIN_S = 90.0


class KubernetesTarget(ClusterProcesses):
    """One platform on one cluster, named by its state folder on this machine.

    Holds nothing but a connection: every call asks the cluster, so that several processes (the harness, a chaos child,
    a watchdog) may use the same platform.
    """

    def __init__(
        self, folder: ClusterFolder, platform: Located[Platform] | None = None, on: OnCluster | None = None
    ) -> None:
        self.folder = folder
        self.needs: Collection[Right] = ()  # of its faults and its actuator: `up` refuses when one is lacking
        self._platform, self._on = platform, on
        self._secrets: dict[str, str] = {}

    @property
    def reference(self) -> str:
        return f"kubernetes:{self.folder.root}"

    @property
    def goes_with_cluster(self) -> bool:
        """Whether `down` ends the cluster, and all that was done to it."""
        return self.state().on.provider != "context"

    def state(self) -> ClusterState:
        """The attach file. Raises PlatformAbsent or TargetError."""
        return state.read(self.folder)

    @cached_property
    def cluster(self) -> Cluster:
        on = self._on or self.state().on
        stamp = sum(Path(part).stat().st_mtime_ns for part in on.kubeconfig.split(os.pathsep) if Path(part).exists())
        return _connected(on.kubeconfig, on.context, stamp)

    @property
    def context(self) -> str:
        """What its cluster is called."""
        return (self._on or self.state().on).context

    def site(self) -> Site:
        now = self.state()
        return Site(self.cluster, now.on.namespace, now.on.agent_image, {objects.RUN: now.id})

    # -- deployment

    def up(self, release: str, report: Report) -> None:
        """Deploys phase by phase. Raises BadInput or TargetError before anything is touched when the preflight finds
        something, TargetError (with the phase taken back) when a rollout or a gate fails."""
        if self._platform is None or self._on is None or self.folder.root.exists():
            raise TargetError(f"{self.folder.root} was brought up before\n  fix: roll out a release with `deploy`")
        if self._on.provider != "context":
            self._make_cluster(release, report)
        plan = self.plan(release)
        preflight({"": plan.intent}, report, 0 if self._on.provider == "context" else SETTLES_WITHIN_S)
        make_folder(self.folder, plan.state)
        for service in plan.state.spec.services:
            if service.stand_in:
                report(StandIn(service=service.name, text=service.stand_in))
        claim.claim(self.cluster, plan.state, plan.namespace, claim.new_secrets(plan.state))
        made = Deployment(self.cluster, self.folder, plan.manifests)
        deployment.first(Rollout(self.folder, (made,)), report)

    def _make_cluster(self, release: str, report: Report) -> None:
        """Of the run's own. That there is going to be one is on disk before it is made."""
        assert self._platform is not None and self._on is not None
        if self._on.provider == "kind":
            kind.preflight()
        sources.rendered(self._on)  # what is wrong with the files is told before a minute goes into a cluster
        make_folder(self.folder, deployment.new_state(self.folder, self._platform, self._on, release))
        began = time.monotonic()
        self._on = PROVIDERS[self._on.provider].create(self._on, self.folder)
        wait_for_add_ons(self.cluster, SETTLES_WITHIN_S)
        nodes, seconds = len(self.cluster.list("v1/Node")), time.monotonic() - began
        report(ClusterMade(provider=self._on.provider, nodes=nodes, seconds=seconds))

    def examine(self, release: str) -> Iterator[Finding]:
        """What `up` looks at before it touches anything; it stops there. Of a cluster that the run would make itself
        there is nothing to see yet but the programs and files for it."""
        assert self._on is not None
        if self._on.provider == "kind":
            kind.preflight()
        if self._on.provider != "context":
            rendered = sources.rendered(self._on)
            yield Finding(f"what {self._on.provider} needs is here, and the manifests render", len(rendered))
            return
        yield from findings(self.plan(release).intent)

    def roles(self) -> list[dict[str, Any]]:
        """The Role and ClusterRole that a run needs, with what its faults need."""
        if self._on is not None and self._on.provider != "context":
            raise BadInput(f"the run makes its cluster with {self._on.provider}, and may do everything there")
        plan = self.plan("")
        served = planning.served(self.cluster, plan.rendered)
        makes_namespace = claim.namespace(self.cluster, plan.intent.namespace) is None
        asked = all_rights(plan.intent, served, makes_namespace)
        return rights.roles(asked, "sophia-harness", plan.intent.namespace)

    def plan(self, release: str) -> planning.Plan:
        """What `up` is going to do. Raises BadInput where the files do not go together."""
        assert self._platform is not None and self._on is not None
        return planning.plan(self.folder, self._platform, self._on, self.cluster, release, self.needs)

    def deploy(self, release: str, report: Report) -> None:
        """Rolls out another release of the released services while they serve, phase by phase.

        Raises BadInput for an unknown release, TargetError (with the phase taken back) when something fails.
        """
        self.state().release_named(release)
        deployment.replace(Rollout(self.folder, (self.made(),)), release, report)

    def add_instances(self, service: str, region: str, count: int, release: str, report: Report) -> Sequence[Instance]:
        """Canaries: pods of a release beside the serving ones; returns when they are ready. Services send them their
        part of the traffic at once; another share is an actuator's business."""
        return canary.add(self.made(), service, region, count, release)

    def remove_instances(self, instances: Sequence[Instance]) -> None:
        """Ends canaries for good; ones that are gone already are no error."""
        canary.remove(self._there(), instances)

    def counts(self, service: str, region: str) -> Mapping[str, Count]:
        """As harness.ports.Counts has it, of Deployments."""
        return canary.counts(self._there(), service, region)

    def set_count(self, service: str, region: str, release: str, count: int | None, within_s: float) -> None:
        """As harness.ports.Counts has it."""
        canary.set_count(self._there(), service, region, release, count, within_s)

    def _there(self) -> Deployment:
        """What was applied, for changing it without rendering anything: on the cluster that it was brought up on, or
        not at all."""
        teardown.same_cluster(self.cluster, self.state())
        return Deployment(self.cluster, self.folder, ())

    def made(self) -> Deployment:
        """What is there, for changing it: on the cluster that it was brought up on, or not at all."""
        now = self.state()
        teardown.same_cluster(self.cluster, now)
        return Deployment(self.cluster, self.folder, planning.prepared(self.cluster, now, sources.rendered(now.on)))

    # -- looking

    def check(self, report: Report) -> None:
        """Reports one CheckDone for each post-deployment check."""
        checks.certificates(self.endpoints(), report)
        for each in self.checks():
            report(each)
        for each in checks.declared(Gates((self.place(),), self.folder, self.state())):
            report(each)

    def place(self) -> Place:
        return Place(self.cluster, self.state(), self.folder.root)

    def checks(self) -> Iterator[CheckDone]:
        """Those that need no platform file."""
        return checks.of_cluster(self.cluster, self.folder, self.state())

    def ready(self) -> Sequence[str]:
        """Names of the pods that should serve and do not; and of workloads that have too few, how many are missing."""
        return pods.unready(self.cluster, self.state())

    def endpoints(self) -> Endpoints:
        """As the scenario says, secrets filled in from the cluster."""
        now = self.state()
        at = now.on.endpoints
        return Endpoints(
            edge=at.edge,
            prometheus=at.prometheus,
            alertmanager=at.alertmanager,
            databases={region: self._filled(now, url) for region, url in at.databases.items()},
            regions=dict(at.regions),
            extra={},
        )

    def _filled(self, now: ClusterState, text: str) -> str:
        def value(found: object) -> str:
            if not isinstance(found, Secret):
                raise BadInput(f"{found} has no meaning in an endpoint", fix="write a whole URL with ${secret.name}")
            if found.name not in self._secrets:
                self._secrets[found.name] = claim.secret(self.cluster, now, found.name)
            return self._secrets[found.name]

        return substitute(text, value)

    def instances(self, service: str | None = None, region: str | None = None) -> Sequence[Instance]:
        """The pods that are there now and not on their way out."""
        now = self.state()
        if service is not None:
            now.service(service)
        found = pods.instances(now, pods.of_run(self.cluster, now), self.folder.root)
        return [each for each in found if service in (None, each.service) and region in (None, each.region)]

    def page(self, instance: Instance, port: str, path: str, timeout_s: float) -> str:
        """As harness.ports.Pages has it."""
        status, body = self.call(instance, port, "GET", path, None, timeout_s)
        if status != 200:
            raise TargetError(f"{instance.name} answers GET {path} with status {status}")
        return body

    def call(
        self, instance: Instance, port: str, method: str, path: str, body: str | None, timeout_s: float
    ) -> tuple[int, str]:
        """As harness.ports.Calls has it, through the API server."""
        if port not in instance.ports:
            raise TargetError(f"{instance.name} has no port {port!r}")
        where, number = self.state().on.namespace, instance.ports[port]
        headers = {"content-type": "application/json"} if body else {}
        answer = self.cluster.proxy(where, instance.name, number, method, path, headers, body, timeout_s)
        return answer.status, answer.text

    # -- devices

    def devices(self, region: str | None = None) -> Sequence[str]:
        rights_for.check(self.site(), devices.RIGHTS)
        return [each.name for each in self.state().spec.devices if region in (None, each.region)]

    def device_present(self, name: str) -> bool:
        device, _ = self._device(name)
        return devices.all_well(self.site(), device.kind, device.region)

    def detach_device(self, name: str) -> None:
        device, path = self._device(name)
        there = {each.name for each in self.instances(region=device.region)}
        found = [pod for pod in pods.of_run(self.cluster, self.state()) if pod["metadata"]["name"] in there]
        devices.detach(self.site(), name, path, devices.users(found, device.kind))

    def attach_device(self, name: str) -> None:
        device, path = self._device(name)
        devices.attach(self.site(), name, device.kind, device.region, path)

    def _device(self, name: str) -> tuple[Device, str]:
        """The device, and the file on a node that stands for one of its kind."""
        now = self.state()
        device = next((each for each in now.spec.devices if each.name == name), None)
        if device is None:
            raise BadInput(f"no device {name!r}", fix=f"devices: {', '.join(each.name for each in now.spec.devices)}")
        if device.kind not in now.section.devices:
            raise BadInput(
                f"nobody says which file on a node is a {device.kind}",
                file=now.platform_file,
                fix="add it to spec.kubernetes.devices",
            )
        return device, now.section.devices[device.kind]

    # -- nodes

    def check_nodes(self) -> None:
        power.check(self.state().on)

    def stop_node(self, name: str) -> None:
        power.switch_off(self.state().on, name)

    def start_node(self, name: str) -> None:
        power.switch_on(self.state().on, name)

    def standstill(self, region: str) -> Standstill | None:
        """Who can tell that a region's database stands still; nobody where the platform file does not name its
        service."""
        now = self.state()
        named = placeholders(now.spec.endpoints.databases.get(region, ""))
        found = next((each for each in named if isinstance(each, Address)), None)
        if found is None:
            return None
        labels = {now.labels.service: found.service, objects.RUN: now.id}
        if place := locate(now.spec, found, None):
            labels[now.labels.region] = place
        port = (found.port, now.service(found.service).ports[found.port])
        return Standstill(self.cluster, now.on.namespace, labels, port, lambda node: power.is_off(now.on, node))

    def present(self) -> Sequence[str]:
        """Names of all pods that are there, those of lost nodes and those told to end too."""
        now = self.state()
        found = self.cluster.list("v1/Pod", now.on.namespace, {objects.RUN: now.id})
        return [each["metadata"]["name"] for each in found]

    def readiness(self) -> Mapping[tuple[str, str], tuple[Sequence[str], Sequence[str]]]:
        """By the pods' own conditions: one request."""
        now = self.state()
        return pods.readiness(now, pods.of_run(self.cluster, now))

    def artifacts(self) -> Mapping[str, Path | str]:
        """Every image that runs, by the digest that the kubelet tells; and the manifests as they were rendered."""
        now = self.state()
        found: dict[str, Path | str] = {"manifests": now.manifests_sha256}
        for pod in pods.of_run(self.cluster, now):
            for status in pods.statuses(pod):
                digest = status.get("imageID", "").rpartition("sha256:")[2]
                name = f"image {status['image']}"
                if found.setdefault(name, digest) != digest:  # two nodes have something else under the same name
                    found[f"{name} on {pod['spec'].get('nodeName')}"] = digest
        return found

    def logs(self) -> Sequence[Path]:
        """Logs of all containers, also of the run before, the cluster's events in the namespace, gates; fetched now."""
        return fetch.logs(self.cluster, self.folder, self.state())

    # -- the end

    def keep(self, folder: Path) -> None:
        state.keep(self.folder, folder)

    def put_back(self, folder: Path) -> None:
        state.put_back(self.folder, folder)

    def down(self) -> Leftovers:
        """Deletes exactly what carries the run's label, and sees that it is gone; then the folder goes.

        Works from a cold process, twice, and when nothing was ever brought up. Returns what is still there; in that
        case the folder stays.
        """
        try:
            now = self.state()
        except PlatformAbsent:
            return Leftovers()
        now = state.change(self.folder, status="ending")
        provider = PROVIDERS.get(now.on.provider)
        if provider:
            left = Leftovers(objects=tuple(provider.delete(now.on, self.folder)))
        else:
            left = teardown.end(self.cluster, now)
        if not left.clean:
            return left
        shutil.rmtree(self.folder.root, ignore_errors=True)
        return replace(left, files=(str(self.folder.root),) if self.folder.root.exists() else ())


@lru_cache(maxsize=8)
def _connected(kubeconfig: str, context: str, stamp: int) -> Cluster:
    """One connection for all targets of a process, as long as the kubeconfig stays as it is."""
    return Cluster.connect(kubeconfig, context)
