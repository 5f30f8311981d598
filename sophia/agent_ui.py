"""The web front end: one small page, nothing loaded from elsewhere; it reports its own first paint.

Environment, besides the identity: BRIDGE (the bridge's URL as a browser reaches it).
"""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

from prometheus_client import Histogram
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sophia import metrics, settings
from sophia.settings import Identity
from sophia.web import ApiError, answer, application, serve

PAINT = Histogram(
    "sophia_first_paint_seconds",
    "First paint as browsers report it.",
    buckets=(0.025, 0.05, 0.1, 0.2, 0.5, 1.0),
    registry=metrics.REGISTRY,
)
HEADERS = {
    "cache-control": "no-cache",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}


def page(bridge: str) -> bytes:
    """The whole page."""
    return (Path(__file__).parent / "ui" / "index.html").read_text().replace("{{bridge}}", bridge).encode()


def build(identity: Identity) -> Any:
    """The ASGI application."""
    bridge = settings.text("BRIDGE")
    plain = page(bridge)
    packed = gzip.compress(plain)
    policy = (
        "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:",
        f"connect-src 'self' {bridge}",
    )
    headers = {**HEADERS, "content-security-policy": "; ".join(policy)}

    async def index(request: Request) -> Response:
        if "gzip" in request.headers.get("accept-encoding", ""):
            return Response(packed, 200, {**headers, "content-encoding": "gzip"}, "text/html")
        return Response(plain, 200, headers, "text/html")

    async def paint(request: Request) -> Response:
        try:
            milliseconds = float(await request.body())
        except ValueError:
            raise ApiError(400, "bad_field", "the body is not a number of milliseconds") from None
        PAINT.observe(milliseconds / 1000)
        return answer({"ok": True})

    return application(identity, [Route("/", index), Route("/paint", paint, methods=["POST"])])


if __name__ == "__main__":
    me = Identity.from_environment()
    serve(build(me), me)
