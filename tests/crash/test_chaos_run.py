"""Experiments played by the real `chaos`: what goes well has no mistake, and every trap of its exit code is one."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.chaos import runner, undo
from harness.chaos.runner import ExperimentRun
from harness.journal import log
from harness.journal.layout import RunFolder
from harness.model.events import ChildEnded, ExperimentEnded, FaultLanded
from harness.testing.experiments import FAKE, action, experiment, probe
from harness.testing.folder_target import FolderTarget

Play = Callable[..., ExperimentEnded]


@pytest.fixture
def play(folder: RunFolder, target: FolderTarget, edge: str, write: Callable[[dict[str, Any]], Path]) -> Play:
    def player(document: dict[str, Any], timeout_s: float = 30.0, blast_radius: int = 1) -> ExperimentEnded:
        run = ExperimentRun("broken-store#1", write(document), target.reference, edge, 7, blast_radius, timeout_s)
        running = runner.start(folder, run)
        while (ended := running.poll()) is None:
            time.sleep(0.05)
        assert running.poll() == ended
        return ended

    return player


def names_of(folder: RunFolder) -> list[str]:
    return [event.event for event in log.read(folder.journal)]


def test_a_fault_goes_its_whole_way(play: Play, folder: RunFolder, target: FolderTarget) -> None:
    ended = play(experiment())
    assert ended.mistakes == (), ended
    assert (ended.status, ended.deviated, ended.title) == ("completed", False, "the store breaks")
    assert names_of(folder) == [
        "child.started",
        "fault.intended",
        "fault.injected",
        "fault.landed",
        "fault.gone",
        "effort",
        "child.ended",
        "experiment.ended",
    ]
    assert undo.pending(folder) == ()
    assert target.ready() == []


def test_a_fault_that_does_not_land_is_a_mistake(play: Play, folder: RunFolder) -> None:
    ended = play(experiment(lands=False))
    assert any("was not seen to land" in mistake for mistake in ended.mistakes)
    assert any("never seen to land" in mistake for mistake in ended.mistakes)
    landed = [event for event in log.read(folder.journal) if isinstance(event, FaultLanded)]
    assert [event.landed for event in landed] == [False]
    assert undo.pending(folder) == ()


def test_a_fault_that_does_not_go_is_a_mistake_and_its_token_stays(play: Play, folder: RunFolder) -> None:
    ended = play(experiment(goes=False))
    assert any("was not seen gone" in mistake for mistake in ended.mistakes)
    assert [token.kind for token in undo.pending(folder)] == [FAKE]


def test_a_raising_action_is_a_mistake_and_is_rolled_back(play: Play, folder: RunFolder, target: FolderTarget) -> None:
    ended = play(experiment(fails=True))
    assert any("failed halfway" in mistake for mistake in ended.mistakes)
    assert target.ready() == []
    assert undo.pending(folder) == ()


def test_a_selector_that_matches_nothing_touches_nothing(play: Play, folder: RunFolder, target: FolderTarget) -> None:
    ended = play(experiment(service="nobody"))
    assert any("selects nothing" in mistake for mistake in ended.mistakes)
    assert "fault.intended" not in names_of(folder)
    assert list(folder.undo.iterdir()) == []


def test_more_than_the_blast_radius_touches_nothing(play: Play, folder: RunFolder, target: FolderTarget) -> None:
    ended = play(experiment(service="api"))
    assert any("would touch 2 (api-0, api-1), but the blast radius is 1" in mistake for mistake in ended.mistakes)
    assert target.ready() == []


def test_the_harness_bounds_what_the_experiment_allows_itself(play: Play, target: FolderTarget) -> None:
    document = experiment(service="api")
    document["method"][0]["provider"]["arguments"]["blast_radius"] = 5
    assert any("blast radius is 1" in mistake for mistake in play(document, blast_radius=1).mistakes)


def test_a_hypothesis_that_fails_before_stops_the_experiment(
    play: Play, folder: RunFolder, target: FolderTarget
) -> None:
    target.break_instance("api-0")
    ended = play(experiment())
    assert any("not met before" in mistake for mistake in ended.mistakes)
    assert "no fault was injected" in ended.mistakes
    assert "fault.intended" not in names_of(folder)


def test_a_hypothesis_that_fails_after_is_a_mistake(play: Play, target: FolderTarget) -> None:
    document = experiment()
    document["method"].append(
        {
            "type": "action",
            "name": "break something else",
            "provider": {
                "type": "process",
                "path": "mv",
                "arguments": [str(target.folder / "api-0"), str(target.folder / "api-0.broken")],
                "timeout": 5,
            },
        }
    )
    ended = play(document)
    assert ended.deviated
    assert any("not met after" in mistake for mistake in ended.mistakes)


def process(name: str, code: str, timeout: float = 5) -> dict[str, Any]:
    provider = {"type": "process", "path": sys.executable, "arguments": ["-c", code], "timeout": timeout}
    return {"type": "action", "name": name, "provider": provider}


@pytest.mark.parametrize(
    ("extra", "told"),
    [
        (process("exits 3", "raise SystemExit(3)"), "status 3"),
        (process("hangs", "import time; time.sleep(60)", timeout=0.3), "took too long"),
        (probe("says false", "http_ok", url="http://127.0.0.1:9/", timeout="100ms"), "said False"),
    ],
    ids=["exit 3", "time-out", "false probe"],
)
def test_what_chaos_toolkit_calls_a_success(play: Play, extra: dict[str, Any], told: str) -> None:
    document = experiment()
    document["method"].append(extra)
    ended = play(document)
    assert ended.status == "completed"
    assert not ended.deviated
    assert any(told in mistake for mistake in ended.mistakes), ended.mistakes


def test_one_that_takes_too_long_is_ended_and_rolled_back(play: Play, folder: RunFolder, target: FolderTarget) -> None:
    document = experiment()
    document["method"].insert(2, process("hangs", "import time; time.sleep(60)", timeout=120))
    ended = play(document, timeout_s=4.0)
    assert "ended by the harness after 4 s" in ended.mistakes
    assert target.ready() == []
    assert undo.pending(folder) == ()
    assert [event.expected for event in log.read(folder.journal) if isinstance(event, ChildEnded)] == [True]


def test_one_that_is_stopped_in_a_probe_is_rolled_back(
    folder: RunFolder, target: FolderTarget, edge: str, write: Callable[[dict[str, Any]], Path]
) -> None:
    """SIGTERM would be swallowed here and the experiment would go on; SIGINT is sent first."""
    document = experiment()
    document["method"].insert(2, probe("stays", "holds", fault=FAKE, over="100s"))
    run = ExperimentRun("x#1", write(document), target.reference, edge, 7, 1, 60.0)
    running = runner.start(folder, run)
    while not any(isinstance(event, FaultLanded) for event in log.read(folder.journal)):
        time.sleep(0.05)
    ended = running.stop("a guard ended the run")
    assert ended.status == "interrupted"
    assert ended.mistakes[0] == "a guard ended the run"
    assert target.ready() == []
    assert undo.pending(folder) == ()
    assert running.stop("again") == ended


def test_one_that_is_killed_leaves_no_journal_and_is_a_mistake(
    folder: RunFolder, target: FolderTarget, edge: str, write: Callable[[dict[str, Any]], Path]
) -> None:
    run = ExperimentRun("x#1", write(experiment(takes="30s")), target.reference, edge, 7, 1, 30.0)
    running = runner.start(folder, run)
    while not target.ready():
        time.sleep(0.05)
    running.child.popen.kill()
    running.child.popen.wait()
    ended = running.poll()
    assert ended is not None
    assert "Chaos Toolkit left no journal" in ended.mistakes
    assert len(undo.pending(folder)) == 1


def test_the_same_fault_is_not_made_twice_at_once(play: Play, target: FolderTarget) -> None:
    document = experiment()
    document["method"].insert(1, action("break again", "inject", fault=FAKE, parameters={"service": "store"}))
    assert any("is already active" in mistake for mistake in play(document).mistakes)
