"""The gate on a real cluster: shares by an HTTPRoute that Traefik carries out, and by counts of pods."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.kind.bed import everything, kubectl
from tests.e2e.kind.two_releases import scenario
from tests.e2e.local.support import Harness, Run


@pytest.fixture(scope="module", autouse=True)
def gateway() -> Iterator[None]:
    """The controller, put on the bed when it has been built: that takes five minutes, and is no test's business."""
    from testbed import build
    from testbed.addons import gateway
    from testbed.layout import kubeconfig
    from testbed.nodes import load

    if not build.folder("traefik").exists():
        pytest.skip("no Gateway controller: python -m testbed add bare gateway")
    gateway(kubeconfig(), load)
    with socket.socket() as there:
        if there.connect_ex(("127.0.0.1", 30088)):
            pytest.skip("the bed does not lead to the gateway: python -m testbed down && python -m testbed up bare")
    yield


def shares(run: Run) -> list[float]:
    return [event["share"] for event in run.events("share.set")]


def rolled_back(run: Run) -> float:
    """How long it took until the old release was seen alone, after a release that every tenth request fails on."""
    assert run.code == 10, f"{run.output}\n{run.errors[-3000:]}"
    assert run.events("decision")[-1]["state"] == "rolled-back"
    (back,) = run.events("rolled-back")
    assert back["seen"] and back["seconds"] <= 30
    last = run.events("share.seen")[-1]
    assert last["canary"] == 0 and last["total"] > 0
    return float(back["seconds"])


def test_a_good_release_is_promoted_by_an_http_route(harness: Harness, tmp_path: Path) -> None:
    before = everything()
    run = harness("gate", scenario(tmp_path)).finish(150)
    assert run.events("decision")[-1]["state"] == "promoted", f"{run.output}\n{run.errors[-3000:]}"
    assert shares(run) == [0.25, 0.5, 1.0]
    assert all(event["ok"] for event in run.events("share.seen"))
    assert everything() == before


def test_a_bad_release_is_taken_off_an_http_route(harness: Harness, tmp_path: Path) -> None:
    run = harness("gate", scenario(tmp_path), "--canary", "3").finish(150)
    assert rolled_back(run) <= 5  # a weight, not a deployment
    assert shares(run)[0] == 0.25 and shares(run)[-1] == 0


def test_a_bad_release_is_taken_off_by_counts_of_pods(harness: Harness, tmp_path: Path) -> None:
    made = scenario(tmp_path, "replicas", settings={"instances": 4}, instances=0)
    run = harness("gate", made, "--canary", "3").finish(150)
    rolled_back(run)
    refused = harness("gate", scenario(tmp_path, "replicas", settings={"instances": 3}, instances=0)).finish(30)
    assert refused.code == 20 and "is no whole number" in refused.errors


def test_a_gate_that_is_killed_leaves_all_traffic_on_the_old_release(harness: Harness, tmp_path: Path) -> None:
    """The platform stays up, somebody else's, so that what the watchdog did can be seen."""
    made = scenario(tmp_path)
    up = harness("up", made).finish(60)
    assert up.code == 0, up.errors[-3000:]
    try:
        (state,) = (tmp_path / "state").glob("two-*")
        run = harness("gate", made, "--state", f"kubernetes:{state}")
        run.wait_for("share.seen", within=60, ok=True)
        run.process.send_signal(signal.SIGKILL)
        run.finish(60)
        harness("recover", str(run.folder)).finish(90)
        weights = kubectl(
            "get", "httproute", "api", "-n", "gate", "-o", "jsonpath={.spec.rules[0].backendRefs[*].weight}"
        )
        assert weights == "1 0"
        assert kubectl("get", "deployments", "-n", "gate", "-o", "name").split() == ["deployment.apps/api"]
    finally:
        down = harness("down").finish(90)
    assert down.code == 0, down.errors[-3000:]
