"""Increases of counters from raw scraped samples, as [least, most]; never a resampled rate.

A window is judged between its first and its last scrape: good and total are then counted over the same requests, and no
event at an edge is guessed. What lies in a missing scrape at an edge is unknown; inside, the counter tells it anyway
once it is scraped again, unless the process was restarted meanwhile. `exact` asks for the whole window instead, to
compare it with somebody else's count: what was counted over an edge is unknown then.

After a restart the counter begins at 0; what it counted between its last scrape and its end was never seen and is
bounded by the user's arrivals (`perArrival`) or a declared rate (`maxRate`), else it is unbounded.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from harness.judge.samples import LATE, Samples, Scrapes, Series
from harness.judge.windows import Span

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from harness.judge.facts import Facts

    Ints = NDArray[np.int64]
    Floats = NDArray[np.float64]
    Bools = NDArray[np.bool_]

Bound = Callable[[float, float], float]
# Two starts that differ by less are one process: the value is rounded to the clock tick.
SAME_START_S = 0.5


@dataclass(frozen=True)
class Increase:
    """At least `least`, at most `least + unknown` (infinite when nothing bounds it); `dark`: when nobody looked."""

    least: float = 0.0
    unknown: float = 0.0
    dark: tuple[tuple[float, float], ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def most(self) -> float:
        return self.least + self.unknown

    def __add__(self, other: Increase) -> Increase:
        return Increase(
            self.least + other.least, self.unknown + other.unknown, self.dark + other.dark, self.notes + other.notes
        )


def _dark(from_ms: float, to_ms: float, note: str, least: float = 0.0, unknown: float = 0.0) -> Increase:
    return Increase(least, unknown, ((from_ms, to_ms),), (note,))


def unbounded(_from_ms: float, _to_ms: float) -> float:
    return math.inf


def bound_of(facts: Facts, per_arrival: float | None, max_rate: float | None) -> Bound:
    """How many events there can have been between two times of Prometheus' clock."""

    def bound(from_ms: float, to_ms: float) -> float:
        bounds = [math.inf]
        if max_rate is not None:
            bounds.append(max_rate * (to_ms - from_ms) / 1000)
        clock, rows = facts.prometheus_clock, facts.requests
        if per_arrival is not None and clock is not None and rows is not None and facts.schedule is not None:
            # A request may be counted until its time-out after its arrival.
            start = from_ms * 1e6 - clock.offset_ns - clock.error_ns - facts.evidence.scenario.load.timeout * 1e9
            end = to_ms * 1e6 - clock.offset_ns + clock.error_ns
            bounds.append(per_arrival * rows.possibly_due(start, end))
        return min(bounds)

    return bound


def increase(
    samples: Samples,
    query: str,
    spans: Sequence[tuple[float, float]],
    bound: Bound = unbounded,
    exact: bool = False,
) -> Increase:
    """The sum over all series and all windows [from_ms, to_ms]. `bound` speaks of all series together."""
    return _sum(samples, _counter(samples, query), spans, bound, exact)


@dataclass(frozen=True)
class _Track:
    """One series with zeros filled in, and what is known of each pair of neighbouring samples."""

    series: Series
    step: float
    began: float | None  # when its first process began, in ms; None when it does not tell
    watched: float  # since when Prometheus scraped anything without a pause until then
    restarted: Bools
    proven: Bools | None


@dataclass(frozen=True)
class _Counter:
    """All that a query counted: series that can be used, names of those that cannot, targets that never showed it."""

    tracks: tuple[_Track, ...]
    unusable: tuple[str, ...]
    silent: tuple[Scrapes, ...]


def _counter(samples: Samples, query: str) -> _Counter:
    series = samples.series(query)
    return _Counter(
        tuple(_track(samples, one) for one in series if len(one.t_ms)),
        tuple(one.name for one in series if not len(one.t_ms)),
        tuple(_silent(samples, series)),
    )


def _sum(
    samples: Samples, counter: _Counter, spans: Sequence[tuple[float, float]], bound: Bound, exact: bool
) -> Increase:
    total = Increase()
    for from_ms, to_ms in spans:
        for track in counter.tracks:
            if not samples.away(track.series.labels, track.series.t_ms, from_ms, to_ms, LATE * track.step):
                total += _series(track, from_ms, to_ms, exact)
        for name in counter.unusable:
            total += _dark(from_ms, to_ms, f"{name} has no usable sample")
        for scrapes in counter.silent:
            if samples.away(scrapes.labels, scrapes.t_ms[scrapes.up], from_ms, to_ms, LATE * scrapes.step_ms):
                continue
            for start, end in scrapes.dark(from_ms, to_ms):
                name = scrapes.labels["instance"]
                total += _dark(start, end, f"{name} could not be scraped for {(end - start) / 1000:.1f} s")
    unseen = sum(bound(start, end) for start, end in _merged(total.dark))
    return Increase(total.least, total.unknown + unseen, total.dark, total.notes)


def _merged(stretches: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Overlapping stretches as one: an event that was missed by two series is missed once."""
    merged: list[tuple[float, float]] = []
    for start, end in sorted(stretches):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return merged


def _silent(samples: Samples, series: Sequence[Series]) -> list[Scrapes]:
    """Targets that never showed the counter but are like those that did: what they all have in common, it has too."""
    showing = {one.key for one in series}
    told = [set(scrapes.labels.items()) for key, scrapes in samples.scrapes.items() if key in showing]
    common = {pair for pair in set.intersection(*told) if pair[0] != "instance"} if told else set()
    return [
        scrapes
        for key, scrapes in samples.scrapes.items()
        if key not in showing and common and common <= set(scrapes.labels.items())
    ]


def _track(samples: Samples, raw: Series) -> _Track:
    series = _with_zeros(samples, raw)
    scrapes = samples.scrapes.get(series.key)
    step = scrapes.step_ms if scrapes else (float(np.median(np.diff(series.t_ms))) if len(series.t_ms) > 1 else 0.0)
    start = samples.starts.get(series.key)
    told = start.at(int(series.t_ms[0])) if start is not None else None
    began = None if told is None else told * 1000
    watched = math.inf if began is None else samples.watched_since(began)
    return _Track(series, step, began, watched, _restarts(samples, series), _proven(samples, series))


def _series(track: _Track, from_ms: float, to_ms: float, exact: bool) -> Increase:
    series, step = track.series, track.step
    times, values = series.t_ms.astype(float), series.value
    total = Increase()
    if times[0] > from_ms:
        total += _beginning(track, from_ms, to_ms, exact)
    # Pairs that touch the window, vectorised: nearly all are whole, within it and without a restart.
    a, b = times[:-1], times[1:]
    rise = values[1:] - values[:-1]
    gap = b - a > LATE * step
    inside = (a >= from_ms) & (b <= to_ms)
    touching = (b > from_ms) & (a < to_ms)
    same = ~gap if track.proven is None else track.proven  # one that never tells is trusted not to restart unseen
    plain = inside & (rise >= 0) & ~track.restarted & same
    total += Increase(float(rise[plain].sum()))
    for index in np.flatnonzero(touching & ~plain):
        whole = bool(inside[index])
        if whole or gap[index] or (exact and (track.restarted[index] or not same[index])):
            total += _pair(track, int(index), whole)
        elif exact:
            total += Increase(0.0, float(rise[index]))
        # else the usual edge of a window: it is judged from scrape to scrape
    left = to_ms - max(times[-1], from_ms)
    if times[-1] < to_ms and (exact or left > LATE * step):
        note = f"{series.name} was not scraped in the last {left / 1000:.1f} s of the window"
        total += _dark(to_ms - left, to_ms, note)
    return total


def _with_zeros(samples: Samples, series: Series) -> Series:
    """The series with a 0 at each scrape of a process that did not show it yet: counters are born with an event."""
    scrapes = samples.scrapes.get(series.key)
    if scrapes is None or not scrapes.up.any():
        return series
    times = scrapes.t_ms[scrapes.up]
    told = _told_starts(samples, series, times)
    # Processes of this target one after another; a scrape that does not tell the start belongs to the one before.
    process = np.zeros(len(times), dtype=np.int64)
    if told is not None:
        known = np.flatnonzero(~np.isnan(told))
        changes = known[1:][np.abs(np.diff(told[known])) > SAME_START_S]
        process[changes] = 1
        process = np.cumsum(process)
    shown = np.isin(times, np.concatenate([series.t_ms, series.nan_ms]))
    first = np.full(int(process[-1]) + 1, np.iinfo(np.int64).max)
    np.minimum.at(first, process[shown], times[shown])
    born_later = ~shown & (times < first[process])
    if told is None:  # without proof of a new process only what came before the first sample counts as zero
        born_later &= times < series.t_ms[0]
    if not born_later.any():
        return series
    merged = np.concatenate([series.t_ms, times[born_later]])
    order = np.argsort(merged, kind="stable")
    values = np.concatenate([series.value, np.zeros(int(np.count_nonzero(born_later)))])
    return replace(series, t_ms=merged[order], value=values[order])


def _restarts(samples: Samples, series: Series) -> Bools:
    """For each pair of neighbouring samples, whether the process was certainly restarted in between."""
    fell = np.diff(series.value) < 0
    told = _told_starts(samples, series, series.t_ms)
    return fell if told is None else fell | (np.abs(np.diff(told)) > SAME_START_S)  # NaN compares as no restart


def _proven(samples: Samples, series: Series) -> Bools | None:
    """For each pair, whether the process is known to be the same, so that a gap hides nothing; None: it never tells.

    The same start told at or before the one and at or after the other proves it: a process does not come back.
    """
    start = samples.starts.get(series.key)
    if start is None or not len(start.t_ms):
        return None
    before = np.searchsorted(start.t_ms, series.t_ms[:-1], side="right") - 1
    after = np.searchsorted(start.t_ms, series.t_ms[1:], side="left")
    last = len(start.t_ms) - 1
    same = np.abs(start.value[np.minimum(after, last)] - start.value[np.maximum(before, 0)]) <= SAME_START_S
    return (before >= 0) & (after <= last) & same


def _told_starts(samples: Samples, series: Series, times: Ints) -> Floats | None:
    """The process start (seconds) told by the series' target at each of these times, NaN where it was not."""
    start = samples.starts.get(series.key)
    if start is None or not len(start.t_ms):
        return None
    place = np.minimum(np.searchsorted(start.t_ms, times), len(start.t_ms) - 1)
    return np.where(start.t_ms[place] == times, start.value[place], np.nan)


def _pair(track: _Track, index: int, whole: bool) -> Increase:
    """What was counted between two neighbouring samples, where something is the matter with them."""
    series = track.series
    a, b = float(series.t_ms[index]), float(series.t_ms[index + 1])
    before, after = float(series.value[index]), float(series.value[index + 1])
    seconds = (b - a) / 1000
    if track.restarted[index] or after < before:
        note = f"{series.name} was restarted; what it counted in the {seconds:.1f} s before was not seen"
        return _dark(a, b, note, *((after, 0.0) if whole else (0.0, after)))
    rise = after - before
    note = f"{series.name} was not scraped for {seconds:.1f} s"
    told = Increase(rise, 0.0, (), (note,)) if whole else Increase(0.0, rise, (), (note,))
    if track.proven is not None and track.proven[index]:
        return told
    return told + _dark(a, b, f"{note}, and may have been restarted meanwhile")


def _beginning(track: _Track, from_ms: float, to_ms: float, exact: bool) -> Increase:
    """What a series counted before its first sample, which came after the window had begun."""
    series, began = track.series, track.began
    first, value = float(series.t_ms[0]), float(series.value[0])
    if began is not None and began >= to_ms:  # the counter stood at 0 when its process began
        return Increase()
    if began is not None and began >= from_ms and first <= to_ms:
        if track.watched <= from_ms + LATE * track.step:  # an earlier process would have been seen
            return Increase(value)
        return _dark(from_ms, began, f"nobody looked whether {series.name} had an earlier process", value)
    if first - from_ms <= LATE * track.step and not exact:
        return Increase()  # the usual edge of a window
    note = f"{series.name} was first scraped {(first - from_ms) / 1000:.1f} s after the window began"
    if first > to_ms:
        return _dark(from_ms, to_ms, note)
    return Increase(0.0, value, (), (note,))


def in_prometheus_time(facts: Facts, spans: Sequence[Span]) -> list[tuple[float, float]]:
    """Windows on Prometheus' clock, in whole ms, as exact as its own times."""
    clock = facts.prometheus_clock
    if clock is None:
        return []

    def wall_ms(mono_ns: int) -> float:
        return float((mono_ns + clock.offset_ns + 500_000) // 1_000_000)

    return [(wall_ms(span.start_ns), wall_ms(span.end_ns)) for span in spans]
