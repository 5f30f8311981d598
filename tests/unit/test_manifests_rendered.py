"""What `kubectl kustomize` makes of the overlays: labels, places, ports, and how little each pod may do."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from harness.model.platform import Platform
from harness.spec.platform import load_platform

ROOT = Path(__file__).parents[2]
OVERLAYS = ("bare", "kind", "k3s")
NAME, REGION, PART, VERSION = (
    "app.kubernetes.io/name",
    "topology.kubernetes.io/region",
    "app.kubernetes.io/part-of",
    "app.kubernetes.io/version",
)
NODE_PORTS = {
    "edge": 30080,
    "prometheus": 30090,
    "alertmanager": 30093,
    "unified-api-sjc": 30180,
    "unified-api-lax": 30181,
    "agent-ui-sjc": 30300,
    "postgres-sjc": 30432,
    "postgres-lax": 30433,
}


def kubectl() -> str | None:
    """The machine's, or the test bed's."""
    return shutil.which("kubectl") or _of_the_test_bed("kubectl")


def _of_the_test_bed(program: str) -> str | None:
    if importlib.util.find_spec("testbed") is None:
        return None
    from testbed import build
    from testbed.state import TestbedError

    try:
        return str(build.program(program))
    except TestbedError:
        return None


pytestmark = pytest.mark.skipif(kubectl() is None, reason="no kubectl: python -m testbed build")


@cache
def rendered(overlay: str) -> tuple[dict[str, Any], ...]:
    command = [str(kubectl()), "kustomize", str(ROOT / "deploy/kustomize/overlays" / overlay)]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    assert not made.stderr
    return tuple(YAML(typ="safe").load_all(made.stdout))


def helm() -> str | None:
    """The machine's, or the test bed's."""
    return shutil.which("helm") or _of_the_test_bed("helm")


@pytest.mark.skipif(helm() is None, reason="no helm: python -m testbed build helm")
def test_the_chart_makes_the_same_objects_as_the_overlay() -> None:
    chart = ROOT / "deploy/helm/sophia-platform"
    command = [
        str(helm()),
        "template",
        "sophia",
        str(chart),
        "--namespace",
        "sophia",
        "-f",
        str(chart / "values-bare.yaml"),
    ]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    of_chart = comparable(list(YAML(typ="safe").load_all(made.stdout)))
    of_overlay = comparable(list(rendered("bare")))
    assert sorted(of_chart) == sorted(of_overlay)
    for name, wanted in of_overlay.items():
        assert of_chart[name] == wanted, name


def comparable(made: list[Any]) -> dict[str, Any]:
    """By kind and name. Each tool ends a ConfigMap's name with its own hash; Helm leaves the Namespace to its user."""
    text = re.sub(r"\b(edge|prometheus|alertmanager|topology)-[0-9a-z]{10}\b", r"\1-HASH", json.dumps(made))
    return {
        f"{each['kind']} {each['metadata']['name']}": each
        for each in json.loads(text)
        if each and each["kind"] != "Namespace"
    }


def workloads(overlay: str) -> dict[str, dict[str, Any]]:
    return {
        each["metadata"]["name"]: each for each in rendered(overlay) if each["kind"] in ("Deployment", "StatefulSet")
    }


def objects(overlay: str, kind: str) -> dict[str, dict[str, Any]]:
    return {each["metadata"]["name"]: each for each in rendered(overlay) if each["kind"] == kind}


@pytest.fixture(scope="module")
def platform() -> Platform:
    return load_platform(ROOT / "deploy/platform.yaml").value


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_service_runs_in_its_regions_as_often_as_the_platform_file_says(overlay: str, platform: Platform) -> None:
    wanted = {
        f"{service.name}-{region}" if region else service.name: count
        for service in platform.spec.services
        for region, count in service.instances.items()
    }
    assert {name: each["spec"]["replicas"] for name, each in workloads(overlay).items()} == wanted
    assert set(wanted) <= set(objects(overlay, "Service"))


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_pod_says_who_and_where_it_is_and_its_selector_finds_it(overlay: str, platform: Platform) -> None:
    for name, workload in workloads(overlay).items():
        template, selector = workload["spec"]["template"], workload["spec"]["selector"]["matchLabels"]
        labels = template["metadata"]["labels"]
        service, region = labels[NAME], labels.get(REGION, "")
        assert name == (f"{service}-{region}" if region else service)
        assert (labels[PART], labels[VERSION]) == ("sophia", "1.0.0")
        assert workload["metadata"]["labels"].items() >= {NAME: service, PART: "sophia"}.items()
        assert selector == {NAME: service, **({REGION: region} if region else {})}
        if region:
            assert template["spec"]["nodeSelector"][REGION] == region
        else:
            terms = template["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
            assert terms["nodeSelectorTerms"] == [{"matchExpressions": [{"key": REGION, "operator": "DoesNotExist"}]}]
    pods = [each["spec"]["template"]["metadata"]["labels"] for each in workloads(overlay).values()]
    for name, front in objects(overlay, "Service").items():
        chosen = [labels for labels in pods if front["spec"]["selector"].items() <= labels.items()]
        assert len(chosen) == 1, f"{name} selects {chosen}"
        assert chosen[0].get(REGION, "") == (name.rpartition("-")[2] if name.endswith(("-sjc", "-lax")) else "")


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_variable_stands_below_those_it_uses(overlay: str) -> None:
    for name, workload in workloads(overlay).items():
        for container in workload["spec"]["template"]["spec"]["containers"]:
            known: set[str] = set()
            for each in container.get("env", ()):
                used = {part.partition(")")[0] for part in each.get("value", "").split("$(")[1:]}
                assert used <= known, f"{name}: {each['name']} uses {used - known} before it is set"
                assert each["name"] not in known, f"{name}: {each['name']} twice"
                known.add(each["name"])


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_pod_may_do_as_little_as_possible(overlay: str) -> None:
    for name, workload in workloads(overlay).items():
        spec = workload["spec"]["template"]["spec"]
        assert spec["securityContext"].items() >= {"runAsNonRoot": True, "runAsUser": 10001}.items()
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in spec["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert container["imagePullPolicy"] == "IfNotPresent"
            assert {"cpu", "memory"} <= set(container["resources"]["requests"])
            assert "memory" in container["resources"]["limits"]
            assert not container["image"].endswith(":latest") and ":" in container["image"]
        is_prometheus = name == "prometheus"
        assert spec["automountServiceAccountToken"] is is_prometheus, name
        assert spec["serviceAccountName"] == ("prometheus" if is_prometheus else "sophia")
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)
        assert not [each for each in spec.get("volumes", ()) if "hostPath" in each], name
        waits = {each["key"]: each["tolerationSeconds"] for each in spec["tolerations"] if "tolerationSeconds" in each}
        assert set(waits) == {"node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"}
        assert max(waits.values()) <= 60
    (role,) = objects(overlay, "Role").values()
    assert role["rules"] == [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]}]
    (binding,) = objects(overlay, "RoleBinding").values()
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "prometheus", "namespace": "sophia"}]
    assert not {each["kind"] for each in rendered(overlay)} & {"Secret", "ClusterRole", "ClusterRoleBinding"}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_what_a_pod_mounts_or_reads_is_there(overlay: str) -> None:
    maps, claims = objects(overlay, "ConfigMap"), objects(overlay, "PersistentVolumeClaim")
    for name, workload in workloads(overlay).items():
        spec = workload["spec"]["template"]["spec"]
        for volume in spec.get("volumes", ()):
            if "configMap" in volume:
                assert volume["configMap"]["name"] in maps, name
            if "persistentVolumeClaim" in volume:
                assert volume["persistentVolumeClaim"]["claimName"] in claims, name
    assert all(
        each["metadata"].get("namespace") == "sophia" for each in rendered(overlay) if each["kind"] != "Namespace"
    )


def test_a_pod_that_is_told_to_end_goes_on_until_everybody_knows_and_has_time_to_end_after_that() -> None:
    for name, workload in workloads("bare").items():
        if workload["kind"] == "Deployment":
            spec = workload["spec"]["template"]["spec"]
            goes_on = spec["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
            assert goes_on >= 5 + 1 + 1, f"{name}: DNS is cached for 5 s, asked every second, and a check takes one"
            assert spec["terminationGracePeriodSeconds"] >= goes_on + 5


def test_the_ways_in_have_the_ports_that_scenarios_name() -> None:
    for overlay in OVERLAYS:
        given = {
            name: port["nodePort"]
            for name, each in objects(overlay, "Service").items()
            for port in each["spec"]["ports"]
            if "nodePort" in port
        }
        assert given == NODE_PORTS


def with_component(name: str, folder: Path) -> list[dict[str, Any]]:
    """The base with one of the optional components."""
    kustomize = os.path.relpath(ROOT / "deploy/kustomize", folder)
    (folder / "kustomization.yaml").write_text(
        f"resources: [{kustomize}/base]\ncomponents: [{kustomize}/components/{name}]\n"
    )
    made = subprocess.run([str(kubectl()), "kustomize", str(folder)], capture_output=True, text=True, check=True)
    return list(YAML(typ="safe").load_all(made.stdout))


def test_without_a_device_plugin_the_device_is_a_file_in_the_workers_own_pod(tmp_path: Path) -> None:
    workers = [
        each["spec"]["template"]["spec"]
        for each in with_component("gpu-file", tmp_path)
        if each["kind"] == "Deployment" and each["metadata"]["labels"][NAME] == "gpu-worker"
    ]
    assert len(workers) == 2
    for spec in workers:
        (container,) = spec["containers"]
        assert set(container["resources"]["limits"]) == {"memory"}
        assert set(container["lifecycle"]) == {"preStop", "postStart"}
        assert {"name": "NVIDIA_VISIBLE_DEVICES", "value": "gpu-0"} in container["env"]


def test_an_autoscaler_alone_says_how_many_there_are(tmp_path: Path) -> None:
    made = with_component("autoscaling", tmp_path)
    (scaler,) = [each for each in made if each["kind"] == "HorizontalPodAutoscaler"]
    target = scaler["spec"]["scaleTargetRef"]
    (scaled,) = [each for each in made if (each["kind"], each["metadata"]["name"]) == (target["kind"], target["name"])]
    assert "replicas" not in scaled["spec"]
    assert scaler["metadata"]["labels"][REGION] == scaled["metadata"]["labels"][REGION] == "sjc"
    assert scaler["spec"]["behavior"]["scaleUp"]["policies"] == [{"type": "Pods", "value": 2, "periodSeconds": 15}]


def test_the_other_inventory_has_every_service_and_its_manifests_are_up_to_date() -> None:
    inventory, made = ROOT / "deploy/inventory-29.yaml", ROOT / "deploy/kustomize/inventory-29/services.yaml"
    script = [sys.executable, str(ROOT / "scripts/inventory-manifests.py"), str(inventory)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    again = subprocess.run(script, capture_output=True, text=True, check=True, env=environment).stdout
    assert made.read_text() == again, "scripts/inventory-manifests.py makes it anew"
    services = {each.name: each for each in load_platform(inventory).value.spec.services}
    assert set(workloads("bare-29")) == set(services)
    for name, workload in workloads("bare-29").items():
        template = workload["spec"]["template"]
        assert workload["spec"]["selector"]["matchLabels"] == {NAME: name}
        assert template["metadata"]["labels"] == {NAME: name, PART: "sophia", VERSION: "1.0.0"}
        assert template["spec"]["automountServiceAccountToken"] is (name == "monitoring-stack")
        assert template["spec"]["containers"][0]["name"] == name
        ports = {each["name"]: each["containerPort"] for each in template["spec"]["containers"][0]["ports"]}
        assert ports == services[name].ports
        assert objects("bare-29", "Service")[name]["spec"]["selector"] == {NAME: name}


def test_the_whole_platform_asks_for_what_a_small_machine_has() -> None:
    def of(overlay: str, what: str, unit: dict[str, float]) -> float:
        total = 0.0
        for workload in workloads(overlay).values():
            for container in workload["spec"]["template"]["spec"]["containers"]:
                text = container["resources"]["requests"][what]
                total += workload["spec"]["replicas"] * next(
                    float(text.removesuffix(suffix)) * factor
                    for suffix, factor in unit.items()
                    if text.endswith(suffix)
                )
        return total

    assert of("bare", "cpu", {"m": 0.001}) <= 1.5
    assert of("bare", "memory", {"Mi": 1.0, "Gi": 1024.0}) <= 6 * 1024


def test_with_a_gateway_only_its_route_leads_to_a_canary() -> None:
    def named(overlay: str) -> dict[tuple[str, str], dict[str, Any]]:
        return {(each["kind"], each["metadata"]["name"]): each for each in rendered(overlay)}

    plain, split = named("bare"), named("bare-canary")
    new = {("Service", "unified-api-sjc-canary"), ("Gateway", "unified-api-sjc"), ("HTTPRoute", "unified-api-sjc")}
    assert split.keys() - plain.keys() == new
    changed = {name for name in plain if plain[name] != split[name]}
    assert changed == {("Service", "unified-api-sjc"), ("Service", "unified-api-pods-sjc")}
    pod = split["Deployment", "unified-api-sjc"]["spec"]["template"]["metadata"]["labels"]
    canary = {**pod, VERSION: "1.1.0", "sophia-harness/track": "unified-api-sjc-canary"}

    def leads_to(labels: dict[str, str]) -> set[str]:
        services = [each for (kind, _), each in split.items() if kind == "Service" and each["spec"].get("selector")]
        return {each["metadata"]["name"] for each in services if each["spec"]["selector"].items() <= labels.items()}

    assert leads_to(pod) == {"unified-api-sjc", "unified-api-pods-sjc"}
    assert leads_to(canary) == {"unified-api-sjc-canary"}
    (rule,) = split["HTTPRoute", "unified-api-sjc"]["spec"]["rules"]
    weights = {each["name"]: each["weight"] for each in rule["backendRefs"]}
    assert weights == {"unified-api-sjc": 1, "unified-api-sjc-canary": 0}
