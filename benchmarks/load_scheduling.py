"""How late do arrivals start? Scheduling error at 1000 … 5000 arrivals per second on one core.

    python benchmarks/load_scheduling.py [--rates 1000,2000,3000,5000] [--seconds 8]

Each rate stands beside the machine's own floor, taken just before: a bare loop that sleeps on the same kind of timer at
the same rate and does nothing else. What the floor shows is the machine's (other work, the hypervisor), not ours. On a
machine that is shared, the seconds in which the generator hardly waited for a core stand apart: less than 5 ms and
10 µs for each arrival, which is what waking up costs by itself.
"""

from __future__ import annotations

import argparse
import select
import time

import numpy as np
from load_common import lean_load, ms, run_open_loop, server

from harness.load.timerfd import TimerFd


def floor(rate: float, seconds: float) -> np.ndarray:
    """Lateness in ns of a process that only wakes up."""
    timer, poll, late = TimerFd(), select.epoll(), []
    poll.register(timer.fd, select.EPOLLIN)
    origin, step = time.monotonic_ns() + 10_000_000, 1e9 / rate
    for index in range(int(rate * seconds)):
        due = origin + int(index * step)
        if due > time.monotonic_ns():
            timer.set(due)
            poll.poll()
        late.append(time.monotonic_ns() - due)
    poll.close()
    timer.close()
    return np.array(late)


def quiet(rate: float, requests: dict[str, np.ndarray], generator: dict[str, np.ndarray]) -> tuple[int, np.ndarray]:
    """(number of undisturbed seconds, lateness in ns of what was intended in them)."""
    ends, waited = generator["at_ns"], generator["run_delay_ms"]
    second = np.searchsorted(ends, requests["intended_ns"])
    undisturbed = np.flatnonzero(waited < 5 + rate * 0.01)
    inside = np.isin(second, undisturbed[undisturbed > 0])  # the first second holds the start-up
    return len(undisturbed[undisturbed > 0]), (requests["started_ns"] - requests["intended_ns"])[inside]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rates", default="1000,2000,3000,5000")
    parser.add_argument("--seconds", type=float, default=8.0)
    options = parser.parse_args()
    print("start lateness, ms      all seconds      undisturbed seconds            bare timer    requests per    CPU")
    print("   rate/s     p50    p99  p99.9    (s)    p50    p99  p99.9      p50    p99  p99.9      CPU-second")
    with server("lean.py") as url:
        for rate in map(float, options.rates.split(",")):
            bare = floor(rate, min(options.seconds, 4.0))
            found = run_open_loop(url, lean_load(rate), options.seconds)
            requests, generator = found["requests"], found["generator"]
            lateness = requests["started_ns"] - requests["intended_ns"]
            seconds, alone = quiet(rate, requests, generator)
            spent = np.diff(generator["at_ns"]) / 1e9 * generator["cpu"][1:]
            per_cpu_second = np.diff(generator["recorded"]).sum() / spent.sum()
            print(
                f"{rate:9.0f}  {row(lateness)}   ({seconds:2}) {row(alone)}   {row(bare)}     {per_cpu_second:11.0f}   "
                f"{np.mean(generator['cpu'][1:-1]):4.2f}"
            )


def row(late: np.ndarray) -> str:
    return " ".join(f"{value:6.3f}" for value in ms(late, 0.5, 0.99, 0.999)) if len(late) else "     –      –      –"


if __name__ == "__main__":
    main()
