"""A server with outages of known length, and a ledger of when each began and ended.

    python benchmarks/servers/outages.py --ledger FILE --seed 1 --count 6 --up 1.5

It prints its port. Between outages it serves `--up` seconds and a little (seeded, so that ends fall anywhere between
two probes). Kinds, in turn: `refuse` nobody listens · `error` 503 at once · `hang` accepts and answers nothing, and
drops what came when it is over · `partial` every second answer is a 503 · `drift` the share of 503 falls from all to a
tenth · `flap` three times away, too shortly back between · `twice` away, back for longer, away again.

The ledger has one JSON line per outage (monotonic ns): kind, began_ns, ended_ns (back to stay from then on; of partial
and drift: the last 503 was answered then), over_ns (nothing more comes of it). It ends after the last one when its
standard input is closed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import time
from pathlib import Path

KINDS = ("refuse", "error", "hang", "partial", "drift", "flap", "twice")
ANSWER = b"HTTP/1.1 %b\r\nx-release: 1.0.0\r\nx-region: sjc\r\nx-degradation-level: 1\r\nconnection: close\r\n"
ANSWER += b"content-length: 0\r\n\r\n"


class State:
    """What is wrong just now."""

    def __init__(self) -> None:
        self.hangs = False
        self.share = 0.0  # of the answers that are a 503, evenly
        self.count = self.last_bad_ns = 0
        self.hanging: list[asyncio.Transport] = []

    def fails(self) -> bool:
        self.count += 1
        bad = int(self.count * self.share) > int((self.count - 1) * self.share)
        if bad:
            self.last_bad_ns = time.monotonic_ns()
        return bad

    async def away(self, seconds: float, share: float = 1.0) -> int:
        """Fails for so long; when it ended."""
        self.share = share
        await asyncio.sleep(seconds)
        self.share = 0.0
        return time.monotonic_ns()


class Connection(asyncio.Protocol):
    def __init__(self, state: State) -> None:
        self.state = state

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        if self.state.hangs:
            self.state.hanging.append(self.transport)
            return
        self.transport.write(ANSWER % (b"503 Out" if self.state.fails() else b"200 OK"))
        self.transport.close()


class Server:
    def __init__(self) -> None:
        self.state = State()
        self.port = 0

    async def listen(self) -> None:
        loop = asyncio.get_running_loop()
        self.server = await loop.create_server(lambda: Connection(self.state), "127.0.0.1", self.port)
        self.port = self.server.sockets[0].getsockname()[1]

    async def outage(self, kind: str, length: float, drawn: random.Random) -> tuple[int, int]:
        """(back to stay since, over since)."""
        state = self.state
        match kind:
            case "refuse":
                self.server.close()
                await asyncio.sleep(length)
                await self.listen()
            case "hang":
                state.hangs = True
                await asyncio.sleep(length)
                state.hangs = False
            case "partial":
                over = await state.away(length, 0.5)
                return state.last_bad_ns, over
            case "drift":
                for step in range(10):
                    over = await state.away(length / 10, 1 - step / 10)
                return state.last_bad_ns, over
            case "flap":
                for _ in range(2):
                    await state.away(0.1 + 0.2 * drawn.random())
                    await asyncio.sleep(0.1 + 0.2 * drawn.random())
                await state.away(length)
            case "twice":
                ended = await state.away(length)
                await asyncio.sleep(0.8 + 0.2 * drawn.random())
                return ended, await state.away(0.3)
            case _:
                await state.away(length)
        ended = time.monotonic_ns()
        for transport in state.hanging:
            transport.abort()
        state.hanging.clear()
        return ended, ended


async def main() -> None:
    parser = argparse.ArgumentParser(description="A server with outages of known length.")
    parser.add_argument("--ledger", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=6)
    parser.add_argument("--up", type=float, default=1.5)
    options = parser.parse_args()
    server, drawn = Server(), random.Random(options.seed)
    await server.listen()
    print(server.port, flush=True)
    with options.ledger.open("w") as ledger:
        for number in range(options.count):
            await asyncio.sleep(options.up + drawn.random() * 0.1)
            kind, length = KINDS[number % len(KINDS)], 0.3 + drawn.random()
            began = time.monotonic_ns()
            ended, over = await server.outage(kind, length, drawn)
            told = {"kind": kind, "began_ns": began, "ended_ns": ended, "over_ns": over}
            print(json.dumps(told), file=ledger, flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
