"""A cgroup per node in every hierarchy of the machine: kubelet makes folders in all of them, also on a hybrid one."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from testbed.state import TestbedError, until


def hierarchies() -> list[Path]:
    lines = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    return [Path(words[1]) for words in lines if words[2] in ("cgroup", "cgroup2")]


def make(name: str) -> None:
    for hierarchy in hierarchies():
        made = hierarchy / name
        made.mkdir(exist_ok=True)
        for file in ("cpuset.cpus", "cpuset.mems"):  # empty at first on cgroup v1, and then nothing may run there
            if (made / file).exists() and (hierarchy / file).exists():
                (made / file).write_text((hierarchy / file).read_text())


def processes(name: str) -> list[int]:
    """Every process in the cgroup and below it."""
    pids: set[int] = set()
    for hierarchy in hierarchies():
        for folder, _, _ in os.walk(hierarchy / name):
            with contextlib.suppress(OSError):  # removed meanwhile
                pids.update(int(line) for line in Path(folder, "cgroup.procs").read_text().split())
    return sorted(pids)


def remove(name: str) -> None:
    """Removes the cgroup with all below it; there must be no process in it."""

    def gone() -> bool:
        for hierarchy in hierarchies():
            for folder, _, _ in os.walk(hierarchy / name, topdown=False):
                with contextlib.suppress(OSError):
                    Path(folder).rmdir()
        return not any((hierarchy / name).exists() for hierarchy in hierarchies())

    with contextlib.suppress(TestbedError):
        until(gone, f"cgroup {name} removed", 5)
