"""Every load engine keeps one promise: the declared schedule, each arrival once, and a record that tells the truth.

The real ones (Locust and the beacon as child processes) and their fakes run through the same tests.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from harness.journal.layout import RunFolder
from harness.load.engine import beacon_engine, collect, locust_engine, rows
from harness.load.schedule import arrivals, count, journeys
from harness.model.load import Beacon, Load, Poisson
from harness.model.records import REQUEST_COLUMNS, Outcome
from harness.ports import LoadEngine
from harness.testing.authority import issue
from harness.testing.fake_edge import serving
from harness.testing.fake_load import FakeLoad, fake_beacon

LOCUSTFILE = Path(__file__).parents[2] / "loadtests" / "sophia.py"
MIX = {"chat": 40, "memory-write": 15, "memory-read": 20, "search": 25}
LOAD = Load(locustfile=str(LOCUSTFILE), arrivals=Poisson(kind="poisson", rate=60), mix=MIX, timeout=2.0, drain=3.0)
BEACON = Beacon(path="/api/ping")
SEED = 11


@dataclass(frozen=True)
class Case:
    """An engine, the stream it writes, and the schedule it has to keep."""

    engine: LoadEngine
    folder: RunFolder
    stream: str

    def expected(self, seconds: float) -> list[int]:
        if self.stream == "beacon":
            return [index * 20_000_000 for index in range(round(seconds / BEACON.every) + 9) if index * 0.02 < seconds]
        return [round(offset * 1e9) for offset in arrivals(LOAD.arrivals, SEED, seconds)]


def make(kind: str, folder: RunFolder, url: str, duration_s: float | None = None) -> Case:
    match kind:
        case "locust":
            engine = locust_engine(folder, LOAD, url, seed=SEED, duration_s=duration_s)
        case "fake":
            engine = FakeLoad(folder, LOAD, seed=SEED, duration_s=duration_s)
        case "beacon":
            engine = beacon_engine(folder, BEACON, url)
        case "fake-beacon":
            engine = fake_beacon(folder, BEACON)
    return Case(engine, folder, "beacon" if "beacon" in kind else "requests")


@pytest.fixture(scope="module")
def edge():
    with serving() as (url, _):
        yield url


@pytest.fixture(scope="module")
def secure_edge(tmp_path_factory):
    """(URL, the certificate to trust)"""
    made = issue(tmp_path_factory.mktemp("tls"))
    with serving(tls=made.server()) as (url, _):
        yield url, str(made.certificate)


@pytest.fixture
def folder(tmp_path):
    return RunFolder(tmp_path / "run-7")


@pytest.fixture(params=["locust", "locust by https", "fake", "beacon", "beacon by https", "fake-beacon"])
def case(request, folder, edge, secure_edge, monkeypatch):
    kind, _, by = request.param.partition(" by ")
    secure_url, certificate = secure_edge
    monkeypatch.setenv("SSL_CERT_FILE", certificate)
    made = make(kind, folder, secure_url if by else edge)
    yield made
    made.engine.stop()


def wait_for(condition, seconds=20.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def test_an_engine_keeps_its_promise(case):
    engine, folder = case.engine, case.folder
    assert isinstance(rows(folder, case.stream), pa.Table)
    assert rows(folder, case.stream).num_rows == 0
    assert engine.origin_ns() is None
    assert not engine.poll().alive

    engine.start()
    wait_for(lambda: engine.origin_ns() is not None and engine.poll().recorded > 30)
    assert engine.poll().alive
    assert engine.stopped_ns() is None
    wait_for(lambda: engine.poll().alive and rows(folder, case.stream).num_rows > 40)  # readable while it grows

    state = engine.stop()
    assert (state.alive, state.exit_code, state.problem) == (False, 0, "")
    assert state.scheduled == state.recorded
    assert engine.stop() == state
    assert not engine.poll().alive

    table = rows(folder, case.stream)
    assert table.column_names == list(REQUEST_COLUMNS)
    found = sorted(table.to_pylist(), key=lambda row: row["arrival"])
    assert [row["arrival"] for row in found] == list(range(len(found)))
    assert len(found) == state.recorded
    origin = engine.origin_ns()
    expected = case.expected((engine.stopped_ns() - origin) / 1e9)
    assert [row["intended_ns"] - origin for row in found] == expected
    assert {row["outcome"] for row in found} == {Outcome.ANSWERED}
    assert {row["release"] for row in found} == {"1.0.0"}
    if case.stream == "requests":
        pick = journeys(LOAD.mix, SEED)
        assert [row["journey"] for row in found] == [pick(index) for index in range(len(found))]
        assert len(found) == count(LOAD.arrivals, SEED, (engine.stopped_ns() - origin) / 1e9)
        writes = [row for row in found if row["journey"] == "memory-write"]
        ledger = rows(folder, "ledger").to_pylist()
        assert {row["sent_ns"] for row in ledger} >= {row["started_ns"] for row in writes}
        assert all(row["acknowledged_ns"] >= row["sent_ns"] for row in ledger)
        assert rows(folder, "generator").num_rows > 0

    problems = collect(folder)
    written = {file.stem for file in folder.evidence.iterdir()}
    assert written == ({"beacon"} if case.stream == "beacon" else {"requests", "generator", "ledger"})
    assert len(problems) == 4 - len(written)  # each stream that is not there is told
    assert pq.read_table(folder.table(case.stream)).num_rows == len(found)


@pytest.mark.parametrize("kind", ["locust", "fake"])
def test_a_schedule_with_an_end_ends_by_itself(kind, folder, edge):
    case = make(kind, folder, edge, duration_s=0.5)
    case.engine.start()
    wait_for(lambda: case.engine.origin_ns() is not None and not case.engine.poll().alive)
    state = case.engine.stop()
    assert (state.exit_code, state.problem) == (0, "")
    assert state.recorded == count(LOAD.arrivals, SEED, 0.5)
    assert case.engine.stopped_ns() - case.engine.origin_ns() == 500_000_000
