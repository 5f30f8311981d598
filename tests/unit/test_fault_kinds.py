"""What the kinds select and say, without a process: against the fake target, and against workers that keep silent."""

from __future__ import annotations

import dataclasses
import json
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from harness.errors import BadInput, TargetError
from harness.faults import _decider, device_loss, process_kill, process_pause, region_loss, switchover, traffic_shift
from harness.model.platform import Platform
from harness.ports import Instance, Selection
from harness.spec.platform import load_platform
from harness.testing.fake_target import FakeTarget
from harness.testing.folder_target import FolderTarget
from harness.testing.tiny_service import served_by, shared_with

ROOT = Path(__file__).parents[2]
PLATFORMS = [ROOT / "tests" / "fixtures" / "tiny" / "platform.yaml", ROOT / "deploy" / "platform.yaml"]


def fake(platform: Platform) -> FakeTarget:
    target = FakeTarget(platform)
    target.up("", lambda _: None)
    return target


@pytest.fixture
def target() -> FakeTarget:
    return fake(load_platform(PLATFORMS[0]).value)


@pytest.mark.parametrize("file", PLATFORMS, ids=["tiny", "reference"])
def test_what_is_predicted_is_what_is_selected(file: Path) -> None:
    """For every service in every region, every region, and every device that a platform file declares."""
    platform = load_platform(file).value
    target = fake(platform)
    places: list[str | None] = [None, *platform.spec.regions]
    looks: list[tuple[Any, Any]] = [
        (kind, kind.Parameters(service=service.name, region=region, count=count))
        for kind in (process_kill, process_pause)
        for service in platform.spec.services
        for region in places
        for count in (None, 1)
    ]
    looks += [(region_loss, region_loss.Parameters(region=region)) for region in platform.spec.regions]
    looks += [
        (device_loss, device_loss.Parameters(device=device.name, worker="w", metric="m", region=region))
        for device in platform.spec.devices
        for region in places
    ]
    assert len(looks) > 20
    for kind, parameters in looks:
        assert set(kind.predict(platform.spec, parameters).names) == set(kind.select(target, parameters).names), (
            parameters
        )


def test_a_region_is_all_of_it_and_nothing_outside(target: FakeTarget) -> None:
    names = region_loss.select(target, region_loss.Parameters(region="sjc")).names
    assert set(names) == {"weaviate-sjc-0", "gpu-worker-sjc-0", "unified-api-sjc-0", "unified-api-sjc-1"}
    assert region_loss.predict(target.platform.spec, region_loss.Parameters(region="mars")).names == ()


def test_the_region_less_part_cannot_be_lost() -> None:
    with pytest.raises(ValueError, match="at least 1 character"):
        region_loss.Parameters(region="")


class OneFails(FakeTarget):
    """Cannot do anything to the first instance of the API."""

    def kill_and_hold(self, instance: Instance) -> None:
        if instance.name == "unified-api-sjc-0":
            raise TargetError("cannot be reached")
        super().kill_and_hold(instance)


def test_one_that_cannot_be_killed_is_told_after_all_others_were(target: FakeTarget) -> None:
    stubborn = OneFails(target.platform)
    stubborn.up("", lambda _: None)
    parameters = region_loss.Parameters(region="sjc")
    with pytest.raises(TargetError, match=r"unified-api-sjc-0: cannot be reached"):
        region_loss.inject(stubborn, region_loss.select(stubborn, parameters), parameters)
    assert set(stubborn.ready()) == {"weaviate-sjc-0", "gpu-worker-sjc-0", "unified-api-sjc-1"}


@pytest.mark.parametrize(
    ("act", "parameters"),
    [
        (process_kill.inject, process_kill.Parameters(service="store")),
        (region_loss.recover, None),
        (process_pause.inject, None),
        (device_loss.inject, None),
    ],
)
def test_a_target_without_the_capability_says_so(act: Callable[..., None], parameters: object, tmp_path: Path) -> None:
    (tmp_path / "store-0").touch()
    with pytest.raises(TargetError, match=r"cannot signal|cannot pause|has no devices"):
        act(FolderTarget(tmp_path), Selection(("store-0",)), parameters)


@dataclasses.dataclass
class Worker:
    """A worker whose metrics page is what the test says."""

    page: str = ""
    port: int = 0


@pytest.fixture
def worker() -> Iterator[Worker]:
    made = Worker()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = made.page.encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    made.port = server.server_address[1]
    yield made
    server.shutdown()
    server.server_close()
    thread.join(5)


class WithWorkers(FakeTarget):
    """Its GPU workers listen on a real port."""

    port = 0

    def instances(self, service: str | None = None, region: str | None = None) -> Sequence[Instance]:
        found = super().instances(service, region)
        return [dataclasses.replace(each, host="127.0.0.1", ports={"http": self.port}) for each in found]


@pytest.mark.parametrize(
    ("page", "lost", "back"),
    [
        ("gpu_present 0\n", True, False),
        ("gpu_present 1\n", False, True),
        ('gpu_present{device="gpu0"} 0.0\n', True, False),
        ('# HELP gpu_present x\n# TYPE gpu_present gauge\ngpu_present{d="0"} 1\ngpu_present{d="1"} 0\n', False, True),
        ("gpu_present_total 1\n", False, False),
        ("gpu_present NaN\n", False, False),
        ('gpu_present{d="0"} 1\ngpu_present{d="1"} NaN\n', False, False),
        ("gpu_present one\n", False, False),
        ("", False, False),
    ],
    ids=["0", "1", "labelled 0", "one of two", "another metric", "nan", "one of two nan", "a word", "nothing"],
)
def test_a_device_is_what_the_worker_says_and_silence_is_neither(
    target: FakeTarget, worker: Worker, page: str, lost: bool, back: bool
) -> None:
    told = WithWorkers(target.platform)
    told.port, worker.page = worker.port, page
    told.up("", lambda _: None)
    parameters = device_loss.Parameters(device="gpu0", worker="gpu-worker", metric="gpu_present")
    selection = device_loss.select(told, parameters)
    assert device_loss.gone(told, selection, parameters).seen is back
    device_loss.inject(told, selection, parameters)
    assert device_loss.landed(told, selection, parameters).seen is lost


def test_a_worker_alone_does_not_tell_that_a_device_is_lost_or_back(target: FakeTarget, worker: Worker) -> None:
    told = WithWorkers(target.platform)
    told.port, worker.page = worker.port, "gpu_present 0\n"
    told.up("", lambda _: None)
    parameters = device_loss.Parameters(device="gpu0", worker="gpu-worker", metric="gpu_present")
    selection = device_loss.select(told, parameters)
    assert device_loss.landed(told, selection, parameters).detail == "gpu0: can be given out still"
    device_loss.inject(told, selection, parameters)
    worker.page = "gpu_present 1\n"
    assert device_loss.gone(told, selection, parameters).detail == "gpu0: cannot be given out"


def test_a_device_that_is_lost_already_is_refused(target: FakeTarget) -> None:
    target.detach_device("gpu0")
    with pytest.raises(BadInput, match="gpu0 is lost already"):
        device_loss.select(target, device_loss.Parameters(device="gpu0", worker="w", metric="m"))


def test_a_dead_worker_says_nothing(target: FakeTarget) -> None:
    told = WithWorkers(target.platform)
    told.port = 9
    told.up("", lambda _: None)
    parameters = device_loss.Parameters(device="gpu0", worker="gpu-worker", metric="gpu_present")
    told.detach_device("gpu0")
    seen = device_loss.landed(told, Selection(("gpu0",)), parameters)
    assert (seen.seen, seen.detail) == (False, "gpu-worker-sjc-0: tells no gpu_present")


def test_no_worker_at_all_says_nothing(target: FakeTarget) -> None:
    parameters = device_loss.Parameters(device="gpu0", worker="gpu-worker", metric="m", region="lax")
    target.detach_device("gpu0")
    assert device_loss.landed(target, Selection(("gpu0",)), parameters).detail == "no instance of gpu-worker tells"


@pytest.mark.parametrize(
    ("kind", "parameters"),
    [
        (process_kill, process_kill.Parameters(service="api")),
        (process_pause, process_pause.Parameters(service="api")),
        (region_loss, region_loss.Parameters(region="sjc")),
    ],
)
def test_of_an_instance_that_is_no_longer_listed_nothing_is_claimed(
    kind: Any, parameters: Any, target: FakeTarget
) -> None:
    """With nothing to look at there is nothing to object to; that must not pass for landed, or for gone."""
    vanished = Selection(("vanished-sjc-0",), {"vanished-sjc-0": "0:0:0"})
    for look in (kind.landed, kind.gone):
        observation = look(target, vanished, parameters)
        assert (observation.seen, observation.detail) == (
            False,
            "vanished-sjc-0: the platform has no such instance any more",
        )
    with pytest.raises(TargetError, match="vanished-sjc-0: the platform has no such instance"):
        kind.inject(target, vanished, parameters)
    kind.recover(target, vanished, parameters)  # undoing goes on with whatever is there


class Decider(FakeTarget):
    """Its agent names an heir for some looks before it is primary, as one does that waits for a lease to end."""

    primary, heir, looks, moves = "sjc", "", 0, False

    def call(
        self, instance: Instance, port: str, method: str, path: str, body: str | None, timeout_s: float
    ) -> tuple[int, str]:
        if method == "POST":
            if self.heir:
                return 409, "a change is under way"
            self.heir, self.looks = json.loads(body or "")["to"], 3
            return 202, "{}"
        self.looks -= 1
        if self.heir and self.looks == 0:
            self.primary, self.heir = self.heir, ""
        return 200, json.dumps({"primary": self.primary, "heir": self.heir, "moves": self.moves})


class Shifter(FakeTarget):
    """Whoever decides, and an edge where it is seen; `shown` is what the edge does, once it is not as told; users are
    answered in turn, or by `chance`. After so many answers it does as `dead`."""

    primary, shown, chance = "lax", None, None
    dead: tuple[int, Callable[[], tuple[int, str]]] | None = None

    def __init__(self, platform: Platform) -> None:
        super().__init__(platform)
        self.users, self.pings = {"sjc": 0.0, "lax": 1.0}, 0

    def call(
        self, instance: Instance, port: str, method: str, path: str, body: str | None, timeout_s: float
    ) -> tuple[int, str]:
        if path == "/api/ping":
            self.pings += 1
            if self.dead and self.pings > self.dead[0]:
                return self.dead[1]()
            users = self.shown or self.users
            if self.chance:
                return 200, json.dumps({"region": "sjc" if self.chance.random() < users["sjc"] else "lax"})
            return 200, json.dumps({"region": served_by(users, self.pings)})
        if method == "POST":
            asked = json.loads(body or "")
            self.users = shared_with(self.users, asked["region"], asked["share"])
        return 200, json.dumps({"primary": self.primary, "users": self.users})


@pytest.fixture
def shifter(target: FakeTarget) -> Shifter:
    made = Shifter(load_platform(PLATFORMS[0]).value)
    made.up("", lambda _: None)
    return made


def shifted(shifter: Shifter, share: float) -> tuple[Selection, traffic_shift.Parameters]:
    parameters = traffic_shift.Parameters(service="failover-agent", to="sjc", share=share, edge="edge")
    selection = traffic_shift.select(shifter, parameters)
    traffic_shift.inject(shifter, selection, parameters)
    return selection, parameters


@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
def test_a_step_is_what_users_are_answered_by_not_what_was_told(shifter: Shifter, share: float) -> None:
    shifter.shown = {"sjc": 0.0, "lax": 1.0}
    selection, parameters = shifted(shifter, share)
    seen = traffic_shift.landed(shifter, selection, parameters)
    assert not seen.seen
    assert seen.detail.startswith("sjc answered 0 of ")
    assert not traffic_shift.gone(shifter, selection, parameters).seen
    shifter.shown = None
    assert traffic_shift.landed(shifter, selection, parameters).seen
    assert traffic_shift.gone(shifter, selection, parameters).seen


def test_all_users_are_all(shifter: Shifter) -> None:
    selection, parameters = shifted(shifter, 1.0)
    shifter.shown = {"sjc": 0.97, "lax": 0.03}
    assert not traffic_shift.landed(shifter, selection, parameters).seen


def hangs_up() -> tuple[int, str]:
    raise TargetError("edge-0 does not answer")


@pytest.mark.parametrize("answers", [0, 40])
@pytest.mark.parametrize("dead", [hangs_up, lambda: (503, ""), lambda: (200, "{}"), lambda: (200, '{"region": ""}')])
@pytest.mark.parametrize("share", [0.1, 1.0, 0.0])
def test_an_edge_that_names_no_region_shows_nothing(
    shifter: Shifter, share: float, dead: Callable[[], tuple[int, str]], answers: int
) -> None:
    """Least of all that a region serves nobody any more. It is asked no further, for each ask may take seconds."""
    selection, parameters = shifted(shifter, 0.5)
    traffic_shift.inject(shifter, selection, parameters.model_copy(update={"share": share}))
    shifter.dead = (answers, dead)
    for look in (traffic_shift.landed, traffic_shift.gone):
        shifter.pings = 0
        seen = look(shifter, selection, parameters.model_copy(update={"share": share}))
        assert (seen.seen, shifter.pings) == (False, answers + 1)
        assert "names no region" in seen.detail


@pytest.mark.parametrize(("told", "true"), [(0.1, 0.25), (0.1, 0.3), (0.1, 0.02), (0.5, 0.7), (0.5, 0.35), (1.0, 0.9)])
def test_another_share_is_not_seen_however_often_it_is_looked_at(shifter: Shifter, told: float, true: float) -> None:
    selection, parameters = shifted(shifter, told)
    shifter.shown, shifter.chance = {"sjc": true, "lax": 1 - true}, random.Random(7)
    assert not any(traffic_shift.landed(shifter, selection, parameters).seen for _ in range(60))


@pytest.mark.parametrize("told", [0.1, 0.5])
def test_users_who_come_by_chance_are_seen_at_the_first_look(shifter: Shifter, told: float) -> None:
    selection, parameters = shifted(shifter, told)
    shifter.chance = random.Random(7)
    assert all(traffic_shift.landed(shifter, selection, parameters).seen for _ in range(60))


def test_a_look_at_a_slow_edge_ends(shifter: Shifter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traffic_shift, "LOOK_S", 0.0)
    selection, parameters = shifted(shifter, 1.0)
    seen = traffic_shift.landed(shifter, selection, parameters)
    assert (seen.seen, shifter.pings, seen.detail) == (False, 1, "sjc answered 1 of 1, 100% wanted: too few to be sure")


def test_steps_are_taken_back_one_after_another(shifter: Shifter) -> None:
    first, second = shifted(shifter, 0.1), shifted(shifter, 0.5)
    traffic_shift.recover(shifter, *second)
    assert shifter.users["sjc"] == 0.1
    traffic_shift.recover(shifter, *first)
    assert shifter.users["sjc"] == 0.0
    assert traffic_shift.gone(shifter, *first).seen


def test_users_stay_where_another_change_of_primary_left_them(shifter: Shifter) -> None:
    step = shifted(shifter, 0.5)
    shifter.primary, shifter.users = "sjc", {"sjc": 1.0, "lax": 0.0}  # lax was lost meanwhile
    traffic_shift.recover(shifter, *step)
    assert shifter.users == {"sjc": 1.0, "lax": 0.0}
    assert traffic_shift.gone(shifter, *step).seen


def test_a_share_that_a_region_has_already_and_a_region_that_nobody_knows_are_refused(shifter: Shifter) -> None:
    with pytest.raises(BadInput, match="serves 0% of the users already"):
        shifted(shifter, 0.0)
    parameters = traffic_shift.Parameters(service="failover-agent", to="mars", share=0.1, edge="edge")
    with pytest.raises(BadInput, match="tells no users of mars"):
        traffic_shift.select(shifter, parameters)


@pytest.fixture
def decider(target: FakeTarget, monkeypatch: pytest.MonkeyPatch) -> Decider:
    monkeypatch.setattr(_decider, "AGAIN_S", 0.01)
    made = Decider(target.platform)
    made.up("", lambda _: None)
    return made


def moved(decider: Decider, within: str) -> tuple[Selection, switchover.Parameters]:
    """To lax, and not primary yet."""
    parameters = switchover.Parameters.model_validate({"service": "failover-agent", "to": "lax", "within": within})
    selection = switchover.select(decider, parameters)
    switchover.inject(decider, selection, parameters)
    assert (decider.primary, decider.heir) == ("sjc", "lax")
    return selection, parameters


def test_a_new_primary_that_is_none_yet_is_no_end_of_the_move(decider: Decider) -> None:
    selection, parameters = moved(decider, "20s")
    decider.primary, decider.heir, decider.moves = "lax", "", True
    seen = switchover.gone(decider, selection, parameters)
    assert (seen.seen, seen.detail) == (False, "the move to lax goes on")
    decider.moves = False
    assert switchover.gone(decider, selection, parameters).seen


def test_a_move_that_goes_on_is_undone_when_it_has_ended(decider: Decider) -> None:
    selection, parameters = moved(decider, "20s")
    switchover.recover(decider, selection, parameters)
    for _ in range(4):
        seen = switchover.gone(decider, selection, parameters)
    assert seen.seen, seen
    assert (decider.primary, decider.heir) == ("sjc", "")
    switchover.recover(decider, selection, parameters)
    assert decider.heir == "", "nothing is left to undo"


def test_a_move_that_does_not_end_is_not_told_as_undone(decider: Decider) -> None:
    selection, parameters = moved(decider, "50ms")
    decider.looks = -1
    with pytest.raises(TargetError, match="still about to make lax primary"):
        switchover.recover(decider, selection, parameters)
