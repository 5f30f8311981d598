"""Wherever the last part of fail-back ends, what is undone then leaves the primary and the users in one region."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness import faults
from harness.chaos.lifecycle import check_parameters
from harness.chaos.preview import Experiment, load_experiment
from harness.model.platform import Platform
from harness.ports import Instance
from harness.spec.platform import load_platform
from harness.testing.fake_target import FakeTarget
from sophia.lease import Leases, Term

ROOT = Path(__file__).parents[2]
STEPS = ("first-step", "second-step", "switchover", "the-rest")


class Agent(FakeTarget):
    """Whoever decides by the platform's own rules, with nobody to wait for; the edge does as he tells."""

    def __init__(self, platform: Platform) -> None:
        super().__init__(platform)
        self.leases, self.pings = Leases(Term("lax"), 0.0), 0

    def call(
        self, instance: Instance, port: str, method: str, path: str, body: str | None, timeout_s: float
    ) -> tuple[int, str]:
        asked, term = json.loads(body or "{}"), self.leases.term
        if path == "/switchover":
            self.leases = self.leases.depose(asked["to"], planned=True).crown(1.0)
        elif path == "/users":
            others = "lax" if asked["region"] == "sjc" else "sjc"
            shifted = term.with_users(asked["region"], asked["share"], others)
            if shifted is None:
                return 409, "the primary keeps some users"
            self.leases = Leases(shifted, 0.0)
        return 200, json.dumps({**self.leases.term.as_dict(), "users": self.users})

    @property
    def users(self) -> dict[str, float]:
        return {region: self.leases.term.share(region) for region in ("sjc", "lax")}


@pytest.fixture
def agent() -> Agent:
    made = Agent(load_platform(ROOT / "tests" / "fixtures" / "tiny" / "platform.yaml").value)
    made.up("", lambda _: None)
    return made


@pytest.fixture
def experiment() -> Experiment:
    return load_experiment(ROOT / "experiments" / "fail-back.yaml", environ={})


def asked(activities: Any, function: str) -> list[str]:
    """Of which faults, in order, `gone` or `recover` is asked."""
    told = [each["provider"] for each in activities]
    return [each["arguments"].get("name") or each["arguments"]["fault"] for each in told if each["func"] == function]


@pytest.mark.parametrize("seen_gone", range(5))
def test_what_is_taken_back_is_taken_back_whole(agent: Agent, experiment: Experiment, seen_gone: int) -> None:
    """Those that were seen gone are not undone any more."""
    made = {}
    for fault in experiment.faults:
        kind = faults.load(fault.kind)
        parameters = check_parameters(kind, fault.kind, {**fault.parameters, "within": "0s"})
        selection = kind.select(agent, parameters)
        kind.inject(agent, selection, parameters)
        made[fault.name] = (kind, selection, parameters)
    assert tuple(made) == STEPS
    assert (agent.leases.term.primary, agent.users) == ("sjc", {"sjc": 1.0, "lax": 0.0})
    done = asked(experiment.node.data["method"], "gone")[:seen_gone]
    for name in asked(experiment.node.data["rollbacks"], "recover"):
        kind, selection, parameters = made[name]
        if name not in done:
            kind.recover(agent, selection, parameters)
    home = agent.leases.term.primary
    assert agent.users[home] == 1.0, (home, agent.users)
    assert home == ("sjc" if "switchover" in done else "lax")
