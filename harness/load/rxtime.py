"""When the kernel received what a socket gives: the end of a response as the user saw it, not when we came to read it.

A generator that is busy, starved or reads a burst of answers reads late; with the kernel's time (SO_TIMESTAMPNS) that
does not make the server slower than it was. The kernel stamps with the wall clock; the stamp's age is taken off the
monotonic clock at the time of reading, so only a step of the wall clock just between the two could show.
"""

from __future__ import annotations

import socket
import struct
import time

_SO_TIMESTAMPNS = 35  # asm-generic/socket.h; Python's socket module has no name for it
_ROOM = socket.CMSG_SPACE(16)
_MAX_AGE_NS = 60_000_000_000
_stamp = struct.Struct("qq").unpack


def ask(sock: socket.socket) -> None:
    """Has the kernel note when it receives this socket's data."""
    sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)


def keep_on() -> socket.socket:
    """A socket to be held while others come and go: the kernel switches stamping on and off with the first and the
    last socket that asks for it, and patches its own code to do so."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    ask(sock)
    return sock


def receive(sock: socket.socket) -> tuple[bytes, int]:
    """(what has come, when its last byte came in monotonic ns). Raises as recv does."""
    data, ancillary, _, _ = sock.recvmsg(65536, _ROOM)
    now = time.monotonic_ns()
    if ancillary:
        seconds, rest = _stamp(ancillary[0][2])
        age = time.time_ns() - seconds * 1_000_000_000 - rest
        if 0 < age < _MAX_AGE_NS:
            return data, now - age
    return data, now
