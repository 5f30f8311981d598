"""The gate's end as a finding on the run."""

from __future__ import annotations

import dataclasses

import pytest

from harness.judge import judge
from harness.judge.facts import Facts
from harness.judge.rollouts import rollout_findings
from harness.model.events import Decided, RolledBack
from harness.model.judgement import Verdict
from harness.testing.sample_run import sample


def decided(decision: str, state: str) -> Decided:
    return Decided(step=0, decision=decision, reason=f"because of {state}", seen="x", state=state)


BACK = RolledBack(seconds=0.4, seen=True)
LATE = RolledBack(seconds=34.0, seen=False)


@pytest.mark.parametrize(
    ("events", "cap", "text"),
    [
        ([decided("PROMOTE", "promoting"), decided("HOLD", "promoted")], Verdict.PASS, "was promoted"),
        ([decided("PROMOTE", "promoting")], Verdict.INCONCLUSIVE, "did not come to its end"),
        ([], Verdict.INCONCLUSIVE, "did not come to its end"),
        ([decided("ROLLBACK", "rolling-back"), BACK, decided("HOLD", "rolled-back")], Verdict.FAIL, "0.4 s"),
        ([decided("ROLLBACK", "rolling-back"), LATE, decided("HALT", "unproven")], Verdict.FAIL, "nobody saw"),
        ([decided("HALT", "halting"), BACK, decided("HOLD", "halted")], Verdict.INCONCLUSIVE, "because of halting"),
    ],
)
def test_the_last_word_of_the_gate(events: list[Decided], cap: Verdict, text: str):
    evidence, _ = sample("rollback")
    others = tuple(event for event in evidence.events if not isinstance(event, Decided | RolledBack))
    evidence = dataclasses.replace(evidence, events=(*others, *events))
    (finding,) = rollout_findings(Facts(evidence, ()))
    assert finding.cap is cap and text in finding.reason
    assert judge(evidence, ()).verdict.rank >= cap.rank


def test_a_run_without_a_rollout_has_none():
    evidence, _ = sample("pass")
    assert [*rollout_findings(Facts(evidence, ()))] == []
