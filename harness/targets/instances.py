"""One instance at a time: put in place, started, waited for, signalled, held down, reloaded.

Which process runs an instance is read from the note it left itself (folder.process), so all this but starting works
without supervisord.
"""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable

from harness.errors import BadInput, TargetError
from harness.model.platform import Service
from harness.ports import Process, ProcessStatus
from harness.targets import procfs, restart_policy, supervisor
from harness.targets.folder import PlatformFolder
from harness.targets.probe import Look, command_look, http_look, poll
from harness.targets.render import INSTANCE_MARK, MARK, Context, Rendered, effective_user, render, write
from harness.targets.state import HOST, InstanceState, PlatformState

READY_EVERY_S = 0.07
START_WITHIN_S = 10.0
KILLED_WITHIN_S = 2.0
BUSY = (10, 20, 40)  # supervisord's STARTING, RUNNING, STOPPING


class PortTaken(TargetError):
    """Somebody else listens on a port that was given to an instance."""

    def __init__(self, instance: str, port: int) -> None:
        self.instance, self.port = instance, port
        super().__init__(f"{instance}: port {port} was taken by somebody else")


class Stopped(TargetError):
    """Given up because another instance of the same group failed."""


def configure(folder: PlatformFolder, state: PlatformState, each: InstanceState) -> None:
    """Tells supervisord's configuration of an instance; supervisor.load makes it known."""
    service = state.service(each.service)
    supervisor.configure(folder, each.name, service.stop.signal, service.stop.timeout, effective_user(service.user))


def place(folder: PlatformFolder, state: PlatformState, each: InstanceState) -> tuple[InstanceState, Rendered]:
    """Renders and writes what the instance runs and reads."""
    rendered = render(folder, state, each)
    write(folder, each, rendered, state.service(each.service).user)
    placed = each.model_copy(
        update={
            "uses": rendered.uses,
            "script_sha256": rendered.script_sha256,
            "files_sha256": rendered.files_sha256,
        }
    )
    return placed, rendered


def prepare(
    folder: PlatformFolder,
    service: Service,
    each: InstanceState,
    rendered: Rendered,
    cancelled: Callable[[], bool] = lambda: False,
) -> None:
    """Runs the instance's preparing commands, one after another; raises TargetError at the first that fails."""
    user = effective_user(service.user)
    for argv in rendered.prepare:
        look = command_look(
            argv, rendered.environment, folder.instance(each.name), service.ready_within, user, cancelled
        )
        with folder.log(each.name).open("a") as log:
            log.write(f"[prepare] {' '.join(argv)}\n{look.evidence}\n")
        if not look.ok:
            raise TargetError(f"{each.name}: preparing failed: {argv[0]}: {look.evidence[-500:]}")


def running(folder: PlatformFolder, name: str) -> procfs.Seen | None:
    """The live process of an instance, None when it has none."""
    try:
        noted = procfs.parse_stat(_note(folder, name))
    except (ValueError, IndexError):
        return None
    seen = procfs.look(noted.pid)
    return seen if seen and seen.start_time == noted.start_time and seen.alive else None


def status(folder: PlatformFolder, name: str) -> ProcessStatus:
    restarts = sum(
        1 for line in restart_policy.read_lines(folder) if line["instance"] == name and line["what"] == "restarted"
    )
    seen = running(folder, name)
    if seen:
        return ProcessStatus(Process(seen.pid, seen.start_time), alive=True, restarts=restarts)
    with contextlib.suppress(TargetError):  # without supervisord the exit code is unknown, the death is not
        supervisor.call(folder, "supervisor.getState")  # any call makes it look after its children
    return ProcessStatus(None, alive=False, exit_code=supervisor.last_exit_code(folder, name), restarts=restarts)


def start(folder: PlatformFolder, name: str) -> None:
    """Starts an instance unless it runs, and lets the restart policy look after it again.

    Returns when its process has begun; whether it lives is to be seen. Raises TargetError when supervisord does not
    start it.
    """
    with folder.locked("hold"):
        folder.hold(name).unlink(missing_ok=True)
        if running(folder, name):
            return
        restart_policy.append(folder, what="started", instance=name)
        before = _note(folder, name)
        deadline = time.monotonic() + START_WITHIN_S
        # supervisord may not have noticed yet that the old process ended; each call makes it look
        while supervisor.call(folder, "supervisor.getProcessInfo", name)["state"] in BUSY:
            if time.monotonic() > deadline:
                raise TargetError(f"{name} does not start: supervisord still sees an older process")
            time.sleep(0.01)
        supervisor.call(folder, "supervisor.startProcess", name, False)
        while _note(folder, name) in ("", before):
            if time.monotonic() > deadline:
                raise TargetError(f"{name} does not start; see {folder.log(name)}")
            time.sleep(0.005)


def _note(folder: PlatformFolder, name: str) -> str:
    """The line that the instance's last process left of itself."""
    try:
        return folder.process(name).read_text()
    except FileNotFoundError:
        return ""


def stop(folder: PlatformFolder, name: str, stop_signal: str, timeout: float) -> None:
    """Ends an instance and keeps it down. Returns when its process and the rest of its group are gone."""
    hold(folder, name)
    seen = running(folder, name)
    if seen is None:
        return
    procfs.send(seen.pid, seen.start_time, signal.Signals[f"SIG{stop_signal}"])
    if not procfs.wait_gone(lambda: _there(seen), timeout):
        procfs.send(seen.pid, seen.start_time, signal.SIGKILL)
        if not procfs.wait_gone(lambda: _there(seen), 5):
            raise TargetError(f"{name}: process {seen.pid} does not end")
    for rest in procfs.group_of(seen):
        procfs.send(rest.pid, rest.start_time, signal.SIGKILL)


def _there(seen: procfs.Seen) -> list[int]:
    return [seen.pid] if procfs.alive(seen.pid, seen.start_time) else []


def hold(folder: PlatformFolder, name: str) -> None:
    """From now on the restart policy leaves the instance alone."""
    with folder.locked("hold"):
        folder.held.mkdir(exist_ok=True)
        folder.hold(name).touch()


def kill(folder: PlatformFolder, name: str, signal_name: str) -> Process:
    """Signals the process that runs the instance; after SIGKILL returns when it is gone.

    Raises BadInput for an unknown signal, TargetError when there is no process.
    """
    word = signal_name.removeprefix("SIG")
    if f"SIG{word}" not in signal.Signals.__members__:
        raise BadInput(f"no signal {signal_name!r}", fix="KILL, TERM, INT, HUP, STOP, CONT …")
    seen = running(folder, name)
    if seen is None or not procfs.send(seen.pid, seen.start_time, signal.Signals[f"SIG{word}"]):
        raise TargetError(f"{name} has no running process to signal")
    if word == "KILL":
        procfs.wait_gone(lambda: _there(seen), KILLED_WITHIN_S, every_s=0.001)
    return Process(seen.pid, seen.start_time)


def signal_all(folder: PlatformFolder, name: str, number: signal.Signals) -> None:
    """Signals the instance's process and all below it (a pause must not leave a worker answering)."""
    seen = running(folder, name)
    if seen is None:
        raise TargetError(f"{name} has no running process to signal")
    processes = list(procfs.every())
    below = procfs.descendants([seen.pid], processes)
    for each in processes:
        if each.pid == seen.pid or each.pid in below:
            procfs.send(each.pid, each.start_time, number)


def look(folder: PlatformFolder, state: PlatformState, each: InstanceState) -> Look:
    """Whether the instance serves: alive, and its health check passes (without one: it listens on all its ports)."""
    if running(folder, each.name) is None:
        return Look(False, f"{each.name}: no process")
    service = state.service(each.service)
    if service.health:
        url = f"http://{HOST}:{each.ports[service.health.port]}"
        return http_look(service.health, url, Context(folder, state, each).fill)
    silent = [name for name, port in each.ports.items() if not procfs.listeners(port)]
    return Look(not silent, f"nothing listens on port {', '.join(silent)}" if silent else "listens on all its ports")


def wait_ready(
    folder: PlatformFolder, state: PlatformState, each: InstanceState, cancelled: Callable[[], bool] = lambda: False
) -> None:
    """Waits until the instance serves, on its own ports. Raises PortTaken or TargetError with the reason."""
    service = state.service(each.service)

    def see() -> Look:
        for port in each.ports.values():
            if foreign(folder, each.name, port):  # before asking it: a stranger might answer
                raise PortTaken(each.name, port)
        return look(folder, state, each)

    def hopeless() -> str:
        if cancelled():
            return "given up because another instance failed"
        if running(folder, each.name) is None and gave_up(folder, each.name):
            return f"ended again after each restart (exit code {supervisor.last_exit_code(folder, each.name)})"
        return ""

    ok, attempts = poll(see, service.ready_within, READY_EVERY_S, hopeless)
    if ok:
        return
    if cancelled():
        raise Stopped(f"{each.name}: {attempts[-1].look.evidence}")
    log = tail(folder, each.name, 600)
    reason = f"{each.name} was not ready within {service.ready_within:g} s: {attempts[-1].look.evidence}"
    raise TargetError(f"{reason}\n  its log ends: {log}")


def foreign(folder: PlatformFolder, name: str, port: int) -> bool:
    """Whether somebody who is not this instance listens on the port (or somebody whom we may not look at)."""
    inodes = procfs.listeners(port)
    if not inodes:
        return False
    seen, processes = running(folder, name), list(procfs.every())
    own = {seen.pid, *procfs.descendants([seen.pid], processes)} if seen else set()
    if any(procfs.holds_socket(pid, inodes) for pid in own):
        return False
    marks = {MARK.encode(): folder.id.encode(), INSTANCE_MARK.encode(): name.encode()}
    holders = [each.pid for each in processes if procfs.holds_socket(each.pid, inodes)]
    # one that made itself a daemon descends from nobody of ours, but carries our marks
    return not any(marks.items() <= procfs.environment(pid).items() for pid in holders)


def gave_up(folder: PlatformFolder, name: str) -> bool:
    """Whether the restart policy's last word on the instance is that it stays down."""
    last = [line["what"] for line in restart_policy.read_lines(folder) if line["instance"] == name]
    return bool(last) and last[-1] in ("gave-up", "failed")


def reload(folder: PlatformFolder, state: PlatformState, each: InstanceState, rendered: Rendered) -> float:
    """Makes a running instance take up its files; returns the seconds until they count as in use."""
    service = state.service(each.service)
    how = service.reload
    if how is None or running(folder, each.name) is None:
        return 0.0
    if how.command:
        done = command_look(rendered.reload, rendered.environment, folder.instance(each.name), service.ready_within)
        if not done.ok:
            raise TargetError(f"{each.name}: reloading failed: {done.evidence}")
        return 0.0
    if how.signal:
        kill(folder, each.name, how.signal)
    return how.settle


def tail(folder: PlatformFolder, name: str, characters: int) -> str:
    """The end of an instance's log."""
    try:
        return folder.log(name).read_text(errors="replace")[-characters:].strip() or "(nothing)"
    except OSError:
        return "(no log)"
