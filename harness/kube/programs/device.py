"""A device that is a file on the node: hidden as long as this program lives."""

from __future__ import annotations

import re
import signal
import time
from pathlib import Path

from harness.kube.programs.node import COMMANDS, PROC, fail, init, machine, tell

HIDDEN = ".detached"


def hide(seconds: float, container: str, template: str) -> None:
    """Moves the device's file away; back at the end. `${NAME}` in the path is the container's own variable."""
    environment = Path(f"{PROC}/{init(container)}/environ").read_bytes().decode(errors="replace").split("\0")
    known = dict(entry.split("=", 1) for entry in environment if "=" in entry)
    lacking = [name for name in re.findall(r"\$\{(\w+)\}", template) if name not in known]
    if lacking:
        fail(f"the container has no variable {lacking[0]}")
    file = Path(machine() + re.sub(r"\$\{(\w+)\}", lambda found: known[found[1]], template))
    away = file.with_name(f".{file.name}{HIDDEN}")
    if not file.exists() and not away.exists():
        fail(f"there is no device at {file.name}")
    stopped: list[int] = []
    signal.signal(signal.SIGTERM, lambda *_: stopped.append(1))
    if file.exists():
        file.rename(away)
    tell(ready=True)
    end = time.monotonic() + seconds
    while not stopped and time.monotonic() < end:
        time.sleep(0.1)
    away.rename(file)


def show(folder: str) -> None:
    """Moves back whatever is still away in a folder of the node; how many that were."""
    found = list(Path(machine() + folder).glob(f".*{HIDDEN}"))
    for away in found:
        away.rename(away.with_name(away.name[1:].removesuffix(HIDDEN)))
    tell(shown=len(found))


COMMANDS.update(
    hide=lambda args: hide(float(args[0]), args[1], args[2]),
    show=lambda args: show(args[0]),
)
