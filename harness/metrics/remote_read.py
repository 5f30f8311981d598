"""Prometheus' remote read, for the one thing that a query does not return: staleness markers, where a series ended.

The messages (protobuf in a raw snappy block) are few and fixed, so they are written and read here:
https://github.com/prometheus/prometheus/blob/main/prompb/remote.proto and types.proto
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING

from harness.model.promql import parse_selector

if TYPE_CHECKING:
    from harness.model.promql import Selector

HEADERS = {
    "Content-Type": "application/x-protobuf",
    "Content-Encoding": "snappy",
    "X-Prometheus-Remote-Read-Version": "0.1.0",
}
OPERATORS = {"=": 0, "!=": 1, "=~": 2, "!~": 3}
LIMIT = 1 << 30  # bytes that an answer may unpack to
Fields = Iterator[tuple[int, int | bytes]]
TimeSeries = tuple[dict[str, str], list[tuple[int, float]]]  # labels, (ms, value) ascending


def question(selector: str, from_ms: int, to_ms: int) -> bytes:
    """The body of a request for all samples of a series selector in [from, to]. Raises ValueError for anything else."""
    import pyarrow as pa

    wanted: Selector = parse_selector(selector)
    matchers = [(0, "__name__", wanted.name), *((OPERATORS[m.op], m.label, m.value) for m in wanted.matchers)]
    query = b"".join(
        [
            b"\x08" + _varint(from_ms),
            b"\x10" + _varint(to_ms),
            *(_bytes(3, b"\x08" + _varint(op) + _text(2, name) + _text(3, value)) for op, name, value in matchers),
        ]
    )
    body: bytes = pa.Codec("snappy").compress(_bytes(1, query), asbytes=True)
    return body


def answer(body: bytes) -> list[TimeSeries]:
    """All series of an answer. Raises ValueError when it is none."""
    import pyarrow as pa

    try:
        size, _ = _read_varint(body, 0)
        if size > LIMIT:
            raise ValueError(f"an answer of {size} bytes is too large")
        whole = bytes(pa.Codec("snappy").decompress(body, decompressed_size=size, asbytes=True))
        found: list[TimeSeries] = []
        for _, result in _only(whole, 1):
            found.extend(_series(series) for _, series in _only(result, 1))
        return found
    except (IndexError, struct.error, UnicodeDecodeError, OSError, pa.ArrowException) as error:
        raise ValueError(f"no answer of remote read: {type(error).__name__}") from error


def _series(message: bytes) -> TimeSeries:
    labels: dict[str, str] = {}
    points: list[tuple[int, float]] = []
    for number, field in _fields(message):
        if number == 1 and isinstance(field, bytes):
            pair = {place: part.decode() for place, part in _fields(field) if isinstance(part, bytes)}
            labels[pair.get(1, "")] = pair.get(2, "")
        elif number == 2 and isinstance(field, bytes):
            told = dict(_fields(field))
            value = told.get(1, b"\0" * 8)
            at = told.get(2, 0)
            if isinstance(value, bytes) and isinstance(at, int):
                points.append((at - (1 << 64) if at >> 63 else at, struct.unpack("<d", value)[0]))
    return labels, points


def _only(message: bytes, wanted: int) -> Iterator[tuple[int, bytes]]:
    return ((number, field) for number, field in _fields(message) if number == wanted and isinstance(field, bytes))


def _fields(message: bytes) -> Fields:
    """(number, content) of each field: an int for a varint, bytes for all else."""
    place, end = 0, len(message)
    while place < end:
        key, place = _read_varint(message, place)
        kind = key & 7
        if kind == 0:
            number, place = _read_varint(message, place)
            yield key >> 3, number
            continue
        if kind == 2:
            length, place = _read_varint(message, place)
        elif kind in (1, 5):
            length = 8 if kind == 1 else 4
        else:
            raise ValueError(f"an answer of an unknown form (wire type {kind})")
        if place + length > end:
            raise ValueError("an answer that was cut off")
        yield key >> 3, message[place : place + length]
        place += length


def _read_varint(message: bytes, place: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = message[place]
        place += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, place
        shift += 7
        if shift > 63:
            raise ValueError("a number that does not end")


def _varint(number: int) -> bytes:
    number &= (1 << 64) - 1
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _bytes(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _text(number: int, content: str) -> bytes:
    return _bytes(number, content.encode())
