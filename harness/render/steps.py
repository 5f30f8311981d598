"""The steps from a fault to full service as a waterfall: each begins where the one before it ended."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from harness.model.judgement import Interval, Phase, PhaseName, Recovery
from harness.render import svg, words

NAMES: dict[PhaseName, str] = {
    "first-failure": "first failure",
    "detected": "detected",
    "failed-over": "failed over",
    "ready": "instance ready",
    "served": "users served",
    "full-service": "full service",
}
MEANING: dict[PhaseName, str] = {
    "first-failure": "A user first got less than full service",
    "detected": "An alert fired, or a breaker opened",
    "failed-over": "Another instance took over",
    "ready": "What was hit is ready again",
    "served": "Users get what is promised for this fault",
    "full-service": "Full service is back, and stayed",
}
LABELS, ROW, EDGE = 98.0, 20.0, 10.0


def drawing(recovery: Recovery, *, width: float, class_: str = "") -> Markup:
    """A row for each step that was observed: its bar is sure, its whisker from the earliest to the latest end."""
    shown = observed(recovery)
    reach = max((end for it in shown for end in _ends(it.until)), default=1.0) * 1.06 or 1.0
    x = svg.linear(0.0, reach, LABELS, width - EDGE)
    bottom = 8 + ROW * len(shown)
    parts = [svg.line(LABELS, bottom, width - EDGE, bottom, "axis")]
    for value in svg.ticks(0.0, reach, max(3, int((width - LABELS) / 90))):
        parts += [
            svg.line(x(value), 6, x(value), bottom + 4, "grid"),
            svg.text(
                x(value), bottom + 16, words.duration(value), class_="tick", anchor="middle" if value else "start"
            ),
        ]
    begin = Interval(low=0.0, high=0.0)
    for row, phase in enumerate(shown):
        assert phase.until is not None
        parts += _row(phase, begin, 8 + row * ROW, x, width - EDGE)
        begin = phase.until
    return svg.picture(width, bottom + 22, told(recovery), *parts, class_=class_)


def observed(recovery: Recovery) -> list[Phase]:
    """The steps that bound a phase, in their order."""
    return [it for it in recovery.phases if it.until is not None]


def told(recovery: Recovery) -> str:
    """The waterfall in words."""
    steps = [f"{NAMES[it.name]} after {words.back(it.until)}" for it in observed(recovery)]
    return words.line(f"Steps of the recovery from {recovery.fault}: {'; '.join(steps)}.")


def _row(phase: Phase, begin: Interval, top: float, x: svg.Scale, right: float) -> Sequence[Markup]:
    until = phase.until or Interval()
    start, middle = x(begin.high or 0.0), top + ROW / 2
    low, high = x(until.low or 0.0), right if until.high is None else x(until.high)
    title = f"{MEANING[phase.name]}: took {words.back(phase.took)}, done {words.back(until)} after the fault"
    class_ = f"step {phase.name}"
    ends = [svg.line(low, middle - 5, low, middle + 5, "whisker"), svg.line(low, middle, high, middle, "whisker")]
    if until.high is None:
        points = f"{svg.number(right + 7)},{svg.number(middle)} {svg.number(right)},{svg.number(middle - 5)} "
        ends.append(svg.tag("polygon", points=f"{points}{svg.number(right)},{svg.number(middle + 5)}", class_="arrow"))
    else:
        ends.append(svg.line(high, middle - 5, high, middle + 5, "whisker"))
    return (
        svg.text(LABELS - 6, middle + 4, NAMES[phase.name], class_="small", anchor="end"),
        svg.rect(min(start, low), middle - 5, max(1.0, low - start), 10, class_, title),
        *ends,
    )


def _ends(span: Interval | None) -> list[float]:
    return [end for end in (span.low, span.high) if end is not None] if span else []
