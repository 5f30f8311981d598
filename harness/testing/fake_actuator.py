"""A traffic split without a proxy, and a small world around it in which a rollout can be tried in milliseconds.

`World` keeps time, answers requests of both releases, and lets the record fall silent; `FakeActuator` is the equal of
`harness.actuators.haproxy` under the same contract test. As a module it is an actuator of its own: a scenario may say
`actuator: harness.testing.fake_actuator`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.errors import TargetError
from harness.gate import Response
from harness.model.base import Frozen
from harness.model.rollout import Rollout
from harness.ports import Endpoints, Instance, Leftovers, Report
from harness.run.live import Seen

S = 1_000_000_000
START_NS = 1_000 * S


class Settings(Frozen):
    """Nothing to set."""


def connect(target: World, rollout: Rollout, settings: Settings) -> FakeActuator:
    return FakeActuator(target)


@dataclass
class Behaviour:
    """How a release answers: every n-th response is failed, wrong, or names no release (and failed); 0: none is."""

    latency_s: float = 0.02
    fails_every: int = 0
    wrong_every: int = 0
    nameless_every: int = 0
    healthy: bool = True


@dataclass
class World:
    """Target, clock, split and record in one. Time passes only in `sleep` and `tick`."""

    rate: float = 50.0
    releases: dict[str, Behaviour] = field(default_factory=lambda: {"1": Behaviour(), "2": Behaviour()})
    baseline: str = "1"
    canary: str = "2"
    now_ns: int = START_NS
    share: float = 0.0
    stuck: bool = False  # the split does not follow what is set
    deaf: bool = False  # the actuator cannot be reached
    silent_from_ns: int | None = None  # the record ends here
    silent_until_ns: int = 0
    starts: bool = True
    responses: list[Response] = field(default_factory=list)
    events: list[Callable[[], None]] = field(default_factory=list)
    at: list[tuple[int, Callable[[], None]]] = field(default_factory=list)
    set_shares: list[float] = field(default_factory=list)
    running: list[Instance] = field(default_factory=list)
    _answered: dict[str, int] = field(default_factory=dict)
    _debt: float = 0.0
    _due_ns: float = START_NS

    def __post_init__(self) -> None:
        self.running = [instance(f"api-{n}", self.baseline) for n in range(2)]

    # ---- clock

    def mono_ns(self) -> int:
        return self.now_ns

    def wall_ns(self) -> int:
        return self.now_ns

    def sleep(self, seconds: float) -> None:
        self.tick(seconds)

    def tick(self, seconds: float) -> None:
        """Time passes, and users are answered meanwhile."""
        end = self.now_ns + int(seconds * S)
        while True:
            due = min([end, int(self._due_ns), *(at for at, _ in self.at)])
            self.now_ns = max(self.now_ns, due)
            for at, happen in [event for event in self.at if event[0] <= due]:
                self.at.remove((at, happen))
                happen()
            if int(self._due_ns) <= due:
                self._answer(int(self._due_ns))
                self._due_ns += S / self.rate
            elif due >= end:
                return

    def after(self, seconds: float, happen: Callable[[], None]) -> None:
        """Something happens so many seconds after the world began."""
        self.at.append((START_NS + int(seconds * S), happen))

    def _answer(self, at_ns: int) -> None:
        self._debt += self.share
        release = self.baseline
        if self._debt >= 1 - 1e-9:
            self._debt -= 1
            release = self.canary
        how = self.releases[release]
        count = self._answered[release] = self._answered.get(release, 0) + 1
        nameless = bool(how.nameless_every) and count % how.nameless_every == 0
        failed = nameless or (bool(how.fails_every) and count % how.fails_every == 0)
        wrong = bool(how.wrong_every) and count % how.wrong_every == 0
        self.responses.append(
            Response(
                finished_ns=at_ns,
                release="" if nameless else release,
                journey="chat",
                failed=failed or wrong,
                right=None if failed else not wrong,
                least_s=how.latency_s,
                most_s=how.latency_s,
            )
        )

    # ---- record

    def live(self, from_ns: int) -> Seen:
        until = self.now_ns
        if self.silent_from_ns is not None and self.now_ns >= self.silent_from_ns:
            until = self.silent_from_ns if self.now_ns < self.silent_until_ns else self.now_ns
        return Seen(tuple(one for one in self.responses if from_ns <= one.finished_ns < until), until, until)

    def probe(self, instance: Instance, check: Any) -> bool:
        return self.releases[instance.release].healthy

    # ---- target

    @property
    def reference(self) -> str:
        return "harness.testing.fake_actuator:world"

    def instances(self, service: str | None = None, region: str | None = None) -> Sequence[Instance]:
        return tuple(self.running)

    def add_instances(self, service: str, region: str, count: int, release: str, report: Report) -> Sequence[Instance]:
        if not self.starts:
            raise TargetError(f"{service} {release} did not become ready")
        new = [instance(f"api-{release}-{n}", release) for n in range(count)]
        self.running += new
        return new

    def remove_instances(self, instances: Sequence[Instance]) -> None:
        gone = {one.name for one in instances}
        self.running = [one for one in self.running if one.name not in gone]

    def deploy(self, release: str, report: Report) -> None:
        raise NotImplementedError

    def up(self, release: str, report: Report) -> None:
        raise NotImplementedError

    def check(self, report: Report) -> None:
        raise NotImplementedError

    def ready(self) -> Sequence[str]:
        return ()

    def endpoints(self) -> Endpoints:
        raise NotImplementedError

    def down(self) -> Leftovers:
        return Leftovers()


def instance(name: str, release: str) -> Instance:
    """An instance of the fake service."""
    return Instance(name, "api", "sjc", 0, release, "127.0.0.1", {"http": 1}, Path())


class FakeActuator:
    """Sets a world's share; remembers nothing."""

    def __init__(self, world: World) -> None:
        self._world = world

    def observe(self) -> float:
        self._reach()
        return self._world.share

    def set_weight(self, share: float) -> None:
        self._reach()
        if share > 0 and not any(one.release == self._world.canary for one in self._world.running):
            raise TargetError(f"no instance runs release {self._world.canary}")
        self._world.set_shares.append(share)
        if not self._world.stuck:
            self._world.share = min(max(share, 0.0), 1.0)

    def promote(self) -> None:
        self.set_weight(1.0)

    def rollback(self) -> None:
        self.set_weight(0.0)

    def _reach(self) -> None:
        if self._world.deaf:
            raise TargetError("the balancer does not answer")
