"""A server with outages of known length, and a ledger of when each began and ended.

    python benchmarks/servers/outages.py --ledger FILE --seed 1 --count 6 --up 1.5

It prints its port. Between outages it serves `--up` seconds and a little (seeded, so that ends fall anywhere between
two probes). Kinds, in turn: `refuse` nobody listens · `error` 503 at once · `hang` accepts and answers nothing, and
drops what came when it is over. The ledger has one JSON line per outage: kind, began_ns, ended_ns (monotonic; served
again from then on). It ends after the last one when its standard input is closed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import time
from pathlib import Path

KINDS = ("refuse", "error", "hang")
ANSWER = b"HTTP/1.1 %b\r\nx-release: 1.0.0\r\nx-region: sjc\r\nx-degradation-level: 1\r\nconnection: close\r\n"
ANSWER += b"content-length: 0\r\n\r\n"


class State:
    kind = ""  # the outage that is on
    hanging: list[asyncio.Transport]

    def __init__(self) -> None:
        self.hanging = []


class Connection(asyncio.Protocol):
    def __init__(self, state: State) -> None:
        self.state = state

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        if self.state.kind == "hang":
            self.state.hanging.append(self.transport)
            return
        self.transport.write(ANSWER % (b"503 Out" if self.state.kind else b"200 OK"))
        self.transport.close()


async def main() -> None:
    parser = argparse.ArgumentParser(description="A server with outages of known length.")
    parser.add_argument("--ledger", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=6)
    parser.add_argument("--up", type=float, default=1.5)
    options = parser.parse_args()
    state, drawn, loop = State(), random.Random(options.seed), asyncio.get_running_loop()
    listen = lambda port: loop.create_server(lambda: Connection(state), "127.0.0.1", port)  # noqa: E731
    server = await listen(0)
    port = server.sockets[0].getsockname()[1]
    print(port, flush=True)
    with options.ledger.open("w") as ledger:
        for number in range(options.count):
            await asyncio.sleep(options.up + drawn.random() * 0.1)
            kind, length = KINDS[number % len(KINDS)], 0.3 + drawn.random()
            began = time.monotonic_ns()
            if kind == "refuse":
                server.close()
            state.kind = kind
            await asyncio.sleep(length)
            if kind == "refuse":
                server = await listen(port)
            state.kind = ""
            ended = time.monotonic_ns()
            for transport in state.hanging:
                transport.abort()
            state.hanging.clear()
            print(json.dumps({"kind": kind, "began_ns": began, "ended_ns": ended}), file=ledger, flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
