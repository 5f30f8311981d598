"""HTTP/1.1 without I/O: a request as bytes, and a reader that is fed what arrives.

Only what a load needs: no pipelining, no trailers kept, no redirects, no cookies. The common case, a response with a
content length in one piece, costs a few microseconds; everything else is slower and as right (RFC 9112, 6 and 7).
"""

from __future__ import annotations

import json
from typing import Any

_END = b"\r\n\r\n"
_MAX_HEAD = 65536


class Malformed(Exception):
    """The bytes are not an HTTP/1.1 response."""


class Response:
    """Status, headers and body of one response."""

    __slots__ = ("_lower", "body", "head", "keep_alive", "received_ns", "status")

    def __init__(self, status: int, head: bytes, lower: bytes, body: bytes, keep_alive: bool) -> None:
        self.status, self.head, self._lower, self.body, self.keep_alive = status, head, lower, body, keep_alive
        self.received_ns = -1  # monotonic; for whoever reads from a socket to fill in

    def header(self, name: bytes) -> str:
        """The value of the first header of this name (given in lower case), "" when there is none."""
        return _header(self.head, self._lower, name).decode("latin-1")

    @property
    def level(self) -> int:
        """The degradation level told in x-degradation-level; 0 when unknown."""
        text = self.header(b"x-degradation-level")
        return int(text) if text.isdecimal() and len(text) < 3 else 0

    def json(self) -> Any:
        """The body as JSON, or None when it is none."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None

    def get(self, key: str) -> Any:
        """One value of a body that is a JSON object; None when it is no object or has no such key."""
        document = self.json()
        return document.get(key) if isinstance(document, dict) else None


def request(method: bytes, target: bytes, host: bytes, body: bytes | None = None, *, close: bool = False) -> bytes:
    """The request's bytes; a body is sent as JSON."""
    ending = b"connection: close\r\n\r\n" if close else b"\r\n"
    if body is None:
        return b"%b %b HTTP/1.1\r\nhost: %b\r\n%b" % (method, target, host, ending)
    return b"%b %b HTTP/1.1\r\nhost: %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\n%b%b" % (
        method,
        target,
        host,
        len(body),
        ending,
        body,
    )


class Reader:
    """Reads one response after another. `begun` tells whether bytes of an unfinished one have come."""

    __slots__ = ("_data", "_head", "_length")

    def __init__(self) -> None:
        self._data = b""
        self._head: Response | None = None
        self._length: int | None = 0  # of the body; -1: chunked, None: until the connection ends

    @property
    def begun(self) -> bool:
        return bool(self._data) or self._head is not None

    def feed(self, data: bytes) -> Response | None:
        """The response once it is whole. Raises Malformed."""
        if self._data:
            data = self._data + data
        if self._head is None:
            end = data.find(_END)
            while end >= 0 and data[9:10] == b"1":  # 1xx: the real response follows
                data = data[end + 4 :]
                end = data.find(_END)
            if end < 0:
                if len(data) > _MAX_HEAD or not b"HTTP/1.".startswith(data[:7]):
                    raise Malformed(data[:40])
                self._data = data
                return None
            head, self._length = _parse_head(data[:end])
            data = data[end + 4 :]
        else:
            head = self._head
        length = self._length
        if length is not None and length >= 0:
            if len(data) == length:
                head.body, self._data, self._head = data, b"", None
                return head
            if len(data) > length:
                raise Malformed("more bytes than the content length")
        elif length == -1:
            body = _dechunk(data)
            if body is not None:
                head.body, self._data, self._head = body, b"", None
                return head
        self._data, self._head = data, head
        return None

    def end(self) -> Response | None:
        """The connection has ended: the response if its end was to be told by that, else None."""
        if self._head is None or self._length is not None:
            return None
        head, head.body, self._data, self._head = self._head, self._data, b"", None
        return head


def _parse_head(head: bytes) -> tuple[Response, int | None]:
    if not head.startswith(b"HTTP/1.") or not head[9:12].isdigit():
        raise Malformed(head[:40])
    status, lower = int(head[9:12]), head.lower()
    connection = _header(lower, lower, b"connection")
    keep = connection != b"close" and (head[7:8] == b"1" or connection == b"keep-alive")
    response = Response(status, head, lower, b"", keep)
    if status in (204, 304):
        return response, 0
    declared = _header(lower, lower, b"content-length")
    if declared.isdigit():
        return response, int(declared)
    if _header(lower, lower, b"transfer-encoding").endswith(b"chunked"):
        return response, -1
    if declared:
        raise Malformed("content length " + declared.decode("latin-1")[:40])
    response.keep_alive = False
    return response, None


def _header(head: bytes, lower: bytes, name: bytes) -> bytes:
    begin = lower.find(b"\r\n" + name + b":")
    if begin < 0:
        return b""
    begin += len(name) + 3
    end = head.find(b"\r\n", begin)
    return head[begin : end if end >= 0 else len(head)].strip()


def _dechunk(data: bytes) -> bytes | None:
    """The body once the last chunk and its trailer section are there. Raises Malformed."""
    body: list[bytes] = []
    at = 0
    while True:
        end = data.find(b"\r\n", at)
        if end < 0:
            return None
        digits = data[at:end].split(b";", 1)[0].strip()
        if not digits or digits.strip(b"0123456789abcdefABCDEF"):
            raise Malformed("chunk size")
        size = int(digits, 16)
        if size == 0:
            if data[end : end + 4] == _END:
                return b"".join(body) if len(data) == end + 4 else _surplus()
            closing = data.find(_END, end)
            if closing < 0:
                return None
            return b"".join(body) if len(data) == closing + 4 else _surplus()
        at = end + 2 + size
        if len(data) < at + 2:
            return None
        body.append(data[end + 2 : at])
        if data[at : at + 2] != b"\r\n":
            raise Malformed("chunk without its end")
        at += 2


def _surplus() -> bytes:
    raise Malformed("bytes after the last chunk")
