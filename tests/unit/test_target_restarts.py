"""The event listener that restarts instances, beside a supervisord that only pretends."""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.errors import TargetError
from harness.targets import procfs
from harness.targets.folder import PlatformFolder
from harness.targets.restart_policy import Listener, Rule, append, dump_rules, read_lines


class Supervisord:
    """Starts `sleep` for every instance, tells the listener, and answers its calls."""

    def __init__(self, folder: PlatformFolder) -> None:
        self.folder = folder
        self.children: dict[str, subprocess.Popen[bytes]] = {}
        self.states: dict[str, str] = {}
        self.refuses: set[str] = set()
        events, self.to = os.pipe()
        answers, out = os.pipe()
        self.answers = os.fdopen(answers, "rb")
        listener = Listener(folder, self.call)
        self.thread = threading.Thread(
            target=listener.run, args=(os.fdopen(events, "rb", buffering=0), os.fdopen(out, "wb"))
        )

    def listen(self) -> None:
        """Returns when the listener has seen what there is, and waits for events."""
        self.thread.start()
        assert self.answers.readline() == b"READY\n"

    def call(self, _folder: PlatformFolder, method: str, *arguments: Any, ignore: tuple[int, ...] = ()) -> Any:
        name = arguments[0] if arguments else ""
        if name in self.refuses:
            raise TargetError("refused")
        if method == "supervisor.startProcess":
            self.spawn(name)
        if method == "supervisor.getProcessInfo":
            return {"pid": self.children[name].pid}
        if method == "supervisor.getAllProcessInfo":
            return [
                {"name": name, "pid": child.pid, "statename": self.states[name]}
                for name, child in self.children.items()
            ] + [{"name": "restart-policy", "pid": os.getpid(), "statename": "RUNNING"}]
        return None

    def spawn(self, name: str) -> None:
        self.children[name] = subprocess.Popen(["sh", "-c", "sleep 60 & exec sleep 60"], process_group=0)
        self.states[name] = "RUNNING"

    def tell(self, event: str, name: str, pid: int) -> None:
        body = f"processname:{name} groupname:{name} from_state:X expected:0 pid:{pid}"
        os.write(self.to, f"ver:3.0 eventname:PROCESS_STATE_{event} len:{len(body)}\n{body}".encode())

    def crash(self, name: str) -> int:
        child = self.children[name]
        child.kill()
        child.wait()
        with self.folder.supervisor_log.open("a") as log:
            log.write(f"WARN exited: {name} (terminated by SIGKILL; not expected)\n")
        self.states[name] = "EXITED"
        self.tell("EXITED", name, child.pid)
        return child.pid

    def lines(self, name: str) -> list[dict[str, Any]]:
        return [line for line in read_lines(self.folder) if line["instance"] == name]


@pytest.fixture
def supervisord(tmp_path: Path) -> Iterator[Supervisord]:
    folder = PlatformFolder(tmp_path)
    folder.control.mkdir()
    folder.held.mkdir()
    folder.policy.write_bytes(dump_rules({"a": Rule((0.05, 0.1), 60), "b": Rule((), 60)}))
    one = Supervisord(folder)
    yield one
    os.close(one.to)
    if one.thread.is_alive():
        one.thread.join(10)
    for child in one.children.values():
        for seen in procfs.every():
            if seen.group == child.pid:
                procfs.send(seen.pid, seen.start_time, 9)  # type: ignore[arg-type]
        child.wait()


def until(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_restarts_after_the_declared_waits_and_gives_up(supervisord: Supervisord) -> None:
    supervisord.listen()
    supervisord.spawn("a")
    supervisord.tell("RUNNING", "a", supervisord.children["a"].pid)
    assert supervisord.answers.readline() == b"RESULT 2\n"
    assert supervisord.answers.readline() == b"OKREADY\n"
    pids = []
    for attempt in (1, 2):
        pids.append(supervisord.crash("a"))
        until(lambda attempt=attempt: len([x for x in supervisord.lines("a") if x["what"] == "restarted"]) == attempt)
    pids.append(supervisord.crash("a"))
    until(lambda: supervisord.lines("a")[-1]["what"] == "gave-up")
    lines = supervisord.lines("a")
    assert [line["what"] for line in lines] == ["exited", "restarted", "exited", "restarted", "exited", "gave-up"]
    assert [line["old_pid"] for line in lines if line["what"] == "exited"] == pids
    assert {line["exit_code"] for line in lines} == {-9}
    restarts = [line for line in lines if line["what"] == "restarted"]
    assert [line["attempt"] for line in restarts] == [1, 2]
    assert restarts[0]["new_pid"] == pids[1]
    for exited, restarted, wait in ((lines[0], lines[1], 0.05), (lines[2], lines[3], 0.1)):
        assert restarted["mono_ns"] - exited["mono_ns"] >= wait * 1e9
        assert restarted["wall_ns"] > exited["wall_ns"]


def test_the_rest_of_a_group_ends_with_its_leader(supervisord: Supervisord) -> None:
    supervisord.listen()
    supervisord.spawn("a")
    leader = supervisord.children["a"].pid
    supervisord.tell("RUNNING", "a", leader)
    until(lambda: len([seen for seen in procfs.every() if seen.group == leader]) == 2)
    supervisord.crash("a")
    until(lambda: not [seen for seen in procfs.every() if seen.group == leader and seen.alive])


def test_a_held_instance_is_left_alone_even_when_a_restart_was_due(supervisord: Supervisord) -> None:
    supervisord.listen()
    supervisord.spawn("a")
    supervisord.crash("a")
    until(lambda: supervisord.lines("a"))
    supervisord.folder.hold("a").touch()
    time.sleep(0.2)
    assert [line["what"] for line in supervisord.lines("a")] == ["exited"]
    supervisord.spawn("a")
    supervisord.crash("a")
    until(lambda: len(supervisord.lines("a")) == 2)
    assert supervisord.lines("a")[-1]["held"] is True


def test_an_exit_that_was_in_the_list_and_is_told_as_well_counts_once(supervisord: Supervisord) -> None:
    """As when this program itself was started again: supervisord keeps events for it meanwhile."""
    supervisord.spawn("a")
    supervisord.crash("a")
    supervisord.listen()
    until(lambda: supervisord.lines("a")[-1:] and supervisord.lines("a")[-1]["what"] == "restarted")
    supervisord.tell("RUNNING", "a", supervisord.children["a"].pid)
    supervisord.crash("a")
    until(lambda: len([line for line in supervisord.lines("a") if line["what"] == "restarted"]) == 2)
    assert [line["what"] for line in supervisord.lines("a")] == ["exited", "restarted"] * 2


def test_without_waits_nothing_is_restarted(supervisord: Supervisord) -> None:
    supervisord.listen()
    supervisord.spawn("b")
    supervisord.crash("b")
    until(lambda: len(supervisord.lines("b")) == 2)
    assert [line["what"] for line in supervisord.lines("b")] == ["exited", "gave-up"]


def test_a_restart_that_is_refused_is_written_down(supervisord: Supervisord) -> None:
    supervisord.listen()
    supervisord.spawn("a")
    supervisord.refuses.add("a")
    supervisord.crash("a")
    until(lambda: len(supervisord.lines("a")) == 2)
    assert supervisord.lines("a")[-1] | {"mono_ns": 0, "wall_ns": 0} == {
        "mono_ns": 0,
        "wall_ns": 0,
        "what": "failed",
        "instance": "a",
        "attempt": 1,
        "error": "refused",
    }


def test_a_listener_that_was_away_takes_up_where_it_was(supervisord: Supervisord) -> None:
    """One restart was done before, the instance died while nobody listened: the second wait comes next."""
    append(supervisord.folder, what="restarted", instance="a", attempt=1)
    supervisord.spawn("a")
    supervisord.spawn("b")
    supervisord.children["a"].kill()
    supervisord.children["a"].wait()
    supervisord.states["a"] = "EXITED"
    supervisord.listen()
    until(lambda: supervisord.lines("a")[-1]["what"] == "restarted" and len(supervisord.lines("a")) == 3)
    assert supervisord.lines("a")[-1]["attempt"] == 2
    supervisord.crash("b")  # it runs, so it is watched again
    until(lambda: supervisord.lines("b"))


def test_torn_lines_are_passed_over(supervisord: Supervisord) -> None:
    append(supervisord.folder, what="started", instance="a")
    with supervisord.folder.restarts.open("a") as stream:
        stream.write('{"what": "exi')
    assert [line["what"] for line in read_lines(supervisord.folder)] == ["started"]
    assert json.loads(supervisord.folder.restarts.read_text().splitlines()[0])["instance"] == "a"
