"""Counting by classes of equal rows says the same as looking at every row, and reading says what is missing."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.judge import classes
from harness.judge.blocks import block_counts, declared_rate, pieces
from harness.judge.facts import Facts
from harness.judge.requests import count_masks, count_requests
from harness.judge.rows import Record, read_rows
from harness.judge.windows import Span
from harness.model.records import REQUEST_COLUMNS, Outcome
from harness.model.slo import RequestFilter, RequestRatio
from harness.testing.evidence import Row, evidence, happened, ns, slo, table

JOURNEYS, REGIONS, RELEASES = ["chat", "search", "memory"], ["", "sjc", "lax"], ["", "1.0.0", "1.1.0"]
EDGES = [0, 1, 149_999_999, 150_000_000, 150_000_001, 299_999_999, 300_000_000, 2_000_000_000]


SECONDS = [-1.0, 0.0, 4.9, 5.0, 20.0, 34.999, 35.0, 40.0, 64.9, 65.0, 75.0, 90.0]
CHANGES: dict[str, list[Any]] = {
    "journey": JOURNEYS,
    "at": SECONDS,
    "late": [None, 0, 1, 50_000_000, 150_000_000, -5],
    "latency": [None, -1, *EDGES],
    "outcome": [int(outcome) for outcome in Outcome],
    "status": [-1, 0, 100, 199, 200, 204, 399, 400, 499, 500, 503, 599, 999],
    "content": [0, 1, 2],
    "level": [0, 1, 2, 3, 4, -7, 127],
    "release": RELEASES,
    "region": REGIONS,
}
changes = st.sampled_from([(name, value) for name, values in CHANGES.items() for value in values])


def row(at: float = 20.0, late: int | None = 0, latency: int | None = 100_000_000, **more: Any) -> Row:
    """A good request, but for what is told."""
    return {
        "journey": "chat", "intended_ns": ns(at), "started_ns": -1 if late is None else ns(at) + late,
        "finished_ns": -1 if latency is None else ns(at) + latency, "outcome": 0, "status": 200, "content": 1,
        "level": 1, "release": "1.0.0", "region": "sjc", "instance": "", **more,
    }  # fmt: skip


def rows() -> st.SearchStrategy[Row]:
    """Anything a record can hold, sense or not. Most differ from a good one in little: what a class must not mix."""
    few = st.lists(changes, max_size=2)
    return (few | few | few | st.lists(changes, max_size=8)).map(lambda made: row(**dict(made)))


CONDITIONS: dict[str, list[Any]] = {
    "journeys": [("chat",), ("search", "memory")],
    "outcome": ["served", "error"],
    "fasterThan": [1e-9, 0.15, 0.3, 0.1500000001, 2.0],
    "content": ["right", "wrong"],
    "levels": [(1,), (2, 3), (9,)],
    "regions": [("sjc",), ("lax", "fra")],
    "releases": [("1.0.0",), ("1.1.0", "2.0.0")],
}
conditions = st.sampled_from([(name, value) for name, values in CONDITIONS.items() for value in values])
filters = st.lists(conditions, max_size=3).map(lambda chosen: RequestFilter(**dict(chosen)))
ratios = st.builds(lambda total, part, bad: RequestRatio(table="requests", total=total, **{bad: part}),
                   filters, filters, st.sampled_from(["good", "bad"]))  # fmt: skip
windows = st.sampled_from([("run", ""), ("steady", ""), ("fault", "kill-weaviate")])


def told(drawn: list[Row], cut: int) -> pa.Table:
    """In two pieces with dictionaries of their own, as the row groups of a file have them."""
    numbered = [{**row, "arrival": number} for number, row in enumerate(drawn)]
    return pa.concat_tables([table(REQUEST_COLUMNS, numbered[:cut]), table(REQUEST_COLUMNS, numbered[cut:])])


@given(st.lists(rows(), max_size=30), st.integers(0, 30), st.lists(st.tuples(ratios, windows), min_size=1, max_size=4))
@settings(max_examples=80, deadline=None)
def test_classes_count_what_looking_at_every_row_counts(drawn, cut, asked):
    slos = [
        slo(ratio, 0.9, window=window, experiment=experiment, **({"levels": "1,3"} if experiment else {}))
        for ratio, (window, experiment) in asked
    ]
    facts = Facts(evidence(requests=[], events=happened(expected=len(drawn))), slos)
    record = read_rows(told(drawn, cut), expected=len(drawn), from_ns=None, until_ns=None)
    for one, (ratio, _) in zip(slos, asked, strict=True):
        spans = facts.judged(one)
        counts, causes, _ = count_requests(record, ratio, spans, facts)
        whole = record.whole
        masks = count_masks(whole, ratio, spans, facts)
        assert [counts.good, counts.bad, counts.unknown] == [int(mask.sum()) for mask in masks]
        length_s = 7.0
        block_ns = math.ceil(length_s * 1e9 / pieces(length_s, declared_rate(facts.evidence.scenario, ratio)))
        blocks = block_counts(record, ratio, spans, facts, length_s)
        known = masks[0] | masks[1] | masks[2]
        each = (whole.intended_ns[known] - spans[0].start_ns) // block_ns
        wanted = [tuple(int(mask[known][each == block].sum()) for mask in masks) for block in np.unique(each)]
        assert list(zip(blocks.good.tolist(), blocks.bad.tolist(), blocks.unknown.tolist(), strict=True)) == wanted
        assert sum(int(cause.split()[0].replace(",", "")) for cause in causes) <= counts.bad


def test_rows_that_differ_in_one_thing_only_are_told_apart_by_whoever_asks_for_it():
    """Each condition alone, over rows that are a good one but for one value, and for every start with every latency."""
    drawn = [row(**{name: value}) for name, values in CHANGES.items() for value in values]
    drawn += [row(late=late, latency=latency) for late in CHANGES["late"] for latency in CHANGES["latency"]]
    facts = Facts(evidence(requests=[], events=happened(expected=len(drawn))), [])
    record = read_rows(told(drawn, 20), expected=len(drawn), from_ns=None, until_ns=None)
    everything = RequestFilter()
    for name, values in CONDITIONS.items():
        for value in values:
            part = RequestFilter(**{name: value})
            for ratio in (
                RequestRatio(table="requests", total=everything, good=part),
                RequestRatio(table="requests", total=part, good=RequestFilter(outcome="served")),
            ):
                counts = count_requests(record, ratio, facts.spans, facts)[0]
                masks = count_masks(record.whole, ratio, facts.spans, facts)
                assert [counts.good, counts.bad, counts.unknown] == [int(mask.sum()) for mask in masks], ratio


@given(st.lists(rows(), min_size=1, max_size=60), st.integers(0, 60))
@settings(max_examples=60, deadline=None)
def test_classes_of_classes_are_the_same_classes(drawn, cut):
    record = read_rows(told(drawn, cut), expected=None, from_ns=None, until_ns=None)
    cuts, limits = np.array([ns(5), ns(35)]), np.array([150_000_000])
    once = classes.tally(classes.classify(record.pieces, cuts, limits))
    again = classes.tally(classes.classify([once.rows], cuts, limits))
    assert len(again.rows) == len(once.rows)
    assert once.of(np.ones(len(once.rows), dtype=bool)) == len(drawn)


@pytest.mark.parametrize(("name", "value"), [("DENSE", 1), ("SORTED", 1), ("COMPARED", 0)])
@given(drawn=st.lists(rows(), min_size=1, max_size=40))
@settings(max_examples=25, deadline=None)
def test_every_way_of_numbering_numbers_the_same_classes(name, value, drawn):
    piece = read_rows(told(drawn, 0), expected=None, from_ns=None, until_ns=None).pieces[0]
    cuts, limits = np.array([ns(5), ns(35), ns(65)]), np.array([1, 150_000_000, 300_000_000])
    code, number = classes.numbered(piece, cuts, limits)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(classes, name, value)
        other, others = classes.numbered(piece, cuts, limits)
    assert number == others
    assert len(set(zip(code.tolist(), other.tolist(), strict=True))) == number


def test_a_threshold_that_was_not_asked_is_not_answered_from_classes_made_without_it():
    drawn = [row(at=6, latency=number * 50_000_000) for number in range(10)]
    facts = Facts(evidence(requests=[]), [])
    record = read_rows(told(drawn, 3), expected=10, from_ns=None, until_ns=None)
    span = Span("steady", "", ns(5), ns(35))
    for seconds, good in ((0.11, 3), (0.31, 7)):
        ratio = RequestRatio(table="requests", total=RequestFilter(), good=RequestFilter(fasterThan=seconds))
        assert count_requests(record, ratio, [span], facts)[0].good == good


# ---- what is missing ------------------------------------------------------------------------------------------------

schedules = st.lists(st.integers(0, 10), min_size=1, max_size=40).map(lambda steps: np.cumsum(steps) * 1000)


@given(schedules, st.data(), st.integers(0, 45), st.integers(0, 40))
@settings(max_examples=150, deadline=None)
def test_what_is_missing_was_due_between_its_neighbours(times, data, expected, cut):
    there = data.draw(st.permutations(data.draw(st.lists(st.integers(0, len(times) - 1), max_size=60))))
    drawn = [{**row(), "arrival": number, "intended_ns": int(times[number])} for number in there]
    record = read_rows(
        pa.concat_tables([table(REQUEST_COLUMNS, drawn[:cut]), table(REQUEST_COLUMNS, drawn[cut:])]),
        expected=expected, from_ns=-5, until_ns=10**6,
    )  # fmt: skip
    seen = sorted(set(there))
    assert record.duplicates == len(there) - len(seen)
    assert sorted(number for piece in record.pieces for number in piece.arrival.tolist()) == seen
    absent = [number for number in range(expected) if number not in seen]
    wanted = [
        (
            max([int(times[n]) for n in seen if n < number], default=-5),
            min([int(times[n]) for n in seen if n > number], default=10**6),
        )
        for number in absent
    ]
    assert list(zip(record.missing.from_ns.tolist(), record.missing.until_ns.tolist(), strict=True)) == wanted


@given(st.lists(rows(), max_size=40), st.integers(0, 40), st.integers(0, 90), st.integers(0, 90))
@settings(max_examples=60, deadline=None)
def test_a_stretch_holds_all_rows_of_its_time_by_arrival(drawn, cut, start, end):
    record: Record = read_rows(told(drawn, cut), expected=None, from_ns=None, until_ns=None)
    found = record.between(ns(start), ns(end))
    wanted = [
        number
        for number, row in enumerate(drawn)
        if row["intended_ns"] < ns(end) and max(row["intended_ns"], row["started_ns"]) >= ns(start)
    ]
    assert found.arrival.tolist() == wanted
    assert found.journey.among(["chat"]).tolist() == [drawn[number]["journey"] == "chat" for number in wanted]
