"""Child processes of a run: started in their own session, marked, recorded in the journal, and ended for certain.

Each child carries `HARNESS_RUN=<run id>` in its environment, and so does everything that it starts: whoever cleans up
finds them all, from cold. No child gets PR_SET_PDEATHSIG: a chaos process that lives a little longer than the harness
still plays its own roll-backs, and the watchdog ends the rest.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness import proc
from harness.errors import TargetError
from harness.journal import log
from harness.journal.layout import RunFolder
from harness.model.events import ChildEnded, ChildStarted
from harness.ports import Process

MARK = "HARNESS_RUN"
WATCHDOG_MARK = "HARNESS_WATCHDOG"
Steps = Sequence[tuple[signal.Signals, float]]
# Chaos and Locust finish in order on SIGINT; SIGTERM is for programs that do not know it; SIGKILL always works.
GENTLY: Steps = ((signal.SIGINT, 10.0), (signal.SIGTERM, 3.0), (signal.SIGKILL, 5.0))
AT_ONCE: Steps = ((signal.SIGKILL, 5.0),)
POLL_S = 0.02


def _is_marked(process: Process, folder: RunFolder) -> bool:
    return proc.environment(process.pid).get(MARK) == run_id(folder)


def run_id(folder: RunFolder) -> str:
    """What marks a run's processes: its folder's absolute path, so that equal names elsewhere are not meant."""
    return str(folder.root.resolve())


@dataclass
class Child:
    """A child under way: the leader of its own session and process group."""

    name: str
    folder: RunFolder
    popen: subprocess.Popen[bytes]
    process: Process
    expected: bool = False
    _told: bool = False

    def poll(self) -> int | None:
        """The exit code, negative for a signal; None while it runs. Its end is recorded the first time it is seen."""
        code = self.popen.poll()
        if code is not None and not self._told:
            self._told = True
            log.append(
                self.folder.journal,
                ChildEnded(name=self.name, child_pid=self.process.pid, code=code, expected=self.expected or code == 0),
            )
        return code

    def wait(self, timeout_s: float) -> int | None:
        """The exit code, or None when it still runs after this time."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.popen.wait(timeout_s)
        return self.poll()

    def end(self, steps: Steps = GENTLY) -> int | None:
        """Ends the child and everything in its session; idempotent. Returns the child's exit code.

        One that had ended by itself before is recorded as it ended: nobody had asked for that.
        """
        self.poll()
        self.expected = True
        end(self._members, steps)
        return self.wait(1.0)

    def _members(self) -> list[Process]:
        self.popen.poll()
        same_session = (each for each in proc.in_session(self.process.pid) if _is_marked(each, self.folder))
        return list({each for each in (self.process, *same_session) if proc.is_running(each)})


def start(
    folder: RunFolder,
    name: str,
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    without: tuple[str, ...] = (),
    cwd: Path | None = None,
    output: Path | None = None,
    pass_fds: Sequence[int] = (),
) -> Child:
    """Starts a child in its own session, so that Ctrl-C in the terminal does not reach it, and records it.

    `env` is added to the harness's own environment, of which names that begin with one of `without` are left out.
    Standard output and error go to `output`, by default logs/<name>.log. Raises TargetError when the
    program cannot be started.
    """
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(without)}
    environment = {**inherited, **(env or {}), MARK: run_id(folder)}
    file = output or folder.logs / f"{name.replace('#', '-')}.log"
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("ab") as stream:
        try:
            popen = subprocess.Popen(
                list(argv),
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                env=environment,
                cwd=cwd,
                start_new_session=True,
                pass_fds=pass_fds,
            )
        except OSError as error:
            raise TargetError(f"{argv[0]} cannot be started: {error.strerror}") from None
    process = proc.identify(popen.pid) or Process(popen.pid, 0)
    log.append(folder.journal, ChildStarted(name=name, child_pid=popen.pid, started_at=float(process.start_time)))
    return Child(name, folder, popen, process)


def recorded(folder: RunFolder) -> Iterator[tuple[str, Process]]:
    """(name, process) of each child that the journal says was started and not ended."""
    events = log.read(folder.journal)
    ended = {event.child_pid for event in events if isinstance(event, ChildEnded)}
    for event in events:
        if isinstance(event, ChildStarted) and event.child_pid not in ended:
            yield event.name, Process(event.child_pid, int(event.started_at))


def leftovers(folder: RunFolder) -> dict[Process, str]:
    """Every process of a run that still runs, with its name: recorded children, and all that carry the run's mark.

    Never this process, what it descends from, or the run's watchdog.
    """
    spared = set(_ancestors(os.getpid()))
    found: dict[Process, str] = {}
    with contextlib.suppress(OSError):  # without a readable journal the mark finds them all the same, without names
        found = {process: name for name, process in recorded(folder) if proc.is_running(process)}
    for process in proc.with_mark(MARK, run_id(folder)):
        found.setdefault(process, proc.command(process.pid)[:80])
    return {
        process: name
        for process, name in found.items()
        if process.pid not in spared and not proc.environment(process.pid).get(WATCHDOG_MARK)
    }


def end_all(folder: RunFolder, steps: Steps = AT_ONCE) -> tuple[dict[Process, str], dict[Process, str]]:
    """Ends every process of a run. Returns (those that were ended, those that still run)."""
    seen: dict[Process, str] = {}

    def there() -> list[Process]:
        found = leftovers(folder)
        seen.update(found)
        return list(found)

    remaining = set(end(there, steps))
    return (
        {process: name for process, name in seen.items() if process not in remaining},
        {process: name for process, name in seen.items() if process in remaining},
    )


def end(there: Callable[[], Sequence[Process]], steps: Steps) -> Sequence[Process]:
    """Signals what is there, step by step, until nothing is there any more; returns what still is.

    What is there is looked up again each time: a process may have started another one while it was being ended.
    """
    present = there()
    for number, patience_s in steps:
        signalled: set[Process] = set()
        deadline = time.monotonic() + patience_s
        while present:
            for process in set(present) - signalled:
                send(process, number)
                signalled.add(process)
            while any(map(proc.is_running, present)) and time.monotonic() < deadline:
                time.sleep(POLL_S)
            present = there()
            if time.monotonic() >= deadline:
                break
    return present


def send(process: Process, number: signal.Signals) -> bool:
    """Signals exactly this process; False when it is gone.

    The descriptor is taken before the identity is compared, so that no other process can have taken the pid.
    """
    try:
        descriptor = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return False
    try:
        if not proc.is_running(process):
            return False
        signal.pidfd_send_signal(descriptor, number)
        return True
    except ProcessLookupError:
        return False
    finally:
        os.close(descriptor)


def _ancestors(pid: int) -> Iterator[int]:
    while pid > 0:
        yield pid
        pid = proc.parent(pid)
