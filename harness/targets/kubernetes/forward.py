"""A port of this machine that leads to a pod, for programs that only know addresses. It ends with this process."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

from harness.targets.kubernetes.api import ApiError, Cluster

PIECE = 64 * 1024


@contextlib.contextmanager
def forwarded(cluster: Cluster, namespace: str, pod: str, port: int) -> Iterator[str]:
    """`127.0.0.1:port`, as long as the context lasts; every connection goes through the API server."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        accepting = threading.Thread(target=_accept, args=(server, cluster, namespace, pod, port), daemon=True)
        accepting.start()
        try:
            yield f"127.0.0.1:{server.getsockname()[1]}"
        finally:
            with contextlib.suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)  # wakes accept()


def _accept(server: socket.socket, cluster: Cluster, namespace: str, pod: str, port: int) -> None:
    while True:
        try:
            near, _ = server.accept()
        except OSError:
            return
        threading.Thread(target=_join, args=(near, cluster, namespace, pod, port), daemon=True).start()


def _join(near: socket.socket, cluster: Cluster, namespace: str, pod: str, port: int) -> None:
    """Carries bytes both ways until one side ends."""
    with near:
        try:
            far = cluster.forward(namespace, pod, port)
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
