"""Waivers over a judgement: a FAIL that somebody answers for is told as waived, in plain sight, and stays a FAIL.

Only a missed objective can be waived, not what is unknown and not a finding. Whether a waiver still counts is decided
by the time at which the run ended, so that judging again gives the same word.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Literal

from harness.model.judgement import Finding, Judgement, ObjectiveResult, Verdict, Waived
from harness.model.waiver import Waiver

State = Literal["used", "unused", "expired"]


def waive(judgement: Judgement, waivers: Sequence[Waiver], ended_wall_ns: int) -> Judgement:
    """The judgement with these waivers laid over it; its verdict and every objective's are as before."""
    if not waivers:
        return judgement
    day = datetime.fromtimestamp(ended_wall_ns / 1e9, UTC).date().isoformat()
    missed = [item for item in judgement.objectives if item.verdict is Verdict.FAIL]
    states: list[tuple[Waiver, State]] = [(one, _state(one, missed, day)) for one in waivers]
    used = [one for one, state in states if state == "used"]
    covered = tuple(_covered(item, used) for item in judgement.objectives)
    open_ = [item for item, now in zip(judgement.objectives, covered, strict=True) if _counts(item) and item is now]
    all_waived = bool(used) and not open_ and not any(_bears(one) for one in judgement.findings)
    told = tuple(
        Finding(name="waiver", cap=Verdict.PASS, reason=_told(one, state)) for one, state in states if state != "used"
    )
    return judgement.model_copy(
        update={
            "objectives": covered,
            "findings": judgement.findings + told,
            "waivers": tuple(
                Waived(objective=_name(one), who=one.who, why=one.why, until=one.until, state=state)
                for one, state in states
            ),
            "waived": all_waived,
            "sentence": _sentence(judgement, len(used), all_waived),
        }
    )


def covers(waiver: Waiver, item: ObjectiveResult) -> bool:
    """Whether a waiver is about this objective."""
    name, _, title = waiver.objective.partition("/")
    experiment = not waiver.experiment or waiver.experiment == item.experiment.partition("#")[0]
    return name == item.slo and (not title or title == item.objective) and experiment


def _state(waiver: Waiver, missed: Sequence[ObjectiveResult], day: str) -> State:
    if waiver.until < day:
        return "expired"
    return "used" if any(covers(waiver, item) for item in missed) else "unused"


def _covered(item: ObjectiveResult, used: Sequence[Waiver]) -> ObjectiveResult:
    mine = next((one for one in used if covers(one, item)), None)
    if mine is None or item.verdict is not Verdict.FAIL:
        return item
    reason = f"waived by {mine.who} until {mine.until} ({mine.why}); missed all the same: {item.reason}"
    return item.model_copy(update={"reason": reason})


def _counts(item: ObjectiveResult) -> bool:
    return item.verdict is not Verdict.PASS


def _bears(finding: Finding) -> bool:
    return finding.cap is not Verdict.PASS


def _name(waiver: Waiver) -> str:
    return f"{waiver.objective} ({waiver.experiment})" if waiver.experiment else waiver.objective


def _told(waiver: Waiver, state: State) -> str:
    if state == "expired":
        return f"the waiver of {_name(waiver)} by {waiver.who} expired on {waiver.until}: it covers nothing"
    return f"the waiver of {_name(waiver)} by {waiver.who} covers nothing: no such objective was missed; remove it"


def _sentence(judgement: Judgement, used: int, all_waived: bool) -> str:
    if not used:
        return judgement.sentence
    rest = judgement.sentence.removeprefix(f"{judgement.verdict}: ")
    number = "1 waiver" if used == 1 else f"{used} waivers"
    word = f"waived ({number})" if all_waived else f"not all waived ({number})"
    return f"{judgement.verdict}: {word}. {rest}"
