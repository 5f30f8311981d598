"""Another release beside the serving one, for a phase that is upgraded so: canary and blue-green, of Deployments.

A copy of each Deployment, `NAME-next`, runs the new release while the Deployment goes on serving with the old one: a
single pod (canary), or as many as serve (blue-green). For blue-green every Service is held to a release by its label:
to the old one until the copies are ready and the gates hold for them, then to the new one. When the Deployments
themselves run the new release, the copies go, and everything is called again as the manifests call it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from harness.model.events import PhaseStep
from harness.model.platform import Phase
from harness.ports import Report
from harness.targets.kubernetes import objects, pods, rollout, services, state
from harness.targets.kubernetes.api import Cluster, Manifest
from harness.targets.kubernetes.objects import RUN, key
from harness.targets.kubernetes.pods import TRACK
from harness.targets.kubernetes.services import Held
from harness.targets.kubernetes.state import ClusterFolder, ClusterState

STRATEGIES = ("blue-green", "canary")
NEXT = "-next"
DEPLOYMENT = "apps/v1/Deployment"


@dataclass(frozen=True)
class Beside:
    """What stands beside what serves, in one phase on one cluster. `in_place`: workload → why it has nothing beside
    it, and is replaced by its own update strategy."""

    cluster: Cluster
    folder: ClusterFolder
    phase: str
    copies: Sequence[Manifest] = ()
    held: Sequence[Held] = ()
    in_place: Mapping[str, str] = field(default_factory=dict)

    def state(self) -> ClusterState:
        return state.read(self.folder)


def choose(cluster: Cluster, folder: ClusterFolder, phase: Phase, manifests: Iterable[Manifest]) -> Beside:
    """What is going to stand beside what, of a phase's objects. Nothing where nothing serves yet or nothing changes."""
    applied = state.read_applied(folder)
    before = applied.get(phase.name, {})
    changed = {
        key(each): each
        for each in manifests
        if str(key(each)) in before and objects.pod_template(before[str(key(each))]) != objects.pod_template(each)
    }
    found = Beside(cluster, folder, phase.name)
    if phase.strategy not in STRATEGIES or not changed:
        return found
    counts = {one: _count(cluster, each) for one, each in changed.items()}
    unfit = {one: why for one, each in changed.items() if (why := _unfit(each, counts[one]))}
    held: list[Held] = []
    if phase.strategy == "blue-green":
        held = services.choose(changed, applied, found.state().labels.release, unfit)
    copies = [
        beside(each, counts[one] if phase.strategy == "blue-green" else 1, f"{one.name}{NEXT}")
        for one, each in changed.items()
        if one not in unfit
    ]
    return replace(found, copies=copies, held=held, in_place={one.name: why for one, why in unfit.items()})


def _count(cluster: Cluster, manifest: Manifest) -> int:
    """Pods that it is to have now: an autoscaler may have changed that."""
    there = cluster.read(key(manifest).kind, manifest["metadata"]["namespace"], manifest["metadata"]["name"])
    return pods.desired(there) if there else 0


def _unfit(manifest: Manifest, count: int) -> str:
    """Why it can have nothing beside it; "" when it can."""
    strategy = manifest["spec"].get("strategy") or {}
    surge = (strategy.get("rollingUpdate") or {}).get("maxSurge", 1)
    if manifest["kind"] != "Deployment":
        return f"is a {manifest['kind']}"
    if strategy.get("type") == "Recreate" or str(surge).strip("%") == "0":
        return "suffers none beside it, by its own update strategy"
    return "" if count else "has no pod that serves"


def beside(stable: Manifest, count: int, name: str) -> Manifest:
    """A copy with a name, a count and a label of its own, which keeps its pods apart from the stable ones."""
    mine = copy.deepcopy(stable)
    mine["metadata"]["name"] = name
    spec = mine["spec"]
    spec["replicas"] = count
    spec["selector"]["matchLabels"] = {**(spec["selector"].get("matchLabels") or {}), TRACK: name}
    labels = spec["template"]["metadata"]["labels"]
    spec["template"]["metadata"]["labels"] = {**labels, TRACK: name}
    return mine


# -- forward


def stand(copies: Sequence[Beside], phase: Phase, hold: Callable[[Collection[str]], object], report: Report) -> None:
    """The new release stands beside the old one, and gates hold for it; blue-green: then Services lead to it alone, and
    the gates hold there. `hold` sees them hold for copies of these names. Raises TargetError."""
    names = tuple(each["metadata"]["name"] for here in copies for each in here.copies)
    if not names:
        return
    for here in copies:
        _stand(here)
    hold(names)
    report(PhaseStep(phase=phase.name, step="beside", names=names))
    if held := tuple(each.name for here in copies for each in here.held):
        for here in copies:
            services.lead(here.cluster, here.state(), here.held, lambda each: each.new)
        report(PhaseStep(phase=phase.name, step="switched", names=held))
        hold(names)


def _stand(here: Beside) -> None:
    """Services are held to the old release; then the copies are applied. Returns when they are ready."""
    now = here.state()
    services.lead(here.cluster, now, here.held, lambda each: each.old)
    state.remember(here.folder, here.phase, here.copies)
    known = rollout.restarts(here.cluster, now)
    for each in here.copies:
        here.cluster.apply(each)
    rollout.wait_for_rollout(here.cluster, now, here.copies, before=known)


def end(copies: Iterable[Beside]) -> None:
    """Services select as they were applied, and the copies go. Raises TargetError when a pod stays."""
    for here in copies:
        services.let_go(here.cluster, here.held)
        remove(here.cluster, here.folder, here.phase, [each["metadata"]["name"] for each in here.copies])


def in_place(copies: Sequence[Beside]) -> str:
    """Of a phase that was upgraded: what had nothing beside it, and why; "" when all had."""
    told = "; ".join(f"{name} {why}" for here in copies for name, why in here.in_place.items())
    whole = "" if any(here.copies for here in copies) else "all "
    return f"{whole}in place: {told}" if told else ""


def unfinished(folder: ClusterFolder, phase: str) -> bool:
    """Whether copies may be there: of a process that was killed with its phase half-way."""
    applied = state.read_applied(folder).get(phase, {})
    return any(TRACK in objects.pod_labels(each) for each in applied.values())


def remove(cluster: Cluster, folder: ClusterFolder, group: str, names: Collection[str]) -> None:
    """Deletes copies that were applied as of a group, and waits until their pods are gone. Raises TargetError when
    they stay."""
    now = state.read(folder)
    for name in names:
        cluster.delete(DEPLOYMENT, now.on.namespace, name)
    services.until_none(lambda: pods_of(cluster, now, names), now.on.down_within)
    state.forget(folder, group, names)


def pods_of(cluster: Cluster, now: ClusterState, names: Collection[str]) -> list[str]:
    """Pods of copies that are there, also on their way out."""
    found = cluster.list("v1/Pod", now.on.namespace, {RUN: now.id}) if names else []
    return [
        f"{pod['metadata']['name']} is still there" for pod in found if pod["metadata"]["labels"].get(TRACK) in names
    ]
