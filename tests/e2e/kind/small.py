"""A small platform for real clusters: the fixture's manifests with one tiny program in every pod."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

CLUSTER = Path(__file__).resolve().parents[2] / "fixtures" / "cluster"
IMAGE = "sophia.local/sophia:1.0.0"
PORTS = {"base": 8080, "app": 8080, "edge": 8000}


def manifests(folder: Path) -> Path:
    """The file with them; the edge is at NodePort 30080."""
    code = {"server.py": (CLUSTER / "server.py").read_text()}
    made: list[Any] = [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "code"}, "data": code}]
    for each in yaml.safe_load_all((CLUSTER / "manifests.yaml").read_text()):
        if "template" in each.get("spec", {}):
            _real(each)
        made.append(each)
    ports = [{"port": 8000, "nodePort": 30080}]
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
