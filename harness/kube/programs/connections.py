"""Takes a PostgreSQL server's connections, and tells whether it has one to give.

No password is needed: the server gives a new connection its place before it asks who is there. It ends one that does
not say within a minute (`authentication_timeout`), which is then opened again.
"""

from __future__ import annotations

import json
import select
import signal
import socket
import struct
import sys
import time

GREETING = b"user\0harness\0database\0postgres\0\0"
STARTUP = struct.pack("!II", 8 + len(GREETING), 196608) + GREETING
REFUSED_PAUSE_S = 0.2


def opened(host: str, port: int, timeout_s: float = 3.0) -> socket.socket:
    connection = socket.create_connection((host, port), timeout_s)
    connection.sendall(STARTUP)
    return connection


def verdict(connection: socket.socket) -> str:
    """The first word of the server: "asks who is there", or the SQLSTATE of its refusal."""
    data = connection.recv(4096)
    if data[:1] == b"R":
        return "asks"
    if data[:1] == b"E":
        fields = {part[:1]: part[1:].decode() for part in data[5:].split(b"\0") if part}
        return fields.get(b"C", "?")
    return "silent"


def look(host: str, port: int) -> None:
    try:
        with opened(host, port) as connection:
            said = verdict(connection)
    except OSError as error:
        said = f"unreachable: {error}"
    print(json.dumps({"said": said}), flush=True)


def take(host: str, port: int, most: int, seconds: float) -> None:
    """Holds up to `most` connections, and asks again for those that were refused or ended."""
    stopped: list[int] = []
    signal.signal(signal.SIGTERM, lambda *_: stopped.append(1))
    held: set[socket.socket] = set()
    end, told = time.monotonic() + seconds, False
    while not stopped and time.monotonic() < end:
        refused = False
        while len(held) < most and not refused and not stopped:
            try:
                connection = opened(host, port)
                refused = verdict(connection) != "asks"
                connection.close() if refused else held.add(connection)
            except OSError:
                refused = True
        if not told:
            print(json.dumps({"ready": True, "held": len(held), "refused": refused}), flush=True)
            told = True
        for connection in select.select(list(held), [], [], REFUSED_PAUSE_S)[0] if held else ():
            held.discard(connection)  # ended by the server
            connection.close()
        if not held:
            time.sleep(REFUSED_PAUSE_S)
    for connection in held:
        connection.close()


def hold(seconds: float) -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    print(json.dumps({"ready": True}), flush=True)
    time.sleep(seconds)


def main(argv: list[str]) -> None:
    """take SECONDS HOST PORT MOST · hold SECONDS · look HOST PORT"""
    if argv[0] == "take":
        take(argv[2], int(argv[3]), int(argv[4]), float(argv[1]))
    elif argv[0] == "hold":
        hold(float(argv[1]))
    else:
        look(argv[1], int(argv[2]))
