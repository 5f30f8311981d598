"""Where load and probes go: a URL's scheme, host and port, resolved once."""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from harness import tls
from harness.errors import BadInput
from harness.load.tls import Session

PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Origin:
    """`authority`: host and port as the Host header has them; `tls` None for plain http."""

    authority: bytes
    host: str
    family: int
    address: Any
    tls: ssl.SSLContext | None

    def session(self) -> Session | None:
        """The TLS of one new connection; None where none is spoken."""
        return Session(self.tls, self.host) if self.tls else None


def origin(url: str) -> Origin:
    """Raises BadInput for what cannot be loaded."""
    parts = urlsplit(url)
    if parts.scheme not in PORTS or not parts.hostname:
        raise BadInput(f"cannot load {url!r}", fix="give the edge as http://HOST:PORT or https://HOST:PORT")
    try:
        port = parts.port or PORTS[parts.scheme]
        family, _, _, _, address = socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)[0]
    except (OSError, ValueError) as error:
        raise BadInput(f"cannot resolve {parts.hostname!r}: {error}", fix="name a host that can be reached") from error
    authority = parts.netloc.rpartition("@")[2].encode()
    return Origin(authority, parts.hostname, family, address, tls.trusted() if parts.scheme == "https" else None)
