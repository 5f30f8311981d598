"""The reference platform in small on the bare bed, for the judged fault matrix: manifests and scenarios."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from harness.testing.plain_target import REGION, SERVICE, STATEFUL
from tests.e2e.bed.conftest import DATABASE, SOPHIA
from tests.e2e.kind.small import prometheus_at
from tests.e2e.kind.twin import TWIN
from tests.e2e.local.support import ROOT

MATRIX = ROOT / "tests" / "fixtures" / "matrix"
NAMESPACE, EDGE, PROMETHEUS = "judged", 31960, 31961
PASSWORD = {"name": "PGPASSWORD", "valueFrom": {"secretKeyRef": {"name": "matrix-secrets", "key": "postgres"}}}
EXPERIMENTS = (  # one a kind; what moves users comes last
    "pod-delete", "kill-weaviate", "scale-to-zero", "bad-image", "crash-loop", "readiness-broken", "cpu-pressure",
    "memory-pressure", "disk-pressure", "network-latency", "network-loss", "network-partition", "dns-loss",
    "connections-exhausted", "llm-provider", "gpu-loss", "gpu-plugin-loss", "node-drain", "region-lost", "node-loss",
)  # fmt: skip
BED = {"observed_for": "1s", "workers": 1, "label": "testbed/gpu"}  # where an experiment has it
ITS_OWN = {"disk-pressure": {"path": "/tmp"}, "region-lost": {"lost": "sjc", "serves": "lax", "blast_radius": 5}}


def file_of(experiment: str) -> Path:
    """The shipped one; of the region the one whose users come back by themselves: nothing here promotes a database."""
    return (TWIN if experiment == "region-lost" else ROOT / "experiments") / f"{experiment}.yaml"


def settings(experiment: str) -> dict[str, Any]:
    declared = yaml.safe_load(file_of(experiment).read_text())["configuration"]
    return {name: value for name, value in BED.items() if name in declared} | ITS_OWN.get(experiment, {})


def scenario(
    folder: Path,
    name: str,
    experiments: Mapping[str, Mapping[str, Any]] | None = None,
    state: str = "",
    slos: str = "slos.yaml",
    steady: str = "3s",
) -> str:
    """The file of a run with these experiments, each with what is set for it; `state`: of the platform that is up."""
    (folder / "manifests.yaml").write_text(yaml.safe_dump_all(manifests()))
    on = {
        "context": "bare",
        "namespace": NAMESPACE,
        "manifests": str(folder / "manifests.yaml"),
        "agent_image": SOPHIA,
        "nodes": {way: [str(ROOT / "scripts" / "bed-node"), word] for way, word in (("off", "stop"), ("on", "start"))},
        "endpoints": {"edge": f"http://127.0.0.1:{EDGE}", "prometheus": f"http://127.0.0.1:{PROMETHEUS}"},
        "rollout_within": "90s",
        "test": True,
    }
    chosen = [
        {"file": str(file_of(each)), "gap": "1s", "within": "90s", "blast_radius": 9, "set": {**settings(each), **more}}
        for each, more in (experiments or {}).items()
    ]
    spec = {
        "target": {"kind": "kubernetes", "platform": str(MATRIX / "platform.yaml"), "state": state, "kubernetes": on},
        "seed": 1,
        "load": {
            "locustfile": str(MATRIX / "journey.py"),
            "arrivals": {"kind": "constant", "rate": 20},
            "mix": {"ask": 1},
            "warm_up": "1s",
            "timeout": "3s",
            "drain": "3s",
        },
        "beacon": {"path": "/api/ping", "every": "50ms", "timeout": "1s"},
        "validity": {"late_p99": "500ms", "late_seconds": 0.5, "dropped": 0.01, "cpu": 0.95},  # not what is tested
        "steady": steady,
        "experiments": chosen,
        "quiet": "1s",
        "sustained": "1s",
        "slos": [str(MATRIX / slos)],
    }
    document = {"apiVersion": "harness/v1", "kind": "Scenario", "metadata": {"name": name}, "spec": spec}
    file = folder / f"{name}.yaml"
    file.write_text(json.dumps(document))  # JSON is YAML
    return str(file)


def manifests() -> list[dict[str, Any]]:
    """All objects. Services come before the pods that are told of them."""
    *others, prometheus = prometheus_at(PROMETHEUS)
    prometheus["spec"]["template"]["spec"]["affinity"] = _affinity("")
    made: list[dict[str, Any]] = [
        *others,
        prometheus,
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
        _config("api", "api.py"),
        _config("edge", "haproxy.cfg"),
        _service("edge", "", 8000, type="NodePort"),
        _service("llm-provider-atlas", "", 8101),
        _workload("edge", "", 8000, ["/usr/sbin/haproxy", "-W", "-db", "-f", "/config/haproxy.cfg"], config="edge"),
        _workload("llm-provider-atlas", "", 8101, ["python3", "-m", "sophia.llm_provider"], {"MODELS": "atlas-large"}),
    ]
    for region, count in (("sjc", 2), ("lax", 1)):
        worker = {"DEVICES": f"{region}=/run/gpu-sim/${{NVIDIA_VISIBLE_DEVICES}}", "GPU_TYPE": "GH200"}
        instances = {"clusterIP": "None", "publishNotReadyAddresses": True}  # the edge asks each of them itself
        made += [
            _service("weaviate", region, 8080),
            _service("postgres", region, 5432),
            _service("gpu-worker", region, 8110),
            _service("unified-api", region, 8003, **instances),
            _workload("weaviate", region, 8080, ["python3", "-m", "http.server", "8080", "--directory", "/tmp"]),
            _workload("postgres", region, 5432, ["sh", "-c", DATABASE]),
            _workload("gpu-worker", region, 8110, ["python3", "-m", "sophia.gpu_worker"], worker),
            _workload("unified-api", region, 8003, ["python3", "/config/api.py"], count=count, config="api"),
        ]
    return made


def _config(name: str, file: str) -> dict[str, Any]:
    data = {file: (MATRIX / file).read_text()}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def _name(service: str, region: str) -> str:
    return f"{service}-{region}" if region else service


def _labels(service: str, region: str) -> dict[str, str]:
    return {SERVICE: service, **({REGION: region} if region else {})}


def _service(service: str, region: str, port: int, **more: Any) -> dict[str, Any]:
    ports = [{"port": port, **({"nodePort": EDGE} if "type" in more else {})}]
    spec = {"selector": _labels(service, region), "ports": ports, **more}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": _name(service, region)}, "spec": spec}


def _workload(
    service: str,
    region: str,
    port: int,
    command: list[str],
    environment: Mapping[str, str] | None = None,
    count: int = 1,
    config: str = "",
) -> dict[str, Any]:
    told = {"SERVICE": service, "INSTANCE": _name(service, region), "REGION": region, "RELEASE": "1", "HOST": "0.0.0.0"}
    told |= {"NAMESPACE": NAMESPACE, "PORT": str(port), **(environment or {})}
    path = {"weaviate": "/", "edge": "", "postgres": ""}.get(service, "/health")
    look = {"httpGet": {"path": path, "port": port}} if path else {"tcpSocket": {"port": port}}
    limits = {"cpu": "500m", "memory": "256Mi", "ephemeral-storage": "200Mi"}
    container = {
        "name": service,
        "image": SOPHIA,
        "imagePullPolicy": "IfNotPresent",
        "command": command,
        "env": [*({"name": name, "value": value} for name, value in told.items()), PASSWORD],
        "readinessProbe": {**look, "periodSeconds": 1},
        "resources": {
            "requests": {"cpu": "10m", "memory": "32Mi", "ephemeral-storage": "1Mi"},
            "limits": {**limits, **({"nvidia.com/gpu": 1} if service == "gpu-worker" else {})},
        },
        "volumeMounts": [{"name": "config", "mountPath": "/config"}] if config else [],
    }
    soon = {"operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5}
    pod = {
        "containers": [container],
        "volumes": [{"name": "config", "configMap": {"name": config}}] if config else [],
        "terminationGracePeriodSeconds": 2,
        "tolerations": [{**soon, "key": f"node.kubernetes.io/{key}"} for key in ("not-ready", "unreachable")],
        "affinity": _affinity(region),
        "topologySpreadConstraints": [_spread(_labels(service, region))],
    }
    labels, stateful = _labels(service, region), service in STATEFUL
    spec = {
        "replicas": count,
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": pod},
        **({"serviceName": _name(service, region)} if stateful else {}),
    }
    kind = "StatefulSet" if stateful else "Deployment"
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": _name(service, region)}, "spec": spec}


def _affinity(region: str) -> dict[str, Any]:
    """Its region's; what belongs to none is on none of their nodes, and is not lost with one of them."""
    of = {"operator": "In", "values": [region]} if region else {"operator": "DoesNotExist"}
    terms = [{"matchExpressions": [{"key": REGION, **of}]}]
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}


def _spread(labels: dict[str, str]) -> dict[str, Any]:
    selector = {"labelSelector": {"matchLabels": labels}}
    return {"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway", **selector}
