"""A dead man's switch: its calls, again and again until all are taken; none when it is ended before its deadline."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from harness.kube.programs import undo
from harness.testing import authority

PATCH = {"method": "PATCH", "path": "/apis/apps/v1/x", "body": '{"spec":{"replicas":2}}'}
DELETE = {"method": "DELETE", "path": "/api/v1/pods?labelSelector=a%3Db"}
RUN = "import sys; from harness.kube.programs import undo; undo.MOUNTED = sys.argv[1]; undo.main(sys.argv[2:])"


@dataclass
class Api:
    """An API server with a certificate of its own; `answers` are the statuses it gives, then 200."""

    folder: Path
    port: int = 0
    answers: list[int] = field(default_factory=list)
    taken: list[tuple[str, str, str, str]] = field(default_factory=list)


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    made = Api(tmp_path)

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0)).decode()
            status = made.answers.pop(0) if made.answers else 200
            made.taken.append((self.command, self.path, body, self.headers["authorization"]))
            self.send_response(status)
            self.send_header("content-length", "0")
            self.end_headers()

        do_PATCH = do_DELETE = answer

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.socket = certificate(tmp_path).server().wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    made.port = server.server_address[1]
    (tmp_path / "token").write_text("secret\n")
    monkeypatch.setattr(undo, "MOUNTED", str(tmp_path))
    monkeypatch.setattr(undo, "RETRY_S", 0.01)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(made.port))
    yield made
    server.shutdown()
    server.server_close()
    thread.join(5)


def certificate(folder: Path) -> authority.Certificate:
    """Trusted where it stands as ca.crt."""
    made = authority.issue(folder)
    (folder / "ca.crt").write_bytes(made.certificate.read_bytes())
    return made


def test_all_calls_are_made_in_their_order_with_the_accounts_token(api: Api) -> None:
    undo.main(["0", json.dumps([PATCH, DELETE])])
    assert api.taken == [
        ("PATCH", PATCH["path"], PATCH["body"], "Bearer secret"),
        ("DELETE", DELETE["path"], "", "Bearer secret"),
    ]


def test_a_call_that_fails_is_made_again_until_it_is_taken(api: Api) -> None:
    api.answers = [503, 500, 403]
    undo.main(["0", json.dumps([PATCH])])
    assert len(api.taken) == 4


def test_while_the_api_server_is_away_it_goes_on_and_asks_ever_less_often(
    api: Api, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    paused: list[float] = []
    monkeypatch.setattr(undo, "RETRY_S", 2.0)
    monkeypatch.setattr(time, "sleep", paused.append)
    api.answers = [503] * 400
    undo.main(["7", json.dumps([PATCH])])
    assert paused[:6] == [7, 2, 4, 8, 16, 30]
    assert set(paused[6:]) == {30}
    assert sum(paused) > 3 * 3600
    assert len(api.taken) == 401
    assert capsys.readouterr().out.count("failed") == 1, "hours of the same are told once"


def test_an_answer_that_is_none_does_not_end_it(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    real, torn = undo.call, [http.client.BadStatusLine("?"), http.client.IncompleteRead(b"")]

    def call(one: dict[str, str]) -> None:
        if torn:
            raise torn.pop()
        real(one)

    monkeypatch.setattr(undo, "call", call)
    undo.main(["0", json.dumps([PATCH])])
    assert len(api.taken) == 1


def test_what_is_not_there_any_more_needs_no_undoing(api: Api) -> None:
    api.answers = [404]
    undo.main(["0", json.dumps([PATCH, DELETE])])
    assert [verb for verb, *_ in api.taken] == ["PATCH", "DELETE"]


def test_a_server_with_another_certificate_gets_no_token(api: Api, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    certificate(other)
    (tmp_path / "ca.crt").write_bytes((other / "ca.crt").read_bytes())
    with pytest.raises(OSError, match="certificate verify failed"):
        undo.call(PATCH)
    assert api.taken == []


def test_ended_before_its_deadline_it_undoes_nothing(api: Api, tmp_path: Path) -> None:
    command = [sys.executable, "-c", RUN, str(tmp_path), "30", json.dumps([PATCH])]
    switch = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=dict(os.environ))
    assert switch.stdout is not None
    assert json.loads(switch.stdout.readline()) == {"ready": True}
    began = time.monotonic()
    switch.terminate()
    assert switch.wait(10) == 0
    assert time.monotonic() - began < 5
    assert api.taken == []
