"""How sure a verdict is, and what would settle one that is not: in words for readers without statistics."""

from __future__ import annotations

import math
from collections.abc import Callable

from harness.judge.bounds import lower, mean_lower
from harness.model.judgement import Judgement, ObjectiveResult, Verdict
from harness.render.words import NARROW, count, duration, grouped, line, requirement, span

MOST_EVENTS = 100_000_000
TOO_FEW = 2.0  # independent events from which nothing is said of later runs
INFERRED = ("steady", "fault")  # windows in which a ratio of events says something of the platform beyond this run


def overall(judgement: Judgement) -> str:
    """How sure the whole is: how many objectives speak of the platform, and how many of this run only."""
    said = [it for it in judgement.objectives if it.claim == "system" and it.confidence]
    counted = len(judgement.objectives) - len(said)
    if not judgement.objectives:
        return ""
    if not said:
        return "How sure: all was counted or measured in this run, and no more is claimed; another run may differ."
    levels = sorted({_share(it.confidence or 0.0) for it in said})
    rest = f"; {grouped(counted)} are about this run only, counted or measured" if counted else ""
    at = " to ".join(dict.fromkeys((levels[0], levels[-1])))
    text = f"How sure: {grouped(len(said))} are about the platform, with {at} confidence{rest}."
    missed = [it for it in judgement.objectives if it.verdict is Verdict.FAIL]
    if missed and all(it.claim == "run" for it in missed):
        text += " What was missed was counted or measured, not estimated: it did happen."
    elif it := judgement.correction:
        text += f" By luck alone a platform that meets every objective FAILs less than {_chance(1.0 - it.false_fail)}."
    return text


def how_sure(result: ObjectiveResult) -> str:
    """One sentence: what the verdict rests on, and how far it can be wrong."""
    if _nothing(result):
        return "Nothing is known: there are no data to judge by, and without data nothing passes."
    if result.unit != "ratio":
        return _of_value(result)
    return _of_platform(result) if result.claim == "system" else _of_run(result)


def besides(result: ObjectiveResult) -> tuple[str, ...]:
    """What else must be known: how much its events count for, and what a count says of the platform in general."""
    told = []
    low = result.interval.low
    inferred = result.claim == "system"
    if result.claim == "run" and result.unit == "ratio" and result.window in INFERRED and result.confidence:
        inferred = low is not None and low != result.observed.low and result.verdict is Verdict.PASS
        if inferred and result.effective is not None and result.effective < TOO_FEW:
            return ("The run is too short to say anything of later ones.",)
        if inferred:
            told.append(
                f"Of runs to come it says less: {_outward(low, math.floor)} or better, with "
                f"{_share(result.confidence)} confidence."
            )
    if inferred and result.effective is not None and result.correlation_s and result.effective < result.events - 0.5:
        told.append(
            f"Its {count(result.events, 'event')} count as {_about(result.effective)}, since what "
            f"goes wrong within {duration(result.correlation_s)} may have one cause."
        )
    if result.claim == "system" and result.verdict is Verdict.FAIL and result.fail_confidence:
        told.append("That is stricter than for one objective alone, because several were judged at once.")
    return tuple(told)


def settle(result: ObjectiveResult, seconds: float = 0.0) -> str:
    """What would turn an INCONCLUSIVE into a PASS or a FAIL; "" for other verdicts. `seconds`: of its window."""
    if result.verdict is not Verdict.INCONCLUSIVE:
        return ""
    if _nothing(result):
        return f"The data that are missing: {line(result.reason, 160)}. Mend that, and run again."
    if result.unit != "ratio" or result.target is None:
        return "A closer look: more frequent observations, so that the earliest and the latest lie on the same side."
    if result.unknown and (told := _of_unknown(result)):
        return told
    return _of_more(result, seconds)


def _nothing(result: ObjectiveResult) -> bool:
    spans = (result.interval, result.observed)
    return result.measured is None and all(it.low is None and it.high is None for it in spans)


def _of_run(result: ObjectiveResult) -> str:
    if not result.unknown:
        if result.verdict is Verdict.INCONCLUSIVE:
            return "What happened was counted, but it was too little to decide by."
        return "This is what happened, counted: nothing was inferred."
    what = count(result.unknown, "event")
    if result.verdict is Verdict.INCONCLUSIVE:
        return f"Of {what} nobody knows how they ended, and they could tip it either way."
    end = "bad, the limit would be met" if result.verdict is Verdict.PASS else "good, the limit would be missed"
    return f"Counted. Even had all {what} without a known outcome been {end}."


def _of_platform(result: ObjectiveResult) -> str:
    low, high = _outward(result.interval.low, math.floor), _outward(result.interval.high, math.ceil)
    chance = _chance((result.fail_confidence if result.verdict is Verdict.FAIL else None) or result.confidence or 0.0)
    if result.verdict is Verdict.PASS:
        return f"If the platform were worse than {low}, a run this good would be seen less than {chance}."
    if result.verdict is Verdict.FAIL:
        return f"If the platform were better than {high}, a run this bad would be seen less than {chance}."
    between = "the limit lies in between" if _astride(result) else "that is too little to decide by"
    return f"A platform anywhere from {low} to {high} fits what was seen, and {between}."


def _astride(result: ObjectiveResult) -> bool:
    low, high, target = result.interval.low, result.interval.high, result.target
    return low is not None and high is not None and target is not None and low < target <= high


def _of_value(result: ObjectiveResult) -> str:
    times = f" the worst of {grouped(result.events)}:" if result.events > 1 and result.experiment else ""
    interval = result.interval
    if interval.low is not None and interval.low == interval.high:
        return (
            f"Measured in this run,{times or ''} nothing was inferred."
            if times
            else ("Measured in this run: nothing was inferred.")
        )
    between = span(interval, result.unit, beside=result.target)
    if result.verdict is Verdict.INCONCLUSIVE:
        return f"It is only known to be {between}; the limit of {requirement(result)} is not shown to be met or missed."
    ends = (
        "even the worst of that meets the limit"
        if result.verdict is Verdict.PASS
        else ("even the best of that misses the limit")
    )
    return f"Observed as {between}:{times} {ends}."


def _of_unknown(result: ObjectiveResult) -> str:
    """How many of the unknown events may be bad, where their outcomes alone decide."""
    assert result.target is not None
    if result.claim == "system" and result.observed.low is not None and result.observed.low >= result.target:
        return ""
    most = math.floor((1.0 - result.target) * result.events + 1e-9) - result.bad
    which = "it" if result.unknown == 1 else f"the {grouped(result.unknown)}"
    if most < 0 or most >= result.unknown:
        return f"The outcome of {which} unknown {'event' if result.unknown == 1 else 'events'}: find why nobody saw."
    allowed = "none" if most == 0 else f"at most {grouped(most)}"
    return (
        f"To know how the {count(result.unknown, 'unknown event')} ended: the limit is met if {allowed} of them "
        f"{'were' if most != 1 else 'was'} bad. Mend what hid them, and run again."
    )


def _of_more(result: ObjectiveResult, seconds: float) -> str:
    assert result.target is not None
    if result.target >= 1.0:
        return "No number of events proves 100 %: claim what happened in the run, or set a limit below 100 %."
    known = result.events - result.unknown
    if result.claim == "run" or not known:
        return "More events than this run had: the objective declares how many it wants at least."
    if result.bad / known >= 1.0 - result.target:
        return "A longer run. What was measured lies on the bad side, so more of the same would sooner show a FAIL."
    bad = result.bad / known
    worth = result.effective or known  # independent events that this run showed
    needed = _needed(result, bad, worth)
    if needed is None or needed <= worth:
        return "To know how the unknown events ended, or a run with far more events."
    more = _rounded_up(result.events * (needed / worth - 1.0))
    while not _enough(result, bad, worth * (1.0 + more / result.events)):  # one bad event more can tip it back
        more = _rounded_up(more * 1.01 + 1.0)
    how = "if as few of them are bad as so far" if result.bad else "without a bad one"
    longer = f": {duration(math.ceil(more / result.events * seconds))} longer at this load" if seconds > 0 else ""
    return f"About {count(more, 'more event')}, {how}{longer}."


def _needed(result: ObjectiveResult, bad: float, worth: float) -> float | None:
    """How many independent events would be a PASS with this share of bad ones, to 0.1 %; None beyond reason."""
    low = high = worth
    while not _enough(result, bad, high):
        low, high = high, high * 2.0
        if high > MOST_EVENTS:
            return None
    while high - low > 0.001 * high:
        middle = (low + high) / 2.0
        low, high = (low, middle) if _enough(result, bad, middle) else (middle, high)
    return high


def _enough(result: ObjectiveResult, bad: float, worth: float) -> bool:
    confidence, target = result.confidence or 0.95, result.target or 0.0
    if result.effective is not None:
        return mean_lower(1.0 - bad, worth, confidence) >= target
    events = math.floor(worth)
    return lower(events - math.ceil(bad * events), events, confidence) >= target


def _rounded_up(number: float) -> int:
    """To two digits: more would be false precision."""
    unit: int = 10 ** max(0, math.floor(math.log10(max(number, 1.0))) - 1)
    return math.ceil(number / unit) * unit


def _about(number: float) -> str:
    """An effective number, with a digit more where that matters."""
    if abs(number - 1.0) < 0.05:
        return "1 independent one"
    return f"{grouped(round(number)) if number >= 10 else f'{number:.1f}'} independent ones"


def _outward(bound: float | None, rounding: Callable[[float], int]) -> str:
    """A bound as a percentage, rounded away from what is claimed: what is said of it stays true."""
    if bound is None:
        return "—"
    edge = min(bound, 1.0 - bound) * 100
    factor = 10 ** min(9, max(1, 1 - math.floor(math.log10(edge)))) if edge > 1e-9 else 1
    return f"{rounding(round(bound * 100 * factor, 6)) / factor:.10g}{NARROW}%"


def _chance(confidence: float) -> str:
    """0.95 → "5 times in 100", 0.999 → "once in 1 000"."""
    error = max(1.0 - confidence, 1e-12)
    least = max(2, math.ceil(-math.log10(error) - 1e-9))
    whole = (power for power in range(least, least + 4) if abs(error * 10**power - round(error * 10**power)) < 1e-6)
    of = 10 ** next(whole, least)
    times = error * of
    return f"once in {grouped(of)}" if abs(times - 1) < 1e-6 else f"{times:.3g} times in {grouped(of)}"


def _share(value: float) -> str:
    return f"{value * 100:.10g}{NARROW}%"
