"""One HTTP request on a new connection, as a probe makes it: standard library only, every wait bounded."""

from __future__ import annotations

import http.client
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Answer:
    """What came back; status 0 and `error` when nothing did. Header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    error: str = ""

    @property
    def level(self) -> int:
        """The degradation level that the answer tells, 0 when it tells none."""
        text = self.headers.get("x-degradation-level", "")
        return int(text) if text.isdigit() else 0


def get(url: str, timeout_s: float) -> Answer:
    """GET; never raises for what the other side does. Raises ValueError when the URL is none."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{url!r} is not an http(s) URL")
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname, parts.port, timeout=timeout_s)
    try:
        connection.request("GET", (parts.path or "/") + (f"?{parts.query}" if parts.query else ""))
        response = connection.getresponse()
        headers = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, headers, response.read())
    except (OSError, http.client.HTTPException) as error:
        return Answer(0, {}, b"", f"{type(error).__name__}: {error}")
    finally:
        connection.close()
