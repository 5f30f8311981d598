"""What every target does, the fake and the local one alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.errors import BadInput, TargetError
from harness.model.events import AnyEvent
from harness.ports import Devices, Logs, Processes, Releases, Target
from harness.spec.platform import load_platform
from harness.targets.local import LocalTarget, local
from harness.testing.fake_target import FakeTarget

SMALL = Path(__file__).parent.parent / "fixtures" / "small" / "platform.yaml"
Any = FakeTarget | LocalTarget


@pytest.fixture(params=["fake", pytest.param("local", marks=pytest.mark.real)])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    platform = load_platform(SMALL)
    if request.param == "fake":
        yield FakeTarget(platform.value, unready_releases={"crashing"})
        return
    made = local(platform, tmp_path)
    yield made
    assert made.down().clean


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
    for protocol in (Target, Processes, Devices, Releases, Logs):
        assert isinstance(target, protocol), protocol


def test_before_up_there_is_nothing(target: Any) -> None:
    with pytest.raises(TargetError):
        target.instances()
    assert target.down().clean


def test_comes_up_phase_by_phase_and_serves(up: tuple[Any, list[AnyEvent]]) -> None:
    target, events = up
    assert [each.event for each in events if each.event != "stand-in"] == [
        "gate.checked",
        "phase.deployed",
        "gate.checked",
        "phase.deployed",
        "gate.checked",
        "phase.deployed",
        "deployed",
    ]
    assert target.ready() == []
    assert sorted(each.name for each in target.instances()) == [
        "app-east-0",
        "app-east-1",
        "app-west-0",
        "base-east-0",
        "base-west-0",
        "edge-0",
    ]
    assert [each.name for each in target.instances("app", "east")] == ["app-east-0", "app-east-1"]
    assert {each.release for each in target.instances("app")} == {"1"}
    assert {each.release for each in target.instances("base")} == {""}
    ports = [port for each in target.instances() for port in each.ports.values()]
    assert len(set(ports)) == len(ports)
    checks: list[AnyEvent] = []
    target.check(checks.append)
    assert all(each.event == "check" and each.passed == each.of for each in checks)
    with pytest.raises(TargetError):
        target.up("", events.append)


def test_a_killed_instance_is_restarted_as_another_process(up: tuple[Any, list[AnyEvent]]) -> None:
    target, _ = up
    (base,) = target.instances("base", "east")
    old = target.kill(base)
    eventually(lambda: target.status(base).process not in (None, old))
    eventually(lambda: target.status(base).restarts == 1)
    eventually(lambda: not target.ready())


def test_an_instance_that_keeps_dying_is_given_up_after_its_attempts(up: tuple[Any, list[AnyEvent]]) -> None:
    target, _ = up
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
    (base,) = target.instances("base", "east")
    target.kill(base)
    target.stop(base)
    time.sleep(0.4)
    assert not target.status(base).alive


def test_a_paused_instance_is_not_ready_and_lives_on(up: tuple[Any, list[AnyEvent]]) -> None:
    target, _ = up
    (base,) = target.instances("base", "east")
    process = target.status(base).process
    target.pause(base)
    assert target.status(base).alive
    target.resume(base)
    assert target.status(base).process == process
    assert target.ready() == []


def test_unknown_names_are_bad_input(up: tuple[Any, list[AnyEvent]]) -> None:
    target, events = up
    for call in (
        lambda: target.instances("nothing"),
        lambda: target.device_present("nothing"),
        lambda: target.deploy("nothing", events.append),
        lambda: target.add_instances("app", "north", 1, "2", events.append),
        lambda: target.kill(target.instances("base")[0], "NOTHING"),
    ):
        with pytest.raises(BadInput):
            call()
    assert target.ready() == []


def test_devices_go_and_come_back(up: tuple[Any, list[AnyEvent]]) -> None:
    target, _ = up
    assert target.devices("east") == ["gpu-east-0"]
    assert target.devices("west") == []
    for _ in range(2):
        target.detach_device("gpu-east-0")
        assert not target.device_present("gpu-east-0")
    for _ in range(2):
        target.attach_device("gpu-east-0")
        assert target.device_present("gpu-east-0")


def test_another_release_takes_over(up: tuple[Any, list[AnyEvent]]) -> None:
    target, events = up
    before = {each.name: target.status(each).process for each in target.instances("base")}
    target.deploy("2", events.append)
    assert [each.release for each in target.instances("app")] == ["2", "2", "2"]
    assert sorted(each.region for each in target.instances("app")) == ["east", "east", "west"]
    assert {each.name: target.status(each).process for each in target.instances("base")} == before
    assert target.ready() == []
    assert events[-1].event == "deployed"
    assert events[-1].release == "2"


def test_a_release_that_does_not_start_is_taken_back(up: tuple[Any, list[AnyEvent]]) -> None:
    target, events = up
    before = sorted(each.name for each in target.instances())
    with pytest.raises(TargetError):
        target.deploy("crashing", events.append)
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
    assert all(target.status(each).alive for each in added)
    assert [each.name for each in target.instances("app")] == serving + [each.name for each in added]
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
