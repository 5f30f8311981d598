"""What a database's silence means: a server that is down cannot write, one that cannot be reached may."""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from harness.run.primaries import (
    ASK_TIMEOUT_S,
    LOG_WITHIN_S,
    TAKES_READS,
    TAKES_WRITES,
    Absence,
    PrimaryWatch,
    _Database,
)


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(10.0)
        yield server


def state(port: int, own: bool = True) -> str:
    address = f"host=127.0.0.1 port={port} dbname=x user=x password=x sslmode=disable gssencmode=disable"
    with _Database(address, own) as one:
        return one.state()


def answering(server: socket.socket, answer: bytes) -> threading.Thread:
    """Says this to the first that connects; whoever comes later is let in and told nothing."""

    def once() -> None:
        connection, _ = server.accept()
        with connection:
            connection.recv(1024)
            connection.sendall(answer)

    thread = threading.Thread(target=once, daemon=True)
    thread.start()
    return thread


def fatal(message: str, code: str = "57P03") -> bytes:
    """PostgreSQL's ErrorResponse: https://www.postgresql.org/docs/current/protocol-message-formats.html"""
    fields = f"SFATAL\0VFATAL\0C{code}\0M{message}\0\0".encode()
    return b"E" + struct.pack("!i", len(fields) + 4) + fields


def test_nobody_listens(listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    listener.close()
    assert state(port) == "refused"
    assert state(port, own=False) == "unreachable", "a Service refuses for servers that run and are not Ready"


def test_somebody_listens_and_says_nothing_useful(listener: socket.socket) -> None:
    answering(listener, b"")
    assert state(listener.getsockname()[1]) == "unreachable"


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("the database system is starting up", "refused"),
        ("the database system is not yet accepting connections", "refused"),
        ("the database system is shutting down", "unreachable"),
        ("sorry, too many clients already", "unreachable"),
    ],
)
def test_what_the_server_says_of_itself(listener: socket.socket, message: str, expected: str) -> None:
    answering(listener, fatal(message))
    assert state(listener.getsockname()[1]) == expected


def test_one_that_falls_silent_is_given_up_in_time(listener: socket.socket) -> None:
    """A machine without power sends no end of its connections: nothing but the time tells."""
    come = b"R" + struct.pack("!ii", 8, 0) + b"Z" + struct.pack("!i", 5) + b"I"  # authenticated, ready for a query
    held = []

    def serve() -> None:
        connection, _ = listener.accept()
        held.append(connection)
        connection.recv(1024)
        connection.sendall(come)

    threading.Thread(target=serve, daemon=True).start()
    began = time.monotonic()
    assert state(listener.getsockname()[1]) == "unreachable"
    assert ASK_TIMEOUT_S - 0.1 <= time.monotonic() - began < ASK_TIMEOUT_S + 1
    held[0].settimeout(5)
    assert b"pg_is_in_recovery" in held[0].recv(4096)  # it was asked


class Told:
    """Whoever runs the database: says what it is told to say."""

    def __init__(self) -> None:
        self.still, self.noted = False, 0
        self.log: list[str | None] = []

    def note(self) -> None:
        self.noted += 1

    def look(self) -> bool:
        return self.still

    def logged(self, since_s: Sequence[float]) -> Sequence[str | None]:
        return [self.log.pop(0) if self.log else None for _ in since_s]


def rows_of(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def until(rows: Callable[[], Sequence[dict[str, Any]]], state: str, after: int = 0) -> int:
    """How many rows there were when one of this state came, later than `after`."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        found = rows()
        if any(row["state"] == state for row in found[after:]):
            return len(found)
        time.sleep(0.02)
    raise AssertionError(f"no {state} in {rows()}")


def test_one_that_does_not_answer_is_asked_after_until_it_does(listener: socket.socket, tmp_path: Path) -> None:
    answers = [b""]

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.recv(1024)
                connection.sendall(answers[0])

    listener.settimeout(None)
    threading.Thread(target=serve, daemon=True).start()
    address = f"host=127.0.0.1 port={listener.getsockname()[1]} dbname=x user=x password=x sslmode=disable"
    told = Told()
    watch = PrimaryWatch({"lax": f"{address} gssencmode=disable"}, tmp_path, {"lax": told})

    def rows() -> list[dict[str, Any]]:
        return rows_of(tmp_path / "primaries-lax.jsonl")

    try:
        seen = until(rows, "unreachable")  # by silence alone
        assert told.noted == 1  # who runs it, and not at every question
        told.still = True
        seen = until(rows, "stopped", seen)
        told.still, answers[0] = False, fatal("the database system is starting up")
        seen = until(rows, "refused", seen)
        told.still = True  # it answers, so nobody is asked about it
        seen = until(rows, "refused", seen)
        answers[0] = b""
        until(rows, "stopped", seen)
    finally:
        watch.stop()
    assert all(row["asked_ns"] <= row["answered_ns"] for row in rows())


def test_without_anybody_to_ask_silence_stays_silence(listener: socket.socket, tmp_path: Path) -> None:
    answering(listener, b"")
    address = f"host=127.0.0.1 port={listener.getsockname()[1]} dbname=x user=x password=x sslmode=disable"
    watch = PrimaryWatch({"lax": f"{address} gssencmode=disable"}, tmp_path)
    try:
        until(lambda: rows_of(tmp_path / "primaries-lax.jsonl"), "unreachable")
    finally:
        watch.stop()


S = 1_000_000_000
STANDBY_LOG, PRIMARY_LOG = f"1 [2] LOG:  {TAKES_READS}\n", f"1 [2] LOG:  {TAKES_WRITES}\n"


def told_at(log: list[str | None], *states: tuple[int, str]) -> list[int | None]:
    """What is told when it is in these states at these seconds."""
    told = Told()
    told.log = log
    absence = Absence(told)
    return [absence.unwritten_since(at * S, state) for at, state in states]


def test_one_that_was_out_of_sight_is_told_by_its_log_since_it_last_stood_still() -> None:
    log: list[str | None] = [None, STANDBY_LOG, PRIMARY_LOG]
    states = [(1, "stopped"), (2, "stopped"), (3, "unreachable"), (4, "unreachable")]
    back = [(6, "refused"), (7, "standby"), (8, "standby"), (9, "standby"), (12, "standby")]
    assert told_at(log, *states, *back) == [None] * 7 + [2 * S, None]
    assert log == [PRIMARY_LOG], "not asked again at once, and never after it told"


def test_the_longest_absence_that_its_log_tells_of() -> None:
    states = [(1, "stopped"), (2, "unreachable"), (3, "stopped"), (4, "unreachable"), (5, "stopped"), (6, "standby")]
    for log, since in (
        ([STANDBY_LOG, STANDBY_LOG], 1),
        ([None, STANDBY_LOG], 3),
        ([PRIMARY_LOG + STANDBY_LOG, STANDBY_LOG], 3),
    ):
        assert told_at([*log], *states) == [None] * 5 + [since * S]


@pytest.mark.parametrize("log", [PRIMARY_LOG, STANDBY_LOG + PRIMARY_LOG, PRIMARY_LOG + STANDBY_LOG, "", "up\n"])
def test_a_log_that_shows_a_primary_or_no_standby_tells_nothing(log: str) -> None:
    states = [(1, "stopped"), (2, "unreachable"), (3, "standby"), (9, "standby")]
    assert told_at([log, STANDBY_LOG], *states) == [None] * 4


@pytest.mark.parametrize(
    "states",
    [
        [(1, "standby"), (2, "unreachable"), (3, "standby")],  # nobody said that it stood still
        [(1, "unreachable"), (2, "stopped"), (3, "standby")],  # before it did, it was out of sight
        [(1, "stopped"), (2, "standby")],  # never out of sight
        [(1, "stopped"), (2, "unreachable"), (3, "writable"), (4, "standby")],
    ],
)
def test_without_a_look_that_held_before_there_is_nothing_to_tell(states: list[tuple[int, str]]) -> None:
    assert told_at([STANDBY_LOG], *states) == [None] * len(states)


def test_a_log_is_waited_for_while_it_is_a_standby_and_not_for_ever() -> None:
    told = Told()
    absence = Absence(told)

    def settled(at: int, state: str) -> bool:
        absence.unwritten_since(at * S, state)
        return absence.told

    assert settled(1, "stopped")
    assert settled(2, "unreachable"), "it may never come back"
    assert not settled(3, "standby")
    assert settled(4, "unreachable")
    assert not settled(5, "standby")
    assert not settled(34, "standby")
    assert settled(5 + int(LOG_WITHIN_S) + 3, "standby")
    told.log = [STANDBY_LOG]
    assert settled(60, "standby")
    assert told.log, "given up"
