"""Small drawings: the phases of a recovery, a canary's share over time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from harness.model.judgement import Interval, Recovery
from harness.render import svg, words
from harness.render.timeline import symbol


@dataclass(frozen=True)
class _Span:
    class_: str
    title: str
    start: float
    end: float


def phases(
    recovery: Recovery, lost: Sequence[tuple[float, float]] = (), *, width: float = 720.0, class_: str = ""
) -> Markup:
    """Time since the fault landed as a bar: unnoticed, users failed, served degraded, full service; doubt is hatched.

    `lost` are stretches of failed probes in seconds since the fault landed, drawn as a strip below.
    """
    moments = (recovery.first_failure_s, recovery.detected_s, recovery.served_s, recovery.full_service_s)
    ends = [end for span in moments if span for end in (span.low, span.high) if end is not None]
    reach = max([*ends, *(end for _, end in lost)], default=1.0) * 1.08 or 1.0
    x = svg.linear(0.0, reach, 6.0, width - 6)
    bar = [
        svg.rect(x(span.start), 22, max(1.0, x(span.end) - x(span.start)), 22, f"phase {span.class_}", span.title)
        for span in _spans(recovery, reach)
    ]
    doubts = [
        svg.rect(x(low), 22, max(1.5, x(high) - x(low)), 22, "doubt")
        for low, high in (
            _bounds(recovery.first_failure_s),
            _bounds(recovery.served_s),
            _bounds(recovery.full_service_s),
        )
        if high > low
    ]
    signs = [
        symbol(x(span.high), 11, kind, f"{name}: {words.span(span)} after the fault landed")
        for kind, name, span in (
            ("landed", "fault landed", Interval(low=0.0, high=0.0)),
            ("detected", "alert fired", recovery.detected_s),
            ("served", "served again", recovery.served_s),
            ("full", "full service", recovery.full_service_s),
        )
        if span and span.high is not None
    ]
    strip = [svg.rect(x(start), 48, max(1.0, x(end) - x(start)), 6, "lost", "probes lost") for start, end in lost]
    if recovery.probes:
        strip.insert(0, svg.rect(6, 48, width - 12, 6, "probed", "probes answered"))
    axis = [svg.line(6, 58, width - 6, 58, "axis")]
    for value in svg.ticks(0.0, reach, max(3, int(width / 90))):
        axis += [
            svg.line(x(value), 58, x(value), 62, "axis"),
            svg.text(x(value), 74, words.duration(value), class_="tick", anchor="middle" if value else "start"),
        ]
    title = f"Recovery from {recovery.fault}: " + "; ".join(span.title for span in _spans(recovery, reach))
    return svg.picture(width, 80, words.line(title), *bar, *doubts, *axis, *strip, *signs, class_=class_)


def _bounds(span: Interval | None) -> tuple[float, float]:
    return (span.low or 0.0, span.high) if span and span.high is not None else (0.0, 0.0)


def _came(span: Interval | None) -> bool:
    return span is not None and span.high is not None


def _spans(recovery: Recovery, reach: float) -> list[_Span]:
    if not recovery.visible:
        return [_Span("full", "users noticed nothing", 0.0, reach)]
    failed = _bounds(recovery.first_failure_s)[1]
    served = max(failed, _bounds(recovery.served_s)[1]) if _came(recovery.served_s) else reach
    full = max(served, _bounds(recovery.full_service_s)[1]) if _came(recovery.full_service_s) else reach
    until, back = words.duration(served), words.duration(full)
    spans = (
        _Span("unnoticed", f"unnoticed until {words.duration(failed)}", 0.0, failed),
        _Span(
            "outage",
            f"users failed until {until}" if _came(recovery.served_s) else "users failed from there on",
            failed,
            served,
        ),
        _Span(
            "degraded",
            f"degraded until {back}" if _came(recovery.full_service_s) else "degraded from there on",
            served,
            full,
        ),
        _Span("full", "full service from there on", full, reach),
    )
    return [span for span in spans if span.end > span.start]


def share(
    settings: Sequence[tuple[float, float]],
    seen: Sequence[tuple[float, float, bool]],
    start_s: float,
    end_s: float,
    *,
    width: float,
    title: str,
    class_: str = "",
) -> Markup:
    """A canary's share of the traffic: as set (stepped line) and as seen (dots; open where it was not as set)."""
    left, right, top, bottom = 48.0, width - 14, 12.0, 132.0
    x, y = svg.linear(start_s, end_s, left, right), svg.linear(0.0, 1.0, bottom, top)
    parts = []
    for value in (0.0, 0.25, 0.5, 0.75, 1.0):
        parts.append(svg.line(left, y(value), right, y(value), "grid"))
        parts.append(svg.text(left - 6, y(value) + 4, f"{value:.0%}", class_="tick", anchor="end"))
    for value in svg.ticks(start_s, end_s, max(3, int(width / 90))):
        parts.append(svg.line(x(value), bottom, x(value), bottom + 4, "axis"))
        parts.append(svg.text(x(value), bottom + 17, f"{value:g}", class_="tick", anchor="middle"))
    parts.append(svg.line(left, bottom, right, bottom, "axis"))
    points, before = [(left, y(0.0))], 0.0
    for at, value in settings:
        points += [(x(at), y(before)), (x(at), y(value))]
        before = value
    parts.append(svg.path([*points, (right, y(before))], "share-set"))
    for at, value, ok in seen:
        parts.append(
            svg.tag(
                "circle",
                svg.tag("title", f"{words.amount(value, 'ratio')} seen at {at:.1f} s"),
                cx=x(at),
                cy=y(value),
                r=5,
                class_="share-seen" if ok else "share-seen wrong",
            )
        )
    parts.append(svg.text(right, bottom + 31, "seconds since the run was opened", class_="small", anchor="end"))
    return svg.picture(width, bottom + 36, title, *parts, class_=class_)
