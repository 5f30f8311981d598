"""Canaries: pods of another release beside the serving ones, in a workload of their own that Services select too."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence

from harness.errors import BadInput, TargetError
from harness.ports import Count, Instance
from harness.targets.kubernetes import beside, deployment, objects, pods, state
from harness.targets.kubernetes.api import Manifest
from harness.targets.kubernetes.deployment import Deployment
from harness.targets.kubernetes.pods import TRACK
from harness.targets.kubernetes.rollout import wait_for_rollout

GROUP = "canary"  # the phase under which they are remembered as applied; a phase has no such name
DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
KIND = "apps/v1/Deployment"


def add(made: Deployment, service: str, region: str, count: int, release: str) -> list[Instance]:
    """Applies a workload of `count` pods and returns them when they are ready. Raises BadInput for unknown names,
    TargetError (nothing of them left) when they do not become ready."""
    now = made.state()
    declared = now.service(service)
    now.release_named(release)
    if not declared.released:
        raise BadInput(f"service {service!r} has no releases", fix="set `released: true` in the platform file")
    if region not in declared.instances:
        fix = f"it is in {', '.join(declared.instances)}"
        raise BadInput(f"service {service!r} is not in region {region!r}", fix=fix)
    chosen = objects.released(made.manifests, now.spec, now.labels, now.release_named(release))
    stable = [each for each in chosen if _is_of(each, service, region, now)]
    if not stable or stable[0]["kind"] != "Deployment":
        raise TargetError(f"{service} in {region or 'no region'} is no Deployment, and can have no canary")
    mine = beside.beside(stable[0], count, _free_name(made, stable[0]["metadata"]["name"]))
    state.remember(made.folder, GROUP, [mine])
    try:
        made.cluster.apply(mine)
        wait_for_rollout(made.cluster, now, [mine])
    except BaseException:
        beside.remove(made.cluster, made.folder, GROUP, [mine["metadata"]["name"]])
        raise
    return [each for each, name in _tracked(made, now) if name == mine["metadata"]["name"]]


def remove(made: Deployment, instances: Sequence[Instance]) -> None:
    """Ends canaries for good, and workloads of canaries without any; ones that are gone already are no error."""
    now = made.state()
    chosen = {each.name for each in instances}
    groups: dict[str, list[str]] = {}
    for each, name in _tracked(made, now):
        groups.setdefault(name, []).append(each.name)
    empty = [each["metadata"]["name"] for each in _remembered(made).values() if each["metadata"]["name"] not in groups]
    whole = [*(name for name, members in groups.items() if chosen.issuperset(members)), *empty]
    for name, members in groups.items():
        going = chosen.intersection(members)
        if going and name not in whole:
            for pod in going:
                made.cluster.patch(
                    "v1/Pod", now.on.namespace, pod, {"metadata": {"annotations": {DELETION_COST: "-1000"}}}
                )
            left = {"spec": {"replicas": len(members) - len(going)}}
            made.cluster.patch(KIND, now.on.namespace, name, left)
    beside.remove(made.cluster, made.folder, GROUP, whole)


def counts(made: Deployment, service: str, region: str) -> dict[str, Count]:
    """By release, of the service's Deployments in a region; ready are pods, by their kubelets' word."""
    now = made.state()
    seen = [pod for pod in pods.of_run(made.cluster, now) if pods.is_ready(pod)]
    serving = Counter(
        each.release
        for each in pods.instances(now, seen, made.folder.root)
        if (each.service, each.region) == (service, region)
    )
    wanted: Counter[str] = Counter()
    for release, applied in _workloads(made, service, region):
        there = _read(made, applied)
        wanted[release] += objects.replicas(there) if there else 0
    return {release: Count(wanted[release], serving[release]) for release in wanted}


def set_count(made: Deployment, service: str, region: str, release: str, count: int | None, within_s: float) -> None:
    """As harness.ports.Counts has it. Raises TargetError when there is no such Deployment."""
    mine = [applied for each, applied in _workloads(made, service, region) if each == release]
    if not mine:
        raise TargetError(f"{service} in {region or 'no region'} has no Deployment of release {release}")
    wanted = objects.replicas(mine[0]) if count is None else count
    about = mine[0]["metadata"]
    made.cluster.patch(KIND, about["namespace"], about["name"], {"spec": {"replicas": wanted}})
    deadline = time.monotonic() + within_s
    while (ready := _ready(_read(made, mine[0]))) < wanted:
        if time.monotonic() > deadline:
            raise TargetError(f"{about['name']}: {ready} of {wanted} pods are ready after {within_s:g} s")
        time.sleep(deployment.EVERY_S)


def _workloads(made: Deployment, service: str, region: str) -> list[tuple[str, Manifest]]:
    """(release, Deployment as it was applied), the stable one first."""
    now = made.state()
    applied = [each for group in state.read_applied(made.folder).values() for each in group.values()]
    mine = [each for each in applied if each["kind"] == "Deployment" and _is_of(each, service, region, now)]
    return [(objects.pod_labels(each).get(now.labels.release, ""), each) for each in mine]


def _read(made: Deployment, applied: Manifest) -> Manifest | None:
    return made.cluster.read(KIND, applied["metadata"]["namespace"], applied["metadata"]["name"])


def _ready(there: Manifest | None) -> int:
    """Of the pods that its controller knows to want."""
    status = (there or {}).get("status") or {}
    if there is None or status.get("observedGeneration", 0) < there["metadata"]["generation"]:
        return -1
    return int(status.get("readyReplicas", 0))


def _remembered(made: Deployment) -> dict[str, Manifest]:
    return state.read_applied(made.folder).get(GROUP, {})


def _is_of(manifest: Manifest, service: str, region: str, now: state.ClusterState) -> bool:
    told = objects.pod_labels(manifest)
    return (told.get(now.labels.service), told.get(now.labels.region, "")) == (service, region)


def _free_name(made: Deployment, stable: str) -> str:
    taken = _remembered(made)
    names = (f"{stable}-canary{f'-{number}' if number > 1 else ''}" for number in range(1, len(taken) + 2))
    return next(name for name in names if not any(key.endswith(f"/{name}") for key in taken))


def _tracked(made: Deployment, now: state.ClusterState) -> list[tuple[Instance, str]]:
    """(canary, its workload)."""
    seen = pods.of_run(made.cluster, now)
    names = {pod["metadata"]["name"]: pod["metadata"]["labels"].get(TRACK, "") for pod in seen}
    found = pods.instances(now, seen, made.folder.root)
    return [(each, names[each.name]) for each in found if names[each.name]]
