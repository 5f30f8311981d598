"""What an experiment's activities are told: by the harness, or by hand for a plain `chaos run`.

Each value comes from the experiment's `configuration` (so `--var edge=http://…` works), else from the environment:

| configuration | environment            | meaning                                          | without it              |
|---------------|------------------------|--------------------------------------------------|-------------------------|
| `target`      | `HARNESS_TARGET`       | reference of the target (`harness up` prints it) | faults are refused      |
| `edge`        | `EDGE_URL`             | base URL that users call                         | asked of the target     |
| `run_folder`  | `HARNESS_RUN_FOLDER`   | where events and undo tokens are written         | a new temporary folder  |
| `experiment`  | `HARNESS_EXPERIMENT`   | this experiment's id, as in `kill-weaviate#2`    | `experiment`            |
| –             | `HARNESS_BLAST_RADIUS` | the most a fault may touch                       | what the fault declares |
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import logging
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.chaos.attach import attach
from harness.chaos.lifecycle import Session
from harness.effort import Meter
from harness.errors import TargetError
from harness.journal import log
from harness.journal.layout import RunFolder

logger = logging.getLogger("chaostoolkit")
Configuration = Mapping[str, Any] | None
VARIABLES = {
    "target": "HARNESS_TARGET",
    "edge": "EDGE_URL",
    "run_folder": "HARNESS_RUN_FOLDER",
    "experiment": "HARNESS_EXPERIMENT",
}


def setting(configuration: Configuration, name: str) -> str:
    """The value from the configuration, else from the environment, else ""."""
    return str((configuration or {}).get(name) or os.environ.get(VARIABLES[name], ""))


def session(configuration: Configuration) -> Session:
    """Where this experiment writes and what it acts on."""
    named = setting(configuration, "run_folder")
    folder = RunFolder(Path(named) if named else _temporary_folder())
    experiment = setting(configuration, "experiment") or "experiment"
    _tell_effort(folder.journal, experiment)
    return Session(
        folder=folder,
        experiment=experiment,
        reference=setting(configuration, "target"),
        attach=attach,
    )


def edge(configuration: Configuration) -> str:
    """Base URL that users call, without a slash at its end. Raises TargetError when nobody tells it."""
    url = setting(configuration, "edge")
    if not url and setting(configuration, "target"):
        url = attach(setting(configuration, "target")).endpoints().edge
    if not url:
        raise TargetError("the edge is not known\n  fix: set EDGE_URL, or --var edge=http://HOST:PORT")
    return url.rstrip("/")


def blast_radius(declared: int) -> int:
    """The smaller of what the experiment declares and what the harness allows."""
    allowed = os.environ.get("HARNESS_BLAST_RADIUS", "")
    return min(declared, int(allowed)) if allowed else declared


@functools.cache
def _tell_effort(journal: Path, experiment: str) -> None:
    """At this process' end, once; not when it is killed."""
    meter = Meter(f"chaos {experiment}")

    def tell() -> None:
        with contextlib.suppress(OSError):
            log.append(journal, meter.read())

    atexit.register(tell)


@functools.cache
def _temporary_folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="chaos-run-"))
    logger.warning(f"events and undo tokens are in {folder}; if this is interrupted: harness recover {folder}")
    return folder
