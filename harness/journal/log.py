"""Append-only JSON lines, shared by every process of a run.

A line is written by one write() to a descriptor opened with O_APPEND, which Linux makes whole lines in some order; then
fsynced, because an intent must be on disk before its effect.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from harness.model.events import EVENT, AnyEvent, Problem


def append(journal: Path, event: AnyEvent, durable: bool = True) -> AnyEvent:
    """Stamps the event with time and pid, writes and fsyncs it, and returns it as written.

    What was only seen need not be `durable`: it is on disk with the next event that is.
    """
    stamped = event.model_copy(
        update={
            "mono_ns": event.mono_ns or time.monotonic_ns(),
            "wall_ns": event.wall_ns or time.time_ns(),
            "pid": os.getpid(),
        }
    )
    line = stamped.model_dump_json().encode() + b"\n"
    descriptor = os.open(journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        written = os.write(descriptor, line)
        if written != len(line):
            raise OSError(28, "No space left on device", str(journal))
        if durable:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return stamped


def read(journal: Path) -> tuple[AnyEvent, ...]:
    """All events in the order of the file. A torn or foreign line becomes a Problem event, never an exception."""
    if not journal.exists():
        return (Problem(where=journal.name, text="the journal is missing"),)
    return tuple(_events(journal.read_bytes(), journal.name))


def read_from(journal: Path, offset: int) -> tuple[tuple[AnyEvent, ...], int]:
    """(the events of the whole lines after a byte offset, the offset behind them): to follow a growing journal."""
    with journal.open("rb") as stream:
        stream.seek(offset)
        whole = stream.read().rpartition(b"\n")[0]
    return tuple(_events(whole, journal.name)), offset + len(whole) + bool(whole)


def _events(content: bytes, name: str) -> Iterator[AnyEvent]:
    for number, line in enumerate(content.split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            yield EVENT.validate_json(line)
        except ValidationError as error:
            yield Problem(where=f"{name}:{number}", text=f"unreadable line: {error.errors()[0]['msg']}")
