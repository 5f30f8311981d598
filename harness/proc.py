"""Processes as Linux shows them in /proc: identity, state, marks and listeners. Nothing is signalled here."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from harness.ports import Process

PROC = Path("/proc")
LISTEN = "0A"  # st of a listening socket in /proc/net/tcp
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat from the third (state) on; the second may hold spaces and brackets."""
    try:
        return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None


def identify(pid: int) -> Process | None:
    """The process that has this pid now; None when there is none, or only its corpse (a zombie)."""
    fields = _stat(pid)
    return Process(pid, int(fields[19])) if fields and fields[0] not in "ZX" else None


def is_running(process: Process) -> bool:
    """Whether this very process, not a later one with its pid, still runs."""
    return identify(process.pid) == process


def state(process: Process) -> str:
    """The kernel's letter: R S D T (stopped) …; "" when the process is gone."""
    fields = _stat(process.pid)
    return fields[0] if fields and int(fields[19]) == process.start_time else ""


def parent(pid: int) -> int:
    """The parent's pid, 0 when there is none."""
    fields = _stat(pid)
    return int(fields[1]) if fields else 0


def ticks_now() -> int:
    """Now in the unit of a process's start time: clock ticks since boot."""
    return int(time.clock_gettime(time.CLOCK_BOOTTIME) * TICKS_PER_S)


def pids() -> Iterator[int]:
    return (int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit())


def environment(pid: int) -> dict[str, str]:
    """The environment a process was started with; empty when it may not be read or is gone."""
    try:
        raw = (PROC / str(pid) / "environ").read_bytes()
    except OSError:
        return {}
    pairs = (entry.decode(errors="replace").partition("=") for entry in raw.split(b"\0") if entry)
    return {name: value for name, _, value in pairs}


def with_mark(name: str, value: str) -> list[Process]:
    """All running processes that were started with NAME=VALUE in their environment."""
    found = (identify(pid) for pid in pids() if environment(pid).get(name) == value)
    return [process for process in found if process]


def in_session(leader: int) -> list[Process]:
    """All running processes of a session, named by its leader's pid."""
    stats = ((pid, _stat(pid)) for pid in pids())
    return [
        Process(pid, int(fields[19]))
        for pid, fields in stats
        if fields and int(fields[3]) == leader and fields[0] not in "ZX"
    ]


def command(pid: int) -> str:
    """The command line, for messages."""
    try:
        return (PROC / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""


def listeners(port: int) -> list[Process]:
    """The processes that hold a listening TCP socket on this port (those whose descriptors may be read)."""
    sockets = {f"socket:[{inode}]" for inode in _listening_inodes(port)}
    if not sockets:
        return []
    found = (identify(pid) for pid in pids() if sockets & _open_files(pid))
    return [process for process in found if process]


def _listening_inodes(port: int) -> Iterator[str]:
    for table in ("tcp", "tcp6"):
        try:
            rows = (PROC / "net" / table).read_text().splitlines()[1:]
        except OSError:
            continue
        for row in rows:
            fields = row.split()
            if fields[3] == LISTEN and int(fields[1].rpartition(":")[2], 16) == port:
                yield fields[9]


def _open_files(pid: int) -> set[str]:
    try:
        descriptors = list((PROC / str(pid) / "fd").iterdir())
    except OSError:
        return set()
    return {name for name in map(_link, descriptors) if name}


def _link(path: Path) -> str:
    try:
        return str(path.readlink())
    except OSError:  # closed since it was listed
        return ""


def accepts(host: str, port: int, timeout_s: float = 0.5) -> bool:
    """Whether somebody accepts a TCP connection there."""
    try:
        with socket.create_connection((host, port), timeout=timeout_s):
            return True
    except OSError:
        return False
