"""One platform on several clusters: a region may have one of its own, all else is on the first.

Each cluster's part is a platform on one cluster by itself, with a folder, a Lease, and a reference by which any process
finds it: what acts on one region only (every fault) acts on its part, and never on the whole.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from harness.errors import BadInput, HarnessError, PlatformAbsent, TargetError
from harness.model.events import StandIn
from harness.model.on_cluster import OnCluster
from harness.model.platform import Platform
from harness.ports import Endpoints, Instance, Leftovers, Report
from harness.spec.yaml import Located
from harness.targets.kubernetes import checks, claim, deployment, objects, planning, preflight, state, teardown
from harness.targets.kubernetes.deployment import Deployment, Rollout
from harness.targets.kubernetes.finding import Finding
from harness.targets.kubernetes.gates import Gates
from harness.targets.kubernetes.standstill import Standstill
from harness.targets.kubernetes.state import ClusterFolder, ClusterState, make_folder
from harness.targets.kubernetes.target import KubernetesTarget

NAMED_BY_NUMBER = ("StatefulSet", "Pod")  # of anything else the pods' names are random


class ClustersTarget:
    """One platform on the clusters that a scenario names, by its state folder on this machine."""

    def __init__(
        self, folder: ClusterFolder, platform: Located[Platform] | None = None, on: OnCluster | None = None
    ) -> None:
        self.folder = folder
        self._platform, self._on = platform, on

    @property
    def reference(self) -> str:
        return f"kubernetes:{self.folder.root}"

    def state(self) -> ClusterState:
        """The attach file. Raises PlatformAbsent or TargetError."""
        return state.read(self.folder)

    def parts(self, region: str | None = None) -> Sequence[KubernetesTarget]:
        """As harness.ports.Spread has it."""
        return self._parts if region is None else (self._holding(region),)

    @cached_property
    def _parts(self) -> tuple[KubernetesTarget, ...]:
        on, made = self._on or self.state().on, []
        for number, region in enumerate((None, *on.clusters)):
            folder = ClusterFolder(self.folder.part(number))
            platform = self._platform and replace(self._platform, value=_share(self._platform.value, on, region))
            made.append(KubernetesTarget(folder, platform, _where(on, region)))
        return tuple(made)

    def _holding(self, region: str) -> KubernetesTarget:
        """The part that has a region's instances."""
        own = list((self._on or self.state().on).clusters)
        return self._parts[own.index(region) + 1 if region in own else 0]

    def _of(self, instance: Instance) -> KubernetesTarget:
        return next(each for each in self._parts if each.folder.root == instance.state)

    # -- deployment

    def up(self, release: str, report: Report) -> None:
        """Deploys phase by phase, each phase on all clusters. Raises BadInput or TargetError before anything is touched
        when the preflight of one finds something, TargetError (with the phase taken back on all) when one fails."""
        if self._platform is None or self._on is None or self.folder.root.exists():
            raise TargetError(f"{self.folder.root} was brought up before\n  fix: roll out a release with `deploy`")
        plans = [_told(part, lambda part=part: part.plan(release)) for part in self._parts]  # type: ignore[misc]
        self._refuse_twins(plans)
        preflight.preflight({part.context: plan.intent for part, plan in zip(self._parts, plans, strict=True)}, report)
        fresh = deployment.new_state(self.folder, self._platform, self._on, release)
        make_folder(self.folder, fresh)
        for part, plan in zip(self._parts, plans, strict=True):
            make_folder(part.folder, plan.state)
        for service in fresh.spec.services:
            if service.stand_in:
                report(StandIn(service=service.name, text=service.stand_in))
        self._claim(plans)
        made = [
            Deployment(part.cluster, part.folder, plan.manifests) for part, plan in zip(self._parts, plans, strict=True)
        ]
        deployment.first(Rollout(self.folder, made), report)

    def _refuse_twins(self, plans: Sequence[planning.Plan]) -> None:
        seen: dict[str, str] = {}
        for part, plan in zip(self._parts, plans, strict=True):
            for one in (objects.key(each) for each in plan.manifests if each["kind"] in NAMED_BY_NUMBER):
                if seen.setdefault(one.name, part.context) != part.context:
                    raise BadInput(
                        f"{one} is in {part.context} and in {seen[one.name]}: their pods have the same names",
                        fix="give it another name in one of them (Kustomize: nameSuffix)",
                    )

    def _claim(self, plans: Sequence[planning.Plan]) -> None:
        """All of them or none."""
        values = claim.new_secrets(self.state())
        begun: list[KubernetesTarget] = []
        try:
            for part, plan in zip(self._parts, plans, strict=True):
                begun.append(part)
                claim.claim(part.cluster, plan.state, plan.namespace, values)
        except BaseException:
            for part in begun:
                with suppress(TargetError):  # `down` tells what is left
                    teardown.end(part.cluster, part.state())
            raise

    def examine(self, release: str) -> Iterator[Finding]:
        """What `up` looks at before it touches anything, on each cluster."""
        for part in self._parts:
            try:
                found = list(part.examine(release))
            except TargetError as error:
                found = [Finding("the cluster answers", 1, (str(error).split("\n")[0],), fix="see whether it runs")]
            yield from (replace(each, name=f"{part.context}: {each.name}") for each in found)

    def deploy(self, release: str, report: Report) -> None:
        """Rolls out another release of the released services while they serve, phase by phase."""
        self.state().release_named(release)
        deployment.replace(Rollout(self.folder, [part.made() for part in self._parts]), release, report)

    def add_instances(self, service: str, region: str, count: int, release: str, report: Report) -> Sequence[Instance]:
        return self._holding(region).add_instances(service, region, count, release, report)

    def remove_instances(self, instances: Sequence[Instance]) -> None:
        for part in self._parts:
            part.remove_instances([each for each in instances if each.state == part.folder.root])

    # -- looking

    def check(self, report: Report) -> None:
        """Reports one CheckDone for each post-deployment check, over all clusters."""
        checks.certificates(self.endpoints(), report)
        for each in checks.together({part.context: tuple(part.checks()) for part in self._parts}):
            report(each)
        gates = Gates(tuple(part.place() for part in self._parts), self.folder, self.state())
        for each in checks.declared(gates):
            report(each)

    def ready(self) -> Sequence[str]:
        return [f"{name} ({part.context})" for part in self._parts for name in part.ready()]

    def endpoints(self) -> Endpoints:
        """As the scenario says; each region's secrets are those of its own cluster."""
        first, *others = (part.endpoints() for part in self._parts)
        databases, regions = dict(first.databases), dict(first.regions)
        for each in others:
            databases |= each.databases
            regions |= each.regions
        return replace(first, databases=databases, regions=regions)

    def instances(self, service: str | None = None, region: str | None = None) -> Sequence[Instance]:
        """The pods that are there now and not on their way out, in the order of the phases."""
        spec = self.state().spec
        order = {name: number for number, name in enumerate(name for each in spec.phases for name in each.services)}
        found = [each for part in self.parts(region) for each in part.instances(service, region)]
        return sorted(found, key=lambda each: order[each.service])

    def page(self, instance: Instance, port: str, path: str, timeout_s: float) -> str:
        return self._of(instance).page(instance, port, path, timeout_s)

    def call(
        self, instance: Instance, port: str, method: str, path: str, body: str | None, timeout_s: float
    ) -> tuple[int, str]:
        return self._of(instance).call(instance, port, method, path, body, timeout_s)

    def present(self) -> Sequence[str]:
        return [name for part in self._parts for name in part.present()]

    def standstill(self, region: str) -> Standstill | None:
        return self._holding(region).standstill(region)

    def readiness(self) -> Mapping[tuple[str, str], tuple[Sequence[str], Sequence[str]]]:
        """Of all clusters or of none: while one does not answer, nothing is told."""
        return {place: names for part in self._parts for place, names in part.readiness().items()}

    def artifacts(self) -> Mapping[str, Path | str]:
        """Every image that runs, and each cluster's manifests."""
        found: dict[str, Path | str] = {}
        for part in self._parts:
            for name, digest in part.artifacts().items():
                if name == "manifests" or found.setdefault(name, digest) != digest:
                    found[f"{name} in {part.context}"] = digest
        return found

    def logs(self) -> Sequence[Path]:
        """Of all clusters, in this folder, each file named after its cluster's number."""
        for number, part in enumerate(self._parts):
            for file in part.logs():
                shutil.copy(file, self.folder.logs / f"{number}-{file.name}")
        own = [self.folder.gates] if self.folder.gates.exists() else []
        return [*sorted(self.folder.logs.iterdir()), *own]

    # -- the end

    def keep(self, folder: Path) -> None:
        state.keep(self.folder, folder)

    def put_back(self, folder: Path) -> None:
        state.put_back(self.folder, folder)

    def down(self) -> Leftovers:
        """Ends every part, also when another one cannot be: that one is told, and the folder stays."""
        try:
            parts = self._parts
            state.change(self.folder, status="ending")
        except PlatformAbsent:
            return Leftovers()
        with ThreadPoolExecutor(max_workers=len(parts)) as pool:
            ended = list(pool.map(_ended, parts))
        unseen = tuple(each for left in ended for each in left.unseen)
        if objects_left := tuple(each for left in ended for each in left.objects):
            return Leftovers(objects=objects_left, unseen=unseen)
        shutil.rmtree(self.folder.root, ignore_errors=True)
        return Leftovers(files=(str(self.folder.root),) if self.folder.root.exists() else (), unseen=unseen)


def _ended(part: KubernetesTarget) -> Leftovers:
    def named(some: Iterable[str]) -> tuple[str, ...]:
        return tuple(f"{part.context}: {each}" for each in some)

    try:
        left = part.down()
    except HarnessError as error:
        return Leftovers(objects=named([f"not known: {str(error).splitlines()[0]}"]))
    return Leftovers(objects=named((*left.objects, *left.files)), unseen=named(left.unseen))


def _told(part: KubernetesTarget, call: Callable[[], planning.Plan]) -> planning.Plan:
    """What is wrong with one cluster's files, told with its name."""
    try:
        return call()
    except BadInput as error:
        if error.file:
            raise
        raise BadInput(f"{part.context}: {error.cause}", fix=error.fix) from None


def _where(on: OnCluster, region: str | None) -> OnCluster:
    """As if that cluster were the only one; without a region, the first."""
    at = on.endpoints
    mine = {
        key: {name: url for name, url in getattr(at, key).items() if _holds(on, region, name)}
        for key in ("databases", "regions")
    }
    common = {"clusters": {}, "endpoints": at.model_copy(update=mine)}
    if region is None:
        return on.model_copy(update=common)
    own = on.clusters[region]
    named = {key: getattr(own, key) or getattr(on, key) for key in ("kubeconfig", "namespace", "agent_image")}
    own_source = {key: getattr(own, key) for key in ("context", "kustomize", "manifests", "helm", "nodes")}
    return on.model_copy(update={**common, **named, **own_source})


def _share(platform: Platform, on: OnCluster, region: str | None) -> Platform:
    """The platform with what that cluster has of it."""
    spec = platform.spec
    services = tuple(
        each.model_copy(
            update={"instances": {name: count for name, count in each.instances.items() if _holds(on, region, name)}}
        )
        for each in spec.services
    )
    devices = tuple(each for each in spec.devices if _holds(on, region, each.region))
    return platform.model_copy(update={"spec": spec.model_copy(update={"services": services, "devices": devices})})


def _holds(on: OnCluster, region: str | None, name: str) -> bool:
    return name == region if region is not None else name not in on.clusters
