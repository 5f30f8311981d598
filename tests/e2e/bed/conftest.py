"""The bare test bed, for tests that need a real cluster: `python -m testbed up bare`, or `make test-matrix`."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from harness.model.platform import Service
from harness.spec.platform import load_platform
from harness.targets.kubernetes.api import Cluster
from harness.testing.plain_target import PlainTarget
from tests.contract.test_fault_injectors import REFERENCE

NAMESPACE = "fault-matrix"
SERVICES = ("weaviate", "unified-api", "postgres", "gpu-worker", "llm-provider-atlas")
PROBE, SOPHIA = "testbed.local/probe:1", "sophia.local/sophia:1.0.0"
WORKER = {
    "SERVICE": "gpu-worker",
    "INSTANCE": "gpu-worker-sjc-0",
    "REGION": "sjc",
    "RELEASE": "1.0.0",
    "PORT": "8110",
    "HOST": "0.0.0.0",
    "DEVICES": "sjc=/run/gpu-sim/${NVIDIA_VISIBLE_DEVICES}",
    "GPU_TYPE": "GH200",
    "TASK_TIME": "0.004",
}
PROVIDER = {
    "SERVICE": "llm-provider-atlas",
    "INSTANCE": "llm-provider-atlas-0",
    "REGION": "",
    "RELEASE": "1.0.0",
    "PORT": "8101",
    "HOST": "0.0.0.0",
    "MODELS": "atlas-large",
}
PROGRAMS: dict[str, tuple[str, dict[str, str], dict[str, int]]] = {
    "gpu-worker": ("sophia.gpu_worker", WORKER, {"nvidia.com/gpu": 1}),
    "llm-provider-atlas": ("sophia.llm_provider", PROVIDER, {}),
}
DATABASE = """
set -e
bin=$(echo /usr/lib/postgresql/*/bin)
printf %s "${PGPASSWORD:-unused}" > /tmp/password
$bin/initdb -D /tmp/data -U sophia --pwfile=/tmp/password >/dev/null
echo 'host all all all scram-sha-256' >> /tmp/data/pg_hba.conf
exec $bin/postgres -D /tmp/data -k /tmp -c listen_addresses='*' -c max_connections=20
"""


def testbed(*argv: str, within_s: float = 300) -> str:
    """Output of `python -m testbed …`; "" when it failed."""
    command = [sys.executable, "-m", "testbed", *argv]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=within_s, check=True).stdout
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        return ""


@pytest.fixture(scope="session")
def bed() -> dict[str, Any]:
    status = json.loads(testbed("status", "--json") or "{}").get("bare", {})
    if not status.get("up"):
        pytest.skip("the bare test bed is not up (python -m testbed up bare)")
    return dict(status)


@pytest.fixture(scope="session")
def cluster(bed: dict[str, Any]) -> Cluster:
    return Cluster.connect(bed["kubeconfig"], "bare")


@pytest.fixture(scope="module")
def target(cluster: Cluster) -> Iterator[PlainTarget]:
    """Some of the reference platform's services: those of PROGRAMS are themselves, plain containers play the others."""

    def switch(name: str, on: bool) -> None:
        testbed("node", "start" if on else "stop", name)

    spec = load_platform(REFERENCE).value.spec
    assert spec.kubernetes is not None
    services = [each for each in spec.services if each.name in SERVICES]
    cards = [each.model_copy(update={"path": spec.kubernetes.devices[each.kind]}) for each in spec.devices]
    made = PlainTarget(cluster, NAMESPACE, services, container, SOPHIA, switch, cards)
    made.down()
    made.up("", lambda _: None)
    yield made
    made.down()


def container(service: Service) -> dict[str, Any]:
    limits = {"cpu": "500m", "memory": "96Mi", "ephemeral-storage": "200Mi"}
    resources = {"limits": limits, "requests": {"cpu": "10m"}}
    common: dict[str, Any] = {"name": service.name, "imagePullPolicy": "IfNotPresent", "resources": resources}
    if service.name == "postgres":
        probe: dict[str, Any] = {"tcpSocket": {"port": service.ports["sql"]}, "periodSeconds": 1}
        return {**common, "image": SOPHIA, "command": ["sh", "-c", DATABASE], "readinessProbe": probe}
    if service.name in PROGRAMS:
        program, environment, more = PROGRAMS[service.name]
        probe = {"httpGet": {"path": "/health", "port": service.ports["http"]}, "periodSeconds": 1}
        return {
            **common,
            "image": SOPHIA,
            "command": ["python3", "-m", program],
            "env": [{"name": name, "value": value} for name, value in environment.items()],
            "resources": {**resources, "limits": {**limits, "memory": "256Mi", **more}},
            "readinessProbe": probe,
        }
    probe = {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1}
    return {**common, "image": PROBE, "readinessProbe": probe}
