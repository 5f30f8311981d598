"""Requests per CPU-second of the generator: the open loop with full records, stock Locust, and k6 if it is there.

    python benchmarks/load_cost.py [--rate 3000] [--seconds 8]

All send the same light request to the same server at the same rate; start-up is left out for each of them.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from load_common import HERE, K6, lean_load, requests_per_cpu_second, server, stock_argv

from harness.load.order import Order


def open_loop(url: str, rate: float, seconds: float) -> float:
    with tempfile.TemporaryDirectory() as folder:
        order = Order(run_id="benchmark", url=url, seed=1, load=lean_load(rate, drain="1s"), record=folder)
        file = Path(folder) / "load.json"
        file.write_text(order.model_dump_json())
        argv = [sys.executable, "-m", "locust", "-f", str(HERE / "journeys" / "lean.py"), "--headless"]
        argv += ["-u", "1", "-r", "1", "--host", url]
        return requests_per_cpu_second(argv, {"HARNESS_LOAD": str(file)}, url, 4.0, seconds)


def stock(url: str, rate: float, seconds: float) -> float:
    env = {"STOCK_USERS": "100", "STOCK_RATE": str(rate)}
    return requests_per_cpu_second(stock_argv(url, seconds + 10, 100), env, url, 4.0, seconds)


def k6(url: str, rate: float, seconds: float) -> float:
    argv = [str(K6), "run", "--quiet", "-e", f"URL={url}", "-e", f"RATE={rate:g}", "-e", f"SECONDS={seconds + 20:g}"]
    return requests_per_cpu_second([*argv, str(HERE / "journeys" / "lean.k6.js")], {}, url, 6.0, seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rate", type=float, default=3000.0)
    parser.add_argument("--seconds", type=float, default=8.0)
    options = parser.parse_args()
    print(f"requests per CPU-second at {options.rate:g}/s, start-up left out")
    generators = [("open loop, full records", open_loop), ("stock Locust (FastHttpUser)", stock)]
    generators += [("k6, constant arrival rate", k6)] if K6 else []
    first = 0.0
    for name, run in generators:
        with server("lean.py") as url:
            figure = run(url, options.rate, options.seconds)
        first = first or figure
        print(f"  {name:30} {figure:9.0f}   {figure / first:5.2f} of the open loop")
    if not K6:
        print("  k6 is not on the PATH: go install go.k6.io/k6@v1.8.1")


if __name__ == "__main__":
    main()
