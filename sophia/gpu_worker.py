"""A GPU worker: runs the swarm's fast path on its device, one task at a time. Without the device it refuses work.

Environment, besides the identity: DEVICES (region=path,…: a file that is there while the device is; a ${VARIABLE} in
it, such as the device that a kubelet's plugin chose, is replaced), GPU_TYPE, TASK_TIME (seconds of device time a task
takes).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections import deque
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from prometheus_client import Gauge, Histogram
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sophia import knowledge, metrics, settings
from sophia.models import UNKNOWN
from sophia.settings import Identity
from sophia.web import ApiError, answer, application, body_of, error, field, serve

PRESENT = Gauge("sophia_gpu_present", "1 while the device is there.", registry=metrics.REGISTRY)
UTILISATION = Gauge(
    "sophia_gpu_utilisation", "Share of the time with work in which the device computed.", registry=metrics.REGISTRY
)
QUEUED = Gauge("sophia_gpu_queue", "Tasks that wait.", registry=metrics.REGISTRY)
TASKS = Histogram(
    "sophia_gpu_task_seconds",
    "From the task's arrival to its result.",
    buckets=(0.005, 0.01, 0.05, 0.1, 0.5, 1, 10, 60, 300),
    registry=metrics.REGISTRY,
)
WINDOW = 5.0


class Utilisation:
    """Time computed and time with work, over the last WINDOW seconds."""

    def __init__(self) -> None:
        self._spans: deque[tuple[float, float, float]] = deque()

    def add(self, now: float, computed: float, active: float) -> None:
        """One task's time on the device, and its time from when it could have started."""
        self._spans.append((now, computed, active))

    def share(self, now: float) -> float:
        """Computed / active, 0 when there was no work."""
        while self._spans and self._spans[0][0] < now - WINDOW:
            self._spans.popleft()
        active = sum(span[2] for span in self._spans)
        return min(1.0, sum(span[1] for span in self._spans) / active) if active else 0.0


class Worker:
    """The device, its queue, its figures."""

    def __init__(self, identity: Identity) -> None:
        devices = dict(pair.split("=", 1) for pair in settings.words("DEVICES"))
        if identity.region not in devices:
            raise settings.SettingError(f"DEVICES has no device for region {identity.region!r}")
        self.device = Path(os.path.expandvars(devices[identity.region]))
        self.type = settings.text("GPU_TYPE", "GH200")
        self.task_time = settings.number("TASK_TIME", 0.004)
        self.turn = asyncio.Lock()
        self.waiting = 0
        self.utilisation = Utilisation()

    @property
    def present(self) -> bool:
        """Whether the device is there now."""
        there = self.device.exists()
        PRESENT.set(int(there))
        return there

    async def infer(self, request: Request) -> Response:
        """POST /infer {question} → {answer, device}; 503 without the device."""
        question = field(await body_of(request), "question")
        arrived = time.monotonic()
        self.waiting += 1
        QUEUED.set(self.waiting)
        try:
            async with self.turn:
                started = time.monotonic()
                if not self.present:
                    raise ApiError(503, "gpu_lost", "the device is not there")
                await asyncio.sleep(self.task_time)
                computed = time.monotonic()
                if not self.present:
                    raise ApiError(503, "gpu_lost", "the device went away during the task")
                found = knowledge.answer(question) or UNKNOWN
                now = time.monotonic()
                self.utilisation.add(now, computed - started, now - started)
        finally:
            self.waiting -= 1
            QUEUED.set(self.waiting)
        TASKS.observe(time.monotonic() - arrived)
        return answer({"answer": found, "device": self.type, "cost_usd": 0.0})

    async def health(self, _: Request) -> Response:
        """GET /health: unhealthy without the device."""
        if not self.present:
            return error(503, "gpu_lost", "the device is not there")
        return answer({"status": "ok", "device": self.type})

    async def watch(self) -> None:
        """Keeps the figures true while nobody asks."""
        while True:
            self.present  # noqa: B018 - sets the gauge
            UTILISATION.set(self.utilisation.share(time.monotonic()))
            await asyncio.sleep(0.25)


def build(identity: Identity) -> Any:
    """The ASGI application."""
    worker = Worker(identity)

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        watching = asyncio.create_task(worker.watch())
        try:
            yield
        finally:
            watching.cancel()

    routes = [Route("/infer", worker.infer, methods=["POST"]), Route("/health", worker.health)]
    return application(identity, routes, lifespan=lifespan)


if __name__ == "__main__":
    me = Identity.from_environment()
    serve(build(me), me)
