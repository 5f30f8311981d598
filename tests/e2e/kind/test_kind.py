"""From nothing to a certified platform on a real kind cluster of three nodes: six faults, and the cluster is gone."""

from __future__ import annotations

import json
import os
import subprocess
import warnings

import pytest

from tests.e2e.kind.bed import BIN, STATE
from tests.e2e.local.support import Harness, Run

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


def certified(harness: Harness) -> Run:
    """One certification, whatever its verdict: six faults on a cluster that it makes, nothing lost, nothing left."""
    run = harness("certify", "--profile", "kind", **environment()).finish(1500)
    told = f"{run.output}\n{run.errors[-3000:]}"
    assert run.code in (0, 10, 11), told
    judgement = run.judgement()
    assert {0: "PASS", 10: "FAIL", 11: "INCONCLUSIVE"}[run.code] == judgement["verdict"]
    (made,) = run.events("cluster.made")
    assert made["nodes"] == 3
    assert all(row["lost"] == 0 for row in judgement["data_loss"])
    assert {one["experiment"].partition("#")[0] for one in judgement["recoveries"]} == FAULTS
    assert clusters() == []
    assert not run.left_behind()
    return run


@pytest.mark.timeout(3200)
def test_the_good_release_survives_six_faults_and_nothing_is_left(harness: Harness) -> None:
    """Three nodes and their load share a few cores with all else here, and a second without any of them is seen by
    users. What a release misses for that it does not miss twice; the first time is told all the same."""
    assert clusters() == []
    run = certified(harness)
    if run.code != 0:
        warnings.warn(f"certified a second time; the first: {json.dumps(run.reasons(), indent=1)}", stacklevel=1)
        run = certified(harness)
    assert run.code == 0, f"{json.dumps(run.reasons(), indent=1)}\n{run.output}\n{run.errors[-3000:]}"
    assert all(row["indeterminate"] == 0 for row in run.judgement()["data_loss"])
