"""What each key may hold after a time, by the ledger of the writes and deletes that were sent.

A key is a register. An acknowledged operation took effect between its sending and its acknowledgement; one without
acknowledgement at any time after its sending, or never. So the last state of a key is as acknowledged when it is that
of an operation which no acknowledged one certainly followed (sent after the first was acknowledged), or of one without
acknowledgement. Everything else is lost, stale or resurrected.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

DELETE = "delete"
COLUMNS = ("key", "text_sha256", "sent_ns", "acknowledged_ns", "operation")


@dataclass(frozen=True)
class Operation:
    """A write of a text, or (None) a delete; -1: never acknowledged."""

    text_sha256: str | None
    sent_ns: int
    acknowledged_ns: int


@dataclass(frozen=True)
class Expectation:
    """What a key may hold: the state of one of the `last` acknowledged operations, or of an `open_` one, from its
    sending on."""

    key: str
    last: tuple[Operation, ...]
    open_: tuple[Operation, ...] = ()

    @property
    def acknowledged_ns(self) -> int:
        return max(operation.acknowledged_ns for operation in self.last)

    def in_flight(self, at_ns: int) -> frozenset[str | None]:
        """What the operations left that were sent after this time, or acknowledged after it."""
        return frozenset(
            operation.text_sha256
            for operation in self.open_
            if operation.sent_ns >= at_ns or operation.acknowledged_ns >= at_ns
        )

    def state(self, text_sha256: str | None, copies: int, read_ns: int) -> str:
        """The class of what was read at this time; None: the key was not there."""
        sent = [operation for operation in self.open_ if operation.sent_ns < read_ns]
        if any(operation.text_sha256 == text_sha256 for operation in (*self.last, *sent)):
            if text_sha256 is None:
                return "deleted"
            return "present" if copies == 1 else "duplicated"
        if text_sha256 is None:
            return "lost"
        if all(operation.text_sha256 is None for operation in self.last):
            return "resurrected"
        return "stale" if copies == 1 else "duplicated"


def expectations(ledger: pa.Table, before_ns: int) -> dict[str, Expectation]:
    """By key, for every key with an operation acknowledged before this time."""
    operations: dict[str, list[Operation]] = {}
    columns = (ledger.column(name).to_pylist() for name in COLUMNS)
    for key, text, sent, acknowledged, kind in zip(*columns, strict=True):
        told = Operation(None if kind == DELETE else text, sent, acknowledged)
        operations.setdefault(key, []).append(told)
    found = (expectation(key, told, before_ns) for key, told in operations.items())
    return {one.key: one for one in found if one is not None}


def expectation(key: str, operations: Iterable[Operation], before_ns: int) -> Expectation | None:
    """None when nothing about this key was acknowledged before this time."""
    settled: list[Operation] = []
    open_: list[Operation] = []
    for operation in operations:
        (settled if 0 <= operation.acknowledged_ns < before_ns else open_).append(operation)
    if not settled:
        return None
    latest = max(operation.sent_ns for operation in settled)
    last = tuple(operation for operation in settled if operation.acknowledged_ns >= latest)
    return Expectation(key, last, tuple(open_))
