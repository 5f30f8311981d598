"""What must hold for every schedule, every split of a response, and every place at which a record is torn."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.load.http1 import Malformed, Reader
from harness.load.recorder import Stream, names_path, read, tail
from harness.load.schedule import arrivals, count, cumulative, journeys
from harness.model.load import Constant, Poisson, Ramp, Step

rates = st.floats(0.5, 300)
times = st.floats(0.0, 20.0)
deterministic = st.one_of(
    st.builds(Constant, kind=st.just("constant"), rate=rates),
    st.builds(Ramp, kind=st.just("ramp"), rate=rates, to=rates, over=times),
    st.builds(Step, kind=st.just("step"), rate=rates, to=rates, at=times),
)
declared = deterministic | st.builds(Poisson, kind=st.just("poisson"), rate=rates)
seeds = st.integers(0, 2**63)


@given(declared, seeds, times)
@settings(deadline=None, max_examples=60)
def test_a_schedule_is_ascending_inside_its_time_and_counted(shape, seed, duration):
    offsets = list(arrivals(shape, seed, duration))
    assert len(offsets) == count(shape, seed, duration)
    assert all(0 <= offset < duration for offset in offsets)
    assert all(earlier <= later for earlier, later in itertools.pairwise(offsets))


@given(deterministic, times)
@settings(deadline=None, max_examples=60)
def test_the_nth_arrival_comes_when_the_rates_integral_reaches_n(shape, duration):
    for number, offset in enumerate(arrivals(shape, 0, duration)):
        assert cumulative(shape, offset) == pytest.approx(number, abs=1e-5)


@given(declared, seeds, times, times)
@settings(deadline=None, max_examples=60)
def test_a_shorter_schedule_is_the_beginning_of_a_longer_one(shape, seed, one, other):
    short, long = sorted((one, other))
    beginning = list(arrivals(shape, seed, short))
    assert list(itertools.islice(arrivals(shape, seed, long), len(beginning))) == beginning


@given(rates, seeds)
@settings(deadline=None, max_examples=40)
def test_poisson_keeps_its_mean_rate(rate, seed):
    expected = 2000.0
    number = count(Poisson(kind="poisson", rate=rate), seed, expected / rate)
    assert abs(number - expected) < 6 * math.sqrt(expected)


@given(st.dictionaries(st.text(min_size=1, max_size=5), st.floats(0.1, 10), min_size=1, max_size=5), seeds)
@settings(deadline=None, max_examples=30)
def test_journeys_come_in_the_proportions_of_the_mix(mix, seed):
    pick, drawn = journeys(mix, seed), 3000
    seen = [pick(index) for index in range(drawn)]
    for name, weight in mix.items():
        share = weight / sum(mix.values())
        assert abs(seen.count(name) - drawn * share) <= 6 * math.sqrt(drawn * share * (1 - share)) + 1


RESPONSES = {
    "length": b"HTTP/1.1 200 OK\r\nX-Release: 1.0.0\r\nContent-Length: 11\r\n\r\nhello world",
    "empty": b"HTTP/1.1 200 OK\r\nX-Release: 1.0.0\r\nContent-Length: 0\r\n\r\n",
    "chunked": b"HTTP/1.1 200 OK\r\nX-Release: 1.0.0\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"5;x=1\r\nhello\r\n6\r\n world\r\n0\r\nTrailer: t\r\n\r\n",
    "continue": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nX-Release: 1.0.0\r\nContent-Length: 2\r\n\r\nok",
    "none": b"HTTP/1.1 204 No Content\r\nX-Release: 1.0.0\r\n\r\n",
    "until-close": b"HTTP/1.0 200 OK\r\nX-Release: 1.0.0\r\n\r\nhello world",
}


def feed(reader, pieces):
    found = [response for piece in pieces if (response := reader.feed(piece)) is not None]
    return found or [response for response in [reader.end()] if response is not None]


@given(st.sampled_from(sorted(RESPONSES)), st.lists(st.integers(0, 200), max_size=8))
@settings(deadline=None)
def test_a_response_reads_the_same_however_it_is_cut(kind, cuts):
    data = RESPONSES[kind]
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    [whole] = feed(Reader(), [data])
    [pieced] = feed(Reader(), [data[a:b] for a, b in itertools.pairwise(edges)])
    assert (pieced.status, pieced.body, pieced.keep_alive) == (whole.status, whole.body, whole.keep_alive)
    assert pieced.header(b"x-release") == "1.0.0"


@given(st.sampled_from(sorted(RESPONSES)), st.integers(0, 200))
@settings(deadline=None)
def test_a_response_that_is_cut_short_is_never_whole(kind, length):
    data = RESPONSES[kind]
    if length >= len(data) or kind == "until-close":
        return
    assert feed(Reader(), [data[:length]]) == []


@given(st.binary(max_size=200))
@settings(deadline=None)
def test_foreign_bytes_are_malformed_or_unfinished_but_nothing_else(data):
    try:
        Reader().feed(data)
    except Malformed:
        return


COLUMNS = {"number": "int64", "small": "int8", "text": "string", "share": "float64"}


@given(
    st.lists(st.tuples(st.integers(-(2**60), 2**60), st.integers(-9, 9), st.text(), st.floats(allow_nan=False))),
    st.data(),
)
@settings(deadline=None, max_examples=60)
def test_a_record_torn_anywhere_gives_back_its_whole_rows(tmp_path_factory, rows, data):
    path = tmp_path_factory.mktemp("torn") / "x.rows"
    stream = Stream(path, COLUMNS)
    for row in rows:
        stream.append(list(row))
    stream.close()
    content = path.read_bytes()
    head = content.index(b"\n") + 1
    cut = data.draw(st.integers(head, len(content)))
    path.write_bytes(content[:cut])
    record = read(path)
    size = (len(content) - head) // max(len(rows), 1)
    whole = (cut - head) // size if rows else 0
    assert [tuple(row.values()) for row in record.table.to_pylist()] == rows[:whole]
    assert record.torn == cut - head - whole * size
    later = data.draw(st.integers(0, whole))
    assert [tuple(row.values()) for row in tail(path, later).to_pylist()] == rows[later:whole]
    assert names_path(path).exists()
