"""A FakeBed that other processes use: it outlives a harness that is killed, as a cluster does.

`attach` makes a platform on it a target of "tests.crash.served_cluster:FOLDER", for whatever process.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path
from typing import Any

from harness.errors import TargetError
from harness.model.on_cluster import OnCluster
from harness.model.platform import Platform
from harness.spec.yaml import Located
from harness.targets.kubernetes.state import ClusterFolder
from harness.targets.kubernetes.target import KubernetesTarget
from harness.testing.fake_bed import FakeBed

CHANGES = ("create", "apply", "patch", "delete", "evict")


def _address(root: Path) -> str:
    """A socket that is no file: a path may have a hundred characters only."""
    return f"\0harness-test-{hashlib.sha256(str(root).encode()).hexdigest()}"


@contextmanager
def served(bed: FakeBed, root: Path) -> Iterator[None]:
    """Answers calls on the bed, one at a time, as long as this lasts."""
    lock = threading.Lock()

    def answer(connection: Connection) -> None:
        with suppress(EOFError, OSError), connection:
            while True:
                name, words, more = connection.recv()
                try:
                    with lock:
                        result = getattr(bed, name)(*words, **more)
                    connection.send((True, result))
                except TargetError as error:
                    connection.send((False, error))

    def accept(listener: Listener) -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=answer, args=(listener.accept(),), daemon=True).start()

    listener = Listener(_address(root), "AF_UNIX", backlog=64)
    threading.Thread(target=accept, args=(listener,), daemon=True).start()
    try:
        yield
    finally:
        listener.close()


@contextmanager
def edge() -> Iterator[str]:
    """The URL of an edge that answers everything with 200."""

    class Edge(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Edge)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


class Served:
    """The cluster as a process sees it. `changed` is told of each change that has been made."""

    context, server = "fake", "https://fake.invalid"

    def __init__(self, root: Path, changed: Callable[[], None]) -> None:
        self._root, self._changed, self._mine = root, changed, threading.local()

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*words: Any, **more: Any) -> Any:
            connection = self._connection()
            connection.send((name, words, more))
            well, result = connection.recv()
            if not well:
                raise result
            if name in CHANGES:
                self._changed()
            return result

        return call

    def _connection(self) -> Connection:
        if not hasattr(self._mine, "connection"):
            self._mine.connection = Client(_address(self._root), "AF_UNIX")
        return self._mine.connection  # type: ignore[no-any-return]


class ServedTarget(KubernetesTarget):
    changed: Callable[[], None] = staticmethod(lambda: None)

    @property
    def reference(self) -> str:
        return f"{__name__}:{self.folder.root}"

    @cached_property
    def cluster(self) -> Any:
        return Served(self.folder.root.parent, self.changed)


def target(platform: Located[Platform], on: OnCluster, root: Path) -> ServedTarget:
    return ServedTarget(ClusterFolder(root / "small-abcdef"), platform, on)


def attach(folder: str) -> ServedTarget:
    return ServedTarget(ClusterFolder(Path(folder)))
