"""Claims on the platform in a whole judgement: what hangs together, how many count, and the correction."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from harness.judge import judge
from harness.model.events import Window
from harness.model.judgement import Judgement, ObjectiveResult, Verdict
from harness.model.records import Outcome
from harness.model.slo import CheckRatio, RequestFilter, RequestRatio, Slo
from harness.testing.evidence import RATE, evidence, happened, ns, request, scenario, slo, steadily, within

SERVED = RequestRatio(table="requests", total=RequestFilter(), good=RequestFilter(outcome="served"))
STEADY_S = 40  # 5–35 and 65–75


def judged(*asked: Slo, **changes: Any) -> Judgement:
    return judge(evidence(**changes), asked)


def one(asked: Slo, **changes: Any) -> ObjectiveResult:
    return judged(asked, **changes).objectives[0]


def system(target: float, **more: Any) -> Slo:
    return slo(SERVED, target, claim="system", **more)


def test_events_within_the_correlation_length_count_as_few():
    result = one(system(0.9))
    assert (result.verdict, result.correlation_s, result.events) == (Verdict.PASS, 1.0, STEADY_S * RATE)
    assert result.effective == pytest.approx(STEADY_S * 8 / 9, rel=0.05)
    assert "independent ones: those within 1s may hang together" in result.reason
    assert one(system(0.95)).verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize(
    ("length", "verdict"), [("0s", Verdict.PASS), ("200ms", Verdict.PASS), ("2s", Verdict.INCONCLUSIVE)]
)
def test_an_objective_may_declare_another_length(length, verdict):
    result = one(system(0.95, correlation=length))
    assert result.verdict is verdict
    assert (result.effective is None) == (length == "0s")


def test_the_scenario_declares_it_for_all():
    assert one(system(0.95), scenario=scenario(correlation=0.2)).correlation_s == 0.2


def test_a_burst_counts_no_more_than_its_block_and_the_same_number_spread_counts_each():
    burst = one(system(0.9), requests=steadily(change=within((10.0, 10.48), status=500)))
    spread = one(system(0.9), requests=steadily(change=lambda n, _at: {"status": 500} if n % 80 == 0 else None))
    assert burst.bad == spread.bad == 24
    assert burst.interval.low == pytest.approx(spread.interval.low, abs=0.02)
    assert burst.interval.low < one(system(0.9)).interval.low


def test_what_left_no_record_makes_none_more_of_the_rest():
    whole = one(system(0.9))
    lost = one(system(0.9), requests=[row for row in steadily() if not 500 <= row["arrival"] < 520])
    assert lost.unknown == 20
    assert lost.effective < whole.effective
    assert lost.interval.low < whole.interval.low
    unseen = one(system(0.9), requests=steadily(change=within((10.0, 10.4), outcome=Outcome.UNFINISHED)))
    assert unseen.interval.low < whole.interval.low


def test_windows_that_touch_share_their_blocks():
    """A window cut in two holds no more independent events than the whole."""
    rows = [request(number, number / RATE) for number in range(round(20 * RATE))]

    def effective(*edges: float) -> float:
        spans = tuple(Window(kind="steady", start_ns=ns(a), end_ns=ns(b), mono_ns=ns(b)) for a, b in pairwise(edges))
        found = one(
            system(0.9), requests=rows, events=(*happened(without=(Window,), expected=len(rows)), *spans)
        ).effective
        assert found is not None
        return found

    assert effective(0, 20) == effective(0, 3.3, 3.37, 11.01, 20)


def test_the_correction_counts_the_claims_on_the_platform_and_nothing_that_happened():
    asked = [system(0.9, name="a"), system(0.99, name="b"), slo(SERVED, 0.9, name="c", claim="run")]
    for rows in (steadily(), steadily(change=within((5.0, 75.0), status=500))):
        told = judged(*asked, requests=rows)
        assert told.correction is not None
        assert (told.correction.claims, told.correction.false_fail) == (2, 0.05)
        assert [result.fail_confidence for result in told.objectives] == [0.975, 0.975, None]
    assert one(system(0.9), scenario=scenario(false_fail=0.5)).fail_confidence == 0.95, "never below its own"
    about_another = slo(SERVED, 0.9, claim="system", window="fault", experiment="gpu-loss")
    assert judged(system(0.9), about_another).correction.claims == 1, "what the run does not judge is no claim"


def test_a_fail_of_one_among_many_needs_more():
    rows = steadily(change=lambda n, _at: {"status": 500} if n % 100 < 21 else None)
    alone = one(system(0.9), requests=rows)
    many = judged(system(0.9), *(system(0.5, name=f"other-{n}") for n in range(40)), requests=rows).objectives[0]
    assert alone.interval.low == many.interval.low
    assert alone.interval.high < many.interval.high


def test_events_without_times_are_worth_one():
    result = one(slo(CheckRatio(), 0.9, window="run", claim="system"), events=happened())
    assert result.verdict is Verdict.INCONCLUSIVE
