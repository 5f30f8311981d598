"""Scale-up response: from the schedule's step until a new instance is Ready and has answered users."""

from __future__ import annotations

from typing import Any

import pytest

from harness.judge import judge
from harness.model import events as e
from harness.model.evidence import Evidence
from harness.model.judgement import ObjectiveResult, Verdict
from harness.model.records import Outcome
from harness.model.slo import ScaleUpTime
from harness.testing.evidence import END_S, Row, evidence, happened, ns, slo, steadily

STEP_S = 20.0
OLD = ("api-a", "api-b")
WITHIN = slo(ScaleUpTime(service="api", region="sjc"), 0.95, op="lt", value=30.0, window="run")


def schedule(**changes: Any) -> e.ScheduleFixed:
    arrivals = {"kind": "step", "rate": 10.0, "to": 90.0, "at": "20s", **changes}
    arrivals = {key: value for key, value in arrivals.items() if value is not None}
    return e.ScheduleFixed(origin_ns=ns(0), seed=1, duration_s=END_S, arrivals=arrivals, expected=1)


def ready(at: float, *names: str, unready: tuple[str, ...] = (), service: str = "api") -> e.ReadinessSeen:
    """Seen by a look at `at`; the one before was half a second earlier."""
    since = ns(at - 0.5) if at > 0.5 else 0
    return e.ReadinessSeen(
        service=service, region="sjc", ready=names, unready=unready, since_ns=since, seen_ns=ns(at + 0.01)
    )


def watched(until: float = END_S, longest: float = 0.6) -> e.ReadinessWatched:
    return e.ReadinessWatched(
        from_ns=ns(0), until_ns=ns(until), every_s=0.5, looks=int(until * 2), failed=0, longest_s=longest
    )


def answered(**first: float) -> list[Row]:
    """Requests of the old instances, and from its second on each of these ones takes every fourth."""
    rows = steadily()
    for number, row in enumerate(rows):
        there = [name for name, at in first.items() if row["intended_ns"] >= ns(at)]
        row["instance"] = f"api-{there[number // 4 % len(there)]}" if there and number % 4 == 0 else OLD[number % 2]
    return rows


def run(*looks: e.AnyEvent, requests: list[Row] | None = None, **schedule_: Any) -> Evidence:
    events = (*happened(without=(e.ScheduleFixed,)), schedule(**schedule_), *looks)
    return evidence(events=events, requests=answered(c=38.0) if requests is None else requests)


def judged(*looks: e.AnyEvent, objective: object = WITHIN, **more: Any) -> ObjectiveResult:
    return judge(run(*looks, **more), [objective]).objectives[0]


GROWN = (ready(0.2, *OLD), ready(30.0, *OLD, unready=("api-c",)), ready(37.0, *OLD, "api-c"))


def test_an_instance_that_is_ready_and_answers_in_time():
    result = judged(*GROWN, watched())
    assert result.verdict is Verdict.PASS
    assert result.interval.low == pytest.approx(18.0, abs=0.1)  # users met it later than it was Ready
    assert result.interval.high == result.interval.low
    assert "1 instance of api in sjc more than the 2 that were there" in result.reason
    assert "Ready after 16.5 to 17.0 s, users answered by them after 18.0 s" in result.reason


def test_ready_is_known_to_a_look():
    result = judged(*GROWN, watched(), requests=answered(c=36.6))
    assert result.interval.low == pytest.approx(16.62, abs=0.1)
    assert result.interval.high == pytest.approx(17.01, abs=0.001)


def test_too_late_fails():
    assert judged(ready(0.2, *OLD), ready(51.0, *OLD, "api-c"), watched(), requests=answered(c=51.5)).verdict is (
        Verdict.FAIL
    )


def test_a_platform_that_does_not_scale_fails():
    result = judged(ready(0.2, *OLD), watched(), requests=answered())
    assert result.verdict is Verdict.FAIL
    assert "not Ready within the" in result.reason


def test_watched_for_too_short_a_time_is_not_known():
    assert judged(ready(0.2, *OLD), watched(until=45.0), requests=answered()).verdict is Verdict.INCONCLUSIVE


def test_ready_and_never_met_by_users_fails():
    result = judged(*GROWN, watched(), requests=answered())
    assert result.verdict is Verdict.FAIL
    assert "but only 0 of 1 new instance had answered users" in result.reason


def test_a_bad_answer_is_no_service():
    rows = answered(c=38.0)
    for row in rows:
        if row["instance"] == "api-c":
            row["status"] = 503
    assert judged(*GROWN, watched(), requests=rows).verdict is Verdict.FAIL
    for row in rows:
        if row["instance"] == "api-c":
            row["outcome"] = int(Outcome.BROKEN)
    assert judged(*GROWN, watched(), requests=rows).verdict is not Verdict.PASS


def test_a_replacement_is_no_growth():
    replaced = (ready(0.2, *OLD), ready(25.0, "api-a"), ready(30.0, "api-a", "api-c"))
    assert judged(*replaced, watched()).verdict is Verdict.FAIL


REPLACED = (ready(0.2, *OLD), ready(30.0, "api-a", "api-c"), ready(37.0, "api-a", "api-c", "api-d"))


@pytest.mark.parametrize("answers", [{"c": 31.0}, {"d": 38.0}])
def test_a_replacement_does_not_stand_in_for_the_one_that_was_added(answers: dict[str, float]):
    """b was replaced: one of c and d did that, so only both are one more that serves."""
    result = judged(*REPLACED, watched(), requests=answered(**answers))
    assert result.verdict is Verdict.FAIL
    assert "but only 1 of 2 new instances had answered users" in result.reason


def test_with_the_replacement_both_have_answered():
    result = judged(*REPLACED, watched(), requests=answered(c=31.0, d=38.0))
    assert result.verdict is Verdict.PASS
    assert result.interval.low == result.interval.high == pytest.approx(18.0, abs=0.2)


def test_more_than_asked_for_need_not_all_have_answered():
    looks = (ready(0.2, *OLD), ready(37.0, *OLD, "api-c", "api-d"))
    assert judged(*looks, watched(), requests=answered(d=38.0)).verdict is Verdict.PASS


def test_one_that_goes_before_a_user_met_it_is_followed_by_the_next():
    looks = (*GROWN, ready(38.0, *OLD), ready(41.0, *OLD, "api-d"))
    result = judged(*looks, watched(), requests=answered(d=42.0))
    assert result.verdict is Verdict.PASS
    assert result.interval.high == pytest.approx(22.0, abs=0.2)


def test_one_that_was_on_its_way_before_the_step_is_none_that_was_added():
    early = (ready(0.2, *OLD), ready(15.0, *OLD, unready=("api-c",)), ready(22.0, *OLD, "api-c"))
    assert judged(*early, watched(), requests=answered(c=23.0)).verdict is Verdict.FAIL


def test_as_many_as_asked_for():
    both = slo(ScaleUpTime(service="api", region="sjc", added=2), 0.95, op="lt", value=30.0, window="run")
    assert judged(*GROWN, watched(), objective=both).verdict is Verdict.FAIL
    more = (*GROWN, ready(40.0, *OLD, "api-c", "api-d"))
    result = judged(*more, watched(), objective=both, requests=answered(c=38.0, d=41.0))
    assert result.verdict is Verdict.PASS
    assert result.interval.high == pytest.approx(21.0, abs=0.2)


@pytest.mark.parametrize(
    ("looks", "changes", "told"),
    [
        ((), {}, "nobody watched"),
        (GROWN, {}, "nobody watched"),  # the watch did not come to its end
        ((watched(), ready(0.2, *OLD, service="other")), {}, "nobody watched"),
        ((ready(0.2, *OLD), watched(longest=6.0)), {}, "for 6.0 s nobody could tell"),
        ((ready(30.0, *OLD, "api-c"), watched()), {}, "was not looked at"),
        ((*GROWN, watched()), {"kind": "constant", "to": None, "at": None}, "no rising step"),
        ((*GROWN, watched()), {"rate": 90.0, "to": 10.0}, "no rising step"),
        ((*GROWN, watched()), {"at": "10m"}, "ended before its step"),
        ((*GROWN, watched()), {"at": None}, "cannot be read"),
    ],
)
def test_what_is_missing_never_passes(looks: tuple[e.AnyEvent, ...], changes: dict[str, Any], told: str):
    result = judged(*looks, **changes)
    assert result.verdict is Verdict.INCONCLUSIVE
    assert told in result.reason


def test_a_pause_of_the_watch_leaves_only_its_upper_end():
    result = judged(*GROWN, watched(longest=6.0))
    assert result.verdict is Verdict.PASS
    late = judged(ready(0.2, *OLD), ready(51.0, *OLD, "api-c"), watched(longest=6.0), requests=answered(c=37.0))
    assert late.verdict is Verdict.INCONCLUSIVE


def test_responses_that_name_nobody_tell_nothing():
    result = judged(*GROWN, watched(), requests=steadily())
    assert result.verdict is Verdict.INCONCLUSIVE
    assert "do not name the instance" in result.reason


def test_ready_alone_where_that_is_asked():
    alone = slo(ScaleUpTime(service="api", region="sjc", until="ready"), 0.95, op="lt", value=30.0, window="run")
    result = judged(*GROWN, watched(), objective=alone, requests=steadily())
    assert result.verdict is Verdict.PASS
    assert (result.interval.low, result.interval.high) == (pytest.approx(16.5), pytest.approx(17.01))
