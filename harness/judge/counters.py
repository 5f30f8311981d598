"""Increases of counters from raw scraped samples, as [least, most]; never a resampled rate.

A window is judged between its first and its last scrape: good and total are then counted over the same requests, and no
event at an edge is guessed. What lies in a missing scrape at an edge is unknown; inside, the counter tells it anyway
once it is scraped again, unless the process was restarted meanwhile.

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
            there = int(np.count_nonzero((rows.intended_ns >= start) & (rows.intended_ns <= end)))
            bounds.append(per_arrival * (there + rows.missing.possibly_within(round(start), round(end) + 1)))
        return min(bounds)

    return bound


def increase(samples: Samples, query: str, spans: Sequence[tuple[float, float]], bound: Bound = unbounded) -> Increase:
    """The sum over all series and all windows [from_ms, to_ms]. `bound` speaks of all series together."""
    series = samples.series(query)
    total = Increase()
    for from_ms, to_ms in spans:
        for one in series:
            total += _series(samples, one, from_ms, to_ms)
        for scrapes in _silent(samples, series):
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


def _series(samples: Samples, raw: Series, from_ms: float, to_ms: float) -> Increase:
    if not len(raw.t_ms):
        return _dark(from_ms, to_ms, f"{raw.name} has no usable sample")
    series = _with_zeros(samples, raw)
    scrapes = samples.scrapes.get(series.key)
    step = scrapes.step_ms if scrapes else (float(np.median(np.diff(series.t_ms))) if len(series.t_ms) > 1 else 0.0)
    times, values = series.t_ms.astype(float), series.value
    total = Increase()
    if times[0] > from_ms:
        total += _beginning(samples, series, from_ms, to_ms, step)
    # Pairs that touch the window, vectorised: nearly all are whole, within it and without a restart.
    a, b = times[:-1], times[1:]
    rise = values[1:] - values[:-1]
    restarted = _restarts(samples, series)
    gap = b - a > LATE * step
    inside = (a >= from_ms) & (b <= to_ms)
    touching = (b > from_ms) & (a < to_ms)
    proven = _proven(samples, series)
    plain = inside & (rise >= 0) & ~restarted & (~gap | proven)
    total += Increase(float(rise[plain].sum()))
    for index in np.flatnonzero(touching & ~plain):
        whole = bool(inside[index])
        if not whole and not gap[index]:
            continue  # the usual edge of a window: it is judged from scrape to scrape
        total += _pair(series, int(index), bool(restarted[index]), bool(proven[index]), whole)
    if times[-1] < to_ms and to_ms - max(times[-1], from_ms) > LATE * step:
        start = max(float(times[-1]), from_ms)
        note = f"{series.name} was not scraped in the last {(to_ms - start) / 1000:.1f} s of the window"
        total += _dark(start, to_ms, note)
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
    """For each pair of neighbouring samples, whether the process was restarted in between."""
    fell = np.diff(series.value) < 0
    told = _told_starts(samples, series, series.t_ms)
    return fell if told is None else fell | (np.abs(np.diff(told)) > SAME_START_S)  # NaN compares as no restart


def _proven(samples: Samples, series: Series) -> Bools:
    """For each pair, whether the process is known to be the same, so that a gap hides nothing."""
    told = _told_starts(samples, series, series.t_ms)
    if told is None:
        return np.zeros(max(len(series.t_ms) - 1, 0), dtype=bool)
    return np.abs(np.diff(told)) <= SAME_START_S


def _told_starts(samples: Samples, series: Series, times: Ints) -> Floats | None:
    """The process start (seconds) told by the series' target at each of these times, NaN where it was not."""
    start = samples.starts.get(series.key)
    if start is None or not len(start.t_ms):
        return None
    place = np.minimum(np.searchsorted(start.t_ms, times), len(start.t_ms) - 1)
    return np.where(start.t_ms[place] == times, start.value[place], np.nan)


def _pair(series: Series, index: int, restarted: bool, proven: bool, whole: bool) -> Increase:
    """What was counted between two neighbouring samples, where something is the matter with them."""
    a, b = float(series.t_ms[index]), float(series.t_ms[index + 1])
    before, after = float(series.value[index]), float(series.value[index + 1])
    seconds = (b - a) / 1000
    if restarted or after < before:
        note = f"{series.name} was restarted; what it counted in the {seconds:.1f} s before was not seen"
        return _dark(a, b, note, *((after, 0.0) if whole else (0.0, after)))
    rise = after - before
    note = f"{series.name} was not scraped for {seconds:.1f} s"
    told = Increase(rise, 0.0, (), (note,)) if whole else Increase(0.0, rise, (), (note,))
    return told if proven else told + _dark(a, b, f"{note}, and may have been restarted meanwhile")


def _beginning(samples: Samples, series: Series, from_ms: float, to_ms: float, step: float) -> Increase:
    """What a series counted before its first sample, which came after the window had begun."""
    first, value = float(series.t_ms[0]), float(series.value[0])
    start = samples.starts.get(series.key)
    told = start.at(int(first)) if start is not None else None
    began = None if told is None else told * 1000  # the counter stood at 0 then
    if began is not None and began >= to_ms:
        return Increase()
    if began is not None and began >= from_ms and first <= to_ms:
        return Increase(value)
    if first - from_ms <= LATE * step:
        return Increase()  # the usual edge of a window
    note = f"{series.name} was first scraped {(first - from_ms) / 1000:.1f} s after the window began"
    if first > to_ms:
        return _dark(from_ms, to_ms, note)
    return Increase(0.0, value, (), (note,))


def in_prometheus_time(facts: Facts, spans: Sequence[Span]) -> list[tuple[float, float]]:
    """Windows on Prometheus' clock, in ms."""
    clock = facts.prometheus_clock
    if clock is None:
        return []
    return [((s.start_ns + clock.offset_ns) / 1e6, (s.end_ns + clock.offset_ns) / 1e6) for s in spans]
