"""Children in sessions of their own: marked, recorded, ended for certain with all that they started."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from harness import children, proc
from harness.errors import TargetError
from harness.journal import log
from harness.journal.layout import RunFolder
from harness.model.events import ChildEnded, ChildStarted
from harness.ports import Process

SLEEP = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)"]
FAMILY = [
    sys.executable,
    "-c",
    "import signal, subprocess, sys, time\n"
    "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
    "print('up', flush=True)\n"
    "time.sleep(60)",
]
DEAF = [
    sys.executable,
    "-c",
    "import signal, time\n"
    "for n in (signal.SIGINT, signal.SIGTERM): signal.signal(n, signal.SIG_IGN)\n"
    "print('up', flush=True)\n"
    "time.sleep(60)",
]
QUICKLY: children.Steps = ((signal.SIGINT, 0.2), (signal.SIGTERM, 0.2), (signal.SIGKILL, 5.0))


def until(condition: Callable[[], bool], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "did not come in time"
        time.sleep(0.01)


def up(folder: RunFolder, name: str = "child") -> None:
    until(lambda: (folder.logs / f"{name}.log").read_text().startswith("up"))


def ends(folder: RunFolder) -> list[tuple[int | None, bool]]:
    return [(event.code, event.expected) for event in log.read(folder.journal) if isinstance(event, ChildEnded)]


def test_a_child_is_alone_in_its_session_marked_and_recorded(folder: RunFolder) -> None:
    child = children.start(folder, "child", SLEEP, env={"COLOUR": "red"})
    try:
        up(folder)
        assert os.getsid(child.process.pid) == child.process.pid != os.getsid(0)
        environment = proc.environment(child.process.pid)
        assert environment[children.MARK] == str(folder.root)
        assert environment["COLOUR"] == "red"
        (started,) = [event for event in log.read(folder.journal) if isinstance(event, ChildStarted)]
        assert (started.name, started.child_pid) == ("child", child.process.pid)
        assert child.poll() is None
        assert child.wait(0.01) is None
    finally:
        child.end(children.AT_ONCE)


def test_an_end_is_recorded_once_and_says_whether_it_was_meant(folder: RunFolder) -> None:
    child = children.start(folder, "child", [sys.executable, "-c", "raise SystemExit(3)"])
    assert child.wait(10) == 3
    assert child.poll() == 3
    assert child.end() == 3
    assert ends(folder) == [(3, False)]


def test_ending_is_gentle_first_and_certain_last(folder: RunFolder) -> None:
    gentle = children.start(folder, "gentle", SLEEP)
    up(folder, "gentle")
    assert gentle.end(QUICKLY) in (1, 130, -2)
    deaf = children.start(folder, "deaf", DEAF)
    up(folder, "deaf")
    assert deaf.end(QUICKLY) == -9
    assert [expected for _, expected in ends(folder)] == [True, True]


@pytest.mark.parametrize("leader_first", [False, True])
def test_its_own_children_end_with_it_even_when_it_went_first(folder: RunFolder, leader_first: bool) -> None:
    child = children.start(folder, "child", FAMILY)
    up(folder)
    until(lambda: len(proc.in_session(child.process.pid)) == 2)
    if leader_first:
        child.popen.kill()
        child.popen.wait()
    child.end(QUICKLY)
    assert proc.in_session(child.process.pid) == []
    assert children.leftovers(folder) == {}


def test_what_ended_is_not_looked_for_again(folder: RunFolder) -> None:
    child = children.start(folder, "child", SLEEP)
    assert [name for name, _ in children.recorded(folder)] == ["child"]
    child.end(children.AT_ONCE)
    assert list(children.recorded(folder)) == []


def test_a_missing_program_is_told(folder: RunFolder) -> None:
    with pytest.raises(TargetError, match="/nowhere/at/all cannot be started: No such file"):
        children.start(folder, "child", ["/nowhere/at/all"])


def test_the_watchdog_and_the_caller_are_spared(folder: RunFolder) -> None:
    environment = {**os.environ, children.MARK: children.run_id(folder), children.WATCHDOG_MARK: "1"}
    watchdog = subprocess.Popen(SLEEP, env=environment, stdout=subprocess.PIPE)
    try:
        assert watchdog.stdout is not None
        watchdog.stdout.readline()
        assert children.leftovers(folder) == {}
    finally:
        watchdog.kill()
        watchdog.communicate()


def test_only_this_very_process_is_signalled() -> None:
    victim = subprocess.Popen(SLEEP, stdout=subprocess.DEVNULL)
    try:
        real = proc.identify(victim.pid)
        assert real is not None
        assert not children.send(Process(real.pid, real.start_time - 1), signal.SIGKILL)
        assert proc.is_running(real)
        assert children.send(real, signal.SIGKILL)
        victim.wait()
        assert not children.send(real, signal.SIGKILL)
        assert proc.identify(victim.pid) is None
        assert proc.state(real) == ""
    finally:
        victim.kill()
        victim.wait()


def test_a_corpse_does_not_run() -> None:
    corpse = subprocess.Popen([sys.executable, "-c", "pass"])
    until(lambda: proc.identify(corpse.pid) is None)
    assert corpse.wait() == 0


def test_listeners_are_found_by_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert [process.pid for process in proc.listeners(port)] == [os.getpid()]
        assert proc.accepts("127.0.0.1", port)
    assert proc.listeners(port) == []
    assert not proc.accepts("127.0.0.1", port)


def test_what_cannot_be_read_is_empty() -> None:
    assert proc.environment(2**22 + 1) == {}
    assert proc.command(2**22 + 1) == ""
    assert proc.parent(2**22 + 1) == 0
