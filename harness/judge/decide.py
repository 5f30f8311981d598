"""From counts or an interval to a verdict with its reason in words. Missing data never passes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from harness.judge import bounds
from harness.model.base import format_duration
from harness.model.judgement import Interval, Verdict

if TYPE_CHECKING:
    from harness.judge.blocks import Blocks

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

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.good + other.good, self.bad + other.bad, self.unknown + other.unknown)


@dataclass(frozen=True)
class Decision:
    """`observed` is exact, unknown events at either end; `interval` is what it says of the platform.

    `effective`: how many independent events that rests on, when some may hang together.
    """

    verdict: Verdict
    reason: str
    measured: float | None
    observed: Interval
    interval: Interval
    effective: float | None = None


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
    counts: Counts,
    target: float,
    claim: Claim,
    confidence: float,
    minimum: int,
    noun: str,
    causes: str = "",
    *,
    blocks: Blocks | None = None,
    fail_confidence: float | None = None,
    seconds: float | None = None,
) -> Decision:
    """At least `target` of the events must be good; `causes` says in words what the bad ones were.

    Claim run: so it happened, unknown events at their worst. Claim system: `platform` decides, its lower end for PASS,
    its upper one for FAIL. `seconds`: how long the events took, to say how much longer would settle it.
    """
    n, good, best = counts.events, counts.good, counts.good + counts.unknown
    if n == 0:
        return Decision(Verdict.INCONCLUSIVE, f"there was not one {noun} to judge by", None, Interval(), Interval())
    observed = Interval(low=good / n, high=best / n)
    other = confidence if fail_confidence is None else fail_confidence
    interval = platform(counts, blocks, confidence, other)
    effective = None if blocks is None else blocks.effective(worst=True)[0]
    known = counts.good + counts.bad
    measured = counts.good / known if known else None
    decides = observed if claim == "run" else interval
    verdict = side(decides, target)
    seen = _seen(counts, noun, causes)
    needed = f"at least {percent(target)} must be"

    def word(verdict: Verdict, reason: str) -> Decision:
        return Decision(verdict, reason, measured, observed, interval, effective)

    if n < minimum:
        text = f"only {count(n, noun)}, fewer than the {count(minimum)} that are needed to decide; {seen}"
        return word(Verdict.INCONCLUSIVE, text)
    low, high = decides.low or 0.0, 1.0 if decides.high is None else decides.high
    if verdict is Verdict.PASS:
        sure = "" if claim == "run" else f", with {percent(confidence)} confidence at least {percent(low)} are"
        return word(Verdict.PASS, f"{seen}{sure}{_worth(blocks, claim)}; {needed}")
    if verdict is Verdict.FAIL:
        if claim == "system" and high > best / n:
            seen += f", with {percent(other)} confidence at most {percent(high)} are"
        return word(Verdict.FAIL, f"{seen}{_worth(blocks, claim)}; {needed}")
    settles = _open(counts, target, claim, confidence, noun, blocks, seconds)
    return word(Verdict.INCONCLUSIVE, f"{seen}; {needed}: {settles}")


def platform(counts: Counts, blocks: Blocks | None, confidence: float, fail_confidence: float) -> Interval:
    """What the events say of the platform's own share of good ones: one-sided bounds, unknown events at their worst.

    Exact binomial bounds for independent events; with `blocks` those that hold for events that hang together within
    the correlation length. Never narrower than what was observed.
    """
    n, good, best = counts.events, counts.good, counts.good + counts.unknown
    if not n:
        return Interval(low=0.0, high=1.0)
    if blocks is None:
        return Interval(low=bounds.lower(good, n, confidence), high=bounds.upper(best, n, fail_confidence))
    (number, least), (_, most) = blocks.effective(worst=True), blocks.effective(worst=False)
    return Interval(
        low=min(good / n, bounds.mean_lower(least, number, confidence)),
        high=max(best / n, bounds.mean_upper(most, number, fail_confidence)),
    )


def side(share: Interval, target: float) -> Verdict:
    """PASS when even the low end of a share of good events meets the target, FAIL when even the high one misses it."""
    if share.low is not None and share.low >= target:
        return Verdict.PASS
    return Verdict.FAIL if share.high is not None and share.high < target else Verdict.INCONCLUSIVE


def _worth(blocks: Blocks | None, claim: Claim) -> str:
    if blocks is None or claim == "run":
        return ""
    number, length = blocks.effective(worst=True)[0], format_duration(blocks.length_s)
    return f" (worth about {number:,.0f} independent ones: those within {length} may hang together)"


def _seen(counts: Counts, noun: str, causes: str) -> str:
    known = counts.good + counts.bad
    if not known:
        return f"of {count(counts.unknown, noun)} nothing is known"
    bad = f"{count(counts.bad)} {_were(counts.bad)} not" + (f" ({causes})" if causes and counts.bad else "")
    seen = f"{percent(counts.good / known)} of {count(known, noun)} {_were(known)} good, {bad}"
    return f"{seen}, and of {count(counts.unknown)} more nothing is known" if counts.unknown else seen


def _were(number: int) -> str:
    return "was" if number == 1 else "were"


def _open(
    counts: Counts,
    target: float,
    claim: Claim,
    confidence: float,
    noun: str,
    blocks: Blocks | None,
    seconds: float | None,
) -> str:
    """What would settle it."""
    tip = "what is unknown could tip it either way"
    if claim == "run":
        return tip
    if (counts.good + counts.unknown) / counts.events < target:
        return "what was seen misses it, but a platform that meets it could have shown that by chance"
    if counts.good / counts.events < target:
        return tip
    if blocks is None:
        needed = bounds.events_needed(counts.bad + counts.unknown, target, confidence)
        more = None if needed is None else needed - counts.events
    else:
        more = _more_events(counts, blocks, target, confidence)
    if more is None:
        return "no number of events proves 100 %"
    if more <= 0:
        return tip
    longer = f" ({more / counts.events * seconds:,.0f} s longer at this rate)" if seconds else ""
    return (
        f"too few to be {percent(confidence)} sure{_worth(blocks, claim)}; "
        f"{count(more, noun)} more without a bad one would do{longer}"
    )


def _more_events(counts: Counts, blocks: Blocks, target: float, confidence: float) -> int | None:
    """How many further events without a bad one would do, if they hang together as those that were seen."""
    number, share = blocks.effective(worst=True)
    needed = bounds.effective_needed(number * (1.0 - share), target, confidence)
    if needed is None:
        return None
    return math.ceil(counts.events * (needed / number - 1.0))


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
