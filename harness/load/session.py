"""One load from its order to its closed record. Knows nothing of Locust; runs in any gevent greenlet."""

from __future__ import annotations

import gc
import hashlib
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from time import monotonic_ns

from harness.errors import BadInput
from harness.load.client import Client
from harness.load.order import Order, Status, status_file, stream, write_status
from harness.load.pacer import Arrival, Journey, Pacer
from harness.load.recorder import RecordError, Stream
from harness.load.schedule import arrivals, journeys
from harness.model.records import GENERATOR_COLUMNS, LEDGER_COLUMNS, REQUEST_COLUMNS

FLUSH_S = 0.25
LEAD_S = 0.1


class Session:
    """Client, streams and pacer of one order. Without a record folder nothing is written."""

    def __init__(self, order: Order) -> None:
        self.order = order
        self._folder = Path(order.record) if order.record else None
        if self._folder:
            self._folder.mkdir(parents=True, exist_ok=True)
        self._requests = self._stream("requests", REQUEST_COLUMNS)
        self._generator = self._stream("generator", GENERATOR_COLUMNS)
        self._ledger = self._stream("ledger", LEDGER_COLUMNS)
        self.client = Client(order.url, timeout_s=order.load.timeout, keep=order.load.connections == "kept")
        self.pacer: Pacer | None = None

    def aside(self) -> Arrival:
        """A request beside the schedule: sent like an arrival's, never judged."""
        return Arrival(self.client, self.order.seed, -1, "aside", monotonic_ns())

    def remember(self, key: str, text: str | None, arrival: Arrival) -> None:
        """Writes a memory, or (None) its deletion, down in the ledger: sent, and acknowledged by 200 or 201."""
        response = arrival.response
        done = response is not None and response.status in (200, 201)
        if self._ledger is not None and arrival.started_ns >= 0:
            digest = "" if text is None else hashlib.sha256(text.encode()).hexdigest()
            region = response.header(b"x-region") if response else ""
            acknowledged = arrival.finished_ns if done else -1
            operation = "delete" if text is None else "write"
            self._ledger.append([key, digest, arrival.started_ns, acknowledged, region, operation])

    def start(self, known: Mapping[str, Journey], on_end: Callable[[Arrival], None] | None = None) -> None:
        """Fixes the origin, announces it and begins. Raises BadInput when the mix names an unknown journey."""
        order, load = self.order, self.order.load
        unknown = sorted(set(load.mix) - set(known))
        if unknown:
            fix = f"known journeys: {', '.join(sorted(known))}"
            raise BadInput(f"no journey {', '.join(unknown)} in {load.locustfile}", key="load.mix", fix=fix)
        duration_s = math.inf if order.duration_s is None else order.duration_s
        self.pacer = Pacer(
            self.client,
            arrivals(load.arrivals, order.seed, duration_s),
            journeys(load.mix, order.seed),
            known,
            self._requests,
            duration_s=duration_s,
            seed=order.seed,
            max_in_flight=load.max_in_flight,
            on_end=on_end,
        )
        gc.collect()
        gc.freeze()  # what the imports left is looked at by no later collection
        origin = monotonic_ns() + int(LEAD_S * 1e9)
        self._tell(Status(origin_ns=origin))
        self.pacer.start(origin)

    def stop(self) -> None:
        """Ends the schedule early; `watch` then drains and returns. May be called from anywhere on the loop."""
        if self.pacer:
            self.pacer.exhausted.set()

    def watch(self) -> str:
        """Keeps the record until the schedule ends; then drains and closes it. Returns what went wrong, "" for nothing.

        Once a second a generator row is written: was the generator late, or the server slow?
        """
        assert self.pacer is not None
        problem = ""
        health = Health(self.pacer)
        try:
            while not self.pacer.exhausted.wait(FLUSH_S):
                if health.due():
                    self._beat(health)
                self._flush()
        except RecordError as error:
            problem = str(error)
        self.pacer.stop()
        self.pacer.drain(self.order.load.drain)
        self.client.close()
        try:
            self._beat(health, problem=problem)
            for kept in self._streams():
                kept.close()
            self._tell(health.status.model_copy(update={"done": True}))
        except RecordError as error:
            problem = problem or str(error)
        return problem

    def fail(self, problem: str) -> None:
        """Tells a problem that kept the load from starting."""
        self._tell(Status(problem=problem, done=True))

    def _beat(self, health: Health, problem: str = "") -> None:
        row = health.measure(problem)
        if self._generator:
            self._generator.append(row)
        self._tell(health.status)

    def _streams(self) -> list[Stream]:
        return [kept for kept in (self._requests, self._generator, self._ledger) if kept]

    def _flush(self) -> None:
        for kept in self._streams():
            kept.flush()

    def _tell(self, status: Status) -> None:
        if self._folder:
            try:
                write_status(status_file(self._folder, "load"), status)
            except OSError as error:
                raise RecordError(f"cannot write the load's status in {self._folder}: {error.strerror}") from error

    def _stream(self, name: str, columns: Mapping[str, str]) -> Stream | None:
        return Stream(stream(self._folder, name), columns) if self._folder else None


class Health:
    """How the generator does, by the second: start lateness, CPU, and the time it was ready to run and had no core.

    No single one tells a late generator from a slow server; see docs/reference/request-record.md.
    """

    def __init__(self, pacer: Pacer) -> None:
        self._pacer = pacer
        self._at, self._cpu, self._waited = monotonic_ns(), time.process_time(), run_delay_ns()
        self.status = Status()

    def due(self) -> bool:
        return monotonic_ns() - self._at >= 1_000_000_000

    def measure(self, problem: str = "") -> list[float]:
        """The row of GENERATOR_COLUMNS since the last one; `status` says the same."""
        pacer, now, cpu, waited = self._pacer, monotonic_ns(), time.process_time(), run_delay_ns()
        seconds = max((now - self._at) / 1e9, 1e-9)
        share, delay = (cpu - self._cpu) / seconds, (waited - self._waited) / 1e6 / seconds
        self._at, self._cpu, self._waited = now, cpu, waited
        self.status = Status(
            origin_ns=pacer.origin_ns,
            until_ns=pacer.until_ns,
            scheduled=pacer.scheduled,
            recorded=pacer.recorded,
            in_flight=pacer.in_flight,
            dropped=pacer.dropped,
            late_p99_ms=pacer.lateness_p99_ms(),
            cpu=share,
            mistakes=pacer.mistakes,
            mistake=pacer.mistake,
            problem=problem,
        )
        return [now, pacer.scheduled, pacer.recorded, self.status.late_p99_ms, share, delay, pacer.in_flight]


def run_delay_ns() -> int:
    """Nanoseconds that this thread was ready to run and had no core (Linux schedstat)."""
    with open("/proc/thread-self/schedstat") as file:  # noqa: PTH123
        return int(file.read().split()[1])
