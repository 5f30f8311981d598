"""The bare bed's own promises: a node that loses power, a graphics card that is unplugged, a second `up`."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable

from testbed import cgroups, layout, process
from tests.e2e.kind.bed import kubectl

NODE = "n4"


def called(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "testbed", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def ready(node: str) -> str:
    return kubectl("get", "node", node, "-o", "jsonpath={.status.conditions[?(@.type=='Ready')].status}")


def allocatable(node: str) -> str:
    return kubectl("get", "node", node, "-o", r"jsonpath={.status.allocatable.nvidia\.com/gpu}")


def soon(told: Callable[[], str], expected: str, within_s: float) -> None:
    deadline = time.monotonic() + within_s
    while told() != expected:
        assert time.monotonic() < deadline, f"still {told()!r} after {within_s} s, not {expected!r}"
        time.sleep(0.2)


def test_a_node_loses_power_and_comes_back() -> None:
    assert ready(NODE) == "True"
    try:
        assert called("node", "stop", NODE).returncode == 0
        assert process.running(layout.folder(), NODE) == []
        assert cgroups.processes(f"testbed-{NODE}") == []
        soon(lambda: ready(NODE), "Unknown", 20)
        assert ready("n3") == "True"
    finally:
        assert called("node", "start", NODE).returncode == 0
    soon(lambda: ready(NODE), "True", 30)
    soon(lambda: allocatable(NODE), "2", 30)


def test_the_node_of_the_control_plane_is_not_stopped() -> None:
    refused = called("node", "stop", "n1")
    assert refused.returncode == 1
    assert "n1 holds the control plane" in refused.stderr
    assert "is off" not in refused.stdout


def test_an_unplugged_card_is_no_longer_allocatable() -> None:
    card = layout.folder() / NODE / "own" / layout.GPUS.lstrip("/") / "gpu-1"
    soon(lambda: allocatable(NODE), "2", 10)
    card.unlink()
    try:
        soon(lambda: allocatable(NODE), "1", 10)
    finally:
        card.touch()
    soon(lambda: allocatable(NODE), "2", 10)


def test_up_does_nothing_to_a_bed_that_is_up() -> None:
    before = process.daemon(layout.folder(), "control-plane", "kube-apiserver")
    done = called("up", "bare")
    assert done.returncode == 0, done.stderr
    assert process.daemon(layout.folder(), "control-plane", "kube-apiserver") == before
    assert json.loads(called("status", "--json").stdout)["bare"]["up"] is True
