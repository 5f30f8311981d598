"""Carries ports into a network namespace: expose.py NETNS PORT[:HOSTPORT]… or expose.py NETNS all

127.0.0.1:HOSTPORT of the machine becomes 127.0.0.1:PORT in the namespace; with `all`, every port that somebody listens
on there gets the same number outside, as long as it is listened on. The only thing of a bed that binds a port outside.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

CLONE_NEWNET = 0x40000000
LOOPBACK = "127.0.0.1"
LISTENING = "0A"
LOOK_EVERY_S = 0.2


def enter(netns: str) -> None:
    """Takes the calling thread into a network namespace: a socket belongs to the one that its maker was in."""
    libc = ctypes.CDLL(None, use_errno=True)
    namespace = os.open(f"/run/netns/{netns}", os.O_RDONLY)
    if libc.setns(namespace, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), f"cannot enter the network namespace {netns}")
    os.close(namespace)


def listened(table: str) -> set[int]:
    """The ports of 127.0.0.1 that are listened on, from the kernel's table of TCP sockets (/proc/net/tcp)."""
    ports = set()
    for line in table.splitlines()[1:]:
        _, local, _, state, *_ = line.split()
        address, port = local.split(":")
        if state == LISTENING and address == "0100007F":
            ports.add(int(port, 16))
    return ports


class Carrier:
    def __init__(self, netns: str) -> None:
        self._inside = ThreadPoolExecutor(max_workers=1, initializer=enter, initargs=(netns,))
        self._servers: dict[int, asyncio.Server] = {}

    async def open(self, port: int, outside: int) -> None:
        async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                far_reader, far_writer = await self._connect(port)
            except OSError:
                writer.transport.abort()  # a reset, as a closed port would answer
                return
            await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))
            writer.close()
            far_writer.close()

        self._servers[port] = await asyncio.start_server(carry, LOOPBACK, outside, backlog=1024)

    async def follow(self) -> None:
        """Opens and closes ports as they are inside."""
        loop = asyncio.get_running_loop()
        while True:
            inside = listened(await loop.run_in_executor(self._inside, Path("/proc/thread-self/net/tcp").read_text))
            for port in inside - self._servers.keys():
                with contextlib.suppress(OSError):  # somebody outside has that port; perhaps not for long
                    await self.open(port, port)
            for port in self._servers.keys() - inside:
                self._servers.pop(port).close()
            await asyncio.sleep(LOOK_EVERY_S)

    async def _connect(self, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        loop = asyncio.get_running_loop()
        connection = await loop.run_in_executor(self._inside, socket.socket)
        connection.setblocking(False)
        try:
            await loop.sock_connect(connection, (LOOPBACK, port))
            return await asyncio.open_connection(sock=connection)
        except OSError:
            connection.close()
            raise


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.write_eof()
    except (OSError, RuntimeError):
        writer.close()


def parse(word: str) -> tuple[int, int]:
    """PORT or PORT:HOSTPORT."""
    port, _, outside = word.partition(":")
    return int(port), int(outside or port)


async def main(netns: str, words: list[str]) -> None:
    carrier = Carrier(netns)
    if words == ["all"]:
        await carrier.follow()
    for port, outside in map(parse, words):
        await carrier.open(port, outside)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2:]))
