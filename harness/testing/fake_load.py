"""A load engine without processes and network: the equal of the real one for everything above it."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from harness.journal.layout import RunFolder
from harness.load.order import stream
from harness.load.recorder import Stream
from harness.load.schedule import arrivals, journeys
from harness.model.clock import Clock, SystemClock
from harness.model.load import Beacon, Constant, Load
from harness.model.records import GENERATOR_COLUMNS, LEDGER_COLUMNS, REQUEST_COLUMNS, Content, Outcome
from harness.ports import LoadState


@dataclass(frozen=True)
class Answer:
    """How the imagined platform answers one arrival."""

    latency_s: float = 0.01
    late_s: float = 0.0
    outcome: Outcome = Outcome.ANSWERED
    status: int = 200
    content: Content = Content.RIGHT
    level: int = 1
    release: str = "1.0.0"
    region: str = "sjc"
    instance: str = "unified-api-1"


Platform = Callable[[str, int], Answer]


def healthy(journey: str, intended_ns: int) -> Answer:
    """Every request answered, right, in 10 ms. A test's own platform may decide by journey and intended time."""
    return Answer(content=Content.UNCHECKED if journey == "beacon" else Content.RIGHT)


class FakeLoad:
    """Keeps the declared schedule by the clock it is given; writes the streams that the real one writes."""

    def __init__(
        self,
        folder: RunFolder,
        load: Load,
        *,
        seed: int = 1,
        duration_s: float | None = None,
        clock: Clock | None = None,
        platform: Platform = healthy,
        name: str = "requests",
    ) -> None:
        self._folder, self._clock, self._platform, self._name = folder, clock or SystemClock(), platform, name
        self._duration_s = math.inf if duration_s is None else duration_s
        self._offsets: Iterator[float] = arrivals(load.arrivals, seed, self._duration_s)
        self._pick = journeys(load.mix, seed)
        self._next: float | None = None
        self._streams: dict[str, Stream] = {}
        self._origin: int | None = None
        self._stopped: int | None = None
        self._exit_code: int | None = None
        self._problem = ""
        self._scheduled = 0
        self._row_at = 0

    def start(self) -> None:
        self._folder.work.mkdir(parents=True, exist_ok=True)
        columns = {self._name: REQUEST_COLUMNS}
        if self._name == "requests":
            columns |= {"generator": GENERATOR_COLUMNS, "ledger": LEDGER_COLUMNS}
        self._streams = {name: Stream(stream(self._folder.work, name), kinds) for name, kinds in columns.items()}
        self._origin = self._row_at = self._clock.mono_ns()
        self._next = next(self._offsets, None)

    def poll(self) -> LoadState:
        now = self._catch_up()
        if self._next is None:
            self._end(now)
        return self._state()

    def stop(self) -> LoadState:
        self._end(self._catch_up())
        return self._state()

    def die(self, exit_code: int = -9) -> None:
        """As if somebody had killed the child just now."""
        self._catch_up()
        for kept in self._streams.values():
            kept.close()
        self._exit_code, self._problem = exit_code, f"the load was killed by signal {-exit_code}"

    def origin_ns(self) -> int | None:
        return self._origin

    def stopped_ns(self) -> int | None:
        return self._stopped

    def _state(self) -> LoadState:
        alive = self._origin is not None and self._exit_code is None
        return LoadState(alive, self._scheduled, self._scheduled, self._exit_code, problem=self._problem)

    def _catch_up(self) -> int:
        """Writes every arrival intended before now, and returns what now was."""
        now = self._clock.mono_ns()
        if self._origin is not None and self._exit_code is None:
            while self._next is not None and (intended := self._origin + round(self._next * 1e9)) < now:
                self._arrive(self._scheduled, intended)
                self._scheduled += 1
                self._next = next(self._offsets, None)
            while self._row_at + 1_000_000_000 <= now:
                self._measure(self._row_at + 1_000_000_000)
            for kept in self._streams.values():
                kept.flush()
        return now

    def _end(self, now: int) -> None:
        if self._origin is None or self._exit_code is not None:
            return
        whole = self._next is None
        self._stopped, self._exit_code = self._origin + round(self._duration_s * 1e9) if whole else now, 0
        self._measure(now)
        for kept in self._streams.values():
            kept.close()

    def _measure(self, at: int) -> None:
        self._row_at = at
        if "generator" in self._streams:
            self._streams["generator"].append([at, self._scheduled, self._scheduled, 0.1, 0.05, 1.0, 0])

    def _arrive(self, index: int, intended: int) -> None:
        journey = self._pick(index)
        answer = self._platform(journey, intended)
        answered = answer.outcome is Outcome.ANSWERED
        started = intended + round(answer.late_s * 1e9)
        finished = started + round(answer.latency_s * 1e9)
        if answer.outcome in (Outcome.DROPPED, Outcome.SKIPPED):
            started = finished = -1
        elif answer.outcome is Outcome.UNFINISHED:
            finished = -1
        told = [answer.level, answer.release, answer.region, answer.instance] if answered else [0, "", "", ""]
        status, content = (answer.status, answer.content) if answered else (0, Content.UNCHECKED)
        self._streams[self._name].append(
            [index, journey, intended, started, finished, answer.outcome, status, content, *told]
        )
        if journey == "memory-write" and started >= 0:
            key, kept = f"{self._folder.run_id}-m{index}", answered and answer.status in (200, 201)
            digest = hashlib.sha256(key.encode()).hexdigest()
            row = [key, digest, started, finished if kept else -1, answer.region if answered else "", "write"]
            self._streams["ledger"].append(row)


def fake_beacon(
    folder: RunFolder, beacon: Beacon, *, clock: Clock | None = None, platform: Platform = healthy
) -> FakeLoad:
    """The beacon's equal: the same at the beacon's beat."""
    load = Load(locustfile="", arrivals=Constant(kind="constant", rate=1 / beacon.every), mix={"beacon": 1})
    return FakeLoad(folder, load, clock=clock, platform=platform, name="beacon")
