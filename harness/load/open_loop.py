"""Open-loop arrivals for Locust: a user class whose journeys start on a declared schedule, not at the users' pace.

A locustfile subclasses OpenLoopUser and marks its journeys; see loadtests/ and docs/guides/journeys.md. Started by the
harness, the child reads its order from the file named in HARNESS_LOAD; a plain `locust -f FILE --headless -u 1 -r 1
-t 20s --host URL` takes its settings from the environment (harness.load.order.plain_order).

Import it before anything that uses sockets: importing Locust patches the standard library for gevent.
"""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from time import monotonic_ns
from typing import Any, TypeVar

import gevent
from locust import User, task
from locust.exception import StopUser

from harness.errors import HarnessError
from harness.load.client import Client, NoAnswer
from harness.load.http1 import Response
from harness.load.order import RECORD_LOST, Order, plain_order, read_order
from harness.load.pacer import Arrival
from harness.load.recorder import RecordError
from harness.load.session import Session
from harness.model.records import Content, Outcome

__all__ = ["Arrival", "Content", "NoAnswer", "OpenLoopUser", "Response", "journey"]

log = logging.getLogger("harness.load")
Method = TypeVar("Method", bound=Callable[..., Any])


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
    session: Session

    def prepare(self) -> None:
        """Called once before the origin of the schedule; its requests (`self.http`, `self.aside()`) are not judged."""

    def aside(self) -> Arrival:
        """A request beside the schedule: sent like an arrival's, never judged."""
        return self.session.aside()

    def remember(self, key: str, text: str | None, arrival: Arrival) -> None:
        """Writes a memory, or (None) its deletion, down in the ledger: sent, and acknowledged by 200 or 201."""
        self.session.remember(key, text, arrival)

    def on_start(self) -> None:
        try:
            self._start()
        except Exception as error:  # whatever it is: Locust would go on without a user, and without an end
            told = str(error) if isinstance(error, HarnessError) else f"{type(error).__name__}: {error}"
            self._end(f"cannot start: {told}", RECORD_LOST if isinstance(error, RecordError) else 1)
            if hasattr(self, "session"):
                self.session.fail(f"cannot start: {told}")
            raise StopUser from error

    def _start(self) -> None:
        found = {method.journey: method for method in self._methods() if hasattr(method, "journey")}
        told = os.environ.get("HARNESS_LOAD")
        self.order = read_order(Path(told)) if told else plain_order(self.host or "", found)
        self.session = Session(self.order)
        self.http = self.session.client
        self.prepare()
        self.environment.events.test_stopping.add_listener(lambda **_: self.session.stop())
        # Locust's default, no time at all, would end the user in the middle of its record.
        self.environment.stop_timeout = max(self.environment.stop_timeout or 0, self.order.load.drain + 2)
        # Python's own handler would raise in the middle of whatever runs; the loop's lets the record stay whole.
        gevent.signal_handler(signal.SIGINT, self.session.stop)
        self.session.start(found, on_end=self._fire)

    @task
    def watch(self) -> None:
        """Locust's only task: lasts as long as the schedule."""
        problem = self.session.watch()
        pacer = self.session.pacer
        if pacer and pacer.mistakes:
            log.error("%d mistakes in journeys, the first: %s", pacer.mistakes, pacer.mistake)
        self._end(problem, RECORD_LOST if problem else None)
        raise StopUser

    def _end(self, problem: str, code: int | None) -> None:
        if problem:
            log.error(problem)
        self.environment.process_exit_code = code
        gevent.spawn(self.environment.runner.quit)

    def _methods(self) -> list[Any]:
        return [getattr(self, name) for name in dir(type(self))]

    def _fire(self, arrival: Arrival) -> None:
        """Locust's own statistics, with the latency counted from the intended start."""
        ended = arrival.finished_ns if arrival.finished_ns >= 0 else monotonic_ns()
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
