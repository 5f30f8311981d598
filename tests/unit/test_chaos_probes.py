"""Probes through a small edge: what they see, and that silence, wrong levels and wrong regions are never good."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from harness.chaos import http, probes
from harness.chaos.lifecycle import NotSeen


@dataclass
class Edge:
    """Answers in turn; the last answer for ever after. An answer: status, level, region."""

    url: str = ""
    answers: list[tuple[int, str, str]] = field(default_factory=lambda: [(200, "1", "sjc")])
    asked: int = 0

    @property
    def configuration(self) -> dict[str, str]:
        return {"edge": self.url}


@pytest.fixture
def edge() -> Iterator[Edge]:
    made = Edge()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, level, region = made.answers[min(made.asked, len(made.answers) - 1)]
            made.asked += 1
            self.send_response(status)
            if level:
                self.send_header("X-Degradation-Level", level)
            self.send_header("X-Region", region)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    made.url = f"http://127.0.0.1:{server.server_address[1]}"
    yield made
    server.shutdown()
    server.server_close()
    thread.join(5)


@pytest.mark.parametrize(
    ("answer", "level", "region", "served"),
    [
        ((200, "1", "sjc"), 1, "", True),
        ((200, "1", "sjc"), 1, "sjc", True),
        ((200, "1", "sjc"), 1, "lax", False),
        ((200, "2", "sjc"), 1, "", False),
        ((503, "1", "sjc"), 1, "", False),
        ((200, "", "sjc"), 1, "", False),
        ((200, "one", "sjc"), 1, "", False),
    ],
)
def test_a_level_is_what_the_answer_says(
    edge: Edge, answer: tuple[int, str, str], level: int, region: str, served: bool
) -> None:
    edge.answers = [answer]
    assert probes.level_is(level, region=region, configuration=edge.configuration) is served


def test_a_level_must_last(edge: Edge) -> None:
    edge.answers = [(200, "3", ""), (200, "1", ""), (503, "", ""), (200, "1", "")]
    seen = probes.level_becomes(1, "5s", sustained="60ms", every="10ms", configuration=edge.configuration)
    assert edge.asked >= 5
    assert seen["after_s"] >= 0.03


def test_a_level_that_does_not_come_is_raised(edge: Edge) -> None:
    edge.answers = [(200, "3", "")]
    with pytest.raises(NotSeen, match="level 1 by lax was not served within 50ms"):
        probes.level_becomes(1, "50ms", region="lax", every="10ms", configuration=edge.configuration)


def test_a_share_counts_each_answer(edge: Edge) -> None:
    edge.answers = [(200, "1", ""), (503, "1", ""), (200, "2", ""), (200, "1", "")]
    share = probes.share_of_good("40ms", every="20ms", configuration=edge.configuration)
    assert share < 1
    edge.answers, edge.asked = [(200, "2", "")], 0
    assert probes.share_of_good("1ms", every="1ms", configuration=edge.configuration) == 0
    assert probes.share_of_good("1ms", level=2, every="1ms", configuration=edge.configuration) == 1


def test_nobody_there_is_not_good() -> None:
    nobody = {"edge": "http://127.0.0.1:9"}
    assert probes.http_ok("http://127.0.0.1:9/", timeout="100ms") is False
    assert probes.level_is(1, timeout="100ms", configuration=nobody) is False
    assert probes.share_of_good("1ms", timeout="100ms", configuration=nobody) == 0


def test_http_ok_wants_this_status(edge: Edge) -> None:
    edge.answers = [(204, "", "")]
    assert probes.http_ok(f"{edge.url}/x?y=1", status=204)
    assert not probes.http_ok(edge.url)


@pytest.mark.parametrize("url", ["", "nonsense", "file:///etc/passwd", "http://"])
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="is not an"):
        http.get(url, 1)
