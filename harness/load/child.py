"""A load child: a process in its own session that tells how it is in a small file, and is ended step by step."""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

from harness import children
from harness.journal.layout import RunFolder
from harness.load.order import RECORD_LOST, Status, read_status
from harness.ports import LoadState

_TERM_S = 3.0
_KILL_S = 5.0


class Child:
    """Starts, watches and ends one child of a run. `title` names it to the user and in the journal ("load", "beacon").

    `env` is added to the harness's own environment, of which names that begin with one of `without` are left out.
    """

    def __init__(
        self,
        title: str,
        argv: Sequence[str],
        folder: RunFolder,
        *,
        env: Mapping[str, str],
        without: tuple[str, ...] = (),
        cwd: Path,
        log: Path,
        status: Path,
        drain_s: float,
    ) -> None:
        self._title, self._argv, self._folder, self._cwd = title, list(argv), folder, cwd
        self._env, self._without = dict(env), without
        self._log, self._status_file, self._drain_s = log, status, drain_s
        self._child: children.Child | None = None
        self._ended: LoadState | None = None

    @property
    def pid(self) -> int | None:
        return self._child.process.pid if self._child else None

    def start(self) -> None:
        """Raises TargetError when the program cannot be started."""
        self._status_file.unlink(missing_ok=True)
        self._child = children.start(
            self._folder,
            self._title,
            self._argv,
            env=self._env,
            without=self._without,
            cwd=self._cwd,
            output=self._log,
        )

    def poll(self) -> LoadState:
        if self._ended is not None:
            return self._ended
        code = self._child.poll() if self._child else None
        return self._state(code, alive=self._child is not None and code is None)

    def stop(self) -> LoadState:
        """SIGINT and the drain, then TERM, then KILL for the whole session; idempotent."""
        if self._ended is None and self._child is not None:
            code = self._child.end(
                (
                    (signal.SIGINT, self._drain_s + _TERM_S),
                    (signal.SIGTERM, _TERM_S),
                    (signal.SIGKILL, _KILL_S),
                )
            )
            if code is None:
                return self._state(code, alive=True)
            self._ended = self._state(code, alive=False)
        return self._ended or self.poll()

    def origin_ns(self) -> int | None:
        """When arrival 0's offset 0 was, monotonic; None until the child has said so."""
        status = read_status(self._status_file)
        return status.origin_ns if status and status.origin_ns >= 0 else None

    def stopped_ns(self) -> int | None:
        """Up to when the schedule was followed; None while it is, and when the child died before it could say."""
        status = read_status(self._status_file)
        return status.until_ns if status and status.until_ns >= 0 else None

    def _state(self, code: int | None, *, alive: bool) -> LoadState:
        status = read_status(self._status_file) or Status()
        return LoadState(
            alive=alive,
            scheduled=status.scheduled,
            recorded=status.recorded,
            exit_code=code,
            in_flight=status.in_flight,
            late_p99_ms=status.late_p99_ms,
            cpu=status.cpu,
            problem=self._problem(code, status),
        )

    def _problem(self, code: int | None, status: Status) -> str:
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
