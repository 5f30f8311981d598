"""Which database takes writes, asked of each from outside all through the run."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.model.records import PRIMARY_COLUMNS
from harness.run.clocks import every

if TYPE_CHECKING:
    import pyarrow as pa

    from harness.ports import Standstill

ASK_EVERY_S = 0.25
ASK_TIMEOUT_S = 2.0
LOOK_EVERY_S = 0.5  # whoever runs a database may have to start a program for it
NOTE_EVERY_S = 5.0
LOG_EVERY_S = 2.0
LOG_WITHIN_S = 30.0  # what a log does not tell by then it never does
AWAY = ("unreachable", "stopped")
# PostgreSQL's own words while it lets nobody in yet; "shutting down" is none of them, since open sessions may go on.
NOT_YET_UP = ("database system is starting up", "not yet accepting connections", "database system is in recovery mode")
# … and when it does, in its log: a primary, started as one or promoted; a standby.
TAKES_WRITES = "database system is ready to accept connections"
TAKES_READS = "database system is ready to accept read-only connections"


class PrimaryWatch:
    """Asks every database four times a second whether it takes writes; one thread and one file of JSON lines each.

    "writable" is what the database says of itself (`pg_is_in_recovery() = false` and not read-only): two of them
    writable at once would be a split brain, however short. While one does not answer, whoever runs it is asked whether
    it stands still. Of one that is back as a standby its log tells what it was since it last surely stood still: a
    busy machine that comes up answers nobody in its first seconds.
    """

    def __init__(
        self, databases: Mapping[str, str], folder: Path, standstills: Mapping[str, Standstill] | None = None
    ) -> None:
        self._stop = threading.Event()
        self._absences = {region: Absence(each) for region, each in (standstills or {}).items()}
        self._threads = [
            threading.Thread(
                target=self._watch,
                args=(region, address, folder / f"primaries-{region}.jsonl", (standstills or {}).get(region)),
                daemon=True,
            )
            for region, address in databases.items()
        ]
        for thread in self._threads:
            thread.start()

    def _watch(self, region: str, address: str, file: Path, standstill: Standstill | None) -> None:
        with file.open("a", buffering=1) as out, _Database(address, standstill is None) as database:
            note = every(NOTE_EVERY_S, standstill.note) if standstill else lambda: None
            still = standstill.look if standstill else lambda: False
            absence = self._absences.get(region)
            state = ""

            def write(asked_ns: int, answered_ns: int, state: str) -> None:
                row = {"asked_ns": asked_ns, "answered_ns": answered_ns, "region": region, "state": state}
                out.write(json.dumps(row) + "\n")

            while not self._stop.is_set():
                asked = time.monotonic_ns()
                if state in AWAY and still():
                    state = "stopped"
                else:
                    note()
                    before, state = state, database.state()
                    if state == "unreachable" and before not in AWAY and still():
                        state = "stopped"
                answered = time.monotonic_ns()
                write(asked, answered, state)
                if absence and (since := absence.unwritten_since(answered, state)) is not None:
                    write(since, answered, "unwritten")
                self._stop.wait(LOOK_EVERY_S if state == "stopped" else ASK_EVERY_S)

    def settled(self) -> bool:
        """Whether no database is back as a standby of whose absence its log has yet to tell."""
        return all(absence.told for absence in self._absences.values())

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(ASK_TIMEOUT_S + 1)


@dataclass
class Absence:
    """Of a database that came back as a standby: since when nothing of it took writes, by its log. `told`: nothing is
    waited for."""

    standstill: Standstill
    told: bool = True
    _held_ns: int | None = None  # the latest look that held
    _since_ns: list[int] = field(default_factory=list)  # each that was followed by no answer at all
    _first_ns: int = 0
    _next_ns: int = 0

    def unwritten_since(self, now_ns: int, state: str) -> int | None:
        """Monotonic nanoseconds, once when it is told; None while there is nothing to tell."""
        if state == "stopped":
            self._held_ns = now_ns
        elif state == "unreachable" and self._held_ns is not None:
            self._since_ns.append(self._held_ns)
            self._held_ns = None
        elif state == "writable":
            self._held_ns = None
            self._since_ns.clear()
        if state != "standby" or not self._since_ns:
            self.told, self._first_ns = True, 0
            return None
        self._first_ns = self._first_ns or now_ns
        self.told = False
        if now_ns < self._next_ns:
            return None
        self._next_ns = now_ns + int(LOG_EVERY_S * 1e9)
        texts = self.standstill.logged([since / 1e9 for since in self._since_ns])
        found = zip(self._since_ns, texts, strict=True)
        since = next((at for at, text in found if text and TAKES_READS in text and TAKES_WRITES not in text), None)
        if any(text is not None for text in texts) or now_ns - self._first_ns > LOG_WITHIN_S * 1e9:
            self.told = True
            self._since_ns.clear()
        return since


class _Database:
    """One connection, made again after each failure. `own`: its address is the server's own, so that a refused
    connection is the server's word; that of a Service is refused also where none of its pods is Ready."""

    def __init__(self, address: str, own: bool = True) -> None:
        self._address, self._own = address, own
        self._connection: Any = None

    def __enter__(self) -> _Database:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def state(self) -> str:
        """As in PRIMARY_COLUMNS: writable, standby, refused or unreachable; told within about ASK_TIMEOUT_S."""
        import psycopg

        until = time.monotonic() + ASK_TIMEOUT_S
        try:
            if self._connection is None:
                self._connection = psycopg.connect(
                    self._address,
                    autocommit=True,
                    connect_timeout=int(ASK_TIMEOUT_S),
                    options=f"-c statement_timeout={int(ASK_TIMEOUT_S * 1000)}",
                    application_name="harness-primary-watch",
                )
            with _cut(self._connection.pgconn.socket, until - time.monotonic()):
                row = self._connection.execute(
                    "select pg_is_in_recovery() or current_setting('default_transaction_read_only')::bool"
                ).fetchone()
        except psycopg.Error as error:
            self._close()
            return "refused" if self._refuses(str(error), until - time.monotonic()) else "unreachable"
        return "standby" if row is None or row[0] else "writable"

    def _refuses(self, error: str, within_s: float) -> bool:
        """Whether the server is surely down: it says that it is still starting, or nothing listens at its own port.
        What was silent for all of the time did not refuse."""
        from psycopg.conninfo import conninfo_to_dict

        if any(words in error for words in NOT_YET_UP):
            return True
        if not self._own:
            return False
        where = conninfo_to_dict(self._address)
        try:
            address = (str(where.get("hostaddr") or where["host"]), int(where.get("port") or 5432))
            if within_s > 0:
                socket.create_connection(address, within_s).close()
        except ConnectionRefusedError:
            return True
        except (OSError, KeyError, ValueError):
            return False
        return False


@contextmanager
def _cut(descriptor: int, after_s: float) -> Iterator[None]:
    """Ends a connection that is still waited on after so many seconds: a machine that lost its power says nothing."""

    def cut() -> None:
        with suppress(OSError), socket.socket(fileno=os.dup(descriptor)) as open_still:
            open_still.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(max(0.0, after_s), cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()


def collect_primaries(work: Path) -> pa.Table:
    """The watch's files as one table with PRIMARY_COLUMNS; a torn last line is left out."""
    import pyarrow as pa

    rows: dict[str, list[object]] = {name: [] for name in PRIMARY_COLUMNS}
    for file in sorted(work.glob("primaries-*.jsonl")):
        for line in file.read_text().splitlines():
            try:
                row = json.loads(line)
            except ValueError:
                continue
            for name, values in rows.items():
                values.append(row[name])
    types = {"int64": pa.int64(), "string": pa.string()}
    return pa.table({name: pa.array(rows[name], types[kind]) for name, kind in PRIMARY_COLUMNS.items()})
