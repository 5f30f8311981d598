"""What every target does: the fake, the local one, and the one on Kubernetes, on a cluster in memory."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from harness.errors import BadInput, TargetError
from harness.model.events import AnyEvent
from harness.ports import Calls, Census, Devices, Logs, Pages, Pauses, Processes, Readiness, Releases, Spread, Target
from harness.spec.platform import load_platform
from harness.targets.kubernetes.clusters import ClustersTarget
from harness.targets.kubernetes.target import KubernetesTarget
from harness.targets.local import LocalTarget, local
from harness.targets.probe import Answer
from harness.testing.fake_cluster import FakeCluster
from harness.testing.fake_target import FakeTarget
from tests.unit.test_kubernetes_clusters import Two
from tests.unit.test_kubernetes_target import Made, edge

__all__ = ["edge"]

SMALL = Path(__file__).parent.parent / "fixtures" / "small" / "platform.yaml"
ON_KUBERNETES = (KubernetesTarget, ClustersTarget)
Any = FakeTarget | LocalTarget | KubernetesTarget | ClustersTarget


class OnFakeCluster(Made):
    """Pods of the release `ill` are not well."""

    def _answer(self, pod: dict[str, object], port: int, method: str, path: str, body: str | None) -> Answer:
        ill = path == "/ready" and "'value': 'ill'" in str(pod["spec"])
        return Answer(503, {}, "") if ill else super()._answer(pod, port, method, path, body)


class OnTwoFakeClusters(Two):
    """The same."""

    def _answers(self, cluster: str) -> Callable[..., Answer]:
        def answer(pod: dict[str, object], port: int, method: str, path: str, body: str | None) -> Answer:
            ill = path == "/ready" and "'value': 'ill'" in str(pod["spec"])
            return Answer(503 if ill else 200, {}, json.dumps({"path": path}))

        return answer


@pytest.fixture(params=["fake", pytest.param("local", marks=pytest.mark.real), "kubernetes", "clusters"])
def target(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    if request.param == "kubernetes":
        yield OnFakeCluster(tmp_path, request.getfixturevalue("edge")).target
        return
    if request.param == "clusters":
        yield OnTwoFakeClusters(tmp_path, request.getfixturevalue("edge"), FakeCluster, monkeypatch).target
        return
    platform = load_platform(SMALL)
    if request.param == "fake":
        yield FakeTarget(platform.value, unready_releases={"crashing"})
        return
    made = local(platform, tmp_path)
    yield made
    assert made.down().clean


def bad_release(target: Any) -> str:
    return "ill" if isinstance(target, ON_KUBERNETES) else "crashing"


def parts(target: Any) -> Sequence[Any]:
    return target.parts() if isinstance(target, Spread) else [target]


def needs(target: Any, capability: type) -> None:
    """What Kubernetes does with processes and devices takes agents on nodes: test_kubernetes_faults.py."""
    if not isinstance(target, capability) or isinstance(target, ON_KUBERNETES):
        pytest.skip(f"{type(target).__name__} is tried elsewhere with {capability.__name__}")


def serving(target: Any) -> list[tuple[str, str]]:
    return sorted((each.service, each.region) for each in target.instances())


WHOLE = [("app", "east"), ("app", "east"), ("app", "west"), ("base", "east"), ("base", "west"), ("edge", "")]


@pytest.fixture
def up(target: Any) -> tuple[Any, list[AnyEvent]]:
    events: list[AnyEvent] = []
    target.up("", events.append)
    return target, events


def eventually(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not come true in time"
        time.sleep(0.02)


def test_has_every_capability(target: Any) -> None:
    for protocol in (Target, Releases, Logs):
        assert isinstance(target, protocol), protocol
    for part in parts(target):  # what is broken is of one of them
        for protocol in (Target, Processes, Devices, Pages, Calls):
            assert isinstance(part, protocol), protocol


def test_before_up_there_is_nothing(target: Any) -> None:
    with pytest.raises(TargetError):
        target.instances()
    assert target.down().clean


def test_comes_up_phase_by_phase_and_serves(up: tuple[Any, list[AnyEvent]]) -> None:
    target, events = up
    assert [each.event for each in events if each.event not in ("stand-in", "check")] == [
        "gate.checked",
        "phase.deployed",
        "gate.checked",
        "phase.deployed",
        "gate.checked",
        "phase.deployed",
        "deployed",
    ]
    assert target.ready() == []
    assert serving(target) == WHOLE
    assert [(each.service, each.region) for each in target.instances("app", "east")] == [("app", "east")] * 2
    assert [each.index for each in target.instances("app", "east")] == [0, 1]
    assert {each.release for each in target.instances("app")} == {"1"}
    assert {each.release for each in target.instances("base")} == {""}
    places = [(each.host, port) for each in target.instances() for port in each.ports.values()]
    assert len(set(places)) == len(places) or isinstance(target, ON_KUBERNETES)  # in memory all have one address
    checks: list[AnyEvent] = []
    target.check(checks.append)
    assert {each.event for each in checks} == {"check"}
    wrong = {each.name for each in checks if each.passed != each.of}
    assert wrong == set()
    with pytest.raises(TargetError):
        target.up("", events.append)


def test_a_killed_instance_is_restarted_as_another_process(up: tuple[Any, list[AnyEvent]]) -> None:
    target, _ = up
    needs(target, Pauses)
    (base,) = target.instances("base", "east")
    old = target.kill(base)
    eventually(lambda: target.status(base).process not in (None, old))
    eventually(lambda: target.status(base).restarts == 1)
    eventually(lambda: not target.ready())


def test_an_instance_that_keeps_dying_is_given_up_after_its_attempts(up: tuple[Any, list[AnyEvent]]) -> None:
    target, _ = up
    needs(target, Pauses)
    (base,) = target.instances("base", "west")
    for attempt in range(3):
        eventually(lambda: target.status(base).alive)
        target.kill(base)
        eventually(lambda attempt=attempt: target.status(base).restarts == min(attempt + 1, 2))
    time.sleep(0.3)
    status = target.status(base)
    assert not status.alive
    assert (status.restarts, status.exit_code) == (2, -9)
    assert target.ready() == [base.name]
    with pytest.raises(TargetError):
        target.kill(base)
    target.start(base)
    eventually(lambda: not target.ready())


@pytest.mark.parametrize("how", ["stop", "kill_and_hold"])
def test_a_stopped_instance_stays_dead_until_started(up: tuple[Any, list[AnyEvent]], how: str) -> None:
    target, _ = up
    needs(target, Pauses)
    (base,) = target.instances("base", "east")
    getattr(target, how)(base)
    getattr(target, how)(base)
    time.sleep(0.4)
    assert not target.status(base).alive
    assert target.status(base).exit_code == {"stop": -15, "kill_and_hold": -9}[how]
    target.start(base)
    process = target.status(base).process
    target.start(base)
    assert target.status(base).process == process
    eventually(lambda: not target.ready())


def test_a_restart_that_is_under_way_is_held_too(up: tuple[Any, list[AnyEvent]]) -> None:
    target, _ = up
    needs(target, Pauses)
    (base,) = target.instances("base", "east")
    target.kill(base)
    target.stop(base)
    time.sleep(0.4)
    assert not target.status(base).alive


def test_a_paused_instance_is_not_ready_and_lives_on(up: tuple[Any, list[AnyEvent]]) -> None:
    target, _ = up
    needs(target, Pauses)
    (base,) = target.instances("base", "east")
    process = target.status(base).process
    target.pause(base)
    assert target.status(base).alive
    target.resume(base)
    assert target.status(base).process == process
    assert target.ready() == []


def test_unknown_names_are_bad_input(up: tuple[Any, list[AnyEvent]]) -> None:
    target, events = up
    calls = [
        lambda: target.instances("nothing"),
        lambda: parts(target)[0].device_present("nothing"),
        lambda: target.deploy("nothing", events.append),
        lambda: target.add_instances("app", "north", 1, "2", events.append),
    ]
    if isinstance(target, Pauses):
        calls.append(lambda: target.kill(target.instances("base")[0], "NOTHING"))
    for call in calls:
        with pytest.raises(BadInput):
            call()
    assert target.ready() == []


def test_devices_go_and_come_back(up: tuple[Any, list[AnyEvent]]) -> None:
    target, _ = up
    needs(target, Devices)
    assert target.devices("east") == ["gpu-east-0"]
    assert target.devices("west") == []
    for _ in range(2):
        target.detach_device("gpu-east-0")
        assert not target.device_present("gpu-east-0")
    for _ in range(2):
        target.attach_device("gpu-east-0")
        assert target.device_present("gpu-east-0")


def test_a_port_that_an_instance_has_not_is_not_called(up: tuple[Any, list[AnyEvent]]) -> None:
    target, _ = up
    for part in parts(target):
        assert isinstance(part, Calls)
        for each in part.instances():
            with pytest.raises(TargetError, match=f"{each.name} has no port 'ghost'"):
                part.call(each, "ghost", "GET", "/", None, 1.0)


def test_tells_who_may_run_and_who_is_ready(up: tuple[Any, list[AnyEvent]]) -> None:
    target, _ = up
    names = {each.name for each in target.instances()}
    assert isinstance(target, Census)
    assert names <= set(target.present())
    if not isinstance(target, Readiness):
        pytest.skip(f"nobody but the harness itself keeps watch over {type(target).__name__}")
    seen = target.readiness()
    assert {place: len(ready) for place, (ready, _) in seen.items()} == {place: WHOLE.count(place) for place in WHOLE}
    assert {name for ready, _ in seen.values() for name in ready} == names
    assert all(not unready for _, unready in seen.values())


def process_of(target: Any) -> object:
    """What tells whether base was left alone."""
    if isinstance(target, ON_KUBERNETES):
        found = [each for part in parts(target) for each in part.cluster.list("v1/Pod")]
        return sorted(each["metadata"]["uid"] for each in found if each["metadata"]["name"].startswith("base"))
    return {each.name: target.status(each).process for each in target.instances("base")}


def test_another_release_takes_over(up: tuple[Any, list[AnyEvent]]) -> None:
    target, events = up
    before = process_of(target)
    target.deploy("2", events.append)
    assert [each.release for each in target.instances("app")] == ["2", "2", "2"]
    assert sorted(each.region for each in target.instances("app")) == ["east", "east", "west"]
    assert process_of(target) == before
    assert target.ready() == []
    assert events[-1].event == "deployed"
    assert events[-1].release == "2"


def test_a_release_that_does_not_start_is_taken_back(up: tuple[Any, list[AnyEvent]]) -> None:
    target, events = up
    before = sorted(each.name for each in target.instances())
    with pytest.raises(TargetError):
        target.deploy(bad_release(target), events.append)
    assert events[-1].event == "phase.taken-back"
    assert events[-1].verified
    assert sorted(each.name for each in target.instances()) == before
    assert {each.release for each in target.instances("app")} == {"1"}
    assert target.ready() == []


def test_canaries_come_and_go_beside_the_serving_instances(up: tuple[Any, list[AnyEvent]]) -> None:
    target, events = up
    serving = [each.name for each in target.instances("app")]
    added = target.add_instances("app", "east", 2, "2", events.append)
    assert [each.release for each in added] == ["2", "2"]
    assert {each.name for each in added} <= {each.name for each in target.instances("app", "east")}
    assert len(target.instances("app")) == 5
    assert target.ready() == []
    if isinstance(target, Pauses):
        assert all(target.status(each).alive for each in added)
        with pytest.raises(TargetError):
            target.add_instances("app", "east", 1, "crashing", events.append)
    target.remove_instances(added)
    target.remove_instances(added)
    assert [each.name for each in target.instances("app")] == serving
    assert target.ready() == []


def test_down_leaves_nothing_and_may_be_called_twice(up: tuple[Any, list[AnyEvent]]) -> None:
    target, _ = up
    assert target.down().clean
    assert target.down().clean
    with pytest.raises(TargetError):
        target.ready()


def test_a_fake_can_leave_something_behind() -> None:
    target = FakeTarget(load_platform(SMALL).value, immortal={"edge-0"})
    target.up("", lambda _: None)
    assert target.down().processes == ("edge-0",)


def test_a_fake_can_fail_a_gate() -> None:
    events: list[AnyEvent] = []
    target = FakeTarget(load_platform(SMALL).value, failing_gates={"app is well"})
    with pytest.raises(TargetError, match="app is well"):
        target.up("", events.append)
    assert events[-1].event == "phase.taken-back"
    assert [each.service for each in target.instances()] == ["base", "base"]
