"""The reference platform on the bare test bed by plain kubectl, without the harness."""

from __future__ import annotations

import contextlib
import http.client
import json
import secrets
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from harness.spec.platform import load_platform
from tests.e2e.kind.bed import BIN, KUBECONFIG, everything, kubectl
from tests.e2e.local.support import ROOT

EDGE, PROMETHEUS, LAX = "http://127.0.0.1:30080", "http://127.0.0.1:30090", "http://127.0.0.1:30181"
SPEC = load_platform(ROOT / "deploy/platform.yaml").value.spec
PODS = sum(sum(service.instances.values()) for service in SPEC.services)
pytestmark = pytest.mark.timeout(400)


def soon(what: str, true: Callable[[], bool], within_s: float) -> None:
    deadline = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline, f"not within {within_s:.0f} s: {what}"
        time.sleep(0.3)


def in_sophia(*words: str) -> str:
    return kubectl("-n", "sophia", *words)


def pods() -> dict[str, dict[str, Any]]:
    return {each["metadata"]["name"]: each for each in json.loads(in_sophia("get", "pods", "-o", "json"))["items"]}


def is_ready(pod: dict[str, Any]) -> bool:
    conditions = pod["status"].get("conditions", ())
    return "deletionTimestamp" not in pod["metadata"] and ("Ready", "True") in {
        (each["type"], each["status"]) for each in conditions
    }


def all_ready() -> bool:
    found = pods()
    return len(found) == PODS and all(map(is_ready, found.values()))


def ask(url: str, body: object = None) -> tuple[int, dict[str, str], Any]:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=5) as answer:
        return answer.status, {name.lower(): value for name, value in answer.headers.items()}, json.load(answer)


def level() -> str:
    try:
        return ask(f"{EDGE}/api/ping")[1]["x-degradation-level"]
    except OSError:
        return ""


def query(promql: str) -> list[dict[str, str]]:
    found = ask(f"{PROMETHEUS}/api/v1/query?{urllib.parse.urlencode({'query': promql})}")[2]
    return [each["metric"] for each in found["data"]["result"]]


@pytest.fixture(scope="module")
def sophia() -> Iterator[None]:
    before = everything()
    kubectl("create", "namespace", "sophia")
    try:
        password = f"--from-literal=postgres={secrets.token_hex(16)}"
        in_sophia("create", "secret", "generic", "sophia-secrets", password)
        kubectl("apply", "--server-side", "-k", str(ROOT / "deploy/kustomize/overlays/bare"))
        soon("every pod is ready", all_ready, 150)
        soon("the edge serves at level 1", lambda: level() == "1", 60)
        yield
    finally:
        with contextlib.suppress(subprocess.TimeoutExpired):
            kubectl("delete", "namespace", "sophia", "--wait=false")
        soon("nothing is left", lambda: everything() == before, 90)


@pytest.mark.usefixtures("sophia")
def test_a_question_is_answered_in_sjc_at_full_service() -> None:
    status, headers, body = ask(f"{EDGE}/api/chat", {"question": "What is 20 plus 22?"})
    assert (status, body["answer"], headers["x-degradation-level"], headers["x-region"]) == (200, "42", "1", "sjc")
    assert headers["x-instance"] in pods()


@pytest.mark.usefixtures("sophia")
def test_lax_follows_and_stands_by() -> None:
    assert ask(f"{EDGE}/api/memory", {"key": "in pods", "text": "kept in both regions"})[0] == 201
    url = f"{LAX}/api/memory?{urllib.parse.urlencode({'keys': 'in pods'})}"
    soon("lax has it", lambda: [each["text"] for each in ask(url)[2]["memories"]] == ["kept in both regions"], 5)
    with pytest.raises(urllib.error.HTTPError, match="503"):
        ask(f"{LAX}/ready")


@pytest.mark.usefixtures("sophia")
def test_prometheus_scrapes_every_pod_under_its_own_name() -> None:
    def told() -> set[tuple[str, str, str, str]]:
        names = ("service", "region", "instance", "release")
        found = [tuple(each.get(name, "") for name in names) for each in query("up == 1")]
        return {each for each in found if not each[2].endswith("/targets")}  # type: ignore[misc]

    def there() -> set[tuple[str, str, str, str]]:
        names = ("app.kubernetes.io/name", "topology.kubernetes.io/region", "app.kubernetes.io/version")
        labels = {name: [pod["metadata"]["labels"].get(label, "") for label in names] for name, pod in pods().items()}
        return {(service, region, name, release) for name, (service, region, release) in labels.items()}

    soon("every pod is a target that answers", lambda: told() == there(), 20)
    assert {service for service, *_ in told()} == {service.name for service in SPEC.services}


@pytest.mark.usefixtures("sophia")
def test_no_pod_but_prometheus_has_a_token() -> None:
    for name, pod in pods().items():
        mounted = [mount["name"] for one in pod["spec"]["containers"] for mount in one.get("volumeMounts", ())]
        assert any(each.startswith("kube-api-access") for each in mounted) is name.startswith("prometheus-"), name


@pytest.mark.usefixtures("sophia")
def test_kubernetes_itself_finds_the_pods_restricted() -> None:
    """The API server would warn of each pod that its strictest security standard refuses."""
    label = ["label", "namespace", "sophia", "pod-security.kubernetes.io/enforce=restricted", "--dry-run=server"]
    told = subprocess.run(
        [str(BIN / "kubectl"), f"--kubeconfig={KUBECONFIG}", *label], capture_output=True, text=True, check=True
    )
    assert "labeled" in told.stdout
    assert "arning" not in told.stderr


@pytest.mark.usefixtures("sophia")
def test_a_weaviate_whose_pod_is_deleted_comes_back_with_its_data_and_is_told() -> None:
    uid = pods()["weaviate-sjc-0"]["metadata"]["uid"]
    in_sophia("delete", "pod", "weaviate-sjc-0", "--wait=false")
    soon(
        "the alert fires", lambda: query('ALERTS{alertname="WeaviateDown",region="sjc",alertstate="firing"}') != [], 20
    )
    soon(
        "another pod is there",
        lambda: pods().get("weaviate-sjc-0", {"metadata": {"uid": uid}})["metadata"]["uid"] != uid,
        30,
    )
    soon("it is ready", all_ready, 60)
    soon("full service is back", lambda: level() == "1", 60)
    assert "Corpus ready: 0 documents loaded" in in_sophia("logs", "weaviate-sjc-0", "-c", "corpus")
    hits = ask(f"{EDGE}/api/search", {"vector_of": "doc-17", "limit": 3})[2]["hits"]
    assert {hit["id"] for hit in hits} == {"doc-15", "doc-16", "doc-17"}
    soon("the alert resolves", lambda: query('ALERTS{alertname="WeaviateDown",alertstate="firing"}') == [], 30)


@pytest.mark.usefixtures("sophia")
def test_a_rolling_update_loses_no_request_and_wakes_nobody() -> None:
    seen: Counter[str] = Counter()
    ending = threading.Event()

    def load() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", 30080, timeout=5)
        while not ending.wait(0.03):
            connection.request("GET", "/api/ping")
            answer = connection.getresponse()
            answer.read()
            seen[f"{answer.status} {answer.headers['x-release']}"] += 1

    thread = threading.Thread(target=load)
    thread.start()
    try:
        label = {"metadata": {"labels": {"app.kubernetes.io/version": "1.1.0"}}}
        patch = json.dumps({"spec": {"template": label}})
        in_sophia("patch", "deployment", "unified-api-sjc", "--type=merge", "-p", patch)
        soon("only the new release answers", lambda: all_ready() and set(seen) == {"200 1.0.0", "200 1.1.0"}, 60)
        time.sleep(5)
    finally:
        ending.set()
        thread.join()
    assert set(seen) == {"200 1.0.0", "200 1.1.0"}, seen
    assert query('max_over_time(ALERTS{alertname="ServiceDown",alertstate="firing"}[40s])') == []
