"""kill -9 of a real run on a real cluster, then `harness recover`: nothing is left by others' eyes, and it is no PASS.

Two of the points by default; all eleven by KILL9_POINTS=all.
"""

from __future__ import annotations

import os
import shutil
import signal
import time
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from harness import children
from tests.e2e.kind.controls import left, scenario
from tests.e2e.kind.small import experiment
from tests.e2e.local.support import Harness, Run

AWAY = {"service": "app", "region": "west"}
SLOW = {"service": "app", "region": "east", "count": 1, "delay": "50ms"}
FAULTS = {"scale_to_zero": AWAY, "bad_image": AWAY, "readiness_broken": AWAY, "network_latency": SLOW}


class Point(NamedTuple):
    """When the harness is killed: as soon as this event stands in its journal. `alone`: its watchdog and children live,
    and the watchdog may come first."""

    name: str
    event: str
    fields: dict[str, Any]
    fault: str
    alone: bool = False
    always: bool = False


POINTS = [
    Point("before anything", "stage", {"name": "deploy"}, "scale_to_zero"),
    Point("deploying", "phase.deployed", {"phase": "foundation"}, "scale_to_zero"),
    Point("deployed", "deployed", {}, "scale_to_zero", alone=True),
    Point("loading", "stage", {"name": "warm-up"}, "scale_to_zero"),
    Point("intended", "fault.intended", {}, "bad_image"),  # the dead man's switch is being armed
    Point("injected", "fault.injected", {}, "scale_to_zero", always=True),
    Point("landed", "fault.landed", {}, "network_latency", always=True),
    Point("landed, watchdog alive", "fault.landed", {}, "readiness_broken", alone=True),
    Point("undone", "fault.gone", {}, "bad_image"),
    Point("going down", "stage", {"name": "down"}, "network_latency"),
    Point("judging", "run.closed", {}, "scale_to_zero"),
]
pytestmark = pytest.mark.usefixtures("controls_leave_nothing")
CHOSEN = [point for point in POINTS if point.always or os.environ.get("KILL9_POINTS") == "all"]


def kill(run: Run, alone: bool) -> None:
    """The harness; unless `alone`, with all that it started, as when its machine is gone."""
    os.kill(run.process.pid, signal.SIGKILL)
    if alone:
        return
    mark = f"{children.MARK}={run.folder.resolve()}".encode()
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (entry / "environ").read_bytes().split(b"\0"):
                os.kill(int(entry.name), signal.SIGKILL)
        except OSError:
            continue


@pytest.mark.parametrize("point", CHOSEN, ids=lambda point: point.name)
def test_killed_there_it_leaves_nothing_and_is_no_pass(point: Point, harness: Harness, tmp_path: Path) -> None:
    fault = experiment(tmp_path, point.fault, FAULTS[point.fault], "2s")
    run = harness("run", scenario(tmp_path, [fault]))
    run.wait_for(point.event, within=180, **point.fields)
    kill(run, point.alone)
    run.finish(30)
    assert run.code == -signal.SIGKILL
    recovered = harness("recover", str(run.folder)).finish(240)
    assert recovered.code == 0, recovered.errors
    assert left() == []
    end = time.monotonic() + 20
    while run.left_behind() and time.monotonic() < end:
        time.sleep(0.5)  # a watchdog that came second leaves by itself
    assert not run.left_behind()
    again = harness("recover", str(run.folder)).finish(60)
    assert (again.code, "nothing was left" in again.output) == (0, True), again.output
    intended = {event["fault"] for event in run.events("fault.intended")}
    assert intended == {event["fault"] for event in run.events("fault.gone") if event["gone"]}
    if point.event != "run.closed":  # that one had come to its end
        judged = harness("judge", str(run.folder)).finish(60)
        assert judged.code in (10, 11), judged.output


def test_a_machine_that_restarts_without_its_state_folder_gives_the_node_back(harness: Harness, tmp_path: Path) -> None:
    fault = experiment(tmp_path, "node_drain", {**AWAY, "evict": False, "others": "gateway"}, "2s")
    run = harness("run", scenario(tmp_path, [fault]))
    run.wait_for("fault.landed", within=180, landed=True)
    kill(run, alone=False)
    run.finish(30)
    shutil.rmtree(tmp_path / "state")
    assert any(name.endswith(" is cordoned") for name in left())
    recovered = harness("recover", str(run.folder)).finish(240)
    assert recovered.code == 0, recovered.errors
    assert left() == []
