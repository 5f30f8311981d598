"""The reference platform's objectives name series that its unified API really exposes, with those labels."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from harness.judge import selectors
from harness.model.promql import parse_selector
from harness.spec.openslo import load_slos
from sophia import metrics
from sophia.settings import Identity
from sophia.web import answer, application

SLOS = Path(__file__).parents[2] / "slos" / "unified-api.yaml"


async def _post(app) -> None:
    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(_message) -> None:
        pass

    scope = {"type": "http", "method": "POST", "path": "/api/chat", "headers": [], "query_string": b""}
    await app(scope, receive, send)


@pytest.fixture(scope="module")
def exposed() -> list[dict[str, str]]:
    async def chat(_: Request) -> Response:
        metrics.CONSENSUS.labels("agreed").inc()
        metrics.CONSENSUS_CORRECT.labels("correct").inc()
        return answer({})

    identity = Identity("unified-api", "unified-api-sjc-0", "sjc", "1.0.0", 1)
    asyncio.run(_post(application(identity, [Route("/api/chat", chat, methods=["POST"])])))
    return [
        # what the target's own labels add, as in deploy/local/targets.json.j2
        {"service": "unified-api", "region": "sjc", **sample.labels, "__name__": sample.name}
        for family in metrics.REGISTRY.collect()
        for sample in family.samples
    ]


@pytest.mark.parametrize("query", sorted(set(selectors(load_slos([SLOS]))) - {"up", "ALERTS"}))
def test_each_selector_finds_a_series(exposed, query):
    assert any(parse_selector(query).matches(labels) for labels in exposed)
