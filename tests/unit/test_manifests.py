"""The manifests in deploy/kustomize are the platform of deploy/platform.yaml, and hold nothing secret or public."""

from __future__ import annotations

import ipaddress
import json
import re
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from harness.model.platform import Platform, Service
from harness.spec.platform import load_platform
from sophia import weaviate_node

ROOT = Path(__file__).parents[2]
BASE = ROOT / "deploy" / "kustomize" / "base"
REGION, OUTSIDE = ("region", "weaviate"), ("outside", "prometheus")
WORKLOADS = ("Deployment", "StatefulSet")
PLACEHOLDER = re.compile(r"\$\{([^}]*)\}")
IDENTITY = {"SERVICE", "INSTANCE", "REGION", "RELEASE"}  # of every pod, from base/pods
OWN_WAY = {"TOPOLOGY", "DEVICES"}  # a file mounted elsewhere, a device that the kubelet chooses


def documents(path: Path) -> list[dict[str, Any]]:
    return [each for each in YAML(typ="safe").load_all(path.read_text()) if each]


def objects(*folders: str) -> list[dict[str, Any]]:
    files = [file for folder in folders for file in sorted((BASE / folder).glob("*.yaml"))]
    return [each for file in files for each in documents(file) if each["kind"] != "Kustomization"]


@pytest.fixture(scope="module")
def platform() -> Platform:
    return load_platform(ROOT / "deploy/platform.yaml").value


@pytest.fixture(scope="module")
def sources() -> list[dict[str, Any]]:
    """Every object of the base, as written."""
    return [*objects(*REGION), *objects(*OUTSIDE)]


def named(objects: list[dict[str, Any]], name: str, *kinds: str) -> dict[str, Any]:
    found = [each for each in objects if each["kind"] in kinds and each["metadata"]["name"] == name]
    assert len(found) == 1, f"{len(found)} of {kinds} {name!r}"
    return found[0]


def pod_of(workload: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = workload["spec"]["template"]["spec"]
    return found


def environment(container: dict[str, Any]) -> dict[str, str]:
    return {each["name"]: each.get("value", "") for each in container.get("env", ())}


def translated(platform: Platform, service: Service, value: str) -> str:
    """A value of the platform file as it must stand in the manifest."""
    services = {each.name: each for each in platform.spec.services}

    def one(found: re.Match[str]) -> str:
        match found[1]:
            case "instance":
                return "$(INSTANCE)"
            case "region":
                return "$(REGION)"
            case "secret.postgres":
                return "$(POSTGRES_PASSWORD)"
        name, _, port = found[1].rpartition(".")
        if name == "port":
            return str(service.ports[port])
        name, _, region = name.partition("@")
        inside = "" not in services[name].instances
        return f"{name}{f'-{region}' if region else '-$(REGION)' if inside else ''}:{services[name].ports[port]}"

    return PLACEHOLDER.sub(one, value.replace("${platform}/weaviate-backups", "/backups"))


def test_every_service_has_a_workload_and_every_workload_is_a_service(platform: Platform, sources: Any) -> None:
    inside = {each.name for each in platform.spec.services if "" not in each.instances}
    for folders, wanted in ((REGION, inside), (OUTSIDE, {each.name for each in platform.spec.services} - inside)):
        assert {each["metadata"]["name"] for each in objects(*folders) if each["kind"] in WORKLOADS} == wanted
    assert {each["metadata"]["name"] for each in sources if each["kind"] == "StatefulSet"} == {"weaviate", "postgres"}


def test_ports_health_and_scraping_are_those_of_the_platform_file(platform: Platform, sources: Any) -> None:
    for service in platform.spec.services:
        workload = named(sources, service.name, *WORKLOADS)
        container = pod_of(workload)["containers"][0]
        ports = {each["name"]: each["containerPort"] for each in container["ports"]}
        wanted = {name: port for name, port in service.ports.items() if (service.name, name) != ("edge", "admin")}
        assert (container["name"], ports) == (service.name, wanted)
        assert service.health is not None
        probe = container["readinessProbe"]["httpGet"]
        assert (probe["path"], probe["port"]) == (service.health.path, service.health.port), service.name
        assert service.metrics is not None
        scraped = service.health if service.name == "weaviate" else service.metrics
        annotations = workload["spec"]["template"]["metadata"]["annotations"]
        assert annotations["prometheus.io/port"] == str(service.ports[scraped.port]), service.name
        assert annotations.get("prometheus.io/path", "/metrics") == scraped.path
        front = named(sources, service.name, "Service")
        assert front["spec"]["selector"] == {"app.kubernetes.io/name": service.name}
        for each in front["spec"]["ports"]:
            assert (each["port"], each["targetPort"]) == (service.ports[each["name"]], each["name"])


def test_the_environment_is_that_of_the_platform_file(platform: Platform, sources: Any) -> None:
    for service in platform.spec.services:
        if service.name == "weaviate":
            continue
        container = pod_of(named(sources, service.name, *WORKLOADS))["containers"][0]
        wanted = {
            name: translated(platform, service, value)
            for name, value in service.env.items()
            if name not in IDENTITY | OWN_WAY | {"PGPASSWORD"}
        }
        given = environment(container)
        assert {name: given.get(name) for name in wanted} == wanted, service.name
        more = set(given) - set(wanted) - OWN_WAY
        assert more <= {"POSTGRES_PASSWORD", "PGPASSWORD", "CLIENTS", "NAMESPACE", "CLUSTER_DOMAIN"}, service.name


def test_weaviate_is_set_as_on_the_local_target(
    platform: Platform, sources: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    service = next(each for each in platform.spec.services if each.name == "weaviate")
    for name, value in service.env.items():
        monkeypatch.setenv(name, translated(platform, service, value))
    monkeypatch.setenv("BACKUPS", str(tmp_path))
    wanted = weaviate_node.environment(tmp_path) | {
        "PERSISTENCE_DATA_PATH": "/data/weaviate",
        "BACKUP_FILESYSTEM_PATH": "/backups",
    }
    given = environment(pod_of(named(sources, "weaviate", "StatefulSet"))["containers"][0])
    assert {name: value for name, value in given.items() if name != "GOMEMLIMIT"} == wanted


def test_the_failover_agent_checks_every_service_of_each_region(platform: Platform) -> None:
    topology = json.loads((BASE / "outside/topology.json").read_text())
    wanted = {
        (each.name, region, f"http://{each.name}-{region}:{each.ports[each.health.port]}{each.health.path}")
        for each in platform.spec.services
        for region in each.instances
        if each.health and region
    }
    assert {(each["service"], each["region"], each["url"]) for each in topology["endpoints"]} == wanted
    assert {(each["region"], each["url"]) for each in topology["weaviates"]} == {
        (region, f"http://weaviate-{region}:8080") for region in platform.spec.regions
    }


def test_commands_are_those_of_the_platform_file(platform: Platform, sources: Any) -> None:
    for service in platform.spec.services:
        command = pod_of(named(sources, service.name, *WORKLOADS))["containers"][0]["command"]
        if "-m" in service.command and not {"sophia.programs", "sophia.weaviate_node"} & set(service.command):
            assert command == ["python3", *service.command[1:]]


FILES = sorted(file for file in (ROOT / "deploy").rglob("*") if file.is_file())


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_nothing_secret_and_no_public_address_is_written_down(file: Path) -> None:
    text = file.read_text()
    assert not re.search(r"kind: Secret\b", text)
    assert not re.search(r"(?i)changeme|your-[a-z]+-(key|here)|sk-[a-z0-9]{3}|password: *[\"']?[a-z0-9]", text)
    for found in re.findall(r"(?<![\d.])(\d{1,3}(?:\.\d{1,3}){3})(?![\d.])", text):
        address = ipaddress.ip_address(found)
        assert address.is_private or address.is_unspecified or found == "100.64.0.0", f"{found} is a public address"
