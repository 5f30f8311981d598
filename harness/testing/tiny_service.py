"""A service for tests: `python -m harness.testing.tiny_service PORT [DEVICE_FILE]` answers every path with 200.

/metrics says whether the device file is there: `gpu_present 1` or `gpu_present 0`.
"""

from __future__ import annotations

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Handler(BaseHTTPRequestHandler):
    """See the module."""

    def do_GET(self) -> None:
        present = len(sys.argv) > 2 and Path(sys.argv[2]).exists()
        body = f"# TYPE gpu_present gauge\ngpu_present {int(present)}\n".encode()
        self.send_response(200)
        self.send_header("x-degradation-level", "1")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Requests are not logged."""


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
