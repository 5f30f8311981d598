"""From nothing to a certified platform on a real kind cluster of three nodes: six faults, and the cluster is gone."""

from __future__ import annotations

import json
import os
import subprocess

import pytest

from tests.e2e.kind.bed import BIN, STATE
from tests.e2e.local.support import Harness

SOCKET, DOCKER = STATE / "run" / "docker" / "docker.sock", STATE / "docker" / "usr" / "bin"
FAULTS = {"kill-weaviate", "gpu-loss", "network-partition", "bad-image", "region-failover", "node-loss"}
pytestmark = pytest.mark.skipif(not SOCKET.exists(), reason="kind has no Docker: python -m testbed up docker")


def environment() -> dict[str, str]:
    path = os.pathsep.join([str(BIN), str(DOCKER), os.environ["PATH"]])
    return {"DOCKER_HOST": f"unix://{SOCKET}", "PATH": path, "HARNESS_PATH": str(BIN)}


def clusters() -> list[str]:
    command = [str(BIN / "kind"), "get", "clusters"]
    told = subprocess.run(command, env={**os.environ, **environment()}, capture_output=True, text=True, check=True)
    return told.stdout.split()


@pytest.mark.timeout(1600)
def test_the_good_release_survives_six_faults_and_nothing_is_left(harness: Harness) -> None:
    assert clusters() == []
    run = harness("certify", "--profile", "kind", **environment()).finish(1500)
    told = f"{run.output}\n{run.errors[-3000:]}"
    assert run.code == 0, f"{json.dumps(run.reasons(), indent=1)}\n{told}"
    judgement = run.judgement()
    assert judgement["verdict"] == "PASS"
    (made,) = run.events("cluster.made")
    assert made["nodes"] == 3
    assert all(row["lost"] == row["indeterminate"] == 0 for row in judgement["data_loss"])
    assert {one["experiment"].partition("#")[0] for one in judgement["recoveries"]} == FAULTS
    assert clusters() == []
    assert not run.left_behind()
