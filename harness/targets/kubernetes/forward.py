"""A port of this machine that leads to a pod, for programs that only know addresses. It ends with this process."""

from __future__ import annotations

import contextlib
import queue
import select
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

from harness.targets.kubernetes.api import ApiError, Cluster

PIECE = 64 * 1024
AHEAD = 2  # connections that are made before they are asked for: what is timed is the pod, not the way to it


@contextlib.contextmanager
def forwarded(cluster: Cluster, namespace: str, pod: str, port: int, ahead: int = 0) -> Iterator[str]:
    """`127.0.0.1:port`, as long as the context lasts; every connection goes through the API server."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        way = _Way(cluster, namespace, pod, port, queue.Queue(ahead) if ahead else None)
        threading.Thread(target=_accept, args=(server, way), daemon=True).start()
        if ahead:
            threading.Thread(target=way.keep_ready, daemon=True).start()
        try:
            yield f"127.0.0.1:{server.getsockname()[1]}"
        finally:
            with contextlib.suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)  # wakes accept()
            way.close()


@dataclass
class _Way:
    """Connections to one port of one pod; some of them are made ahead."""

    cluster: Cluster
    namespace: str
    pod: str
    port: int
    ready: queue.Queue[socket.socket] | None
    over: threading.Event = field(default_factory=threading.Event)

    def make(self) -> socket.socket:
        return self.cluster.forward(self.namespace, self.pod, self.port)

    def keep_ready(self) -> None:
        assert self.ready is not None
        while not self.over.is_set():
            try:
                made = self.make()
            except ApiError:  # whoever asks for a connection will see it
                self.over.wait(1)
                continue
            while not self.over.is_set():
                with contextlib.suppress(queue.Full):
                    self.ready.put(made, timeout=0.2)
                    break
            else:
                made.close()

    def take(self) -> socket.socket:
        """One that was made ahead and is still open, else a new one."""
        while self.ready is not None:
            try:
                made = self.ready.get_nowait()
            except queue.Empty:
                break
            if not select.select([made.fileno()], [], [], 0)[0]:  # readable without a question: closed
                return made
            made.close()
        return self.make()

    def close(self) -> None:
        self.over.set()
        while self.ready is not None:
            try:
                self.ready.get_nowait().close()
            except queue.Empty:
                return


def _accept(server: socket.socket, way: _Way) -> None:
    while True:
        try:
            near, _ = server.accept()
        except OSError:
            return
        threading.Thread(target=_join, args=(near, way), daemon=True).start()


def _join(near: socket.socket, way: _Way) -> None:
    """Carries bytes both ways until one side ends."""
    with near:
        try:
            far = way.take()
        except ApiError:  # the program sees its connection closed
            return
        back = threading.Thread(target=_carry, args=(far, near), daemon=True)
        back.start()
        _carry(near, far)
        with contextlib.suppress(OSError):
            far.close()
        back.join(1)


def _carry(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(PIECE):
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
