"""A small platform for real clusters: the fixture's manifests with one tiny program in every pod."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from harness.testing.experiments import action, probe

CLUSTER = Path(__file__).resolve().parents[2] / "fixtures" / "cluster"
IMAGE = "sophia.local/sophia:1.0.0"
PORTS = {"base": 8080, "app": 8080, "edge": 8000}


def scenario(
    folder: Path, cluster: dict[str, Any], experiments: Sequence[Path] = (), release: str = "1", **changes: Any
) -> Path:
    """The file of a scenario of some seconds on this platform; `cluster` is its `target.kubernetes`."""
    spec: dict[str, Any] = {
        "target": {
            "kind": "kubernetes",
            "platform": str(CLUSTER / "platform.yaml"),
            "release": release,
            "kubernetes": {"namespace": "small", "agent_image": IMAGE, "test": True, **cluster},
        },
        "seed": 1,
        "load": {
            "locustfile": str(CLUSTER / "journey.py"),
            "arrivals": {"kind": "constant", "rate": 20},
            "mix": {"ask": 1},
            "warm_up": "1s",
            "timeout": "2s",
            "drain": "2s",
        },
        "beacon": {"path": "/api/ping", "every": "50ms", "timeout": "1s"},
        "validity": {"late_p99": "500ms", "late_seconds": 0.5, "dropped": 0.01, "cpu": 0.95},  # not what is tested
        "steady": "3s",
        "experiments": [{"file": str(file), "gap": "1s", "within": "60s", "blast_radius": 9} for file in experiments],
        "quiet": "1s",
        "sustained": "1s",
        "slos": [str(CLUSTER / "slos")],
        **changes,
    }
    document = {"apiVersion": "harness/v1", "kind": "Scenario", "metadata": {"name": "small"}, "spec": spec}
    file = folder / "small.yaml"
    file.write_text(json.dumps(document))  # JSON is YAML
    return file


def experiment(folder: Path, fault: str, parameters: dict[str, Any], holds: str = "3s", look: bool = True) -> Path:
    """The file of an experiment that makes a fault which no user notices, looks at it for a while (or, without `look`,
    only at what users get), and undoes it."""
    stays = probe("stays broken", "holds", fault=fault, over=holds)
    served = {**probe("users are served", "level_is", level=1), "tolerance": True}
    document = {
        "title": fault,
        "description": fault,
        "steady-state-hypothesis": {"title": "users are served", "probes": [served]},
        "method": [
            action("break", "inject", fault=fault, parameters=parameters, blast_radius=9),
            probe("broken", "landed", fault=fault, within="60s"),
            stays if look else probe("users are served on", "level_becomes", level=1, within="30s", sustained=holds),
            action("mend", "recover", fault=fault, within="60s"),
        ],
        "rollbacks": [action("mend if broken", "recover", fault=fault, within="60s")],
    }
    file = folder / f"{fault.replace('_', '-')}.yaml"
    file.write_text(json.dumps(document))
    return file


def manifests(folder: Path, namespace: str = "small", port: int = 30080, prometheus: int = 0) -> Path:
    """The file with them; the edge, and a Prometheus that only looks at itself, are at these NodePorts."""
    code = {"server.py": (CLUSTER / "server.py").read_text()}
    made: list[Any] = [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "code"}, "data": code}]
    for each in yaml.safe_load_all((CLUSTER / "manifests.yaml").read_text()):
        if "template" in each.get("spec", {}):
            _real(each)
        if each["kind"] == "Namespace":
            each["metadata"]["name"] = namespace
        made.append(each)
    made += prometheus_at(prometheus) if prometheus else []
    ports = [{"port": 8000, "nodePort": port}]
    spec = {"type": "NodePort", "selector": {"app.kubernetes.io/name": "edge"}, "ports": ports}
    made.append({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "edge"}, "spec": spec})
    file = folder / "manifests.yaml"
    file.write_text(yaml.safe_dump_all(made))
    return file


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


def prometheus_at(port: int) -> list[dict[str, Any]]:
    """One that only looks at itself."""
    job = {"job_name": "prometheus", "static_configs": [{"targets": ["127.0.0.1:9090"]}]}
    config = yaml.safe_dump({"global": {"scrape_interval": "1s"}, "scrape_configs": [job]})
    labels = {"app": "prometheus"}
    container = {
        "name": "prometheus",
        "image": IMAGE,
        "command": ["prometheus", "--config.file=/config/prometheus.yaml", "--storage.tsdb.path=/tmp/data"],
        "readinessProbe": {"httpGet": {"path": "/-/ready", "port": 9090}, "periodSeconds": 1},
        "volumeMounts": [{"name": "config", "mountPath": "/config"}],
    }
    pod = {"containers": [container], "volumes": [{"name": "config", "configMap": {"name": "prometheus"}}]}
    spec = {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": pod}}
    way_in = {"type": "NodePort", "selector": labels, "ports": [{"port": 9090, "nodePort": port}]}
    about = {"metadata": {"name": "prometheus"}}
    return [
        {"apiVersion": "v1", "kind": "ConfigMap", **about, "data": {"prometheus.yaml": config}},
        {"apiVersion": "v1", "kind": "Service", **about, "spec": way_in},
        {"apiVersion": "apps/v1", "kind": "Deployment", **about, "spec": spec},
    ]
