"""All results merged into one verdict and one sentence."""

from __future__ import annotations

from collections.abc import Sequence

from harness.model.judgement import Finding, ObjectiveResult, Verdict, worst


def merge(objectives: Sequence[ObjectiveResult], findings: Sequence[Finding]) -> Verdict:
    """PASS < INCONCLUSIVE < FAIL; no objective judged is INCONCLUSIVE."""
    caps = [finding.cap for finding in findings]
    return worst([worst([result.verdict for result in objectives]), *caps])


def sentence(verdict: Verdict, objectives: Sequence[ObjectiveResult], findings: Sequence[Finding]) -> str:
    """Why, in one sentence for somebody who reads nothing else."""
    total = len(objectives)
    if verdict is Verdict.PASS:
        met = "The one objective was" if total == 1 else f"All {total} objectives were"
        return f"PASS: {met} met, on evidence without a hole that matters."
    bad = [result for result in objectives if result.verdict is verdict]
    caps = [finding for finding in findings if finding.cap is verdict]
    if verdict is Verdict.FAIL and bad:
        first = max(bad, key=severity)
        besides = [*caps, *(finding for finding in findings if finding.about_load)]
        also = f"; besides, {besides[0].reason}" if besides else ""
        return f"FAIL: {len(bad)} of {total} objectives missed; worst: {first.title}: {first.reason}{also}."
    if caps:
        open_ = f"; {len(bad)} of {total} objectives could not be decided" if bad else ""
        more = f" (and {len(caps) - 1} more reason{'s' * (len(caps) > 2)})" if len(caps) > 1 else ""
        return f"{verdict}: {caps[0].reason}{more}{open_}."
    if bad:
        return (
            f"{verdict}: {len(bad)} of {total} objectives could not be decided; first: {bad[0].title}: {bad[0].reason}."
        )
    return f"{verdict}: no objective was judged."


def severity(result: ObjectiveResult) -> float:
    """How far an objective was missed, as a multiple of what was allowed."""
    if result.measured is None or result.target is None:
        return 0.0
    if result.unit == "ratio":
        return (1.0 - result.measured) / max(1.0 - result.target, 1e-6)
    return result.measured / result.target if result.target else float("inf")
