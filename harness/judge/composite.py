"""A composite SLO: the weighted mean of its objectives' shares of good events, against that of their targets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from harness.judge import bounds
from harness.judge.decide import compare, percent
from harness.judge.question import Question
from harness.model.judgement import Interval, ObjectiveResult
from harness.model.slo import Composite, Part

ANYTHING = Interval(low=0.0, high=1.0)


def composite(ask: Question, indicator: Composite, answer: Callable[[Question], ObjectiveResult]) -> ObjectiveResult:
    """Each part is answered for itself; its share is an interval, and so is their mean.

    A claim on the system divides 1 - confidence among the parts (Bonferroni), so that all bounds hold together.
    """
    parts = parts_of(ask, indicator)
    answers = [answer(part) for part in parts]
    shares = [_share(part, told) for part, told in zip(parts, answers, strict=True)]
    weights = [part.weight for part in indicator.parts]
    mean = Interval(
        low=sum(weight * (share.low or 0.0) for weight, share in zip(weights, shares, strict=True)) / sum(weights),
        high=sum(weight * (share.high or 0.0) for weight, share in zip(weights, shares, strict=True)) / sum(weights),
    )
    target = ask.objective.target
    low, high = mean.low or 0.0, mean.high or 0.0
    shown = percent(low) if high - low < 1e-9 else f"{percent(low)} to {percent(high)}"
    return ask.result(
        compare(mean, "gte", target - 1e-12),
        f"the weighted mean of {len(parts)} objectives is {shown}; at least {percent(target)} must be",
        measured=low,
        interval=mean,
        observed=mean,
        events=sum(told.events for told in answers),
        bad=sum(told.bad for told in answers),
        unknown=sum(told.unknown for told in answers),
        notes=tuple(
            f"{part.objective.title or part.source} (weight {part.weight:g}): {told.reason}"
            for part, told in zip(indicator.parts, answers, strict=True)
        ),
    )


def parts_of(ask: Question, indicator: Composite) -> list[Question]:
    """A question for each part."""
    return [_part(ask, part, len(indicator.parts)) for part in indicator.parts]


def _part(ask: Question, part: Part, number: int) -> Question:
    notes = ask.slo.annotations
    confidence = 1.0 - (1.0 - notes.confidence) / number
    slo = ask.slo.model_copy(
        update={
            "indicator": part.indicator,
            "source": part.source,
            "annotations": notes.model_copy(update={"confidence": confidence, "claim": ask.claim}),
        }
    )
    return replace(ask, slo=slo, objective=part.objective)


def _share(ask: Question, told: ObjectiveResult) -> Interval:
    """[least, most] share of good events; of too few nothing is known."""
    if not told.events:
        return Interval(low=0.0, high=0.0) if ask.slo.annotations.missing_data == "bad" else ANYTHING
    if told.unit == "ratio" and told.comparison == ">=":
        found = told.interval if ask.claim == "system" else told.observed
        enough = told.events >= ask.slo.annotations.minimum_events or ask.slo.method != "Occurrences"
        return found if enough and found.low is not None and found.high is not None else ANYTHING
    good, best = told.events - told.bad - told.unknown, told.events - told.bad
    if ask.claim == "run":
        return Interval(low=good / told.events, high=best / told.events)
    sure = ask.slo.annotations.confidence
    return Interval(low=bounds.lower(good, told.events, sure), high=bounds.upper(best, told.events, sure))
