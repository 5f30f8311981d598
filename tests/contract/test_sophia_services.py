"""What each service answers, alone in this process: every dependency refuses its connections, none is a fake."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from sophia import agent_ui, agno_bridge, generic_service, gpu_worker, llm_gateway, llm_provider, unified_api
from sophia.settings import Identity

ME = Identity("service", "service-sjc-0", "sjc", "1.2.3", 0)


@pytest.fixture
def nobody() -> Iterator[str]:
    """An address where nobody listens, and nobody else can."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{taken.getsockname()[1]}"


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch, nobody: str) -> Iterator[TestClient]:
    for name in ("REDIS", "WEAVIATE", "GPU", "GATEWAY", "EMBEDDER", "FAILOVER_AGENT"):
        monkeypatch.setenv(name, nobody)
    monkeypatch.setenv("DATABASE", f"postgresql://sophia@{nobody}/sophia?connect_timeout=1")
    with TestClient(unified_api.build(ME)) as client:
        yield client


def test_every_answer_says_who_gave_it_and_at_which_level(api: TestClient) -> None:
    for path in ("/api/ping", "/health", "/nowhere"):
        headers = api.get(path).headers
        assert (headers["x-release"], headers["x-region"], headers["x-instance"]) == ("1.2.3", "sjc", "service-sjc-0")
        assert headers["x-degradation-level"] == "4"


def test_without_anything_the_swarm_votes_on_the_cpu(api: TestClient) -> None:
    answer = api.post("/api/chat", json={"question": "What is 20 plus 22?"})
    assert answer.status_code == 200
    body = answer.json()
    assert body["answer"] == "42"
    assert body["consensus"] == {"agreed": True, "votes": {"42": 3}}
    assert (body["cached"], body["cost_usd"]) == (False, 0.0)
    assert answer.headers["x-degradation-level"] == "4"


def test_a_memory_that_cannot_be_committed_is_not_acknowledged(api: TestClient) -> None:
    answer = api.post("/api/memory", json={"key": "k", "text": "t"})
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "database_unavailable"
    assert api.get("/api/memory/k").status_code == 503
    assert api.delete("/api/memory/k").status_code == 503
    assert api.get("/api/memory", params={"keys": "k"}).status_code == 503


def test_a_search_without_weaviate_or_cached_embeddings_is_honestly_empty(api: TestClient) -> None:
    answer = api.post("/api/search", json={"vector_of": "doc-17"})
    assert (answer.status_code, answer.json()) == (200, {"hits": []})
    assert int(answer.headers["x-degradation-level"]) >= 3


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/chat", b"not json"),
        ("/api/chat", b"[]"),
        ("/api/chat", b"{}"),
        ("/api/chat", b'{"question": 5}'),
        ("/api/memory", b'{"key": "k"}'),
        ("/api/memory", b'{"key": "", "text": "t"}'),
        ("/api/search", b'{"vector_of": "doc-1", "limit": 0}'),
        ("/api/search", b'{"limit": 3}'),
    ],
)
def test_bad_requests_are_told_so(api: TestClient, path: str, body: bytes) -> None:
    answer = api.post(path, content=body)
    assert answer.status_code == 400
    assert set(answer.json()["error"]) == {"code", "message"}


def test_too_many_keys_are_refused(api: TestClient) -> None:
    assert api.get("/api/memory", params={"keys": ",".join(map(str, range(501)))}).status_code == 400


def test_the_histogram_has_an_edge_on_every_threshold(api: TestClient) -> None:
    api.get("/api/ping")
    text = api.get("/metrics").text
    for edge in ("0.1", "0.15", "0.2", "0.3", "0.5"):
        assert f'le="{edge}"' in text
    assert 'sophia_breaker_state{name="weaviate"}' in text
    assert "sophia_degradation_level" in text


def test_known_answers_are_offered(api: TestClient) -> None:
    questions = api.get("/api/knowledge").json()["questions"]
    assert {"question": "What is the capital of France?", "answer": "Paris"} in questions


@pytest.mark.parametrize(
    ("defect", "value"), [("DEFECT_WRONG", "1"), ("DEFECT_FAILING", "1"), ("DEFECT_DEGRADED", "1")]
)
def test_a_bad_release_is_bad_in_its_own_way(
    monkeypatch: pytest.MonkeyPatch, nobody: str, defect: str, value: str
) -> None:
    for name in ("REDIS", "WEAVIATE", "GPU", "GATEWAY", "EMBEDDER", "FAILOVER_AGENT"):
        monkeypatch.setenv(name, nobody)
    monkeypatch.setenv("DATABASE", f"postgresql://sophia@{nobody}/sophia?connect_timeout=1")
    monkeypatch.setenv(defect, value)
    with TestClient(unified_api.build(ME)) as client:
        answer = client.post("/api/chat", json={"question": "What is 20 plus 22?"})
        assert client.get("/health").status_code == 200, "a bad release looks good from outside"
    if defect == "DEFECT_FAILING":
        assert (answer.status_code, answer.json()["error"]["code"]) == (500, "internal")
    elif defect == "DEFECT_WRONG":
        assert answer.json()["answer"] != "42"
    else:
        assert int(answer.headers["x-degradation-level"]) >= 3


def test_the_gpu_worker_refuses_work_without_its_device(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    device = tmp_path / "gpu"
    device.touch()
    monkeypatch.setenv("DEVICES", f"sjc={device},lax=/nowhere")
    with TestClient(gpu_worker.build(ME)) as client:
        assert client.get("/health").status_code == 200
        assert client.post("/infer", json={"question": "What is 1 plus 1?"}).json()["answer"] == "2"
        device.unlink()
        assert client.get("/health").status_code == 503
        assert client.post("/infer", json={"question": "What is 1 plus 1?"}).status_code == 503
        assert "sophia_gpu_present 0.0" in client.get("/metrics").text
        device.touch()
        assert client.post("/infer", json={"question": "What is 1 plus 1?"}).status_code == 200


def test_a_provider_can_be_told_to_have_a_bad_day(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELS", "atlas-large")
    monkeypatch.setenv("MEDIAN", "0.001")
    question = {"model": "atlas-large", "question": "What is 1 plus 1?"}
    with TestClient(llm_provider.build(ME)) as client:
        assert client.post("/v1/complete", json=question).json()["answer"] == "2"
        assert client.put("/admin/behaviour", json={"name": "throttled"}).status_code == 200
        throttled = client.post("/v1/complete", json=question)
        assert (throttled.status_code, throttled.headers["retry-after"]) == (429, "1")
        assert client.put("/admin/behaviour", json={"name": "wrong"}).status_code == 200
        assert client.post("/v1/complete", json=question).json()["answer"] != "2"
        assert client.put("/admin/behaviour", json={"name": "asleep"}).status_code == 400
        assert client.get("/admin/behaviour").json() == {"name": "wrong", "share": 1.0}


def test_a_bad_day_of_a_provider_ends_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELS", "atlas-large")
    with TestClient(llm_provider.build(ME)) as client:
        assert client.put("/admin/behaviour", json={"name": "failing", "for": 0.3}).json()["name"] == "failing"
        time.sleep(0.4)
        assert client.get("/admin/behaviour").json()["name"] == "normal"
        question = {"model": "atlas-large", "question": "What is 1 plus 1?"}
        assert client.post("/v1/complete", json=question).json()["answer"] == "2"
        assert client.put("/admin/behaviour", json={"name": "failing", "for": "ever"}).status_code == 400
        assert client.get("/admin/behaviour").json()["name"] == "normal"


def test_a_gateway_whose_providers_are_gone_says_so(monkeypatch: pytest.MonkeyPatch, nobody: str) -> None:
    monkeypatch.setenv("REDIS", nobody)
    monkeypatch.setenv("PROVIDERS", f"atlas={nobody},borealis={nobody}")
    monkeypatch.setenv("ROUTES", "atlas-large=atlas")
    with TestClient(llm_gateway.build(ME)) as client:
        answer = client.post("/complete", json={"model": "atlas-large", "question": "What is 1 plus 1?"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "no_provider")
        assert client.post("/complete", json={"model": "other", "question": "?"}).status_code == 404


def test_the_bridge_lets_production_origins_in_and_nobody_else(monkeypatch: pytest.MonkeyPatch, nobody: str) -> None:
    monkeypatch.setenv("API", nobody)
    monkeypatch.setenv("CORS_ORIGINS", "https://sophia.example")
    path = "/v1/playground/agents/sophia/runs"
    asks = {"access-control-request-method": "POST"}
    with TestClient(agno_bridge.build(ME)) as client:
        allowed = client.options(path, headers={"origin": "https://sophia.example", **asks})
        assert allowed.headers["access-control-allow-origin"] == "https://sophia.example"
        foreign = client.options(path, headers={"origin": "https://elsewhere.example", **asks})
        assert foreign.status_code == 400
        assert "access-control-allow-origin" not in foreign.headers
        assert client.post(path, json={"message": "hello"}).status_code == 502
        assert client.post("/v1/playground/agents/nobody/runs", json={"message": "hello"}).status_code == 404


def test_the_page_loads_nothing_from_elsewhere_and_takes_its_paint_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRIDGE", "http://127.0.0.1:7777")
    with TestClient(agent_ui.build(ME)) as client:
        page = client.get("/")
        assert 'data-bridge="http://127.0.0.1:7777"' in page.text
        assert "src=" not in page.text
        assert "https://" not in page.text
        assert page.headers["content-security-policy"].startswith("default-src 'none'")
        assert client.post("/paint", content="42.5").status_code == 200
        assert client.post("/paint", content="soon").status_code == 400


def test_a_generic_service_is_ready_when_what_it_depends_on_answers(
    monkeypatch: pytest.MonkeyPatch, nobody: str
) -> None:
    with TestClient(generic_service.build(ME)) as client:
        assert client.get("/ready").status_code == 200
    monkeypatch.setenv("DEPENDS_ON", f"other={nobody}/health")
    with TestClient(generic_service.build(ME)) as client:
        assert client.get("/ready").status_code == 503
        assert client.get("/health").status_code == 200
