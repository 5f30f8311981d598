"""The three budgeting methods of OpenSLO v1, and how much of its budget a stretch spent.

https://github.com/OpenSLO/OpenSLO#notes-slo: Occurrences is the ratio of good to all events; Timeslices the ratio of
good to all slices, a slice being good when its own ratio meets `timeSliceTarget`; RatioTimeslices the mean of the
slices' ratios. What is not known counts as good at one end and as bad at the other. A slice without a single event has
no ratio: it is unknown, or bad where the objective says so, and never good.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from harness.judge.decide import Counts
from harness.model.judgement import Interval

# A slice of which something was not seen: anything may have happened in it.
UNSEEN = Counts(0, 0, 1)
ENDS = 1e-12


def cut(start: float, end: float, size: float) -> list[tuple[float, float]]:
    """[start, end) in slices of this size. A rest shorter than half a slice belongs to the last; a longer is one."""
    if end <= start:
        return []
    number = max(1, int((end - start) / size + 0.5))
    edges = [start + index * size for index in range(number)]
    return list(zip(edges, [*edges[1:], end], strict=True))


def share(counts: Counts) -> Interval | None:
    """The ratio of good to all events; None without events."""
    if not counts.events:
        return None
    return Interval(low=counts.good / counts.events, high=(counts.good + counts.unknown) / counts.events)


def timeslices(slices: Iterable[Counts], slice_target: float, empty_is_bad: bool) -> Counts:
    """Good, bad and unknown slices."""
    good = bad = unknown = 0
    for counts in slices:
        ratio = share(counts)
        if ratio is None:
            bad, unknown = bad + empty_is_bad, unknown + (not empty_is_bad)
        elif _low(ratio) >= slice_target - ENDS:
            good += 1
        elif _high(ratio) < slice_target - ENDS:
            bad += 1
        else:
            unknown += 1
    return Counts(good, bad, unknown)


def mean_ratio(slices: Sequence[Counts], empty_is_bad: bool) -> Interval:
    """The mean of the slices' ratios; each slice weighs the same, however many events it had."""
    if not slices:
        return Interval()
    empty = Interval(low=0.0, high=0.0 if empty_is_bad else 1.0)
    ratios = [share(counts) or empty for counts in slices]
    return Interval(
        low=sum(map(_low, ratios)) / len(ratios),
        high=sum(map(_high, ratios)) / len(ratios),
    )


def spent(observed: Interval, target: float, seconds: float, window_s: float) -> Interval | None:
    """The share of a window's budget that a stretch of it spent, were its traffic to go on through the whole window.

    The window of `window_s` seconds then has window_s / seconds times the stretch's events, and may lose 1 - target of
    them: spent = (1 - ratio) / (1 - target) · seconds / window_s. None when there is no budget to spend (100 %).
    """
    if target >= 1.0 or window_s <= 0 or observed.low is None or observed.high is None:
        return None
    scale = seconds / window_s / (1.0 - target)
    return Interval(low=max(0.0, 1.0 - observed.high) * scale, high=max(0.0, 1.0 - observed.low) * scale)


def _low(interval: Interval) -> float:
    return 0.0 if interval.low is None else interval.low


def _high(interval: Interval) -> float:
    return 1.0 if interval.high is None else interval.high
