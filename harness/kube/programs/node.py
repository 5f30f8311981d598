"""On a node, seeing its processes (hostPID): finds a container's processes, and kills."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

PROC = "/proc"


def members(container: str, proc: str = PROC) -> list[int]:
    """The pids of a container, oldest first, by its id in their cgroups."""
    entries = (entry.name for entry in Path(proc).iterdir() if entry.name.isdigit())
    found = [entry for entry in entries if container in _read(f"{proc}/{entry}/cgroup")]
    return sorted(map(int, found), key=lambda pid: _started(proc, pid))


def init(container: str, proc: str = PROC) -> int:
    """The container's first process: pid 1 of its own namespace, else (a shared one) the oldest. Exits when none is."""
    pids = members(container, proc)
    for pid in pids:
        if namespace_pid(proc, pid) == 1:
            return pid
    if not pids:
        fail(f"no process of container {container[:12]} on this node")
    return pids[0]


def namespace_pid(proc: str, pid: int) -> int:
    """The pid that the process has for itself."""
    for line in _read(f"{proc}/{pid}/status").splitlines():
        if line.startswith("NSpid:"):
            return int(line.split()[-1])
    return 0


def machine() -> str:
    """The node's own file system: that of our parent, the container runtime's shim. (The node's first process may be
    one that we may not look into.)"""
    return f"/proc/{os.getppid()}/root"


def kill(container: str) -> None:
    """SIGKILL from the node: from inside its own namespace the kernel would not deliver it to pid 1."""
    pid = init(container)
    os.kill(pid, signal.SIGKILL)
    tell(pid=pid, wall_s=time.time())


def raze(pod_uid: str, seconds: float) -> None:
    """SIGKILL to everything that the pod's containers run, now and whenever the kubelet starts one anew. Answers after
    the first blow; a child goes on for `seconds`, or until this agent is gone."""
    killed = blow(pod_uid)
    if not killed:
        fail(f"no process of pod {pod_uid} on this node")
    tell(killed=killed, wall_s=time.time())
    if os.fork() == 0:
        os.setsid()
        os.close(1)
        os.close(2)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            blow(pod_uid)
            time.sleep(0.02)
        os._exit(0)


def blow(pod_uid: str, proc: str = PROC) -> int:
    """One SIGKILL to each process of a pod but the one that holds its namespaces; how many that were."""
    found = 0
    for pid in members(pod_uid, proc) or members(pod_uid.replace("-", "_"), proc):
        if _read(f"{proc}/{pid}/comm").strip() != "pause":
            found += 1
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    return found


def hold(seconds: float) -> None:
    """Keeps the pod there until it is asked to go."""
    end = time.monotonic() + seconds
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    tell(ready=True)
    while time.monotonic() < end:
        time.sleep(min(1.0, max(0.0, end - time.monotonic())))


def tell(**values: object) -> None:
    """One line of JSON: the answer."""
    print(json.dumps(values), flush=True)


def fail(why: str) -> None:
    print(json.dumps({"error": why}), flush=True)
    sys.exit(1)


def _started(proc: str, pid: int) -> int:
    fields = _read(f"{proc}/{pid}/stat").rpartition(")")[2].split()
    return int(fields[19]) if len(fields) > 19 else 0


def _read(file: str) -> str:
    try:
        return Path(file).read_text(errors="replace")
    except OSError:  # it ended meanwhile
        return ""


COMMANDS: dict[str, Callable[[list[str]], None]] = {
    "kill": lambda args: kill(args[0]),
    "raze": lambda args: raze(args[0], float(args[1])),
    "hold": lambda args: hold(float(args[0])),
}


def main(argv: list[str]) -> None:
    COMMANDS[argv[0]](argv[1:])
