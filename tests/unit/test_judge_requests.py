"""Ratios of requests: what is good, bad and unknown, each with its negative."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa
import pytest

from harness.judge import judge
from harness.model.evidence import Evidence
from harness.model.judgement import ObjectiveResult, Verdict
from harness.model.records import REQUEST_COLUMNS, Content, Outcome
from harness.model.slo import RequestFilter, RequestRatio, Slo
from harness.testing.evidence import evidence, happened, scenario, slo, steadily, table, within

SERVED = RequestRatio(table="requests", total=RequestFilter(), good=RequestFilter(outcome="served"))
FAST = RequestRatio(table="requests", total=RequestFilter(), good=RequestFilter(outcome="served", faster_than=0.15))
STEADY_REQUESTS = 2000  # 5–35 and 65–75 at 50/s


def one(evidence: Evidence, asked: Slo) -> ObjectiveResult:
    return judge(evidence, [asked]).objectives[0]


def counts(result: ObjectiveResult) -> tuple[int, int, int]:
    return result.events, result.bad, result.unknown


def test_all_good_in_the_steady_windows():
    result = one(evidence(), slo(SERVED, 0.999))
    assert result.verdict is Verdict.PASS
    assert counts(result) == (STEADY_REQUESTS, 0, 0)
    assert "100 % of 2,000 requests were good" in result.reason


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"status": 500}, "server error"),
        ({"status": 404}, "turned away"),
        ({"outcome": Outcome.TIMEOUT}, "timed out"),
        ({"outcome": Outcome.REFUSED}, "found no connection"),
        ({"outcome": Outcome.BROKEN}, "broken off"),
        ({"content": Content.WRONG}, "wrong content"),
        ({"level": 3}, "degraded answer"),
    ],
)
def test_each_kind_of_failure_is_bad_and_named(change, word):
    rows = steadily(change=within((10.0, 10.4), **change))
    result = one(evidence(requests=rows), slo(SERVED, 0.999))
    assert result.verdict is Verdict.FAIL
    assert counts(result) == (STEADY_REQUESTS, 20, 0)
    assert word in result.reason


@pytest.mark.parametrize("change", [{"outcome": Outcome.DROPPED}, {"outcome": Outcome.UNFINISHED}, {"level": 0}])
def test_what_nobody_saw_is_unknown(change):
    rows = steadily(change=within((10.0, 10.4), **change))
    result = one(evidence(requests=rows), slo(SERVED, 0.999))
    assert result.verdict is Verdict.INCONCLUSIVE
    assert counts(result) == (STEADY_REQUESTS, 0, 20)


def test_unknown_does_not_hide_a_miss():
    rows = steadily(
        change=lambda n, _at: {"status": 500} if n % 2 else {"outcome": Outcome.DROPPED} if n % 50 == 0 else None
    )
    assert one(evidence(requests=rows), slo(SERVED, 0.9)).verdict is Verdict.FAIL


def test_a_skipped_step_is_no_event():
    rows = steadily(change=within((10.0, 10.4), outcome=Outcome.SKIPPED))
    result = one(evidence(requests=rows), slo(SERVED, 0.999))
    assert counts(result) == (STEADY_REQUESTS - 20, 0, 0)
    assert any("step before had failed" in note for note in result.notes)


def test_an_arrival_without_a_record_is_unknown_in_its_own_window_only():
    rows = [row for row in steadily() if not 500 <= row["arrival"] < 510]  # 10.0–10.2 s
    result = one(evidence(requests=rows), slo(SERVED, 0.999))
    assert counts(result) == (STEADY_REQUESTS, 0, 10)
    fault = one(evidence(requests=rows), slo(SERVED, 0.999, window="fault"))
    assert counts(fault) == (1500, 0, 0)


def test_a_generator_that_died_leaves_all_later_arrivals_unknown():
    rows = steadily()[:1000]  # until 20 s
    result = one(evidence(requests=rows), slo(SERVED, 0.9))
    assert result.verdict is Verdict.INCONCLUSIVE
    # Their times are not known but for being later, so each may have been due in either steady window.
    assert result.unknown >= 1250
    assert result.events - result.unknown == 750


def test_without_the_schedule_what_is_recorded_still_counts():
    events = happened(without=(type(happened()[12]),))
    result = one(evidence(events=events), slo(SERVED, 0.999))
    assert counts(result) == (STEADY_REQUESTS, 0, 0)


def test_no_table_and_an_empty_one_are_inconclusive():
    assert one(evidence(absent=("requests",)), slo(SERVED, 0.999)).verdict is Verdict.INCONCLUSIVE
    assert one(evidence(requests=[]), slo(SERVED, 0.999)).verdict is Verdict.INCONCLUSIVE


def test_no_window_of_that_kind_is_inconclusive():
    events = tuple(e for e in happened() if getattr(e, "kind", "") != "steady")
    result = one(evidence(events=events), slo(SERVED, 0.999))
    assert result.verdict is Verdict.INCONCLUSIVE
    assert "no steady window" in result.reason


# ---- latency --------------------------------------------------------------------------------------------------------


def test_latency_counts_from_the_intended_start():
    rows = steadily(change=within((10.0, 20.0), latency=0.2))
    result = one(evidence(requests=rows), slo(FAST, 0.95))
    assert result.verdict is Verdict.FAIL
    assert counts(result) == (STEADY_REQUESTS, 500, 0)
    assert "500 were not (500 were too slow)" in result.reason


def test_exactly_the_limit_is_too_slow():
    rows = steadily(change=lambda _n, _at: {"latency": 0.15})
    assert one(evidence(requests=rows), slo(FAST, 0.95)).verdict is Verdict.FAIL


def test_a_late_start_makes_latency_an_interval_and_decides_neither_way():
    # 100 ms late at the generator, 100 ms at the server: 200 ms for the user, 100 ms is the server's.
    rows = steadily(change=within((10.0, 20.0), latency=0.2, late=0.1))
    result = one(evidence(requests=rows), slo(FAST, 0.95))
    assert result.verdict is Verdict.INCONCLUSIVE
    assert counts(result) == (STEADY_REQUESTS, 0, 500)


def test_a_fail_holds_at_the_lower_end():
    rows = steadily(change=within((10.0, 20.0), latency=0.3, late=0.1))
    assert one(evidence(requests=rows), slo(FAST, 0.95)).verdict is Verdict.FAIL


def test_a_fast_error_is_not_a_good_latency():
    rows = steadily(change=within((10.0, 20.0), status=500, latency=0.001))
    assert one(evidence(requests=rows), slo(FAST, 0.95)).verdict is Verdict.FAIL


# ---- windows and levels ---------------------------------------------------------------------------------------------


DEGRADED = within((37.0, 50.0), level=3)


def promising(*levels: int) -> Slo:
    return slo(SERVED, 0.99, window="fault", experiment="kill-weaviate", levels=",".join(map(str, levels)))


def test_a_promised_level_counts_as_served_inside_the_fault_window():
    assert one(evidence(requests=steadily(change=DEGRADED)), promising(1, 3)).verdict is Verdict.PASS


def test_a_level_that_was_not_promised_does_not():
    assert one(evidence(requests=steadily(change=DEGRADED)), promising(1, 2)).verdict is Verdict.FAIL


def test_the_promise_of_one_objective_holds_for_the_whole_run_too():
    run = slo(SERVED, 0.999, window="run")
    both = judge(evidence(requests=steadily(change=DEGRADED)), [promising(1, 3), run])
    assert [result.verdict for result in both.objectives] == [Verdict.PASS, Verdict.PASS]
    alone = judge(evidence(requests=steadily(change=DEGRADED)), [run])
    assert alone.objectives[0].verdict is Verdict.FAIL


def test_outside_of_the_fault_window_a_promised_level_is_a_bad_answer():
    rows = steadily(change=within((66.0, 70.0), level=3))
    both = judge(evidence(requests=rows), [promising(1, 3), slo(SERVED, 0.999)])
    assert [result.verdict for result in both.objectives] == [Verdict.PASS, Verdict.FAIL]


def test_errors_inside_a_fault_window_do_not_count_as_steady():
    rows = steadily(change=within((36.0, 60.0), status=503))
    both = judge(evidence(requests=rows), [slo(SERVED, 0.999), slo(SERVED, 0.99, window="fault")])
    assert [result.verdict for result in both.objectives] == [Verdict.PASS, Verdict.FAIL]


def test_a_request_belongs_to_the_window_it_was_intended_in():
    # Intended in the last second of the steady window, over in the fault window, and slow.
    rows = steadily(change=within((34.0, 35.0), latency=4.0))
    result = one(evidence(requests=rows), slo(FAST, 0.99))
    assert counts(result) == (STEADY_REQUESTS, 50, 0)


def test_warm_up_is_never_judged():
    rows = steadily(change=within((0.0, 5.0), status=500))
    assert one(evidence(requests=rows), slo(SERVED, 0.999, window="run")).verdict is Verdict.PASS


# ---- filters --------------------------------------------------------------------------------------------------------


def test_filters_by_journey_content_region_and_release():
    def change(n: int, _at: float):
        return {
            "journey": ("chat", "search")[n % 2],
            "release": ("1", "2")[n % 2],
            "region": "lax" if n % 4 == 0 else "sjc",
            "content": Content.WRONG if n % 4 == 0 else Content.RIGHT,
        }

    run = evidence(requests=steadily(change=change))

    def share(good: RequestFilter, total: RequestFilter) -> float | None:
        return one(run, slo(RequestRatio(table="requests", total=total, good=good), 0.5)).measured

    chat = RequestFilter(journeys=("chat",))
    assert share(RequestFilter(journeys=("chat",), content="right"), chat) == 0.5
    assert share(RequestFilter(regions=("sjc",)), chat) == 0.5
    assert share(RequestFilter(releases=("2",)), RequestFilter()) == 0.5
    assert share(RequestFilter(content="wrong"), chat) == 0.5
    assert share(RequestFilter(journeys=("search",), content="right"), RequestFilter(journeys=("search",))) == 1.0


def test_a_failure_that_names_no_release_may_be_anybodys():
    rows = steadily(change=within((10.0, 10.4), outcome=Outcome.TIMEOUT))
    canary = RequestFilter(releases=("1.0.0",))
    ratio = RequestRatio(table="requests", total=canary, good=RequestFilter(outcome="served", releases=("1.0.0",)))
    assert counts(one(evidence(requests=rows), slo(ratio, 0.999))) == (STEADY_REQUESTS, 0, 20)


def test_unchecked_content_is_unknown_only_where_content_is_asked_for():
    rows = steadily(change=within((10.0, 10.4), content=Content.UNCHECKED))
    right = RequestRatio(table="requests", total=RequestFilter(), good=RequestFilter(content="right"))
    assert counts(one(evidence(requests=rows), slo(right, 0.999))) == (STEADY_REQUESTS, 0, 20)
    assert counts(one(evidence(requests=rows), slo(SERVED, 0.999))) == (STEADY_REQUESTS, 0, 0)


def test_bad_over_total_is_the_same_as_good_over_total():
    rows = steadily(change=within((10.0, 10.4), status=500))
    bad = RequestRatio(table="requests", total=RequestFilter(), bad=RequestFilter(outcome="error"))
    by_bad, by_good = (one(evidence(requests=rows), slo(ratio, 0.99)) for ratio in (bad, SERVED))
    assert counts(by_bad) == counts(by_good) == (STEADY_REQUESTS, 20, 0)


def test_the_beacon_can_be_counted_too():
    ratio = RequestRatio(table="beacon", total=RequestFilter(), good=RequestFilter(outcome="served"))
    assert one(evidence(), slo(ratio, 0.999)).events == 2000


# ---- claims ---------------------------------------------------------------------------------------------------------


def test_a_claim_on_the_platform_needs_more_events_than_one_on_the_run():
    run = one(evidence(), slo(SERVED, 0.999, claim="run", correlation="0s"))
    platform = one(evidence(), slo(SERVED, 0.999, claim="system", correlation="0s"))
    assert (run.verdict, platform.verdict) == (Verdict.PASS, Verdict.INCONCLUSIVE)
    assert "995 requests more without a bad one would do" in platform.reason
    assert platform.interval == run.interval
    assert platform.observed.low == 1.0


def test_the_scenario_claims_for_steady_windows_only():
    full = scenario(claim="system")
    results = judge(evidence(scenario=full), [slo(SERVED, 0.999), slo(SERVED, 0.999, window="run")]).objectives
    assert [result.claim for result in results] == ["system", "run"]
    assert [result.verdict for result in results] == [Verdict.INCONCLUSIVE, Verdict.PASS]


def test_fewer_events_than_declared_decide_nothing():
    result = one(evidence(), slo(SERVED, 0.9, minimum_events=2001))
    assert result.verdict is Verdict.INCONCLUSIVE
    assert "only 2,000 requests" in result.reason


def test_duplicate_rows_count_once_and_are_told():
    rows = steadily()
    judgement = judge(evidence(requests=rows + rows[500:520]), [slo(SERVED, 0.999)])
    assert judgement.objectives[0].events == STEADY_REQUESTS
    assert any("recorded twice" in finding.reason for finding in judgement.findings)


def test_a_column_with_empty_cells_is_the_judges_failure_not_a_pass():
    broken = table(REQUEST_COLUMNS, steadily())
    broken = broken.set_column(3, "started_ns", pa.array([None] * broken.num_rows, pa.int64()))
    result = one(replace(evidence(), requests=broken), slo(SERVED))
    assert result.verdict is Verdict.INCONCLUSIVE
    assert "the judge itself failed: ValueError" in result.reason
    assert any("Traceback" in note for note in result.notes)
