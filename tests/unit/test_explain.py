"""From a verdict down to its rows: what is shown is what was counted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import BadInput
from harness.journal.layout import RunFolder
from harness.judge import judge
from harness.judge.explain import RULE_OF, Explanation, explain
from harness.judge.indicators import JUDGES
from harness.judge.rules import NUMBERS
from harness.judge.shown import SHOWN
from harness.metrics.evidence import load_evidence
from harness.model.evidence import Evidence
from harness.model.judgement import Verdict
from harness.model.records import Content, Outcome
from harness.model.slo import DataLossMeasure, Indicator, RecoveryTime, RequestFilter, RequestRatio
from harness.render.words import line
from harness.run.explain import as_text
from harness.run.explain import explain as explain_run
from harness.run.verdict import slo_folders
from harness.spec.openslo import load_slos
from harness.testing.evidence import evidence, happened, probes, read_back, slo, steadily, within, writes

(RUN,) = (Path(__file__).resolve().parents[1] / "fixtures/runs/0.1.0").iterdir()
SERVED = slo(RequestRatio(table="requests", total=RequestFilter(), good=RequestFilter(outcome="served")), 0.99)
ERRORS = slo(RequestRatio(table="requests", total=RequestFilter(), bad=RequestFilter(outcome="error")), 0.99)
FAST = slo(
    RequestRatio(table="requests", total=RequestFilter(), good=RequestFilter(outcome="served", fasterThan=0.1)), 0.99
)


def explained(found: Evidence, objective, limit: int = 20) -> Explanation:
    judgement = judge(found, [objective])
    (one,) = explain(found, [objective], judgement, objective.name, limit)
    return one


def test_every_kind_of_indicator_has_a_rule() -> None:
    """A kind without rows to show is told without; a kind without a rule is a mistake."""
    kinds = set(get_args(Indicator)) if get_args(Indicator) else set(JUDGES)
    assert set(SHOWN) <= kinds
    assert set(RULE_OF.values()) <= set(NUMBERS)


@pytest.mark.parametrize("objective", [SERVED, ERRORS, FAST])
def test_the_bad_and_the_unknown_rows_are_those_that_were_counted(objective) -> None:
    def change(number: int, at: float):
        kinds = (
            {"status": 503, "content": Content.UNCHECKED},
            {"outcome": Outcome.TIMEOUT, "latency": 5.0},
            {"content": Content.WRONG},
            {"latency": 0.2},
            {"latency": 0.12, "late": 0.05},
            {"outcome": Outcome.DROPPED},
            {"outcome": Outcome.UNFINISHED},
            {"outcome": Outcome.SKIPPED},
            {"level": 0},
            {"level": 3},
        )
        return kinds[number // 50 % len(kinds)] if number % 50 == 0 else None

    found = evidence(requests=[row for row in steadily(change=change) if row["arrival"] % 777])
    one = explained(found, objective, limit=5)
    bad, unknown, *rest = one.rows
    assert one.result.bad == bad.total > 5
    assert len(bad.rows) == 5
    assert one.result.unknown == unknown.total + sum(rows.total for rows in rest)
    assert rest
    assert "arrivals without a record" in rest[0].title
    times = [float(row[0]) for row in bad.rows]
    assert times == sorted(times)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3899), st.sampled_from(list(Outcome)), st.integers(0, 3)), max_size=40))
def test_whatever_happened_rows_and_counts_agree(changes) -> None:
    told = {number: {"outcome": outcome, "level": level} for number, outcome, level in changes}
    found = evidence(requests=steadily(change=lambda number, _at: told.get(number)))
    one = explained(found, SERVED)
    assert one.result.bad == one.rows[0].total
    assert one.result.unknown == sum(rows.total for rows in one.rows[1:])


def test_a_late_start_is_shown_as_the_interval_that_it_is() -> None:
    found = evidence(requests=steadily(change=within((10.0, 10.02), latency=0.2, late=0.05)))
    row = explained(found, FAST).rows[0].rows[0]
    assert row[3] == "150.000 to 200.000"


def test_a_recovery_is_walked_down_to_its_probes() -> None:
    recovery = slo(RecoveryTime(), 0.95, op="lte", value=10.0, window="fault", experiment="kill-weaviate")
    found = evidence(beacon=probes(change=within((38.0, 42.0), status=503, content=Content.UNCHECKED)))
    rows = explained(found, recovery).rows
    assert rows[0].total == 200
    assert rows[2].rows[0][0] > rows[1].rows[-1][0]


def test_lost_writes_are_shown_by_key() -> None:
    ledger = writes([6.0, 20.0, 30.0])
    nothing = slo(DataLossMeasure(regions=("sjc", "lax")), 1.0, op="lte", value=0.0, window="run")
    back = read_back(ledger, "end", 80.0, states={"m1": "lost", "m2": "indeterminate"})
    bad, unknown = explained(evidence(ledger=ledger, readback=back), nothing).rows
    assert {row[1] for row in bad.rows} == {"m1"}
    assert {row[1] for row in unknown.rows} == {"m2"}


def test_nothing_to_show_is_told_too() -> None:
    one = explained(evidence(absent=("requests",)), SERVED)
    assert one.result.verdict is Verdict.INCONCLUSIVE
    assert not one.rows
    assert explained(evidence(events=happened()), SERVED).rows[0].total == 0


def test_every_objective_of_a_real_run_can_be_explained() -> None:
    found = load_evidence(RunFolder(RUN))
    slos = load_slos(slo_folders(RunFolder(RUN).inputs / "slos"))
    judgement = judge(found, slos)
    for item in judgement.objectives:
        for one in explain(found, slos, judgement, item.slo, 3):
            text = "\n".join(as_text("what it counts", one))
            assert line(one.result.reason) in text
            assert one.rows, item.slo
            assert all(len(row) == len(rows.head) for rows in one.rows for row in rows.rows)


def test_degraded_requests_of_a_real_run_are_found() -> None:
    folder = RunFolder(RUN)
    found = load_evidence(folder)
    assert found.requests is not None
    level = np.array(found.requests["level"].to_numpy())
    level[200:210] = 3
    place = found.requests.schema.get_field_index("level")
    changed = replace(found, requests=found.requests.set_column(place, "level", pa.array(level, pa.int8())))
    slos = load_slos(slo_folders(folder.inputs / "slos"))
    judgement = judge(changed, slos)
    (one,) = explain(changed, slos, judgement, "unified-api-availability", 20)
    assert one.result.bad == one.rows[0].total > 0
    assert {row[7] for row in one.rows[0].rows} == {"3"}


def test_an_unknown_objective_is_told_with_its_neighbours() -> None:
    with pytest.raises(BadInput) as refused:
        explain_run(RunFolder(RUN), "unified-api-availabilty", 3)
    assert "unified-api-availability" in refused.value.fix


def test_one_objective_of_an_slo_is_named_by_its_title() -> None:
    (pair,) = explain_run(RunFolder(RUN), "unified-api-latency-p95/P95 < 150 ms", 0)
    assert pair[1].result.objective == "P95 < 150 ms"
    with pytest.raises(BadInput):
        explain_run(RunFolder(RUN), "unified-api-latency-p95/P99", 0)


def test_a_bake_is_explained_by_the_canary_s_requests() -> None:
    from harness.judge.rollout import judge_rollout
    from harness.model import events as e
    from harness.model.rollout import Rollout, RolloutStep
    from harness.testing.evidence import ns

    rollout = Rollout(service="api", baseline="1.0.0", canary="1.1.0", steps=(RolloutStep(share=1.0, bake=10.0),))
    bake = e.Window(kind="bake", experiment="10 %", start_ns=ns(10), end_ns=ns(20))

    def change(number: int, at: float):
        canary = number % 10 == 0
        bad = {"status": 500, "content": Content.UNCHECKED} if number % 100 == 0 else {}
        return {"release": "1.1.0", **bad} if canary else {"status": 500} if number % 100 == 1 else None

    made = evidence(requests=steadily(change=change))
    spec = made.scenario.model_copy(update={"rollout": rollout})
    found = replace(made, scenario=spec, events=(*made.events, bake))
    judgement = judge_rollout(found, [SERVED])
    (one,) = explain(found, [SERVED], judgement, SERVED.name, 20)
    assert one.result.bad == one.rows[0].total == 5
    assert {row[9] for row in one.rows[0].rows} == {"1.1.0"}
    assert one.windows[0].startswith("bake 10 %")
