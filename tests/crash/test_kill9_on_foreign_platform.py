"""kill -9 of whoever makes a fault, after each of its events, changes and commands, on a platform that is not the
run's.

Nothing takes such a platform down, so `recover` has to see that each of its instances is well: a new one where the old
one was killed, the old one where that never happened.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from harness.chaos import lifecycle, undo
from harness.chaos.attach import attach
from harness.chaos.lifecycle import Session
from harness.errors import HarnessError
from harness.journal import log
from harness.journal.layout import RunFolder
from harness.kube import agent
from harness.model.events import AnyEvent, FaultGone, FaultInjected, FaultIntended
from harness.run.prepare import Choices, prepare
from harness.run.recover import Patience, note_target, recover
from harness.targets.probe import Answer
from harness.testing.fake_bed import FakeBed
from harness.testing.plain_target import MADE
from tests.crash import served_cluster
from tests.e2e.kind.small import CLUSTER, scenario

FAULTS: dict[str, dict[str, Any]] = {
    "process_kill": {"service": "app", "region": "east"},
    "pod_delete": {"service": "app", "region": "east"},
    "region_loss": {"region": "west"},
}
MANY = 30  # more than any of them takes


@contextmanager
def platform(root: Path, edge: str) -> Iterator[tuple[FakeBed, str, RunFolder]]:
    """One that somebody else brought up, and the folder of a run on it."""
    bed = FakeBed(lambda _pod, _port, _method, path, _body: Answer(200, {}, json.dumps({"path": path})))
    folder = RunFolder(root / "run-1")
    for path in (folder.root, folder.work, folder.undo):
        path.mkdir(parents=True)
    cluster = {"context": "fake", "manifests": str(CLUSTER / "manifests.yaml"), "endpoints": {"edge": edge}}
    with served_cluster.served(bed, root / "state"):
        prepared = prepare(scenario(root, cluster), Choices())
        assert prepared.files.cluster is not None
        target = served_cluster.target(prepared.platform, prepared.files.cluster, root / "state")
        target.up(prepared.plan.release, lambda event: event)
        note_target(folder, target.reference, owned=False)
        yield bed, target.reference, folder


def make(kind: str, reference: str, folder: RunFolder, dies_after: int) -> None:
    """The whole life of a fault; this process is killed after so many steps of it."""
    left = [dies_after]
    append = log.append

    def step() -> None:
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def counted(journal: Path, event: AnyEvent, **more: Any) -> AnyEvent:
        written = append(journal, event, **more)
        step()
        return written

    log.append = counted
    served_cluster.CHANGES += ("exec",)
    served_cluster.ServedTarget.changed = staticmethod(step)
    session = Session(folder, "x#1", reference, attach)
    lifecycle.inject(session, kind, kind, FAULTS[kind], 9, 60)
    lifecycle.await_landed(session, kind, 5)
    lifecycle.recover(session, kind, 5)


def after_a_kill(kind: str, root: Path, edge: str, dies_after: int) -> tuple[list[str], bool]:
    """(what is not as promised; ["survived"] when it came to its end before, whether its fault was told as made)."""
    with platform(root, edge) as (bed, reference, folder):
        child = multiprocessing.get_context("forkserver").Process(
            target=make, args=(kind, reference, folder, dies_after)
        )
        child.start()
        child.join(60)
        wrong = ["survived"] if child.exitcode == 0 else []
        try:
            recover(folder, by="test", patience=Patience(gone_s=2, ready_s=2))
        except HarnessError as error:
            wrong.append(str(error))
        told = log.read(folder.journal)
        gone = {event.fault for event in told if isinstance(event, FaultGone) and event.gone}
        wrong += [f"{each.fault} was never seen gone" for each in told if isinstance(each, FaultIntended) and not gone]
        wrong += [f"not undone: {token.fault}" for token in undo.pending(folder)]
        wrong += [f"left: {name}" for of in MADE for name in map(_name, bed.list(of, labels=agent.MANAGED))]
        wrong += [f"not ready: {name}" for name in attach(reference).ready()]
        return wrong, any(isinstance(event, FaultInjected) for event in told)


def _name(manifest: dict[str, Any]) -> str:
    return str(manifest["metadata"]["name"])


@pytest.mark.parametrize("kind", list(FAULTS))
def test_killed_after_any_step_the_platform_is_seen_well_and_nothing_is_left(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lifecycle, "UNTOLD_S", 0.05)
    multiprocessing.get_context("forkserver").set_forkserver_preload([__name__])
    with served_cluster.edge() as edge, ThreadPoolExecutor(8) as pool:
        steps = range(1, MANY + 1)
        found = list(pool.map(lambda nth: after_a_kill(kind, tmp_path / str(nth), edge, nth), steps))
    killed = [(wrong, made) for wrong, made in found if wrong != ["survived"]]
    assert {nth: wrong for nth, (wrong, _) in enumerate(found, 1) if wrong and wrong != ["survived"]} == {}
    assert len(killed) < MANY, "some were not killed at all"
    assert {made for _, made in killed} == {True, False}, "before it was made, and after"
