"""A load child: a process in its own session that tells how it is in a small file, and is ended step by step."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from harness.load.order import RECORD_LOST, Status, read_status
from harness.ports import LoadState

_TERM_S = 3.0


class Child:
    """Starts, watches and ends one process group. `title` names it to the user ("load", "beacon")."""

    def __init__(
        self, title: str, argv: Sequence[str], env: dict[str, str], cwd: Path, log: Path, status: Path, drain_s: float
    ) -> None:
        self._title, self._argv, self._env, self._cwd = title, list(argv), env, cwd
        self._log, self._status_file, self._drain_s = log, status, drain_s
        self._process: subprocess.Popen[bytes] | None = None
        self._ended: LoadState | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def start(self) -> None:
        self._log.parent.mkdir(parents=True, exist_ok=True)
        self._status_file.unlink(missing_ok=True)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._env,
                cwd=self._cwd,
                start_new_session=True,
            )

    def poll(self) -> LoadState:
        if self._ended is not None:
            return self._ended
        code = self._process.poll() if self._process else None
        return self._state(code, alive=self._process is not None and code is None, asked=False)

    def stop(self) -> LoadState:
        """SIGINT and the drain, then TERM, then KILL for the whole group; idempotent."""
        if self._ended is None and self._process is not None:
            asked = self._process.poll() is None
            for number, patience in ((signal.SIGINT, self._drain_s + _TERM_S), (signal.SIGTERM, _TERM_S)):
                if self._process.poll() is None:
                    self._process.send_signal(number)
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        self._process.wait(patience)
            with contextlib.suppress(ProcessLookupError):  # also what the child may have left in its group
                os.killpg(self._process.pid, signal.SIGKILL)
            self._ended = self._state(self._process.wait(), alive=False, asked=asked)
        return self._ended or self.poll()

    def origin_ns(self) -> int | None:
        """When arrival 0's offset 0 was, monotonic; None until the child has said so."""
        status = read_status(self._status_file)
        return status.origin_ns if status and status.origin_ns >= 0 else None

    def stopped_ns(self) -> int | None:
        """Up to when the schedule was followed; None while it is, and when the child died before it could say."""
        status = read_status(self._status_file)
        return status.until_ns if status and status.until_ns >= 0 else None

    def _state(self, code: int | None, *, alive: bool, asked: bool) -> LoadState:
        status = read_status(self._status_file) or Status()
        return LoadState(
            alive=alive,
            scheduled=status.scheduled,
            recorded=status.recorded,
            exit_code=code,
            in_flight=status.in_flight,
            late_p99_ms=status.late_p99_ms,
            cpu=status.cpu,
            problem=self._problem(code, status, asked=asked),
        )

    def _problem(self, code: int | None, status: Status, *, asked: bool) -> str:
        if status.problem:
            return f"the {self._title}: {status.problem}"
        if status.mistakes:
            return f"the {self._title} made {status.mistakes} mistakes of its own, the first: {status.mistake}"
        if code is None:
            return ""
        how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
        if code == RECORD_LOST:
            return f"the {self._title} could not write its record (disk full?)"
        if code != 0:
            return f"the {self._title} {how}: {last_line(self._log)}"
        if not status.done:
            return f"the {self._title} {how} without closing its record"
        if status.scheduled != status.recorded:
            return f"the {self._title} recorded {status.recorded} of {status.scheduled} arrivals"
        return ""


def last_line(log: Path) -> str:
    """The last line that says something, for an error message."""
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()] if log.exists() else []
    return lines[-1].strip()[:300] if lines else "it said nothing"
