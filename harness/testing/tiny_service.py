"""A service for tests: `python -m harness.testing.tiny_service PORT [DEVICE_FILE]` answers every path with 200.

/metrics says whether the device file is there: `gpu_present 1` or `gpu_present 0`. It can be told to fail, as the
stand-ins of external APIs can: `PUT {"name": "throttled", "for": seconds}`; a POST is then answered with 429, 500
(`failing`), or late (`timeout`). Any GET of /admin/… tells how it behaves. /term tells which region is primary, and
`POST /switchover {"to": region}` makes another one so; /term also tells the part of the users that each region serves,
and `POST /users {"region", "share"}` changes it. With the address of such a one it answers /api/ping as an edge: with
the region that served this user.
"""

from __future__ import annotations

import itertools
import json
import math
import sys
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

LATE_S = 5.0
STATUS = {"throttled": 429, "failing": 500}
told = ("normal", math.inf)  # behaviour, and until when
primary = "sjc"
users = {"sjc": 1.0, "lax": 0.0}
pings = itertools.count()


def behaviour() -> str:
    return told[0] if time.monotonic() < told[1] else "normal"


def shared_with(users: dict[str, float], region: str, share: float) -> dict[str, float]:
    """With this share of one region, the rest to the other."""
    return {each: share if each == region else round(1 - share, 6) for each in users}


def served_by(users: dict[str, float], number: int) -> str:
    """Who serves the n-th user, so that any stretch of them is shared as told."""
    share = users["lax"]
    return "lax" if int((number + 1) * share) > int(number * share) else "sjc"


class Handler(BaseHTTPRequestHandler):
    """See the module."""

    def do_GET(self) -> None:
        if self.path.startswith("/admin/"):
            self._answer(200, json.dumps({"name": behaviour()}))
            return
        if self.path == "/term":
            self._answer(200, json.dumps({"primary": primary, "users": users}))
            return
        if self.path == "/api/ping" and len(sys.argv) > 3:
            with urllib.request.urlopen(f"http://{sys.argv[3]}/term", timeout=5) as told:
                self._answer(200, json.dumps({"region": served_by(json.load(told)["users"], next(pings))}))
            return
        present = len(sys.argv) > 2 and Path(sys.argv[2]).exists()
        self._answer(200, f"# TYPE gpu_present gauge\ngpu_present {int(present)}\n")

    def do_PUT(self) -> None:
        global told
        asked = json.loads(self._body())
        told = (asked["name"], time.monotonic() + asked.get("for", math.inf))
        self._answer(200, "{}")

    def do_POST(self) -> None:
        global primary, users
        body = self._body()
        if self.path == "/switchover":
            primary = json.loads(body)["to"]
            users = {region: float(region == primary) for region in users}
        if self.path == "/users":
            asked = json.loads(body)
            users = shared_with(users, asked["region"], asked["share"])
        if behaviour() == "timeout":
            time.sleep(LATE_S)
        self._answer(STATUS.get(behaviour(), 200), "{}")

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("content-length", 0)))

    def _answer(self, status: int, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("x-degradation-level", "1")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Requests are not logged."""


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
