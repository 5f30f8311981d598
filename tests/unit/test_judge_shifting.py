"""How users came to a region: step by step, all at once, or nobody knows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from harness.judge import judge
from harness.judge.explain import explain
from harness.model.judgement import ObjectiveResult, Verdict
from harness.model.records import Outcome
from harness.model.slo import TrafficShift
from harness.testing.evidence import Row, evidence, probes, slo, steadily

GRADUAL = slo(TrafficShift(to="sjc"), 0.95, op="lte", value=0.6, window="fault")
IN_TIME = slo(TrafficShift(to="sjc", measure="seconds"), 0.95, op="lte", value=20.0, window="fault")
STEPS = {38.0: 0.1, 45.0: 0.5, 52.0: 1.0}
Change = Callable[[int, float], Mapping[str, Any] | None]


def shifted(steps: Mapping[float, float], but: Change = lambda *_: None) -> Change:
    """From each of these seconds on that share of the users is answered by sjc, the others by lax."""

    def region(number: int, at: float) -> Mapping[str, Any]:
        share = max(((since, share) for since, share in steps.items() if since <= at), default=(0.0, 0.0))[1]
        return {
            "region": "sjc" if int((number + 1) * share) > int(number * share) else "lax",
            **(but(number, at) or {}),
        }

    return region


def judged(
    change: Change,
    objective: object = GRADUAL,
    keep: Callable[[Row], bool] = lambda _: True,
    beacon: Change | None = None,
) -> ObjectiveResult:
    """`beacon`: how its probes were answered, where unlike users."""
    requests = [row for row in steadily(change=change) if keep(row)]
    told = evidence(requests=requests, beacon=[row for row in probes(change=beacon or change) if keep(row)])
    return judge(told, [objective]).objectives[0]


def silent(low: float, high: float) -> Callable[[Row], bool]:
    """Without what was intended in between."""
    from harness.testing.evidence import ns

    return lambda row: not ns(low) <= row["intended_ns"] < ns(high)


def test_steps_of_10_50_and_100_per_cent_are_gradual():
    result = judged(shifted(STEPS))
    assert result.verdict is Verdict.PASS
    assert result.interval.high == pytest.approx(0.5, abs=0.02)
    assert "sjc got at most 50 points more of the users at once" in result.reason


@pytest.mark.parametrize(
    ("steps", "points"), [({45.0: 1.0}, 1.0), ({38.0: 0.1, 45.0: 0.9, 52.0: 1.0}, 0.8), ({38.0: 0.3, 45.0: 1.0}, 0.7)]
)
def test_users_who_jump_are_no_gradual_shift(steps: Mapping[float, float], points: float):
    result = judged(shifted(steps))
    assert result.verdict is Verdict.FAIL
    assert result.interval.low == pytest.approx(points, abs=0.02)


@pytest.mark.parametrize("moved", [48.0, 37.0, 52.0])
def test_users_who_jump_beside_probes_that_follow_the_steps(moved: float):
    """As where connections are balanced: probes open new ones, users keep theirs."""
    result = judged(shifted({moved: 1.0}), beacon=shifted(STEPS))
    assert (result.verdict, result.interval.low) == (Verdict.FAIL, pytest.approx(1.0, abs=0.02))


def test_probes_are_no_users():
    result = judged(shifted(STEPS), beacon=shifted({45.0: 1.0}))
    assert (result.verdict, result.interval.high) == (Verdict.PASS, pytest.approx(0.5, abs=0.02))
    in_time = judged(shifted(STEPS), IN_TIME, beacon=shifted({}))
    assert in_time.verdict is Verdict.PASS


@pytest.mark.parametrize("end", [{52.0: 0.5}, {46.0: 0.0}])
def test_a_jump_that_was_seen_is_one_whatever_came_after_it(end: Mapping[float, float]):
    result = judged(shifted({38.0: 1.0, **end}))
    assert (result.verdict, result.interval.low) == (Verdict.FAIL, pytest.approx(1.0, abs=0.02))
    assert result.interval.high is None
    assert "got 100 points more of the users at once" in result.reason


def test_steps_that_follow_at_once_are_one():
    assert judged(shifted({45.0: 0.1, 45.5: 0.5, 46.0: 1.0})).verdict is Verdict.FAIL


def test_who_answered_in_between_is_not_known_so_nothing_is():
    result = judged(shifted(STEPS), keep=silent(44.0, 48.0))
    assert result.verdict is Verdict.INCONCLUSIVE
    assert result.interval.high == pytest.approx(1.0, abs=0.01)


def test_a_gap_elsewhere_does_not_excuse_a_jump():
    assert judged(shifted({58.0: 1.0}), keep=silent(40.0, 44.0)).verdict is Verdict.FAIL


@pytest.mark.parametrize("what", [{"region": ""}, {"outcome": Outcome.TIMEOUT}, {"outcome": Outcome.UNFINISHED}])
def test_answers_of_nobody_may_have_been_anybodys(what: Mapping[str, Any]):
    but: Change = lambda number, at: what if 42.0 <= at < 49.0 and number % 4 else None  # noqa: E731
    assert judged(shifted(STEPS, but)).verdict is Verdict.INCONCLUSIVE


def test_a_few_failures_change_nothing():
    but: Change = lambda number, at: {"outcome": Outcome.REFUSED} if 44.9 < at < 45.1 else None  # noqa: E731
    assert judged(shifted(STEPS, but)).verdict is Verdict.PASS


def test_no_record_at_all():
    result = judged(shifted(STEPS), keep=lambda _: False)
    assert (result.verdict, result.reason.startswith("there is no record")) == (Verdict.INCONCLUSIVE, True)


def test_few_answers_say_nothing():
    result = judged(shifted(STEPS), slo(TrafficShift(to="sjc", least=500), 0.95, op="lte", value=0.6, window="fault"))
    assert result.verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize("steps", [{}, {38.0: 0.1, 45.0: 0.5}])
def test_a_shift_that_did_not_come_to_its_end_is_not_gradual(steps: Mapping[float, float]):
    result = judged(shifted(steps))
    assert result.verdict is Verdict.INCONCLUSIVE
    assert "was to answer all users: not so" in result.reason
    assert result.interval.high is None
    assert judged(shifted(steps), IN_TIME).verdict is Verdict.FAIL


def test_time_until_all_users_stayed():
    result = judged(shifted(STEPS), IN_TIME)
    assert result.verdict is Verdict.PASS
    assert result.interval.high == pytest.approx(17.0, abs=0.3)  # the window begins at 35
    back = judged(shifted({38.0: 1.0, 44.0: 0.5, 60.0: 1.0}), IN_TIME)
    assert (back.verdict, back.interval.low) == (Verdict.FAIL, pytest.approx(25.0, abs=0.3))


def test_the_shares_are_shown():
    told = evidence(requests=steadily(change=shifted(STEPS)), beacon=probes(change=shifted(STEPS)))
    judgement = judge(told, [GRADUAL])
    (shown,) = explain(told, [GRADUAL], judgement, GRADUAL.name, 100)
    assert [float(row[1]) for row in shown.rows[0].rows][-1] == 1.0
    assert 5 < shown.rows[0].total <= 40
