"""The kubernetes target by itself on a real cluster: a small platform, whose pods run one tiny program."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.errors import TargetError
from harness.model.events import AnyEvent
from harness.model.on_cluster import OnCluster
from harness.spec.platform import load_platform
from harness.targets import kubernetes
from harness.targets.kubernetes.target import KubernetesTarget
from tests.e2e.kind.bed import KUBECONFIG, everything, kubectl
from tests.e2e.kind.small import CLUSTER, manifests


@pytest.fixture
def on(tmp_path: Path) -> OnCluster:
    return OnCluster.model_validate(
        {
            "kubeconfig": str(KUBECONFIG),
            "context": "bare",
            "namespace": "small",
            "manifests": str(manifests(tmp_path)),
            "endpoints": {"edge": "http://127.0.0.1:30080", "databases": {"east": "base://${secret.base}@host"}},
            "rollout_within": 60.0,
            "test": True,
        }
    )


@pytest.fixture
def target(tmp_path: Path, on: OnCluster) -> Iterator[KubernetesTarget]:
    before = everything()
    made = kubernetes.kubernetes(load_platform(CLUSTER / "platform.yaml"), on, tmp_path / "state")
    yield made
    assert made.down().clean
    assert everything() == before


def names(events: list[AnyEvent]) -> list[str]:
    return [each.event for each in events if each.event not in ("check", "stand-in")]


def test_up_check_upgrade_canary_and_down(target: KubernetesTarget) -> None:
    events: list[AnyEvent] = []
    target.up("", events.append)
    assert names(events) == ["gate.checked", "phase.deployed"] * 3 + ["deployed"]
    assert target.ready() == []
    found = target.instances()
    assert [each.service for each in found] == ["base", "base", "app", "app", "app", "edge"]
    assert [each.name for each in found][:2] == ["base-east-0", "base-west-0"]
    checks: list[Any] = []
    target.check(checks.append)
    assert [each for each in checks if each.passed != each.of or (not each.of and "logs" not in each.name)] == []
    assert any(name.startswith("image ") for name in target.artifacts())
    assert "Server is up" in next(file for file in target.logs() if file.name == "base-east-0.base.log").read_text()
    assert len(target.endpoints().databases["east"]) > 30

    target.deploy("2", events.append)
    assert {each.release for each in target.instances("app")} == {"2"}
    canaries = target.add_instances("app", "east", 1, "1", events.append)
    assert [each.release for each in canaries] == ["1"]
    target.remove_instances(canaries)
    assert {each.release for each in target.instances("app")} == {"2"}
    assert target.ready() == []

    for release, told in (("ill", "app is well"), ("crash", "CrashLoopBackOff|app-")):
        with pytest.raises(TargetError, match=told):
            target.deploy(release, events.append)
        assert events[-1].event == "phase.taken-back"
        assert events[-1].verified
        assert {each.release for each in target.instances("app")} == {"2"}
        assert target.ready() == []


def test_an_image_that_nobody_has_is_taken_back(target: KubernetesTarget, on: OnCluster) -> None:
    file = Path(on.manifests)
    made = list(yaml.safe_load_all(file.read_text()))
    app = next(each for each in made if each["metadata"]["name"] == "app-east")
    app["spec"]["template"]["spec"]["containers"][0]["image"] = "sophia.local/nothing:0"
    file.write_text(yaml.safe_dump_all(made))
    events: list[AnyEvent] = []
    with pytest.raises(TargetError, match="ImagePull"):
        target.up("", events.append)
    assert events[-1].event == "phase.taken-back"
    assert events[-1].verified
    assert [each.service for each in target.instances()] == ["base", "base"]
    assert "app" not in kubectl("get", "deployments,replicasets,pods", "-n", "small", "-o", "name")


def test_a_stateful_set_is_taken_back_too(tmp_path: Path, on: OnCluster) -> None:
    """Its pod that never became Ready is not replaced by Kubernetes itself."""
    before, text = everything(), (CLUSTER / "platform.yaml").read_text()
    text = text.replace("- name: base\n", "- name: base\n      released: true\n").replace("{app: ", "{base: ")
    file = tmp_path / "platform.yaml"
    file.write_text(text)
    target = kubernetes.kubernetes(load_platform(file), on, tmp_path / "state")
    events: list[AnyEvent] = []
    try:
        target.up("1", events.append)
        with pytest.raises(TargetError, match=r"base-.*ImagePull"):
            target.deploy("lost", events.append)
        assert (events[-1].event, events[-1].verified) == ("phase.taken-back", True)
        assert {each.release for each in target.instances("base")} == {"1"}
        assert target.ready() == []
    finally:
        assert target.down().clean
    assert everything() == before


def test_a_namespace_of_others_stays_as_it_was(target: KubernetesTarget) -> None:
    kubectl("create", "namespace", "small")
    try:
        kubectl("create", "configmap", "theirs", "-n", "small", "--from-literal=a=b")
        target.up("", lambda event: None)
        assert target.down().clean
        left = kubectl("get", "all,configmaps,secrets,leases,pvc", "-n", "small", "-o", "name").split()
        assert left == ["configmap/kube-root-ca.crt", "configmap/theirs"]
    finally:
        kubectl("delete", "namespace", "small")
