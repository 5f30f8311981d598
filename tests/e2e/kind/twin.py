"""A small platform of two regions, each in a cluster of its own, as files: manifests and a scenario."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from tests.e2e.local.support import ROOT

TWIN = ROOT / "tests" / "fixtures" / "two-clusters"
IMAGE = "sophia.local/sophia:1.0.0"
PROMETHEUS = ["/usr/bin/prometheus", "--config.file=/code/prometheus.yaml", "--storage.tsdb.path=/tmp/data"]
SERVICE, REGION = "app.kubernetes.io/name", "twin.example/region"


def scenario(folder: Path, lax_at: str, edge: int, lax_port: int | None, clusters: dict[str, dict[str, Any]]) -> Path:
    """The scenario's file. `lax_at`: where the edge finds lax; `edge`, `lax_port`: NodePorts; `clusters`: context,
    kubeconfig and namespace of sjc, where the edge is too, and of lax."""
    for name, objects in (("sjc", _sjc(lax_at, edge)), ("lax", _api("lax", 2, lax_port))):
        (folder / f"{name}.yaml").write_text(yaml.safe_dump_all(objects))
    on = {
        **clusters["sjc"],
        "manifests": "sjc.yaml",
        "clusters": {"lax": {**clusters["lax"], "manifests": "lax.yaml", "test": True}},
        "agent_image": IMAGE,
        "test": True,
        "endpoints": {"edge": f"http://127.0.0.1:{edge}", "prometheus": "http://127.0.0.1:30090"},
        "rollout_within": "90s",
    }
    spec = {
        "target": {"kind": "kubernetes", "platform": str(TWIN / "platform.yaml"), "kubernetes": on},
        "load": {
            "locustfile": str(ROOT / "loadtests" / "sophia.py"),
            "arrivals": {"kind": "poisson", "rate": 40},
            "mix": {"chat": 1},
            "warm_up": "2s",
            "timeout": "5s",
            "drain": "6s",
        },
        "beacon": {"path": "/api/ping"},
        "validity": {"late_p99": "250ms", "late_seconds": 0.3},  # both clusters are on the machine that makes the load
        "steady": "15s",
        "experiments": [{"file": str(TWIN / "region-lost.yaml"), "blast_radius": 2, "within": "90s"}],
        "slos": [str(TWIN / "slos.yaml")],
        "claim": "run",
    }
    file = folder / "twin.yaml"
    file.write_text(
        yaml.safe_dump({"apiVersion": "harness/v1", "kind": "Scenario", "metadata": {"name": "twin"}, "spec": spec})
    )
    return file


def undisturbed(scenario: Path) -> Path:
    """The same without a fault, and with the one objective that could PASS then."""
    document = yaml.safe_load(scenario.read_text())
    *availability, _ = (TWIN / "slos.yaml").read_text().split("---\n")
    (scenario.parent / "availability.yaml").write_text("---\n".join(availability))
    document["spec"] |= {"steady": "12s", "experiments": [], "slos": ["availability.yaml"]}
    file = scenario.with_name("undisturbed.yaml")
    file.write_text(yaml.safe_dump(document))
    return file


def _sjc(lax_at: str, port: int) -> list[dict[str, Any]]:
    config = (TWIN / "haproxy.cfg").read_text().replace("${LAX}", lax_at)
    return [
        *_api("sjc", 1, None),
        _config("edge", {"haproxy.cfg": config}),
        _service("edge", {SERVICE: "edge"}, 8000, port),
        _deployment("edge", "", 1, ["/usr/sbin/haproxy", "-W", "-db", "-f", "/code/haproxy.cfg"], 8000, "edge"),
        _config("prometheus", {"prometheus.yaml": (TWIN / "prometheus.yaml").read_text()}),
        _service("prometheus", {SERVICE: "prometheus"}, 9090, 30090),
        _deployment("prometheus", "", 1, PROMETHEUS, 9090, "prometheus"),
    ]


def _api(region: str, count: int, port: int | None) -> list[dict[str, Any]]:
    return [
        _config("code", {"server.py": (TWIN / "server.py").read_text()}),
        _service(f"api-{region}", {SERVICE: "api", REGION: region}, 8080, port),
        _deployment("api", region, count, ["python3", "/code/server.py"], 8080, "code"),
    ]


def _config(name: str, files: dict[str, str]) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": files}


def _service(name: str, selector: dict[str, str], port: int, node_port: int | None) -> dict[str, Any]:
    ports = [{"port": port, **({"nodePort": node_port} if node_port else {})}]
    spec = {"type": "NodePort" if node_port else "ClusterIP", "selector": selector, "ports": ports}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}


def _deployment(service: str, region: str, count: int, command: list[str], port: int, config: str) -> dict[str, Any]:
    name = f"{service}-{region}" if region else service
    labels = {SERVICE: service, **({REGION: region} if region else {})}
    container = {
        "name": service,
        "image": IMAGE,
        "imagePullPolicy": "Never",
        "command": command,
        "env": [{"name": "REGION", "value": region}],
        "readinessProbe": {"tcpSocket": {"port": port}, "periodSeconds": 1},
        "volumeMounts": [{"name": "config", "mountPath": "/code"}],
        "resources": {"requests": {"cpu": "20m", "memory": "32Mi"}},
    }
    pod = {
        "containers": [container],
        "volumes": [{"name": "config", "configMap": {"name": config}}],
        "terminationGracePeriodSeconds": 3,
    }
    template = {"metadata": {"labels": labels}, "spec": pod}
    spec = {"replicas": count, "selector": {"matchLabels": labels}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}
