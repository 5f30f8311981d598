"""The control plane goes away, or hangs, while a fault is active: it is undone as soon as that answers again, and it is
no PASS.

Nobody else may use the bed meanwhile.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.e2e.kind.controls import reason, scenario
from tests.e2e.kind.small import experiment
from tests.e2e.local.support import Harness

AWAY_S = 10.0
SPREADS_S = 1.0  # until every node's proxy knows that the pods are gone
HOLDS = "6s"  # longer than it takes until the control plane is away, so that nothing is undone before
AWAY = {"service": "app", "region": "west"}
pytestmark = pytest.mark.usefixtures("controls_leave_nothing")


def called(*words: str) -> None:
    subprocess.run([sys.executable, "-m", "testbed", *words], check=True, timeout=120, capture_output=True)


@pytest.mark.parametrize(("away", "back"), [("stop", "start"), ("freeze", "thaw")])
def test_a_fault_is_undone_when_the_api_server_is_back(harness: Harness, tmp_path: Path, away: str, back: str) -> None:
    fault = experiment(tmp_path, "scale_to_zero", AWAY, HOLDS, look=False)
    run = harness("run", scenario(tmp_path, [fault]))
    run.wait_for("fault.landed", within=180, landed=True)
    time.sleep(SPREADS_S)
    called("api", away)
    try:
        time.sleep(AWAY_S)
        assert not run.events("fault.gone"), "nobody could undo it"
    finally:
        called("api", back)
    returned = time.time_ns()
    gone = run.wait_for("fault.gone", within=90, gone=True)
    assert gone["wall_ns"] > returned - 2_000_000_000
    run.finish(240)
    told = f"{run.output}\n{run.errors[-3000:]}"
    assert "the cluster's API server did not answer for" in reason(run), told
    if away == "stop":
        assert run.code == 11, told
        assert "could not be undone at once" in reason(run)
        assert "served" not in run.reasons(), "users were served all the while"
    else:  # after it the controllers may take nodes for lost that they heard nothing of: users are not served then
        assert run.code in (10, 11), told
