"""What a cold process must know of a platform on a cluster, and where that lies on disk. No secret is in it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from harness.errors import PlatformAbsent, TargetError
from harness.model.base import Frozen
from harness.model.on_cluster import OnCluster
from harness.model.platform import OnKubernetes, PlatformSpec, PodLabels, Release, Service
from harness.targets.folder import make_private
from harness.targets.kubernetes.api import Manifest
from harness.targets.kubernetes.objects import key
from harness.targets.state import write_whole


class ClusterState(Frozen):
    """The attach file. `kinds`: what was applied, so that it is found again by label; `cluster`: the uid of the
    namespace kube-system, so that a context that has come to mean another cluster is not acted on ("" when it may not
    be read)."""

    id: str
    name: str
    platform_file: str
    platform_sha256: str
    created_wall_ns: int
    on: OnCluster
    cluster: str = ""
    server: str = ""
    status: Literal["deploying", "up", "failed", "ending"] = "deploying"
    release: str
    kinds: tuple[str, ...] = ()
    manifests_sha256: str = ""
    phases: tuple[str, ...] = ()
    spec: PlatformSpec

    @property
    def section(self) -> OnKubernetes:
        return self.spec.kubernetes or OnKubernetes()

    @property
    def labels(self) -> PodLabels:
        return self.section.labels

    def service(self, name: str) -> Service:
        return self.spec.service(name)

    def release_named(self, name: str) -> Release:
        return self.spec.release_named(name)


@dataclass(frozen=True)
class ClusterFolder:
    """Paths only. `root` is the platform's own folder on this machine, its name is the platform's id."""

    root: Path

    @property
    def id(self) -> str:
        return self.root.name

    @property
    def state(self) -> Path:
        """The attach file. Its name keeps it apart from the local target's."""
        return self.root / "cluster.json"

    def part(self, number: int) -> Path:
        """Of a platform on several clusters: where that of one lies. It has the same id."""
        return self.parts / str(number) / self.id

    @property
    def parts(self) -> Path:
        return self.root / "parts"

    @property
    def gates(self) -> Path:
        return self.root / "gates.jsonl"

    @property
    def checked(self) -> Path:
        """How long each container's log was when it was first checked, as JSON."""
        return self.root / "checked.json"

    @property
    def kubeconfig(self) -> Path:
        """Of a cluster that the run made."""
        return self.root / "kubeconfig"

    @property
    def provider_log(self) -> Path:
        """What the provider of such a cluster said."""
        return self.logs / "provider.log"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    def applied(self, when: str = "now") -> Path:
        """The manifests as they were applied last, or before a phase: the state that the phase is taken back to."""
        name = "now" if when == "now" else hashlib.sha256(when.encode()).hexdigest()[:12]
        return self.root / f"applied-{name}.json"


def make_folder(folder: ClusterFolder, fresh: ClusterState) -> None:
    for path in (folder.root, folder.logs):
        make_private(path)
    save(folder, fresh)


def read(folder: ClusterFolder) -> ClusterState:
    """Raises PlatformAbsent when there is no platform here, TargetError when its file cannot be read."""
    try:
        return ClusterState.model_validate_json(folder.state.read_bytes())
    except FileNotFoundError:
        kind = TargetError if folder.root.is_dir() else PlatformAbsent
        raise kind(f"no platform at {folder.root}\n  fix: `harness status` lists the platforms that are up") from None
    except ValidationError as error:
        raise TargetError(
            f"{folder.state} was written by another version of the harness or is damaged: {error.errors()[0]['msg']}"
        ) from None


def save(folder: ClusterFolder, state: ClusterState) -> None:
    """Whole or not at all, readable for us alone, and on disk before this returns."""
    write_whole(folder.state, state.model_dump_json(indent=1, by_alias=True).encode(), mode=0o600)


def change(folder: ClusterFolder, **values: object) -> ClusterState:
    changed = read(folder).model_copy(update=values)
    save(folder, changed)
    return changed


def keep(folder: ClusterFolder, kept: Path) -> None:
    """Copies of the attach file and of its parts'. No secret is in them."""
    for file in (folder.state, *folder.parts.glob(f"*/{folder.id}/{folder.state.name}")):
        copy = kept / file.relative_to(folder.root)
        copy.parent.mkdir(parents=True, exist_ok=True)
        write_whole(copy, file.read_bytes(), mode=0o600)


def put_back(folder: ClusterFolder, kept: Path) -> None:
    """The folder, from such copies: whole or not at all. Does nothing where it is, or where nothing was kept."""
    if folder.root.exists() or not (kept / folder.state.name).exists():
        return
    make_private(folder.root.parent)
    fresh = folder.root.with_name(f".{folder.id}.{os.getpid()}")
    shutil.copytree(kept, fresh)
    fresh.chmod(0o700)
    (fresh / folder.logs.name).mkdir()
    fresh.rename(folder.root)


def read_applied(folder: ClusterFolder, when: str = "now") -> dict[str, dict[str, Any]]:
    """Phase → name of the object → manifest, for all that was applied."""
    file = folder.applied(when)
    return dict(json.loads(file.read_text())) if file.exists() else {}


def remember(folder: ClusterFolder, phase: str, manifests: Sequence[Manifest]) -> None:
    """Written before it is applied: what may be on the cluster is known."""
    applied = read_applied(folder)
    applied[phase] = {**applied.get(phase, {}), **{str(key(each)): each for each in manifests}}
    save_applied(folder, applied)


def forget(folder: ClusterFolder, phase: str, names: Collection[str]) -> None:
    """Objects of these names are not there any more."""
    applied = read_applied(folder)
    kept = {name: each for name, each in applied.get(phase, {}).items() if each["metadata"]["name"] not in names}
    save_applied(folder, {**applied, phase: kept})


def save_applied(folder: ClusterFolder, manifests: object, when: str = "now") -> None:
    write_whole(folder.applied(when), json.dumps(manifests).encode(), mode=0o600)
