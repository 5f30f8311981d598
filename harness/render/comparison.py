"""The gate's comparison over time: how the evidence grew, block by block, and where it sufficed. Worked out again."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from harness.judge.sequential import record as rows
from harness.judge.sequential import watch as rules
from harness.judge.sequential.canary import Null
from harness.model import events as e
from harness.model.evidence import Evidence
from harness.model.rollout import Rollout
from harness.render import svg, words
from harness.render.story import all_of, origin_ns

PANELS = {Null.NOT_WORSE: "Evidence that the canary is worse", Null.WORSE: "Evidence that it is good enough"}
STYLES = ("p95", "p99", "p50")
MOST = 20_000  # blocks times criteria, about a millisecond each
SUPERSCRIPT = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
TOP, PANEL, GAP, LEFT, RIGHT, LOWEST = 34.0, 96.0, 40.0, 62.0, 14.0, -1.0


@dataclass(frozen=True)
class Track:
    """One criterion's evidence in one bake: (seconds since the run was opened, powers of ten), from 0 on."""

    null: Null
    criterion: int
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Story:
    """All tracks, the evidence that suffices for either claim, the criteria's names, and what was said when."""

    tracks: tuple[Track, ...]
    levels: dict[Null, float]
    names: tuple[str, ...]
    said: tuple[tuple[float, str], ...]


def story(evidence: Evidence) -> Story | None:
    """None when nothing was compared, the record of the requests is gone, or it is too long to go through again."""
    told, rollout = all_of(evidence.events, e.Compared), evidence.scenario.rollout
    if not told or rollout is None or rollout.compare is None or evidence.requests is None:
        return None
    origin, seen = origin_ns(evidence), rows.of_table(evidence.requests, rollout.baseline, rollout.canary)
    harm, enough = rules.levels(rollout)
    asked = sum(it.until_ns - it.bake_ns for it in told) / rules.block_ns(rollout.compare)
    if asked * len(rollout.compare.criteria) > MOST:
        return None
    last = {it.from_ns: it for it in told}.values()  # harm is tested over all bakes of a step: once each
    spans = [(Null.NOT_WORSE, it.from_ns, it.until_ns) for it in last]
    spans += [(Null.WORSE, it.bake_ns, it.until_ns) for it in {it.bake_ns: it for it in told}.values()]
    return Story(
        tracks=tuple(track for span in spans for track in _tracks(seen, rollout, *span, origin)),
        levels={Null.NOT_WORSE: harm / math.log(10), Null.WORSE: enough / math.log(10)},
        names=tuple(rules.name(it) for it in rollout.compare.criteria),
        said=tuple(((it.until_ns - origin) / 1e9, it.word) for it in told),
    )


def _tracks(seen: rows.Record, rollout: Rollout, null: Null, from_ns: int, until_ns: int, origin: int) -> list[Track]:
    assert rollout.compare is not None
    watch = rules.watch(rollout.compare, null, seen.between(0, from_ns), from_ns)
    width, count = rules.block_ns(rollout.compare), len(rollout.compare.criteria)
    points: list[list[tuple[float, float]]] = [[((from_ns - origin) / 1e9, 0.0)] for _ in range(count)]
    while watch.until_ns + width <= until_ns:
        end = watch.until_ns + width
        watch = watch.then(seen.between(watch.until_ns, end), end)
        for index in range(count):
            points[index].append(((end - origin) / 1e9, watch.log_evidence(index) / math.log(10)))
    return [Track(null, index, tuple(found)) for index, found in enumerate(points)]


def drawing(told: Story, *, width: float, title: str, class_: str = "") -> Markup:
    """Two panels over one axis of time; the dashed line is where the evidence suffices."""
    ends = [at for track in told.tracks for at, _ in track.points]
    start, end = min(ends, default=0.0), max(ends, default=1.0)
    x = svg.linear(start, end, LEFT, width - RIGHT)
    parts: list[Markup] = []
    for place, null in enumerate(PANELS):
        parts += _panel(told, null, TOP + place * (PANEL + GAP), x, width)
    bottom = TOP + 2 * PANEL + GAP
    for value in svg.ticks(start, end, max(3, int(width / 90))):
        parts += [
            svg.line(x(value), bottom, x(value), bottom + 4, "axis"),
            svg.text(x(value), bottom + 17, f"{value:g}", class_="tick", anchor="middle"),
        ]
    parts.append(svg.text(width - RIGHT, bottom + 31, "seconds since the run was opened", class_="small", anchor="end"))
    return svg.picture(width, bottom + 36, title, *parts, class_=class_)


def _panel(told: Story, null: Null, top: float, x: svg.Scale, width: float) -> Sequence[Markup]:
    level = told.levels[null]
    mine = [track for track in told.tracks if track.null is null]
    high = max([level * 1.25, *(value for track in mine for _, value in track.points)])
    y = svg.linear(LOWEST, high, top + PANEL, top)
    parts = [svg.text(LEFT, top - 9, PANELS[null], class_="panel")]
    for power in range(0, math.floor(high) + 1, max(1, math.ceil(high / 4))):
        parts += [
            svg.line(LEFT, y(power), width - RIGHT, y(power), "grid"),
            svg.text(LEFT - 6, y(power) + 4, odds(power), class_="tick", anchor="end"),
        ]
    parts += [
        svg.line(LEFT, top + PANEL, width - RIGHT, top + PANEL, "axis"),
        svg.line(LEFT, y(level), width - RIGHT, y(level), "suffices"),
    ]
    for track in mine:
        style = STYLES[track.criterion % len(STYLES)]
        parts.append(svg.path([(x(at), y(max(value, LOWEST))) for at, value in track.points], style))
    return parts


def odds(power: float) -> str:
    """2.0 → "100 to 1"."""
    return (
        f"{words.grouped(round(10.0**power))} to 1" if power < 4 else f"10{f'{power:.0f}'.translate(SUPERSCRIPT)} to 1"
    )


def notes(told: Story) -> tuple[Markup, ...]:
    """What the lines are, and what sufficed when."""
    lines = [
        Markup("{}<strong>{}</strong>").format(_key(index), words.line(name)) for index, name in enumerate(told.names)
    ]
    words_of = {"harm": "shown to be worse", "enough": "shown to be good enough", "open": "neither was shown yet"}
    said = "; ".join(f"at {at:.1f} s {words_of[word]}" for at, word in told.said)
    harm, enough = (odds(told.levels[null]) for null in PANELS)
    return (
        Markup(" &nbsp; ").join(lines),
        Markup("{}").format(words.sentence(said)),
        Markup(
            "Both releases are compared within the same seconds, and the evidence of each second is multiplied up. "
            "Dashed: {} takes the canary off, {} on every line calls it good enough. However often one looks, chance "
            "alone gets that far no more often than the gate declares."
        ).format(harm, enough),
    )


def _key(index: int) -> Markup:
    line = svg.line(0, 7, 14, 7, STYLES[index % len(STYLES)])
    return svg.tag("svg", line, viewBox="0 0 14 14", class_="key", aria_hidden="true")
