"""A small world for real children: a folder as platform, an edge that tells its level, experiments made to measure."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from harness.journal.layout import RunFolder
from harness.testing.folder_target import FolderTarget


@pytest.fixture
def target(tmp_path: Path) -> FolderTarget:
    folder = tmp_path / "platform"
    folder.mkdir()
    for name in ("store-0", "api-0", "api-1"):
        (folder / name).touch()
    return FolderTarget(folder)


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    made = RunFolder(tmp_path / "run-1")
    for path in (made.root, made.work, made.undo, made.logs, made.evidence):
        path.mkdir()
    return made


@pytest.fixture
def edge(target: FolderTarget) -> Iterator[str]:
    """Serves /api/ping with level 1 while nothing is broken, else 3."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("x-degradation-level", "3" if target.ready() else "1")
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join(5)


@pytest.fixture
def write(tmp_path: Path) -> Callable[[dict[str, Any]], Path]:
    """Writes an experiment's file; JSON is YAML."""

    def writer(document: dict[str, Any]) -> Path:
        file = tmp_path / "experiment.yaml"
        file.write_text(json.dumps(document, indent=1))
        return file

    return writer
