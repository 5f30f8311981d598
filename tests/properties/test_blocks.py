"""Events that may hang together within a block: what they are worth, and that no bad event ever helps."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.judge import bounds
from harness.judge.blocks import Blocks, packed, pieces
from harness.judge.decide import Counts, decide, platform
from harness.model.judgement import Verdict

cells = st.lists(st.tuples(*[st.integers(0, 12)] * 3), min_size=1, max_size=30)
sizes = st.integers(1, 15) | st.floats(1.0, 15.0)
confidences = st.sampled_from([0.8, 0.95, 0.999])


Cell = tuple[int, int, int]


def blocks(rows: list[Cell], size: float, missing: int = 0, touched: int = 2) -> Blocks:
    good, bad, unknown = np.array(rows, dtype=np.int64).reshape(-1, 3).T
    return Blocks(good, bad, unknown, missing, size, touched, 1.0)


def interval(made: Blocks, confidence: float = 0.95) -> tuple[float, float]:
    known = Counts(int(made.good.sum()), int(made.bad.sum()), int(made.unknown.sum()) + made.missing)
    found = platform(known, made, confidence, confidence)
    assert found.low is not None and found.high is not None
    return found.low, found.high


@given(cells, sizes, st.integers(0, 9), st.integers(2, 9), st.data(), confidences)
def test_one_more_bad_never_helps_and_one_more_good_never_hurts(rows, size, missing, touched, data, confidence):
    place = data.draw(st.integers(0, len(rows) - 1))
    good, bad, unknown = rows[place]
    before = interval(blocks(rows, size, missing, touched), confidence)

    def after(changed: Cell, lost: int = 0) -> tuple[float, float]:
        cells = [*rows[:place], changed, *rows[place + 1 :]]
        return interval(blocks(cells, size, missing + lost, touched), confidence)

    tiny = 1e-11
    if not sum(map(sum, rows)):
        return
    with_bad, with_good = after((good, bad + 1, unknown)), after((good + 1, bad, unknown))
    assert with_bad[0] <= before[0] + tiny and with_bad[1] <= before[1] + tiny
    assert with_good[0] >= before[0] - tiny and with_good[1] >= before[1] - tiny
    if good:
        turned = after((good - 1, bad + 1, unknown))
        assert turned[0] <= before[0] + tiny and turned[1] <= before[1] + tiny
    for unseen in (
        *([after((good - 1, bad, unknown + 1)), after((good - 1, bad, unknown), lost=1)] if good else []),
        *([after((good, bad - 1, unknown + 1)), after((good, bad - 1, unknown), lost=1)] if bad else []),
        *([after((good, bad, unknown - 1), lost=1)] if unknown else []),
    ):
        assert unseen[0] <= before[0] + tiny and unseen[1] >= before[1] - tiny


@given(cells, sizes, confidences)
def test_the_interval_holds_what_was_seen_and_lies_in_0_to_1(rows, size, confidence):
    low, high = interval(blocks(rows, size), confidence)
    events, good, best = sum(map(sum, rows)), sum(r[0] for r in rows), sum(r[0] + r[2] for r in rows)
    assert 0.0 <= low <= high <= 1.0
    if events:
        assert low <= good / events + 1e-12
        assert high >= best / events - 1e-12


@given(cells, sizes, st.integers(0, 9), st.sampled_from([0.3, 0.5, 0.9, 0.99]))
def test_what_is_claimed_of_the_platform_is_never_more_than_what_the_run_shows(rows, size, missing, target):
    good, bad, unknown = (sum(column) for column in zip(*rows, strict=True))
    counts, made = Counts(good, bad, unknown + missing), blocks(rows, size, missing)
    run, system = (decide(counts, target, claim, 0.95, 1, "event", blocks=made).verdict for claim in ("run", "system"))
    assert system in (run, Verdict.INCONCLUSIVE)


@given(st.integers(1, 40), st.integers(0, 300), st.integers(0, 300))
def test_of_sums_alone_each_event_counts_for_the_most_that_there_can_be_together(size, good, bad):
    made = packed(Counts(good, bad), size, 1.0)
    assert made.good.sum() == good and made.bad.sum() == bad
    if good + bad:
        effective, share = made.effective(worst=True)
        assert effective == pytest.approx(max(1.0, (good + bad) / size))
        assert share == pytest.approx(good / (good + bad))


@given(st.floats(0.01, 0.99), st.floats(1, 5000), confidences)
def test_the_bound_of_means_solves_its_equation(good, events, confidence):
    p = bounds.mean_lower(good, events, confidence)
    far = good * math.log(good / p) + (1 - good) * math.log((1 - good) / (1 - p)) if 0 < p < good else math.inf
    assert p == 0.0 or far * events >= -math.log(1 - confidence) - 1e-6


@given(st.integers(1, 3000), confidences)
def test_without_a_bad_event_it_is_the_exact_bound(events, confidence):
    assert bounds.mean_lower(1.0, events, confidence) == pytest.approx(
        bounds.lower(events, events, confidence), abs=2e-12
    )


@given(st.integers(1, 400), st.data(), confidences)
def test_it_never_claims_more_than_the_exact_bound(events, data, confidence):
    good = data.draw(st.integers(0, events))
    assert bounds.mean_lower(good / events, events, confidence) <= bounds.lower(good, events, confidence) + 1e-11


def test_a_minute_cannot_claim_three_nines_when_a_second_hangs_together():
    rows = [(40, 0, 0)] * 60
    told = decide(Counts(2400, 0), 0.999, "system", 0.95, 1, "request", blocks=blocks(rows, 40))
    assert told.verdict is Verdict.INCONCLUSIVE
    assert told.effective == 30
    assert "worth about 30 independent ones" in told.reason
    more = math.ceil(2400 * (math.log(0.05) / math.log(0.999) / 30 - 1))
    assert f"{more:,} requests more without a bad one would do" in told.reason
    assert decide(Counts(2400, 0), 0.9, "system", 0.95, 1, "request", blocks=blocks(rows, 40)).verdict is Verdict.PASS
    alone = decide(Counts(2400, 0), 0.998, "system", 0.95, 1, "request")
    assert alone.verdict is Verdict.PASS, "independent ones would do"


def test_what_would_settle_it_does_and_a_little_less_does_not():
    rows = [(38, 2, 0), *[(40, 0, 0)] * 59]
    told = decide(Counts(2398, 2), 0.97, "system", 0.95, 1, "request", blocks=blocks(rows, 40), seconds=60.0)
    found = re.search(r"([\d,]+) requests more without a bad one would do \(([\d,]+) s longer", told.reason)
    assert found
    more, longer = (int(part.replace(",", "")) for part in found.groups())
    assert longer == pytest.approx(more / 40, abs=1)

    def with_more(events: int) -> Verdict:
        full, rest = divmod(events, 40)
        longer = [*rows, *[(40, 0, 0)] * full, (rest, 0, 0)]
        counts = Counts(2398 + events, 2)
        return decide(counts, 0.97, "system", 0.95, 1, "request", blocks=blocks(longer, 40)).verdict

    assert with_more(more) is Verdict.PASS
    assert with_more(round(0.99 * more)) is Verdict.INCONCLUSIVE


def test_a_claim_on_the_platform_without_times_is_one_value():
    """A gauge, a check: nothing tells which of the events hang together."""
    one = decide(Counts(5000, 0), 0.96, "system", 0.95, 1, "scrape", blocks=packed(Counts(5000, 0), 5000, 1.0))
    assert one.verdict is Verdict.INCONCLUSIVE and one.effective == 1.0
    assert one.interval.low == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("length", "rate", "expected"), [(1.0, 40.0, 8), (1.0, 12.0, 3), (1.0, 0.1, 1), (0.0, 40.0, 1)]
)
def test_the_length_is_cut_into_blocks_of_a_few_events(length, rate, expected):
    assert pieces(length, rate) == expected


def test_a_fail_needs_the_corrected_level():
    counts = Counts(970, 30)
    assert decide(counts, 0.98, "system", 0.95, 1, "request").verdict is Verdict.FAIL
    corrected = decide(counts, 0.98, "system", 0.95, 1, "request", fail_confidence=0.999)
    assert corrected.verdict is Verdict.INCONCLUSIVE
