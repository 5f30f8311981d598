"""Undo tokens: what must be undone, as data on disk, written before the fault and renamed when it is seen gone.

work/undo/<fault>.json → work/undo/<fault>.json.done. Any process can carry them out, also long after everything that
made them has died.
"""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import JsonValue, ValidationError

from harness.errors import CleanUpNotProven
from harness.journal.layout import RunFolder
from harness.model.base import Frozen
from harness.ports import Selection

DONE = ".done"


class UndoToken(Frozen):
    """One injected fault. Times are wall nanoseconds; after `deadline_wall_ns` it is overdue. `platform`: the whole
    that the target is a part of, "" when it is the whole. `outlives`: it stays when that has gone down; None:
    its version did not say."""

    fault: str
    kind: str
    experiment: str
    target: str
    platform: str = ""
    outlives: bool | None = None
    selection: tuple[str, ...]
    before: dict[str, str] = {}
    parameters: dict[str, JsonValue]
    created_wall_ns: int
    deadline_wall_ns: int

    @property
    def selected(self) -> Selection:
        return Selection(self.selection, self.before, self.deadline_wall_ns)

    def acts_on(self, platform: str) -> bool:
        return platform in (self.target, self.platform)


def file_of(folder: RunFolder, fault: str) -> Path:
    return folder.undo / f"{fault.replace('/', '-').replace('#', '-')}.json"


def write(folder: RunFolder, token: UndoToken) -> Path:
    """The token's file, whole and on disk when this returns."""
    folder.undo.mkdir(parents=True, exist_ok=True)
    file = file_of(folder, token.fault)
    temporary = file.with_suffix(f".{os.getpid()}.new")
    with temporary.open("w") as stream:
        stream.write(token.model_dump_json(indent=2))
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(file)
    _sync(folder.undo)
    return file


def find(folder: RunFolder, fault: str) -> tuple[UndoToken | None, bool]:
    """(the fault's token or None, whether it is done)."""
    file = file_of(folder, fault)
    if file.exists():
        return read(file), False
    done = file.with_name(file.name + DONE)
    return (read(done), True) if done.exists() else (None, False)


def files(folder: RunFolder) -> list[Path]:
    """The files of all tokens that are not done."""
    return sorted(folder.undo.glob("*.json"))


def read(file: Path) -> UndoToken:
    """Raises CleanUpNotProven: an unreadable token stands for something that is perhaps still broken."""
    try:
        return UndoToken.model_validate_json(file.read_bytes())
    except (OSError, ValidationError) as error:
        raise CleanUpNotProven(f"{file}: this undo token cannot be read: {str(error).splitlines()[0]}") from error


def read_unless_done(file: Path) -> UndoToken | None:
    """None when another process has marked it done meanwhile. Raises CleanUpNotProven when it cannot be read."""
    while True:
        try:
            return read(file)
        except CleanUpNotProven as doubt:
            if not isinstance(doubt.__cause__, FileNotFoundError):
                raise
            if not file.exists():  # else its fault was made again meanwhile
                if file.with_name(file.name + DONE).exists():
                    return None
                raise


def pending(folder: RunFolder) -> tuple[UndoToken, ...]:
    """All tokens that are not done, newest first. Raises CleanUpNotProven when one cannot be read."""
    tokens = [token for file in files(folder) if (token := read_unless_done(file))]
    return tuple(sorted(tokens, key=lambda token: -token.created_wall_ns))


def mark_done(folder: RunFolder, token: UndoToken) -> None:
    """Idempotent: another process may have been faster."""
    file = file_of(folder, token.fault)
    try:
        file.replace(file.with_name(file.name + DONE))
    except FileNotFoundError:
        return
    _sync(folder.undo)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
