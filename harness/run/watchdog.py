"""Waits for the harness to die, and cleans up if it did so without closing its run.

    python -m harness.run.watchdog RUN_FOLDER PID START_TIME

It runs in a session of its own, so that nothing the terminal sends reaches it, and sleeps on a pidfd: it costs nothing
while the run goes on and acts within milliseconds of a kill -9. It leaves when the run is closed.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

from harness import children, proc
from harness.errors import EXIT_NOT_CLEAN, HarnessError, TargetError
from harness.journal import log
from harness.journal.layout import RunFolder
from harness.model.events import Problem, RunClosed
from harness.ports import Process
from harness.run.recover import recover

ARMED = b"armed\n"
ARMED_WITHIN_S = 20.0
LOOK_EVERY_S = 1.0
ATTEMPTS = 5
PAUSE_S = 2.0
CLOSED = b'"event":"run.closed"'
TAIL_BYTES = 1 << 16


def start_watchdog(folder: RunFolder, harness: Process | None = None) -> subprocess.Popen[bytes]:
    """Starts the watchdog over a run of this process (or another) and returns once it is armed.

    It is not recorded as a child: whoever ends a run's processes must not end it. Raises TargetError when it does not
    come up.
    """
    watched = harness or proc.identify(os.getpid())
    if watched is None:
        raise TargetError("there is no process to watch over")
    folder.logs.mkdir(parents=True, exist_ok=True)
    readable, writable = os.pipe()
    try:
        with (folder.logs / "watchdog.log").open("ab") as stream:
            watchdog = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "harness.run.watchdog",
                    str(folder.root.resolve()),
                    str(watched.pid),
                    str(watched.start_time),
                    "--ready-fd",
                    str(writable),
                ],
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                env={**os.environ, children.MARK: children.run_id(folder), children.WATCHDOG_MARK: "1"},
                start_new_session=True,
                pass_fds=[writable],
            )
        os.close(writable)
        writable = -1
        ready, _, _ = select.select([readable], [], [], ARMED_WITHIN_S)
        if not ready or os.read(readable, len(ARMED)) != ARMED:
            watchdog.kill()
            watchdog.wait()
            raise TargetError(f"the watchdog does not come up\n  see {folder.logs / 'watchdog.log'}")
        return watchdog
    finally:
        os.close(readable)
        if writable >= 0:
            os.close(writable)


def is_closed(folder: RunFolder) -> bool:
    """Whether the run was closed, or its folder is gone or sealed. Looks at the journal's end only."""
    if not folder.work.is_dir():
        return True
    try:
        with folder.journal.open("rb") as stream:
            stream.seek(max(0, stream.seek(0, os.SEEK_END) - TAIL_BYTES))
            if CLOSED not in stream.read():
                return False
    except OSError:
        return False
    return any(isinstance(event, RunClosed) for event in log.read(folder.journal))


def watch(folder: RunFolder, harness: Process, descriptor: int | None) -> bool:
    """Returns True when the run was closed, False when the harness died before that."""
    while True:
        if is_closed(folder):
            return True
        if descriptor is None or not proc.is_running(harness):
            return is_closed(folder)
        select.select([descriptor], [], [], LOOK_EVERY_S)


def clean_up(folder: RunFolder, attempts: int = ATTEMPTS, pause_s: float = PAUSE_S) -> int:
    """Recovers the run, again and again when it does not succeed; an exit code."""
    for attempt in range(1, attempts + 1):
        try:
            done = recover(folder, by="watchdog")
        except (HarnessError, OSError) as error:
            _say(f"attempt {attempt}: {error}")
            with contextlib.suppress(OSError):  # the disk may be full; the next attempt is what matters
                log.append(folder.journal, Problem(where="watchdog", text=f"attempt {attempt}: {error}"))
            time.sleep(pause_s)
            continue
        _say(f"undone: {', '.join(done.undone) or '-'}; ended: {', '.join(done.ended) or '-'}")
        return 0
    return EXIT_NOT_CLEAN


def main(arguments: list[str]) -> int:
    """RUN_FOLDER PID START_TIME [--ready-fd N]"""
    folder, harness = RunFolder(Path(arguments[0])), Process(int(arguments[1]), int(arguments[2]))
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    try:
        descriptor: int | None = os.pidfd_open(harness.pid)
    except ProcessLookupError:
        descriptor = None
    _say(f"watching over process {harness.pid} for {folder.root}")
    if arguments[3:4] == ["--ready-fd"]:
        os.write(int(arguments[4]), ARMED)
        os.close(int(arguments[4]))
    if watch(folder, harness, descriptor):
        return 0  # silently: the logs may be sealed by now
    _say(f"process {harness.pid} died before it closed the run")
    return clean_up(folder)


def _say(text: str) -> None:
    with contextlib.suppress(OSError):
        print(f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
