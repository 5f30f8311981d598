"""HTTP/1.1 without I/O."""

from __future__ import annotations

import pytest

from harness.load.http1 import Malformed, Reader, request


def answer(data: bytes):
    response = Reader().feed(data)
    assert response is not None
    return response


def test_a_get_and_a_post():
    assert request(b"GET", b"/a?b=1", b"h:1") == b"GET /a?b=1 HTTP/1.1\r\nhost: h:1\r\n\r\n"
    posted = request(b"POST", b"/a", b"h", b'{"x":1}', close=True)
    head, body = posted.split(b"\r\n\r\n")
    assert body == b'{"x":1}'
    assert b"content-length: 7" in head
    assert b"content-type: application/json" in head
    assert b"connection: close" in head


def test_headers_are_found_whatever_their_case_and_kept_as_sent():
    response = answer(b"HTTP/1.1 200 OK\r\nX-RELEASE:  1.0.0-RC \r\nx-release: other\r\nContent-LENGTH: 0\r\n\r\n")
    assert response.header(b"x-release") == "1.0.0-RC"
    assert response.header(b"x-region") == ""


def test_a_header_name_inside_a_value_is_no_header():
    response = answer(b"HTTP/1.1 200 OK\r\nnote: x-region: lax\r\ncontent-length: 0\r\n\r\n")
    assert response.header(b"x-region") == ""


@pytest.mark.parametrize(("told", "level"), [(b"3", 3), (b"", 0), (b"high", 0), (b"-1", 0), (b"100", 0), (b"1.5", 0)])
def test_the_degradation_level(told, level):
    response = answer(b"HTTP/1.1 200 OK\r\nx-degradation-level: " + told + b"\r\ncontent-length: 0\r\n\r\n")
    assert response.level == level


@pytest.mark.parametrize(
    ("body", "document", "value"),
    [
        (b'{"a": 1}', {"a": 1}, 1),
        (b"[1]", [1], None),
        (b"<html>", None, None),
        (b"\xff\xfe", None, None),
        (b'""', "", None),
    ],
)
def test_a_body_that_is_not_what_was_hoped_for_is_none(body, document, value):
    response = answer(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
    assert response.json() == document
    assert response.get("a") == value


@pytest.mark.parametrize(
    ("head", "keep"),
    [
        (b"HTTP/1.1 200 OK\r\n", True),
        (b"HTTP/1.1 200 OK\r\nConnection: Close\r\n", False),
        (b"HTTP/1.0 200 OK\r\n", False),
        (b"HTTP/1.0 200 OK\r\nconnection: Keep-Alive\r\n", True),
    ],
)
def test_whether_the_connection_may_be_kept(head, keep):
    assert answer(head + b"content-length: 0\r\n\r\n").keep_alive is keep


def test_one_response_after_another_on_one_reader():
    reader = Reader()
    for number in range(3):
        response = reader.feed(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n%d" % number)
        assert response is not None
        assert response.body == b"%d" % number


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1e3\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n-5\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0x5\r\nhello\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nabcd",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nmore",
        b"HTTP/1.1 200 " + b"x" * 70_000,
    ],
)
def test_what_is_not_a_response_is_malformed(data):
    with pytest.raises(Malformed):
        Reader().feed(data)


def test_an_end_that_was_not_announced_is_no_response():
    reader = Reader()
    assert reader.feed(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhal") is None
    assert reader.end() is None
    assert Reader().end() is None
