"""One objective and the facts to answer it from; every kind of indicator answers in the same form."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from harness.judge.blocks import Blocks, packed
from harness.judge.decide import Claim, Counts, compare, count, decide
from harness.judge.facts import Facts, Fault
from harness.judge.values import Value
from harness.model import openslo
from harness.model.base import format_duration
from harness.model.judgement import Interval, ObjectiveResult, Verdict
from harness.model.slo import Objective, Slo

CAUSES_TOLD = 3


@dataclass(frozen=True)
class Question:
    """One objective of one SLO, and the facts to answer it from."""

    facts: Facts
    slo: Slo
    objective: Objective

    @property
    def claim(self) -> Claim:
        return self.facts.claim(self.slo)

    @property
    def fail_confidence(self) -> float | None:
        """Of the upper bound of a claim on the platform, corrected for their number."""
        return self.facts.fail_confidence(self.slo) if self.claim == "system" else None

    def result(self, verdict: Verdict, reason: str, **more: Any) -> ObjectiveResult:
        """A result with everything that the SLO itself says filled in."""
        slo, objective = self.slo, self.objective
        ratio = objective.op is None
        values: dict[str, Any] = {
            "target": objective.target if ratio else objective.value,
            "comparison": ">=" if ratio else openslo.SYMBOLS[objective.op or "gte"],
            **more,
        }
        return ObjectiveResult(
            slo=slo.name,
            service=slo.service,
            title=slo.title,
            objective=objective.title,
            window=slo.annotations.window,
            experiment=slo.annotations.experiment,
            source=slo.source,
            claim=self.claim,
            confidence=slo.annotations.confidence,
            verdict=verdict,
            reason=reason,
            **values,
        )

    def missing(self, reason: str, *notes: str) -> ObjectiveResult:
        """Nothing to judge by."""
        return self.result(Verdict.INCONCLUSIVE, reason, notes=notes)

    def ratio(
        self,
        counts: Counts,
        noun: str,
        notes: tuple[str, ...] = (),
        causes: tuple[str, ...] = (),
        blocks: Blocks | None = None,
        **more: Any,
    ) -> ObjectiveResult:
        """The result of good and bad events; `causes`: what the bad ones were, most frequent first.

        `blocks`: the same events by block of time. Without them a claim on the platform has nothing to tell which of
        them hang together: unless they are declared independent, all may.
        """
        asked, target = self.slo.annotations, self.objective.target
        if not counts.events and asked.missing_data == "bad":
            return self.result(
                Verdict.FAIL,
                f"there was not one {noun}, which counts as bad (harness/missing-data)",
                notes=notes,
                **more,
            )
        why = ", ".join(causes[:CAUSES_TOLD])
        fail_confidence = self.fail_confidence
        length_s = self.facts.correlation_s(self.slo)
        if blocks is None and self.claim == "system" and length_s:
            blocks = packed(counts, max(1, counts.events), length_s)
        told = decide(
            counts,
            target,
            self.claim,
            asked.confidence,
            asked.minimum_events,
            noun,
            why,
            blocks=blocks,
            fail_confidence=fail_confidence,
            seconds=sum(span.seconds for span in self.facts.judged(self.slo)) or None,
        )
        return self.result(
            told.verdict,
            told.reason,
            measured=told.measured,
            interval=told.interval,
            observed=told.observed,
            events=counts.events,
            bad=counts.bad,
            unknown=counts.unknown,
            effective=told.effective,
            correlation_s=blocks.length_s if blocks else None,
            fail_confidence=fail_confidence,
            notes=(*causes[CAUSES_TOLD:], *notes),
            **more,
        )

    def values(
        self, found: Sequence[Value], noun: str, unit: str, notes: tuple[str, ...] = (), minimum: int | None = None
    ) -> ObjectiveResult:
        """The result of a few measured values, one event each: shown is the worst of them."""
        minimum = self.slo.annotations.minimum_events if minimum is None else minimum
        if not found:
            return self.missing(f"there was no {noun} to judge by", *notes)
        op, value = self.objective.op, self.objective.value
        assert op is not None and value is not None
        verdicts = [compare(item.interval, op, value) for item in found]
        counts = Counts(
            verdicts.count(Verdict.PASS), verdicts.count(Verdict.FAIL), verdicts.count(Verdict.INCONCLUSIVE)
        )
        told = decide(
            counts,
            self.objective.target,
            self.claim,
            self.slo.annotations.confidence,
            minimum,
            noun,
            fail_confidence=self.fail_confidence,
        )
        sign = 1.0 if op in ("lte", "lt") else -1.0
        shown = max(
            zip(verdicts, found, strict=True), key=lambda pair: (pair[0].rank, sign * _end(pair[1].interval, sign))
        )[1]
        reason = shown.reason
        if len(found) > 1:
            reason = f"{counts.good} of {count(len(found), noun)} within {_amount(value, unit)}; worst: {shown.reason}"
        elif told.verdict is not Verdict.PASS or len(found) < minimum:
            reason += f"; {openslo.SYMBOLS[op]} {_amount(value, unit)} is required"
        if told.verdict is Verdict.INCONCLUSIVE and not counts.unknown:
            reason += f" ({told.reason})"
        ends = (shown.interval.high, shown.interval.low)
        measured = next((end for end in (ends if sign > 0 else ends[::-1]) if end is not None), None)
        return self.result(
            told.verdict,
            reason,
            unit=unit,
            measured=measured,
            interval=shown.interval,
            observed=shown.interval,
            events=counts.events,
            bad=counts.bad,
            unknown=counts.unknown,
            notes=(*notes, *(item.reason for item in found if item is not shown)),
        )


def _end(interval: Interval, sign: float) -> float:
    end = interval.high if sign > 0 else interval.low
    return sign * float("inf") if end is None else end


def _amount(value: float, unit: str) -> str:
    if unit == "s":
        return format_duration(value)
    return f"{value:g} {unit}" if unit not in ("ratio", "count", "") else f"{value:g}"


def no_window(slo: Slo) -> str:
    notes = slo.annotations
    about = f" of {notes.experiment}" if notes.experiment else ""
    return f"the run has no {notes.window} window{about}"


def per_fault(ask: Question, measure: Callable[[Fault], Value]) -> ObjectiveResult:
    """One value for each injection; of one that nobody saw land nothing is known."""
    found = []
    for fault in ask.facts.faults_of(ask.slo):
        value = measure(fault)
        found.append(value if fault.landed else Value(Interval(), f"{fault.experiment} was not seen to land"))
    return ask.values(found, "fault", "s")
