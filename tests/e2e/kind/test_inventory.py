"""The second inventory on a real cluster: it comes up phase by phase behind its gates, is checked, loaded, and goes."""

from __future__ import annotations

from tests.e2e.kind.bed import everything
from tests.e2e.local.support import Harness

PHASES = ["infrastructure", "independent", "core", "orchestration", "frontend and monitoring", "rest"]


def test_the_inventory_comes_up_phase_by_phase_and_leaves_nothing(harness: Harness) -> None:
    before = everything()
    run = harness("run", "inventory-bare").finish(300)
    assert [each["phase"] for each in run.events("phase.deployed")] == PHASES, run.errors[-3000:]
    (deployed,) = run.events("deployed")
    assert deployed["instances"] == 34
    assert all(each["ok"] for each in run.events("gate.checked"))
    assert [each for each in run.events("check") if each["passed"] != each["of"]] == []
    assert run.verdict() != "FAIL", run.reasons()
    assert everything() == before
    assert not run.left_behind()
