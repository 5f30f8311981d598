"""What the harness itself costs, by process: CPU time, requests to an API server, programs run."""

from __future__ import annotations

import os
import resource
import threading
import time
from collections import Counter

from harness import proc
from harness.model.events import Effort

UNDER_LOAD = "under load"  # the stage that is told per minute

_lock = threading.Lock()
_calls: Counter[str] = Counter()
_programs: Counter[str] = Counter()


def called(method: str) -> None:
    """A request is being sent to the API server. One that is tried again counts once."""
    with _lock:
        _calls[method] += 1


def ran(program: str) -> None:
    """A program is being run, which may ask the API server itself; that is not seen here."""
    with _lock:
        _programs[program] += 1


class Meter:
    """What this process costs, read stage by stage; the first stage begins with the process."""

    def __init__(self, process: str) -> None:
        self._process = process
        self._at, self._cpu, self._children = _began_s(), 0.0, 0.0
        self._told: tuple[Counter[str], Counter[str]] = (Counter(), Counter())

    def read(self, stage: str = "") -> Effort:
        """What it cost since the last reading."""
        now, own, others = time.monotonic(), _cpu_s(resource.RUSAGE_SELF), _cpu_s(resource.RUSAGE_CHILDREN)
        with _lock:
            calls, programs = Counter(_calls), Counter(_programs)
        event = Effort(
            process=self._process,
            stage=stage,
            seconds=now - self._at,
            cpu_s=own - self._cpu,
            children_cpu_s=others - self._children,
            api_calls=dict(sorted((calls - self._told[0]).items())),
            programs=dict(sorted((programs - self._told[1]).items())),
        )
        self._at, self._cpu, self._children, self._told = now, own, others, (calls, programs)
        return event


def _began_s() -> float:
    """When this process was started, monotonic."""
    me = proc.identify(os.getpid())
    return time.monotonic() - ((proc.ticks_now() - me.start_time) / proc.TICKS_PER_S if me else 0.0)


def _cpu_s(who: int) -> float:
    used = resource.getrusage(who)
    return used.ru_utime + used.ru_stime
