"""How late do arrivals start? Scheduling error at 1000 … 5000 arrivals per second on one core.

    python benchmarks/load_scheduling.py [--rates 1000,2000,3000,5000] [--seconds 8]

Each rate stands beside the machine's own floor, taken just before: a bare loop that sleeps on the same kind of timer at
the same rate and does nothing else. What the floor shows is the machine's (other work, the hypervisor), not ours.
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rates", default="1000,2000,3000,5000")
    parser.add_argument("--seconds", type=float, default=8.0)
    options = parser.parse_args()
    print("start lateness, ms             open loop                 bare timer          per CPU-second")
    print("   rate/s     p50    p99  p99.9  waited      p50    p99  p99.9      requests    CPU")
    with server("lean.py") as url:
        for rate in map(float, options.rates.split(",")):
            bare = ms(floor(rate, min(options.seconds, 4.0)), 0.5, 0.99, 0.999)
            found = run_open_loop(url, lean_load(rate), options.seconds)
            requests, generator = found["requests"], found["generator"]
            late = ms(requests["started_ns"] - requests["intended_ns"], 0.5, 0.99, 0.999)
            spent = np.diff(generator["at_ns"]) / 1e9 * generator["cpu"][1:]
            done = np.diff(generator["recorded"])
            print(
                f"{rate:9.0f}  {late[0]:6.3f} {late[1]:6.3f} {late[2]:6.3f}  {np.mean(generator['run_delay_ms']):4.0f} "
                f"ms/s {bare[0]:6.3f} {bare[1]:6.3f} {bare[2]:6.3f}   {done.sum() / spent.sum():11.0f}   "
                f"{np.mean(generator['cpu'][1:-1]):4.2f}"
            )


if __name__ == "__main__":
    main()
