"""The bed's processes, known by a mark in their environment: no file of pids that could be incomplete or out of date.

The mark is inherited: a containerd's shims carry it too. What runs inside pods does not; it is in the node's cgroups.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from testbed.state import TestbedError, Word, tail, until

MARK = "TESTBED_PROCESS"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class Process:
    pid: int
    node: str
    role: str
    daemon: bool  # what `start` started; not what that started in turn


def start(
    run: Path,
    node: str,
    role: str,
    argv: Sequence[Word],
    *,
    netns: str = "",
    mounts_of: int = 0,
    env: Mapping[str, str] | None = None,
) -> None:
    """Starts a daemon in a session of its own, in a network namespace and in the mount namespace of another process."""
    enter: list[str] = []
    if netns or mounts_of:
        # Not `ip netns exec`, which would remount /sys and hide the cgroups.
        enter = ["nsenter"]
        enter += [f"--net=/run/netns/{netns}"] if netns else []
        enter += [f"--mount=/proc/{mounts_of}/ns/mnt"] if mounts_of else []
    log = log_of(run, node, role)
    log.parent.mkdir(parents=True, exist_ok=True)
    environment = {"PATH": PATH, "HOME": "/root", **(env or {}), MARK: f"{run}:{node}:{role}"}
    with log.open("ab") as output:
        subprocess.Popen(
            [*enter, *map(str, argv)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )


def log_of(run: Path, node: str, role: str) -> Path:
    return run / "log" / f"{node}-{role}.log"


def running(run: Path, node: str = "", role: str = "") -> list[Process]:
    """The living processes of a bed; of one node or role when these are given."""
    wanted = f"{MARK}={run}:".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError):  # it ended meanwhile
            for word in (entry / "environ").read_bytes().split(b"\0"):  # a zombie has none
                if word.startswith(wanted):
                    of_node, _, of_role = word[len(wanted) :].decode().partition(":")
                    pid = int(entry.name)
                    found.append(Process(pid, of_node, of_role, daemon=os.getsid(pid) == pid))
    return [each for each in found if (not node or each.node == node) and (not role or each.role == role)]


def daemon(run: Path, node: str, role: str) -> Process:
    """The daemon of a role; raises TestbedError with the end of its log when it does not run."""
    for _ in range(5):  # in the moment of an exec a process has no environment
        for each in running(run, node, role):
            if each.daemon:
                return each
        time.sleep(0.1)
    log = log_of(run, node, role)
    raise TestbedError(f"{role} of {node} does not run\n{tail(log.read_text(errors='replace'))}", f"read {log}")


def end(processes: Callable[[], Sequence[int]], gently_s: float = 0) -> None:
    """Ends processes: with SIGTERM and some time when asked to, then with SIGKILL until none is left."""
    if gently_s:
        send(processes(), signal.SIGTERM)
        with contextlib.suppress(TestbedError):
            until(lambda: not processes(), "ended", gently_s)

    looks_without = 0

    def none_left() -> bool:
        nonlocal looks_without
        left = processes()
        send(left, signal.SIGKILL)
        looks_without = 0 if left else looks_without + 1
        return looks_without == 2  # in the moment of an exec a process has no mark

    until(none_left, "processes of the test bed end", 20, every_s=0.05)


def send(pids: Sequence[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
