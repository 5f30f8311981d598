"""A launcher's child process: it never outlives its launcher, not even one that was killed."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from sophia import settings

PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)

Page = Callable[[], tuple[int, str, bytes]]


def die_with_parent() -> None:
    """Runs in the child before exec: the kernel kills it when its parent ends. Must come after any change of user."""
    _libc.prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)


def start(
    command: Sequence[str],
    *,
    environment: Mapping[str, str] | None = None,
    cwd: Path | str | None = None,
    before_exec: Callable[[], None] = die_with_parent,
) -> subprocess.Popen[bytes]:
    """Starts the child from the calling thread, which must live as long as the child shall."""
    return subprocess.Popen(
        command,
        env=None if environment is None else {**os.environ, **environment},
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        preexec_fn=before_exec,
    )


def stop(child: subprocess.Popen[bytes], number: signal.Signals, timeout: float) -> int:
    """Asks the child to end, kills it after `timeout` seconds; its exit code."""
    if child.poll() is None:
        child.send_signal(number)
        try:
            child.wait(timeout)
        except subprocess.TimeoutExpired:
            child.kill()
    return child.wait()


def exit_code(returncode: int) -> int:
    """What a launcher returns for its child's end: the code, or 128 + signal as shells say it."""
    return 128 - returncode if returncode < 0 else returncode


class Stopping:
    """SIGTERM and SIGINT as an event to wait for."""

    def __init__(self) -> None:
        self._event = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._event.set())

    def wait(self, seconds: float) -> bool:
        """True as soon as the process was asked to end."""
        return self._event.wait(seconds)

    def __bool__(self) -> bool:
        return self._event.is_set()


def serve_pages(port: int, pages: Mapping[str, Page]) -> ThreadingHTTPServer:
    """Serves a few GET pages (health, metrics) on `HOST` in the background."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            page = pages.get(self.path.partition("?")[0])
            status, kind, body = page() if page else (404, "text/plain", b"not found\n")
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Requests are not logged: health checks come several times a second."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        allow_reuse_address = True

        def handle_error(self, request: object, client_address: object) -> None:
            """A client that went away is no error of ours; anything else is told as usual."""
            if not isinstance(sys.exception(), ConnectionError):
                super().handle_error(request, client_address)  # type: ignore[arg-type]

    server = Server((settings.host(), port), Handler)
    threading.Thread(target=server.serve_forever, name="pages", daemon=True).start()
    return server
