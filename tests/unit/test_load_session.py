"""One load from its order to its closed record, without Locust."""

from __future__ import annotations

import contextlib
import resource

import gevent
import pytest

from harness.errors import BadInput
from harness.load.order import Order, plain_order, read_order, read_status, status_file, stream
from harness.load.recorder import RecordError, read
from harness.load.session import Session
from harness.model.load import Constant, Load
from harness.model.records import GENERATOR_COLUMNS, LEDGER_COLUMNS, Content
from harness.testing.fake_edge import Behaviour, serving


def order_of(url, record, *, rate=200.0, duration_s=0.3, mix=None, drain=1.0):
    load = Load(
        locustfile="x.py",
        arrivals=Constant(kind="constant", rate=rate),
        mix=mix or {"ping": 1},
        timeout=1.0,
        drain=drain,
    )
    return Order(run_id="run", url=url, seed=1, duration_s=duration_s, load=load, record=str(record))


def ping(arrival):
    return arrival.get("/api/ping").status == 200


def test_a_load_leaves_its_streams_and_says_that_it_is_done(tmp_path):
    with serving() as (url, _):
        session = Session(order_of(url, tmp_path / "work", duration_s=1.2))
        session.start({"ping": ping})
        assert session.watch() == ""
    status = read_status(status_file(tmp_path / "work", "load"))
    assert status is not None
    assert (status.done, status.problem, status.scheduled, status.recorded, status.in_flight) == (True, "", 240, 240, 0)
    assert status.until_ns - status.origin_ns == 1_200_000_000
    assert read(stream(tmp_path / "work", "requests")).table.num_rows == 240
    generator = read(stream(tmp_path / "work", "generator")).table
    assert generator.column_names == list(GENERATOR_COLUMNS)
    assert generator.num_rows == 2
    assert generator["recorded"].to_pylist()[-1] == 240
    assert all(0 < cpu < 2 for cpu in generator["cpu"].to_pylist())


def test_the_origin_is_announced_before_the_first_arrival(tmp_path):
    with serving() as (url, _):
        session = Session(order_of(url, tmp_path))
        session.start({"ping": ping})
        status = read_status(status_file(tmp_path, "load"))
        assert status is not None
        assert status.origin_ns == session.pacer.origin_ns
        session.watch()
    assert min(read(stream(tmp_path, "requests")).table["intended_ns"].to_pylist()) == status.origin_ns


def test_stop_ends_an_endless_schedule(tmp_path):
    with serving() as (url, _):
        session = Session(order_of(url, tmp_path, duration_s=None))
        session.start({"ping": ping})
        gevent.spawn_later(0.3, session.stop)
        assert session.watch() == ""
    status = read_status(status_file(tmp_path, "load"))
    assert status is not None
    assert 20 < status.recorded == status.scheduled


def test_memories_go_to_the_ledger_acknowledged_or_not(tmp_path):
    with serving() as (url, behaviour):
        session = Session(order_of(url, tmp_path))

        def write(arrival):
            if arrival.index == 30:
                behaviour.fail = 1.0
            try:
                arrival.post("/api/memory", {"key": f"k{arrival.index}", "text": "t"})
            finally:
                session.remember(f"k{arrival.index}", "t", arrival)
            return True

        session.start({"ping": write})
        session.watch()
    ledger = read(stream(tmp_path, "ledger")).table
    assert ledger.column_names == list(LEDGER_COLUMNS)
    rows = sorted(ledger.to_pylist(), key=lambda row: int(row["key"][1:]))
    assert [row["acknowledged_ns"] >= row["sent_ns"] > 0 for row in rows] == [True] * 30 + [False] * 30
    assert all(row["acknowledged_ns"] == -1 and row["sent_ns"] > 0 for row in rows[30:])
    assert {row["region"] for row in rows[:30]} == {"sjc"}
    assert {len(row["text_sha256"]) for row in rows} == {64}


def test_a_write_still_under_way_at_the_end_is_in_the_ledger_too(tmp_path):
    with serving(Behaviour(hang=True)) as (url, _):
        session = Session(order_of(url, tmp_path, duration_s=0.05, drain=0.05))

        def write(arrival):
            try:
                return bool(arrival.post("/api/memory", {"key": "k", "text": "t"}))
            finally:
                session.remember(f"k{arrival.index}", "t", arrival)

        session.start({"ping": write})
        session.watch()
    assert [row["acknowledged_ns"] for row in read(stream(tmp_path, "ledger")).table.to_pylist()] == [-1] * 10


def test_a_record_that_cannot_be_written_ends_the_load_with_a_reason(tmp_path):
    with serving() as (url, _):
        session = Session(order_of(url, tmp_path, rate=500.0, duration_s=20.0))
        session.start({"ping": ping})
        with file_size_limit(4000):
            problem = session.watch()
    assert "cannot write the record" in problem
    assert session.pacer.scheduled < 5000
    table = read(stream(tmp_path, "requests")).table
    assert set(table["content"].to_pylist()) == {Content.RIGHT}
    assert 50 < table.num_rows < 100


@contextlib.contextmanager
def file_size_limit(size):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_folder_that_is_gone_is_told(tmp_path):
    with serving() as (url, _):
        session = Session(order_of(url, tmp_path / "work"))
        for file in (tmp_path / "work").iterdir():
            file.unlink()
        (tmp_path / "work").rmdir()
        with pytest.raises(RecordError, match="status"):
            session.start({"ping": ping})


def test_without_a_folder_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with serving() as (url, _):
        session = Session(order_of(url, ""))
        session.start({"ping": ping})
        session.remember("k", "t", session.aside())
        assert session.watch() == ""
        assert session.pacer.recorded == 60
    assert list(tmp_path.iterdir()) == []


def test_a_journey_that_nobody_wrote_is_bad_input(tmp_path):
    with serving() as (url, _):
        session = Session(order_of(url, tmp_path, mix={"ping": 1, "pong": 1}))
        with pytest.raises(BadInput, match=r"no journey pong in x\.py\n  fix: known journeys: ping"):
            session.start({"ping": ping})


def test_a_start_that_failed_is_told(tmp_path):
    with serving() as (url, _):
        Session(order_of(url, tmp_path)).fail("no platform")
    status = read_status(status_file(tmp_path, "load"))
    assert status is not None
    assert (status.problem, status.done, status.origin_ns) == ("no platform", True, -1)


def test_an_order_survives_its_file(tmp_path):
    order = order_of("http://127.0.0.1:1", "")
    (tmp_path / "load.json").write_text(order.model_dump_json())
    assert read_order(tmp_path / "load.json") == order


@pytest.mark.parametrize("content", ["", "{}", '{"run_id": 1}', "\0"])
def test_a_broken_order_is_bad_input(tmp_path, content):
    (tmp_path / "load.json").write_text(content)
    with pytest.raises(BadInput, match=r"load\.json"):
        read_order(tmp_path / "load.json")


def test_a_plain_locust_takes_its_order_from_the_environment(monkeypatch):
    assert plain_order("http://h", ["a", "b"]).load.mix == {"a": 1, "b": 1}
    for name, value in {"RATE": "5", "KIND": "poisson", "MIX": "a=3,b=0.5", "SEED": "9", "CONNECTIONS": "new"}.items():
        monkeypatch.setenv(f"LOAD_{name}", value)
    order = plain_order("http://h", ["a", "b"])
    assert (order.seed, order.load.mix, order.load.connections) == (9, {"a": 3, "b": 0.5}, "new")
    assert (order.load.arrivals.kind, order.load.arrivals.rate, order.duration_s) == ("poisson", 5, None)


@pytest.mark.parametrize(("name", "value"), [("LOAD_RATE", "fast"), ("LOAD_MIX", "chat"), ("LOAD_TIMEOUT", "5")])
def test_a_wrong_environment_is_bad_input(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    with pytest.raises(BadInput, match="LOAD_"):
        plain_order("http://h", ["a"])
