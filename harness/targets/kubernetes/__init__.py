"""The kubernetes target: from a scenario or a reference to a platform on a real cluster."""

from __future__ import annotations

import os
import re
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import HarnessError, PlatformAbsent, TargetError
from harness.targets.folder import make_private, state_root
from harness.targets.summary import PlatformSummary

if TYPE_CHECKING:
    from harness.model.on_cluster import OnCluster
    from harness.model.platform import Platform
    from harness.spec.yaml import Located
    from harness.targets.kubernetes.clusters import ClustersTarget
    from harness.targets.kubernetes.target import KubernetesTarget

ID = re.compile(r"^[a-z0-9-]+-[0-9a-f]{6}$")


def kubernetes(
    platform: Located[Platform], on: OnCluster, root: Path | None = None
) -> KubernetesTarget | ClustersTarget:
    """A target for a new deployment on the clusters that a scenario names; nothing is touched before `up`.

    Its state goes below `root`, else ${HARNESS_STATE}, else <tempdir>/harness-<uid>.
    """
    from harness.targets.kubernetes.clusters import ClustersTarget
    from harness.targets.kubernetes.state import ClusterFolder
    from harness.targets.kubernetes.target import KubernetesTarget

    base = make_private(state_root(root))
    if on.provider == "context":
        others = {
            region: each.model_copy(update={"kubeconfig": each.kubeconfig and kubeconfig(each.kubeconfig)})
            for region, each in on.clusters.items()
        }
        on = on.model_copy(update={"kubeconfig": kubeconfig(on.kubeconfig), "clusters": others})
    folder = ClusterFolder(base / f"{platform.value.metadata.name}-{secrets.token_hex(3)}")
    return (ClustersTarget if on.clusters else KubernetesTarget)(folder, platform, on)


def kubeconfig(named: str) -> str:
    """The kubeconfig as absolute paths, so that a process with another environment finds the same cluster."""
    chosen = named or os.environ.get("KUBECONFIG") or str(Path.home() / ".kube" / "config")
    return os.pathsep.join(str(Path(part).absolute()) for part in chosen.split(os.pathsep) if part)


def attach(state: Path | str) -> KubernetesTarget | ClustersTarget:
    """The platform of a state folder (or of `kubernetes:FOLDER`), from whatever process; or one cluster's part of it.

    A folder that is gone is no error here, since `down` must be possible twice; every other call then raises
    PlatformAbsent. Raises TargetError for what cannot be a platform's folder.
    """
    from harness.targets.kubernetes.clusters import ClustersTarget
    from harness.targets.kubernetes.state import ClusterFolder
    from harness.targets.kubernetes.target import KubernetesTarget

    path = Path(str(state).removeprefix("kubernetes:")).absolute()
    if not ID.match(path.name):
        raise TargetError(f"{path} is no platform\n  fix: `harness status` lists the platforms that are up")
    folder = ClusterFolder(path)
    return ClustersTarget(folder) if folder.parts.is_dir() else KubernetesTarget(folder)


def status(root: Path | None = None) -> list[PlatformSummary]:
    """All platforms of this user on clusters, oldest first; one whose cluster does not answer is `unreachable`."""
    from harness.targets.kubernetes.state import read

    base = state_root(root)
    found = []
    for file in sorted(base.glob("*/cluster.json")) if base.is_dir() else []:
        target = attach(file.parent)
        try:
            now = read(target.folder)
        except PlatformAbsent:  # it went down just now
            continue
        except TargetError:
            found.append(PlatformSummary(target.reference, file.parent.name, "", "unreadable", 0, 0, (), False, ""))
            continue
        known = {"created_wall_ns": now.created_wall_ns, "edge": now.on.endpoints.edge, "release": now.release}
        try:
            count, not_ready, word = len(target.instances()), tuple(target.ready()), str(now.status)
        except HarnessError:  # no connection, no rights, or no kubeconfig any more
            count, not_ready, word = 0, (), "unreachable"
        found.append(
            PlatformSummary(
                reference=target.reference,
                name=now.name,
                status=word,
                instances=count,
                not_ready=not_ready,
                supervised=word != "unreachable",
                **known,  # type: ignore[arg-type]
            )
        )
    return sorted(found, key=lambda each: each.created_wall_ns)
