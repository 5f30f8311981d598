"""What an instance that is reached at its own address tells over HTTP."""

from __future__ import annotations

import http.client

from harness.errors import TargetError
from harness.ports import Instance


def page(instance: Instance, port: str, path: str, timeout_s: float) -> str:
    """The body of GET `path`. Raises TargetError when there is no such port, or no answer with status 200."""
    if port not in instance.ports:
        raise TargetError(f"{instance.name} has no port {port!r}")
    connection = http.client.HTTPConnection(instance.host, instance.ports[port], timeout=timeout_s)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read().decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        raise TargetError(f"{instance.name} does not answer on port {port}: {error}") from None
    finally:
        connection.close()
    if answer.status != 200:
        raise TargetError(f"{instance.name} answers GET {path} with status {answer.status}")
    return body
