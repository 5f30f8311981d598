"""What the load benchmarks share: the server, the generators, and how they are measured."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from harness.journal.layout import RunFolder
from harness.load.engine import locust_engine, rows
from harness.model.load import Load

HERE = Path(__file__).parent
K6 = shutil.which("k6") or shutil.which("k6", path=str(Path.home() / "go" / "bin"))


@contextmanager
def server(program: str, *options: str) -> Iterator[str]:
    """A server of benchmarks/servers/ while it is needed: its URL. It ends when its standard input is closed."""
    argv = [sys.executable, str(HERE / "servers" / program), *options]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin and process.stdout
        try:
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
        finally:
            process.stdin.close()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


def lean_load(rate: float, **more: Any) -> Load:
    file = str(HERE / "journeys" / "lean.py")
    arrivals = {"kind": "constant", "rate": rate}
    return Load.model_validate({"locustfile": file, "arrivals": arrivals, "mix": {"lean": 1}, "timeout": "10s"} | more)


def run_open_loop(url: str, load: Load, seconds: float) -> dict[str, Any]:
    """Runs our engine for so long; the columns of its requests and generator rows as numpy arrays."""
    folder = RunFolder(Path(tempfile.mkdtemp()) / "run")
    engine = locust_engine(folder, load, url, seed=1, duration_s=seconds)
    try:
        engine.start()
        while engine.poll().alive:
            time.sleep(0.1)
        state = engine.stop()
        if state.problem:
            raise SystemExit(state.problem)
        tables = {name: rows(folder, name) for name in ("requests", "generator")}
        return {name: {c: t[c].to_numpy() for c in t.column_names} for name, t in tables.items()}
    finally:
        engine.stop()
        shutil.rmtree(folder.root.parent)


def stock_argv(url: str, seconds: float, users: int) -> list[str]:
    argv = [sys.executable, "-m", "locust", "-f", str(HERE / "journeys" / "stock.py"), "--headless", "--json"]
    return [*argv, "-u", str(users), "-r", str(users), "-t", f"{seconds:g}s", "-s", "5", "--host", url]


def requests_per_cpu_second(argv: Sequence[str], env: dict[str, str], url: str, warm_s: float, seconds: float) -> float:
    """Requests that the server answered per second of CPU that the generator used, once it has warmed up."""
    with subprocess.Popen(argv, env=os.environ | env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            time.sleep(warm_s)
            before = answered(url), cpu_seconds(process.pid)
            time.sleep(seconds)
            after = answered(url), cpu_seconds(process.pid)
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
    return (after[0] - before[0]) / (after[1] - before[1])


def answered(url: str) -> int:
    with urllib.request.urlopen(f"{url}/count", timeout=5) as response:
        return int(response.read())


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def ms(values: Any, *quantiles: float) -> list[float]:
    """Quantiles (nearest rank) of nanoseconds, in milliseconds."""
    ordered = np.sort(np.asarray(values)) / 1e6
    return [float(ordered[int(np.ceil(q * len(ordered))) - 1]) for q in quantiles]
