"""Users and platform count the same: known answers, what may differ, and what may not."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from harness.errors import BadInput
from harness.judge import judge
from harness.judge.agreement import agreements
from harness.judge.facts import Facts
from harness.model.judgement import Judgement, Verdict
from harness.model.records import Outcome
from harness.model.slo import CounterRatio, RequestFilter, RequestRatio, Slo
from harness.spec.openslo import load_slos
from harness.testing.evidence import RATE, WALL_NS, Row, answers, evidence, scraped, slo, steadily, within

TOTAL, GOOD = "calls_total", 'calls_total{ok="yes"}'
SERVED = RequestFilter(outcome="served")
USERS = slo(RequestRatio(table="requests", total=RequestFilter(), good=SERVED), 0.5, name="users")
FAST = slo(
    RequestRatio(table="requests", total=RequestFilter(), good=RequestFilter(outcome="served", faster_than=0.15)),
    0.5,
    name="users",
)
PLATFORM = slo(CounterRatio(total=TOTAL, good=GOOD, per_arrival=1.0), 0.5, name="platform", same_as="users")


def counted(total: Callable[[float], float], good: Callable[[float], float] | None = None) -> list[Row]:
    return [
        *scraped("up"),
        *scraped("process_start_time_seconds", lambda _at: WALL_NS / 1e9 + 4000),
        *scraped(TOTAL, lambda at: float(round(total(at)))),
        *scraped(GOOD, lambda at: float(round((good or total)(at)))),
    ]


def same(at: float) -> float:
    return 1000 + RATE * at


def judged(rows: list[Row], requests: list[Row] | None = None, users: Slo = USERS, **more) -> Judgement:
    run = evidence(samples=rows, requests=requests, **{"metrics": answers(rows, "ALERTS"), **more})
    return judge(run, [users, PLATFORM])


def disagrees(judgement: Judgement) -> bool:
    return any(finding.name == "counts disagree" for finding in judgement.findings)


def test_both_counts_are_shown_where_they_agree():
    told = judged(counted(same))
    assert not disagrees(told)
    assert told.verdict is Verdict.PASS
    (note,) = [note for note in told.objectives[1].notes if note.startswith("beside users")]
    assert note == (
        "beside users: total: users 1,996 to 2,004, the platform 1,900 to 2,100; "
        "good: users 1,996 to 2,004, the platform 1,900 to 2,100"
    )


@pytest.mark.parametrize("factor", [0.9, 1.1])
def test_a_platform_that_counts_more_or_fewer_caps_the_verdict(factor):
    told = judged(counted(lambda at: 1000 + factor * RATE * at))
    assert told.verdict is Verdict.INCONCLUSIVE
    (finding,) = [one for one in told.findings if one.name == "counts disagree"]
    assert "users 1,996 to 2,004" in finding.reason
    assert "the platform" in finding.reason


def test_of_good_ones_too():
    assert disagrees(judged(counted(same, lambda at: 1000 + 0.9 * RATE * at)))


def test_of_fast_ones_the_platform_may_count_more_never_fewer():
    slow = steadily(change=within((10.0, 20.0), latency=0.3))  # 500 that the platform answered in time
    assert not disagrees(judged(counted(same), slow, FAST))
    assert disagrees(judged(counted(same, lambda at: 1000 + 0.5 * RATE * at), None, FAST))
    assert disagrees(judged(counted(same), steadily(change=within((10.0, 20.0), status=503)), USERS))


def test_a_request_without_an_answer_may_have_been_counted_or_not():
    lost = steadily(change=within((10.0, 20.0), outcome=Outcome.TIMEOUT, latency=2.0))
    without = lambda at: same(at) - RATE * (min(max(at, 10), 20) - 10)  # noqa: E731
    assert not disagrees(judged(counted(same), lost))
    assert not disagrees(judged(counted(without), lost))
    assert disagrees(judged(counted(without)))


def test_an_answer_of_the_edge_itself_may_not_have_been_counted():
    edge = steadily(change=within((10.0, 20.0), status=503, release=""))
    without = lambda at: same(at) - RATE * (min(max(at, 10), 20) - 10)  # noqa: E731
    assert not disagrees(judged(counted(without), edge))


def test_missing_scrapes_and_missing_records_explain_a_difference():
    fewer = counted(lambda at: 1000 + 0.9 * RATE * at)
    gap = [row for row in fewer if not 12 < (row["t_ms"] - fewer[0]["t_ms"]) / 1000 - 5.3 < 32]
    assert disagrees(judged(fewer))
    lost = [row for row in steadily() if not 1000 <= row["arrival"] < 1300]
    assert not disagrees(judged(fewer, lost))
    facts = Facts(evidence(samples=gap, metrics=answers(gap, "ALERTS")), [USERS, PLATFORM])
    seen = agreements(facts, PLATFORM)
    assert not isinstance(seen, str)
    assert seen[0].platform[1] >= 1900 * 0.9


def test_an_untold_side_is_said():
    told = judged([], metrics=answers([], "ALERTS", "up"))
    assert told.objectives[1].verdict is Verdict.INCONCLUSIVE
    assert not disagrees(told)


FILE = """apiVersion: openslo/v1
kind: SLO
metadata:
  name: users
  annotations: {{{users}}}
spec:
  service: api
  indicator: {{spec: {{ratioMetric: {{
    good: {{metricSource: {{type: RequestRecord, spec: {{outcome: served}}}}}},
    total: {{metricSource: {{type: {table}, spec: {{}}}}}}}}}}}}
  budgetingMethod: Occurrences
  objectives: [{{target: 0.9}}]
---
apiVersion: openslo/v1
kind: SLO
metadata:
  name: platform
  annotations: {{harness/same-as: {same}}}
spec:
  service: api
  indicator: {{spec: {{ratioMetric: {{
    {role}: {{metricSource: {{type: Prometheus, spec: {{query: a}}}}}},
    total: {{metricSource: {{type: Prometheus, spec: {{query: b}}}}}}}}}}}}
  budgetingMethod: Occurrences
  objectives: [{{target: 0.9}}]
"""
PLAIN = {"users": "", "table": "RequestRecord", "same": "users", "role": "good"}


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({}, ""),
        ({"same": "nobody"}, "no SLO is called 'nobody'"),
        ({"same": "platform"}, "does not count the load's requests"),
        ({"users": "harness/window: run"}, "another window"),
        ({"role": "bad"}, "the other bad ones"),
    ],
)
def test_what_cannot_be_compared_is_refused(tmp_path, change, cause):
    (tmp_path / "slos.yaml").write_text(FILE.format(**{**PLAIN, **change}))
    if not cause:
        assert load_slos([tmp_path])[1].annotations.same_as == "users"
        return
    with pytest.raises(BadInput, match=cause) as error:
        load_slos([tmp_path])
    assert "slos.yaml:17" in str(error.value)
