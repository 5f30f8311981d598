"""Open-loop arrivals for Locust: a user class whose journeys start on a declared schedule, not at the users' pace.

A locustfile subclasses OpenLoopUser and marks its journeys; see loadtests/ and docs/guides/journeys.md. Started by the
harness, the child reads its order from the file named in HARNESS_LOAD; a plain `locust -f FILE --headless -u 1 -r 1
-t 20s --host URL` takes its settings from the environment (harness.load.order.plain_order).

Import it before anything that uses sockets: importing Locust patches the standard library for gevent.
"""

from __future__ import annotations

import gc
import hashlib
import logging
import math
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import gevent
from locust import User, task
from locust.exception import StopUser

from harness.errors import BadInput
from harness.load.client import Client, NoAnswer
from harness.load.http1 import Response
from harness.load.order import (
    RECORD_LOST,
    Order,
    Status,
    plain_order,
    read_order,
    status_file,
    stream,
    write_status,
)
from harness.load.pacer import Arrival, Pacer, mono_ns
from harness.load.recorder import RecordError, Stream
from harness.load.schedule import arrivals, journeys
from harness.model.records import GENERATOR_COLUMNS, LEDGER_COLUMNS, REQUEST_COLUMNS, Content, Outcome

__all__ = ["Arrival", "Content", "NoAnswer", "OpenLoopUser", "Response", "journey"]

log = logging.getLogger("harness.load")
Method = TypeVar("Method", bound=Callable[..., Any])
FLUSH_S = 0.25


def journey(name: str) -> Callable[[Method], Method]:
    """Marks a method of an OpenLoopUser as the journey of this name: `method(self, arrival) -> Content | bool`."""

    def mark(method: Method) -> Method:
        method.journey = name  # type: ignore[attr-defined]
        return method

    return mark


class OpenLoopUser(User):
    """One instance paces all arrivals (`-u 1`). `prepare` fetches what the journeys need before the first one."""

    abstract = True
    fixed_count = 1

    http: Client
    order: Order

    def prepare(self) -> None:
        """Called once before the origin of the schedule; its requests are not judged."""

    def aside(self) -> Arrival:
        """A request beside the schedule, for `prepare`: sent like an arrival's, never judged."""
        return Arrival(self.http, self.order.seed, -1, "aside", mono_ns())

    def remember(self, key: str, text: str, arrival: Arrival) -> None:
        """Writes a memory down in the ledger: sent, and acknowledged if its answer was 200 or 201."""
        response = arrival.response
        done = response is not None and response.status in (200, 201)
        if self._ledger is not None:
            self._ledger.append(
                [
                    key,
                    hashlib.sha256(text.encode()).hexdigest(),
                    arrival.started_ns,
                    arrival.finished_ns if done else -1,
                    response.header(b"x-region") if response else "",
                ]
            )

    def on_start(self) -> None:
        try:
            self._start()
        except (BadInput, NoAnswer) as error:
            self._give_up(str(error), 1)
            raise StopUser from error

    def _start(self) -> None:
        found = {m.journey: m for m in (getattr(self, n) for n in dir(type(self))) if hasattr(m, "journey")}
        told = os.environ.get("HARNESS_LOAD")
        self.order = order = read_order(Path(told)) if told else plain_order(self.host or "", found)
        unknown = sorted(set(order.load.mix) - set(found))
        if unknown:
            raise BadInput(f"no journey {', '.join(unknown)}", key="load.mix", fix=f"known: {', '.join(sorted(found))}")
        self.folder = Path(order.record) if order.record else None
        if self.folder:
            self.folder.mkdir(parents=True, exist_ok=True)
        self._requests = self._stream("requests", REQUEST_COLUMNS)
        self._generator = self._stream("generator", GENERATOR_COLUMNS)
        self._ledger = self._stream("ledger", LEDGER_COLUMNS)
        self.http = Client(order.url, timeout_s=order.load.timeout, keep=order.load.connections == "kept")
        self.prepare()
        self.pacer = Pacer(
            self.http,
            arrivals(order.load.arrivals, order.seed, math.inf if order.duration_s is None else order.duration_s),
            journeys(order.load.mix, order.seed),
            found,
            self._requests,
            seed=order.seed,
            max_in_flight=order.load.max_in_flight,
            on_end=self._fire,
        )
        self.environment.events.test_stopping.add_listener(lambda **_: self.pacer.exhausted.set())
        # Python's own handler would raise in the middle of whatever runs; the loop's lets the record stay whole.
        gevent.signal_handler(signal.SIGINT, self.pacer.exhausted.set)
        gc.collect()
        gc.freeze()  # what the imports left is looked at by no later collection
        origin = mono_ns() + 100_000_000
        self._tell(Status(origin_ns=origin))
        self.pacer.start(origin)

    @task
    def watch(self) -> None:
        """Flushes, and once a second writes down how the generator is: was it late, or the server slow?"""
        problem = ""
        try:
            self._watch()
        except RecordError as error:
            problem = str(error)
        self.pacer.stop()
        self.pacer.drain(self.order.load.drain)
        try:
            for kept in (self._requests, self._generator, self._ledger):
                if kept:
                    kept.close()
            self._tell(self._status(0.0, 0.0).model_copy(update={"done": True, "problem": problem}))
        except (RecordError, OSError) as error:
            problem = problem or str(error)
        if problem:
            self._give_up(problem, RECORD_LOST)
        for text in self.pacer.mistakes[:10]:
            log.error(text)
        gevent.spawn(self.environment.runner.quit)
        raise StopUser

    def _watch(self) -> None:
        at, cpu, waited = mono_ns(), time.process_time(), _run_delay_ns()
        while not self.pacer.exhausted.wait(FLUSH_S):
            now = mono_ns()
            if now - at >= 1_000_000_000:
                seconds = (now - at) / 1e9
                cpu_now, waited_now = time.process_time(), _run_delay_ns()
                late, share = self.pacer.lateness_p99_ms(), (cpu_now - cpu) / seconds
                pacer = self.pacer
                if self._generator:
                    delay = (waited_now - waited) / 1e6 / seconds
                    row = [now, pacer.scheduled, pacer.recorded, late, share, delay, pacer.in_flight]
                    self._generator.append(row)
                self._tell(self._status(late, share))
                at, cpu, waited = now, cpu_now, waited_now
            self._flush()

    def _flush(self) -> None:
        for kept in (self._requests, self._generator, self._ledger):
            if kept:
                kept.flush()

    def _status(self, late: float, cpu: float) -> Status:
        pacer = self.pacer
        return Status(
            origin_ns=pacer.origin_ns,
            until_ns=pacer.until_ns,
            scheduled=pacer.scheduled,
            recorded=pacer.recorded,
            in_flight=pacer.in_flight,
            late_p99_ms=late,
            cpu=cpu,
            mistakes=len(pacer.mistakes),
            mistake=pacer.mistakes[0] if pacer.mistakes else "",
        )

    def _tell(self, status: Status) -> None:
        if self.folder:
            try:
                write_status(status_file(self.folder, "load"), status)
            except OSError as error:
                raise RecordError(f"cannot write the load's status: {error}") from error

    def _give_up(self, problem: str, code: int) -> None:
        log.error(problem)
        self.environment.process_exit_code = code
        folder: Path | None = getattr(self, "folder", None)
        if folder:
            try:
                write_status(status_file(folder, "load"), Status(problem=problem, done=True))
            except OSError as error:
                log.error("cannot write the load's status: %s", error)
        gevent.spawn(self.environment.runner.quit)

    def _stream(self, name: str, columns: dict[str, str]) -> Stream | None:
        return Stream(stream(self.folder, name), columns) if self.folder else None

    def _fire(self, arrival: Arrival) -> None:
        """Locust's own statistics, with the latency counted from the intended start."""
        ended = arrival.finished_ns if arrival.finished_ns >= 0 else mono_ns()
        error = None
        if arrival.outcome is not Outcome.ANSWERED:
            error = NoAnswer(arrival.outcome, arrival.detail)
        elif arrival.response is not None and arrival.response.status >= 400:
            error = NoAnswer(arrival.outcome, f"status {arrival.response.status}")
        elif arrival.content is Content.WRONG:
            error = NoAnswer(arrival.outcome, "wrong content")
        self.environment.events.request.fire(
            request_type="journey",
            name=arrival.journey,
            response_time=(ended - arrival.intended_ns) / 1e6,
            response_length=len(arrival.response.body) if arrival.response else 0,
            exception=error,
            context={},
            start_time=time.time(),
            url=arrival.journey,
        )


def _run_delay_ns() -> int:
    """Nanoseconds that this thread was ready to run and had no core (Linux schedstat)."""
    with open("/proc/thread-self/schedstat") as file:  # noqa: PTH123
        return int(file.read().split()[1])
