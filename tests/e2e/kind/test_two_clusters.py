"""The whole line on two clusters: two contexts that lead to two namespaces of the bare bed. On two real clusters it
is tried in test_kind_provider.py."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.kind import twin
from tests.e2e.kind.bed import everything, kubectl
from tests.e2e.local.support import Harness

EDGE = 30181


@pytest.fixture
def kubeconfig(tmp_path: Path) -> Path:
    """With two contexts for the one cluster."""
    file = tmp_path / "kubeconfig"
    file.write_text(json.dumps(two_contexts()))
    return file


def two_contexts() -> dict[str, Any]:
    found = json.loads(kubectl("config", "view", "--raw", "--flatten", "-o", "json"))
    (cluster,), (context,) = found["clusters"], found["contexts"]
    found["clusters"] = [{**cluster, "name": name} for name in ("sjc", "lax")]
    found["contexts"] = [{"name": name, "context": {**context["context"], "cluster": name}} for name in ("sjc", "lax")]
    return dict(found)


@pytest.fixture
def scenario(tmp_path: Path, kubeconfig: Path) -> Path:
    clusters = {
        name: {"context": name, "kubeconfig": str(kubeconfig), "namespace": f"twin-{name}"} for name in ("sjc", "lax")
    }
    return twin.scenario(tmp_path, "api-lax.twin-lax.svc.cluster.local:8080", EDGE, None, clusters)


def left() -> list[str]:
    """Of the platform, on the bed; others may use it at the same time."""
    return [each for each in sorted(everything()) if "twin" in each]


def test_a_region_is_lost_and_users_are_served_by_the_other_cluster(harness: Harness, scenario: Path) -> None:
    run = harness("run", str(scenario)).finish(240)
    assert run.code == 0, f"{run.output}\n{run.errors[-3000:]}\n{json.dumps(run.reasons(), indent=1)}"
    assert run.judgement()["verdict"] == "PASS"
    (lost,) = run.events("fault.intended")
    assert len(lost["selection"]) == 2
    assert all(name.startswith("api-lax-") for name in lost["selection"])
    assert [each["landed"] for each in run.events("fault.landed")] == [True]
    assert left() == []
    assert not run.left_behind()


def test_a_cluster_that_goes_away_is_told_and_is_no_pass(harness: Harness, scenario: Path, kubeconfig: Path) -> None:
    known = two_contexts()
    run = harness("run", str(twin.undisturbed(scenario)))
    run.wait_for("stage", within=120, name="steady")
    away = {**known, "clusters": [known["clusters"][0], {"name": "lax", "cluster": {"server": "https://127.0.0.1:1"}}]}
    kubeconfig.write_text(json.dumps(away))
    run.finish(300)
    assert run.code not in (0, None)
    assert "lax: not known" in run.errors
    assert [each for each in left() if "twin-lax" not in each] == []
    kubeconfig.write_text(json.dumps(known))
    again = harness("recover", str(run.folder)).finish(120)
    assert again.code == 0, again.errors[-3000:]
    assert left() == []
