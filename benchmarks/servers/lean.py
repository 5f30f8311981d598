"""A fast HTTP server that answers every request with 200 and a short JSON body; for measuring load generators.

    python benchmarks/servers/lean.py [--stall 2 --every 20 --ledger FILE]

It prints its port. With --stall it stops answering for so many seconds at the end of every so many, and answers what
came meanwhile afterwards. GET /count tells how many requests it has answered. Its own ledger (per request: received,
answered; monotonic ns as two little-endian int64) is the truth that a generator's figures are measured against; it is
written when its standard input is closed.
"""

from __future__ import annotations

import argparse
import asyncio
import struct
import sys
import time
from pathlib import Path

import uvloop

HEAD = (
    b"HTTP/1.1 200 OK\r\nx-release: 1.0.0\r\nx-region: sjc\r\nx-degradation-level: 1\r\nx-instance: lean-1\r\n"
    b"content-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
)
BODY = b'{"answer":"42"}'
RESPONSE = HEAD % (len(BODY), BODY)


class Stalls:
    """Whether the server stalls now, and what is waiting for the stall's end."""

    def __init__(self, seconds: float, every: float) -> None:
        self.seconds, self.every, self.origin = seconds, every, time.monotonic()
        self.waiting: list[tuple[asyncio.Transport, int]] = []
        self.ledger: list[tuple[int, int]] = []

    def now(self) -> bool:
        return self.seconds > 0 and (time.monotonic() - self.origin) % self.every >= self.every - self.seconds

    def answer(self, transport: asyncio.Transport, received: int) -> None:
        if not self.now():
            transport.write(RESPONSE)
            self.ledger.append((received, time.monotonic_ns()))
            return
        if not self.waiting:
            left = self.every - (time.monotonic() - self.origin) % self.every
            asyncio.get_running_loop().call_later(left, self.release)
        self.waiting.append((transport, received))

    def release(self) -> None:
        waiting, self.waiting = self.waiting, []
        for transport, received in waiting:
            self.answer(transport, received)


class Connection(asyncio.Protocol):
    def __init__(self, stalls: Stalls) -> None:
        self.stalls = stalls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        received = time.monotonic_ns()
        if data.startswith(b"GET /count"):
            body = b"%d" % len(self.stalls.ledger)
            self.transport.write(HEAD % (len(body), body))
            return
        for _ in range(data.count(b"\r\n\r\n")):
            self.stalls.answer(self.transport, received)


async def main() -> None:
    parser = argparse.ArgumentParser(description="A fast server that may stall.")
    parser.add_argument("--stall", type=float, default=0.0)
    parser.add_argument("--every", type=float, default=20.0)
    parser.add_argument("--ledger", type=Path)
    options = parser.parse_args()
    stalls = Stalls(options.stall, options.every)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(stalls), "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    if options.ledger:
        options.ledger.write_bytes(b"".join(struct.pack("<qq", *row) for row in stalls.ledger))


if __name__ == "__main__":
    uvloop.run(main())
