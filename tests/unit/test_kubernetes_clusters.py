"""A platform on two clusters in memory: phases and claims over both, faults on one, an end that names who is away."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.chaos import lifecycle, undo
from harness.chaos.attach import attach
from harness.chaos.lifecycle import Session
from harness.errors import BadInput, CleanUpNotProven, TargetError
from harness.journal.layout import RunFolder
from harness.model.events import AnyEvent, CheckDone
from harness.model.on_cluster import OnCluster
from harness.ports import Artifacts, Calls, Census, Logs, Pages, Readiness, Releases, Spread, Standstills, Target
from harness.run.recover import Patience, note_target, recover
from harness.spec.platform import load_platform
from harness.targets import kubernetes as kind
from harness.targets.kubernetes import checks
from harness.targets.kubernetes.api import ApiError
from harness.targets.kubernetes.claim import LEASE, LEASE_KIND
from harness.targets.kubernetes.clusters import ClustersTarget
from harness.targets.kubernetes.target import KubernetesTarget
from harness.targets.probe import Answer
from harness.testing.fake_bed import FakeBed
from harness.testing.fake_cluster import FakeCluster

CLUSTER = Path(__file__).parent.parent / "fixtures" / "cluster"
NAMESPACE = "tiny"


class _Edge(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def edge() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Edge)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


class Two:
    """Region west has a cluster of its own; all else is on the first."""

    def __init__(self, root: Path, edge: str, make: Callable[..., FakeCluster], patch: pytest.MonkeyPatch) -> None:
        self.root, self.edge = root, edge
        self.ill: set[tuple[str, str]] = set()  # (cluster, path) that answers 503
        self.said: list[tuple[str, str]] = []  # (cluster, pod) that was asked
        self.events: list[AnyEvent] = []
        self.clusters = {name: make(self._answers(name), context=name) for name in ("first", "second")}
        self.away: set[str] = set()
        patch.setattr("harness.targets.kubernetes.target._connected", self._connected)
        self.target = self.another()

    def _connected(self, kubeconfig: str, context: str, stamp: int) -> Any:
        return _Away(self, context, self.clusters[context])

    def _answers(self, cluster: str) -> Callable[..., Answer]:
        def answer(pod: dict[str, Any], port: int, method: str, path: str, body: str | None) -> Answer:
            self.said.append((cluster, pod["metadata"]["name"]))
            return Answer(503 if (cluster, path) in self.ill else 200, {}, json.dumps({"path": path}))

        return answer

    def manifests(self, name: str, change: Callable[[str], str] = str) -> Path:
        """Those of the west for the second cluster, all others for the first."""
        file = self.root / f"{name}.yaml"
        documents = list(yaml.safe_load_all((CLUSTER / "manifests.yaml").read_text()))
        mine = [
            each
            for each in documents
            if each["kind"] != "Namespace" and each["metadata"]["name"].endswith("-west") is (name == "second")
        ]
        file.write_text(change(yaml.safe_dump_all(mine)))
        return file

    def another(self, change: Callable[[str], str] = str, **other: Any) -> ClustersTarget:
        on = OnCluster.model_validate(
            {
                "context": "first",
                "namespace": NAMESPACE,
                "manifests": str(self.manifests("first")),
                "endpoints": {
                    "edge": self.edge,
                    "databases": {"east": "base://${secret.base}@e", "west": "base://${secret.base}@w"},
                },
                "clusters": {
                    "west": {"context": "second", "manifests": str(self.manifests("second", change)), **other}
                },
                "agent_image": "agent:1",
                "rollout_within": 1.0,
                "down_within": 1.0,
            }
        )
        made = kind.kubernetes(load_platform(CLUSTER / "platform.yaml"), on, self.root / "state")
        assert isinstance(made, ClustersTarget)
        return made

    def up(self) -> None:
        self.target.up("", self.events.append)

    def left(self, name: str) -> list[str]:
        """What a cluster has of the run."""
        kinds = ("v1/Namespace", "v1/Pod", "v1/Secret", "v1/Service", "apps/v1/Deployment", LEASE_KIND)
        found = [each["metadata"]["name"] for one in kinds for each in self.clusters[name].list(one)]
        return [each for each in found if each not in ("kube-system", "default")]


class _Away:
    """A cluster that does not answer as long as `away` names it."""

    def __init__(self, two: Two, name: str, cluster: FakeCluster) -> None:
        self._two, self._name, self._cluster = two, name, cluster

    def __getattr__(self, name: str) -> Any:
        if self._name in self._two.away:
            raise ApiError(f"{self._name} does not answer")
        return getattr(self._cluster, name)


@pytest.fixture
def two(tmp_path: Path, edge: str, monkeypatch: pytest.MonkeyPatch) -> Two:
    return Two(tmp_path, edge, FakeCluster, monkeypatch)


@pytest.fixture
def beds(tmp_path: Path, edge: str, monkeypatch: pytest.MonkeyPatch) -> Two:
    """The same on clusters with agents, where faults can be made."""
    return Two(tmp_path, edge, FakeBed, monkeypatch)


def names(events: list[AnyEvent]) -> list[str]:
    return [each.event for each in events if each.event not in ("check", "stand-in")]


def test_is_a_target_with_its_capabilities(two: Two) -> None:
    for protocol in (Target, Spread, Artifacts, Logs, Releases, Census, Pages, Calls, Readiness, Standstills):
        assert isinstance(two.target, protocol)


def test_each_phase_is_rolled_out_on_both_before_the_next(two: Two) -> None:
    order: list[tuple[str, str]] = []
    for name, cluster in two.clusters.items():
        apply = cluster.apply
        cluster.apply = lambda each, name=name, apply=apply, **_: (  # type: ignore[method-assign, misc]
            order.append((name, each["metadata"]["name"])) or apply(each)  # type: ignore[func-returns-value]
        )
    two.up()
    assert names(two.events) == ["gate.checked", "phase.deployed"] * 3 + ["deployed"]
    assert two.events[-1].instances == 6  # type: ignore[union-attr]
    assert [each for each in order if "base-" in each[1] or "app" in each[1] or each[1] == "edge"] == [
        ("first", "base-east"),  # its Service
        ("first", "base-east"),
        ("second", "base-west"),
        ("first", "app-east"),
        ("second", "app-west"),
        ("first", "edge"),
    ]
    found = two.target.instances()
    told = [(each.name, each.region) for each in found]
    assert told[:2] == [("base-east-0", "east"), ("base-west-0", "west")]
    assert [each.name for each in two.target.instances(region="west")] == ["base-west-0", "app-west-x0"]
    assert two.target.ready() == []
    assert sorted(two.target.present()) == sorted(each.name for each in found)
    assert {("first", "base-east-0"), ("second", "base-west-0")} <= set(two.said)
    west = next(each for each in found if each.name == "base-west-0")
    assert "/health" in two.target.page(west, "http", "/health", 1)
    assert two.target.call(west, "http", "POST", "/x", "{}", 1)[0] == 200
    assert two.target.readiness()["app", "west"] == (["app-west-x0"], [])
    assert set(two.target.readiness()) == {(each.service, each.region) for each in found}


def test_generated_secrets_are_the_same_on_both(two: Two) -> None:
    two.up()
    data = [each.read("v1/Secret", NAMESPACE, "small-secrets")["data"] for each in two.clusters.values()]  # type: ignore[index]
    assert data[0] == data[1]
    at = two.target.endpoints().databases
    assert at["east"].removesuffix("@e") == at["west"].removesuffix("@w")
    assert len(at["east"]) > 30


def test_a_gate_that_fails_on_one_takes_the_phase_back_on_both(two: Two) -> None:
    two.ill.add(("second", "/health"))
    with pytest.raises(TargetError, match="base-west-0"):
        two.up()
    assert names(two.events)[-2:] == ["gate.checked", "phase.taken-back"]
    assert two.events[-1].verified  # type: ignore[union-attr]
    for name in two.clusters:
        assert [each for each in two.left(name) if each.startswith("base-") and each != "base-east"] == []


def test_both_are_claimed_or_none(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.targets.kubernetes.preflight.preflight", lambda *_: None)  # it is taken after that
    second = two.clusters["second"]
    second.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease"}
    second.create({**lease, "metadata": {"name": LEASE, "namespace": NAMESPACE}, "spec": {"holderIdentity": "them"}})
    with pytest.raises(TargetError, match="taken by them"):
        two.up()
    assert two.left("first") == []
    assert two.left("second") == [NAMESPACE, LEASE]
    assert two.target.down().clean
    assert two.left("second") == [NAMESPACE, LEASE]


def test_findings_name_their_cluster_and_nothing_is_touched(two: Two) -> None:
    two.clusters["second"].forbidden.add(("create", "leases"))
    with pytest.raises(TargetError, match="second: we have the rights: create leases"):
        two.up()
    assert [each.requests for each in two.clusters.values()] == [[], []]
    told = {each.name: each.wrong for each in two.target.examine("")}
    assert told["first: we have the rights"] == ()
    assert told["second: we have the rights"] != ()
    two.away.add("second")
    (away,) = [each for each in two.target.examine("") if each.name.startswith("second")]
    assert away.wrong == ("second does not answer",)


def test_rights_are_those_of_each_cluster(two: Two) -> None:
    first, second = (part.roles() for part in two.target.parts())
    plurals = [{name for rule in each[0]["rules"] for name in rule["resources"]} for each in (first, second)]
    assert "services" in plurals[0]
    assert first[0]["metadata"] == second[0]["metadata"] == {"name": "sophia-harness", "namespace": NAMESPACE}


def test_pods_that_would_have_one_name_are_refused(two: Two) -> None:
    target = two.another(lambda text: text.replace("base-west", "base-east"))
    with pytest.raises(BadInput, match="StatefulSet tiny/base-east is in second and in first"):
        target.up("", two.events.append)
    assert two.left("first") == []


def test_workloads_in_the_wrong_cluster_are_told_with_its_name(two: Two) -> None:
    target = two.another(lambda text: text.replace("small.example/region: west", "small.example/region: east"))
    with pytest.raises(BadInput, match="second: the manifests and the platform file do not agree"):
        target.up("", two.events.append)


def test_another_release_and_canaries(two: Two) -> None:
    two.up()
    two.target.deploy("2", two.events.append)
    assert {each.release for each in two.target.instances("app")} == {"2"}
    canaries = two.target.add_instances("app", "west", 1, "1", two.events.append)
    assert [each["metadata"]["name"] for each in two.clusters["second"].list("apps/v1/Deployment")] == [
        "app-west",
        "app-west-canary",
    ]
    two.target.remove_instances(canaries)
    assert len(two.target.instances("app")) == 3
    two.ill.add(("first", "/ready"))
    with pytest.raises(TargetError, match="app is well"):
        two.target.deploy("1", two.events.append)
    assert {each.release for each in two.target.instances("app")} == {"2"}


def test_checks_are_of_both(two: Two) -> None:
    two.up()
    found: list[Any] = []
    two.target.check(found.append)
    told = {each.name: (each.passed, each.of) for each in found}
    assert told["every health endpoint answers"] == (6, 6)
    assert len(told) == len(found)
    two.ill.add(("second", "/health"))
    found.clear()
    two.target.check(found.append)
    ill = next(each for each in found if each.name == "every health endpoint answers")
    assert (ill.passed, ill.of) == (4, 6)
    assert ill.detail.startswith("second: ")


def test_what_one_cluster_cannot_tell_is_not_known_of_the_whole() -> None:
    seen = CheckDone(name="nodes", passed=2, of=2, detail="")
    unknown = CheckDone(name="nodes", passed=0, of=0, detail="we may not look")
    (found,) = checks.together({"a": (seen,), "b": (unknown,)})
    assert (found.passed, found.of, found.detail) == (0, 0, "b: we may not look")
    nothing = CheckDone(name="nodes", passed=0, of=0, detail="")
    (found,) = checks.together({"a": (seen,), "b": (nothing,)})
    assert (found.passed, found.of) == (2, 2)


def test_logs_and_artifacts_are_of_both(two: Two) -> None:
    two.up()
    told = [file.name for file in two.target.logs()]
    assert {"0-base-east-0.base.log", "1-base-west-0.base.log", "1-events.jsonl"} <= set(told)
    assert len(set(told)) == len(told)
    assert {"manifests in first", "manifests in second"} <= set(two.target.artifacts())


def test_down_ends_both_and_names_the_one_that_is_away(two: Two) -> None:
    two.up()
    cold = kind.attach(two.target.reference)
    two.away.add("second")
    left = cold.down()
    assert left.objects == ("second: not known: second does not answer",)
    assert two.left("first") == []
    assert cold.folder.root.exists()
    two.away.clear()
    assert kind.attach(two.target.reference).down().clean
    assert two.left("second") == []
    assert kind.attach(two.target.reference).down().clean


def test_one_that_is_away_makes_nothing_known(two: Two) -> None:
    two.up()
    two.away.add("second")
    for look in (two.target.ready, two.target.instances, two.target.present, two.target.logs):
        with pytest.raises(TargetError, match="does not answer"):
            look()
    assert [each.name for each in two.target.instances(region="east")][:1] == ["base-east-0"]
    (row,) = kind.status(two.root / "state")
    assert row.status == "unreachable"


def session(two: Two) -> Session:
    folder = RunFolder(two.root / "run")
    folder.root.mkdir()
    return Session(folder, "x#1", two.target.reference, attach)


def test_a_lost_region_is_lost_on_its_own_cluster(beds: Two) -> None:
    beds.up()
    made = session(beds)
    before = list(beds.clusters["first"].requests)
    token = lifecycle.inject(made, "f", "region_loss", {"region": "west"}, 2, 60.0)
    assert token.platform == beds.target.reference
    assert token.target == beds.target.parts("west")[0].reference
    lifecycle.await_landed(made, "f", 1)
    assert beds.target.instances(region="west") == []
    assert len(beds.target.instances(region="east")) == 3
    assert [each for each in beds.clusters["second"].requests if "harness-undo" in each] != []
    lifecycle.recover(made, "f", 5)
    assert len(beds.target.instances(region="west")) == 2
    assert beds.clusters["first"].requests == before
    assert undo.pending(made.folder) == ()


def test_a_fault_on_both_is_refused_before_anything(beds: Two) -> None:
    beds.up()
    made = session(beds)
    before = [list(each.requests) for each in beds.clusters.values()]
    with pytest.raises(BadInput, match=r"more than one cluster: app-east[^\n]*\n  fix: name the region"):
        lifecycle.inject(made, "f", "process_kill", {"service": "app"}, 9, 60.0)
    with pytest.raises(BadInput, match="selects nothing"):
        lifecycle.inject(made, "f", "region_loss", {"region": "north"}, 9, 60.0)
    with pytest.raises(BadInput, match="blast radius"):
        lifecycle.inject(made, "f", "region_loss", {"region": "west"}, 1, 60.0)
    assert [each.requests for each in beds.clusters.values()] == before
    assert undo.files(made.folder) == []


def test_a_service_that_is_on_one_of_them_needs_no_region(beds: Two) -> None:
    beds.up()
    token = lifecycle.inject(session(beds), "f", "scale_to_zero", {"service": "edge"}, 1, 60.0)
    assert token.target == beds.target.parts()[0].reference


@pytest.mark.parametrize("away", [False, True])
def test_a_run_is_recovered_from_cold(beds: Two, away: bool) -> None:
    beds.up()
    made = session(beds)
    note_target(made.folder, beds.target.reference, owned=True)
    lifecycle.inject(made, "f", "region_loss", {"region": "west"}, 2, 60.0)
    if away:
        beds.away.add("second")
        with pytest.raises(CleanUpNotProven, match="second: not known"):
            recover(made.folder, "test", Patience(0.1, 0.1))
        assert beds.left("first") == []
        assert undo.pending(made.folder) != ()
        beds.away.clear()
    assert recover(made.folder, "test", Patience(1, 1)).clean
    assert [beds.left(name) for name in beds.clusters] == [[], []]
    assert undo.pending(made.folder) == ()


def test_a_part_is_a_target_by_itself(two: Two) -> None:
    two.up()
    part = attach(two.target.parts("west")[0].reference)
    assert isinstance(part, KubernetesTarget)
    assert {each.region for each in part.instances()} == {"west"}
    assert [each.reference for each in kind.status(two.root / "state")] == [two.target.reference]
