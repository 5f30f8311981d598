from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.model.records import REQUEST_COLUMNS, Content, Outcome
from harness.render.series import QUANTILES, bin_width, bins, percentile, requests, stretches


def _table(rows: list[dict[str, Any]]) -> pa.Table:
    usual = {
        "arrival": 0,
        "journey": "chat",
        "intended_ns": 0,
        "started_ns": 0,
        "finished_ns": 1_000_000,
        "outcome": Outcome.ANSWERED,
        "status": 200,
        "content": Content.RIGHT,
        "level": 1,
        "release": "1",
        "region": "sjc",
        "instance": "a",
    }
    full = [usual | row for row in rows]
    return pa.table(
        {
            name: pa.array([row[name] for row in full], type=pa.type_for_alias(kind))
            for name, kind in REQUEST_COLUMNS.items()
        }
    )


def _at(second: float, **more: Any) -> dict[str, Any]:
    start = round(second * 1e9)
    return {"intended_ns": start, "finished_ns": start + round(more.pop("latency", 0.01) * 1e9), **more}


def _nearest_rank(values: list[float], quantile: float) -> float:
    """By the definition: the smallest value that at least `quantile` of all are no greater than."""
    return min(v for v in values if sum(w <= v for w in values) >= quantile * len(values) - 1e-9)


@settings(max_examples=60, deadline=None)  # the first call imports pyarrow
@given(st.lists(st.tuples(st.floats(0, 5), st.floats(0.001, 9)), min_size=1, max_size=60))
def test_percentiles_are_exact_order_statistics_of_each_bin(arrivals: list[tuple[float, float]]) -> None:
    found = bins(requests(_table([_at(at, latency=latency) for at, latency in arrivals]), 0), 1.0)
    for row in range(len(found)):
        start = found.start_s + row
        inside = [round(latency * 1e9) / 1e9 for at, latency in arrivals if start <= round(at * 1e9) / 1e9 < start + 1]
        assert found.arrivals[row] == len(inside)
        for index, quantile in enumerate(QUANTILES):
            value = float(found.percentiles_s[index, row])
            assert value == pytest.approx(_nearest_rank(inside, quantile)) if inside else math.isnan(value)


@pytest.mark.parametrize(("number", "expected"), [(1, 1), (20, 19), (21, 20), (100, 95), (101, 96)])
def test_the_rank_of_p95(number: int, expected: int) -> None:
    assert percentile(np.arange(1, number + 1, dtype=float), 0.95) == expected


def test_latency_counts_from_the_intended_start() -> None:
    late = {"intended_ns": 0, "started_ns": 2_000_000_000, "finished_ns": 2_010_000_000}
    assert requests(_table([late]), 0).latency_s[0] == pytest.approx(2.01)


def test_what_failed_and_what_was_never_sent() -> None:
    rows = [
        _at(0),
        _at(0, status=500),
        _at(0, status=404),
        _at(0, content=Content.WRONG),
        _at(0, outcome=Outcome.TIMEOUT, status=0),
        _at(0, outcome=Outcome.REFUSED, status=0),
        _at(0, outcome=Outcome.DROPPED),
        _at(0, outcome=Outcome.SKIPPED),
        _at(0, outcome=Outcome.UNFINISHED),
        _at(0, level=3),
    ]
    found = bins(requests(_table(rows), 0), 1.0)
    assert (found.full[0], found.degraded[0], found.failed[0], found.unsent[0]) == (1, 1, 5, 3)
    assert found.failed_share()[0] == pytest.approx(5 / 7)
    assert found.level[0] == 3


def test_every_arrival_is_in_exactly_one_bin_and_one_class() -> None:
    draw = np.random.default_rng(3)
    rows = [
        _at(float(at), outcome=int(kind))
        for at, kind in zip(draw.uniform(0, 30, 500), draw.integers(0, 7, 500), strict=True)
    ]
    for width in (1.0, 2.0, 5.0):
        found = bins(requests(_table(rows), 0), width)
        assert (found.full + found.degraded + found.failed + found.unsent == found.arrivals).all()
        assert found.arrivals.sum() == 500


def test_failed_agrees_with_the_judge() -> None:
    from harness.judge.requests import answered_right
    from harness.judge.rows import Rows

    class Columns:
        outcome, status, content = (
            values.ravel() for values in np.meshgrid(np.arange(7), np.array([0, 101, 200, 302, 404, 500]), np.arange(3))
        )

    combined = list(zip(Columns.outcome, Columns.status, Columns.content, strict=True))
    record = requests(_table([_at(0, outcome=int(o), status=int(s), content=int(c)) for o, s, c in combined]), 0)
    right = answered_right(Columns).must  # type: ignore[arg-type]
    assert Rows is not None
    assert ((~record.failed & ~record.unsent) == right).all()


def test_no_requests_make_no_bins() -> None:
    assert len(bins(requests(_table([]), 0), 1.0)) == 0
    assert math.isnan(percentile(np.array([]), 0.5))


@pytest.mark.parametrize(("seconds", "width"), [(90, 1), (399, 1), (401, 2), (3600, 10), (86_400, 300)])
def test_the_narrowest_round_bin_that_fits(seconds: float, width: float) -> None:
    assert bin_width(seconds, 400) == width


def test_stretches() -> None:
    assert stretches(np.array([1, 1, 3, 3, 3, 1])) == [(1, 0, 2), (3, 2, 5), (1, 5, 6)]
    assert stretches(np.array([], dtype=int)) == []
