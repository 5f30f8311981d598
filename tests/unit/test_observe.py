"""What a database's silence means: a server that is down cannot write, one that cannot be reached may."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator

import pytest

from harness.run.observe import _Database


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(10.0)
        yield server


def state(port: int) -> str:
    with _Database(f"host=127.0.0.1 port={port} dbname=x user=x password=x sslmode=disable gssencmode=disable") as one:
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
