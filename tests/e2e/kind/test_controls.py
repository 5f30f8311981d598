"""Negative controls on a real cluster: what must be refused before anything, taken back, or not believed."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.e2e.kind.bed import kubectl
from tests.e2e.kind.controls import NAMESPACE, by_https, left, reason, scenario
from tests.e2e.kind.small import experiment
from tests.e2e.kind.test_bare import as_certifier
from tests.e2e.local.support import Harness

AWAY = {"service": "app", "region": "west"}
pytestmark = pytest.mark.usefixtures("controls_leave_nothing")


def test_a_run_with_a_fault_passes(harness: Harness, tmp_path: Path) -> None:
    """What the others would be without what is wrong with them."""
    run = harness("run", scenario(tmp_path, [experiment(tmp_path, "scale_to_zero", AWAY, "1s")])).finish(240)
    assert run.code == 0, f"{run.errors[-3000:]} {reason(run)}"


def test_metrics_that_go_away_in_mid_run_are_no_pass(harness: Harness, tmp_path: Path) -> None:
    run = harness("run", scenario(tmp_path, steady="8s"))
    run.wait_for("stage", within=120, name="steady")
    kubectl("scale", "deployment/prometheus", "-n", NAMESPACE, "--replicas=0")
    run.finish(240)
    assert run.code == 11, run.errors[-3000:]
    assert "answered" in run.reasons()
    assert "served" not in run.reasons(), "what the users saw is known all the same"


def test_an_edge_that_speaks_https_is_loaded_and_measured(harness: Harness, tmp_path: Path) -> None:
    with by_https(tmp_path) as (edge, certificate):
        run = harness("run", scenario(tmp_path, edge=edge), SSL_CERT_FILE=certificate).finish(240)
    assert run.code == 0, f"{run.errors[-3000:]} {reason(run)}"
    assert ("certificates are believed", 1) in {(each["name"], each["passed"]) for each in run.events("check")}


def test_a_certificate_that_nobody_signed_ends_the_run_before_its_load(harness: Harness, tmp_path: Path) -> None:
    """Here the edge's own gate meets it first: as for its users, the release cannot be reached."""
    with by_https(tmp_path) as (edge, _):
        run = harness("run", scenario(tmp_path, edge=edge)).finish(240)
    assert run.code == 10
    assert "self-signed certificate" in reason(run)
    assert run.events("phase.taken-back")
    assert not run.events("schedule")


def test_an_upgrade_to_an_image_that_nobody_has_is_taken_back(harness: Harness, tmp_path: Path) -> None:
    file = scenario(tmp_path, upgrade_from="1", release="lost", rollout_within="15s")
    run = harness("run", file)
    run.wait_for("stage", within=120, name="redeploy")
    run.finish(240)
    assert run.code == 10, run.errors[-3000:]
    (back,) = run.events("phase.taken-back")
    assert (back["phase"], back["verified"]) == ("application", True)
    assert "small.local/nothing:0" in back["reason"] or "ImagePull" in back["reason"]
    assert "phase application did not pass its gate and was taken back" in reason(run)
    assert "taken back" in (run.folder / "report.html").read_text()
    assert "served" not in run.reasons(), "the release before it served all the while"


def test_a_selector_that_matches_nothing_is_refused_before_anything(harness: Harness, tmp_path: Path) -> None:
    fault = experiment(tmp_path, "pod_delete", {"service": "app", "region": "mars"})
    run = harness("run", scenario(tmp_path, [fault])).finish(60)
    assert run.code == 20
    assert "pod_delete selects nothing" in run.errors
    assert f"{fault}:" in run.errors, "the file and the line"
    assert left() == []
    assert not list(run.reports.glob("*")), "there was no run"


def test_a_role_that_lacks_one_verb_of_a_fault_is_refused_before_anything(harness: Harness, tmp_path: Path) -> None:
    file = scenario(tmp_path, [experiment(tmp_path, "scale_to_zero", AWAY)])
    kubectl("create", "serviceaccount", "certifier", "-n", "default")
    kubectl("create", "namespace", NAMESPACE)
    try:
        roles = list(yaml.safe_load_all(harness("rbac", file).finish(60).output))
        for rule in roles[0]["rules"]:
            if "deployments/scale" in rule["resources"]:
                rule["resources"].remove("deployments/scale")
        roles[0]["rules"] = [rule for rule in roles[0]["rules"] if rule["resources"]]
        roles[1]["metadata"]["name"] = "controls"
        (tmp_path / "roles.yaml").write_text(yaml.safe_dump_all(roles))
        kubectl("apply", "-f", str(tmp_path / "roles.yaml"))
        who = "--serviceaccount=default:certifier"
        kubectl("create", "rolebinding", "certifier", "-n", NAMESPACE, "--role=sophia-harness", who)
        kubectl("create", "clusterrolebinding", "controls", "--clusterrole=controls", who)
        run = harness("run", file, KUBECONFIG=str(as_certifier(tmp_path))).finish(120)
        assert run.code == 21
        assert "nothing was touched" in run.errors
        assert "we have the rights: patch deployments/scale (apps)" in run.errors.splitlines(), "this and no other"
        assert left() == [f"namespace/{NAMESPACE}"]
    finally:
        for words in (
            ("namespace", NAMESPACE),
            ("serviceaccount", "certifier", "-n", "default"),
            ("clusterrolebinding", "controls"),
            ("clusterrole", "controls"),
        ):
            kubectl("delete", "--ignore-not-found", *words)
