"""The gate on the real line: HAProxy, Locust and the reference platform, on local processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.journal import log
from harness.model.events import Decided, RolledBack, RunClosed, ShareSeen, ShareSet

ROOT = Path(__file__).parents[3]

pytestmark = pytest.mark.e2e


class Gated:
    """One `harness gate`, ended, and its journal."""

    def __init__(self, tmp_path: Path, canary: str) -> None:
        command = [sys.executable, "-m", "harness", "gate", "scenarios/canary-local.yaml", "--canary", canary]
        done = subprocess.run(
            [*command, "--reports", str(tmp_path / "reports")],
            cwd=ROOT,
            env={**os.environ, "HARNESS_STATE": str(tmp_path / "s")},
            capture_output=True,
            text=True,
            timeout=300,
        )
        self.code, self.output = done.returncode, done.stdout + done.stderr
        (journal,) = tmp_path.glob("reports/*/journal.jsonl")
        self.events = log.read(journal)

    def of(self, kind: type) -> list:
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def state(self) -> str:
        return self.of(Decided)[-1].state


def test_a_good_release_is_promoted(tmp_path: Path):
    gated = Gated(tmp_path, "1.1.0")
    assert gated.state == "promoted", gated.output
    assert [event.share for event in gated.of(ShareSet)] == [0.1, 0.5, 1.0]
    assert all(event.ok for event in gated.of(ShareSeen))
    assert gated.of(RunClosed)[-1].clean


@pytest.mark.parametrize("canary", ["bad-failing", "bad-slow", "bad-answers", "bad-degraded"])
def test_a_bad_release_is_taken_off_and_seen_to_be_within_30_s(tmp_path: Path, canary: str):
    gated = Gated(tmp_path, canary)
    assert gated.state == "rolled-back", gated.output
    assert gated.code == 10
    (back,) = gated.of(RolledBack)
    assert back.seen and back.seconds <= 30
    assert gated.of(ShareSet)[-1].share == 0
    last = gated.of(ShareSeen)[-1]
    assert last.canary == 0 and last.total > 0
    assert gated.of(RunClosed)[-1].clean
