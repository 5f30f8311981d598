"""What is sent to an API server and how its answers are told apart from a pod's: on a server of our own on loopback."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from harness.targets.kubernetes.api import ApiError, Cluster

STATUS = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "ServiceUnavailable"}


class Server(ThreadingHTTPServer):
    """`answers`: path (without query) → (status, body) or a number of connections to break first."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: dict[str, tuple[int, Any]] = {}
        self.broken = 0
        self.seen: list[tuple[str, str, dict[str, str], str]] = []


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0)).decode()
        headers = {key.lower(): value for key, value in self.headers.items()}
        self.server.seen.append((self.command, self.path, headers, body))
        if self.server.broken:
            self.server.broken -= 1
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        status, said = self.server.answers.get(self.path.split("?")[0], (404, {**STATUS, "message": "not found"}))
        text = (said if isinstance(said, str) else json.dumps(said)).encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain" if isinstance(said, str) else "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = do_PATCH = do_DELETE = do_OPTIONS = answer

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    threading.Thread(target=made.serve_forever, args=(0.02,), daemon=True).start()
    yield made
    made.shutdown()
    made.server_close()


@pytest.fixture
def cluster(server: Server, tmp_path: Path) -> Cluster:
    file = tmp_path / "config"
    file.write_text(
        "apiVersion: v1\nkind: Config\n"
        f"clusters:\n- name: c\n  cluster: {{server: 'http://127.0.0.1:{server.server_address[1]}'}}\n"
        "users:\n- name: u\n  user: {token: secret}\ncontexts:\n- name: c\n  context: {cluster: c, user: u}\n"
    )
    server.answers["/api/v1"] = (
        200,
        {
            "resources": [
                {"kind": "ConfigMap", "name": "configmaps", "namespaced": True},
                {"kind": "Pod", "name": "pods", "namespaced": True},
                {"kind": "Pod", "name": "pods/log", "namespaced": True},
            ]
        },
    )
    return Cluster.connect(str(file), "c")


POD = "/api/v1/namespaces/n/pods/p:80/proxy"


def test_a_pods_own_503_is_an_answer_and_the_api_servers_an_error(server: Server, cluster: Cluster) -> None:
    server.answers[f"{POD}/ready"] = (503, {"status": "standby"})
    answer = cluster.proxy("n", "p", 80, "GET", "/ready?x=1")
    assert (answer.status, json.loads(answer.text)) == (503, {"status": "standby"})
    server.answers[f"{POD}/ready"] = (503, {**STATUS, "message": "error trying to reach service"})
    with pytest.raises(ApiError, match="error trying to reach service") as refused:
        cluster.proxy("n", "p", 80, "GET", "/ready")
    assert refused.value.status == 503


def test_a_pod_gets_method_headers_and_body(server: Server, cluster: Cluster) -> None:
    server.answers[f"{POD}/chat"] = (200, "fine")
    cluster.proxy("n", "p", 80, "POST", "/chat", {"Content-Type": "application/json", "Origin": "o"}, '{"a": 1}')
    method, path, headers, body = server.seen[-1]
    assert (method, path, body) == ("POST", f"{POD}/chat", '{"a": 1}')
    assert (headers["origin"], headers["content-type"]) == ("o", "application/json")


def test_what_is_asked_of_a_pod_is_asked_once(server: Server, cluster: Cluster) -> None:
    server.broken = 1
    with pytest.raises(ApiError, match="does not answer"):
        cluster.proxy("n", "p", 80, "GET", "/x")
    assert len(server.seen) == 1


def test_a_read_that_did_not_get_through_is_tried_again_and_a_write_is_not(server: Server, cluster: Cluster) -> None:
    server.answers["/api/v1/namespaces/n/configmaps/c"] = (200, {"kind": "ConfigMap"})
    cluster.resource("v1/ConfigMap")
    server.broken = 1
    assert cluster.read("v1/ConfigMap", "n", "c") == {"kind": "ConfigMap"}
    server.broken, before = 1, len(server.seen)
    with pytest.raises(ApiError):
        cluster.patch("v1/ConfigMap", "n", "c", {})
    assert len(server.seen) == before + 1


def test_apply_names_its_manager_and_its_kind_of_patch(server: Server, cluster: Cluster) -> None:
    path = "/api/v1/namespaces/n/configmaps/c"
    server.answers[path] = (200, {})
    manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": "n"}}
    cluster.apply(manifest)
    method, asked, headers, body = server.seen[-1]
    assert (method, asked) == ("PATCH", f"{path}?fieldManager=sophia-harness&force=false")
    assert headers["content-type"] == "application/apply-patch+yaml"
    assert headers["authorization"] == "Bearer secret"
    assert json.loads(body) == manifest


def test_a_refusal_has_the_servers_words_and_a_fix_and_no_token(server: Server, cluster: Cluster) -> None:
    conflict = {
        **STATUS,
        "reason": "Conflict",
        "message": "Apply failed with 1 conflict",
        "details": {"causes": [{"field": ".data.key", "message": 'conflict with "kubectl"'}]},
    }
    server.answers["/api/v1/namespaces/n/configmaps/c"] = (409, conflict)
    with pytest.raises(ApiError, match="Apply failed with 1 conflict") as refused:
        cluster.read("v1/ConfigMap", "n", "c")
    assert (refused.value.status, refused.value.reason) == (409, "Conflict")
    assert refused.value.causes == ('.data.key: conflict with "kubectl"',)
    server.answers["/api/v1/namespaces/n/configmaps/c"] = (403, {**STATUS, "message": "pods is forbidden"})
    with pytest.raises(ApiError, match="harness rbac") as refused:
        cluster.read("v1/ConfigMap", "n", "c")
    assert "secret" not in str(refused.value)


def test_what_is_no_json_is_told(server: Server, cluster: Cluster) -> None:
    server.answers["/version"] = (200, "<html>a captive portal</html>")
    with pytest.raises(ApiError, match="no JSON"):
        cluster.version()


def test_logs_are_text(server: Server, cluster: Cluster) -> None:
    server.answers["/api/v1/namespaces/n/pods/p/log"] = (200, "a line\n")
    assert cluster.logs("n", "p", "main", previous=True, limit_bytes=5) == "a line\n"
    assert server.seen[-1][1].endswith("?container=main&previous=true&limitBytes=5")
