"""Processes and listening sockets as the kernel tells them (/proc, pidfd). Standard library only, no state.

A process is always named by pid *and* start time, so that a recycled pid is never taken for the old process.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")


@dataclass(frozen=True)
class Seen:
    """One line of /proc: `start_time` in clock ticks since boot, `state` as in ps (R, S, D, T, Z …)."""

    pid: int
    start_time: int
    parent: int
    group: int
    session: int
    terminal: int
    state: str

    @property
    def alive(self) -> bool:
        return self.state not in "ZX"


def parse_stat(text: str) -> Seen:
    """/proc/PID/stat; the command between brackets may hold anything, also spaces and brackets."""
    pid = int(text[: text.index(" ")])
    fields = text[text.rindex(")") + 2 :].split()
    return Seen(
        pid=pid,
        state=fields[0],
        parent=int(fields[1]),
        group=int(fields[2]),
        session=int(fields[3]),
        terminal=int(fields[4]),
        start_time=int(fields[19]),
    )


def look(pid: int) -> Seen | None:
    """The process with this pid, None when there is none."""
    try:
        return parse_stat((PROC / str(pid) / "stat").read_text(errors="replace"))
    except (FileNotFoundError, ProcessLookupError):
        return None


def alive(pid: int, start_time: int) -> bool:
    """Whether exactly this process still runs (a zombie does not)."""
    seen = look(pid)
    return seen is not None and seen.start_time == start_time and seen.alive


def every() -> Iterator[Seen]:
    """All processes of this host."""
    for entry in PROC.iterdir():
        if entry.name.isdigit() and (seen := look(int(entry.name))):
            yield seen


def send(pid: int, start_time: int, number: signal.Signals) -> bool:
    """Signals exactly this process; False when it is gone. The pidfd is taken before the start time is compared, so
    nothing can take the pid's place in between."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    try:
        seen = look(pid)
        if seen is None or seen.start_time != start_time:
            return False
        signal.pidfd_send_signal(descriptor, number)
    except ProcessLookupError:
        return False
    finally:
        os.close(descriptor)
    return True


def environment(pid: int) -> dict[bytes, bytes]:
    """The environment a process started with; empty when it is gone or somebody else's."""
    try:
        raw = (PROC / str(pid) / "environ").read_bytes()
    except OSError:
        return {}
    return dict(pair.split(b"=", 1) for pair in raw.split(b"\0") if b"=" in pair)


def nameless(pid: int) -> bool:
    """Whether a process can be seen to have no environment (left): it started with none, or overwrote it with a title.

    False when that may not be read.
    """
    try:
        return b"=" not in (PROC / str(pid) / "environ").read_bytes()
    except OSError:
        return False


def user(pid: int) -> int | None:
    """The (effective) user id a process runs as; None when it is gone."""
    try:
        lines = (PROC / str(pid) / "status").read_text(errors="replace").splitlines()
    except OSError:
        return None
    return next((int(line.split()[2]) for line in lines if line.startswith("Uid:")), None)


def ticks_now() -> int:
    """Now in the unit of a process's start time: clock ticks since boot."""
    return int(time.clock_gettime(time.CLOCK_BOOTTIME) * os.sysconf("SC_CLK_TCK"))


def working_directory(pid: int) -> str:
    return _link(PROC / str(pid) / "cwd")


def executable(pid: int) -> str:
    return _link(PROC / str(pid) / "exe")


def _link(path: Path) -> str:
    try:
        return str(path.readlink()).removesuffix(" (deleted)")
    except OSError:
        return ""


def command_line(pid: int) -> str:
    """For people: the command with its arguments, shortened; the bare name of a process without one."""
    try:
        line = (PROC / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        return line[:160] or (PROC / str(pid) / "comm").read_text().strip()
    except OSError:
        return "?"


def ancestors(pid: int) -> set[int]:
    """The process itself and all it descends from."""
    found: set[int] = set()
    while pid > 0 and pid not in found:
        found.add(pid)
        seen = look(pid)
        pid = seen.parent if seen else 0
    return found


def descendants(roots: Collection[int], processes: Iterable[Seen]) -> set[int]:
    """Pids of all processes below these."""
    children: dict[int, list[int]] = {}
    for seen in processes:
        children.setdefault(seen.parent, []).append(seen.pid)
    found: set[int] = set()
    waiting = list(roots)
    while waiting:
        for child in children.get(waiting.pop(), ()):
            if child not in found:
                found.add(child)
                waiting.append(child)
    return found


def group_of(leader: Seen) -> list[Seen]:
    """What is left in the process group that this process led."""
    return [seen for seen in every() if seen.group == leader.pid and seen.session == leader.session and seen.alive]


def listening() -> dict[int, set[str]]:
    """Every TCP port that is listened on in this network namespace, on any address, with the inodes of its sockets."""
    found: dict[int, set[str]] = {}
    for name in ("tcp", "tcp6"):
        try:
            lines = (PROC / "net" / name).read_text().splitlines()[1:]
        except FileNotFoundError:  # a kernel without IPv6
            continue
        for line in lines:
            fields = line.split()
            if fields[3] == "0A":
                found.setdefault(int(fields[1].rsplit(":", 1)[1], 16), set()).add(fields[9])
    return found


def listeners(port: int) -> set[str]:
    """Inodes of the TCP sockets that listen on a port."""
    return listening().get(port, set())


def holds_socket(pid: int, inodes: Collection[str]) -> bool:
    """Whether a process has one of these sockets open."""
    wanted = {f"socket:[{inode}]" for inode in inodes}
    try:
        return any(_link(descriptor) in wanted for descriptor in (PROC / str(pid) / "fd").iterdir())
    except OSError:
        return False


def wait_gone(still_there: Callable[[], Collection[object]], seconds: float, every_s: float = 0.02) -> bool:
    """Polls until nothing is there any more; False when time is up first."""
    deadline = time.monotonic() + seconds
    while still_there():
        if time.monotonic() >= deadline:
            return False
        time.sleep(every_s)
    return True
