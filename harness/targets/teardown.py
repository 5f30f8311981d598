"""Ends exactly what a platform started, and looks again until it is proven.

Needs neither supervisord nor the attach file.

A process belongs to a platform when it carries its mark in the environment (inherited from supervisord), or descends
from one that does, or is of a session that one of them leads. Servers that overwrite their environment with a title
(PostgreSQL's, each in a session of its own) lose all of that when their parent dies first: they are known by having no
environment, no terminal, and a working directory or program below the platform's folder. Whoever only looks at that
folder (a shell, an editor's server) has an environment, a parent, or another user, or is older than the platform. The
caller and what it descends from are never touched.
"""

from __future__ import annotations

import math
import os
import signal
import time
from collections.abc import Collection
from dataclasses import dataclass

from harness.ports import Leftovers
from harness.targets import procfs, supervisor
from harness.targets.folder import PlatformFolder
from harness.targets.render import MARK

GRACE_S = 1.5  # for what was started by somebody else than supervisord, between SIGTERM and SIGKILL


@dataclass(frozen=True)
class Ending:
    """How one instance is asked to end."""

    name: str
    signal: str
    timeout: float


def members(folder: PlatformFolder, spare: Collection[int] = ()) -> list[procfs.Seen]:
    """All live processes of the platform."""
    processes = [seen for seen in procfs.every() if seen.alive]
    untouchable = {*procfs.ancestors(os.getpid()), *spare}
    mark = folder.id.encode()
    marked = {
        seen.pid
        for seen in processes
        if seen.pid not in untouchable and procfs.environment(seen.pid).get(MARK.encode()) == mark
    }
    own = marked | procfs.descendants(marked, processes)
    sessions = {seen.session for seen in processes if seen.pid in marked and seen.session == seen.pid}
    strays = {seen.pid for seen in processes if seen.session in sessions or _is_stray(folder, seen)}
    own |= strays | procfs.descendants(strays - untouchable, processes)
    return [seen for seen in processes if seen.pid in own - untouchable]


def _is_stray(folder: PlatformFolder, seen: procfs.Seen) -> bool:
    """Whether a process without the mark, and without kin that have it, is the platform's all the same."""
    inside, entry = f"{folder.root}{os.sep}", procfs.PROC / str(seen.pid)
    places = {entry / "cwd": procfs.working_directory(seen.pid), entry / "exe": procfs.executable(seen.pid)}
    links = [link for link, place in places.items() if f"{place}{os.sep}".startswith(inside)]
    if not links or seen.terminal or not procfs.nameless(seen.pid):
        return False
    born, parent = _born(folder), procfs.look(seen.parent)
    if seen.start_time < born or (parent and parent.start_time >= born):  # who takes in orphans was there before
        return False
    try:
        # An instance works in a folder of its own user, also when it gave up being root by itself.
        users = {folder.root.stat().st_uid, *(link.stat().st_uid for link in links)}
    except OSError:  # it has ended
        return False
    return procfs.user(seen.pid) in users


def _born(folder: PlatformFolder) -> float:
    """When the platform was made, in clock ticks since boot; when that is unknown nothing is young enough."""
    try:
        return int(folder.born.read_text())
    except (OSError, ValueError):
        return math.inf


def end(folder: PlatformFolder, groups: list[list[Ending]], ports: Collection[int]) -> Leftovers:
    """Ends supervisord, then the groups one after another (instances of a group at once), then whatever is left.

    supervisord goes first and at once: it has nothing to save, and nothing is restarted any more, even when a full disk
    forbids to say so in a file. Returns what is still there after all that: a process that could not be ended, or one
    of `ports` that still listens.
    """
    keeper = supervisor.pid_of(folder)
    _signal([seen for seen in members(folder) if is_keeper(seen, keeper)], signal.SIGKILL)
    for group in groups:
        _end_group(folder, group)
    strays = members(folder)
    _signal(strays, signal.SIGTERM)
    procfs.wait_gone(lambda: _alive(strays), GRACE_S)
    return _kill_and_prove(folder, ports)


def is_keeper(seen: procfs.Seen, keeper: int) -> bool:
    """Whether this is supervisord or its restart policy."""
    policy = seen.parent == keeper and "harness.targets.restart_policy" in procfs.command_line(seen.pid)
    return seen.pid == keeper or policy


def _end_group(folder: PlatformFolder, group: list[Ending]) -> None:
    from harness.targets.instances import running

    waiting: list[tuple[procfs.Seen, float]] = []
    ended: list[procfs.Seen] = []
    for ending in group:
        seen = running(folder, ending.name)
        if seen is not None:
            procfs.send(seen.pid, seen.start_time, signal.Signals[f"SIG{ending.signal}"])
            if seen.state in "Tt":
                procfs.send(seen.pid, seen.start_time, signal.SIGCONT)  # a paused process cannot end itself
            waiting.append((seen, time.monotonic() + ending.timeout))
            ended.append(seen)
    while waiting := [(seen, until) for seen, until in waiting if procfs.alive(seen.pid, seen.start_time)]:
        for seen, until in waiting:
            if time.monotonic() >= until:
                procfs.send(seen.pid, seen.start_time, signal.SIGKILL)
        time.sleep(0.01)
    _signal([rest for leader in ended for rest in procfs.group_of(leader)], signal.SIGKILL)


def _kill_and_prove(folder: PlatformFolder, ports: Collection[int]) -> Leftovers:
    deadline = time.monotonic() + 5
    while True:
        left = members(folder)
        heard = procfs.listening()
        listening = [port for port in ports if port in heard and not _strangers(heard[port])]
        if not (left or listening) or time.monotonic() > deadline:
            processes = tuple(f"{seen.pid} {procfs.command_line(seen.pid)}" for seen in left)
            return Leftovers(processes=processes, ports=tuple(listening))
        _signal(left, signal.SIGKILL)
        time.sleep(0.02)


def _strangers(inodes: set[str]) -> bool:
    """Whether somebody is seen to hold the sockets: no member is left, so it took a port that had become free."""
    return any(procfs.holds_socket(seen.pid, inodes) for seen in procfs.every())


def _signal(processes: list[procfs.Seen], number: signal.Signals) -> None:
    for seen in processes:
        procfs.send(seen.pid, seen.start_time, number)


def _alive(processes: list[procfs.Seen]) -> list[procfs.Seen]:
    return [seen for seen in processes if procfs.alive(seen.pid, seen.start_time)]
