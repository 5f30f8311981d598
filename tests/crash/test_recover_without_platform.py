"""A platform's folder is deleted while a fault is active that outlives the platform: on a cluster in memory."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from harness.chaos import lifecycle, undo
from harness.chaos.attach import attach
from harness.chaos.lifecycle import Session
from harness.errors import CleanUpNotProven
from harness.journal import log
from harness.journal.layout import RunFolder
from harness.model.events import FaultGone
from harness.run.prepare import Choices, prepare
from harness.run.recover import note_target, recover
from harness.targets.probe import Answer
from harness.testing.fake_bed import FakeBed
from tests.crash import served_cluster
from tests.crash.served_cluster import ServedTarget
from tests.e2e.kind.small import CLUSTER, scenario

WHERE = {"service": "app", "region": "west"}


@dataclass(frozen=True)
class World:
    """A platform that is up on a cluster, the run that brought it up, and a folder with a file for each node that is
    off."""

    bed: FakeBed
    target: ServedTarget
    folder: RunFolder
    off: Path

    def inject(self, kind: str) -> None:
        session = Session(self.folder, "x#1", self.target.reference, attach)
        lifecycle.inject(session, kind, kind, WHERE, 9, 60)

    def held(self) -> list[str]:
        """Nodes that a fault has hold of."""
        nodes = self.bed.list("v1/Node")
        cordoned = [each["metadata"]["name"] for each in nodes if each["spec"].get("unschedulable")]
        return [*cordoned, *(file.name for file in self.off.iterdir())]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    bed = FakeBed(lambda _pod, _port, _method, path, _body: Answer(200, {}, json.dumps({"path": path})))
    bed.list("v1/Node")  # its controllers have acted once
    off = tmp_path / "off"
    nodes = {"off": ["env", f"--chdir={off}", "touch"], "on": ["env", f"--chdir={off}", "rm", "-f"]}
    cluster: dict[str, Any] = {"context": "fake", "manifests": str(CLUSTER / "manifests.yaml"), "nodes": nodes}
    folder = RunFolder(tmp_path / "run-1")
    for path in (folder.root, folder.work, folder.undo, off):
        path.mkdir()
    with served_cluster.edge() as edge, served_cluster.served(bed, tmp_path / "state"):
        prepared = prepare(scenario(tmp_path, {**cluster, "endpoints": {"edge": edge}}), Choices())
        assert prepared.files.cluster is not None
        target = served_cluster.target(prepared.platform, prepared.files.cluster, tmp_path / "state")
        note_target(folder, target.reference, owned=True)
        target.up(prepared.plan.release, lambda event: event)
        yield World(bed, target, folder, off)


@pytest.mark.parametrize("kind", ["node_drain", "node_loss"])
def test_it_is_undone_by_what_was_kept_and_the_platform_goes_down(world: World, kind: str) -> None:
    world.inject(kind)
    assert world.held(), "the fault is made"
    shutil.rmtree(world.target.folder.root.parent)  # as a restart of the machine does to what lies in /tmp
    done = recover(world.folder, by="test")
    assert (done.clean, done.undone) == (True, (f"x#1/{kind}", f"platform {world.target.reference}"))
    assert world.held() == []
    assert world.bed.list("v1/Pod", "small") == []
    assert recover(world.folder, by="again").undone == ()


@pytest.mark.parametrize(("kind", "fix"), [("node_drain", "kubectl uncordon"), ("node_loss", "switch node")])
def test_without_what_was_kept_it_is_told_and_how_to_undo_it(world: World, kind: str, fix: str) -> None:
    world.inject(kind)
    shutil.rmtree(world.target.folder.root)
    shutil.rmtree(world.folder.kept)
    with pytest.raises(CleanUpNotProven, match=fix) as told:
        recover(world.folder, by="test")
    (node,) = world.held()
    assert node in str(told.value)
    assert [event for event in log.read(world.folder.journal) if isinstance(event, FaultGone)] == []
    assert len(undo.pending(world.folder)) == 1


def test_what_was_kept_holds_no_secret_and_is_for_us_alone(world: World) -> None:
    world.inject("node_loss")
    (file,) = [path for path in world.folder.kept.rglob("*") if path.is_file()]
    assert file.read_bytes() == world.target.folder.state.read_bytes()
    assert file.stat().st_mode & 0o077 == 0


def test_a_folder_that_is_there_is_not_replaced(world: World) -> None:
    world.inject("node_loss")
    newer = world.target.folder.state.read_text().replace('"up"', '"failed"')
    world.target.folder.state.write_text(newer)
    world.target.put_back(world.folder.kept)
    assert world.target.folder.state.read_text() == newer
