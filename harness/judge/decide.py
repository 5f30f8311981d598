"""From counts or an interval to a verdict with its reason in words. Missing data never passes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from harness.judge import bounds
from harness.model.judgement import Interval, Verdict

Claim = Literal["run", "system"]


@dataclass(frozen=True)
class Counts:
    """Events by what is known of them; an unknown one may have been good or bad."""

    good: int
    bad: int
    unknown: int = 0

    @property
    def events(self) -> int:
        return self.good + self.bad + self.unknown


@dataclass(frozen=True)
class Decision:
    """`observed` is exact, unknown events at either end; `interval` is what it says of the platform at `confidence`."""

    verdict: Verdict
    reason: str
    measured: float | None
    observed: Interval
    interval: Interval


def percent(share: float, digits: int = 4) -> str:
    """0.99931 → "99.931 %"; never rounded across to 0 or 100 %."""
    text = f"{share * 100:.{digits}f}".rstrip("0").rstrip(".")
    if text == "100" and share < 1:
        text = f"{share * 100:.9f}".rstrip("0")
    return f"{text} %"


def count(number: int, noun: str = "") -> str:
    """12345, "request" → "12,345 requests"."""
    if not noun:
        return f"{number:,}"
    plural = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{number:,} {noun if number == 1 else plural}"


def decide(
    counts: Counts, target: float, claim: Claim, confidence: float, minimum: int, noun: str, causes: str = ""
) -> Decision:
    """At least `target` of the events must be good; `causes` says in words what the bad ones were.

    Claim run: so it happened, unknown events at their worst. Claim system: the one-sided exact binomial bound at
    `confidence` decides on each side.
    """
    n, good, best = counts.events, counts.good, counts.good + counts.unknown
    if n == 0:
        return Decision(Verdict.INCONCLUSIVE, f"there was not one {noun} to judge by", None, Interval(), Interval())
    observed = Interval(low=good / n, high=best / n)
    interval = Interval(low=bounds.lower(good, n, confidence), high=bounds.upper(best, n, confidence))
    known = counts.good + counts.bad
    measured = counts.good / known if known else None
    low, high = (observed.low, observed.high) if claim == "run" else (interval.low, interval.high)
    assert low is not None and high is not None
    seen = _seen(counts, noun, causes)
    needed = f"at least {percent(target)} must be"
    if n < minimum:
        text = f"only {count(n, noun)}, fewer than the {count(minimum)} that are needed to decide; {seen}"
        return Decision(Verdict.INCONCLUSIVE, text, measured, observed, interval)
    if low >= target:
        sure = "" if claim == "run" else f", with {percent(confidence)} confidence at least {percent(low)} are"
        return Decision(Verdict.PASS, f"{seen}{sure}; {needed}", measured, observed, interval)
    if high < target:
        if claim == "system" and high > best / n:
            seen += f", with {percent(confidence)} confidence at most {percent(high)} are"
        return Decision(Verdict.FAIL, f"{seen}; {needed}", measured, observed, interval)
    return Decision(
        Verdict.INCONCLUSIVE, f"{seen}; {needed}: {_open(counts, target, claim, confidence, noun)}",
        measured, observed, interval,
    )  # fmt: skip


def _seen(counts: Counts, noun: str, causes: str) -> str:
    known = counts.good + counts.bad
    if not known:
        return f"of {count(counts.unknown, noun)} nothing is known"
    bad = f"{count(counts.bad)} {_were(counts.bad)} not" + (f" ({causes})" if causes and counts.bad else "")
    seen = f"{percent(counts.good / known)} of {count(known, noun)} {_were(known)} good, {bad}"
    return f"{seen}, and of {count(counts.unknown)} more nothing is known" if counts.unknown else seen


def _were(number: int) -> str:
    return "was" if number == 1 else "were"


def _open(counts: Counts, target: float, claim: Claim, confidence: float, noun: str) -> str:
    if counts.unknown and (claim == "run" or counts.good / counts.events < target):
        return "what is unknown could tip it either way"
    needed = bounds.events_needed(counts.bad + counts.unknown, target, confidence)
    if needed is None:
        return "no number of events proves 100 %"
    if needed <= counts.events:
        return "what is unknown could tip it either way"
    more = needed - counts.events
    return f"too few to be {percent(confidence)} sure; {count(more, noun)} more without a bad one would do"


def compare(interval: Interval, op: str, value: float) -> Verdict:
    """Whether every point of the interval, none, or some meet `op value`; an open end is unknown."""
    low = float("-inf") if interval.low is None else interval.low
    high = float("inf") if interval.high is None else interval.high
    first, last = _meets(low, op, value), _meets(high, op, value)
    if interval.low is None and interval.high is None:
        return Verdict.INCONCLUSIVE
    if first and last:
        return Verdict.PASS
    return Verdict.INCONCLUSIVE if first or last else Verdict.FAIL


def _meets(number: float, op: str, value: float) -> bool:
    return {"lte": number <= value, "lt": number < value, "gte": number >= value, "gt": number > value}[op]
