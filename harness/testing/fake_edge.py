"""A stand-in of the platform's API at the edge, small and in one process, for tests of load and beacon.

    python -m harness.testing.fake_edge [--release 1.0.0] [--wrong 0.1] [--level 3] …

It prints the port it serves on (127.0.0.1). What it can do wrong is an option, so that tests have negative controls.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import re
import ssl
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from typing import Any

CAPITALS = {"France": "Paris", "Japan": "Tokyo", "Kenya": "Nairobi", "Peru": "Lima"}
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


@dataclass
class Behaviour:
    """How it answers; may be changed while it serves."""

    release: str = "1.0.0"
    region: str = "sjc"
    instance: str = "edge-1"
    level: int = 1
    wrong: float = 0.0  # share of answers with wrong content
    fail: float = 0.0  # share of answers with status 503
    delay_s: float = 0.0
    hang: bool = False  # never answers
    cut: bool = False  # closes the connection in the middle of a response
    close: bool = False  # closes the connection after each response, and says so
    hangup: bool = False  # closes it without saying so
    chunked: bool = False
    empty_search: bool = False
    memories: dict[str, str] = field(default_factory=dict)
    served: int = 0
    connections: int = 0


class Edge(asyncio.Protocol):
    """One connection."""

    def __init__(self, behaviour: Behaviour) -> None:
        self.behaviour, self.data = behaviour, b""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.behaviour.connections += 1

    def data_received(self, data: bytes) -> None:
        self.data += data
        while (end := self.data.find(b"\r\n\r\n")) >= 0:
            declared = _LENGTH.search(self.data[:end])
            whole = end + 4 + (int(declared[1]) if declared else 0)
            if len(self.data) < whole:
                return
            method, target, _ = self.data[:end].split(b"\r\n", 1)[0].decode().split(" ")
            body, self.data = self.data[end + 4 : whole], self.data[whole:]
            if self.behaviour.hang:
                continue
            status, document = self.answer(method, target, body)
            if self.behaviour.delay_s:
                asyncio.get_running_loop().call_later(self.behaviour.delay_s, self.respond, status, document)
            else:
                self.respond(status, document)

    def respond(self, status: int, document: object) -> None:
        how, body = self.behaviour, json.dumps(document).encode()
        how.served += 1
        head = (
            f"HTTP/1.1 {status} Whatever\r\nX-Release: {how.release}\r\nX-Region: {how.region}\r\n"
            f"X-Degradation-Level: {how.level}\r\nX-Instance: {how.instance}\r\nContent-Type: application/json\r\n"
        )
        if how.close:
            head += "Connection: close\r\n"
        if how.chunked:
            middle = len(body) // 2
            parts = b"".join(b"%x\r\n%b\r\n" % (len(p), p) for p in (body[:middle], body[middle:]) if p)
            self.transport.write(head.encode() + b"Transfer-Encoding: chunked\r\n\r\n" + parts + b"0\r\n\r\n")
        else:
            whole = head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body
            self.transport.write(whole[: len(whole) - 3] if how.cut else whole)
        if how.cut or how.close or how.hangup:
            self.transport.close()

    def answer(self, method: str, target: str, body: bytes) -> tuple[int, object]:
        how = self.behaviour
        turn = (
            int.from_bytes(hashlib.sha256(target.encode() + body).digest()[:4]) / 2**32
        )  # the same for the same request
        if turn < how.fail:
            return 503, {"error": "no"}
        document = json.loads(body) if body else {}
        wrong = turn < how.wrong
        match method, target.rsplit("/", 1):
            case "GET", ["/api", "ping"]:
                return 200, {"ok": True}
            case "GET", ["/api", "knowledge"]:
                tabled = [{"question": f"What is the capital of {c}?", "answer": a} for c, a in CAPITALS.items()]
                return 200, {"questions": tabled, "sum": "What is A plus B?"}
            case "POST", ["/api", "chat"]:
                return 200, {"answer": "no idea" if wrong else known_answer(document["question"])}
            case "POST", ["/api", "memory"]:
                new = document["key"] not in how.memories
                how.memories.setdefault(document["key"], document["text"])
                return (201 if new else 200), {"key": document["key"]}
            case "GET", ["/api/memory", key] if key in how.memories:
                return 200, {"key": key, "text": "stale" if wrong else how.memories[key], "version": 1}
            case "DELETE", ["/api/memory", key]:
                return 200, {"key": key, "deleted": how.memories.pop(key, None) is not None}
            case "POST", ["/api", "search"]:
                number = int(document["vector_of"].removeprefix("doc-"))
                first = number - number % 3 + (3 if wrong else 0)
                found = dict.fromkeys((number, first, first + 1, first + 2))
                return 200, {"hits": [] if how.empty_search else [{"id": f"doc-{n}", "score": 0.9} for n in found]}
            case "GET", ["", "info"]:
                return 200, {"service": "orchestrator"}
            case "POST", ["", "call"]:
                given = {"number": -1} if wrong else document["arguments"]
                return 200, {"service": "orchestrator", "tool": document["tool"], "given": given}
        return 404, {"error": "nothing here"}


def known_answer(question: str) -> str:
    sums = re.fullmatch(r"What is (\d+) plus (\d+)\?", question)
    if sums:
        return str(int(sums[1]) + int(sums[2]))
    return CAPITALS.get(question.removeprefix("What is the capital of ").removesuffix("?"), "I do not know")


@contextmanager
def serving(behaviour: Behaviour | None = None, tls: ssl.SSLContext | None = None) -> Iterator[tuple[str, Behaviour]]:
    """Serves from a thread of its own: (base URL, its behaviour, which may be changed meanwhile). `tls`: by https."""
    how, ready = behaviour or Behaviour(), threading.Event()
    loop = asyncio.new_event_loop()
    ports: list[int] = []

    async def serve() -> None:
        server = await loop.create_server(lambda: Edge(how), "127.0.0.1", 0, ssl=tls)
        ports.append(server.sockets[0].getsockname()[1])
        ready.set()

    def run() -> None:
        loop.run_until_complete(serve())
        loop.run_forever()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        if not ready.wait(10):
            raise RuntimeError("the fake edge did not start")
        yield f"{'https' if tls else 'http'}://127.0.0.1:{ports[0]}", how
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(5)


def main() -> None:
    parser = argparse.ArgumentParser(description="The platform's API at the edge, faked.")
    for option in fields(Behaviour):
        if isinstance(option.default, bool):
            parser.add_argument(f"--{option.name}".replace("_", "-"), action="store_true")
        elif isinstance(option.default, (str, int, float)):
            parser.add_argument(f"--{option.name}", type=type(option.default), default=option.default)
    with serving(Behaviour(**vars(parser.parse_args()))) as (url, _):
        print(url, flush=True)
        sys.stdin.read()  # until whoever started it closes its end
        time.sleep(0)


if __name__ == "__main__":
    main()
