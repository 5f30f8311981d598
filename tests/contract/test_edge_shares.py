"""The edge's own configuration in a real HAProxy: who serves users, as the agent tells it and as regions are ready."""

from __future__ import annotations

import http.client
import re
import shutil
import socket
import socketserver
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from jinja2 import Environment, StrictUndefined

DEPLOY = Path(__file__).parents[2] / "deploy"
LOCAL, CLUSTER = DEPLOY / "local/haproxy.cfg.j2", DEPLOY / "kustomize/base/outside/haproxy.cfg"
PROGRAM = shutil.which("haproxy")
pytestmark = [pytest.mark.skipif(PROGRAM is None, reason="haproxy is not installed"), pytest.mark.timeout(60)]


@dataclass
class Edge:
    """HAProxy between two regions; `told`: what the agent answers, None: it hangs up; `ready`: regions that are."""

    port: int = 0
    told: str | None = "100%"
    asked: set[str] = field(default_factory=set)
    ready: set[str] = field(default_factory=lambda: {"sjc", "lax"})

    def served(self, times: int = 200) -> Counter[str]:
        """Who answered so many users, each on the same connection."""
        connection, found = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5), Counter[str]()
        for _ in range(times):
            connection.request("GET", "/api/ping")
            response = connection.getresponse()
            response.read()
            found[response.getheader("x-region") or str(response.status)] += 1
        connection.close()
        return found

    def becomes(self, what: Callable[[Counter[str]], bool]) -> None:
        end = time.monotonic() + 10
        while not what(found := self.served()):
            assert time.monotonic() < end, found
            time.sleep(0.1)


@contextmanager
def serving(server: socketserver.BaseServer) -> Iterator[int]:
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield int(server.server_address[1])  # type: ignore[index]
    finally:
        server.shutdown()
        server.server_close()


def region(name: str, edge: Edge) -> ThreadingHTTPServer:
    class Answer(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.send_response(200 if self.path != "/ready" or name in edge.ready else 503)
            self.send_header("x-region", name)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    return ThreadingHTTPServer(("127.0.0.1", 0), Answer)


def agent(edge: Edge) -> socketserver.ThreadingTCPServer:
    class Tell(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            edge.asked.add(self.rfile.readline().decode())
            if edge.told is not None:
                self.wfile.write(f"{edge.told}\n".encode())

    return socketserver.ThreadingTCPServer(("127.0.0.1", 0), Tell)


@pytest.fixture
def edge(tmp_path: Path) -> Iterator[Edge]:
    made = Edge()
    with ExitStack() as stack:
        at = {
            ("unified-api", "sjc"): stack.enter_context(serving(region("sjc", made))),
            ("unified-api", "lax"): stack.enter_context(serving(region("lax", made))),
            ("failover-agent", ""): stack.enter_context(serving(agent(made))),
        }

        def instances(service: str, region: str = "") -> list[dict[str, Any]]:
            port = at[service, region]
            return [{"name": f"{service}-{region}-0", "host": "127.0.0.1", "port": {"http": port, "shares": port}}]

        ports = []
        for _ in range(3):
            with socket.socket() as found:
                found.bind(("127.0.0.1", 0))
                ports.append(found.getsockname()[1])
        made.port = ports[0]
        template = Environment(undefined=StrictUndefined, autoescape=False).from_string(LOCAL.read_text())
        config = tmp_path / "haproxy.cfg"
        port = dict(zip(("http", "stats", "admin"), ports, strict=True))
        config.write_text(template.render(instances=instances, port=port) + "\n")
        command = [str(PROGRAM), "-db", "-f", str(DEPLOY / "edge/common.cfg"), "-f", str(config)]
        child = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        stack.callback(child.wait, 5)
        stack.callback(child.kill)
        end = time.monotonic() + 5
        while socket.socket().connect_ex(("127.0.0.1", made.port)):
            assert time.monotonic() < end, "HAProxy does not listen"
            time.sleep(0.02)
        yield made


def test_users_are_shared_as_the_agent_tells(edge: Edge) -> None:
    assert edge.served() == {"sjc": 200}, "both are ready, and only one is to serve"
    edge.told = "50%"
    edge.becomes(lambda found: 60 < found["lax"] < 140)
    edge.told = "90%"
    edge.becomes(lambda found: 3 < found["lax"] < 45)
    edge.told = None
    time.sleep(1.2)
    assert 3 < edge.served()["lax"] < 45, "while nobody tells, the latest word holds"
    edge.told = "0%"
    edge.becomes(lambda found: found == {"lax": 200})
    assert edge.asked == {"sjc\n"}


def test_a_region_where_nobody_is_ready_has_no_users_whatever_its_share(edge: Edge) -> None:
    edge.told = "50%"
    edge.becomes(lambda found: 60 < found["lax"] < 140)
    edge.ready = {"sjc"}
    edge.becomes(lambda found: found == {"sjc": 200})
    edge.ready = {"lax"}
    edge.becomes(lambda found: found == {"lax": 200})
    edge.told, edge.ready = "100%", {"lax"}
    time.sleep(0.6)
    assert edge.served() == {"lax": 200}, "those of a region that is lost are served by the other"


def test_on_a_cluster_the_rules_are_the_same() -> None:
    def rules(text: str) -> list[str]:
        return re.findall(r"^    (?:http-request set-var|acl|use_backend|default_backend).*$", text, re.MULTILINE)

    assert rules(LOCAL.read_text()) == rules(CLUSTER.read_text())
    assert len(rules(LOCAL.read_text())) == 7
