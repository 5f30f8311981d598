"""The arithmetic of benchmarks/harness_cpu.py."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

import pytest

FILE = Path(__file__).parents[2] / "benchmarks" / "harness_cpu.py"
SPEC = importlib.util.spec_from_file_location("harness_cpu", FILE)
assert SPEC and SPEC.loader
harness_cpu = importlib.util.module_from_spec(SPEC)
sys.modules["harness_cpu"] = harness_cpu
SPEC.loader.exec_module(harness_cpu)


def sample(role, pid, second, cpu_s):
    return harness_cpu.Sample(role, (pid, 1), round(second * 1e9), cpu_s)


def test_only_what_was_used_within_the_phase_counts() -> None:
    samples = [sample("harness", 1, second, used) for second, used in ((0, 5.0), (10, 6.0), (20, 6.2), (30, 9.0))]
    samples += [sample("chaos", 2, 12, 0.1), sample("chaos", 2, 14, 0.3), sample("chaos", 3, 15, 0.2)]
    found = harness_cpu.shares(samples, 10 * 10**9, 20 * 10**9)
    assert found == pytest.approx({"harness": 0.02, "watchdog": 0, "chaos": 0.05, "load": 0, "beacon": 0})
    assert harness_cpu.shares(samples, 5 * 10**9, 10 * 10**9)["harness"] == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("command", "role"),
    [
        ("python -m harness.run.watchdog /r 1 2 --ready-fd 5", "watchdog"),
        ("python -m locust -f loadtests/sophia.py --headless", "load"),
        ("python -m harness.load.beacon --url http://127.0.0.1:1/", "beacon"),
        ("chaos --log-file x run kill.yaml", "chaos"),
    ],
)
def test_a_process_is_known_by_its_command(command: str, role: str) -> None:
    assert harness_cpu.role_of(command) == role


def test_a_look_sees_the_harness_itself() -> None:
    (seen,) = harness_cpu.look(os.getpid(), None)
    assert (seen.role, seen.process[0]) == ("harness", os.getpid())
    assert seen.cpu_s > 0
