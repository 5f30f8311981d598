"""Every locustfile in loadtests/ is run as it is, by plain Locust and by the harness, and each journey must tell right
from wrong. A new locustfile or journey is picked up by itself."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.journal.layout import RunFolder
from harness.load.engine import locust_engine, rows
from harness.load.locustfile import journeys
from harness.load.order import read_status, status_file, stream
from harness.load.recorder import read
from harness.model.load import Constant, Load
from harness.model.records import Content, Outcome
from harness.testing.fake_edge import Behaviour, serving

LOADTESTS = Path(__file__).parents[2] / "loadtests"
FILES = sorted(LOADTESTS.glob("*.py"))


def journeys_of(file: Path) -> list[str]:
    return list(journeys(file))


def load_of(file: Path, **more) -> Load:
    mix = dict.fromkeys(journeys_of(file), 1.0)
    return Load(locustfile=str(file), arrivals=Constant(kind="constant", rate=100), mix=mix, timeout=1.0, **more)


def run(file: Path, folder: RunFolder, url: str, seconds: float = 1.5):
    engine = locust_engine(folder, load_of(file), url, seed=3, duration_s=seconds)
    engine.start()
    deadline = time.monotonic() + seconds + 20
    while engine.poll().alive and time.monotonic() < deadline:
        time.sleep(0.05)
    return engine.stop(), rows(folder, "requests").to_pylist()


def contents(found) -> dict[str, set[int]]:
    return {name: {row["content"] for row in found if row["journey"] == name} for name in {r["journey"] for r in found}}


@pytest.fixture(params=FILES, ids=lambda file: file.stem)
def file(request):
    return request.param


def test_every_journey_is_answered_and_right(file, tmp_path):
    with serving() as (url, _):
        state, found = run(file, RunFolder(tmp_path / "run"), url)
    assert state.problem == ""
    assert contents(found) == {name: {Content.RIGHT} for name in journeys_of(file)}
    assert {row["outcome"] for row in found} == {Outcome.ANSWERED}


def test_wrong_content_is_seen_by_every_journey_that_reads(file, tmp_path):
    with serving(Behaviour(wrong=1.0)) as (url, _):
        state, found = run(file, RunFolder(tmp_path / "run"), url)
    assert state.problem == ""
    seen = contents(found)
    assert Content.WRONG in set().union(*seen.values())
    wrong = {name for name, content in seen.items() if content == {Content.WRONG}}
    assert set(seen) - wrong <= {"memory-write", "memory-delete"}  # an acknowledgement carries nothing to be wrong


def test_failures_are_failures_not_wrong_content(file, tmp_path):
    with serving(Behaviour(fail=0.5)) as (url, behaviour):
        behaviour.fail = 0.0
        engine = locust_engine(RunFolder(tmp_path / "run"), load_of(file), url, seed=3, duration_s=3.0)
        engine.start()
        while engine.origin_ns() is None and engine.poll().alive:
            time.sleep(0.02)
        behaviour.fail = 1.0
        while engine.poll().alive:
            time.sleep(0.05)
        state = engine.stop()
    failed = [row for row in rows(RunFolder(tmp_path / "run"), "requests").to_pylist() if row["status"] == 503]
    assert state.problem == ""
    assert len(failed) > 100
    assert {row["content"] for row in failed} == {Content.UNCHECKED}


def test_nothing_found_without_vector_search_is_degraded_not_wrong(tmp_path):
    with serving(Behaviour(empty_search=True, level=3)) as (url, behaviour):
        _, degraded = run(LOADTESTS / "sophia.py", RunFolder(tmp_path / "degraded"), url)
        behaviour.level = 1
        _, claimed = run(LOADTESTS / "sophia.py", RunFolder(tmp_path / "claimed"), url)
    assert contents(degraded)["search"] == {Content.UNCHECKED}
    assert {row["level"] for row in degraded} == {3}
    assert contents(claimed)["search"] == {Content.WRONG}


def test_plain_locust_runs_it(file, tmp_path):
    """As its docstring says; with a record because one is asked for."""
    with serving() as (url, _):
        argv = [sys.executable, "-m", "locust", "-f", str(file), "--headless", "-u", "1", "-r", "1", "-t", "3s"]
        argv += ["--host", url, "--json"]
        env = os.environ | {"LOAD_RATE": "50", "LOAD_RECORD": str(tmp_path / "record")}
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60, env=env, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    statistics = {entry["name"]: entry for entry in json.loads(done.stdout)}
    assert set(statistics) == set(journeys_of(file))
    assert sum(entry["num_failures"] for entry in statistics.values()) == 0
    recorded = read(stream(tmp_path / "record", "requests")).table.num_rows
    assert recorded == sum(entry["num_requests"] for entry in statistics.values()) > 40
    assert read_status(status_file(tmp_path / "record", "load")).done


def test_no_platform_ends_the_load_with_a_reason(file, tmp_path):
    state, found = run(file, RunFolder(tmp_path / "run"), "http://127.0.0.1:9")
    assert "cannot start" in state.problem
    assert "REFUSED" in state.problem
    assert found == []


def test_a_killed_locust_leaves_its_record_and_is_told(tmp_path):
    folder = RunFolder(tmp_path / "run")
    with serving() as (url, _):
        engine = locust_engine(folder, load_of(LOADTESTS / "sophia.py"), url, seed=3)
        engine.start()
        deadline = time.monotonic() + 30
        while engine.poll().recorded < 100 and time.monotonic() < deadline:
            time.sleep(0.02)
        killed_ns = time.monotonic_ns()
        os.kill(engine.pid, signal.SIGKILL)
        state = engine.stop()
    assert (state.alive, state.exit_code) == (False, -signal.SIGKILL)
    assert "was killed by signal 9" in state.problem
    assert engine.stopped_ns() is None
    found = rows(folder, "requests").to_pylist()
    assert killed_ns - max(row["finished_ns"] for row in found) < 2_000_000_000  # 0.25 s on a machine at ease
    assert sorted(row["arrival"] for row in found) == list(range(len(found)))


def test_a_frozen_generator_is_late_and_says_so(tmp_path):
    """The core is taken away for a while (SIGSTOP): the server was not slow, and the record shows it."""
    folder = RunFolder(tmp_path / "run")
    with serving() as (url, _):
        engine = locust_engine(folder, load_of(LOADTESTS / "sophia.py"), url, seed=3)
        engine.start()
        deadline = time.monotonic() + 30
        while engine.poll().recorded < 50 and time.monotonic() < deadline:
            time.sleep(0.02)
        os.kill(engine.pid, signal.SIGSTOP)
        time.sleep(0.8)
        os.kill(engine.pid, signal.SIGCONT)
        time.sleep(1.2)
        engine.stop()
    late = [row["late_p99_ms"] for row in rows(folder, "generator").to_pylist()]
    assert max(late) > 500
    service = [row["finished_ns"] - row["started_ns"] for row in rows(folder, "requests").to_pylist()]
    assert sorted(service)[len(service) // 2] < 500_000_000
