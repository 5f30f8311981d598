"""All objectives of a run together with the findings: the judgement."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from typing import TypeVar

from harness.judge import loss as losses
from harness.judge.answer import answer
from harness.judge.attribution import attribute, attribution_findings
from harness.judge.facts import Facts
from harness.judge.phases import story
from harness.judge.question import Question
from harness.judge.rules import NUMBERS
from harness.judge.validity import findings
from harness.judge.verdict import merge, sentence
from harness.model import slo as model
from harness.model.evidence import Evidence
from harness.model.judgement import Finding, Judgement, ObjectiveResult, Verdict
from harness.model.slo import Slo

ALWAYS = ("up", "ALERTS", "process_start_time_seconds")


def judge(evidence: Evidence, slos: Sequence[Slo]) -> Judgement:
    """The word on a run. The same values give the same judgement; a mistake of ours is INCONCLUSIVE, never a crash."""
    facts = Facts(evidence, slos)
    asked = [Question(facts, slo, objective) for slo in slos if facts.asked(slo) for objective in slo.objectives]
    results = tuple(_safely(question) for question in asked)
    crashes: list[Finding] = []
    notes = [*_guarded("findings", lambda: findings(facts), crashes)]
    recoveries = _guarded("recovery", lambda: tuple(story(facts, fault) for fault in facts.faults), crashes)
    data_loss = _guarded("data loss", lambda: losses.summary(losses.fates_of(facts), facts.faults), crashes)
    told = _guarded("attribution", lambda: tuple(filter(None, [attribute(facts, results)])), crashes)
    notes.extend(_guarded("attribution", lambda: attribution_findings(*told), crashes))
    notes.extend(crashes)
    verdict = merge(results, notes)
    return Judgement(
        run_id=evidence.run_id,
        rules=NUMBERS,
        verdict=verdict,
        sentence=sentence(verdict, results, notes),
        objectives=results,
        findings=tuple(notes),
        recoveries=recoveries,
        data_loss=data_loss,
        attribution=told[0] if told else None,
        correction=facts.correction,
    )


def _safely(ask: Question) -> ObjectiveResult:
    try:
        return answer(ask)
    except Exception as error:  # noqa: BLE001 — a mistake of ours must not hide the other objectives
        lines = traceback.format_exception(error)
        return ask.missing(f"the judge itself failed: {lines[-1].strip()}", *"".join(lines).splitlines())


T = TypeVar("T")


def _guarded(name: str, work: Callable[[], tuple[T, ...]], crashes: list[Finding]) -> tuple[T, ...]:
    try:
        return work()
    except Exception as error:  # noqa: BLE001 — as above
        lines = traceback.format_exception(error)
        crashes.append(
            Finding(
                name="judge failed",
                cap=Verdict.INCONCLUSIVE,
                reason=f"{name} could not be worked out: {lines[-1].strip()}",
                detail=tuple("".join(lines).splitlines()),
            )
        )
        return ()


def selectors(slos: Sequence[Slo]) -> list[str]:
    """The Prometheus series that these objectives need, raw, sorted; always with scrape health, alerts and restarts."""
    found = set(ALWAYS)
    for slo in slos:
        for indicator in () if slo.annotations.not_judged else model.simple(slo.indicator):
            match indicator:
                case model.CounterRatio() as ratio:
                    found.update(query for query in (ratio.total, ratio.good, ratio.bad) if query)
                case model.IncreasePer() as increase:
                    found.update((increase.query, increase.per))
                case model.GaugeShare() | model.ReactionTime() | model.ComputedRatio() as gauge:
                    found.add(gauge.query)
                case _:
                    pass
    return sorted(found)
