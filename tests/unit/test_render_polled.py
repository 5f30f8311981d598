"""What tools that poll for readiness would have measured, beside what users saw; the judge never looks at it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.recovery_readiness import rows
from harness.judge import judge
from harness.model import events as e
from harness.model.evidence import Evidence
from harness.model.slo import RecoveryTime
from harness.render.effort import effort
from harness.render.polled import polled, sentence
from harness.render.words import plain
from harness.testing.evidence import EXPERIMENT, evidence, happened, ns, probes, slo, within

RTO = slo(RecoveryTime(), 0.95, op="lte", value=60.0, window="fault", experiment=EXPERIMENT)
HIT = "weaviate-sjc-0"  # the fault's selection; it is injected at 37.0


def ready(at: float, *names: str, service: str = "weaviate") -> e.ReadinessSeen:
    since = ns(at - 0.5) if at > 0.5 else 0
    return e.ReadinessSeen(service=service, region="sjc", ready=names, since_ns=since, seen_ns=ns(at))


def run(*looks: e.AnyEvent, **more: Any) -> Evidence:
    whole = e.ReadinessWatched(from_ns=ns(0), until_ns=ns(78), every_s=0.5, looks=156, failed=0, longest_s=0.6)
    return evidence(events=(*happened(), ready(0.1, HIT), ready(0.1, "api-a", service="api"), *looks, whole), **more)


def told(of: Evidence) -> str:
    seen = polled(of, EXPERIMENT)
    assert seen is not None
    return plain(sentence(seen, judge(of, [RTO]).recoveries[0]))


def test_ready_before_users_are_served() -> None:
    of = run(ready(38.0), ready(46.5, HIT), beacon=probes(change=within((37.1, 60.0), level=3)))
    seen = polled(of, EXPERIMENT)
    assert seen is not None
    assert seen.of == ("weaviate in sjc",)
    assert seen.ready_s is not None
    assert (seen.ready_s.low, seen.ready_s.high) == (pytest.approx(8.99, abs=0.01), pytest.approx(9.5, abs=0.01))
    assert told(of).startswith("pods Ready after")
    assert "users had full service after" in told(of)


def test_an_outage_that_no_poll_saw() -> None:
    of = run(beacon=probes(change=within((37.1, 37.4), status=503)))
    assert told(of).startswith("polls saw every pod Ready all the time")


def test_never_ready_again() -> None:
    assert told(run(ready(38.0))).startswith("polls did not see the pods Ready again")


def test_another_service_counts_where_nobody_knows_the_selection() -> None:
    unrelated = (ready(38.0, service="api"), ready(40.0, "api-b", service="api"))
    assert told(run(*unrelated)).startswith("polls saw every pod")
    node = e.FaultIntended(experiment=EXPERIMENT, fault="off", kind="node_loss", selection=("n4",), token="t")
    of = evidence(events=(*happened(without=(e.FaultIntended,)), node, *run(*unrelated).events[-5:]))
    seen = polled(of, EXPERIMENT)
    assert seen is not None
    assert seen.of == ("all services",)
    assert seen.dipped


def test_nothing_without_a_watch() -> None:
    assert polled(evidence(), EXPERIMENT) is None


def test_a_run_of_version_0_1_0_was_not_polled() -> None:
    folder = next((Path(__file__).parents[1] / "fixtures" / "runs" / "0.1.0").iterdir())
    assert [row[:2] for row in rows(folder)] == [("kill-weaviate#1", "not polled")]


def test_it_changes_no_judgement() -> None:
    assert judge(run(ready(38.0)), [RTO]) == judge(evidence(), [RTO])


def test_effort_is_told_per_minute_where_it_lasted() -> None:
    spent = e.Effort(
        process="harness",
        stage="under load",
        seconds=120.0,
        cpu_s=6.0,
        children_cpu_s=20.0,
        api_calls={"GET": 240, "PATCH": 2},
        programs={"kubectl kustomize": 1},
    )
    ((name, text),) = effort(evidence(events=(*happened(), spent)))
    assert name == "harness, under load"
    assert plain(text) == (
        "6 s of CPU (3 s a minute); 20 s in its children that ended; 242 requests to the API server (121 a minute): "
        "240 GET, 2 PATCH; kubectl kustomize run 1 time; in 2 min"
    )
