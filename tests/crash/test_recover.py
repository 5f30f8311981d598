"""Cleaning up from cold: children, faults, platform; twice, at once, killed in the middle, and not to be proven."""

from __future__ import annotations

import fcntl
import json
import multiprocessing
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from harness import children, proc
from harness.chaos import lifecycle, undo
from harness.chaos.attach import attach
from harness.chaos.lifecycle import Session
from harness.errors import EXIT_NOT_CLEAN, BadInput, CleanUpNotProven, TargetError
from harness.journal import log
from harness.journal.layout import RunFolder
from harness.model.events import FaultGone, Problem, Recovered, RunClosed, RunOpened
from harness.ports import Process
from harness.run import watchdog
from harness.run.recover import Patience, note_target, recover
from harness.testing import fake_fault
from harness.testing.experiments import FAKE
from harness.testing.folder_target import FolderTarget

SLEEP = [sys.executable, "-c", "import time; time.sleep(120)"]
# A child that starts one of its own in another session, and ignores what asks it to end.
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, subprocess, sys, time\n"
    "for n in (signal.SIGINT, signal.SIGTERM): signal.signal(n, signal.SIG_IGN)\n"
    "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(120)'], start_new_session=True)\n"
    "time.sleep(120)",
]


def break_store(folder: RunFolder, target: FolderTarget, **parameters: Any) -> None:
    session = Session(folder, "x#1", target.reference, attach)
    lifecycle.inject(session, FAKE, FAKE, {"service": "store", **parameters}, 1, 60)


def until(condition: Any, seconds: float = 15) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "did not come in time"
        time.sleep(0.02)


def test_nothing_left_is_clean_and_writes_nothing(folder: RunFolder) -> None:
    assert recover(folder, by="test").clean
    assert not folder.journal.exists()


def test_a_sealed_run_is_left_alone(folder: RunFolder) -> None:
    folder.undo.rmdir()
    folder.work.rmdir()
    assert recover(folder, by="test") == Recovered(by="test", undone=(), ended=(), clean=True)


def test_a_fault_is_lifted_and_seen_gone_once(folder: RunFolder, target: FolderTarget) -> None:
    break_store(folder, target)
    note_target(folder, target.reference, owned=False)
    assert recover(folder, by="test").undone == (f"x#1/{FAKE}",)
    assert target.ready() == []
    assert recover(folder, by="again").undone == ()
    events = log.read(folder.journal)
    assert [event.by for event in events if isinstance(event, FaultGone)] == ["test"]
    assert [event.by for event in events if isinstance(event, Recovered)] == ["test"]


def test_a_fault_that_does_not_go_is_told_and_kept(folder: RunFolder, target: FolderTarget) -> None:
    break_store(folder, target, goes=False)
    with pytest.raises(CleanUpNotProven, match="not seen gone"):
        recover(folder, by="test", patience=Patience(gone_s=0.2))
    assert len(undo.pending(folder)) == 1
    assert [event.clean for event in log.read(folder.journal) if isinstance(event, Recovered)] == [False]


def test_an_unreadable_token_is_never_clean(folder: RunFolder) -> None:
    (folder.undo / "x.json").write_text("{")
    with pytest.raises(CleanUpNotProven, match="cannot be read"):
        recover(folder, by="test")


def test_one_that_cannot_be_undone_does_not_keep_the_others_from_it(folder: RunFolder, target: FolderTarget) -> None:
    break_store(folder, target)
    (token,) = undo.pending(folder)
    undo.write(folder, token.model_copy(update={"fault": "y#1/unknown", "kind": "unknown"}))
    undo.write(folder, token.model_copy(update={"fault": "z#1/elsewhere", "target": "mars:x"}))
    (folder.undo / "torn.json").write_text("{")
    (folder.work / "target.json").write_text("{")
    with pytest.raises(CleanUpNotProven) as told:
        recover(folder, by="test")
    for doubt in ("no fault is of kind 'unknown'", "no kind of target is called 'mars'", "torn.json", "target.json"):
        assert doubt in str(told.value)
    assert target.ready() == []
    (recovered,) = [event for event in log.read(folder.journal) if isinstance(event, Recovered)]
    assert (recovered.undone, recovered.clean) == ((f"x#1/{FAKE}",), False)


def test_a_journal_that_cannot_be_read_does_not_keep_anything_from_it(folder: RunFolder, target: FolderTarget) -> None:
    break_store(folder, target)
    children.start(folder, "load", SLEEP)
    folder.journal.unlink()
    folder.journal.mkdir()
    with pytest.raises(CleanUpNotProven, match="IsADirectoryError"):
        recover(folder, by="test")
    assert target.ready() == []
    assert children.leftovers(folder) == {}


FULL = """
import resource, sys
from pathlib import Path
from harness.errors import CleanUpNotProven
from harness.journal.layout import RunFolder
from harness.run.recover import recover
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))  # no file can grow any more
try:
    recover(RunFolder(Path(sys.argv[1])), by="test")
except CleanUpNotProven as doubts:
    print(doubts)
"""


def test_a_full_disk_does_not_keep_a_fault_from_being_lifted(folder: RunFolder, target: FolderTarget) -> None:
    break_store(folder, target)
    done = subprocess.run([sys.executable, "-c", FULL, str(folder.root)], capture_output=True, text=True, check=True)
    assert "File too large" in done.stdout
    assert target.ready() == []
    assert recover(folder, by="later").undone == (f"x#1/{FAKE}",)


def test_a_run_under_way_is_refused(folder: RunFolder, target: FolderTarget) -> None:
    break_store(folder, target)
    opened = RunOpened(
        run_id="r", scenario="s", user="u", host="h", version="1", commit="", seed=1, python="3", machine="m", argv=()
    )
    going_on = subprocess.Popen(SLEEP)
    try:
        line = log.append(folder.journal, opened).model_copy(update={"pid": going_on.pid})
        folder.journal.write_text(line.model_dump_json() + "\n")
        with pytest.raises(BadInput, match="still carried out"):
            recover(folder, by="test")
        assert target.ready() == ["store-0"]
        older = line.model_copy(update={"mono_ns": line.mono_ns - 3_600_000_000_000})
        folder.journal.write_text(older.model_dump_json() + "\n")  # its pid is somebody else's by now
        assert recover(folder, by="test").clean
    finally:
        going_on.kill()
        going_on.wait()


def test_a_platform_of_the_run_goes_down_and_takes_its_faults_along(folder: RunFolder, target: FolderTarget) -> None:
    break_store(folder, target, goes=False)
    note_target(folder, target.reference, owned=True)
    done = recover(folder, by="test")
    assert done.undone == (f"x#1/{FAKE}", f"platform {target.reference}")
    assert (target.folder / "down").exists()
    assert undo.pending(folder) == ()
    assert recover(folder, by="again").undone == ()


def test_a_fault_that_outlives_its_platform_keeps_it_up_until_it_is_lifted(
    folder: RunFolder, target: FolderTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise TargetError("the node does not start")

    monkeypatch.setattr(fake_fault, "OUTLIVES_PLATFORM", True, raising=False)
    break_store(folder, target)
    note_target(folder, target.reference, owned=True)
    with monkeypatch.context() as broken:
        broken.setattr(fake_fault, "recover", refused)
        with pytest.raises(CleanUpNotProven, match="the node does not start"):
            recover(folder, by="test")
    assert not (target.folder / "down").exists()
    assert [token.kind for token in undo.pending(folder)] == [FAKE]
    assert recover(folder, by="again").undone == (f"x#1/{FAKE}", f"platform {target.reference}")
    assert (target.folder / "down").exists()


def as_before(folder: RunFolder) -> None:
    """The one token, as versions wrote it that did not keep whether its fault outlives the platform."""
    (file,) = undo.files(folder)
    token = json.loads(file.read_text())
    del token["outlives"]
    file.write_text(json.dumps(token))


def test_a_token_that_does_not_say_whether_it_outlives_its_platform_is_asked_anew(
    folder: RunFolder, target: FolderTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_store(folder, target)
    as_before(folder)
    note_target(folder, target.reference, owned=True)
    monkeypatch.setattr(fake_fault, "OUTLIVES_PLATFORM", True, raising=False)
    with monkeypatch.context() as broken:
        broken.setattr(fake_fault, "recover", lambda *_: 1 / 0)
        with pytest.raises(CleanUpNotProven, match="division by zero"):
            recover(folder, by="test")
        assert not (target.folder / "down").exists()
        broken.setattr(FolderTarget, "goes_with_cluster", True, raising=False)
        assert recover(folder, by="again").clean
    (gone,) = [event for event in log.read(folder.journal) if isinstance(event, FaultGone)]
    assert gone.observer == "the platform is down"
    assert (target.folder / "down").exists()


@pytest.mark.parametrize("outlives", [True, False])
def test_of_a_platform_that_is_gone_such_a_token_is_a_doubt_unless_its_kind_goes_along(
    folder: RunFolder, target: FolderTarget, monkeypatch: pytest.MonkeyPatch, outlives: bool
) -> None:
    break_store(folder, target)
    as_before(folder)
    note_target(folder, target.reference, owned=True)
    target.folder.rename(target.folder.with_name("elsewhere"))
    monkeypatch.setattr(fake_fault, "OUTLIVES_PLATFORM", outlives, raising=False)
    if outlives:
        with pytest.raises(CleanUpNotProven, match="not undone"):
            recover(folder, by="test")
    else:
        assert recover(folder, by="test").clean
    assert len(undo.pending(folder)) == outlives


def test_a_platform_that_was_up_stays_up_and_must_be_ready(folder: RunFolder, target: FolderTarget) -> None:
    note_target(folder, target.reference, owned=False)
    assert recover(folder, by="test").clean
    assert not (target.folder / "down").exists()
    target.break_instance("api-1")
    with pytest.raises(CleanUpNotProven, match=r"not ready.*api-1"):
        recover(folder, by="test", patience=Patience(ready_s=0.2))


@pytest.mark.parametrize("owned", [True, False])
def test_a_platform_that_is_gone_has_no_faults(folder: RunFolder, target: FolderTarget, owned: bool) -> None:
    break_store(folder, target)
    note_target(folder, target.reference, owned=owned)
    target.folder.rename(target.folder.with_name("elsewhere"))
    assert recover(folder, by="test").clean
    assert undo.pending(folder) == ()


@pytest.mark.parametrize("owned", [True, False])
def test_one_that_outlives_a_platform_that_is_gone_is_not_told_as_gone(
    folder: RunFolder, target: FolderTarget, monkeypatch: pytest.MonkeyPatch, owned: bool
) -> None:
    monkeypatch.setattr(fake_fault, "OUTLIVES_PLATFORM", True, raising=False)
    monkeypatch.setattr(fake_fault, "by_hand", lambda *_: "mend the store", raising=False)
    break_store(folder, target)
    note_target(folder, target.reference, owned=owned)
    target.folder.rename(target.folder.with_name("elsewhere"))
    for by in ("test", "again"):
        with pytest.raises(CleanUpNotProven, match=r"fix: mend the store; then remove .*undo") as told:
            recover(folder, by=by)
        assert told.value.exit_code == EXIT_NOT_CLEAN
    assert [event for event in log.read(folder.journal) if isinstance(event, FaultGone)] == []
    (token,) = undo.pending(folder)
    undo.file_of(folder, token.fault).unlink()  # as told, by the user who has mended it
    assert recover(folder, by="user").clean


def test_all_children_are_ended_and_nobody_else(folder: RunFolder) -> None:
    other = RunFolder(folder.root.parent / "run-2")
    other.logs.mkdir(parents=True)
    stranger = children.start(other, "stranger", SLEEP)
    try:
        children.start(folder, "stubborn", STUBBORN)
        until(lambda: len(children.leftovers(folder)) == 2)
        done = recover(folder, by="test")
        assert len(done.ended) == 2
        assert "stubborn" in done.ended
        assert children.leftovers(folder) == {}
        assert proc.is_running(stranger.process)
    finally:
        stranger.end(children.AT_ONCE)


def test_a_recycled_pid_is_not_ended(folder: RunFolder) -> None:
    """The journal names a pid that somebody else has by now: another start time."""
    victim = subprocess.Popen(SLEEP)
    try:
        line = {"event": "child.started", "name": "locust", "child_pid": victim.pid, "started_at": 1.0}
        folder.journal.write_text(json.dumps(line) + "\n")
        assert recover(folder, by="test").ended == ()
        assert victim.poll() is None
    finally:
        victim.kill()
        victim.wait()


def test_two_at_once_do_not_collide(folder: RunFolder, target: FolderTarget) -> None:
    break_store(folder, target, undo_takes="300ms")
    note_target(folder, target.reference, owned=False)
    spawn = multiprocessing.get_context("spawn")
    helpers = [spawn.Process(target=_recover, args=(str(folder.root), f"helper {n}")) for n in range(3)]
    for helper in helpers:
        helper.start()
    for helper in helpers:
        helper.join(30)
    assert [helper.exitcode for helper in helpers] == [0, 0, 0]
    assert len([event for event in log.read(folder.journal) if isinstance(event, FaultGone)]) == 1


def is_locked(folder: RunFolder) -> bool:
    descriptor = os.open(folder.work, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _recover(root: str, by: str) -> None:
    recover(RunFolder(Path(root)), by=by)


def test_killed_in_the_middle_it_is_repeated(folder: RunFolder, target: FolderTarget) -> None:
    break_store(folder, target, undo_takes="5s")
    note_target(folder, target.reference, owned=False)
    spawn = multiprocessing.get_context("spawn")
    first = spawn.Process(target=_recover, args=(str(folder.root), "first"))
    first.start()
    until(lambda: is_locked(folder))
    first.kill()
    first.join()
    assert target.ready() == ["store-0"]
    token = undo.pending(folder)[0]
    undo.write(folder, token.model_copy(update={"parameters": {"service": "store"}}))
    assert recover(folder, by="second").undone == (token.fault,)
    assert target.ready() == []


HARNESS = """
import os, sys, time
from pathlib import Path
from harness import children
from harness.chaos import lifecycle
from harness.chaos.attach import attach
from harness.journal import log
from harness.journal.layout import RunFolder
from harness.model.events import RunClosed
from harness.run.recover import note_target
from harness.run.watchdog import start_watchdog
folder, reference, close = RunFolder(Path(sys.argv[1])), sys.argv[2], sys.argv[3] == "close"
note_target(folder, reference, owned=False)
watchdog = start_watchdog(folder)
children.start(folder, "load", [sys.executable, "-c", "import time; time.sleep(120)"])
kind = "harness.testing.fake_fault"
lifecycle.inject(lifecycle.Session(folder, "x#1", reference, attach), kind, kind, {"service": "store"}, 1, 60)
if close:
    log.append(folder.journal, RunClosed(reason="test", clean=True))
print(watchdog.pid, flush=True)
time.sleep(120)
"""


def stand_in(folder: RunFolder, target: FolderTarget, how: str) -> tuple[subprocess.Popen[str], int]:
    """A harness in the middle of a fault, and its watchdog's pid."""
    harness = subprocess.Popen(
        [sys.executable, "-c", HARNESS, str(folder.root), target.reference, how],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert harness.stdout is not None
    return harness, int(harness.stdout.readline())


def test_the_watchdog_lifts_the_fault_of_a_killed_harness(folder: RunFolder, target: FolderTarget) -> None:
    harness, guard = stand_in(folder, target, "open")
    assert target.ready() == ["store-0"]
    killed = time.monotonic()
    os.killpg(harness.pid, 9)
    harness.wait()
    until(lambda: target.ready() == [], 10)
    assert time.monotonic() - killed < 10
    until(lambda: proc.identify(guard) is None)
    assert children.leftovers(folder) == {}
    recovered = [event for event in log.read(folder.journal) if isinstance(event, Recovered)]
    assert [(event.by, event.clean, event.ended) for event in recovered] == [("watchdog", True, ("load",))]
    assert recover(folder, by="user").undone == ()


def test_without_a_watchdog_recover_does_it_from_cold(folder: RunFolder, target: FolderTarget) -> None:
    harness, guard = stand_in(folder, target, "open")
    os.kill(guard, 9)
    os.killpg(harness.pid, 9)
    harness.wait()
    until(lambda: proc.identify(guard) is None)
    assert target.ready() == ["store-0"]
    assert len(children.leftovers(folder)) == 1
    done = recover(folder, by="user")
    assert (done.clean, done.undone, done.ended) == (True, (f"x#1/{FAKE}",), ("load",))


def test_the_watchdog_leaves_when_the_run_is_closed(folder: RunFolder, target: FolderTarget) -> None:
    harness, guard = stand_in(folder, target, "close")
    until(lambda: proc.identify(guard) is None)
    assert target.ready() == ["store-0"], "a closed run is not touched"
    os.killpg(harness.pid, 9)
    harness.wait()
    children.end_all(folder)
    assert not [event for event in log.read(folder.journal) if isinstance(event, Recovered)]


def test_a_watchdog_over_a_run_of_this_process(folder: RunFolder, target: FolderTarget) -> None:
    break_store(folder, target)
    guard = watchdog.start_watchdog(folder)
    assert guard.poll() is None
    log.append(folder.journal, RunClosed(reason="test", clean=True))
    assert guard.wait(10) == 0
    assert target.ready() == ["store-0"]


def test_a_watchdog_that_comes_too_late_acts_at_once(folder: RunFolder, target: FolderTarget) -> None:
    break_store(folder, target)
    dead = subprocess.Popen(["true"])
    dead.wait()
    assert watchdog.start_watchdog(folder, Process(dead.pid, 1)).wait(20) == 0
    assert target.ready() == []


def test_a_watchdog_that_does_not_come_up_is_told(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(TargetError, match="watchdog does not come up"):
        watchdog.start_watchdog(folder)


def test_signals_of_the_terminal_do_not_reach_the_watchdog(folder: RunFolder, target: FolderTarget) -> None:
    harness, guard = stand_in(folder, target, "open")
    assert os.getsid(guard) == guard != harness.pid
    for number in (2, 1, 3):
        os.kill(guard, number)
    time.sleep(0.2)
    assert proc.identify(guard) is not None
    os.killpg(harness.pid, 9)
    harness.wait()
    until(lambda: proc.identify(guard) is None)
    assert target.ready() == []


def test_a_watchdog_that_cannot_recover_says_so(folder: RunFolder) -> None:
    (folder.undo / "x.json").write_text("{")
    assert watchdog.clean_up(folder, attempts=1, pause_s=0) == 22
    assert [event.where for event in log.read(folder.journal) if isinstance(event, Problem)] == ["watchdog"]


def test_closed_is_seen_at_the_end_of_a_long_journal(folder: RunFolder) -> None:
    for _ in range(50):
        log.append(folder.journal, Problem(where="x", text="y" * 5000))
    assert not watchdog.is_closed(folder)
    log.append(folder.journal, Problem(where="x", text='the words "event":"run.closed" in a text'))
    assert not watchdog.is_closed(folder)
    log.append(folder.journal, RunClosed(reason="test", clean=True))
    assert watchdog.is_closed(folder)
