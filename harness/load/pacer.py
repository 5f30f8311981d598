"""The open loop: starts each arrival when it is due, whatever the server does, and records how it ended.

A timer descriptor wakes the gevent hub at the next due time; the hub hands each due arrival straight to a parked worker
greenlet, which runs until its request is sent. A worker that finishes takes the next arrival already due. When the
declared number is in flight, an arrival is dropped and recorded: an honest, counted drop instead of a silent delay.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from time import monotonic_ns
from typing import Any

import gevent
from gevent import get_hub, getcurrent
from gevent.event import Event
from gevent.pool import Group

from harness.load.client import Client, NoAnswer
from harness.load.http1 import Response
from harness.load.recorder import Stream
from harness.load.schedule import draw
from harness.load.timerfd import TimerFd
from harness.model.records import Content, Outcome

Journey = Callable[["Arrival"], Content | bool]


class Arrival:
    """One arrival of the schedule, as its journey sees it: what to draw, how to send its one judged request."""

    __slots__ = (
        "_client",
        "_draws",
        "_seed",
        "content",
        "detail",
        "finished_ns",
        "index",
        "intended_ns",
        "journey",
        "outcome",
        "response",
        "started_ns",
    )

    def __init__(self, client: Client, seed: int, index: int, journey: str, intended_ns: int) -> None:
        self._client, self._seed, self._draws = client, seed, 0
        self.index, self.journey, self.intended_ns = index, journey, intended_ns
        self.started_ns = self.finished_ns = -1
        self.outcome, self.content = Outcome.UNFINISHED, Content.UNCHECKED
        self.response: Response | None = None
        self.detail = ""

    def integer(self, below: int) -> int:
        """The arrival's next draw from 0 … below-1: the same in every run with this seed."""
        self._draws += 1
        return draw(self._seed, self.index, self._draws) % below

    def get(self, target: str) -> Response:
        """The judged request as GET."""
        return self.send("GET", target, None)

    def post(self, target: str, document: object) -> Response:
        """The judged request as POST of a JSON document."""
        return self.send("POST", target, json.dumps(document, separators=(",", ":")).encode())

    def delete(self, target: str) -> Response:
        """The judged request as DELETE."""
        return self.send("DELETE", target, None)

    def send(self, method: str, target: str, body: bytes | None) -> Response:
        """Sends the judged request, once. A journey goes on with an answer that should be right: without a response, or
        with 429 or 5xx, NoAnswer ends it, and nothing needs to be checked."""
        if self.started_ns >= 0:
            raise RuntimeError(f"journey {self.journey}: an arrival has one judged request")
        self.started_ns = monotonic_ns()
        try:
            response = self._client.request(method, target, body)
        except NoAnswer as failure:
            self.finished_ns, self.outcome, self.detail = monotonic_ns(), failure.outcome, failure.detail
            if failure.outcome is Outcome.DROPPED:
                self.started_ns = self.finished_ns = -1
            raise
        self.finished_ns = max(response.received_ns, self.started_ns)
        self.outcome, self.response = Outcome.ANSWERED, response
        if response.status >= 500 or response.status == 429:
            raise NoAnswer(Outcome.ANSWERED, f"status {response.status}")
        return response

    def skip(self, why: str) -> NoAnswer:
        """To be raised by a journey that cannot send its request: `raise arrival.skip("nothing written yet")`."""
        return NoAnswer(Outcome.SKIPPED, why)


class Pacer:
    """Runs a schedule. `offsets` are seconds from the origin; `pick` gives the journey's name for an index."""

    def __init__(
        self,
        client: Client,
        offsets: Iterator[float],
        pick: Callable[[int], str],
        journeys: Mapping[str, Journey],
        record: Stream | None,
        *,
        seed: int,
        max_in_flight: int,
        duration_s: float = math.inf,
        on_end: Callable[[Arrival], None] | None = None,
    ) -> None:
        self._client, self._offsets, self._pick, self._journeys = client, offsets, pick, journeys
        self._record, self._seed, self._on_end, self._max = record, seed, on_end, max_in_flight
        self._duration_s = duration_s
        self._hub = get_hub()
        self._idle: list[Any] = []
        self._flying: dict[int, Arrival] = {}
        self._timer = TimerFd()
        self._watcher = self._hub.loop.io(self._timer.fd, 1)
        self._watcher.priority = self._hub.loop.MAXPRI
        self._next: int | None = None
        self._looked_ns = -1
        self._late: list[int] = []
        self._workers = Group()
        self.origin_ns = self.until_ns = -1
        self.scheduled = self.recorded = self.dropped = 0
        self.mistakes, self.mistake = 0, ""
        self.exhausted = Event()

    @property
    def in_flight(self) -> int:
        return len(self._flying)

    def start(self, origin_ns: int) -> None:
        """Begins; the first arrival is due at the origin plus its offset."""
        for _ in range(min(64, self._max)):
            self._workers.spawn(self._work, None)
        gevent.sleep(0)
        self.origin_ns = origin_ns
        self._advance()
        self._watcher.start(self._tick)
        if self._next is not None:
            self._timer.set(self._next)

    def stop(self) -> None:
        """No further arrivals: every one intended before `until_ns` was taken. Idempotent; called from a greenlet."""
        if self.until_ns >= 0:
            return
        self._hub.loop.run_callback(self._tick)  # what is due by now counts, even if the timer had no chance to say so
        gevent.sleep(0)
        whole = self._next is None  # nothing more was to come up to the schedule's end
        self.until_ns = self.origin_ns + round(self._duration_s * 1e9) if whole else self._looked_ns + 1
        self._next = None
        self._watcher.stop()
        self._timer.close()
        self.exhausted.set()

    def drain(self, seconds: float) -> None:
        """Lets requests in flight finish, then ends the rest and records them as unfinished."""
        deadline = monotonic_ns() + int(seconds * 1e9)
        while self._flying and monotonic_ns() < deadline:
            gevent.sleep(0.01)
        self._workers.kill(timeout=1.0)
        for arrival in list(self._flying.values()):
            self._end(arrival)

    def lateness_p99_ms(self) -> float:
        """Start lateness since the last call, an arrival overdue right now included; 0 when none was due."""
        late, self._late = self._late, []
        if self._next is not None and (overdue := monotonic_ns() - self._next) > 0:
            late.append(overdue)
        late.sort()
        return late[-(-99 * len(late) // 100) - 1] / 1e6 if late else 0.0

    def _advance(self) -> None:
        offset = next(self._offsets, None)
        if offset is None:
            self._next = None
            self.exhausted.set()
        else:
            self._next = self.origin_ns + round(offset * 1e9)

    def _take(self, due_ns: int) -> Arrival:
        index = self.scheduled
        arrival = self._flying[index] = Arrival(self._client, self._seed, index, self._pick(index), due_ns)
        self.scheduled = index + 1
        self._advance()
        return arrival

    def _due(self) -> int | None:
        """The next arrival's time if it has come."""
        self._looked_ns = now = monotonic_ns()
        return self._next if self._next is not None and self._next <= now else None

    def _tick(self) -> None:  # on the hub: must never block
        while (due := self._due()) is not None:
            arrival = self._take(due)
            if len(self._flying) > self._max:
                arrival.outcome = Outcome.DROPPED
                self.dropped += 1
                self._end(arrival)
            elif self._idle:
                self._idle.pop().switch(arrival)  # comes back once the worker waits for its response
            else:
                self._workers.spawn(self._work, arrival)
        if self._next is not None:
            self._timer.set(self._next)

    def _work(self, arrival: Arrival | None) -> None:
        me, hub = getcurrent(), self._hub
        while True:
            if arrival is None:
                self._idle.append(me)
                arrival = hub.switch()
            self._late.append(monotonic_ns() - arrival.intended_ns)
            self._run(arrival)
            self._end(arrival)
            due = self._due()
            arrival = self._take(due) if due is not None else None

    def _run(self, arrival: Arrival) -> None:
        try:
            content = self._journeys[arrival.journey](arrival)
        except NoAnswer as failure:
            if arrival.started_ns < 0 and failure.outcome is not Outcome.DROPPED:
                arrival.outcome, arrival.detail = Outcome.SKIPPED, failure.detail
            return
        except Exception as error:  # noqa: BLE001  a journey's own mistake: told, and never taken for a right answer
            self._mistaken(arrival, f"{type(error).__name__}: {error} ({_place(error)})")
            return
        if arrival.started_ns < 0:
            self._mistaken(arrival, "sent nothing")
        elif isinstance(content, bool):
            arrival.content = Content.RIGHT if content else Content.WRONG
        elif isinstance(content, Content):
            arrival.content = content
        else:
            self._mistaken(arrival, f"returned {content!r} instead of True, False or a Content")

    def _mistaken(self, arrival: Arrival, text: str) -> None:
        arrival.content = Content.WRONG
        arrival.outcome = Outcome.SKIPPED if arrival.started_ns < 0 else arrival.outcome
        self.mistakes += 1
        self.mistake = self.mistake or f"journey {arrival.journey}: {text}"

    def _end(self, arrival: Arrival) -> None:
        if self._flying.pop(arrival.index, None) is None:
            return
        if self._record is not None:
            response = arrival.response
            self._record.append(
                [
                    arrival.index,
                    arrival.journey,
                    arrival.intended_ns,
                    arrival.started_ns,
                    arrival.finished_ns,
                    arrival.outcome,
                    response.status if response else 0,
                    arrival.content,
                    response.level if response else 0,
                    response.header(b"x-release") if response else "",
                    response.header(b"x-region") if response else "",
                    response.header(b"x-instance") if response else "",
                ]
            )
        self.recorded += 1
        if self._on_end is not None:
            self._on_end(arrival)


def _place(error: BaseException) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else "?"
