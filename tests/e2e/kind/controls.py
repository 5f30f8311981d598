"""Runs of the small platform in a namespace and on ports of its own, and what is left of them by others' eyes."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from harness.testing.authority import issue
from tests.e2e.kind import small
from tests.e2e.kind.bed import kubectl
from tests.e2e.local.support import ROOT, Run

NAMESPACE, EDGE, PROMETHEUS = "controls", 31950, 31951
FIRST_NODE = "testbed-n1"
RUN, FAULT = "sophia-harness/run", "sophia-harness/fault"


@contextmanager
def by_https(folder: Path) -> Iterator[tuple[str, str]]:
    """The edge behind a real HAProxy that speaks TLS: (its address, the certificate to trust)."""
    made = issue(folder, "edge")
    both = folder / "edge.pem"
    both.touch(mode=0o600)
    both.write_bytes(made.certificate.read_bytes() + made.key.read_bytes())
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    file = folder / "haproxy.cfg"
    file.write_text(
        "defaults\n  mode http\n  timeout connect 2s\n  timeout client 30s\n  timeout server 30s\n"
        f"frontend edge\n  bind 127.0.0.1:{port} ssl crt {both}\n  default_backend platform\n"
        f"backend platform\n  server edge 127.0.0.1:{EDGE}\n"
    )
    haproxy = shutil.which("haproxy") or "/usr/sbin/haproxy"
    child = subprocess.Popen([haproxy, "-db", "-f", str(file)], stdout=subprocess.DEVNULL)
    try:
        yield f"https://127.0.0.1:{port}", str(made.certificate)
    finally:
        child.terminate()
        child.wait(10)


@contextmanager
def ways_in(*ports: int) -> Iterator[None]:
    """The node ports, those of `scenario` unless others are named, are reached from this machine."""
    words = [str(port) for port in ports or (EDGE, PROMETHEUS)]
    command = [sys.executable, "-I", str(ROOT / "testbed" / "expose.py"), FIRST_NODE, *words]
    child = subprocess.Popen(command)
    try:
        yield
    finally:
        child.terminate()
        child.wait(10)


def scenario(
    folder: Path,
    experiments: Sequence[Path] = (),
    release: str = "1",
    rollout_within: str = "60s",
    edge: str = f"http://127.0.0.1:{EDGE}",
    **changes: Any,
) -> str:
    """The file of a run on the bed of some seconds."""
    endpoints = {"edge": edge, "prometheus": f"http://127.0.0.1:{PROMETHEUS}"}
    cluster = {
        "context": "bare",
        "namespace": NAMESPACE,
        "manifests": str(small.manifests(folder, NAMESPACE, EDGE, PROMETHEUS)),
        "endpoints": endpoints,
        "rollout_within": rollout_within,
    }
    slos = [str(small.CLUSTER / name) for name in ("slos", "metrics")]
    return str(small.scenario(folder, cluster, experiments, release, slos=slos, **changes))


def left() -> list[str]:
    """What is there of runs in our namespace: itself, all in it of every kind; bindings outside; cordoned nodes."""
    found = kubectl("get", "namespace", NAMESPACE, "-o", "name", "--ignore-not-found").split()
    if found:
        kinds = kubectl("api-resources", "--namespaced", "--verbs=list", "-o", "name").split()
        stay = ",".join(kind for kind in kinds if "events" not in kind and "metrics" not in kind)
        found += kubectl("get", stay, "-n", NAMESPACE, "-l", RUN, "-o", "name", "--ignore-not-found").split()
    bound = "jsonpath={range .items[*]}{.metadata.name}/{.subjects[0].namespace} {end}"
    bindings = kubectl("get", "clusterrolebindings", "-l", FAULT, "-o", bound).split()
    found += [name for name in bindings if name.endswith(f"/{NAMESPACE}")]
    cordoned = kubectl("get", "nodes", "-o", "jsonpath={.items[?(@.spec.unschedulable)].metadata.name}")
    held = [FAULT] if FAULT in kubectl("get", "nodes", "-o", "jsonpath={.items[*].metadata.annotations}") else []
    return [
        *found,
        *(f"{name} is cordoned" for name in cordoned.split()),
        *(f"a node is marked: {each}" for each in held),
    ]


def reason(run: Run) -> str:
    """What bears on the verdict, in one text."""
    return " ".join(one["reason"] for one in run.judgement()["findings"]) + " ".join(run.reasons().values())


def wait_until_gone(within_s: float = 60) -> None:
    end = time.monotonic() + within_s
    while found := left():
        assert time.monotonic() < end, found
        time.sleep(1)
