"""In a container's own cgroups: takes CPU or memory from it, within its limits; on its file system: takes room.

The processes that take it are members of the container's cgroups, so that the kernel counts them as the container's;
they die with this program, and are the first that the kernel kills when memory ends.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import signal
import time
from pathlib import Path

from harness.kube.programs.node import COMMANDS, PROC, fail, init, machine, members, tell

PR_SET_PDEATHSIG = 1
UNLIMITED = 1 << 60
PAGE, STEP = 4096, 8 << 20


def cgroups(pid: int) -> dict[str, str]:
    """Controller → the folder of the process's cgroup; version 2 is the controller ""."""
    found, node = {}, machine()
    for line in Path(f"{PROC}/{pid}/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        for mounted in [controllers] if controllers else ["", "unified"]:
            folder = f"{node}/sys/fs/cgroup/{mounted}{path}".replace("//", "/")
            if Path(f"{folder}/cgroup.procs").is_file():
                found.update(dict.fromkeys(controllers.split(","), folder))
    return found


def join(folders: dict[str, str]) -> None:
    """Moves this process into the cgroups that count, to die with its parent."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    Path(f"{PROC}/self/oom_score_adj").write_text("1000")
    wanted = {folders[name] for name in ("cpu", "cpuacct", "memory") if name in folders} or {folders.get("", "")}
    for folder in wanted - {""}:
        Path(f"{folder}/cgroup.procs").write_text(str(os.getpid()))


def number(folders: dict[str, str], *places: tuple[str, str]) -> int:
    """The first of (controller, file) that there is; "max" is UNLIMITED."""
    for controller, name in places:
        file = Path(f"{folders.get(controller, '/nowhere')}/{name}")
        if file.is_file():
            text = file.read_text().split()[0]
            return UNLIMITED if text == "max" or int(text) > UNLIMITED else int(text)
    fail(f"the kernel tells none of {', '.join(name for _, name in places)}")
    return 0


def memory_limit(folders: dict[str, str]) -> int:
    return number(folders, ("memory", "memory.limit_in_bytes"), ("", "memory.max"))


def memory_used(folders: dict[str, str]) -> int:
    return number(folders, ("memory", "memory.usage_in_bytes"), ("", "memory.current"))


def cpu_used_s(folders: dict[str, str]) -> float:
    if "cpuacct" in folders:
        return number(folders, ("cpuacct", "cpuacct.usage")) / 1e9
    lines = Path(f"{folders['']}/cpu.stat").read_text().splitlines()
    return float(dict(line.split() for line in lines)["usage_usec"]) / 1e6


def press_cpu(container: str, workers: int, seconds: float) -> None:
    _press(container, workers, seconds, lambda _: _burn())


def press_memory(container: str, fill: float, seconds: float) -> None:
    """Takes what is missing to `fill` of the limit. Exits when there is no limit."""
    folders = cgroups(init(container))
    limit = memory_limit(folders)
    if limit >= UNLIMITED:
        fail("the container has no memory limit: what is taken would be the node's")
    missing = int(fill * limit) - memory_used(folders)
    if missing <= 0:
        fail(f"the container uses more than {fill:.0%} of its memory already")
    _press(container, 1, seconds, lambda _: _take(missing))


def _press(container: str, workers: int, seconds: float, work: object) -> None:
    folders, children = cgroups(init(container)), []
    for index in range(workers):
        child = os.fork()
        if child == 0:
            join(folders)
            work(index)  # type: ignore[operator]
            os._exit(0)
        children.append(child)
    _until(seconds)
    for child in children:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    tell(lifted=True)


def _burn() -> None:
    while True:
        pass


def _take(size: int) -> None:
    taken = mmap.mmap(-1, size)
    for start in range(0, size, PAGE):
        taken[start] = 1
        if start % STEP == 0:
            time.sleep(0.001)
    while True:
        signal.pause()


def press_disk(container: str, path: str, size: int, seconds: float) -> None:
    """Writes a file of `size` bytes into the container's file system; it goes when this program does."""
    file = Path(f"{PROC}/{init(container)}/root{path}")
    try:
        with file.open("wb") as stream:
            for _ in range(size // STEP):
                stream.write(b"\1" * STEP)
            stream.write(b"\1" * (size % STEP))
        _until(seconds)
    except OSError as error:
        fail(f"{path}: {error.strerror}")
    finally:
        file.unlink(missing_ok=True)
    tell(lifted=True)


def _until(seconds: float) -> None:
    stopped: list[int] = []
    signal.signal(signal.SIGTERM, lambda *_: stopped.append(1))
    end = time.monotonic() + seconds
    tell(ready=True)
    while not stopped and time.monotonic() < end:
        time.sleep(0.1)


# -- the observer


def usage(container: str, path: str = "", over_s: float = 0.5) -> None:
    """What the kernel counts for the container, and how much of it is not its own: members of its cgroups that live in
    another process namespace."""
    first = init(container)
    folders, own = cgroups(first), _namespace(first)
    before, at = cpu_used_s(folders), time.monotonic()
    time.sleep(over_s)
    cores = (cpu_used_s(folders) - before) / (time.monotonic() - at)
    foreign = [pid for pid in members(container) if _namespace(pid) not in ("", own)]
    file = Path(f"{PROC}/{first}/root{path}")
    size = file.stat().st_blocks * 512 if path and file.exists() else 0
    limit = memory_limit(folders)
    tell(cores=round(cores, 3), memory=memory_used(folders), limit=limit, foreign=len(foreign), file=size)


def _namespace(pid: int) -> str:
    try:
        return str(Path(f"{PROC}/{pid}/ns/pid").readlink())
    except OSError:
        return ""


COMMANDS.update(
    press_cpu=lambda args: press_cpu(args[1], int(args[2]), float(args[0])),
    press_memory=lambda args: press_memory(args[1], float(args[2]), float(args[0])),
    press_disk=lambda args: press_disk(args[1], args[2], int(args[3]), float(args[0])),
    usage=lambda args: usage(args[0], "".join(args[1:])),
)
