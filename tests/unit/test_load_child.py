"""A load child: told apart how it ended, and always ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from harness import proc
from harness.journal import log
from harness.journal.layout import RunFolder
from harness.load.child import Child
from harness.load.order import RECORD_LOST
from harness.model.events import ChildEnded, ChildStarted
from harness.ports import Process

HEADER = """
import os, signal, subprocess, sys, time
from pathlib import Path
from harness.load.order import Status, write_status
def tell(**more): write_status(Path("status.json"), Status(origin_ns=5, **more))
"""


def child_of(tmp_path, body, drain_s=0.2):
    program = HEADER + textwrap.dedent(body)
    output, status = tmp_path / "logs" / "load.log", tmp_path / "status.json"
    argv, folder = [sys.executable, "-c", program], RunFolder(tmp_path)
    return Child("load", argv, folder, env={}, cwd=tmp_path, log=output, status=status, drain_s=drain_s)


def ended(child):
    deadline = time.monotonic() + 20
    while child.poll().alive and time.monotonic() < deadline:
        time.sleep(0.02)
    return child.poll()


def until(condition):
    deadline = time.monotonic() + 20
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)


def test_before_it_starts_it_is_not_alive(tmp_path):
    child = child_of(tmp_path, "")
    assert (child.poll().alive, child.origin_ns(), child.stopped_ns(), child.pid) == (False, None, None, None)
    assert child.stop().alive is False


def test_its_status_is_its_progress(tmp_path):
    child = child_of(tmp_path, "tell(scheduled=7, recorded=6, in_flight=1, late_p99_ms=0.5, cpu=0.1); time.sleep(60)")
    child.start()
    until(lambda: child.origin_ns() is not None)
    state = child.poll()
    assert (state.alive, state.scheduled, state.recorded, state.in_flight) == (True, 7, 6, 1)
    assert (state.late_p99_ms, state.cpu, state.problem) == (0.5, 0.1, "")
    assert (child.origin_ns(), child.stopped_ns()) == (5, None)
    child.stop()


def test_a_child_that_did_all_it_should_has_no_problem(tmp_path):
    child = child_of(tmp_path, "tell(scheduled=2, recorded=2, until_ns=9, done=True)")
    child.start()
    assert (ended(child).exit_code, child.stop().problem, child.stopped_ns()) == (0, "", 9)


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("sys.exit('no such thing')", "the load ended with exit code 1: no such thing"),
        (f"sys.exit({RECORD_LOST})", "the load could not write its record (disk full?)"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "the load was killed by signal 9: it said nothing"),
        ("tell(scheduled=2, recorded=2)", "the load ended with exit code 0 without closing its record"),
        ("tell(scheduled=3, recorded=2, done=True)", "the load recorded 2 of 3 arrivals"),
        ("tell(problem='no platform', done=True); sys.exit(1)", "the load: no platform"),
        ("tell(mistakes=2, mistake='x', done=True)", "the load made 2 mistakes of its own, the first: x"),
    ],
)
def test_how_it_failed_is_said_in_words(tmp_path, body, problem):
    child = child_of(tmp_path, body)
    child.start()
    ended(child)
    assert child.stop().problem == problem
    assert child.stop() == child.poll()


def test_stop_asks_first(tmp_path):
    body = """
    def end(*_):
        tell(scheduled=1, recorded=1, done=True)
        sys.exit(0)
    signal.signal(signal.SIGINT, end)
    tell()
    time.sleep(60)
    """
    child = child_of(tmp_path, body)
    child.start()
    until(lambda: child.origin_ns() is not None)
    state = child.stop()
    assert (state.exit_code, state.problem) == (0, "")


def test_stop_ends_a_child_that_does_not_listen_and_its_whole_group(tmp_path):
    body = """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    other = subprocess.Popen(["sleep", "60"])
    Path("other.pid").write_text(str(other.pid))
    tell()
    time.sleep(60)
    """
    child = child_of(tmp_path, body, drain_s=-2.9)  # patience of a tenth of a second
    child.start()
    until(lambda: child.origin_ns() is not None)
    state = child.stop()
    assert (state.exit_code, state.problem) == (-signal.SIGKILL, "the load was killed by signal 9: it said nothing")
    other = int((tmp_path / "other.pid").read_text())
    until(lambda: not running(other))
    assert not running(other)


def running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_it_runs_in_a_session_of_its_own(tmp_path):
    child = child_of(tmp_path, "tell(); time.sleep(60)")
    child.start()
    until(lambda: child.origin_ns() is not None)
    assert os.getsid(child.pid) == child.pid
    child.stop()


def test_the_status_of_an_earlier_run_is_not_taken_for_this_one(tmp_path):
    (tmp_path / "status.json").write_text('{"origin_ns": 1}')
    child = child_of(tmp_path, "time.sleep(60)")
    child.start()
    assert child.origin_ns() is None
    child.stop()


def journalled(tmp_path, kind):
    return [event for event in log.read(RunFolder(tmp_path).journal) if isinstance(event, kind)]


@pytest.mark.parametrize(
    ("body", "code", "expected"),
    [
        ("tell(done=True)", 0, True),
        ("os.kill(os.getpid(), signal.SIGKILL)", -9, False),
        ("sys.exit(3)", 3, False),
    ],
)
def test_an_end_of_its_own_is_journalled_as_what_it_is(tmp_path, body, code, expected):
    child = child_of(tmp_path, body)
    child.start()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    child.stop()  # the first to look; that it stops what is gone already does not make the end a wanted one
    (started,), (end,) = journalled(tmp_path, ChildStarted), journalled(tmp_path, ChildEnded)
    assert started.name == end.name == "load"
    assert (end.child_pid, end.code, end.expected) == (child.pid, code, expected)


def test_an_end_that_was_asked_for_is_expected(tmp_path):
    child = child_of(tmp_path, "tell(); time.sleep(60)")
    child.start()
    until(lambda: child.origin_ns() is not None)
    child.stop()
    child.stop()
    assert [end.expected for end in journalled(tmp_path, ChildEnded)] == [True]


def test_whoever_took_the_number_of_a_group_that_is_gone_is_left_alone(tmp_path):
    """The child is gone and reaped; a process that is not of the run leads the session with its number."""
    child = child_of(tmp_path, "tell(done=True)")
    child.start()
    ended(child)
    stranger = subprocess.Popen(["sleep", "60"], start_new_session=True, env={})
    try:
        # What a recycled number looks like from here: the same pid, another process (its start time differs).
        child._child.process = Process(stranger.pid, proc.identify(stranger.pid).start_time - 1)
        child.stop()
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()
