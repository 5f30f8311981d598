"""The kubernetes target by itself on a real cluster: a small platform, whose pods run one tiny program."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.errors import TargetError
from harness.model.events import AnyEvent
from harness.model.scenario import OnCluster
from harness.spec.platform import load_platform
from harness.targets import kubernetes
from harness.targets.kubernetes.target import KubernetesTarget
from tests.e2e.kind.bed import KUBECONFIG, everything, kubectl

CLUSTER = Path(__file__).resolve().parents[2] / "fixtures" / "cluster"
IMAGE = "sophia.local/sophia:1.0.0"
PORTS = {"base": 8080, "app": 8080, "edge": 8000}


@pytest.fixture
def on(tmp_path: Path) -> OnCluster:
    code = {"server.py": (CLUSTER / "server.py").read_text()}
    made: list[Any] = [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "code"}, "data": code}]
    for each in yaml.safe_load_all((CLUSTER / "manifests.yaml").read_text()):
        if "template" in each.get("spec", {}):
            _real(each)
        made.append(each)
    ports = [{"port": 8000, "nodePort": 30080}]
    spec = {"type": "NodePort", "selector": {"app.kubernetes.io/name": "edge"}, "ports": ports}
    made.append({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "edge"}, "spec": spec})
    file = tmp_path / "manifests.yaml"
    file.write_text(yaml.safe_dump_all(made))
    return OnCluster.model_validate(
        {
            "kubeconfig": str(KUBECONFIG),
            "context": "bare",
            "namespace": "small",
            "manifests": str(file),
            "endpoints": {"edge": "http://127.0.0.1:30080", "databases": {"east": "base://${secret.base}@host"}},
            "rollout_within": 60.0,
            "test": True,
        }
    )


def _real(workload: dict[str, Any]) -> None:
    """A workload of the fixture with the tiny program in it."""
    template = workload["spec"]["template"]
    pod, (container,) = template["spec"], template["spec"]["containers"]
    port = PORTS[template["metadata"]["labels"]["app.kubernetes.io/name"]]
    release = {"fieldPath": "metadata.labels['app.kubernetes.io/version']"}
    container |= {
        "image": IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python3", "/code/server.py"],
        "readinessProbe": {"httpGet": {"path": "/health", "port": port}, "periodSeconds": 1},
        "volumeMounts": [{"name": "code", "mountPath": "/code"}],
        "env": [
            *container.get("env", []),
            {"name": "PORT", "value": str(port)},
            {"name": "RELEASE", "valueFrom": {"fieldRef": release}},
        ],
    }
    pod["volumes"] = [{"name": "code", "configMap": {"name": "code"}}]
    pod["terminationGracePeriodSeconds"] = 5


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
