"""What an instance that is reached at its own address answers over HTTP."""

from __future__ import annotations

import http.client

from harness.errors import TargetError
from harness.ports import Instance


def page(instance: Instance, port: str, path: str, timeout_s: float) -> str:
    """The body of GET `path`. Raises TargetError when there is no such port, or no answer with status 200."""
    status, body = call(instance, port, "GET", path, None, timeout_s)
    if status != 200:
        raise TargetError(f"{instance.name} answers GET {path} with status {status}")
    return body


def call(instance: Instance, port: str, method: str, path: str, body: str | None, timeout_s: float) -> tuple[int, str]:
    """As harness.ports.Calls has it."""
    if port not in instance.ports:
        raise TargetError(f"{instance.name} has no port {port!r}")
    connection = http.client.HTTPConnection(instance.host, instance.ports[port], timeout=timeout_s)
    try:
        connection.request(method, path, body, {"content-type": "application/json"} if body else {})
        answer = connection.getresponse()
        return answer.status, answer.read().decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        raise TargetError(f"{instance.name} does not answer on port {port}: {error}") from None
    finally:
        connection.close()
