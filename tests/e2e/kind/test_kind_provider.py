"""The kind provider with the real kind: the run makes its cluster, brings a small platform up on it, deletes it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.model.on_cluster import OnCluster
from harness.spec.platform import load_platform
from harness.targets import kubernetes
from harness.targets.kubernetes.target import KubernetesTarget
from harness.targets.render import program_path
from tests.e2e.kind.bed import STATE
from tests.e2e.kind.small import CLUSTER, manifests
from tests.e2e.local.support import ROOT


def kind_bed() -> dict[str, Any]:
    command = [sys.executable, "-m", "testbed", "status", "--json"]
    # The exit code speaks of clusters, and there is none yet.
    return dict(json.loads(subprocess.run(command, capture_output=True, text=True, check=False).stdout)["kind"])


@pytest.fixture
def docker(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    bed = kind_bed()
    if not bed["docker_host"]:
        pytest.skip("no Docker: python -m testbed up docker")
    places = [str(Path(bed["kind"]).parent), str(STATE / "docker" / "usr" / "bin"), str(STATE / "bin")]
    monkeypatch.setenv("HARNESS_PATH", os.pathsep.join(places))
    monkeypatch.setenv("DOCKER_HOST", bed["docker_host"])
    program_path.cache_clear()
    yield bed
    program_path.cache_clear()


@pytest.fixture
def target(tmp_path: Path, docker: dict[str, Any]) -> Iterator[KubernetesTarget]:
    on = OnCluster.model_validate(
        {
            "provider": "kind",
            "kind": {
                "config": str(ROOT / "testbed" / "kind.yaml"),
                "image": docker["image"],
                "archives": [str(STATE / "img" / "sophia.tar")],
            },
            "namespace": "small",
            "manifests": str(manifests(tmp_path)),
            "endpoints": {"edge": "http://127.0.0.1:30080"},
            "rollout_within": 120.0,
        }
    )
    made = kubernetes.kubernetes(load_platform(CLUSTER / "platform.yaml"), on, tmp_path / "state")
    yield made
    assert made.down().clean


def test_a_run_makes_its_cluster_and_deletes_it(target: KubernetesTarget) -> None:
    target.up("", lambda event: None)
    assert target.ready() == []
    assert kubernetes.attach(target.reference).ready() == []
    checks: list[Any] = []
    target.check(checks.append)
    assert [each for each in checks if each.passed != each.of] == []
    cluster = target.state().on.context.removeprefix("kind-")
    assert target.down().clean
    listed = subprocess.run(
        [str(Path(kind_bed()["kind"])), "get", "clusters"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PATH": os.pathsep.join(program_path())},
    )
    assert cluster not in listed.stdout.split()
