"""What the gate's own decisions say of a release: they stand in the journal, and nobody promotes on top of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from harness.model.events import Decided, RolledBack
from harness.model.judgement import Finding, Verdict

if TYPE_CHECKING:
    from harness.judge.facts import Facts


def rollout_findings(facts: Facts) -> Iterator[Finding]:
    """PASS: promoted; FAIL: taken off as bad; INCONCLUSIVE: anything else. None without a rollout."""
    rollout = facts.evidence.scenario.rollout
    if rollout is None:
        return
    decided: list[Decided] = facts.of(Decided)
    ends: list[RolledBack] = facts.of(RolledBack)
    state = decided[-1].state if decided else ""
    bad = [decision for decision in decided if decision.decision == "ROLLBACK"]
    halted = [decision for decision in decided if decision.decision == "HALT"]
    back = ""
    if ends:
        last = ends[-1]
        limit = rollout.rollback_within
        back = f"; {rollout.baseline} was seen alone again after {last.seconds:.1f} s (promised: {limit:g} s)"
        if not last.seen:
            back = f"; nobody saw {rollout.baseline} alone again within {limit:g} s"
    detail = tuple(f"step {one.step + 1}: {one.seen} → {one.decision}: {one.reason}" for one in decided)
    name, canary = "rollout", rollout.canary
    if bad:
        reason = f"release {canary} was taken off: {bad[0].reason}{back}"
        yield Finding(name=name, cap=Verdict.FAIL, reason=reason, detail=detail)
    elif state == "promoted":
        yield Finding(name=name, cap=Verdict.PASS, reason=f"release {canary} was promoted", detail=detail)
    elif halted:
        reason = f"the rollout of {canary} was halted: {halted[0].reason}{back}"
        yield Finding(name=name, cap=Verdict.INCONCLUSIVE, reason=reason, detail=detail)
    else:
        yield Finding(
            name=name,
            cap=Verdict.INCONCLUSIVE,
            reason=f"the rollout of {canary} did not come to its end",
            detail=detail,
        )
