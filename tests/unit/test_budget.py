"""Budgeting methods: each with an SLO that must pass and one that must fail, and what is not known in between."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.judge import judge
from harness.judge.budget import cut, mean_ratio, spent, timeslices
from harness.judge.decide import Counts
from harness.model import slo as model
from harness.model.judgement import Interval, Verdict
from harness.model.records import Outcome
from harness.model.slo import BudgetWindow, Composite, Objective, Part, RequestFilter, RequestRatio, Slo
from harness.testing.evidence import evidence, happened, ns, request, scraped, slo, steadily, within

SERVED = RequestRatio(table="requests", total=RequestFilter(), good=RequestFilter(outcome="served"))


def by(
    method: str, target: float, slice_s: float = 1.0, slice_target: float | None = None, ratio=SERVED, **notes
) -> Slo:
    made = slo(ratio, target, **notes)
    objective = made.objectives[0].model_copy(update={"slice_s": slice_s, "slice_target": slice_target})
    return made.model_copy(update={"method": method, "objectives": (objective,)})


def word(rows, *slos: Slo):
    return [result.verdict for result in judge(evidence(requests=rows), slos).objectives]


def results(rows, *slos: Slo):
    return judge(evidence(requests=rows), slos).objectives


# Steady: 5 to 35 and 65 to 75, 50 requests a second: 40 slices of 1 s.


def test_timeslices_fail_where_occurrences_pass():
    """Two bad requests in each of ten seconds are 1 % of requests, and a quarter of the slices."""
    rows = steadily(change=lambda n, at: {"status": 500} if 10 <= at < 20 and n % 25 == 0 else None)
    assert word(rows, slo(SERVED, 0.98), by("Timeslices", 0.98, slice_target=0.99)) == [Verdict.PASS, Verdict.FAIL]


def test_occurrences_fail_where_timeslices_pass():
    """One second of a burst: all its requests bad, of five times the traffic; one slice of forty."""
    burst = [request(10_000 + n, 10.0 + n / 1000, status=500) for n in range(1000)]
    rows = sorted([*steadily(), *burst], key=lambda row: row["intended_ns"])
    rows = [{**row, "arrival": number} for number, row in enumerate(rows)]
    fixed = happened(expected=len(rows))
    told = judge(evidence(requests=rows, events=fixed), [slo(SERVED, 0.95), by("Timeslices", 0.95, slice_target=0.9)])
    assert [one.verdict for one in told.objectives] == [Verdict.FAIL, Verdict.PASS]


def test_ratio_timeslices_weigh_slices_not_events():
    burst = [request(10_000 + n, 10.0 + n / 1000, status=500) for n in range(1000)]
    rows = sorted([*steadily(), *burst], key=lambda row: row["intended_ns"])
    rows = [{**row, "arrival": number} for number, row in enumerate(rows)]
    told = judge(evidence(requests=rows, events=happened(expected=len(rows))), [by("RatioTimeslices", 0.97)])
    (result,) = told.objectives
    assert result.verdict is Verdict.PASS
    # One slice of forty has 50 good of 1,050; the others are whole.
    assert result.observed.low == pytest.approx((39 + 50 / 1050) / 40)


def test_ratio_timeslices_fail_below_their_target():
    rows = steadily(change=within((10.0, 13.0), status=500))
    assert word(rows, by("RatioTimeslices", 0.95)) == [Verdict.FAIL]  # 37 of 40
    assert word(rows, by("RatioTimeslices", 0.92)) == [Verdict.PASS]


def test_an_unknown_request_makes_its_slice_unknown():
    rows = steadily(change=within((10.0, 10.5), outcome=Outcome.DROPPED))
    (result,) = results(rows, by("Timeslices", 0.999, slice_target=0.99))
    assert result.verdict is Verdict.INCONCLUSIVE
    assert (result.events, result.bad, result.unknown) == (40, 0, 1)


def test_a_slice_without_an_event_is_not_known_or_bad_but_never_good():
    rows = [row for row in steadily() if not ns(10.0) <= row["intended_ns"] < ns(12.0)]
    rows = [{**row, "arrival": number} for number, row in enumerate(rows)]
    record = {"requests": rows, "events": happened(expected=len(rows))}
    open_ = by("Timeslices", 0.99, slice_target=0.99)
    closed = by("Timeslices", 0.99, slice_target=0.99, missing_data="bad")
    told = judge(evidence(**record), [open_, closed]).objectives
    assert [one.verdict for one in told] == [Verdict.INCONCLUSIVE, Verdict.FAIL]
    assert (told[0].unknown, told[1].bad) == (2, 2)


def test_a_window_without_an_event_is_bad_where_that_is_declared():
    nobody = RequestRatio(
        table="requests", total=RequestFilter(journeys=("absent",)), good=RequestFilter(outcome="served")
    )
    assert word(steadily(), slo(nobody, 0.9), slo(nobody, 0.9, missing_data="bad")) == [
        Verdict.INCONCLUSIVE,
        Verdict.FAIL,
    ]
    lost = judge(evidence(absent=("requests",)), [slo(nobody, 0.9, missing_data="bad")]).objectives[0]
    assert lost.verdict is Verdict.INCONCLUSIVE  # evidence that is lost is not an event that did not happen


COUNTED = model.CounterRatio(total="t_total", bad='b_total{result="bad"}')


def counted(bad_at: float = -1.0, lost: tuple[float, float] = (0.0, 0.0)):
    times = [second + 0.3 for second in range(-5, 78) if not lost[0] <= second < lost[1]]
    ups = [*scraped("up", times=times)]
    total = scraped("t_total", lambda at: 50.0 * (at + 6), times=times)
    bad = scraped('b_total{result="bad"}', lambda at: 100.0 if at > bad_at >= 0 else 0.0, times=times)
    return [*ups, *total, *bad]


def test_slices_of_counters_are_found_between_scrapes():
    slices = by("Timeslices", 0.9, slice_s=10.0, slice_target=0.99, ratio=COUNTED)
    (good,) = judge(evidence(samples=counted()), [slices]).objectives
    assert (good.verdict, good.events, good.bad) == (Verdict.PASS, 4, 0)
    (bad,) = judge(evidence(samples=counted(bad_at=14.5)), [slices]).objectives
    assert (bad.verdict, bad.events, bad.bad) == (Verdict.FAIL, 4, 1)
    # Between two slices: what was counted there belongs to the slice of the later scrape, and is not lost.
    (edge,) = judge(evidence(samples=counted(bad_at=14.9)), [slices]).objectives
    assert edge.bad == 1


def test_a_slice_of_counters_with_missing_scrapes_is_unknown():
    slices = by("Timeslices", 0.9, slice_s=10.0, slice_target=0.99, ratio=COUNTED)
    (dark,) = judge(evidence(samples=counted(lost=(16.0, 22.0))), [slices]).objectives
    assert (dark.verdict, dark.unknown) == (Verdict.INCONCLUSIVE, 1)


def test_slices_shorter_than_two_scrapes_are_not_judged():
    slices = by("Timeslices", 0.9, slice_s=1.5, slice_target=0.99, ratio=COUNTED)
    (short,) = judge(evidence(samples=counted()), [slices]).objectives
    assert short.verdict is Verdict.INCONCLUSIVE
    assert "too short" in short.reason


def test_slices_of_a_gauge():
    gauge = model.GaugeShare(query="g")
    objective = Objective(target=0.9, op="lte", value=1.0, slice_s=10.0, slice_target=0.9)
    made = slo(gauge, 0.9, op="lte", value=1.0).model_copy(update={"method": "Timeslices", "objectives": (objective,)})

    def told(bad: bool):
        samples = [*scraped("up"), *scraped("g", lambda at: 2.0 if bad and 10 <= at < 20 else 0.5)]
        return judge(evidence(samples=samples), [made]).objectives[0]

    assert told(False).verdict is Verdict.PASS
    assert told(True).verdict is Verdict.FAIL


def test_the_budget_that_a_run_spent():
    """40 s of steady state, 20 of 2,000 bad, of 99 %: the burn rate 1, and 40 s of the 28 days."""
    rows = steadily(change=lambda n, at: {"status": 500} if 10 <= at < 30 and n % 50 == 0 else None)
    made = slo(SERVED, 0.99).model_copy(update={"time_window": BudgetWindow(duration="28d")})
    (result,) = results(rows, made)
    assert result.bad == 20
    assert result.budget_spent is not None
    assert result.budget_spent.low == pytest.approx(40 / (28 * 86400))
    assert result.budget_spent.high == pytest.approx(40 / (28 * 86400))
    assert any("of the budget of 28d" in note for note in result.notes)


def test_no_budget_is_told_where_there_is_none():
    made = slo(SERVED, 1.0).model_copy(update={"time_window": BudgetWindow(duration="28d")})
    assert results(steadily(), made)[0].budget_spent is None


def composed(*parts: tuple[RequestRatio, float, float], **notes) -> Slo:
    made = slo(parts[0][0], 0.9, **notes)
    combined = Composite(
        parts=tuple(
            Part(source="RequestRecord", indicator=ratio, objective=Objective(target=target), weight=weight)
            for ratio, target, weight in parts
        )
    )
    weight = sum(weight for _, _, weight in parts)
    target = sum(target * weight for _, target, weight in parts) / weight
    return made.model_copy(update={"indicator": combined, "objectives": (Objective(target=target),)})


def test_a_composite_is_the_weighted_mean():
    right = RequestRatio(table="requests", total=RequestFilter(), good=RequestFilter(content="right"))
    rows = steadily(change=within((10.0, 12.0), status=500))  # 5 % not served, their content unchecked
    served, content = results(rows, slo(SERVED, 0.97), slo(right, 0.5))
    (both,) = results(rows, composed((SERVED, 0.97, 1.0), (RequestRatio(
        table="requests", total=RequestFilter(), good=RequestFilter(regions=("sjc",))), 0.9, 3.0)))  # fmt: skip
    assert served.verdict is Verdict.FAIL
    assert content.events == 2000
    assert both.verdict is Verdict.PASS
    assert both.observed.low == pytest.approx((0.95 + 3 * 1.0) / 4)
    assert len(both.notes) == 2


def test_a_composite_fails_when_the_weight_lies_on_the_bad_part():
    rows = steadily(change=within((10.0, 12.0), status=500))
    elsewhere = RequestRatio(table="requests", total=RequestFilter(), good=RequestFilter(regions=("sjc",)))
    assert word(rows, composed((SERVED, 0.97, 9.0), (elsewhere, 0.9, 1.0))) == [Verdict.FAIL]


def test_a_part_of_which_nothing_is_known_may_be_anything():
    nobody = RequestRatio(table="requests", total=RequestFilter(journeys=("no",)), good=RequestFilter())
    assert word(steadily(), composed((SERVED, 0.9, 1.0), (nobody, 0.9, 1.0))) == [Verdict.INCONCLUSIVE]
    assert word(steadily(), composed((SERVED, 0.9, 1.0), (nobody, 0.9, 1.0), missing_data="bad")) == [Verdict.FAIL]


# ---- properties -----------------------------------------------------------------------------------------------------

counts = st.builds(Counts, st.integers(0, 50), st.integers(0, 50), st.integers(0, 20))
many = st.lists(counts, min_size=1, max_size=20)


@given(many, st.floats(0.01, 1.0), st.booleans(), st.integers(0, 19))
def test_what_is_unknown_only_widens(slices, target, bad, at):
    at %= len(slices)
    one = slices[at]
    if not one.good + one.bad:
        return
    hidden = (
        Counts(one.good - 1, one.bad, one.unknown + 1) if one.good else Counts(one.good, one.bad - 1, one.unknown + 1)
    )
    wider = [*slices[:at], hidden, *slices[at + 1 :]]
    before, after = timeslices(slices, target, bad), timeslices(wider, target, bad)
    assert after.good <= before.good
    assert after.bad <= before.bad
    mean, wide = mean_ratio(slices, bad), mean_ratio(wider, bad)
    assert wide.low <= mean.low + 1e-12
    assert wide.high >= mean.high - 1e-12


@given(many, st.floats(0.01, 1.0), st.booleans(), st.integers(0, 19))
def test_one_more_bad_event_never_helps(slices, target, bad, at):
    at %= len(slices)
    one = slices[at]
    if not one.good:
        return
    worse = [*slices[:at], Counts(one.good - 1, one.bad + 1, one.unknown), *slices[at + 1 :]]
    before, after = timeslices(slices, target, bad), timeslices(worse, target, bad)
    assert after.good <= before.good
    assert after.bad >= before.bad
    assert mean_ratio(worse, bad).low <= mean_ratio(slices, bad).low + 1e-12


@given(many, st.floats(0.01, 1.0), st.booleans())
def test_the_order_of_slices_does_not_matter(slices, target, bad):
    assert timeslices(slices, target, bad) == timeslices(slices[::-1], target, bad)
    assert timeslices(slices, target, bad).events == len(slices)


@given(st.floats(0, 1e6), st.floats(0.001, 1e5), st.floats(0.1, 1e4))
def test_slices_cover_their_stretch_without_gap_or_overlap(start, length, size):
    if length / size > 1e4:
        return
    found = cut(start, start + length, size)
    assert found[0][0] == start
    assert found[-1][1] == start + length
    assert all(a[1] == b[0] for a, b in itertools.pairwise(found))
    assert len(found) == 1 or all(0.49 * size <= b - a <= 1.51 * size for a, b in found)


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0.01, 0.999), st.floats(1, 1e4), st.floats(1e4, 1e7))
def test_spent_is_linear_in_time_and_empty_when_all_was_good(low, high, target, seconds, window):
    low, high = sorted((low, high))
    one = spent(Interval(low=low, high=high), target, seconds, window)
    two = spent(Interval(low=low, high=high), target, 2 * seconds, window)
    assert one is not None
    assert two is not None
    assert two.high == pytest.approx(2 * one.high)
    assert one.low <= one.high
    assert spent(Interval(low=1.0, high=1.0), target, seconds, window) == Interval(low=0.0, high=0.0)
