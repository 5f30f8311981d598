"""The timeline of a run: latency, failures, throughput and degradation level over one time axis, faults shaded."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from harness.render import svg
from harness.render.series import QUANTILES, Bins, Floats, stretches
from harness.render.words import LEVELS, count, duration


@dataclass(frozen=True)
class Shade:
    """A stretch of the run that is shown in the background; faults carry a letter."""

    letter: str
    title: str
    start_s: float
    end_s: float
    kind: str  # "fault" or "warm-up"


@dataclass(frozen=True)
class Mark:
    """A moment: landed, served again, full service."""

    at_s: float
    kind: str
    title: str


@dataclass(frozen=True)
class _Frame:
    width: float
    left: float
    right: float
    x: svg.Scale
    bins: Bins

    def edges(self, row: int) -> tuple[float, float]:
        return self.x(self.bins.start_s + row * self.bins.width_s), self.x(
            self.bins.start_s + (row + 1) * self.bins.width_s
        )


BAND, LATENCY, FAILED, THROUGHPUT, LEVEL, GAP, AXIS = 20.0, 150.0, 64.0, 84.0, 60.0, 30.0, 34.0
HEIGHT = BAND + LATENCY + FAILED + THROUGHPUT + LEVEL + 4 * GAP + AXIS


def timeline(
    bins: Bins, shades: tuple[Shade, ...], marks: tuple[Mark, ...], *, width: float, title: str, class_: str
) -> Markup:
    """Four panels above each other. `width` in SVG units, of which text takes 12: drawn once per screen width."""
    left, right = 52.0, width - 10.0
    frame = _Frame(width, left, right, svg.linear(bins.start_s, bins.end_s, left, right), bins)
    tops = [BAND + GAP]
    for height in (LATENCY, FAILED, THROUGHPUT):
        tops.append(tops[-1] + height + GAP)
    bottom = tops[-1] + LEVEL
    parts = [
        _shades(frame, shades, bottom),
        _latency(frame, tops[0]),
        _failed(frame, tops[1]),
        _throughput(frame, tops[2]),
        _level(frame, tops[3]),
        _marks(frame, marks, list(zip(tops, (LATENCY, FAILED, THROUGHPUT, LEVEL), strict=True))),
        _axis(frame, bottom),
        _readings(frame, tops[0], bottom) if width > 600 else Markup(""),
    ]
    return svg.picture(width, bottom + AXIS, title, *parts, class_=class_)


def _shades(frame: _Frame, shades: tuple[Shade, ...], bottom: float) -> Markup:
    parts = []
    for shade in shades:
        start = max(frame.left, min(frame.right, frame.x(shade.start_s)))
        end = max(frame.left, min(frame.right, frame.x(shade.end_s)))
        if end <= start:
            continue
        parts.append(svg.rect(start, BAND, end - start, bottom - BAND, f"shade-{shade.kind}", shade.title))
        if shade.kind == "fault":
            parts.append(svg.line(start, BAND - 16, start, bottom, "shade-edge"))
            parts.append(svg.rect(start, BAND - 16, 18, 16, "letter-box"))
            parts.append(svg.text(start + 9, BAND - 4, shade.letter, class_="letter", anchor="middle"))
        elif end - start > 50:
            parts.append(svg.text(start + 4, BAND - 4, shade.title, class_="small"))
    return Markup("").join(parts)


def _marks(frame: _Frame, marks: tuple[Mark, ...], panels: list[tuple[float, float]]) -> Markup:
    """A sign above, and a line through each panel that leaves its title and legend free."""
    parts = []
    for mark in marks:
        if not frame.bins.start_s <= mark.at_s <= frame.bins.end_s:
            continue
        x = frame.x(mark.at_s)
        parts += [svg.line(x, top, x, top + height, f"mark-{mark.kind}") for top, height in panels]
        parts.append(symbol(x, BAND + 6, mark.kind, mark.title))
    return Markup("").join(parts)


def symbol(x: float, y: float, kind: str, title: str = "") -> Markup:
    """The sign of a moment: a different shape for each, not only another colour."""
    shapes = {
        "landed": ((x - 5, y - 5), (x + 5, y - 5), (x, y + 5)),
        "detected": ((x - 4.5, y - 4.5), (x + 4.5, y - 4.5), (x + 4.5, y + 4.5), (x - 4.5, y + 4.5)),
        "served": ((x, y - 6), (x + 6, y), (x, y + 6), (x - 6, y)),
    }
    inner = (svg.tag("title", title),) if title else ()
    if kind in shapes:
        points = " ".join(f"{svg.number(a)},{svg.number(b)}" for a, b in shapes[kind])
        return svg.tag("polygon", *inner, points=points, class_=f"sign sign-{kind}")
    return svg.tag("circle", *inner, cx=x, cy=y, r=5, class_=f"sign sign-{kind}")


def sign(kind: str) -> Markup:
    """The sign of a moment within a line of text."""
    return svg.tag("svg", symbol(7.0, 7.0, kind), viewBox="0 0 14 14", class_="key", aria_hidden="true")


def _panel(
    frame: _Frame,
    top: float,
    height: float,
    title: str,
    legend: tuple[tuple[str, str], ...],
    values: list[tuple[float, str]],
    y: svg.Scale,
) -> Markup:
    """Title, legend, grid lines and their labels."""
    parts = [svg.text(frame.left, top - 9, title, class_="panel")]
    at = frame.right
    for class_, name in reversed(legend):
        at -= 6.2 * len(name) + 4
        parts.append(svg.text(at, top - 9, name, class_="small"))
        at -= 26
        if class_.startswith("area"):
            parts.append(svg.rect(at + 8, top - 17, 14, 9, class_))
        else:
            parts.append(svg.line(at, top - 13, at + 22, top - 13, class_))
        at -= 8
    for value, label in values:
        parts.append(svg.line(frame.left, y(value), frame.right, y(value), "grid"))
        parts.append(svg.text(frame.left - 6, y(value) + 4, label, class_="tick", anchor="end"))
    parts.append(svg.line(frame.left, top + height, frame.right, top + height, "axis"))
    return Markup("").join(parts)


def _latency(frame: _Frame, top: float) -> Markup:
    values = frame.bins.percentiles_s[~np.isnan(frame.bins.percentiles_s)]
    if not len(values):
        return svg.text(frame.left, top + 20, "no request was answered", class_="small")
    high, low, middle = float(values.max()), float(values.min()), float(np.median(values))
    logarithm = high / middle > 8
    if logarithm:
        low = 10 ** math.floor(math.log10(max(low, 1e-4)) + 1e-9)
        high = max(high, low * 10) * 1.1
        y = svg.logarithmic(low, high, top + LATENCY, top)
        marks = [
            low * factor * 10**power for power in range(8) for factor in (1, 3) if low * factor * 10**power <= high
        ]
        marks = marks if len(marks) <= 6 else marks[::2]
    else:
        high *= 1.1
        y = svg.linear(0.0, high, top + LATENCY, top)
        marks = svg.ticks(0.0, high, 4)
    scale = ", logarithmic" if logarithm and frame.width > 600 else ""
    parts = [
        _panel(
            frame,
            top,
            LATENCY,
            f"Latency of answers{scale}" if frame.width > 600 else "Latency",
            (("p50", "P50"), ("p95", "P95"), ("p99", "P99")),
            [(value, duration(value)) for value in marks],
            y,
        )
    ]
    for row in reversed(range(len(QUANTILES))):
        points = [
            ((left + right) / 2, y(float(value)))
            for (left, right), value in zip(
                map(frame.edges, range(len(frame.bins))), frame.bins.percentiles_s[row], strict=True
            )
        ]
        parts.append(svg.path(_ends(points, frame), f"p{QUANTILES[row] * 100:.0f}"))
    return Markup("").join(parts)


def _ends(points: list[tuple[float, float]], frame: _Frame) -> list[tuple[float, float]]:
    """A lone point between two empty bins gets the width of its bin, so that it can be seen."""
    half = (frame.right - frame.left) / max(1, len(frame.bins)) / 2
    known = [not math.isnan(y) for _, y in points]
    result = []
    for index, (x, y) in enumerate(points):
        alone = known[index] and not any(known[max(0, index - 1) : index]) and not any(known[index + 1 : index + 2])
        result += [(x - half, y), (x + half, y)] if alone else [(x, y)]
    return result


def _failed(frame: _Frame, top: float) -> Markup:
    share = frame.bins.failed_share()
    high = max(0.01, float(share.max(initial=0.0)))
    y = svg.linear(0.0, high, top + FAILED, top)
    parts = [_panel(frame, top, FAILED, "Failed requests", (), [(0.0, "0 %"), (high, f"{high * 100:.3g} %")], y)]
    for value, first, end in stretches((share * 1e6).astype(np.int64)):
        if value:
            x, height = frame.edges(first)[0], top + FAILED - y(value / 1e6)
            parts.append(svg.rect(x, top + FAILED - height, frame.edges(end - 1)[1] - x, height, "area-failed"))
    return Markup("").join(parts)


def _throughput(frame: _Frame, top: float) -> Markup:
    width = frame.bins.width_s
    layers = (
        ("full", frame.bins.full),
        ("degraded", frame.bins.degraded),
        ("failed", frame.bins.failed),
        ("unsent", frame.bins.unsent),
    )
    high = max(1.0, float(frame.bins.arrivals.max(initial=0)) / width) * 1.08
    y = svg.linear(0.0, high, top + THROUGHPUT, top)
    legend = tuple(
        (f"area-{name}", name if name != "unsent" else "not sent") for name, values in layers if values.any()
    )
    title = "Requests per second" if frame.width > 600 else "Per second"
    parts = [
        _panel(frame, top, THROUGHPUT, title, legend, [(value, f"{value:g}") for value in svg.ticks(0.0, high, 3)], y)
    ]
    below = np.zeros(len(frame.bins))
    for name, values in layers:
        above = below + values / width
        if values.any():
            parts.append(_area(frame, below, above, y, f"area-{name}"))
        below = above
    return Markup("").join(parts)


def _area(frame: _Frame, below: Floats, above: Floats, y: svg.Scale, class_: str) -> Markup:
    """The area between two stepped lines, as one path; empty stretches are left out."""
    parts = []
    for shown, first, end in stretches((above > below).astype(np.int64)):
        if not shown:
            continue
        upper = [(x, y(float(above[row]))) for row in range(first, end) for x in frame.edges(row)]
        lower = [(x, y(float(below[row]))) for row in range(first, end) for x in frame.edges(row)]
        parts.append(svg.path(_corners(upper) + _corners(lower)[::-1], class_, closed=True))
    return Markup("").join(parts)


def _corners(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Without the points in the middle of a level stretch."""
    return [
        point
        for index, point in enumerate(points)
        if index in (0, len(points) - 1) or not points[index - 1][1] == point[1] == points[index + 1][1]
    ]


def _level(frame: _Frame, top: float) -> Markup:
    y = svg.linear(1.0, 4.0, top + 8, top + LEVEL - 8)
    labels = [(float(level), f"{level}") for level in (1, 2, 3, 4)]
    parts = [
        _panel(frame, top, LEVEL, "Worst degradation level" if frame.width > 600 else "Worst level", (), labels, y)
    ]
    for level, first, end in stretches(frame.bins.level):
        if level:
            x, until = frame.edges(first)[0], frame.edges(end - 1)[1]
            parts.append(
                svg.rect(
                    x, y(level) - 5, until - x, 10, f"level-{min(level, 4)}", f"level {level}, {LEVELS.get(level, '')}"
                )
            )
    return Markup("").join(parts)


def _axis(frame: _Frame, bottom: float) -> Markup:
    most = max(3, int((frame.right - frame.left) / 80))
    parts = []
    for value in svg.ticks(frame.bins.start_s, frame.bins.end_s, most):
        x = frame.x(value)
        parts.append(svg.line(x, bottom, x, bottom + 4, "axis"))
        parts.append(svg.text(x, bottom + 17, f"{value:g}", class_="tick", anchor="middle"))
    parts.append(svg.text(frame.right, bottom + 31, "seconds since the run was opened", class_="small", anchor="end"))
    return Markup("").join(parts)


def _readings(frame: _Frame, top: float, bottom: float) -> Markup:
    """An invisible column over each bin, whose title a pointer shows."""
    parts = []
    for row in range(len(frame.bins)):
        left, right = frame.edges(row)
        parts.append(svg.rect(left, top, right - left, bottom - top, "reading", reading(frame.bins, row)))
    return Markup("").join(parts)


def reading(bins: Bins, row: int) -> str:
    """One bin in words."""
    at = bins.start_s + row * bins.width_s
    p50, p95, p99 = (float(value) for value in bins.percentiles_s[:, row])
    latency = "" if math.isnan(p50) else f", P50 {duration(p50)}, P95 {duration(p95)}, P99 {duration(p99)}"
    level = f", level {bins.level[row]}" if bins.level[row] else ""
    return f"{at:g} s: {count(int(bins.arrivals[row]), 'request')}, {bins.failed[row]} failed{latency}{level}"
