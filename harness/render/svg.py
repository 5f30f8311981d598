"""Inline SVG as escaped markup. Colours are classes of the style sheet, so that dark mode and print apply."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

from markupsafe import Markup, escape

Scale = Callable[[float], float]


def tag(name: str, *children: str | Markup, **attributes: object) -> Markup:
    """An element. `class_` is class, other underscores become hyphens; None leaves an attribute out; all is escaped."""
    said = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(number(value) if isinstance(value, float) else str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    inner = Markup("").join(children)
    return Markup(f"<{name}{said}>{inner}</{name}>" if inner else f"<{name}{said}/>")  # noqa: S704 (all parts are escaped)


def picture(width: float, height: float, title: str, *children: Markup, class_: str = "") -> Markup:
    """A drawing that is one image for a screen reader, named by its title."""
    return tag(
        "svg",
        tag("title", title),
        *children,
        class_=class_ or None,
        viewBox=f"0 0 {number(width)} {number(height)}",
        role="img",
        aria_label=title,
    )


def text(x: float, y: float, words: str, *, class_: str | None = None, anchor: str | None = None) -> Markup:
    return tag("text", words, x=x, y=y, class_=class_, text_anchor=anchor)


def rect(x: float, y: float, width: float, height: float, class_: str, title: str = "", **more: object) -> Markup:
    inner = (tag("title", title),) if title else ()
    return tag("rect", *inner, x=x, y=y, width=max(0.0, width), height=max(0.0, height), class_=class_, **more)


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Markup:
    return tag("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)


def path(points: Iterable[Sequence[float]], class_: str, *, closed: bool = False) -> Markup:
    """Straight lines through the points; a point with NaN lifts the pen."""
    parts, pen = [], "M"
    for x, y in points:
        if math.isnan(y):
            pen = "M"
            continue
        parts.append(f"{pen}{number(x)} {number(y)}")
        pen = "L"
    return tag("path", d="".join(parts) + ("Z" if closed and parts else ""), class_=class_) if parts else Markup("")


def number(value: float) -> str:
    """A coordinate to a tenth of a unit."""
    text = f"{value:.1f}".removesuffix(".0")
    return "0" if text == "-0" else text


def linear(low: float, high: float, start: float, end: float) -> Scale:
    """Maps [low, high] to [start, end]."""
    reach = (high - low) or 1.0
    return lambda value: start + (value - low) / reach * (end - start)


def logarithmic(low: float, high: float, start: float, end: float) -> Scale:
    """Maps [low, high], both above 0, to [start, end] by ratios; values below `low` lie on it."""
    reach = math.log(high / low) or 1.0
    return lambda value: (
        start + math.log(max(value, low) / low) / reach * (end - start) if not math.isnan(value) else value
    )


def ticks(low: float, high: float, most: int) -> list[float]:
    """Round values (1, 2 or 5 times a power of ten) within [low, high], at most `most` of them."""
    if high <= low or most < 1:
        return [low]
    raw = (high - low) / most
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 5, 10, 20) if power * factor >= raw * 0.999)
    start = math.ceil(low / step - 1e-9)
    return [round(index * step, 12) for index in range(start, math.floor(high / step + 1e-9) + 1)]
