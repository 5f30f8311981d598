"""The main job on a real Kubernetes, as a user runs it, and what must be refused there."""

from __future__ import annotations

import base64
import json
import signal
from pathlib import Path

from tests.e2e.kind.bed import KUBECONFIG, everything, kubectl
from tests.e2e.local.support import ROOT, Harness

SCENARIO = ROOT / "scenarios" / "certify-bare.yaml"


def test_the_good_release_passes_and_nothing_is_left(harness: Harness) -> None:
    before = everything()
    run = harness("certify", "--profile", "bare")
    run.wait_for("stage", within=240, name="steady")
    path = "jsonpath={.data.postgres}"
    secret = base64.b64decode(kubectl("get", "secret", "sophia-secrets", "-n", "sophia", "-o", path))
    assert len(secret) > 20
    run.finish(540)
    assert run.code == 0, f"{run.output}\n{run.errors[-3000:]}\n{json.dumps(run.reasons(), indent=1)}"
    judgement = run.judgement()
    assert judgement["verdict"] == "PASS"
    assert {"kill-weaviate#1"} == {one["experiment"] for one in judgement["recoveries"]}
    assert all(row["lost"] == row["indeterminate"] == 0 for row in judgement["data_loss"])
    images = [event["name"] for event in run.events("digest") if event["name"].startswith("image ")]
    assert len(images) == 2
    assert everything() == before
    assert not run.left_behind()
    assert not [file for file in run.folder.rglob("*") if file.is_file() and secret in file.read_bytes()]


def test_a_harness_that_is_killed_leaves_nothing(harness: Harness) -> None:
    before = everything()
    run = harness("run", str(SCENARIO))
    run.wait_for("phase.deployed", within=240)
    run.process.send_signal(signal.SIGKILL)
    run.finish(240)
    harness("recover", str(run.folder)).finish(240)
    assert everything() == before


def test_two_runs_never_meet(harness: Harness) -> None:
    first = harness("up", str(SCENARIO)).finish(300)
    assert first.code == 0, first.errors[-3000:]
    pods = kubectl("get", "pods", "-n", "sophia", "-o", "jsonpath={.items[*].metadata.uid}")
    second = harness("up", str(SCENARIO)).finish(120)
    assert second.code == 21
    assert "is taken by" in second.errors
    assert kubectl("get", "pods", "-n", "sophia", "-o", "jsonpath={.items[*].metadata.uid}") == pods
    down = harness("down").finish(240)
    assert down.code == 0, down.errors[-3000:]
    assert not Path(harness.tmp / "state").exists() or not list((harness.tmp / "state").glob("*/cluster.json"))


def test_the_role_that_we_write_suffices_and_less_is_refused(harness: Harness, tmp_path: Path) -> None:
    kubectl("create", "namespace", "sophia")
    kubectl("create", "serviceaccount", "certifier", "-n", "default")
    try:
        before = everything()
        written = harness("rbac", str(SCENARIO)).finish(60)
        assert written.code == 0, written.errors
        (tmp_path / "roles.yaml").write_text(written.output)
        kubectl("apply", "-f", str(tmp_path / "roles.yaml"))
        who = "--serviceaccount=default:certifier"
        kubectl("create", "rolebinding", "certifier", "-n", "sophia", "--role=sophia-harness", who)
        kubectl("create", "clusterrolebinding", "certifier", "--clusterrole=sophia-harness", who)
        mine = {"KUBECONFIG": str(as_certifier(tmp_path))}
        up = harness("up", str(SCENARIO), **mine).finish(300)
        assert up.code == 0, up.errors[-3000:]
        down = harness("down", **mine).finish(240)
        assert down.code == 0, down.errors[-3000:]
        kubectl("delete", "clusterrolebinding", "certifier")
        kubectl("delete", "clusterrole", "sophia-harness")
        assert everything() == before
        kubectl("delete", "rolebinding", "certifier", "-n", "sophia")
        refused = harness("up", str(SCENARIO), **mine).finish(120)
        assert refused.code == 21
        assert "nothing was touched" in refused.errors
        assert everything() == before
    finally:
        for words in (
            ("namespace", "sophia"),
            ("serviceaccount", "certifier", "-n", "default"),
            ("clusterrolebinding", "certifier"),
            ("clusterrole", "sophia-harness"),
        ):
            kubectl("delete", "--ignore-not-found", *words)


def as_certifier(tmp_path: Path) -> Path:
    """The bed's kubeconfig with the service account's token instead of the administrator's key."""
    import yaml

    config = yaml.safe_load(KUBECONFIG.read_text())
    config["users"] = [{"name": "certifier", "user": {"token": kubectl("create", "token", "certifier").strip()}}]
    for context in config["contexts"]:
        context["context"]["user"] = "certifier"
    file = tmp_path / "certifier.kubeconfig"
    file.write_text(yaml.safe_dump(config))
    return file
