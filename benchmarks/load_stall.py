"""P95 under a stalling server (2 s every 20 s at 200/s): the open loop beside stock Locust, both against the truth.

    python benchmarks/load_stall.py [--seconds 40]

The truth of an open workload is the server's own ledger of the open run: when each request came and when it was
answered. The same server, with the same stalls, then serves stock Locust.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from load_common import HERE, K6, lean_load, ms, run_open_loop, server, stock_argv

STALL, EVERY, RATE = 2.0, 20.0, 200.0


def from_ledger(file: Path) -> float:
    times = np.frombuffer(file.read_bytes(), "<i8").reshape(-1, 2)
    return ms(times[:, 1] - times[:, 0], 0.95)[0]


def stock_p95(url: str, seconds: float, users: int) -> float:
    env = {"STOCK_USERS": str(users), "STOCK_RATE": str(RATE)}
    done = subprocess.run(
        stock_argv(url, seconds, users), env=os.environ | env, capture_output=True, text=True, timeout=seconds + 60
    )
    [entry] = json.loads(done.stdout)
    left = math.ceil(0.95 * entry["num_requests"])
    for milliseconds, number in sorted((float(k), v) for k, v in entry["response_times"].items()):
        left -= number
        if left <= 0:
            return milliseconds
    return math.nan


def k6_p95(url: str, seconds: float) -> float:
    with tempfile.TemporaryDirectory() as folder:
        summary = Path(folder) / "summary.json"
        argv = [str(K6), "run", "--quiet", "--summary-export", str(summary), "-e", f"URL={url}", "-e", f"RATE={RATE:g}"]
        argv += ["-e", f"SECONDS={seconds:g}", "-e", "VUS=600", str(HERE / "journeys" / "lean.k6.js")]
        subprocess.run(argv, capture_output=True, timeout=seconds + 60, check=True)
        return float(json.loads(summary.read_text())["metrics"]["http_req_duration"]["p(95)"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--seconds", type=float, default=40.0)
    seconds = parser.parse_args().seconds
    ledger = Path(tempfile.mkdtemp()) / "ledger"
    options = ["--stall", str(STALL), "--every", str(EVERY), "--ledger", str(ledger)]
    with server("lean.py", *options) as url:
        found = run_open_loop(url, lean_load(RATE), seconds)["requests"]
    truth = from_ledger(ledger)
    measured = ms(found["finished_ns"] - found["intended_ns"], 0.95)[0]
    print(f"P95 with a stall of {STALL:g} s every {EVERY:g} s at {RATE:g}/s for {seconds:g} s")
    print(f"  {'truth (server ledger)':32} {truth:9.1f} ms")
    print(f"  {'open loop':32} {measured:9.1f} ms   {(measured / truth - 1):+8.2%}")
    for users in (10, 50):
        with server("lean.py", *options) as url:
            stock = stock_p95(url, seconds, users)
        print(f"  {f'stock Locust, {users} users':32} {stock:9.1f} ms   {(stock / truth - 1):+8.2%}")
    if K6:
        with server("lean.py", *options) as url:
            other = k6_p95(url, seconds)
        print(f"  {'k6, constant arrival rate':32} {other:9.1f} ms   {(other / truth - 1):+8.2%}")


if __name__ == "__main__":
    main()
