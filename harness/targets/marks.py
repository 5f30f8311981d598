"""Which process ran a local instance at a given time, as data: `PID:START:LOOKED`, times in clock ticks since boot."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping

from harness import proc
from harness.ports import Instance, Process

OBSERVER = "/proc, TCP and health checks"
NOBODY = "0:0:0"


def mark(process: Process | None) -> str:
    """The process, None when there was none, and the time of looking."""
    now = proc.ticks_now()
    return f"{process.pid}:{process.start_time}:{now}" if process else f"0:0:{now}"


def read(mark: str) -> tuple[Process, int]:
    """(the process that ran the instance, the time of looking)."""
    pid, start_time, looked = (int(part) for part in (mark or NOBODY).split(":"))
    return Process(pid, start_time), looked


def missing(instances: Iterable[Instance], marks: Collection[str]) -> Iterator[str]:
    """An objection for each marked instance that is not among these: of what is not there, nothing can be seen."""
    found = {instance.name for instance in instances}
    return (f"{name}: the platform has no such instance any more" for name in marks if name not in found)


def survivors(instances: Iterable[Instance], marks: Mapping[str, str]) -> Iterator[str]:
    """What still speaks for the old processes: that one runs, or that a port is served by somebody as old."""
    for instance in instances:
        old, looked = read(marks[instance.name])
        if proc.is_running(old):
            yield f"{instance.name}: process {old.pid} still runs"
        for name, port in instance.ports.items():
            if proc.accepts(instance.host, port):
                for holder in proc.listeners(port):
                    if holder.start_time <= looked:
                        yield f"{instance.name}: port {name} ({port}) is still served by process {holder.pid}"


def running(instances: Iterable[tuple[Instance, Process | None]]) -> Iterator[str]:
    """What runs or serves of these, each with the process that runs it now."""
    for instance, process in instances:
        if process:
            yield f"{instance.name}: has a new process"
        for name, port in instance.ports.items():
            if proc.accepts(instance.host, port):
                yield f"{instance.name}: port {name} ({port}) is served"


def replaced(
    instances: Iterable[tuple[Instance, Process | None]],
    marks: Mapping[str, str],
    unready: Collection[str],
    made: bool = True,
) -> Iterator[str]:
    """What keeps these from being back, each with the process that runs it now: the marked one only if not `made`."""
    for instance, process in instances:
        old, _ = read(marks[instance.name])
        if process is None:
            yield f"{instance.name}: no process"
        elif made and process == old:
            yield f"{instance.name}: still process {old.pid}"
        elif instance.name in unready:
            yield f"{instance.name}: not ready"
