"""The live record as the gate reads it, and the evidence that a step is judged by."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from harness.journal.layout import RunFolder
from harness.judge.rollout import of_release
from harness.load.recorder import Stream, read, schema
from harness.model.evidence import MetricAnswer
from harness.model.judgement import Verdict
from harness.model.load import Constant, Load
from harness.model.records import GENERATOR_COLUMNS, REQUEST_COLUMNS, SAMPLE_COLUMNS, Content, Outcome
from harness.model.rollout import Rollout, RolloutStep
from harness.model.scenario import ScenarioSpec, TargetRef
from harness.model.slo import CounterRatio, Objective, RequestFilter, RequestRatio, Slo
from harness.ports import MetricSource
from harness.run.clocks import monotonic_to_wall
from harness.run.context import RunContext
from harness.run.live import LiveRecord
from harness.run.step import step_judge
from harness.testing.fake_metrics import FakeMetrics

S = 1_000_000_000
STEP = RolloutStep(share=0.5, bake=10.0)


def row(arrival: int, **changes: Any) -> dict[str, Any]:
    """Arrival n is due at second n and answered 20 ms later by release 2."""
    at = arrival * S
    values: dict[str, Any] = {
        "arrival": arrival,
        "journey": "chat",
        "intended_ns": at,
        "started_ns": at,
        "finished_ns": at + 20_000_000,
        "outcome": Outcome.ANSWERED,
        "status": 200,
        "content": Content.RIGHT,
        "level": 1,
        "release": "2",
        "region": "sjc",
        "instance": "api-0",
    }
    return values | changes


def timeout(arrival: int) -> dict[str, Any]:
    return row(
        arrival, outcome=Outcome.TIMEOUT, status=0, content=0, level=0, release="", finished_ns=(arrival + 5) * S
    )


class Record:
    """A load's record that grows."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.requests = Stream(folder / "requests.rows", REQUEST_COLUMNS)
        self.generator = Stream(folder / "generator.rows", GENERATOR_COLUMNS)
        self.live = LiveRecord(folder / "requests.rows", folder / "generator.rows")

    def add(self, *rows: dict[str, Any], second: int | None = None) -> None:
        for one in rows:
            self.requests.append(list(one.values()))
        self.requests.flush()
        if second is not None:
            self.generator.append([second * S, 0, 0, 0.1, 0.1, 0.1, 0])
        self.generator.flush()


def test_a_record_that_is_not_there_reaches_to_0(tmp_path: Path):
    live = LiveRecord(tmp_path / "requests.rows", tmp_path / "generator.rows")
    seen = live(0)
    assert (seen.responses, seen.until_ns, seen.settled_ns) == ((), 0, 0)


def test_it_reaches_to_the_last_end_or_the_generators_last_word(tmp_path: Path):
    record = Record(tmp_path)
    record.add(row(1), row(2))
    assert record.live(0).until_ns == 2 * S + 20_000_000
    assert [one.finished_ns for one in record.live(0).responses] == [S + 20_000_000]  # [from, until)
    record.add(second=7)
    assert record.live(0).until_ns == 7 * S
    assert len(record.live(0).responses) == 2 and len(record.live(2 * S).responses) == 1


def test_what_was_never_sent_is_no_response_but_settles(tmp_path: Path):
    record = Record(tmp_path)
    unsent = {"started_ns": -1, "finished_ns": -1, "release": "", "status": 0}
    record.add(row(0, outcome=Outcome.DROPPED, **unsent), row(1, outcome=Outcome.SKIPPED, **unsent), row(2), second=3)
    seen = record.live(0)
    assert len(seen.responses) == 1 and seen.settled_ns == 2 * S


def test_it_settles_only_up_to_the_first_arrival_under_way(tmp_path: Path):
    record = Record(tmp_path)
    record.add(row(0), row(1), row(3), row(4), second=5)
    assert record.live(0).settled_ns == 1 * S
    record.add(timeout(2))
    assert record.live(0).settled_ns == 4 * S


@pytest.mark.parametrize(
    ("changes", "failed", "right"),
    [
        ({}, False, True),
        ({"status": 500, "content": Content.UNCHECKED}, True, None),
        ({"status": 429, "content": Content.UNCHECKED}, True, None),
        ({"content": Content.WRONG}, True, False),
        ({"outcome": Outcome.TIMEOUT, "status": 0, "content": Content.UNCHECKED, "release": ""}, True, None),
    ],
)
def test_a_response_as_the_gate_counts_it(tmp_path: Path, changes: dict[str, Any], failed: bool, right: bool | None):
    record = Record(tmp_path)
    record.add(row(1, intended_ns=S - 5_000_000, **changes), second=9)
    (one,) = record.live(0).responses
    assert (one.failed, one.right) == (failed, right)
    assert (one.least_s, one.most_s) == pytest.approx((0.020, 0.025))


# ---- a step's evidence


def table(*rows: dict[str, Any]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=schema(REQUEST_COLUMNS))


def test_of_a_bake_only_the_canarys_own_requests_count():
    rows = table(
        row(0), row(1, release="1"), row(2), timeout(3), row(4, outcome=Outcome.SKIPPED, release=""),
        row(5, outcome=Outcome.DROPPED, release=""), row(11),
    )  # fmt: skip
    without = of_release(rows, "2", 0, 10 * S, with_nameless=False)
    assert without["intended_ns"].to_pylist() == [0, 2 * S, 5 * S]
    assert without["arrival"].to_pylist() == [0, 1, 2]
    assert of_release(rows, "2", 0, 10 * S, with_nameless=True)["intended_ns"].to_pylist() == [0, 2 * S, 3 * S, 5 * S]


ERRORS = Slo(
    name="errors",
    title="errors",
    service="api",
    source="RequestRecord",
    indicator=RequestRatio(table="requests", total=RequestFilter(), bad=RequestFilter(outcome="error")),
    objectives=(Objective(target=0.99),),
)
CONSENSUS = Slo(
    name="consensus",
    title="consensus",
    service="api",
    source="Prometheus",
    indicator=CounterRatio(total='rounds_total{release="2"}', good='rounds_good_total{release="2"}'),
    objectives=(Objective(target=0.95),),
)


class LostMetrics:
    """A Prometheus that does not answer."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def samples(self, selector: str, from_wall_s: float, to_wall_s: float) -> tuple[pa.Table, MetricAnswer]:
        self.asked.append(selector)
        return pa.table({name: pa.array([], kind) for name, kind in SAMPLE_COLUMNS.items()}), MetricAnswer(
            selector, 0, 0, error="connection refused"
        )


def verdict(
    tmp_path: Path, rows: list[dict[str, Any]], slos: list[Slo], metrics: MetricSource | None = None
) -> Verdict:
    rollout = Rollout(service="api", baseline="1", canary="2", steps=(STEP,))
    load = Load(locustfile="l.py", arrivals=Constant(kind="constant", rate=1), mix={"chat": 1})
    spec = ScenarioSpec(target=TargetRef(platform="p"), load=load, rollout=rollout, slos=("s",))
    context = RunContext(RunFolder(tmp_path), spec, seed=1)
    context.stage("canary")
    generator = Stream(tmp_path / "generator.rows", GENERATOR_COLUMNS)
    for second in range(1, 101):
        generator.append([second * S, second, second, 0.1, 0.1, 0.1, 0])
    generator.flush()
    judge = step_judge(context, slos, lambda: table(*rows), lambda: read(tmp_path / "generator.rows").table, metrics)
    judgement = judge(STEP, 0, 100 * S)
    print(judgement.sentence)
    return judgement.verdict


GOOD = [row(n) for n in range(100)]


def test_a_good_canary_beside_a_failing_baseline_passes(tmp_path: Path):
    rows = [row(n, release="12"[n % 2], status=200 if n % 2 else 500) for n in range(100)]
    assert verdict(tmp_path, rows, [ERRORS]) is Verdict.PASS


def test_a_failing_canary_beside_a_good_baseline_fails(tmp_path: Path):
    rows = [row(n, release="12"[n % 2], status=500 if n % 2 else 200) for n in range(100)]
    assert verdict(tmp_path, rows, [ERRORS]) is Verdict.FAIL


def test_nameless_failures_that_could_decide_leave_it_open(tmp_path: Path):
    assert verdict(tmp_path, [*GOOD[:97], *(timeout(n) for n in (97, 98, 99))], [ERRORS]) is Verdict.INCONCLUSIVE
    assert verdict(tmp_path, [*GOOD[:99], timeout(99)], [ERRORS]) is Verdict.PASS  # 1 of 100 either way


def test_without_one_request_of_the_canary_nothing_is_said(tmp_path: Path):
    assert verdict(tmp_path, [row(n, release="1") for n in range(100)], [ERRORS]) is Verdict.INCONCLUSIVE


def test_drops_of_the_generator_leave_it_open(tmp_path: Path):
    dropped = row(50, outcome=Outcome.DROPPED, release="", status=0, started_ns=-1, finished_ns=-1)
    assert verdict(tmp_path, [*GOOD[:50], dropped, *GOOD[51:]], [ERRORS]) is Verdict.INCONCLUSIVE


@pytest.mark.parametrize(("good", "word"), [(1.0, Verdict.PASS), (0.5, Verdict.FAIL)])
def test_the_platforms_own_counters_decide_a_bake(tmp_path: Path, good: float, word: Verdict):
    """What they counted is known only with the scrapes that were due, so those are asked for too."""
    wall_s, _ = monotonic_to_wall()
    target = {"job": "api", "instance": "a:1"}
    at = [wall_s / 1e9 + second for second in range(101)]
    metrics = FakeMetrics(
        [
            ({"__name__": "up", **target}, [(t, 1.0) for t in at]),
            ({"__name__": "process_start_time_seconds", **target}, [(t, at[0] - 100.0) for t in at]),
            *(
                ({"__name__": name, "release": "2", **target}, [(t, n * share) for n, t in enumerate(at)])
                for name, share in (("rounds_total", 1.0), ("rounds_good_total", good))
            ),
        ]
    )
    assert verdict(tmp_path, GOOD, [CONSENSUS], metrics) is word


def test_lost_metrics_leave_it_open(tmp_path: Path):
    metrics = LostMetrics()
    assert verdict(tmp_path, GOOD, [ERRORS, CONSENSUS], metrics) is Verdict.INCONCLUSIVE
    assert {'rounds_total{release="2"}', 'rounds_good_total{release="2"}', "up"} <= set(metrics.asked)
    assert verdict(tmp_path, GOOD, [ERRORS, CONSENSUS]) is Verdict.INCONCLUSIVE
