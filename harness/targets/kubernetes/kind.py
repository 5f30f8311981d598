"""The kind provider: a cluster that a run makes for itself with the `kind` program, and deletes."""

from __future__ import annotations

import shutil
import subprocess

from harness.errors import BadInput, TargetError
from harness.model.scenario import KindCluster, OnCluster
from harness.targets.kubernetes.api import Cluster
from harness.targets.kubernetes.nodes import wait_for_nodes
from harness.targets.kubernetes.sources import program
from harness.targets.kubernetes.state import ClusterFolder

ASK_WITHIN_S = 60.0


def create(on: OnCluster, folder: ClusterFolder) -> OnCluster:
    """Makes the cluster, named by the platform's id, loads its images, waits until all nodes are Ready; the same with
    its kubeconfig and context. Raises BadInput without `kind`, TargetError when it fails."""
    asked = on.kind or KindCluster()
    options = [f"--config={asked.config}"] if asked.config else []
    options += [f"--image={asked.image}"] if asked.image else []
    _kind(
        folder, asked.within, "create", "cluster", f"--name={folder.id}", f"--kubeconfig={folder.kubeconfig}", *options
    )
    folder.kubeconfig.chmod(0o600)
    for archive in asked.archives:
        _kind(folder, asked.within, "load", "image-archive", archive, f"--name={folder.id}")
    made = on.model_copy(update={"kubeconfig": str(folder.kubeconfig), "context": f"kind-{folder.id}"})
    wait_for_nodes(Cluster.connect(made.kubeconfig, made.context), asked.within)
    return made


def delete(on: OnCluster, folder: ClusterFolder) -> list[str]:
    """Deletes the cluster with all that is in it; what is still there, in words. Idempotent."""
    asked = on.kind or KindCluster()
    _kind(folder, asked.within, "delete", "cluster", f"--name={folder.id}", f"--kubeconfig={folder.kubeconfig}")
    left = _kind(folder, ASK_WITHIN_S, "get", "clusters").split()
    return [f"kind cluster {folder.id}"] if folder.id in left else []


def _kind(folder: ClusterFolder, within_s: float, *words: str) -> str:
    command = [program("kind"), *words]
    try:
        ran = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=within_s, check=False
        )
    except subprocess.TimeoutExpired:
        raise TargetError(f"kind {' '.join(words[:2])} took more than {within_s:g} s") from None
    with folder.provider_log.open("a") as log:
        log.write(f"$ {' '.join(command)}\n{ran.stdout}{ran.stderr}")
    if ran.returncode:
        last = ran.stderr.strip().splitlines()[-1:] or [f"exit code {ran.returncode}"]
        raise TargetError(f"kind {' '.join(words[:2])}: {last[0]}\n  fix: see whether Docker runs; `docker ps`")
    return ran.stdout


def preflight() -> None:
    """Before anything is made. Raises BadInput when a program is missing."""
    program("kind")
    if not (shutil.which("docker") or shutil.which("podman") or shutil.which("nerdctl")):
        raise BadInput("kind needs docker, podman or nerdctl", fix="install one of them")
