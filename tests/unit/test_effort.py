"""What the harness takes, counted by itself."""

from __future__ import annotations

import subprocess
import sys

from harness import effort


def test_counts_since_the_last_reading() -> None:
    meter = effort.Meter("test")
    first = meter.read("before")
    assert first.cpu_s > 0.0
    assert first.seconds >= first.cpu_s / 4
    effort.called("GET")
    effort.called("GET")
    effort.called("PATCH")
    effort.ran("kubectl kustomize")
    subprocess.run([sys.executable, "-c", "sum(range(10**6))"], check=True)
    second = meter.read("after")
    assert (second.process, second.stage) == ("test", "after")
    assert second.api_calls == {"GET": 2, "PATCH": 1}
    assert second.programs == {"kubectl kustomize": 1}
    assert second.children_cpu_s > 0.0
    assert second.cpu_s < first.cpu_s
    third = meter.read()
    assert (third.api_calls, third.programs, third.children_cpu_s) == ({}, {}, 0.0)
