"""One objective as a drawing: its limit on an axis, the good side shaded, the interval as a bar, what was measured."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from harness.model.judgement import ObjectiveResult, Verdict
from harness.render import svg, words

WIDTH, HEIGHT, EDGE = 240.0, 54.0, 8.0
TOP, MIDDLE, BOTTOM = 16.0, 26.0, 36.0
LETTER = 6.4  # about the width of a letter of an axis, to keep labels apart
DECADES = 5  # of an axis by ratios, at most
LINEAR_REACH = 50.0  # values further apart than this are drawn by ratios
STATES = {Verdict.PASS: "met", Verdict.FAIL: "missed", Verdict.INCONCLUSIVE: "open"}


@dataclass(frozen=True)
class Axis:
    """`place` maps a value to a place across; `ticks` are values with their labels, from left to right."""

    place: svg.Scale
    ticks: tuple[tuple[float, str], ...]


def drawable(result: ObjectiveResult) -> bool:
    """Whether there is anything to draw against an objective."""
    return result.target is not None and result.unit != "bool" and bool(_known(result))


def drawing(result: ObjectiveResult) -> Markup:
    """The drawing, which says the same in words to a screen reader; empty when not drawable."""
    if result.target is None or not drawable(result):
        return Markup("")
    scale = axis(result)
    limit = scale.place(result.target)
    up = result.comparison.startswith(">")
    good, bad = ((limit, WIDTH - EDGE), (EDGE, limit)) if up else ((EDGE, limit), (limit, WIDTH - EDGE))
    state = STATES[result.verdict]
    parts = [
        svg.rect(bad[0], TOP, bad[1] - bad[0], BOTTOM - TOP, "forbidden"),
        svg.rect(good[0], TOP, max(3.0, good[1] - good[0]), BOTTOM - TOP, "allowed"),
        *_axis(scale),
        svg.line(limit, TOP - 3, limit, BOTTOM + 3, "target"),
        _label(limit, TOP - 5, f"limit {words.requirement(result)}", "limit"),
        *_bar(result, scale, state),
    ]
    if result.measured is not None:
        parts.append(sign(scale.place(result.measured), MIDDLE, state))
    return svg.picture(WIDTH, HEIGHT, told(result), *parts, class_="plot")


def told(result: ObjectiveResult) -> str:
    """What the drawing shows, in words."""
    where = {
        Verdict.PASS: "all of it on the good side",
        Verdict.FAIL: "all of it on the bad side",
        Verdict.INCONCLUSIVE: "so it is not shown on which side",
    }[result.verdict]
    span = words.span(words.deciding(result), result.unit, beside=result.target)
    measured = words.amount(result.measured, result.unit, beside=result.target)
    seen = f"Measured {measured}" if result.measured is not None else "Not measured"
    between = "" if span in ("—", measured) else f"; it can be {span}"
    return f"{seen}{between}. The limit is {words.requirement(result)}: {where}."


def sign(x: float, y: float, state: str) -> Markup:
    """The measured value: a dot where the objective is met, a diamond where it is missed, a ring where neither is."""
    if state == "missed":
        points = " ".join(f"{svg.number(x + dx)},{svg.number(y + dy)}" for dx, dy in ((0, -6), (6, 0), (0, 6), (-6, 0)))
        return svg.tag("polygon", points=points, class_="measured missed")
    return svg.tag("circle", cx=x, cy=y, r=5.0, class_=f"measured {state}")


def _known(result: ObjectiveResult) -> list[float]:
    span = words.deciding(result)
    return [end for end in (result.measured, span.low, span.high) if end is not None and math.isfinite(end)]


def _bar(result: ObjectiveResult, scale: Axis, state: str) -> list[Markup]:
    """From the worst to the best that is possible; an end that nobody knows runs off the axis with an arrow."""
    span = words.deciding(result)
    if span.low is None and span.high is None:
        return []
    left = EDGE if span.low is None else scale.place(span.low)
    right = WIDTH - EDGE if span.high is None else scale.place(span.high)
    parts = [svg.rect(left, MIDDLE - 4, max(1.0, right - left), 8, f"strong {state}")]
    for at, open_, way in ((left, span.low is None, -1), (right, span.high is None, 1)):
        if open_:
            shape = svg.tag("polygon", points=f"{svg.number(at + way * 7)},26 {svg.number(at)},20 {svg.number(at)},32",
                            class_=f"strong {state}")  # fmt: skip
            parts.append(shape)
        else:
            parts.append(svg.line(at, MIDDLE - 6, at, MIDDLE + 6, f"cap {state}"))
    return parts


def _axis(scale: Axis) -> list[Markup]:
    """Ticks, and as many of their labels as fit; the ends are labelled first."""
    parts = [svg.line(EDGE, BOTTOM, WIDTH - EDGE, BOTTOM, "axis")]
    taken: list[tuple[float, float]] = []
    inner = scale.ticks[1:-1]
    for value, text in (*scale.ticks[:1], *scale.ticks[-1:], *inner):
        x = scale.place(value)
        parts.append(svg.line(x, BOTTOM, x, BOTTOM + 3, "axis"))
        left, right = _span(x, text)
        if all(right + 5 < a or left - 5 > b for a, b in taken):
            taken.append((left, right))
            parts.append(_label(x, HEIGHT - 4, text, "tick"))
    return parts


def _span(x: float, text: str) -> tuple[float, float]:
    width = len(text) * LETTER
    left = min(max(0.0, x - width / 2), WIDTH - width)
    return left, left + width


def _label(x: float, y: float, text: str, class_: str) -> Markup:
    """Words over or under a place, kept within the drawing."""
    half = len(text) * LETTER / 2
    if x < half:
        return svg.text(0.0, y, text, class_=class_)
    if x > WIDTH - half:
        return svg.text(WIDTH, y, text, class_=class_, anchor="end")
    return svg.text(x, y, text, class_=class_, anchor="middle")


def axis(result: ObjectiveResult) -> Axis:
    """Where values lie across.

    Shares that should be near 100 % are drawn by what they lack of it, so that 99 % and 99.9 % stand apart; other
    values from 0 on, or by ratios when they are far apart.
    """
    assert result.target is not None
    values = [*_known(result), result.target]
    if result.unit == "ratio" and result.comparison.startswith(">") and min(values) >= 0 and max(values) <= 1:
        return _nines(values, result.target)
    positive = [value for value in values if value > 0]
    if min(values) < 0:
        low, high = min(values) * 1.1, max(*values, 0.0) * 1.1 or 1.0
        return Axis(svg.linear(low, high, EDGE, WIDTH - EDGE), _ticks(svg.ticks(low, high, 4), result.unit))
    if len(positive) == len(values) and max(values) / min(values) > LINEAR_REACH:
        return _ratios(values, result.unit)
    high = max(values) * 1.25 or 1.0
    if result.unit == "count":
        high = max(high, 2.0)
    step = 1.0 if result.unit != "s" or high < 120 else 60.0 if high < 7200 else 3600.0
    at = [value * step for value in svg.ticks(0.0, high / step, 4)]
    if result.unit == "count":
        at = [value for value in at if value == int(value)]
    place = svg.linear(0.0, high, EDGE, WIDTH - EDGE)
    if step > 1.0:
        name = "min" if step == 60.0 else "h"
        return Axis(place, tuple((value, f"{value / step:g}{words.NARROW}{name}") for value in at))
    return Axis(place, _ticks(at, result.unit))


def _nines(values: Sequence[float], target: float) -> Axis:
    """Decades of the bad share, the worst to the left; 100 % ends the axis one decade after the last that is needed."""
    lacks = [1.0 - value for value in values if 1.0 - value > 1e-12]
    worst = max([*lacks, (1.0 - target) * 1.5])
    top = min(0, math.ceil(math.log10(worst) - 1e-9)) if worst > 1e-12 else -1
    least = math.floor(math.log10(min(lacks)) + 1e-9) if lacks else -1
    last = max(min(least, top - 1), top - DECADES)
    decades = range(top, last - 1, -1)
    scale = svg.linear(float(top), float(last - 1), EDGE, WIDTH - EDGE)

    def place(value: float) -> float:
        lack = max(0.0, 1.0 - value)
        return scale(max(math.log10(lack), last - 1.0)) if lack > 1e-12 else WIDTH - EDGE

    ticks = [
        (1.0 - 10.0**power, f"{(1.0 - 10.0**power) * 100:.{max(0, -power - 2)}f}{words.NARROW}%") for power in decades
    ]
    return Axis(place, (*ticks, (1.0, f"100{words.NARROW}%")))


def _ratios(values: Sequence[float], unit: str) -> Axis:
    high = max(values) * 1.6
    low = max(min(values) / 2.0, high / 10.0**DECADES)
    place = svg.logarithmic(low, high, EDGE, WIDTH - EDGE)
    powers = [10.0**power for power in range(math.ceil(math.log10(low)), math.floor(math.log10(high)) + 1)]
    labels = [f"{value:g}{words.NARROW}s" if unit == "s" else words.amount(value, unit) for value in powers]
    return Axis(place, tuple(zip(powers, labels, strict=True)))


def _ticks(values: Sequence[float], unit: str) -> tuple[tuple[float, str], ...]:
    return tuple((value, words.amount(value, unit).replace(words.SPACE, words.NARROW)) for value in values)
