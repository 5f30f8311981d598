"""From a verdict down to what decided it: verdict ← rule ← counts ← the rows themselves, and what was unknown."""

from __future__ import annotations

from collections.abc import Sequence

from harness.judge.decide import percent
from harness.judge.facts import Facts
from harness.judge.rules import NUMBERS
from harness.judge.shown import Rows, Scope, rows_of
from harness.judge.windows import Span
from harness.model import slo as model
from harness.model.base import Frozen
from harness.model.evidence import Evidence
from harness.model.judgement import Judgement, ObjectiveResult
from harness.model.slo import Slo

RULE_OF: dict[type, str] = {
    model.RequestRatio: "requests",
    model.CounterRatio: "counters",
    model.IncreasePer: "counters",
    model.GaugeShare: "reactions",
    model.ComputedRatio: "reactions",
    model.ReactionTime: "reactions",
    model.AlertTime: "reactions",
    model.WritablePrimaries: "reactions",
    model.ScaleUpTime: "scaling",
    model.TrafficShift: "shifting",
    model.CheckRatio: "deployment",
    model.MonitoringCoverage: "deployment",
    model.DeploymentTime: "deployment",
    model.RecoveryTime: "recovery",
    model.DataLossMeasure: "loss",
}


class Explanation(Frozen):
    """One objective's verdict with everything it rests on. Times are seconds since the run was opened."""

    result: ObjectiveResult
    origin: str
    rules: tuple[str, ...]
    decided_by: str
    windows: tuple[str, ...]
    rows: tuple[Rows, ...]


def explain(
    evidence: Evidence, slos: Sequence[Slo], judgement: Judgement, objective: str, limit: int
) -> tuple[Explanation, ...]:
    """Every result of the objective: an SLO's name, or `name/title of the objective`. At most `limit` rows a table."""
    facts = Facts(evidence, slos)
    by_name = {slo.name: slo for slo in slos}
    return tuple(
        _explained(facts, by_name[item.slo], item, limit)
        for item in judgement.objectives
        if item.slo in by_name and objective in (item.slo, f"{item.slo}/{item.objective}")
    )


def _explained(facts: Facts, slo: Slo, item: ObjectiveResult, limit: int) -> Explanation:
    spans = _spans(facts, slo, item)
    scope = Scope(facts, slo, spans, _release(facts), limit)
    budgeted = "budget" if slo.method != "Occurrences" or item.budget_spent is not None else ""
    kind = RULE_OF.get(type(slo.indicator), "")
    names = ("windows", kind, budgeted, "bounds" if item.unit == "ratio" else "", "decide")
    return Explanation(
        result=item,
        origin=slo.origin,
        rules=tuple(f"{name} {NUMBERS[name]}" for name in names if name in NUMBERS),
        decided_by=decided_by(item),
        windows=tuple(
            f"{span.kind}{f' {span.experiment}' if span.experiment else ''} "
            f"{scope.seconds(span.start_ns):.3f} to {scope.seconds(span.end_ns):.3f} s"
            for span in spans
        ),
        rows=tuple(rows_of(scope)),
    )


def _spans(facts: Facts, slo: Slo, item: ObjectiveResult) -> tuple[Span, ...]:
    bakes = tuple(span for span in facts.spans if span.kind == "bake" and span.experiment == item.experiment)
    return bakes if facts.evidence.scenario.rollout else facts.judged(slo)


def _release(facts: Facts) -> str:
    """The release whose requests are judged: the canary's in a rollout, else everybody's."""
    rollout = facts.evidence.scenario.rollout
    return rollout.canary if rollout else ""


def decided_by(item: ObjectiveResult) -> str:
    """The rule that made the verdict, in words with its numbers."""
    if item.target is None:
        return "nothing: there was nothing to compare"
    if item.unit != "ratio":
        wanted = f"{item.comparison} {item.target:g}{'' if item.unit == 'count' else f' {item.unit}'}"
        return f"the interval against {wanted}: PASS when all of it meets that, FAIL when none does, else INCONCLUSIVE"
    wanted = f"{item.comparison} {percent(item.target)}"
    if item.claim == "system":
        return (
            f"claim system: one-sided bounds at {percent(item.confidence or 0)} against {wanted}: PASS when even the "
            "lower one meets it, FAIL when even the upper one does not, else INCONCLUSIVE"
        )
    return (
        f"claim run: what happened against {wanted}, the unknown at its worst and its best: PASS when even the worst "
        "meets it, FAIL when even the best does not, else INCONCLUSIVE"
    )
