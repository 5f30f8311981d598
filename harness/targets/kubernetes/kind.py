"""The kind provider: a cluster that a run makes for itself with the `kind` program, and deletes."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from harness import effort
from harness.errors import BadInput, TargetError
from harness.model.on_cluster import KindCluster, OnCluster
from harness.targets.kubernetes.api import Cluster
from harness.targets.kubernetes.nodes import wait_for_nodes
from harness.targets.kubernetes.sources import installed, parse, program
from harness.targets.kubernetes.state import ClusterFolder
from harness.targets.render import program_path

ASK_WITHIN_S = 60.0
ENGINES = ("docker", "nerdctl", "podman")  # in the order in which kind itself tries them


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
    cluster = Cluster.connect(made.kubeconfig, made.context)
    wait_for_nodes(cluster, asked.within)
    for file in asked.addons:
        for each in parse(Path(file).read_text(), file):
            cluster.apply(each)
    return made


def delete(on: OnCluster, folder: ClusterFolder) -> list[str]:
    """Deletes the cluster with all that is in it; what is still there, in words. Idempotent."""
    asked = on.kind or KindCluster()
    _kind(folder, asked.within, "delete", "cluster", f"--name={folder.id}", f"--kubeconfig={folder.kubeconfig}")
    left = _kind(folder, ASK_WITHIN_S, "get", "clusters").split()
    return [f"kind cluster {folder.id}"] if folder.id in left else []


def _kind(folder: ClusterFolder, within_s: float, *words: str) -> str:
    command = [program("kind"), *words]
    known = {**os.environ, "PATH": os.pathsep.join(program_path())}  # it calls docker, and reads DOCKER_HOST
    effort.ran(" ".join(["kind", *words[:2]]))
    try:
        ran = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=known, timeout=within_s, check=False
        )
    except subprocess.TimeoutExpired:
        raise TargetError(f"kind {' '.join(words[:2])} took more than {within_s:g} s") from None
    with folder.provider_log.open("a") as log:
        log.write(f"$ {' '.join(command)}\n{ran.stdout}{ran.stderr}")
    if ran.returncode:
        last = ran.stderr.strip().splitlines()[-1:] or [f"exit code {ran.returncode}"]
        raise TargetError(
            f"kind {' '.join(words[:2])}: {last[0]}\n  fix: see whether Docker runs, or what kind takes for it"
        )
    return ran.stdout


def preflight() -> None:
    """Before anything is made. Raises BadInput when a program is missing."""
    program("kind")
    engine()


def engine() -> str:
    """The path of the program whose containers the nodes are, chosen as kind does. Raises BadInput when there is
    none."""
    asked = os.environ.get("KIND_EXPERIMENTAL_PROVIDER", "")
    found = [path for name in ((asked,) if asked in ENGINES else ENGINES) if (path := installed(name))]
    if not found:
        raise BadInput(f"kind needs one of {', '.join(ENGINES)}", fix="install one, or name its folder in HARNESS_PATH")
    return found[0]
