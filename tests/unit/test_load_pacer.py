"""The open loop itself: arrivals start when they are due, and each ends as exactly one row."""

from __future__ import annotations

import contextlib
import itertools
import math
import time

import gevent
import pytest

from harness.load.client import Client, NoAnswer
from harness.load.pacer import Pacer
from harness.load.recorder import Stream, read
from harness.load.schedule import arrivals
from harness.model.load import Constant
from harness.model.records import REQUEST_COLUMNS, Content, Outcome
from harness.testing.fake_edge import Behaviour, serving


def ping(arrival):
    return arrival.get("/api/ping").status == 200


@contextlib.contextmanager
def pacing(tmp_path, how=None, journey=ping, *, rate=200.0, duration_s=0.25, max_in_flight=100, timeout_s=1.0):
    """(pacer that has started, function that ends it and returns its rows)."""
    with serving(how or Behaviour()) as (url, _):
        client = Client(url, timeout_s=timeout_s)
        stream = Stream(tmp_path / "requests.rows", REQUEST_COLUMNS)
        offsets = arrivals(Constant(kind="constant", rate=rate), 1, duration_s)
        pacer = Pacer(
            client,
            offsets,
            lambda index: "journey",
            {"journey": journey},
            stream,
            seed=1,
            max_in_flight=max_in_flight,
            duration_s=duration_s,
        )

        def rows(drain_s=2.0, wait_s=2.0):
            pacer.exhausted.wait(wait_s)
            pacer.stop()
            pacer.drain(drain_s)
            stream.close()
            return sorted(read(tmp_path / "requests.rows").table.to_pylist(), key=lambda row: row["arrival"])

        pacer.start(time.monotonic_ns() + 20_000_000)
        try:
            yield pacer, rows
        finally:
            pacer.stop()
            pacer.drain(0.0)
            client.close()


def test_every_arrival_of_the_schedule_is_a_row_at_its_time(tmp_path):
    with pacing(tmp_path) as (pacer, rows):
        found = rows()
        origin = pacer.origin_ns
        assert pacer.until_ns == origin + 250_000_000
    assert [row["arrival"] for row in found] == list(range(50))
    assert [row["intended_ns"] - origin for row in found] == [index * 5_000_000 for index in range(50)]
    for row in found:
        assert row["intended_ns"] <= row["started_ns"] <= row["finished_ns"]
        assert (row["outcome"], row["status"], row["content"], row["level"]) == (0, 200, Content.RIGHT, 1)
        assert (row["release"], row["region"], row["instance"]) == ("1.0.0", "sjc", "edge-1")


def test_a_slow_server_holds_no_arrival_back(tmp_path):
    with pacing(tmp_path, Behaviour(delay_s=1.0), timeout_s=5.0) as (_, rows):
        found = rows()
    assert len(found) == 50
    assert max(row["started_ns"] for row in found) < min(row["finished_ns"] for row in found)


def test_a_blocked_generator_shows_its_lateness_and_loses_nothing(tmp_path):
    with pacing(tmp_path, duration_s=0.5) as (pacer, rows):
        gevent.sleep(0.1)
        time.sleep(0.3)  # not gevent's: nothing runs meanwhile, as if the core had been taken away
        gevent.sleep(0)
        assert pacer.lateness_p99_ms() > 200
        found = rows()
    assert [row["arrival"] for row in found] == list(range(100))
    assert max(row["started_ns"] - row["intended_ns"] for row in found) > 200_000_000


def test_an_arrival_overdue_right_now_counts_as_late(tmp_path):
    with pacing(tmp_path, duration_s=5.0) as (pacer, _):
        gevent.sleep(0.05)
        pacer.lateness_p99_ms()
        time.sleep(0.2)
        assert pacer.lateness_p99_ms() > 100


def test_above_the_maximum_in_flight_arrivals_are_dropped_and_recorded(tmp_path):
    with pacing(tmp_path, Behaviour(hang=True), max_in_flight=10, timeout_s=5.0) as (pacer, rows):
        found = rows(drain_s=0.05)
        assert (pacer.dropped, pacer.scheduled, pacer.recorded) == (40, 50, 50)
    by_outcome = [row["outcome"] for row in found]
    assert by_outcome == [Outcome.UNFINISHED] * 10 + [Outcome.DROPPED] * 40
    assert all(row["started_ns"] == -1 and row["finished_ns"] == -1 for row in found[10:])
    assert all(row["started_ns"] > 0 and row["finished_ns"] == -1 for row in found[:10])


def test_time_outs_are_rows(tmp_path):
    with pacing(tmp_path, Behaviour(hang=True), duration_s=0.05, timeout_s=0.1) as (_, rows):
        found = rows()
    assert [row["outcome"] for row in found] == [Outcome.TIMEOUT] * 10
    assert all(row["finished_ns"] - row["started_ns"] >= 100_000_000 for row in found)


@pytest.mark.parametrize(
    ("journey", "outcome", "content"),
    [
        (lambda arrival: bool(arrival.get("/api/ping")), Outcome.ANSWERED, Content.RIGHT),
        (lambda arrival: not arrival.get("/api/ping"), Outcome.ANSWERED, Content.WRONG),
        (lambda arrival: arrival.get("/api/ping") and Content.UNCHECKED, Outcome.ANSWERED, Content.UNCHECKED),
        (lambda arrival: arrival.get("/nothing").status == 200, Outcome.ANSWERED, Content.WRONG),
    ],
)
def test_a_journey_says_whether_the_content_was_right(tmp_path, journey, outcome, content):
    with pacing(tmp_path, journey=journey, duration_s=0.02) as (pacer, rows):
        found = rows()
        assert pacer.mistakes == 0
    assert {(row["outcome"], row["content"]) for row in found} == {(outcome, content)}


def test_a_failed_request_leaves_nothing_to_check(tmp_path):
    def never_reached(arrival):
        arrival.get("/api/ping")
        raise AssertionError("a 503 ends the journey")

    with pacing(tmp_path, Behaviour(fail=1.0), never_reached, duration_s=0.02) as (pacer, rows):
        found = rows()
        assert pacer.mistakes == 0
    assert {(row["status"], row["content"]) for row in found} == {(503, Content.UNCHECKED)}


def skip(arrival):
    raise arrival.skip("no")


def never_sends(arrival):
    return True


def forgets_to_say(arrival):
    arrival.get("/api/ping")


def says_a_status(arrival):
    return arrival.get("/api/ping").status


def raises(arrival):
    return arrival.get("/api/ping").json()["no such key"]


def sends_twice(arrival):
    return bool(arrival.get("/api/ping") and arrival.get("/api/ping"))


@pytest.mark.parametrize("journey", [never_sends, forgets_to_say, says_a_status, raises, sends_twice])
def test_a_journeys_own_mistake_is_told_and_never_passes_for_right(tmp_path, journey):
    with pacing(tmp_path, journey=journey, duration_s=0.02) as (pacer, rows):
        found = rows()
        assert pacer.mistakes == 4
        assert pacer.mistake.startswith("journey journey: ")
    assert {row["content"] for row in found} == {Content.WRONG}


def test_a_skipped_arrival_was_never_sent(tmp_path):
    with pacing(tmp_path, journey=skip, duration_s=0.02) as (pacer, rows):
        found = rows()
        assert pacer.mistakes == 0
    assert {(row["outcome"], row["started_ns"], row["content"]) for row in found} == {(Outcome.SKIPPED, -1, 0)}


def test_stopped_early_the_schedule_was_followed_up_to_that_time(tmp_path):
    with pacing(tmp_path, duration_s=math.inf) as (pacer, rows):
        gevent.sleep(0.2)
        found = rows(wait_s=0)
        followed = (pacer.until_ns - pacer.origin_ns) / 1e9
    expected = list(itertools.takewhile(lambda t: t < followed, (index / 200 for index in itertools.count())))
    assert len(found) == len(expected) > 20


def test_draws_depend_on_seed_and_index_only(tmp_path):
    seen = []

    def draws(arrival):
        seen.append((arrival.index, arrival.integer(1000), arrival.integer(1000)))
        return ping(arrival)

    with pacing(tmp_path, journey=draws, duration_s=0.05) as (_, rows):
        rows()
    first, seen = sorted(seen), []
    with pacing(tmp_path, journey=draws, duration_s=0.05) as (_, rows):
        rows()
    assert first == sorted(seen)
    assert len({pair[1:] for pair in first}) == 10


def test_no_answer_says_what_and_why():
    assert str(NoAnswer(Outcome.BROKEN, "gone")) == "BROKEN: gone"
    assert str(NoAnswer(Outcome.TIMEOUT)) == "TIMEOUT"
