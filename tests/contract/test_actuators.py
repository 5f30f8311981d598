"""One contract for every actuator, on fakes, on a cluster in memory and on real HAProxy alike: what is set is what the
traffic does."""

from __future__ import annotations

import http.server
import importlib
import shutil
import socket
import subprocess
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest

from harness import actuators
from harness.actuators import connect
from harness.errors import TargetError
from harness.model.base import Frozen
from harness.model.on_cluster import OnCluster
from harness.model.rollout import Rollout, RolloutStep
from harness.ports import Actuator, Instance, Settles
from harness.spec.platform import load_platform
from harness.targets import kubernetes
from harness.targets.kubernetes.target import KubernetesTarget
from harness.targets.probe import Answer
from harness.testing.fake_actuator import World, instance
from harness.testing.fake_cluster import FakeCluster


@dataclass
class Bench:
    """An actuator, a way to make another on the same traffic, and where n requests went (by release)."""

    actuator: Actuator
    again: Callable[[], Actuator]
    traffic: Callable[[int], Counter[str]]
    lose: Callable[[], None]
    ignore: Callable[[], None] = lambda: None  # from now on nobody carries out what is written


def _rollout(actuator: str = "harness.testing.fake_actuator", **settings: Any) -> Rollout:
    return Rollout(
        service="api",
        baseline="1",
        canary="2",
        instances=0 if actuator == "replicas" else 1,
        actuator=actuator,
        settings=settings,
        steps=(RolloutStep(share=0.5, bake=1.0),),
    )


def _fake() -> Iterator[Bench]:
    world = World()
    world.running.append(instance("api-2", "2"))

    def traffic(count: int) -> Counter[str]:
        before = len(world.responses)
        while len(world.responses) < before + count:
            world.tick(1 / world.rate)
        return Counter(one.release for one in world.responses[before:])

    yield Bench(
        connect(world, _rollout()), lambda: connect(world, _rollout()), traffic, lambda: setattr(world, "deaf", True)
    )


class _Backends:
    """The Target that HAProxy's actuator asks: which instance of which release is where."""

    def __init__(self, edge: Instance, instances: list[Instance]) -> None:
        self._edge, self._instances = edge, instances

    def instances(self, service: str | None = None, region: str | None = None) -> list[Instance]:
        return [self._edge] if service == "edge" else self._instances


@contextmanager
def _backend(release: str) -> Iterator[int]:
    class Answer(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("x-release", release)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    class Server(http.server.ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None: ...  # a health check ends its connection as it likes

    server = Server(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


CONFIG = """
global
    nbthread 1
    stats socket {socket} level admin
    {tcp}
defaults
    mode http
    timeout connect 500ms
    timeout client 5s
    timeout server 5s
    timeout check 1s
frontend edge
    bind 127.0.0.1:{http}
    default_backend api
backend api
    balance roundrobin
    option httpchk GET /ready
    default-server check inter 200ms fastinter 50ms downinter 50ms fall 2 rise 1 weight 100
    server api-0 127.0.0.1:{one}
    server api-1 127.0.0.1:{two}
    server far-0 127.0.0.1:{one} backup
    server canary1 127.0.0.1:1 weight 0 disabled
    server canary2 127.0.0.1:1 weight 0 disabled
"""


def _haproxy(folder: Path, unix: bool) -> Iterator[Bench]:
    program = shutil.which("haproxy")
    if program is None:
        pytest.skip("haproxy is not installed")
    with ExitStack() as stack:
        one, two, new = (stack.enter_context(_backend(release)) for release in ("1", "1", "2"))
        port, admin = _free_ports(2)
        tcp = f"stats socket ipv4@127.0.0.1:{admin} level admin"
        config = folder / "haproxy.cfg"
        config.write_text(CONFIG.format(socket=folder / "admin", tcp=tcp, http=port, one=one, two=two))
        child = subprocess.Popen([program, "-db", "-f", str(config)], stderr=subprocess.DEVNULL)
        stack.callback(child.wait, 5)
        stack.callback(child.kill)
        edge = Instance("edge-0", "edge", "", 0, "", "127.0.0.1", {"admin": admin}, folder)
        target = _Backends(
            edge,
            [
                Instance(f"api-{n}", "api", "sjc", n, release, "127.0.0.1", {"http": p}, folder)
                for n, (release, p) in enumerate([("1", one), ("1", two), ("2", new)])
            ],
        )
        rollout = _rollout("haproxy", backend="api", **({"socket": "admin"} if unix else {}))

        def ask() -> str:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as response:
                return str(response.headers["x-release"])

        def lose() -> None:
            child.kill()
            child.wait(5)

        _wait_until_served(ask)
        yield Bench(
            connect(target, rollout),  # type: ignore[arg-type]
            lambda: connect(target, rollout),  # type: ignore[arg-type]
            lambda count: Counter(ask() for _ in range(count)),
            lose,
        )


def _wait_until_served(ask: Callable[[], str]) -> None:
    for _ in range(200):
        try:
            ask()
            return
        except OSError:
            time.sleep(0.05)
    raise AssertionError("haproxy does not serve")


PLATFORM = """
apiVersion: harness/v1
kind: Platform
metadata: {name: two, title: Two releases of one service}
spec:
  endpoints: {edge: api.http}
  services: [{name: api, instances: {"": 2}, released: true, ports: {http: 8080}}]
  phases: [{name: all, services: [api]}]
  releases: [{name: "1"}, {name: "2"}]
"""
MANIFESTS = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: api}
spec:
  replicas: 2
  selector: {matchLabels: {app.kubernetes.io/name: api}}
  template:
    metadata: {labels: {app.kubernetes.io/name: api, app.kubernetes.io/version: "1"}}
    spec: {containers: [{name: api, image: "two.local/api:1"}]}
---
apiVersion: v1
kind: Service
metadata: {name: api}
spec: {selector: {app.kubernetes.io/name: api}}
---
apiVersion: v1
kind: Service
metadata: {name: api-stable}
spec: {selector: {app.kubernetes.io/name: api, app.kubernetes.io/version: "1"}}
---
apiVersion: v1
kind: Service
metadata: {name: api-canary}
spec: {selector: {app.kubernetes.io/name: api, sophia-harness/track: api-canary}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: api}
spec:
  rules:
    - matches: [{path: {value: /other}}]
      backendRefs: [{name: other, weight: 7}]
    - backendRefs: [{name: api-stable, weight: 1}, {name: api-canary, weight: 0}]
status: {parents: [{conditions: [{type: Accepted, status: "True"}, {type: ResolvedRefs, status: "True"}]}]}
"""


def two_releases(folder: Path) -> tuple[KubernetesTarget, FakeCluster]:
    """A platform of one service on a cluster in memory: two pods of release 1, and all that a canary needs."""
    (folder / "platform.yaml").write_text(PLATFORM)
    (folder / "manifests.yaml").write_text(MANIFESTS)
    cluster = FakeCluster(lambda *_: Answer(200, {}, ""))
    given = {"context": "fake", "namespace": "two", "manifests": str(folder / "manifests.yaml")}
    on = OnCluster.model_validate({**given, "endpoints": {"edge": "http://127.0.0.1:1"}})
    target = kubernetes.kubernetes(load_platform(folder / "platform.yaml"), on, folder / "state")
    target.__dict__["cluster"] = cluster
    target.up("1", lambda event: None)
    return target, cluster


def again(target: KubernetesTarget, cluster: FakeCluster) -> KubernetesTarget:
    """As another process has it."""
    cold = kubernetes.attach(target.reference)
    cold.__dict__["cluster"] = cluster
    return cold


def _on_cluster(folder: Path, rollout: Rollout, weights: Callable[[FakeCluster], dict[str, int]]) -> Iterator[Bench]:
    """`weights` tells how much each Service is given: smooth weighted round robin, then pod after pod."""
    target, cluster = two_releases(folder)
    target.add_instances("api", "", rollout.instances, "2", lambda event: None)
    credit: Counter[str] = Counter()

    def behind(service: str) -> Iterator[str]:
        """The releases of its pods, in turn."""
        selector = (cluster.read("v1/Service", "two", service) or {})["spec"]["selector"]
        labels = [pod["metadata"]["labels"] for pod in cluster.list("v1/Pod", "two", selector)]
        return cycle(each["app.kubernetes.io/version"] for each in labels)

    def traffic(count: int) -> Counter[str]:
        given = {service: weight for service, weight in weights(cluster).items() if weight}
        pods, seen = {service: behind(service) for service in given}, Counter[str]()
        for _ in range(count):
            credit.update(given)
            chosen = max(given, key=lambda service: credit[service])
            credit[chosen] -= sum(given.values())
            seen[next(pods[chosen])] += 1
        return seen

    yield Bench(
        connect(target, rollout),
        lambda: connect(again(target, cluster), rollout),
        traffic,
        lambda: cluster.forbidden.update({("get", "httproutes"), ("get", "deployments"), ("patch", "deployments")}),
        lambda: setattr(cluster, "routes", "away"),
    )


def _gateway(folder: Path) -> Iterator[Bench]:
    def weights(cluster: FakeCluster) -> dict[str, int]:
        route = cluster.read("gateway.networking.k8s.io/v1/HTTPRoute", "two", "api") or {}
        return {each["name"]: each["weight"] for each in route["spec"]["rules"][1]["backendRefs"]}

    names = {"route": "api", "stable": "api-stable", "canary": "api-canary"}
    yield from _on_cluster(folder, _rollout("gateway", **names, taken_within=0.3, settle="0s"), weights)


def _replicas(folder: Path) -> Iterator[Bench]:
    yield from _on_cluster(folder, _rollout("replicas", instances=100), lambda cluster: {"api": 1})


KINDS = [
    "fake",
    "gateway",
    "replicas",
    pytest.param("haproxy-tcp", marks=pytest.mark.real),
    pytest.param("haproxy-unix", marks=pytest.mark.real),
]


@pytest.fixture(params=KINDS)
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    benches = {"fake": _fake, "gateway": lambda: _gateway(tmp_path), "replicas": lambda: _replicas(tmp_path)}
    yield from benches.get(request.param, lambda: _haproxy(tmp_path, request.param == "haproxy-unix"))()


def settled(bench: Bench, share: float) -> Counter[str]:
    """The traffic once a new server has passed its first health check and a round of the balancer is over."""
    deadline = time.monotonic() + 5
    while abs(bench.actuator.observe() - share) > 0.01 and time.monotonic() < deadline:
        time.sleep(0.02)
    bench.traffic(100)
    return bench.traffic(200)


@pytest.mark.parametrize("name", actuators.names())
def test_every_file_is_an_actuator_and_is_tried_here(name: str):
    module = importlib.import_module(f"harness.actuators.{name}")
    assert issubclass(module.Settings, Frozen) and callable(module.connect)
    assert any(name in str(getattr(kind, "values", kind)) for kind in KINDS), f"add a bench for {name}"
    assert f"## {name}" in (Path(__file__).parents[2] / "docs/reference/actuators.md").read_text()


def test_before_anything_is_set_no_traffic_goes_to_the_canary(bench: Bench):
    assert bench.actuator.observe() == 0
    assert bench.traffic(20) == {"1": 20}


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 0.9])
def test_the_traffic_follows_the_share(bench: Bench, share: float):
    bench.actuator.set_weight(share)
    counts = settled(bench, share)
    assert bench.actuator.observe() == pytest.approx(share, abs=0.01)
    assert counts["2"] / 200 == pytest.approx(share, abs=0.02)


def test_a_second_actuator_sees_and_undoes_what_the_first_set(bench: Bench):
    bench.actuator.set_weight(0.5)
    settled(bench, 0.5)
    cold = bench.again()
    assert cold.observe() == pytest.approx(0.5, abs=0.01)
    cold.rollback()
    assert bench.actuator.observe() == 0
    assert bench.traffic(100) == {"1": 100}


def test_what_settles_later_is_believed_when_it_is_confirmed(bench: Bench):
    """Whoever is asked for the way back alone; the others have it when they return."""
    bench.actuator.set_weight(0.5)
    settled(bench, 0.5)
    bench.actuator.rollback()
    if not isinstance(bench.actuator, Settles):
        assert bench.traffic(20) == {"1": 20}
        return
    bench.actuator.settle()
    assert bench.actuator.confirmed()
    bench.ignore()
    bench.actuator.set_weight(0.1)
    for action in (bench.actuator.confirmed, bench.actuator.settle):
        with pytest.raises(TargetError, match="no controller confirms"):
            action()


def test_promoted_means_nobody_gets_the_old_release(bench: Bench):
    bench.actuator.set_weight(0.5)
    settled(bench, 0.5)
    bench.actuator.promote()
    assert bench.actuator.observe() == 1
    assert bench.traffic(100) == {"2": 100}


def test_back_from_promotion_and_forward_again(bench: Bench):
    bench.actuator.set_weight(1.0)
    settled(bench, 1.0)
    bench.actuator.rollback()
    bench.actuator.rollback()
    assert bench.traffic(50) == {"1": 50}
    bench.actuator.set_weight(0.1)
    assert settled(bench, 0.1)["2"] == pytest.approx(20, abs=3)


def test_set_weight_0_is_a_rollback(bench: Bench):
    bench.actuator.set_weight(0.5)
    bench.actuator.set_weight(0.0)
    assert bench.actuator.observe() == 0


def test_an_actuator_that_cannot_be_reached_says_so(bench: Bench):
    bench.lose()
    for action in (bench.actuator.observe, bench.actuator.rollback, lambda: bench.actuator.set_weight(0.5)):
        with pytest.raises(TargetError):
            action()
