"""One service with two releases behind a Gateway, small: the fake of the platform's API in every pod."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from tests.e2e.kind.small import IMAGE
from tests.e2e.local.support import ROOT

EDGE = "http://127.0.0.1:30088"
FAKE = ROOT / "harness" / "testing" / "fake_edge.py"
SERVER = """
import asyncio, os, signal, sys
sys.path.insert(0, "/code")
from fake_edge import Behaviour, Edge

class Pod(Edge):
    def answer(self, method, target, body):
        return (200, {"status": "ok"}) if target == "/health" else super().answer(method, target, body)

async def serve():
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, os._exit, 0)
    fail = float(os.environ.get("FAIL", 0))
    how = Behaviour(release=os.environ["RELEASE"], instance=os.environ["HOSTNAME"], fail=fail)
    server = await asyncio.get_running_loop().create_server(lambda: Pod(how), "0.0.0.0", 8080)
    await server.serve_forever()

asyncio.run(serve())
"""
NAME, RELEASE, TRACK = "app.kubernetes.io/name", "app.kubernetes.io/version", "sophia-harness/track"
SETTINGS = {"route": "api", "stable": "api-stable", "canary": "api-canary"}


def scenario(folder: Path, actuator: str = "gateway", **changes: Any) -> str:
    """The file of a scenario that takes release 2 (good) or 3 (every tenth request fails) out to the users."""
    (folder / "platform.yaml").write_text(yaml.safe_dump(_platform()))
    (folder / "manifests.yaml").write_text(yaml.safe_dump_all(_manifests(all_pods=actuator == "replicas")))
    rollout = {
        "service": "api",
        "baseline": "1",
        "canary": "2",
        "actuator": actuator,
        "settings": SETTINGS,
        "steps": [{"share": 0.25, "bake": "8s"}, {"share": 0.5, "bake": "8s"}, {"share": 1.0}],
        "share_tolerance": 0.04,
        "share_minimum": 100,
        "shift_within": "20s",
        "hold": {"times": 2, "silence": "4s", "patience": "20s"},
        "triggers": [
            {"kind": "errors", "above": 0.05, "window": "3s", "consecutive": 2, "minimum": 10},
            {"kind": "health", "path": "/health", "consecutive": 3, "every": "1s", "timeout": "1s"},
        ],
        **changes,
    }
    spec = {
        "target": {
            "kind": "kubernetes",
            "platform": str(folder / "platform.yaml"),
            "release": "1",
            "kubernetes": {
                "context": "bare",
                "namespace": "gate",
                "manifests": str(folder / "manifests.yaml"),
                "endpoints": {"edge": EDGE},
                "rollout_within": "60s",
                "test": True,
            },
        },
        "seed": 1,
        "load": {
            "locustfile": str(ROOT / "loadtests/sophia.py"),
            "arrivals": {"kind": "poisson", "rate": 60},
            "mix": {"chat": 60, "search": 40},
            "warm_up": "3s",
            "timeout": "5s",
            "max_in_flight": 500,
            "connections": "kept",
            "drain": "6s",
        },
        "beacon": {"path": "/api/ping", "every": "20ms", "timeout": "2s"},
        "validity": {"late_p99": "200ms", "late_seconds": 0.2, "dropped": 0, "cpu": 0.95},
        "steady": "2s",
        "rollout": rollout,
        "quiet": "2s",
        "sustained": "2s",
        "slos": [str(ROOT / "slos" / "canary")],
        "claim": "run",
    }
    document = {"apiVersion": "harness/v1", "kind": "Scenario", "metadata": {"name": "gate"}, "spec": spec}
    file = folder / "gate.yaml"
    file.write_text(json.dumps(document))
    return str(file)


def _platform() -> dict[str, Any]:
    api = {
        "name": "api",
        "instances": {"": 2},
        "released": True,
        "ports": {"http": 8080},
        "health": {"path": "/health"},
    }
    answers = {"name": "answers", "within": "20s", "http": {"service": "api", "path": "/api/ping"}}
    spec = {
        "endpoints": {"edge": "api.http"},
        "services": [api],
        "phases": [{"name": "all", "services": ["api"], "gates": [answers]}],
        "kubernetes": {"labels": {"region": "two.example/region"}},  # of its own: the pods run on nodes of any region
        "releases": [{"name": "1"}, {"name": "2"}, {"name": "3", "env": {"FAIL": "0.1"}}],
    }
    return {"apiVersion": "harness/v1", "kind": "Platform", "metadata": {"name": "two", "title": "Two"}, "spec": spec}


def _manifests(all_pods: bool) -> list[dict[str, Any]]:
    """With `all_pods` the route leads to one Service of all pods."""
    code = {"fake_edge.py": FAKE.read_text(), "server.py": SERVER}
    container = {
        "name": "api",
        "image": IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python3", "/code/server.py"],
        "env": [{"name": "RELEASE", "valueFrom": {"fieldRef": {"fieldPath": f"metadata.labels['{RELEASE}']"}}}],
        "readinessProbe": {"httpGet": {"path": "/health", "port": 8080}, "periodSeconds": 1},
        "lifecycle": {"preStop": {"sleep": {"seconds": 3}}},
        "volumeMounts": [{"name": "code", "mountPath": "/code"}],
    }
    pod = {
        "terminationGracePeriodSeconds": 5,
        "containers": [container],
        "volumes": [{"name": "code", "configMap": {"name": "code"}}],
    }
    template = {"metadata": {"labels": {NAME: "api", RELEASE: "1"}}, "spec": pod}
    deployment = {"replicas": 2, "selector": {"matchLabels": {NAME: "api"}}, "template": template}
    listener = {"name": "web", "port": 8000, "protocol": "HTTP"}
    backends = [("api-stable", 1), ("api-canary", 0)] if not all_pods else [("api", 1)]
    rule = {"backendRefs": [{"name": name, "port": 8080, "weight": weight} for name, weight in backends]}
    gateway = "gateway.networking.k8s.io/v1"
    return [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "code"}, "data": code},
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "api"}, "spec": deployment},
        _service("api", {NAME: "api"}),
        _service("api-stable", {NAME: "api", RELEASE: "1"}),
        _service("api-canary", {NAME: "api", TRACK: "api-canary"}),
        {"apiVersion": gateway, "kind": "Gateway", "metadata": {"name": "api"}}
        | {"spec": {"gatewayClassName": "traefik", "listeners": [listener]}},
        {"apiVersion": gateway, "kind": "HTTPRoute", "metadata": {"name": "api"}}
        | {"spec": {"parentRefs": [{"name": "api"}], "rules": [rule]}},
    ]


def _service(name: str, selector: dict[str, str]) -> dict[str, Any]:
    spec = {"selector": selector, "ports": [{"port": 8080}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}
