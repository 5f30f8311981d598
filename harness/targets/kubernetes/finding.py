"""What a run is about to do on a cluster, and what a look before it finds."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from harness.kube.rights import Right
from harness.model.platform import PlatformSpec
from harness.targets.kubernetes.api import Cluster, Manifest
from harness.targets.kubernetes.architectures import Built


@dataclass(frozen=True)
class Finding:
    """One look. `wrong`: what keeps a run from being started, each with its fix; `unknown`: why it cannot be told."""

    name: str
    of: int
    wrong: tuple[str, ...] = ()
    unknown: str = ""
    fix: str = ""


@dataclass(frozen=True)
class Intent:
    """What a run is about to do: objects as they will be applied, where, how pods are going to be asked, and what its
    faults and its actuator need."""

    cluster: Cluster
    namespace: str
    run: str
    manifests: Sequence[Manifest]
    spec: PlatformSpec
    needs: Collection[Right] = ()
    built: Built = field(default_factory=dict)
