"""Increases from raw samples: known answers, and each way in which samples can be missing."""

from __future__ import annotations

import math

import pytest

from harness.judge import judge
from harness.judge.counters import increase, unbounded
from harness.judge.facts import Facts
from harness.judge.samples import Samples
from harness.model.evidence import MetricAnswer
from harness.model.judgement import Verdict
from harness.model.records import SAMPLE_COLUMNS
from harness.model.slo import CounterRatio, GaugeShare, IncreasePer
from harness.testing.evidence import WALL_NS, Row, answers, evidence, ns, scenario, scraped, slo, table, wall_ms

RATE = 10.0
QUERY = "votes_total"
START_S = WALL_NS / 1e9 + 4000.0  # when the process began, long before the run
STEADY = [(float(wall_ms(5)), float(wall_ms(35)))]
EVERY_SECOND = [second + 0.3 for second in range(-5, 78)]


def counter(at: float) -> float:
    return round(1000 + RATE * at)


def healthy(times=None) -> list[Row]:
    return [*scraped("up", times=times), *scraped("process_start_time_seconds", lambda _at: START_S, times=times)]


def samples(*rows: Row) -> Samples:
    return Samples(table(SAMPLE_COLUMNS, rows), answers(rows))


def grown(*rows: Row, bound=unbounded, windows=STEADY, others=None):
    return increase(samples(*(healthy() if others is None else others), *rows), QUERY, windows, bound)


def test_a_steady_counter_is_counted_from_scrape_to_scrape():
    found = grown(*scraped(QUERY, counter))
    assert (found.least, found.unknown) == (290.0, 0.0)  # from 5.3 s to 34.3 s


def test_a_gap_inside_is_bridged_when_the_process_is_the_same():
    times = [at for at in EVERY_SECOND if not 10 < at < 20]
    found = grown(*scraped(QUERY, counter, times=times), others=healthy(times))
    assert (found.least, found.unknown) == (290.0, 0.0)


def test_a_gap_without_proof_of_the_same_process_may_hide_a_restart():
    times = [at for at in EVERY_SECOND if not 10 < at < 20]
    found = grown(*scraped(QUERY, counter, times=times), others=scraped("up", times=times))
    assert found.least == 290.0
    assert math.isinf(found.unknown)
    assert "was not scraped for 11.0 s" in found.notes[0]


def test_a_gap_at_the_edge_is_unknown_by_what_it_holds():
    times = [at for at in EVERY_SECOND if not 30 < at < 40]
    found = grown(*scraped(QUERY, counter, times=times), others=healthy(times))
    # Known until 29.3 s; 29.3–40.3 s grew by 110, part of it in the window.
    assert (found.least, found.unknown) == (240.0, 110.0)


def test_a_reset_counts_from_zero_and_what_was_lost_is_unbounded():
    def restarted(at: float) -> float:
        return counter(at) if at < 20 else round(RATE * (at - 19.5))

    starts = scraped("process_start_time_seconds", lambda at: START_S if at < 20 else START_S + 1000)
    found = grown(*scraped(QUERY, restarted), others=[*scraped("up"), *starts])
    assert found.least == 140 + 8 + 140  # until 19.3 s, at the first scrape after the restart, until 34.3 s
    assert math.isinf(found.unknown)
    assert "was restarted" in found.notes[0]


def test_a_reset_is_seen_without_the_process_telling():
    found = grown(*scraped(QUERY, lambda at: counter(at) if at < 20 else at), others=scraped("up"))
    assert math.isinf(found.unknown)


def test_a_restart_that_grew_past_the_old_value_is_seen_by_the_start_time():
    starts = scraped("process_start_time_seconds", lambda at: START_S if at < 20 else START_S + 1000)
    found = grown(*scraped(QUERY, counter), others=[*scraped("up"), *starts])
    assert math.isinf(found.unknown)


def test_what_was_lost_in_a_crash_is_bounded_by_a_declared_rate():
    starts = scraped("process_start_time_seconds", lambda at: START_S if at < 20 else START_S + 1000)
    value = lambda at: counter(at) if at < 20 else round(RATE * (at - 20))  # noqa: E731
    found = grown(*scraped(QUERY, value), others=[*scraped("up"), *starts], bound=lambda a, b: 20 * (b - a) / 1000)
    assert found.unknown == 20  # the second between two scrapes in which it was restarted, at 20/s


def test_a_series_born_while_its_target_was_scraped_began_at_zero():
    late = scraped(QUERY, lambda at: round(RATE * (at - 14.8)), times=[at for at in EVERY_SECOND if at > 15])
    found = grown(*late)
    assert (found.least, found.unknown) == (195.0, 0.0)  # 5 at 15.3 s, 195 at 34.3 s


def test_a_process_that_began_in_the_window_counts_from_zero():
    times = [at for at in EVERY_SECOND if at > 15]
    began = (ns(14.0) + WALL_NS) / 1e9
    others = [*scraped("up", times=times), *scraped("process_start_time_seconds", lambda _at: began, times=times)]
    rows = scraped(QUERY, lambda at: round(RATE * (at - 14)), times=times)
    watching = scraped("up", instance="weaviate-0", service="weaviate")  # had there been another, it had been seen
    found = grown(*rows, others=[*others, *watching])
    assert (found.least, found.unknown) == (203.0, 0.0)
    blind = grown(*rows, others=others)
    assert blind.least == 203.0
    assert math.isinf(blind.unknown)
    assert "nobody looked whether" in blind.notes[0]


def census(*looks: tuple[float, str]) -> tuple[tuple[float, frozenset[str]], ...]:
    """At each of these seconds, who was there."""
    return tuple((float(wall_ms(at)), frozenset(names.split())) for at, names in looks)


@pytest.mark.parametrize(
    ("looks", "known"),
    [
        (census((4.9, "other"), (35.1, "other")), True),
        (census((4.9, "other"), (20, "other"), (35.1, "other")), True),
        (census(), False),
        (census((4.9, "other")), False),  # nobody looked at the end
        (census((35.1, "other")), False),  # nor at the beginning
        (census((4.9, "gone-0"), (35.1, "other")), False),
        (census((4.9, "other"), (35.1, "gone-0")), False),
        (census((4.9, "other"), (20, "gone-0"), (35.1, "other")), False),
        (census((-4, "other"), (35.1, "other")), False),  # it was scraped after the first look
    ],
)
def test_an_instance_that_was_not_there_counted_nothing(looks, known: bool):
    times = [at for at in EVERY_SECOND if at < 3]
    rows = [*healthy(), *scraped(QUERY, counter)]
    for name, value in (("up", lambda _: 1), (QUERY, counter), ("process_start_time_seconds", lambda _: START_S)):
        rows += scraped(name, value, instance="gone-0", times=times)
    told = Samples(table(SAMPLE_COLUMNS, rows), answers(rows), looks)
    found = increase(told, QUERY, STEADY)
    assert found.least == 290.0
    assert (found.unknown == 0.0) is known, found.notes
    if not known:
        assert "was not scraped in the last 30.0 s" in found.notes[0]


@pytest.mark.parametrize(("looks", "known"), [(census((4.9, ""), (35.1, "")), True), (census(), False)])
def test_an_instance_that_is_yet_to_come_and_never_counts_was_not_there_either(looks, known: bool):
    rows = [*healthy(), *scraped(QUERY, counter)]
    rows += scraped("up", instance="new-0", times=[at for at in EVERY_SECOND if at > 50])
    found = increase(Samples(table(SAMPLE_COLUMNS, rows), answers(rows), looks), QUERY, STEADY)
    assert (found.unknown == 0.0) is known, found.notes


def test_a_new_process_that_has_not_counted_yet_stands_at_zero():
    starts = scraped("process_start_time_seconds", lambda at: START_S if at < 21 else START_S + 1000)
    ended = scraped(QUERY, counter, times=[at for at in EVERY_SECOND if at < 20])
    both = [*STEADY, (float(wall_ms(65)), float(wall_ms(75)))]
    found = grown(*ended, others=[*scraped("up"), *starts], windows=both, bound=lambda a, b: 20 * (b - a) / 1000)
    # 20.3 s was scraped of the old process without the counter: it is the crash that is not known, until 21.3 s.
    assert (found.least, found.unknown) == (140.0, 40.0)


def test_a_counter_that_begins_with_nan_is_not_taken_for_zero():
    found = grown(*scraped(QUERY, lambda at: math.nan if at < 15 else counter(at)))
    assert found.least == 190.0
    assert found.unknown > 0


def test_a_series_born_in_a_gap_inside_the_window_began_at_zero():
    times = [at for at in EVERY_SECOND if not 10 < at < 15]
    late = scraped(QUERY, lambda at: round(RATE * (at - 12.8)), times=[at for at in times if at > 15])
    assert (grown(*late, others=healthy(times)).least, grown(*late, others=healthy(times)).unknown) == (215.0, 0.0)


def test_a_series_born_in_a_gap_over_the_windows_edge_is_unknown():
    times = [at for at in EVERY_SECOND if not 2 < at < 10]
    late = scraped(QUERY, lambda at: round(RATE * at), times=[at for at in times if at > 10])
    found = grown(*late, others=healthy(times))
    assert (found.least, found.unknown) == (240.0, 103.0)


def test_a_process_that_began_after_the_window_counted_nothing_in_it():
    times = [at for at in EVERY_SECOND if at > 50]
    began = (ns(49.0) + WALL_NS) / 1e9
    others = [*scraped("up", times=times), *scraped("process_start_time_seconds", lambda _at: began, times=times)]
    assert grown(*scraped(QUERY, counter, times=times), others=others).most == 0.0


def test_a_late_first_sample_of_an_old_process_is_unknown():
    times = [at for at in EVERY_SECOND if at > 15]
    found = grown(*scraped(QUERY, lambda at: round(RATE * (at - 14)), times=times), others=healthy(times))
    assert (found.least, found.unknown) == (190.0, 13.0)


def test_a_series_that_ends_early_is_unbounded_afterwards():
    times = [at for at in EVERY_SECOND if at < 20]
    found = grown(*scraped(QUERY, counter, times=times))
    assert found.least == 140.0
    assert math.isinf(found.unknown)
    assert "not scraped in the last" in found.notes[0]


def test_an_instance_of_the_same_service_that_could_not_be_scraped_is_unknown():
    other = scraped("up", lambda _at: 0.0, instance="sjc-1", service="unified-api")
    mine = [*scraped("up", service="unified-api"), *scraped("process_start_time_seconds", lambda _at: START_S)]
    found = grown(*scraped(QUERY, counter), others=[*mine, *other])
    assert math.isinf(found.unknown)
    assert "sjc-1 could not be scraped" in found.notes[0]


def test_a_dead_target_of_another_service_is_no_concern():
    other = scraped("up", lambda _at: 0.0, instance="weaviate-0", service="weaviate")
    mine = [*scraped("up", service="unified-api"), *scraped("process_start_time_seconds", lambda _at: START_S)]
    assert grown(*scraped(QUERY, counter), others=[*mine, *other]).unknown == 0.0


def test_nan_is_a_missing_sample():
    found = grown(*scraped(QUERY, lambda at: math.nan if 10 < at < 20 else counter(at)))
    assert (found.least, found.unknown) == (290.0, 0.0)
    only = grown(*scraped(QUERY, lambda _at: math.nan))
    assert math.isinf(only.unknown)


def test_several_series_and_windows_are_summed():
    two = [*scraped(QUERY, counter, result="a"), *scraped(QUERY, counter, result="b")]
    found = grown(*two, windows=[*STEADY, (float(wall_ms(65)), float(wall_ms(75)))])
    assert found.least == 2 * (290 + 90)


def test_a_process_that_never_counted_is_zero():
    born_later = scraped(QUERY, lambda at: round(at - 50), times=[at for at in EVERY_SECOND if at > 50])
    assert grown(*born_later).most == 0.0


# ---- as objectives --------------------------------------------------------------------------------------------------

GOOD, TOTAL = 'votes_total{result="agreed"}', "votes_total"
RATIO = CounterRatio(good=GOOD, total=TOTAL)


def votes(share_bad: float = 0.02, **changes) -> list[Row]:
    def bad(at: float) -> float:
        return round(share_bad * RATE * 100 * at)

    def agreed(at: float) -> float:
        return round(1000 * (100 + at)) - bad(at)

    return [
        *scraped(TOTAL, agreed, result="agreed", **changes),
        *scraped(TOTAL, bad, result="failed", **changes),
        *scraped(GOOD, agreed, result="agreed", **changes),
    ]


def judged(rows: list[Row], indicator=RATIO, target: float = 0.95, **more):
    asked = slo(indicator, target, **more.pop("slo", {}))
    return judge(evidence(samples=rows, **more), [asked]).objectives[0]


def test_a_ratio_of_increases():
    good, bad = judged([*healthy(), *votes(0.02)]), judged([*healthy(), *votes(0.1)])
    assert (good.verdict, bad.verdict) == (Verdict.PASS, Verdict.FAIL)
    assert good.events == 38_000
    assert good.measured == pytest.approx(0.98, abs=1e-4)


def test_bad_over_total():
    rows = [*healthy(), *votes(0.1), *scraped('votes_total{result="failed"}', lambda at: round(100 * at))]
    found = judged(rows, CounterRatio(bad='votes_total{result="failed"}', total=TOTAL))
    assert (found.verdict, found.bad) == (Verdict.FAIL, 3800)


@pytest.mark.parametrize(
    ("name", "spoil"),
    [
        ("no samples at all", lambda rows: []),
        ("only scrape health", lambda rows: healthy()),
        ("no series for good", lambda rows: [row for row in rows if row["query"] != GOOD]),
        ("no series for total", lambda rows: [row for row in rows if row["query"] != TOTAL]),
        ("nan everywhere", lambda rows: [r | {"value": math.nan} if "votes" in r["query"] else r for r in rows]),
        ("stopped in mid-window", lambda rows: [row for row in rows if row["t_ms"] < wall_ms(15)]),
        ("began after the window", lambda rows: [row for row in rows if row["t_ms"] > wall_ms(76)]),
        ("nothing in the window", lambda rows: [row for row in rows if not wall_ms(4) < row["t_ms"] < wall_ms(76)]),
    ],
)  # fmt: skip
def test_missing_samples_never_pass(name, spoil):
    rows = spoil([*healthy(), *votes(0.0)])
    found = judged(rows, metrics=answers(rows, TOTAL, GOOD, "up"))
    assert found.verdict is Verdict.INCONCLUSIVE, name


def test_a_table_that_is_missing_never_passes():
    assert judge(evidence(absent=("samples",)), [slo(RATIO)]).objectives[0].verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize("query", [GOOD, TOTAL, "up"])
@pytest.mark.parametrize("trouble", [{"error": "query timed out"}, {"warnings": ("partial",)}, {"samples": 10**6}])
def test_errors_warnings_and_truncation_never_pass(query, trouble):
    rows = [*healthy(), *votes(0.0)]
    spoiled = tuple(
        MetricAnswer(**{**answer.__dict__, **(trouble if answer.query == query else {})}) for answer in answers(rows)
    )
    assert judged(rows, metrics=spoiled).verdict is Verdict.INCONCLUSIVE


def test_a_query_that_was_not_asked_never_passes():
    rows = [*healthy(), *votes(0.0)]
    assert judged(rows, metrics=answers(healthy())).verdict is Verdict.INCONCLUSIVE


def test_more_good_than_all_is_a_contradiction():
    rows = [*healthy(), *scraped(TOTAL, counter), *scraped(GOOD, lambda at: 2 * counter(at))]
    found = judged(rows)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "more than all of" in found.reason


def test_a_counter_that_stood_still_decides_nothing():
    rows = [*healthy(), *scraped(TOTAL, lambda _at: 5), *scraped(GOOD, lambda _at: 5)]
    assert judged(rows).verdict is Verdict.INCONCLUSIVE


def test_prometheus_lost_in_mid_run_is_bounded_by_the_users_arrivals():
    bounded = CounterRatio(good=GOOD, total=TOTAL, per_arrival=1.0)
    rows = [row for row in [*healthy(), *votes(0.0)] if row["t_ms"] < wall_ms(34)]
    one = slo(bounded, 0.95)
    result = judge(evidence(samples=rows, metrics=answers(rows)), [one]).objectives[0]
    assert result.unknown > 500  # the whole second steady window
    assert result.verdict is Verdict.PASS  # 28,000 good ones weigh more than 1,300 arrivals
    assert judge(evidence(samples=rows, metrics=answers(rows)), [slo(bounded, 0.99)]).objectives[0].verdict is (
        Verdict.INCONCLUSIVE
    )


def test_cost_per_call():
    per = IncreasePer(query="cost_total", per="calls_total", unit="usd")
    rows = [*healthy(), *scraped("cost_total", lambda at: 0.0004 * counter(at)), *scraped("calls_total", counter)]
    cheap = judged(rows, per, 0.99, slo={"op": "lt", "value": 0.001})
    assert cheap.verdict is Verdict.PASS
    assert cheap.measured == pytest.approx(0.0004)
    assert (cheap.unit, cheap.comparison, cheap.target) == ("usd", "<", 0.001)
    assert judged(rows, per, 0.99, slo={"op": "lt", "value": 0.0002}).verdict is Verdict.FAIL
    assert judged(rows, per, 0.99, slo={"op": "lt", "value": 0.001, "minimum_events": 300}).verdict is Verdict.PASS
    assert judged(rows, per, 0.99, slo={"op": "lt", "value": 0.001, "minimum_events": 10_000}).verdict is (
        Verdict.INCONCLUSIVE
    )
    full = judged(rows, per, 0.99, slo={"op": "lt", "value": 0.001}, scenario=scenario(claim="system"))
    assert (full.claim, full.verdict) == ("run", Verdict.PASS)  # one value: nothing is inferred from it
    unscraped = [row for row in rows if row["t_ms"] < wall_ms(15)]
    assert judged(unscraped, per, 0.99, slo={"op": "lt", "value": 0.001}).verdict is Verdict.INCONCLUSIVE
    still = [*healthy(), *scraped("cost_total", counter), *scraped("calls_total", lambda _at: 1.0)]
    assert judged(still, per, 0.99, slo={"op": "lt", "value": 0.001}).verdict is Verdict.INCONCLUSIVE


def test_share_of_scrapes_of_a_gauge():
    gauge = GaugeShare(query="gpu_use")

    def share(value, **more):
        rows = [*healthy(), *scraped("gpu_use", value, **more)]
        return judged(rows, gauge, 0.9, slo={"op": "gt", "value": 0.8}, metrics=answers(rows, "gpu_use"))

    assert share(lambda _at: 0.9).verdict is Verdict.PASS
    assert share(lambda at: 0.9 if at < 10 else 0.1).verdict is Verdict.FAIL
    half = share(lambda _at: 0.9, times=[at for at in EVERY_SECOND if at < 20])
    assert half.verdict is Verdict.INCONCLUSIVE
    assert half.unknown == 25
    assert share(lambda _at: 0.9, times=[]).verdict is Verdict.INCONCLUSIVE


def test_a_clock_that_prometheus_does_not_share_is_taken_into_account():
    from harness.model.events import ClockRead
    from harness.testing.evidence import happened

    events = happened(ClockRead(clock="prometheus", offset_ns=3_000_000_000, error_ns=1), without=(ClockRead,))
    facts = Facts(evidence(events=events), [])
    clock = facts.prometheus_clock
    assert clock is not None
    assert clock.offset_ns == WALL_NS + 3_000_000_000


def test_a_narrower_selector_is_read_from_a_wider_one_that_was_recorded():
    wide = [row for row in [*healthy(), *votes(0.1)] if row["query"] != GOOD]
    assert judged(wide).verdict is Verdict.FAIL
    assert judged(wide, CounterRatio(good='votes_total{result="none"}', total=TOTAL)).verdict is Verdict.INCONCLUSIVE
    narrow = [row for row in [*healthy(), *votes(0.1)] if row["query"] != TOTAL]
    assert judged(narrow).verdict is Verdict.INCONCLUSIVE  # the total cannot be read from a part of it
