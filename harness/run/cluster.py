"""What a scenario needs of its cluster, and what that cluster has and lacks, before anything is brought up."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import BadInput
from harness.ports import Spread
from harness.run.doctor import Finding
from harness.run.prepare import Choices, Prepared, prepare

if TYPE_CHECKING:
    from harness.chaos.preview import Foreseen
    from harness.kube.rights import Right
    from harness.targets.kubernetes.clusters import ClustersTarget
    from harness.targets.kubernetes.target import KubernetesTarget


CONTEXT = "sophia-harness/context"  # annotation of a Role where there are several clusters: for which one it is


def roles(scenario: Path, context: str = "") -> list[dict[str, Any]]:
    """Role and ClusterRole of each cluster (or of the one that `context` names), with what the scenario's faults
    and its actuator need there. Raises BadInput for a scenario without a cluster."""
    target = create(prepare(scenario, Choices()))
    if not isinstance(target, Spread):
        return target.roles()
    made = []
    for part in target.parts():
        if context not in ("", part.context):
            continue
        for role in part.roles():
            role["metadata"]["annotations"] = {CONTEXT: part.context}
            made.append(role)
    if not made:
        raise BadInput(f"no context {context!r}", fix=", ".join(each.context for each in target.parts()))
    return made


def _region(fault: Foreseen) -> str | None:
    named = fault.parameters.get("region")
    return named if isinstance(named, str) else None


def _rights(foreseen: Iterable[Foreseen]) -> set[Right]:
    from harness import faults

    return {right for kind in {each.kind for each in foreseen} for right in getattr(faults.load(kind), "RIGHTS", ())}


def examine(scenario: Path) -> list[Finding]:
    """The preflight of the scenario's cluster; nothing is touched."""
    prepared = prepare(scenario, Choices())
    return [
        Finding(
            each.name,
            not (each.wrong or each.unknown),
            not each.unknown,
            each.unknown or "; ".join(each.wrong),
            each.fix,
        )
        for each in create(prepared).examine(prepared.plan.release)
    ]


def create(prepared: Prepared) -> KubernetesTarget | ClustersTarget:
    """The target that the scenario names, which knows what the plan's faults and the rollout's actuator are going to
    need on each cluster."""
    from harness import actuators
    from harness.chaos.preview import preview
    from harness.targets.kubernetes import kubernetes

    if prepared.files.cluster is None:
        raise prepared.files.scenario.error(
            ("spec", "target"), "runs on this machine, not on a cluster", "name a scenario with `kind: kubernetes`"
        )
    target = kubernetes(prepared.platform, prepared.files.cluster)
    once = {(fault.file, *sorted(fault.set.items())): fault for fault in prepared.plan.faults}
    foreseen = [
        each for fault in once.values() for each in preview(Path(fault.file), prepared.platform.value, chosen=fault.set)
    ]
    rollout = prepared.spec.rollout
    split = set(actuators.rights(rollout)) if rollout else set()
    if not isinstance(target, Spread):
        target.needs = _rights(foreseen) | split
        return target
    for part in target.parts():
        mine = rollout and part in target.parts(rollout.region or None)
        part.needs = _rights(each for each in foreseen if part in target.parts(_region(each))) | (
            split if mine else set()
        )
    return target
