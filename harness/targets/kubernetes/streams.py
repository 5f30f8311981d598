"""Commands in containers and connections to ports: WebSockets with Kubernetes' subprotocols."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from harness.targets.kubernetes.connection import ApiError, Connection, Manifest

CHANNELS, TUNNEL = "v4.channel.k8s.io", "v4.channel.k8s.io"
STDOUT, STDERR, STATUS = 1, 2, 3
ERRORS = 1  # of a forwarded port


def run(connection: Connection, path: str, container: str, argv: Sequence[str], timeout_s: float) -> tuple[int, str]:
    """(exit code, what was printed on both streams) of a command; `path` is the pod's exec. Without shell or input."""
    import websocket

    query = [("container", container), ("stdout", "true"), ("stderr", "true"), *(("command", word) for word in argv)]
    deadline = time.monotonic() + timeout_s
    opened = connection.websocket(f"{path}?{urlencode(query)}", CHANNELS, timeout_s)
    said: dict[int, bytes] = {}
    printed = b""
    try:
        while STATUS not in said:
            opened.settimeout(max(0.01, deadline - time.monotonic()))
            data = opened.recv()
            data = data.encode() if isinstance(data, str) else data
            if not data:
                break
            if data[0] in (STDOUT, STDERR):
                printed += data[1:]
            else:
                said[data[0]] = said.get(data[0], b"") + data[1:]
    except (websocket.WebSocketException, OSError) as error:
        raise ApiError(f"{argv[0]}: did not end within {timeout_s:g} s, or the connection was lost ({error})") from None
    finally:
        opened.close(timeout=1)
    if STATUS not in said:
        raise ApiError(f"{argv[0]}: the connection was lost before it ended")
    return _exit_code(json.loads(said[STATUS])), printed.decode(errors="replace")


def _exit_code(status: Manifest) -> int:
    """Of the Status that ends an exec. Raises ApiError when the command was not run."""
    if status.get("status") == "Success":
        return 0
    for cause in (status.get("details") or {}).get("causes") or []:
        if cause.get("reason") == "ExitCode":
            return int(cause["message"])
    raise ApiError(str(status.get("message") or status))


def refuses(connection: Connection, path: str, port: int, within_s: float) -> bool:
    """Whether the kubelet, which connects from inside of the pod, says that nothing listens at the port. False when it
    says nothing within the time, or something else."""
    import websocket

    opened = connection.websocket(f"{path}?{urlencode([('ports', port)])}", TUNNEL, within_s)
    deadline = time.monotonic() + within_s
    try:
        while (left := deadline - time.monotonic()) > 0:
            opened.settimeout(left)
            data = opened.recv()
            data = data.encode() if isinstance(data, str) else data
            if not data:
                return False
            if data[0] == ERRORS and len(data) > len(b"\1pp"):  # the first of each channel is the port's number
                return b"connection refused" in data
    except (websocket.WebSocketException, OSError):
        return False
    finally:
        opened.close(timeout=1)
    return False


def connect(connection: Connection, path: str, port: int, timeout_s: float) -> socket.socket:
    """A connection to a pod's port; `path` is the pod's portforward. It ends when either side closes."""
    from kubernetes.stream.ws_client import PortForward

    opened = connection.websocket(f"{path}?{urlencode([('ports', port)])}", TUNNEL, timeout_s)
    opened.settimeout(None)
    made: Any = PortForward(opened, [port])
    return made.socket(port)  # type: ignore[no-any-return]
