"""Whose the failures were: the faults' or the platform's own, and what fails when nothing is done to it."""

from __future__ import annotations

import math

from harness.model.evidence import Evidence
from harness.model.judgement import Attribution, BudgetSplit, Cause, Control, Interval, Judgement
from harness.render import words
from harness.render.faults import Fault
from harness.render.page import Cell, Part, Section, Table, table
from harness.render.story import origin_ns

NOBODY = "the platform itself"


def attribution(evidence: Evidence, judgement: Judgement, found: tuple[Fault, ...]) -> Section | None:
    told = judgement.attribution
    if told is None:
        return None
    names = {fault.experiment: f"{fault.letter} · {fault.title}" for fault in found}
    tables = (_causes(told, names), *_budgets(told, names), *_stretches(told, names, origin_ns(evidence)))
    return Section("attribution", "Whose failures were they?", (Part(paragraphs=_lead(told), tables=tables),))


def _lead(told: Attribution) -> tuple[Cell, ...]:
    faults, nobody = [it for it in told.causes if it.experiment], [it for it in told.causes if not it.experiment]
    return (
        f"Bad time, in which nobody got a good answer: {_seconds(faults)} by faults, {_seconds(nobody)} by "
        f"{NOBODY}. A failure belongs to a fault when it began after the fault was made and at most "
        f"{words.duration(told.propagation_s)} after its window.",
        _noise(told.control),
    )


def _seconds(causes: list[Cause]) -> str:
    lows, highs = ([getattr(it.seconds, end) or 0.0 for it in causes] for end in ("low", "high"))
    return words.span(Interval(low=sum(lows), high=sum(highs)))


def _noise(control: Control | None) -> str:
    if control is None:
        return "There was no undisturbed time to compare with, so how much fails without any fault is not known."
    share = words.span(control.share, "ratio")
    return (
        f"In {words.duration(control.seconds)} outside of every fault's reach, {words.grouped(control.bad)} of "
        f"{words.count(control.observations, 'request or probe', 'requests and probes')} failed ({share}). That is the "
        "noise, which comes without any fault and is not to be blamed on one."
    )


def _causes(told: Attribution, names: dict[str, str]) -> Table:
    rows: list[tuple[Cell, ...]] = [
        (
            names.get(it.experiment, it.experiment) or words.capital(NOBODY),
            words.grouped(it.bad),
            words.grouped(it.observations),
            "—" if it.noise is None else f"{it.noise:.1f}",
            str(it.stretches),
            words.span(it.seconds),
            words.span(it.longest_s),
        )
        for it in told.causes
    ]
    caption = "Failures by whom they belong to. “Noise” is how many would have failed anyway among as many."
    head = ("Cause", "Failed", "Of", "Noise", "Bad stretches", "Bad time", "Longest")
    return table(caption, head, rows, numeric=(1, 2, 3, 4))


def _budgets(told: Attribution, names: dict[str, str]) -> tuple[Table, ...]:
    if not told.budgets:
        return ()
    rows: list[tuple[Cell, ...]] = [
        (
            words.line(f"{it.slo}: {it.objective}" if it.objective else it.slo),
            f"{_whole(it.allowed)} of {words.grouped(it.events)}",
            ", ".join(f"{words.grouped(one.bad)} by {_letter(names, one.experiment)}" for one in it.faults) or "0",
            words.grouped(it.platform),
            words.grouped(it.unknown),
            _left(it),
        )
        for it in told.budgets
    ]
    caption = "Who spent what may fail: each objective on requests allows so many bad ones in this run."
    head = ("Objective", "May be bad", "By faults", "By the platform itself", "Unknown", "Left")
    return (table(caption, head, rows, numeric=(3, 4)),)


def _letter(names: dict[str, str], experiment: str) -> str:
    return names.get(experiment, experiment).partition(" · ")[0]


def _left(it: BudgetSplit) -> str:
    spent = sum(one.bad for one in it.faults) + it.platform
    worst, best = it.allowed - spent - it.unknown, it.allowed - spent
    if best < -1e-9:
        return "overspent"
    return _whole(best) if not it.unknown else f"{_whole(max(0.0, worst))} to {_whole(best)}"


def _whole(events: float) -> str:
    return words.grouped(math.floor(events + 1e-9))


def _stretches(told: Attribution, names: dict[str, str], origin: int) -> tuple[Table, ...]:
    if not told.stretches:
        return ()
    rows: list[tuple[Cell, ...]] = [
        (
            f"{(it.from_ns - origin) / 1e9:.1f} s",
            words.span(it.seconds),
            words.grouped(it.bad),
            names.get(it.experiment, it.experiment) or words.capital(NOBODY),
        )
        for it in told.stretches
    ]
    more = f" {words.count(told.unlisted, 'shorter one')} not listed." if told.unlisted else ""
    caption = f"The longest stretches of failures without a good answer between.{more}"
    head = ("From", "Lasted", "Failed", "Belongs to")
    return (table(caption, head, rows, numeric=(2,), fold="The longest bad stretches", class_="times"),)
