"""What a scenario needs of its cluster, and what that cluster has and lacks, before anything is brought up."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.run.doctor import Finding
from harness.run.prepare import Choices, Prepared, prepare

if TYPE_CHECKING:
    from harness.targets.kubernetes.target import KubernetesTarget


def roles(scenario: Path) -> list[dict[str, Any]]:
    """Role and ClusterRole, with what the scenario's faults need. Raises BadInput for a scenario without a cluster."""
    from harness import faults
    from harness.chaos.preview import preview

    prepared = prepare(scenario, Choices())
    files = {Path(fault.file) for fault in prepared.plan.faults}
    foreseen = {fault.kind for file in files for fault in preview(file, prepared.platform.value)}
    return _target(prepared).roles({right for kind in foreseen for right in getattr(faults.load(kind), "RIGHTS", ())})


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
        for each in _target(prepared).examine(prepared.plan.release)
    ]


def _target(prepared: Prepared) -> KubernetesTarget:
    from harness.targets.kubernetes import kubernetes

    if prepared.files.cluster is None:
        raise prepared.files.scenario.error(
            ("spec", "target"), "runs on this machine, not on a cluster", "name a scenario with `kind: kubernetes`"
        )
    return kubernetes(prepared.platform, prepared.files.cluster)
