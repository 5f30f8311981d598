"""CPU time of the harness's own processes while it certifies, each as a share of one core over the load phase.

    python benchmarks/harness_cpu.py [scenarios/certify-quick.yaml] [--state local:FOLDER]

It starts `harness run` and looks at /proc twice a second. What a process used between its last look and its end is not
seen: at most half a second of each.
"""

from __future__ import annotations

import argparse
import bisect
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import psutil

from harness import children, proc
from harness.journal import log
from harness.journal.layout import RunFolder
from harness.model.events import ScheduleFixed

EVERY_S = 0.5
AIM = 0.03  # of one core, for the harness process itself
ROLES = ("harness", "watchdog", "chaos", "load", "beacon")
WORDS = {"harness.run.watchdog": "watchdog", "harness.load.beacon": "beacon", "locust": "load"}


@dataclass(frozen=True)
class Sample:
    """CPU seconds (user and system) that a process had used by a monotonic time."""

    role: str
    process: tuple[int, int]
    mono_ns: int
    cpu_s: float


def role_of(command: str) -> str:
    """Whose command line this is; what an experiment starts counts as chaos."""
    return next((role for word, role in WORDS.items() if word in command), "chaos")


def look(harness: int, folder: RunFolder | None) -> Iterable[Sample]:
    """A sample of the harness and of every process that carries the run's mark."""
    marked = proc.with_mark(children.MARK, children.run_id(folder)) if folder else []
    roles = {process.pid: role_of(proc.command(process.pid)) for process in marked} | {harness: "harness"}
    for pid, role in roles.items():
        identity = proc.identify(pid)
        try:
            times = psutil.Process(pid).cpu_times()
        except psutil.NoSuchProcess:
            continue
        if identity:
            yield Sample(role, (pid, identity.start_time), time.monotonic_ns(), times.user + times.system)


def shares(samples: Iterable[Sample], start_ns: int, end_ns: int) -> dict[str, float]:
    """CPU seconds per second of [start_ns, end_ns), by role.

    What a process had used at a time is interpolated between looks: nothing before the first, the last after it.
    """
    by_process: dict[tuple[str, tuple[int, int]], list[Sample]] = defaultdict(list)
    for sample in samples:
        by_process[sample.role, sample.process].append(sample)
    used: dict[str, float] = dict.fromkeys(ROLES, 0.0)
    for (role, _), seen in by_process.items():
        used[role] += used_by(seen, end_ns) - used_by(seen, start_ns)
    return {role: seconds / ((end_ns - start_ns) / 1e9) for role, seconds in used.items()}


def used_by(seen: list[Sample], at_ns: int) -> float:
    after = bisect.bisect_right([sample.mono_ns for sample in seen], at_ns)
    if after == 0:
        return 0.0
    if after == len(seen):
        return seen[-1].cpu_s
    one, other = seen[after - 1], seen[after]
    return one.cpu_s + (other.cpu_s - one.cpu_s) * (at_ns - one.mono_ns) / (other.mono_ns - one.mono_ns)


def run(scenario: str, options: list[str]) -> tuple[list[Sample], ScheduleFixed | None, int]:
    """(samples, the schedule that the load kept, exit code) of one run."""
    samples: list[Sample] = []
    with tempfile.TemporaryDirectory() as reports:
        argv = [sys.executable, "-m", "harness", "run", scenario, "--reports", reports, *options]
        child, folder = subprocess.Popen(argv), None
        try:
            while child.poll() is None:
                folder = folder or next(
                    (RunFolder(file.parent) for file in Path(reports).glob("*/journal.jsonl")), None
                )
                samples += look(child.pid, folder)
                time.sleep(EVERY_S)
        except KeyboardInterrupt:  # the terminal told the harness, too: it takes back what it did
            child.wait()
        events = log.read(folder.journal) if folder else ()
    return samples, next((event for event in events if isinstance(event, ScheduleFixed)), None), child.wait()


def main() -> int:
    parser = argparse.ArgumentParser(description="CPU time of the harness's own processes over the load phase.")
    parser.add_argument("scenario", nargs="?", default="scenarios/certify-quick.yaml")
    parser.add_argument("--state", help="a platform that is up; else one is deployed")
    options = parser.parse_args()
    samples, schedule, code = run(options.scenario, ["--state", options.state] if options.state else [])
    if schedule is None:
        print(f"the run had no load (exit code {code})", file=sys.stderr)
        return 1
    end_ns = schedule.origin_ns + round(schedule.duration_s * 1e9)
    found = shares(samples, schedule.origin_ns, end_ns)
    print(f"\nshare of one core over {schedule.duration_s:.1f} s of load (exit code of the run: {code})")
    for role in ROLES:
        aim = f"   aim: at most {AIM:.1%}" if role == "harness" else ""
        print(f"{role:10s} {found[role]:7.2%}{aim}")
    print(f"{'together':10s} {sum(found.values()):7.2%}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
