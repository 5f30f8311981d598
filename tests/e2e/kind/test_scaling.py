"""Autoscalers under a load step: one that scales is timed, one that may not is a FAIL; both in one run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from tests.e2e.kind.bed import everything
from tests.e2e.kind.small import CLUSTER, IMAGE
from tests.e2e.local.support import Harness

PROGRAM = """
import json, os, signal, time, urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        until = time.thread_time() + (float(os.environ["BURN"]) if self.path.startswith("/api") else 0.0)
        while time.thread_time() < until:
            pass
        if os.environ.get("BEHIND") and self.path.startswith("/api"):
            urllib.request.urlopen(os.environ["BEHIND"], timeout=5).read()
        body = json.dumps({"path": self.path}).encode()
        self.send_response(200)
        for name, value in (("content-type", "application/json"), ("content-length", str(len(body))),
                            ("x-instance", os.environ["HOSTNAME"]), ("x-degradation-level", "1")):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass

signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
print("Server is up", flush=True)
ThreadingHTTPServer(("0.0.0.0", 8080), Handler).serve_forever()
"""


def test_the_response_to_a_load_step_is_timed_and_an_autoscaler_at_its_limit_fails(
    harness: Harness, tmp_path: Path
) -> None:
    before = everything()
    run = harness("run", scenario(tmp_path))
    assert run.verdict() == "FAIL"
    reasons = {row["slo"]: row for row in run.judgement()["objectives"]}
    front, stuck = reasons["front"], reasons["stuck"]
    assert front["verdict"] == "PASS", front
    assert 0.0 < front["interval"]["high"] < 30.0
    assert "1 instance of front more than the" in front["reason"]
    assert stuck["verdict"] == "FAIL", stuck
    assert "not Ready within" in stuck["reason"]
    (watched,) = run.events("readiness.watched")
    assert watched["looks"] > 60
    under_load = next(event for event in run.events("effort") if event["stage"] == "under load")
    assert under_load["api_calls"]["GET"] > 60
    assert under_load["cpu_s"] > 0.0
    assert everything() == before
    assert not run.left_behind()


def scenario(folder: Path) -> str:
    spec: dict[str, Any] = {
        "target": {
            "kind": "kubernetes",
            "platform": written(folder / "platform.yaml", PLATFORM),
            "kubernetes": {
                "context": "bare",
                "namespace": "scaling",
                "manifests": written(folder / "manifests.yaml", *manifests()),
                "endpoints": {"edge": "http://127.0.0.1:30080"},
                "test": True,
            },
        },
        "load": {
            "locustfile": str(CLUSTER / "journey.py"),
            "arrivals": {"kind": "step", "rate": 2, "to": 30, "at": "15s"},
            "mix": {"ask": 1},
            "warm_up": "3s",
            "connections": "new",  # a node port chooses a pod for each connection
        },
        "beacon": {"path": "/ping", "every": "200ms"},
        "validity": {"late_p99": "500ms", "late_seconds": 0.5, "cpu": 0.95},
        "steady": "45s",
        "quiet": "2s",
        "slos": [written(folder / "slos.yaml", *(slo(name) for name in ("front", "stuck")))],
        "claim": "run",
    }
    head = {"apiVersion": "harness/v1", "kind": "Scenario", "metadata": {"name": "scaling"}}
    return written(folder / "scaling.yaml", {**head, "spec": spec})


def written(file: Path, *documents: Any) -> str:
    file.write_text(yaml.safe_dump_all(documents))
    return str(file)


PLATFORM = {
    "apiVersion": "harness/v1",
    "kind": "Platform",
    "metadata": {"name": "scaling", "title": "One that scales, one that may not"},
    "spec": {
        "endpoints": {"edge": "front.http"},
        "services": [
            {
                "name": name,
                "ports": {"http": 8080},
                "health": {"path": "/health"},
                "logs": {"success": ["Server is up"]},
            }
            for name in ("stuck", "front")
        ],
        "phases": [{"name": "all", "services": ["stuck", "front"], "gates": []}],
        "releases": [{"name": "1"}],
        "kubernetes": {"labels": {"region": "scaling.example/region"}},  # of its own: its pods run on any node
    },
}


def manifests() -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "code"}, "data": {"server.py": PROGRAM}}
    ]
    for name, most, env in (
        ("stuck", 1, {"BURN": "0.006"}),
        ("front", 3, {"BURN": "0.006", "BEHIND": "http://stuck:8080/api"}),
    ):
        labels = {"app.kubernetes.io/name": name}
        port = {"port": 8080, **({"nodePort": 30080} if name == "front" else {})}
        kind = "NodePort" if name == "front" else "ClusterIP"
        container = {
            "name": name,
            "image": IMAGE,
            "imagePullPolicy": "IfNotPresent",
            "command": ["python3", "/code/server.py"],
            "env": [{"name": key, "value": value} for key, value in env.items()],
            "readinessProbe": {"httpGet": {"path": "/health", "port": 8080}, "periodSeconds": 1},
            "resources": {"requests": {"cpu": "20m"}},
            "volumeMounts": [{"name": "code", "mountPath": "/code"}],
        }
        pod = {"containers": [container], "volumes": [{"name": "code", "configMap": {"name": "code"}}]}
        about = {"name": name, "labels": labels}
        target = {"type": "AverageValue", "averageValue": "60m"}
        made += [
            {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "metadata": about,
                "spec": {
                    "selector": {"matchLabels": labels},
                    "template": {"metadata": {"labels": labels}, "spec": pod},
                },
            },
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": about,
                "spec": {"type": kind, "selector": labels, "ports": [port]},
            },
            {
                "apiVersion": "autoscaling/v2",
                "kind": "HorizontalPodAutoscaler",
                "metadata": about,
                "spec": {
                    "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
                    "minReplicas": 1,
                    "maxReplicas": most,
                    "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": target}}],
                },
            },
        ]
    return made


def slo(service: str) -> dict[str, Any]:
    source = {"type": "ScaleUp", "spec": {"service": service}}
    return {
        "apiVersion": "openslo/v1",
        "kind": "SLO",
        "metadata": {"name": service, "annotations": {"harness/window": "run"}},
        "spec": {
            "service": service,
            "indicator": {"spec": {"thresholdMetric": {"metricSource": source}}},
            "budgetingMethod": "Occurrences",
            "objectives": [{"op": "lt", "value": 30, "target": 0.95}],
        },
    }
