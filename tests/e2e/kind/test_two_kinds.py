"""The whole line on two real kind clusters: a region in each, and an edge in front of both."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.kind import twin
from tests.e2e.kind.bed import STATE
from tests.e2e.kind.test_kind import DOCKER, SOCKET, environment
from tests.e2e.kind.test_kind_provider import kind_bed
from tests.e2e.local.support import ROOT, Harness

NAMES = ("sjc", "lax")
NODE = "twin-lax-control-plane"
EDGE, LAX = 30181, 30180
pytestmark = pytest.mark.skipif(not SOCKET.exists(), reason="kind has no Docker: python -m testbed up docker")


def said(program: str, *words: str) -> str:
    ran = subprocess.run(
        [program, *words], env={**os.environ, **environment()}, capture_output=True, text=True, timeout=240, check=False
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    return ran.stdout


def kind(*words: str) -> str:
    return said(str(STATE / "bin" / "kind"), *words)


def docker(*words: str) -> str:
    return said(str(DOCKER / "docker"), *words)


def kubectl(folder: Path, name: str, *words: str) -> str:
    return said(str(STATE / "bin" / "kubectl"), f"--kubeconfig={folder / name}.config", *words)


def create(folder: Path, number: int, name: str) -> None:
    """A cluster of one node with the platform's image; its kubeconfig is a file of that name."""
    config: dict[str, Any] = yaml.safe_load((ROOT / "testbed" / "kind.yaml").read_text())
    ports = [{"containerPort": each, "hostPort": each, "listenAddress": "127.0.0.1"} for each in (EDGE, 30090)]
    config["nodes"] = [{"role": "control-plane", "extraPortMappings": ports if name == "sjc" else []}]
    del config["kubeadmConfigPatches"][1]  # its only node kind untaints by itself
    config["networking"]["apiServerPort"] = 16446 + number
    (folder / f"{name}-kind.yaml").write_text(yaml.safe_dump(config))
    files = ["--config", str(folder / f"{name}-kind.yaml"), "--kubeconfig", str(folder / f"{name}.config")]
    kind("create", "cluster", "--name", f"twin-{name}", "--image", kind_bed()["image"], *files, "--wait", "120s")
    kind("load", "image-archive", str(STATE / "img" / "sophia.tar"), "--name", f"twin-{name}")
    end = time.monotonic() + 60  # the preflight goes by the kubelet's list of images, which is told every ten seconds
    while twin.IMAGE not in kubectl(folder, name, "get", "nodes", "-o", "jsonpath={..images}"):
        assert time.monotonic() < end, f"{twin.IMAGE} is not on the node"
        time.sleep(1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    made = tmp_path_factory.mktemp("two")
    try:
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda each: create(made, *each), enumerate(NAMES)))
        yield made
    finally:
        for name in NAMES:
            kind("delete", "cluster", "--name", f"twin-{name}")


@pytest.fixture
def scenario(folder: Path) -> Path:
    address = "{{.NetworkSettings.Networks.kind.IPAddress}}"
    node = docker("inspect", "-f", address, NODE).strip()
    clusters = {
        name: {"context": f"kind-twin-{name}", "kubeconfig": str(folder / f"{name}.config"), "namespace": "twin"}
        for name in NAMES
    }
    return twin.scenario(folder, f"{node}:{LAX}", EDGE, LAX, clusters)


def test_a_region_is_lost_with_its_cluster_still_there(harness: Harness, folder: Path, scenario: Path) -> None:
    run = harness("run", str(scenario), **environment()).finish(300)
    assert run.code == 0, f"{run.output}\n{run.errors[-3000:]}"
    (recovery,) = run.judgement()["recoveries"]
    assert recovery["experiment"] == "region-lost#1"
    (lost,) = run.events("fault.intended")
    assert [name.startswith("api-lax-") for name in lost["selection"]] == [True, True]
    digests = {each["name"] for each in run.events("digest")}
    assert {"manifests in kind-twin-sjc", "manifests in kind-twin-lax"} <= digests
    for name in NAMES:
        assert "twin" not in kubectl(folder, name, "get", "namespaces,clusterroles,clusterrolebindings", "-o", "name")
    assert not run.left_behind()


def test_a_whole_cluster_that_is_gone_is_told_and_is_no_pass(harness: Harness, folder: Path, scenario: Path) -> None:
    run = harness("run", str(twin.undisturbed(scenario)), **environment())
    run.wait_for("stage", within=120, name="steady")
    docker("kill", NODE)
    try:
        run.finish(300)
    finally:
        docker("start", NODE)
    assert run.code not in (0, None)
    assert "kind-twin-lax: not known" in run.errors
    assert "twin" not in kubectl(folder, "sjc", "get", "namespaces", "-o", "name")
    assert "twin" in await_answer(folder, "lax")
    again = harness("recover", str(run.folder), **environment()).finish(180)
    assert again.code == 0, again.errors[-3000:]
    assert "twin" not in kubectl(folder, "lax", "get", "namespaces", "-o", "name")


def await_answer(folder: Path, name: str) -> str:
    """Its namespaces, as soon as it tells them."""
    end = time.monotonic() + 90
    while True:
        try:
            return kubectl(folder, name, "get", "namespaces", "-o", "name")
        except AssertionError:
            if time.monotonic() > end:
                raise
            time.sleep(1)
