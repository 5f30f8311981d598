"""What every part of a run is handed: where it writes, whom it tells, and when it must stop."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from harness.errors import HarnessError
from harness.journal import log
from harness.journal.layout import RunFolder
from harness.model.events import AnyEvent, Problem, Stage, Window
from harness.model.scenario import ScenarioSpec

WindowKind = Literal["warm-up", "steady", "fault", "quiet"]


class StopEarly(HarnessError):
    """A guard or a lost child ends the run before its time; what was recorded is still judged."""


@dataclass
class RunContext:
    """A run under way. `record` is the only way to write into its journal."""

    folder: RunFolder
    spec: ScenarioSpec
    seed: int
    listeners: list[Callable[[AnyEvent], None]] = field(default_factory=list)
    watches: list[Callable[[], None]] = field(default_factory=list)
    interruptible: bool = True  # whether Ctrl-C may still raise: not while the platform is being healed
    _told: int = 0
    _open: Window | None = None

    def record(self, event: AnyEvent) -> AnyEvent:
        """Appends to the journal (fsynced), then tells the listeners; a listener must not fail the run."""
        written = log.append(self.folder.journal, event)
        self.follow()
        return written

    def follow(self) -> None:
        """Tells the listeners what has come into the journal, whichever process of the run wrote it."""
        events, self._told = log.read_from(self.folder.journal, self._told)
        for event in events:
            for listener in self.listeners:
                listener(event)

    def open_window(self, kind: WindowKind, start_ns: int, experiment: str = "") -> None:
        """Closes the window that is open, and begins another; what ends the run early closes the last one."""
        self.close_window(start_ns)
        self._open = Window(kind=kind, experiment=experiment, start_ns=start_ns, end_ns=start_ns)

    def close_window(self, end_ns: int) -> None:
        """Records the open window as [start, end), if there is one."""
        window, self._open = self._open, None
        if window is not None and end_ns > window.start_ns:
            self.record(window.model_copy(update={"end_ns": end_ns}))

    def stage(self, name: str, title: str = "") -> None:
        self.record(Stage(name=name, title=title))

    def problem(self, where: str, text: str) -> None:
        self.record(Problem(where=where, text=text))

    def wait(self, seconds: float) -> None:
        """Sleeps; every watch (children alive, guards) runs about four times a second and may raise StopEarly."""
        self.wait_for(lambda: False, seconds)

    def wait_for(self, condition: Callable[[], bool], seconds: float, every: float = 0.25) -> bool:
        """True as soon as the condition holds, False when the time is over; watches run all the while."""
        end = time.monotonic() + seconds
        while True:
            if condition():
                return True
            left = end - time.monotonic()
            if left <= 0:
                return False
            self.follow()
            for watch in self.watches:
                watch()
            time.sleep(min(every, left))


def new_run_folder(reports: Path, name: str) -> RunFolder:
    """reports/<UTC time>-<name>/ with its sub-folders, absolute; never one that exists."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    for suffix in ["", *(f"-{n}" for n in range(2, 100))]:
        folder = RunFolder(reports.resolve() / f"{stamp}-{name}{suffix}")
        try:
            folder.root.mkdir(parents=True)
        except FileExistsError:
            continue
        for path in (folder.inputs, folder.evidence, folder.logs, folder.work, folder.undo):
            path.mkdir()
        return folder
    raise HarnessError(f"{reports}: cannot find a free name for this run")
