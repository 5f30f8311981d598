"""Whether a database stands still, asked of a real API server and a real kubelet. Its node is lost in test_kind.py."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from harness.targets.kubernetes.api import Cluster
from harness.targets.kubernetes.standstill import Standstill
from tests.e2e.kind.bed import KUBECONFIG, kubectl

NAMESPACE, PORT = "standstill", 5432
# Nothing listens at first; after a USR1 something does, on the loopback address only; it ends at once when told to.
PROGRAM = f"""
import os, signal, socket, time
def listen(*_): globals()["server"] = socket.create_server(("127.0.0.1", {PORT}))
signal.signal(signal.SIGUSR1, listen)
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
while True: time.sleep(1)
"""


@pytest.fixture
def eye() -> Iterator[Standstill]:
    cluster = Cluster.connect(str(KUBECONFIG), "bare")
    container = {
        "name": "db",
        "image": "sophia.local/sophia:1.0.0",
        "imagePullPolicy": "Never",
        "command": ["python3", "-c", PROGRAM],
    }
    kubectl("create", "namespace", NAMESPACE)
    try:
        cluster.create(
            {
                "apiVersion": "apps/v1",
                "kind": "StatefulSet",
                "metadata": {"name": "db", "namespace": NAMESPACE},
                "spec": {
                    "serviceName": "db",
                    "selector": {"matchLabels": {"app": "db"}},
                    "template": {
                        "metadata": {"labels": {"app": "db"}},
                        "spec": {"terminationGracePeriodSeconds": 2, "containers": [container]},
                    },
                },
            }
        )
        yield Standstill(cluster, NAMESPACE, {"app": "db"}, ("sql", PORT), lambda _: False)
    finally:
        kubectl("delete", "namespace", NAMESPACE)


def until(eye: Standstill, still: bool, within_s: float = 30.0) -> None:
    end = time.monotonic() + within_s
    while eye.look() is not still:
        assert time.monotonic() < end, f"still is {not still} after {within_s:g} s"
        time.sleep(0.2)


def test_what_listens_inside_only_does_not_stand_still_and_what_is_gone_does(eye: Standstill) -> None:
    kubectl("wait", "-n", NAMESPACE, "--for=condition=Ready", "pod/db-0", "--timeout=30s")
    until(eye, True)  # nothing listens
    kubectl("exec", "-n", NAMESPACE, "db-0", "--", "python3", "-c", "import os; os.kill(1, 10)")
    until(eye, False)
    (pod,) = eye.cluster.list("v1/Pod", NAMESPACE)
    assert pod["metadata"]["uid"] in eye.cluster.running(pod["spec"]["nodeName"], 5.0)
    kubectl("scale", "-n", NAMESPACE, "statefulset/db", "--replicas=0")
    until(eye, True)
