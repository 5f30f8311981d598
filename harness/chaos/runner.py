"""Runs one experiment: `chaos` as a child in its own session, judged by the journals it leaves."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from harness import children
from harness.chaos import verdict
from harness.children import Child, Steps
from harness.journal import log
from harness.journal.layout import RunFolder
from harness.model.events import ExperimentEnded, FaultGone, FaultIntended, FaultLanded

# chaoslib swallows a SIGTERM that comes while a Python action runs; SIGINT lets it play its roll-backs.
STOP_STEPS: Steps = ((signal.SIGINT, 60.0), (signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0))


@dataclass(frozen=True)
class ExperimentRun:
    """One repetition of an experiment. `id` is as in kill-weaviate#2."""

    id: str
    file: Path
    target: str
    edge: str
    seed: int
    blast_radius: int
    timeout_s: float
    set: Mapping[str, str | int | float] = field(default_factory=dict)

    @property
    def slug(self) -> str:
        return self.id.replace("#", "-")


@dataclass
class Running:
    """An experiment under way."""

    run: ExperimentRun
    folder: RunFolder
    child: Child
    deadline: float
    reason: str = ""
    ended: ExperimentEnded | None = None

    def poll(self) -> ExperimentEnded | None:
        """How it ended; None while it runs. After its time-out it is stopped, which is a mistake of its own."""
        if self.ended is None and self.child.poll() is None and time.monotonic() > self.deadline:
            self.stop(f"ended by the harness after {self.run.timeout_s:g} s")
        if self.ended is None and self.child.poll() is not None:
            self.ended = self._read()
        return self.ended

    def stop(self, reason: str, steps: Steps = STOP_STEPS) -> ExperimentEnded:
        """Ends it early, letting it play its roll-backs; idempotent."""
        if self.ended is None:
            self.reason = self.reason or reason
            self.child.end(steps)
            self.ended = self._read()
        return self.ended

    def _read(self) -> ExperimentEnded:
        found = verdict.read(journal_of(self.folder, self.run), title=self.run.file.stem)
        event = ExperimentEnded(
            experiment=self.run.id,
            title=found.title,
            status=found.status,
            deviated=found.deviated,
            mistakes=(*((self.reason,) if self.reason else ()), *found.mistakes, *unseen(self.folder, self.run.id)),
        )
        log.append(self.folder.journal, event)
        return event


def journal_of(folder: RunFolder, run: ExperimentRun) -> Path:
    """The journal of Chaos Toolkit, kept as evidence."""
    return folder.evidence / "chaos" / f"{run.slug}.json"


def command(folder: RunFolder, run: ExperimentRun) -> list[str]:
    """How `chaos` is called: no look-up of versions, none of the user's settings, roll-backs whatever happens."""
    return [
        sys.executable,
        "-m",
        "chaostoolkit",
        "--no-version-check",
        "--settings",
        str(folder.work / "no-chaostoolkit-settings.yaml"),
        "--log-file",
        str(folder.logs / f"chaos-{run.slug}.log"),
        "run",
        "--rollback-strategy",
        "always",
        "--journal-path",
        str(journal_of(folder, run)),
        *(word for name, value in run.set.items() for word in ("--var", f"{name}:{type(value).__name__}={value}")),
        str(run.file),
    ]


def environment(folder: RunFolder, run: ExperimentRun) -> dict[str, str]:
    """What harness.chaos.context reads on the other side."""
    return {
        "HARNESS_TARGET": run.target,
        "HARNESS_RUN_FOLDER": str(folder.root.resolve()),
        "HARNESS_EXPERIMENT": run.id,
        "HARNESS_SEED": str(run.seed),
        "HARNESS_BLAST_RADIUS": str(run.blast_radius),
        "EDGE_URL": run.edge,
        "PYTHONUNBUFFERED": "1",
    }


def start(folder: RunFolder, run: ExperimentRun) -> Running:
    """Starts the experiment and returns at once. Raises TargetError when `chaos` cannot be started."""
    journal = journal_of(folder, run)
    journal.parent.mkdir(parents=True, exist_ok=True)
    journal.unlink(missing_ok=True)
    child = children.start(
        folder,
        f"chaos {run.id}",
        command(folder, run),
        env=environment(folder, run),
        cwd=run.file.resolve().parent,
        output=folder.logs / f"chaos-{run.slug}.out",
    )
    child.expected = True  # its exit code says nothing; a death is found in its journal
    return Running(run, folder, child, time.monotonic() + run.timeout_s)


def unseen(folder: RunFolder, experiment: str) -> tuple[str, ...]:
    """What the run's own journal lacks: a fault that was not seen to land, or not seen to go."""
    events = log.read(folder.journal)
    intended = [event.fault for event in events if isinstance(event, FaultIntended) and event.experiment == experiment]
    landed = {event.fault for event in events if isinstance(event, FaultLanded) and event.landed}
    gone = {event.fault for event in events if isinstance(event, FaultGone) and event.gone}
    if not intended:
        return ("no fault was injected",)
    return (
        *(f"{fault} was never seen to land" for fault in intended if fault not in landed),
        *(f"{fault} was never seen gone" for fault in intended if fault not in gone),
    )
