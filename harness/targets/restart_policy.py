"""Restarts instances that ended by themselves: `python -m harness.targets.restart_policy PLATFORM_FOLDER`.

An event listener of supervisord, so it goes on when the harness dies. Restarts come after the declared waits
(2, 4, 8 … s); after the last one the instance stays down. An instance that stayed up for `forget_after` starts from the
first wait again. Held instances are left alone. Every exit, restart and giving up is a JSON line in restarts.jsonl.

supervisord notices a death up to a second late; this process watches pidfds and wakes it at once.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from harness.errors import TargetError
from harness.targets import procfs, supervisor
from harness.targets.folder import PlatformFolder


@dataclass(frozen=True)
class Rule:
    """Seconds: the waits before each attempt, and the up time after which attempts are forgotten."""

    waits: tuple[float, ...]
    forget_after: float


@dataclass
class Attempts:
    """What is known of one instance."""

    attempt: int = 0
    up_since: float = 0.0
    due: float | None = None
    old_pid: int = 0


@dataclass
class Policy:
    """Decides; knows no process and no clock. Times are monotonic seconds given by the caller."""

    rules: Callable[[str], Rule | None]
    known: dict[str, Attempts] = field(default_factory=dict)

    def started(self, name: str, now: float) -> None:
        """The instance runs, whoever started it."""
        each = self.known.setdefault(name, Attempts())
        each.up_since, each.due = now, None

    def exited(self, name: str, pid: int, now: float) -> Attempts:
        """The instance ended by itself: `due` tells when it is to be restarted, None if it is given up."""
        each = self.known.setdefault(name, Attempts(up_since=now))
        rule = self.rules(name)
        each.old_pid, each.due = pid, None
        if rule is None:
            return each
        if now - each.up_since >= rule.forget_after:
            each.attempt = 0
        if each.attempt < len(rule.waits):
            each.due = now + rule.waits[each.attempt]
            each.attempt += 1
        return each

    def forget(self, name: str) -> None:
        """Held or started by hand: its attempts count from the beginning."""
        self.known.pop(name, None)

    def due(self, now: float) -> list[str]:
        return [name for name, each in self.known.items() if each.due is not None and each.due <= now]

    def next_due(self) -> float | None:
        return min((each.due for each in self.known.values() if each.due is not None), default=None)


def read_rules(folder: PlatformFolder) -> dict[str, Rule]:
    """As `write_rules` wrote them; read again for each exit because instances come and go."""
    raw: dict[str, Any] = json.loads(folder.policy.read_text())
    return {name: Rule(tuple(rule["waits"]), rule["forget_after"]) for name, rule in raw.items()}


def dump_rules(rules: Mapping[str, Rule]) -> bytes:
    return json.dumps(
        {name: {"waits": rule.waits, "forget_after": rule.forget_after} for name, rule in rules.items()}
    ).encode()


def held(folder: PlatformFolder, name: str) -> bool:
    return folder.hold(name).exists()


def append(folder: PlatformFolder, **line: object) -> None:
    """One line of restarts.jsonl, in one write."""
    text = json.dumps({"mono_ns": time.monotonic_ns(), "wall_ns": time.time_ns(), **line}) + "\n"
    descriptor = os.open(folder.restarts, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


def read_lines(folder: PlatformFolder) -> Iterator[dict[str, Any]]:
    """All whole lines of restarts.jsonl."""
    if not folder.restarts.exists():
        return
    for line in folder.restarts.read_text().splitlines():
        try:
            yield json.loads(line)
        except ValueError:  # torn by a full disk or a kill
            continue


class Listener:
    """The effects: reads events, watches pidfds, restarts what is due."""

    def __init__(self, folder: PlatformFolder, call: Callable[..., Any] = supervisor.call) -> None:
        self.folder, self.call = folder, call
        self.policy = Policy(lambda name: read_rules(folder).get(name))
        self.watched: dict[int, tuple[str, int]] = {}  # pidfd → instance, pid
        self.caught_up: set[str] = set()  # whose exit was in the list, and may be told as an event as well

    def run(self, events: IO[bytes], answers: IO[bytes]) -> None:
        """Until supervisord closes the pipe."""
        poller = select.poll()
        poller.register(events, select.POLLIN | select.POLLHUP)
        self.catch_up(poller)
        answer(answers, b"READY\n")
        while True:
            for descriptor, _ in poller.poll(self.timeout_ms()):
                if descriptor == events.fileno():
                    event = read_event(events)
                    if event is None:
                        return
                    self.handle(event, poller)
                    answer(answers, b"RESULT 2\nOKREADY\n")
                elif descriptor in self.watched:
                    self.died(descriptor, poller)
            for name in self.policy.due(time.monotonic()):
                self.restart(name)

    def timeout_ms(self) -> float | None:
        due = self.policy.next_due()
        return None if due is None else max(0.0, due - time.monotonic()) * 1000 + 1

    def catch_up(self, poller: select.poll) -> None:
        """After a restart of this process itself: events it missed are in supervisord's list and in restarts.jsonl."""
        now = time.monotonic()
        for line in read_lines(self.folder):
            if line["what"] == "restarted":
                self.policy.known.setdefault(line["instance"], Attempts(up_since=now)).attempt = line["attempt"]
            elif line["what"] == "started":
                self.policy.forget(line["instance"])
        for process in self.call(self.folder, "supervisor.getAllProcessInfo"):
            name, pid = process["name"], process["pid"]
            if name == supervisor.POLICY:
                continue
            if process["statename"] == "RUNNING":
                self.watch(name, pid, poller)
            elif process["statename"] == "EXITED":
                self.caught_up.add(name)
                self.exited(name, 0)

    def handle(self, event: dict[str, str], poller: select.poll) -> None:
        name = event["processname"]
        if name == supervisor.POLICY:
            return
        if event["eventname"] == "PROCESS_STATE_RUNNING":
            self.caught_up.discard(name)
            self.policy.started(name, time.monotonic())
            self.watch(name, int(event["pid"]), poller)
        elif event["eventname"] == "PROCESS_STATE_EXITED":
            self.end_group(int(event["pid"]))
            if name in self.caught_up:
                self.caught_up.discard(name)
            else:
                self.exited(name, int(event["pid"]))

    def watch(self, name: str, pid: int, poller: select.poll) -> None:
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            return
        self.watched[descriptor] = (name, pid)
        poller.register(descriptor, select.POLLIN)

    def died(self, descriptor: int, poller: select.poll) -> None:
        _, pid = self.watched.pop(descriptor)
        poller.unregister(descriptor)
        os.close(descriptor)
        self.end_group(pid)
        self.call(self.folder, "supervisor.getState")  # any call wakes it, and it reaps

    def end_group(self, pid: int) -> None:
        """What the process left in its group goes with it, as in a container whose first process ended."""
        session = os.getsid(0)
        for seen in procfs.every():
            if seen.group == pid and seen.session == session and seen.pid != pid:
                procfs.send(seen.pid, seen.start_time, signal.SIGKILL)

    def exited(self, name: str, pid: int) -> None:
        code = supervisor.last_exit_code(self.folder, name)
        with self.folder.locked("hold"):
            if held(self.folder, name):
                self.policy.forget(name)
                append(self.folder, what="exited", instance=name, old_pid=pid, exit_code=code, held=True)
                return
        each = self.policy.exited(name, pid, time.monotonic())
        append(self.folder, what="exited", instance=name, old_pid=pid, exit_code=code, held=False)
        if each.due is None:
            append(self.folder, what="gave-up", instance=name, old_pid=pid, exit_code=code, attempt=each.attempt)
            self.policy.forget(name)  # whoever starts it by hand gives it all its attempts again

    def restart(self, name: str) -> None:
        each = self.policy.known[name]
        each.due = None
        with self.folder.locked("hold"):
            if held(self.folder, name):
                self.policy.forget(name)
                return
            try:
                self.call(self.folder, "supervisor.startProcess", name, False, ignore=(supervisor.ALREADY_STARTED,))
                pid = self.call(self.folder, "supervisor.getProcessInfo", name)["pid"]
            except TargetError as error:  # removed meanwhile, or it cannot be run at all
                append(self.folder, what="failed", instance=name, attempt=each.attempt, error=str(error))
                return
        append(
            self.folder, what="restarted", instance=name, old_pid=each.old_pid, new_pid=pid, attempt=each.attempt,
            exit_code=supervisor.last_exit_code(self.folder, name),
        )  # fmt: skip


def read_event(stream: IO[bytes]) -> dict[str, str] | None:
    """One event of supervisord's protocol: a header line that gives the length of the body; None at the end."""
    header_line = stream.readline()
    if not header_line:
        return None
    header = _pairs(header_line.decode())
    body = stream.read(int(header["len"])).decode()
    return {**header, **_pairs(body)}


def _pairs(text: str) -> dict[str, str]:
    return dict(word.split(":", 1) for word in text.split() if ":" in word)


def answer(stream: IO[bytes], text: bytes) -> None:
    stream.write(text)
    stream.flush()


def main() -> None:
    try:
        Listener(PlatformFolder(Path(sys.argv[1]))).run(sys.stdin.buffer, sys.stdout.buffer)
    except BaseException:
        time.sleep(1)  # supervisord starts this again at once; a lasting failure must not eat a core
        raise


if __name__ == "__main__":
    main()
