"""Canary and blue-green on a cluster in memory: another release beside the serving one, and failures in the middle."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.errors import TargetError
from harness.model.events import PhaseDeployed, PhaseStep, PhaseTakenBack
from harness.model.on_cluster import OnCluster
from harness.spec.platform import load_platform
from harness.targets import kubernetes as kind
from harness.targets.kubernetes import services
from harness.targets.kubernetes.api import ApiError
from harness.targets.kubernetes.target import KubernetesTarget
from harness.targets.probe import Answer
from harness.testing.fake_cluster import FakeCluster
from tests.unit.test_kubernetes_clusters import Two
from tests.unit.test_kubernetes_target import CLUSTER, Made, edge

__all__ = ["edge"]

NAME, REGION, RELEASE, TRACK = (
    "app.kubernetes.io/name",
    "small.example/region",
    "app.kubernetes.io/version",
    "sophia-harness/track",
)
SLICE = "discovery.k8s.io/v1/EndpointSlice"


def service(name: str, **selector: str) -> dict[str, Any]:
    labels = selector or {NAME: "app", REGION: name.partition("-")[2]}
    spec = {"selector": labels, "ports": [{"name": "http", "port": 8080}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}


class Phased(Made):
    """The application's phase has another strategy; `app-east` and `app-west` have Services. `change` alters the
    manifests. Every change of the cluster is followed by a look at where those lead."""

    def __init__(
        self, root: Path, edge: str, strategy: str, change: Callable[[list[dict[str, Any]]], object] = lambda _: None
    ) -> None:
        manifests = [*yaml.safe_load_all((CLUSTER / "manifests.yaml").read_text())]
        manifests += [service("app-east"), service("app-west")]
        change(manifests)
        self.files = root / "files"
        self.files.mkdir()
        (self.files / "manifests.yaml").write_text(yaml.safe_dump_all(manifests))
        text = (CLUSTER / "platform.yaml").read_text().replace("strategy: rolling", f"strategy: {strategy}")
        (self.files / "platform.yaml").write_text(text)
        super().__init__(root, edge)
        self.applied: list[dict[str, Any]] = []
        self.led: list[dict[str, set[str]]] = []  # Service → releases that it led to, after each change
        self.fails_at = -1
        self._watched("_changed")
        self._watched("delete")

    def _watched(self, name: str) -> None:
        act = getattr(self.cluster, name)

        def watched(*words: Any, **more: Any) -> Any:
            if len(self.led) == self.fails_at:
                self.fails_at = -1
                raise ApiError("the API server has a bad moment", 500, "InternalError")
            if name == "_changed":
                self.applied.append(copy.deepcopy(words[1]))
            answer = act(*words, **more)
            self.led.append(self.leads())
            return answer

        setattr(self.cluster, name, watched)

    def another(self, **changes: Any) -> KubernetesTarget:
        given: dict[str, Any] = {
            "context": "fake",
            "namespace": "small",
            "manifests": str(self.files / "manifests.yaml"),
            "endpoints": {"edge": self.edge},
            "rollout_within": 1.0,
            "down_within": 1.0,
        }
        on = OnCluster.model_validate({**given, **changes})
        target = kind.kubernetes(load_platform(self.files / "platform.yaml"), on, self.root)
        target.__dict__["cluster"] = self.cluster
        return target

    def _answer(self, pod: dict[str, Any], port: int, method: str, path: str, body: str | None) -> Answer:
        answer = super()._answer(pod, port, method, path, body)
        ill = path == "/ready" and "'value': 'ill'" in str(pod["spec"])
        return Answer(503, {}, json.dumps({})) if ill else answer

    def leads(self) -> dict[str, set[str]]:
        releases = {each["metadata"]["name"]: each["metadata"]["labels"].get(RELEASE) for each in self.pods()}
        return {
            each["metadata"]["labels"]["kubernetes.io/service-name"]: {
                releases[one["targetRef"]["name"]] for one in each["endpoints"] if one["conditions"]["ready"]
            }
            for each in self.cluster.list(SLICE, "small")
            if each["metadata"]["name"].startswith("app-")
        }

    def pods(self) -> list[dict[str, Any]]:
        return [*self.cluster.list("v1/Pod", "small")]

    def releases(self) -> set[str]:
        return {each.release for each in self.target.instances("app")}

    def left(self) -> list[str]:
        """What is there of copies, and Services that are held."""
        found = [each["metadata"]["name"] for each in self.cluster.list("apps/v1/Deployment", "small")]
        found += [each["metadata"]["name"] for each in self.pods() if TRACK in each["metadata"]["labels"]]
        held = [each for each in self.cluster.list("v1/Service", "small") if RELEASE in each["spec"]["selector"]]
        return [name for name in found if "next" in name] + [each["metadata"]["name"] for each in held]

    def deploy(self, release: str) -> list[Any]:
        self.events.clear()
        self.led.clear()
        self.applied.clear()
        self.said.clear()
        self.target.deploy(release, self.events.append)
        return self.events

    def fails(self, release: str, match: str) -> PhaseTakenBack:
        with pytest.raises((TargetError, ApiError), match=match):
            self.deploy(release)
        back = self.events[-1]
        assert isinstance(back, PhaseTakenBack)
        return back


def steps(events: list[Any]) -> list[tuple[str, tuple[str, ...]]]:
    return [(each.step, each.names) for each in events if isinstance(each, PhaseStep)]


def carried_out(events: list[Any]) -> str:
    (found,) = [each for each in events if isinstance(each, PhaseDeployed) and each.phase == "application"]
    return found.carried_out


NEXT = ("app-east-next", "app-west-next")


def test_blue_green_never_mixes_releases_and_always_serves(tmp_path: Path, edge: str) -> None:
    made = Phased(tmp_path, edge, "blue-green")
    made.up()
    assert carried_out(made.events) == "all at once: nothing ran yet"
    assert steps(made.events) == []
    events = made.deploy("2")
    assert steps(events) == [("beside", NEXT), ("switched", ("app-east", "app-west"))]
    assert carried_out(events) == ""
    for led in made.led:
        assert all(len(releases) == 1 for releases in led.values()), made.led
    seen = [led["app-east"] for led in made.led]
    assert seen == sorted(seen, key=lambda led: led == {"2"})  # once, and not back
    assert (made.releases(), made.left(), made.target.ready()) == ({"2"}, [], [])
    assert [each.name for each in made.target.instances("app")] == ["app-east-x0", "app-east-x1", "app-west-x0"]
    stable = [number for number, each in enumerate(made.cluster.requests) if each.endswith("Deployment app-east")][-1]
    assert ("2" in made.led[-1]["app-east"]) and made.cluster.requests[stable].startswith("apply")
    assert made.target.down().clean


def test_blue_green_has_as_many_as_serve_now(tmp_path: Path, edge: str) -> None:
    made = Phased(tmp_path, edge, "blue-green")
    made.up()
    made.cluster.patch("apps/v1/Deployment", "small", "app-east", {"spec": {"replicas": 4}})
    made.deploy("2")
    asked = {name for name, _, _ in made.said if name.startswith("app-east-next")}
    assert asked == {"app-east-next-x0"}  # the gate asks one pod
    assert [each for each in made.cluster.requests if each == "apply apps/v1/Deployment app-east-next"]
    assert counted(made, "app-east-next") == 4
    assert counted(made, "app-west-next") == 1


def counted(made: Phased, name: str) -> int:
    """Of a copy, as the state before its phase's end has it; it is gone by now."""
    applied = [each for each in made.applied if each["metadata"]["name"] == name]
    return int(applied[-1]["spec"]["replicas"])


def test_a_canary_is_one_pod_of_each_that_gates_are_asked_of(tmp_path: Path, edge: str) -> None:
    made = Phased(tmp_path, edge, "canary")
    made.up()
    events = made.deploy("2")
    assert steps(events) == [("beside", NEXT)]
    assert carried_out(events) == ""
    assert [counted(made, name) for name in NEXT] == [1, 1]
    asked = [name for name, _, path in made.said if path == "/ready"]
    assert asked == ["app-east-next-x0", "app-east-x0"]
    assert {"1", "2"} in [led["app-east"] for led in made.led]  # beside the old ones, under load
    assert (made.releases(), made.left(), made.target.ready()) == ({"2"}, [], [])


@pytest.mark.parametrize("strategy", ["canary", "blue-green"])
def test_a_release_whose_gate_does_not_hold_never_replaces_anything(tmp_path: Path, edge: str, strategy: str) -> None:
    made = Phased(tmp_path, edge, strategy)
    made.up()
    back = made.fails("ill", "app is well")
    assert back.verified
    assert (made.releases(), made.left(), made.target.ready()) == ({"1"}, [], [])
    assert made.target.state().status == "up"
    stable = [each["spec"] for each in made.applied if each["metadata"]["name"] in ("app-east", "app-west")]
    assert {each["template"]["metadata"]["labels"][RELEASE] for each in stable if "template" in each} == {"1"}
    if strategy == "blue-green":
        assert {frozenset(led["app-east"]) for led in made.led} == {frozenset({"1"})}


@pytest.mark.parametrize("strategy", ["canary", "blue-green"])
def test_a_copy_that_does_not_start_goes_again(tmp_path: Path, edge: str, strategy: str) -> None:
    made = Phased(tmp_path, edge, strategy)
    made.up()
    made.cluster.broken.add("small.local/nothing:0")
    back = made.fails("lost", r"app-.*-next-x0: ImagePullBackOff")
    assert back.verified
    assert (made.releases(), made.left()) == ({"1"}, [])


@pytest.mark.parametrize("strategy", ["canary", "blue-green"])
def test_whatever_fails_in_the_middle_the_old_release_serves(tmp_path: Path, edge: str, strategy: str) -> None:
    made = Phased(tmp_path, edge, strategy)
    made.up()
    failed, mixed = 0, []
    while True:
        made.fails_at = failed
        try:
            made.deploy("2")
        except ApiError:
            back = made.events[-1]
            assert isinstance(back, PhaseTakenBack)
            assert back.verified, failed
            assert (made.releases(), made.left(), made.target.ready()) == ({"1"}, [], []), failed
            assert all(led["app-east"] and led["app-west"] for led in made.led), failed
            if not all(len(releases) == 1 for led in made.led for releases in led.values()):
                mixed.append(failed)
            failed += 1
            continue
        break
    assert (made.releases(), made.left()) == ({"2"}, [])
    if strategy == "blue-green":  # in its very end only, when Services select again as they were applied
        assert failed == 2 * 6  # held, copies, switched, replaced, let go, copies away
        assert mixed == list(range(failed - len(mixed), failed))
        assert len(mixed) <= 4


def test_a_gate_that_fails_after_the_switch_leads_back_first(
    tmp_path: Path, edge: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Phased(tmp_path, edge, "blue-green")
    made.up()
    lead = services.lead

    def switched(*arguments: Any) -> None:
        lead(*arguments)
        if any("2" in releases for releases in made.leads().values()):
            made.ill.add("/ready")

    monkeypatch.setattr(services, "lead", switched)
    back = made.fails("2", "app is well")
    assert back.verified
    assert [step for step, _ in steps(made.events)] == ["beside", "switched"]
    assert [led["app-east"] for led in made.led if led["app-east"] == {"2"}]
    assert (made.releases(), made.left()) == ({"1"}, [])
    assert all(len(releases) == 1 for led in made.led for releases in led.values())


def test_a_service_that_is_not_seen_to_switch_fails_the_phase(
    tmp_path: Path, edge: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Phased(tmp_path, edge, "blue-green")
    made.up()
    back = services.lead_back

    def mended(*arguments: Any) -> Any:
        made.cluster.lagging.clear()
        return back(*arguments)

    made.leads()
    switching = [0]
    lead = services.lead

    def lagging(*arguments: Any) -> None:
        switching[0] += 1
        if switching[0] == 2:
            made.cluster.lagging.add("app-west")
        lead(*arguments)

    monkeypatch.setattr(services, "lead", lagging)
    monkeypatch.setattr(services, "lead_back", mended)
    told = made.fails("2", r"Service app-west still leads to app-west-x0, does not lead to app-west-next-x0")
    assert told.verified
    assert (made.releases(), made.left()) == ({"1"}, [])


def test_what_is_not_seen_to_be_back_is_not_told_to_be(tmp_path: Path, edge: str) -> None:
    made = Phased(tmp_path, edge, "blue-green")
    made.up()
    made.leads()
    made.cluster.lagging.add("app-west")  # for good: it leads to whatever carries the service's labels
    told = made.fails("2", "Service app-west still leads to")
    assert not told.verified
    assert made.target.state().status == "failed"


def _recreate(manifests: list[dict[str, Any]]) -> None:
    next(each for each in manifests if each["metadata"]["name"] == "app-west")["spec"]["strategy"] = {
        "type": "Recreate"
    }


def _no_surge(manifests: list[dict[str, Any]]) -> None:
    west = next(each for each in manifests if each["metadata"]["name"] == "app-west")
    west["spec"]["strategy"] = {"rollingUpdate": {"maxSurge": "0%", "maxUnavailable": 1}}


def _stateful(manifests: list[dict[str, Any]]) -> None:
    next(each for each in manifests if each["metadata"]["name"] == "app-west")["kind"] = "StatefulSet"


def _no_service(manifests: list[dict[str, Any]]) -> None:
    manifests[:] = [each for each in manifests if (each["kind"], each["metadata"]["name"]) != ("Service", "app-west")]


def _elsewhere(manifests: list[dict[str, Any]]) -> None:
    next(each for each in manifests if each["metadata"]["name"] == "edge")["spec"]["template"]["metadata"]["labels"][
        "small.example/all"
    ] = "yes"
    west = next(each for each in manifests if each["metadata"]["name"] == "app-west" and each["kind"] == "Deployment")
    west["spec"]["template"]["metadata"]["labels"]["small.example/all"] = "yes"
    manifests.append(service("everything", **{"small.example/all": "yes"}))


def _chooses(manifests: list[dict[str, Any]]) -> None:
    manifests.append(service("of-one", **{NAME: "app", REGION: "west", RELEASE: "1"}))


def _none(manifests: list[dict[str, Any]]) -> None:
    """A Service for all regions, and one of them cannot be switched: none can."""
    manifests.append(service("all-regions", **{NAME: "app"}))
    _recreate(manifests)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (_recreate, "in place: app-west suffers none beside it, by its own update strategy"),
        (_no_surge, "in place: app-west suffers none beside it, by its own update strategy"),
        (_stateful, "in place: app-west is a StatefulSet"),
        (_no_service, "in place: app-west no Service leads to it"),
        (_elsewhere, "in place: app-west Service small/everything leads elsewhere too"),
        (_chooses, "in place: app-west Service small/of-one cannot be switched by the release's label"),
        (_none, "all in place: app-west suffers none"),
    ],
)
def test_what_cannot_be_switched_is_replaced_in_place_and_told(
    tmp_path: Path, edge: str, change: Callable[[list[dict[str, Any]]], object], told: str
) -> None:
    made = Phased(tmp_path, edge, "blue-green", change)
    made.up()
    events = made.deploy("2")
    assert carried_out(events).startswith(told)
    whole = "all in place" in told
    assert steps(events) == ([] if whole else [("beside", NEXT[:1]), ("switched", ("app-east",))])
    assert made.releases() == {"2"}
    assert [name for name in made.left() if name != "of-one"] == []


def test_the_same_release_again_replaces_nothing(tmp_path: Path, edge: str) -> None:
    made = Phased(tmp_path, edge, "blue-green")
    made.up()
    names = [each["metadata"]["uid"] for each in made.pods()]
    assert steps(made.deploy("1")) == []
    assert [each["metadata"]["uid"] for each in made.pods()] == names


@pytest.fixture(params=["beside", "switched"])
def killed(request: pytest.FixtureRequest, tmp_path: Path, edge: str) -> Phased:
    """Half-way through the upgrade to release 2 its process was killed."""
    made = Phased(tmp_path, edge, "blue-green")
    made.up()

    def kill(event: Any) -> None:
        if isinstance(event, PhaseStep) and event.step == request.param:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        made.target.deploy("2", kill)
    assert made.left() != []
    return made


@pytest.mark.parametrize("release", ["1", "2"])
def test_the_next_upgrade_begins_where_the_killed_one_began(killed: Phased, release: str) -> None:
    killed.led.clear()
    events: list[Any] = []
    killed.attached().deploy(release, events.append)
    assert (killed.releases(), killed.left(), killed.target.ready()) == ({release}, [], [])
    assert [step for step, _ in steps(events)] == ([] if release == "1" else ["beside", "switched"])
    assert all(led["app-east"] and led["app-west"] for led in killed.led)


def test_a_platform_goes_down_from_the_middle(killed: Phased) -> None:
    made = killed
    assert made.attached().down().clean
    assert made.pods() == []


class TwoPhased(Two):
    """Blue-green over two clusters."""

    def __init__(self, root: Path, edge: str, patch: pytest.MonkeyPatch) -> None:
        text = (CLUSTER / "platform.yaml").read_text().replace("strategy: rolling", "strategy: blue-green")
        (root / "platform.yaml").write_text(text)
        patch.setattr("tests.unit.test_kubernetes_clusters.CLUSTER", root)
        (root / "manifests.yaml").write_text((CLUSTER / "manifests.yaml").read_text())
        super().__init__(root, edge, FakeCluster, patch)

    def manifests(self, name: str, change: Callable[[str], str] = str) -> Path:
        file = super().manifests(name, change)
        mine = service("app-east" if name == "first" else "app-west")
        file.write_text(file.read_text() + "---\n" + yaml.safe_dump(mine))
        return file


def test_blue_green_over_two_clusters_switches_both_or_none(
    tmp_path: Path, edge: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    two = TwoPhased(tmp_path, edge, monkeypatch)
    two.up()
    events: list[Any] = []
    two.target.deploy("2", events.append)
    assert steps(events) == [("beside", NEXT), ("switched", ("app-east", "app-west"))]
    assert {each.release for each in two.target.instances("app")} == {"2"}
    two.clusters["second"].broken.add("small.local/nothing:0")
    with pytest.raises(TargetError, match="app-west-next-x0: ImagePullBackOff"):
        two.target.deploy("lost", events.append)
    assert (events[-1].event, events[-1].verified) == ("phase.taken-back", True)
    assert {each.release for each in two.target.instances("app")} == {"2"}
    for name in two.clusters:
        assert [each for each in two.left(name) if "next" in each] == []
        held = [each["spec"]["selector"] for each in two.clusters[name].list("v1/Service")]
        assert not any(RELEASE in selector for selector in held)
    assert two.target.ready() == []
