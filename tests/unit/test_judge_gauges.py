"""Gauges as shares of time: known answers, and each way in which a sample may not hold."""

from __future__ import annotations

import math
import struct
from dataclasses import replace

import pytest

from harness.judge import judge
from harness.judge.gauges import Times, decide, times
from harness.judge.samples import Samples
from harness.model.judgement import Verdict
from harness.model.records import SAMPLE_COLUMNS, STALE_BITS
from harness.model.slo import GaugeShare
from harness.testing.evidence import Row, answers, evidence, scraped, slo, table, wall_ms

STALE = struct.unpack("<d", struct.pack("<Q", STALE_BITS))[0]
WINDOW = [(float(wall_ms(10)), float(wall_ms(20)))]
SECONDS = [float(second) for second in range(0, 31)]


def seen(*rows: Row, intervals: dict[str, float] | None = None) -> Times:
    told = tuple(replace(one, intervals=intervals or {}) if one.query == "up" else one for one in answers(rows))
    return times(Samples(table(SAMPLE_COLUMNS, rows), told), "use", lambda value: value > 0.5, WINDOW)


def ms(found: Times) -> tuple[float, float, float]:
    return found.good_ms, found.bad_ms, found.unknown_ms


def test_each_sample_holds_until_the_next_scrape():
    moments = [0.0, 2.0, 4.0, 6.0, 8.0, 9.5, 12.0, 14.0, 16.0, 18.5, 20.0, 22.0]
    found = seen(*scraped("up", times=moments), *scraped("use", lambda at: float(at != 16.0), times=moments))
    assert ms(found) == (7500.0, 2500.0, 0.0)  # the one bad sample held from 16.0 to 18.5
    assert (found.good, found.bad) == (3, 1)


def test_a_missing_sample_is_unknown_from_its_scrape_on():
    found = seen(
        *scraped("up", times=SECONDS),
        *scraped("use", times=[at for at in SECONDS if at not in (13.0, 14.0)]),
    )
    assert ms(found) == (8000.0, 0.0, 2000.0)
    assert "2 scrapes of 10 missing" in found.notes[0]


@pytest.mark.parametrize("value", [math.nan, STALE])
def test_nan_and_stale_are_unknown(value):
    found = seen(*scraped("up", times=SECONDS), *scraped("use", lambda at: value if at == 13 else 1.0, times=SECONDS))
    assert ms(found) == (9000.0, 0.0, 1000.0)


def test_a_scrape_that_failed_ends_what_was_known():
    found = seen(
        *scraped("up", lambda at: float(at != 13), times=SECONDS),
        *scraped("use", times=[at for at in SECONDS if at != 13]),
    )
    assert ms(found) == (9000.0, 0.0, 1000.0)


def test_a_scrape_that_never_came_leaves_the_time_in_which_it_was_due():
    times_ = [at for at in SECONDS if at not in (13.0, 14.0)]
    found = seen(*scraped("up", times=times_), *scraped("use", times=times_))
    assert ms(found) == (7500.0, 0.0, 2500.0)  # 12.0 holds until 12.5: then one could have come


def test_the_declared_interval_counts_where_most_scrapes_are_missing():
    times_ = [at for at in SECONDS if at % 3 == 0]
    rows = [*scraped("up", times=times_), *scraped("use", times=times_)]
    assert ms(seen(*rows)) == (10_000.0, 0.0, 0.0)
    assert seen(*rows, intervals={"unified-api": 1.0}).unknown_ms == 8500.0


def test_a_share_of_scrapes_is_not_a_share_of_time():
    """The bad one was the last before a late scrape, and held longer than the others."""
    gauge = slo(GaugeShare(query="use"), 0.9, op="gt", value=0.5)
    moments = [-5.0, -4.0, *[at / 2 for at in range(-6, 160) if not 20 < at <= 22]]
    rows = [*scraped("up", times=moments), *scraped("use", lambda at: float(at != 10.0), times=moments)]
    told = tuple(replace(one, intervals={"unified-api": 1.0}) if one.query == "up" else one for one in answers(rows))
    result = judge(evidence(samples=rows, metrics=(*told, *answers([], "ALERTS"))), [gauge]).objectives[0]
    assert result.measured == pytest.approx(1 - 1.5 / 40)
    assert result.bad == 1


@pytest.mark.parametrize(
    ("told", "verdict"),
    [
        (Times(9500, 500, 0, 19, 1), Verdict.PASS),
        (Times(9499, 501, 0, 19, 1), Verdict.FAIL),
        (Times(9499, 0, 501, 19, 0, 1), Verdict.INCONCLUSIVE),
        (Times(9500, 0, 500, 19, 0, 1), Verdict.PASS),
        (Times(0, 501, 9499, 0, 1, 19), Verdict.FAIL),
        (Times(), Verdict.INCONCLUSIVE),
    ],
)
def test_unknown_time_counts_at_its_worst(told, verdict):
    assert decide(told, 0.95, "run", 0.95, 1).verdict is verdict


def test_a_claim_on_the_platform_needs_more():
    told = Times(10_000, 0, 0, 20, 0)
    assert decide(told, 0.95, "run", 0.95, 1).verdict is Verdict.PASS
    assert decide(told, 0.95, "system", 0.95, 1).verdict is Verdict.INCONCLUSIVE
    assert decide(Times(60_000, 0, 0, 60, 0), 0.95, "system", 0.95, 1).verdict is Verdict.PASS
    assert decide(told, 0.95, "run", 0.95, 21).verdict is Verdict.INCONCLUSIVE


def test_a_staleness_marker_survives_the_record(tmp_path):
    import pyarrow.parquet as pq

    rows = scraped("use", lambda at: STALE if at == 13 else 1.0, times=SECONDS)
    pq.write_table(table(SAMPLE_COLUMNS, rows), tmp_path / "samples.parquet", compression="zstd")
    (one,) = Samples(pq.read_table(tmp_path / "samples.parquet"), answers(rows)).series("use")
    assert one.stale_ms.tolist() == [wall_ms(13)]
    assert not len(one.nan_ms)
