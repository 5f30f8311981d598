"""TLS without I/O: bytes for the wire and bytes from it, for sockets that whoever owns them reads and writes.

The clock of a request is not touched: when the kernel received its last byte is known before it is decrypted.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass


class TlsFailed(Exception):
    """No session: a certificate that is not believed, another host's, no common version, or no TLS at all."""


@dataclass(frozen=True, slots=True)
class Opened:
    """Of what came: `plain` is what the peer says, `reply` goes back to it, `ended`: it closed the session."""

    plain: bytes
    reply: bytes
    ended: bool


class Session:
    """One connection's TLS, from the client's side."""

    __slots__ = ("_from_peer", "_session", "_shaken", "_to_peer", "_waiting")

    def __init__(self, context: ssl.SSLContext, host: str) -> None:
        self._from_peer, self._to_peer = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._session = context.wrap_bio(self._from_peer, self._to_peer, server_hostname=host)
        self._shaken, self._waiting = False, b""

    def seal(self, plain: bytes) -> bytes:
        """What to send so that the peer gets `plain`: at first only the greeting; the rest follows with `open`."""
        self._waiting += plain
        self._advance()
        return self._to_peer.read()

    def open(self, data: bytes) -> Opened:
        """Takes what came, b"" for the end of the connection. Raises TlsFailed."""
        if data:
            self._from_peer.write(data)
        else:
            self._from_peer.write_eof()
        self._advance()
        plain, ended = self._read() if self._shaken else (b"", False)
        return Opened(plain, self._to_peer.read(), ended)

    def _advance(self) -> None:
        try:
            if not self._shaken:
                self._session.do_handshake()
                self._shaken = True
            if self._waiting:
                self._session.write(self._waiting)
                self._waiting = b""
        except ssl.SSLWantReadError:
            return
        except (ssl.SSLError, ssl.CertificateError) as error:
            raise TlsFailed(_told(error)) from error

    def _read(self) -> tuple[bytes, bool]:
        parts, ended = [], True
        try:
            while part := self._session.read(65536):
                parts.append(part)
        except ssl.SSLZeroReturnError:
            pass
        except ssl.SSLWantReadError:
            ended = False
        except ssl.SSLError as error:  # also an end without a good-bye: somebody may cut answers short
            if not parts:
                raise TlsFailed(_told(error)) from error
            ended = False  # what came whole counts; the error comes again with the next read
        return b"".join(parts), ended


def _told(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate is not believed: {error.verify_message}"
    return f"TLS: {(error.reason or str(error)).lower().replace('_', ' ')}"
