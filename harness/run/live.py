"""The request record while it grows, as the gate sees it."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from harness.gate import Response
from harness.model.records import Content, Outcome

# Two arrivals may be written in the opposite order of their ends, but never further apart than one flush.
_DISORDER_NS = 1_000_000_000
_NEVER_SENT = (Outcome.DROPPED, Outcome.UNFINISHED, Outcome.SKIPPED)


@dataclass(frozen=True)
class Seen:
    """What ended in [from, until_ns): until then the record is whole; after it, nothing is known.

    Every arrival that was due before `settled_ns` has ended and is recorded. `unsent`: when arrivals were due that the
    generator dropped.
    """

    responses: tuple[Response, ...]
    until_ns: int
    settled_ns: int
    unsent: tuple[int, ...] = ()


Live = Callable[[int], Seen]


class LiveRecord:
    """Follows the load's streams `requests` and `generator` in a folder. Calling it with a time gives what ended since.

    A missing or unreadable stream is a record that is whole until time 0.
    """

    def __init__(self, requests: Path, generator: Path) -> None:
        self._requests, self._generator = requests, generator
        self._rows = self._seconds = 0
        self._responses: list[Response] = []
        self._unsent: list[int] = []
        self._until_ns = self._settled_ns = 0
        self._next_arrival = 0
        self._ahead: dict[int, int] = {}  # arrivals that ended before an earlier one has

    def __call__(self, from_ns: int) -> Seen:
        self._read()
        start = bisect_left(self._responses, from_ns - _DISORDER_NS, key=lambda one: one.finished_ns)
        found = tuple(one for one in self._responses[start:] if from_ns <= one.finished_ns < self._until_ns)
        unsent = tuple(at for at in self._unsent if from_ns <= at < self._until_ns)
        return Seen(found, self._until_ns, self._settled_ns, unsent)

    def _read(self) -> None:
        from harness.load.recorder import RecordError, tail

        try:
            # The generator's row of a second is flushed after the requests that ended in it: read it first.
            generator = tail(self._generator, self._seconds)
            requests = tail(self._requests, self._rows)
        except RecordError:
            return
        self._seconds += generator.num_rows
        self._rows += requests.num_rows
        for row in requests.to_pylist():
            self._ahead[row["arrival"]] = row["intended_ns"]
            if row["outcome"] not in _NEVER_SENT:
                self._responses.append(response(row))
                self._until_ns = max(self._until_ns, row["finished_ns"])
            elif row["outcome"] == Outcome.DROPPED:
                self._unsent.append(row["intended_ns"])
        while (intended := self._ahead.pop(self._next_arrival, None)) is not None:
            self._settled_ns = intended  # schedules ascend, so the next one is not due before this
            self._next_arrival += 1
        if generator.num_rows:
            self._until_ns = max(self._until_ns, generator["at_ns"][-1].as_py())


def response(row: dict[str, object]) -> Response:
    """A row of REQUEST_COLUMNS that was sent and has ended, as the gate counts it."""
    finished, started, intended = (_integer(row[f"{name}_ns"]) for name in ("finished", "started", "intended"))
    answered = row["outcome"] == Outcome.ANSWERED
    content = row["content"]
    return Response(
        finished_ns=finished,
        release=str(row["release"]),
        journey=str(row["journey"]),
        failed=not answered or _integer(row["status"]) >= 400 or content == Content.WRONG,
        right=None if content == Content.UNCHECKED else content == Content.RIGHT,
        least_s=(finished - started) / 1e9,
        most_s=(finished - intended) / 1e9,
        level=_integer(row["level"]),
    )


def _integer(value: object) -> int:
    if not isinstance(value, int):
        raise TypeError(f"{value!r} is no integer")
    return value
