"""The kind bed: the real kind binary on a Docker daemon of our own, with our node image."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from typing import Any

from testbed import build, dockerd, images, machine, nodeimage
from testbed.kubectl import answers, ready_nodes, rolled_out, wait_for_nodes
from testbed.state import HERE, Word, locked, root, run, run_for_long, say, until

CLUSTER = "sophia"
CONFIG = HERE / "kind.yaml"
NODES = {f"{CLUSTER}-control-plane": "", f"{CLUSTER}-worker": "sjc", f"{CLUSTER}-worker2": "lax"}


def folder() -> Path:
    return root() / "run" / "kind"


def kubeconfig() -> Path:
    return folder() / "kubeconfig"


def up_docker() -> None:
    """The daemon with the node image in it: all that `kind create cluster --config testbed/kind.yaml` needs."""
    with locked("kind"):
        machine.only("docker")
        build.build()
        images.make()  # what `kind load image-archive` takes to the nodes
        archive = nodeimage.make()
        dockerd.up()
        loaded = dockerd.folder() / "loaded"
        if not loaded.exists() or loaded.read_text() != archive.name:
            dockerd.docker("load", "-i", archive, within_s=300)
            loaded.write_text(archive.name)
            say(f"{nodeimage.NAME} is loaded")


def up() -> None:
    up_docker()
    with locked("kind"):
        if answers(kubeconfig()):
            say("the kind bed is up")
            return
        _delete()
        folder().mkdir(parents=True, exist_ok=True)
        began = time.monotonic()
        create: list[Word] = [
            "create",
            "cluster",
            "--config",
            CONFIG,
            "--image",
            nodeimage.NAME,
            "--kubeconfig",
            kubeconfig(),
            "--wait",
            "90s",
        ]
        run_for_long(
            "kind create cluster (about 30 s)",
            [build.program("kind"), *create],
            folder() / "create.log",
            _environment(),
        )
        until(lambda: answers(kubeconfig()), "the API server answers", 30)
        wait_for_nodes(kubeconfig(), set(NODES))
        rolled_out(kubeconfig(), "kube-system", "deployment/coredns")
        rolled_out(kubeconfig(), "kube-system", "deployment/local-path-provisioner")
        say(f"the kind bed is up after {time.monotonic() - began:.1f} s; KUBECONFIG={kubeconfig()}")


def down() -> None:
    """Deletes the cluster and ends the daemon; nothing is done when there is nothing."""
    with locked("kind"):
        _delete()
        dockerd.down()


def stop(node: str) -> None:
    """Power loss of a node."""
    dockerd.docker("kill", node)
    say(f"{node} is off")


def start(node: str) -> None:
    dockerd.docker("start", node)
    say(f"{node} is on")


def is_off(node: str) -> bool:
    return dockerd.docker("inspect", "--format", "{{.State.Running}}", node).strip() == "false"


def load(archive: Path) -> None:
    run(build.program("kind"), "load", "image-archive", archive, "--name", CLUSTER, env=_environment(), within_s=300)


def status() -> dict[str, Any]:
    docker = dockerd.is_up()
    api = docker and answers(kubeconfig())
    ready = ready_nodes(kubeconfig()) if api else {}
    return {
        "bed": "kind",
        "up": api,
        "docker_host": dockerd.host() if docker else "",
        "image": nodeimage.NAME,
        "kind": str(build.folder("kind") / "kind"),
        "kubeconfig": str(kubeconfig()),
        "context": f"kind-{CLUSTER}",
        "nodes": [
            {"name": name, "region": region, "on": name in ready, "ready": ready.get(name, False)}
            for name, region in NODES.items()
        ],
    }


def _delete() -> None:
    if dockerd.is_up():
        kind: list[Word] = [build.program("kind"), "delete", "cluster", "--name", CLUSTER, "--kubeconfig", kubeconfig()]
        run(*kind, env=_environment())
    shutil.rmtree(folder(), ignore_errors=True)


def _environment() -> dict[str, str]:
    path = f"{dockerd.programs()}/usr/bin:{os.environ['PATH']}"
    return {**os.environ, "DOCKER_HOST": dockerd.host(), "PATH": path, "HOME": os.environ.get("HOME", "/root")}
