"""Gauges over a window, as shares of time: how long each scraped value held, and how long nobody knows.

A sample holds until the target's next scrape. Where that one is missing, it holds only while no scrape was due yet; the
rest, and what follows a scrape that failed, was NaN or did not show the series, is unknown time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from harness.judge import bounds
from harness.judge.decide import Claim, count, percent
from harness.judge.samples import LATE, Samples, Series
from harness.model.judgement import Interval, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Good = Callable[[NDArray[np.float64]], NDArray[np.bool_]]

# Scrapes come early by as much as they come late: before so many intervals after the last one none is due.
EARLY = 2 - LATE


@dataclass(frozen=True)
class Times:
    """Milliseconds of all series together, and the scrapes behind them."""

    good_ms: float = 0.0
    bad_ms: float = 0.0
    unknown_ms: float = 0.0
    good: int = 0
    bad: int = 0
    missing: int = 0
    notes: tuple[str, ...] = ()

    @property
    def all_ms(self) -> float:
        return self.good_ms + self.bad_ms + self.unknown_ms

    @property
    def scrapes(self) -> int:
        return self.good + self.bad + self.missing

    def __add__(self, other: Times) -> Times:
        return Times(
            self.good_ms + other.good_ms,
            self.bad_ms + other.bad_ms,
            self.unknown_ms + other.unknown_ms,
            self.good + other.good,
            self.bad + other.bad,
            self.missing + other.missing,
            self.notes + other.notes,
        )


def times(samples: Samples, query: str, good: Good, spans: Sequence[tuple[float, float]]) -> Times:
    """How long the series of a gauge were good, bad and unknown within the windows [from_ms, to_ms]."""
    total = Times()
    for one in samples.series(query):
        for from_ms, to_ms in spans:
            total += _series(samples, query, one, good, from_ms, to_ms)
    return total


def _series(samples: Samples, query: str, one: Series, good: Good, from_ms: float, to_ms: float) -> Times:
    scrapes = None if samples.computed_every_ms(query) else samples.scrapes.get(one.key)
    step = samples.computed_every_ms(query) or samples.step_ms(one)
    looks = [one.t_ms, one.nan_ms, one.stale_ms, *([scrapes.t_ms] if scrapes is not None else [])]
    at = np.unique(np.concatenate(looks)).astype(float)
    shown = np.isin(at, one.t_ms)
    right = np.zeros(len(at), dtype=bool)
    right[shown] = good(one.value)
    following = np.append(at[1:], np.inf)
    end = np.where(following - at <= LATE * step, following, at + EARLY * step)
    held = np.clip(end, from_ms, to_ms) - np.clip(at, from_ms, to_ms)
    good_ms, bad_ms = float(held[shown & right].sum()), float(held[shown & ~right].sum())
    here = shown & (at >= from_ms) & (at < to_ms)
    seen = int(np.count_nonzero(here))
    expected = int((to_ms - from_ms) // step) if step else seen
    missing = max(0, expected - seen)
    unknown_ms = max(0.0, to_ms - from_ms - good_ms - bad_ms)
    told: list[str] = []
    if missing:
        told.append(f"{one.name}: {count(missing, 'scrape')} of {expected} missing")
    return Times(
        good_ms, bad_ms, unknown_ms,
        int(np.count_nonzero(here & right)), int(np.count_nonzero(here & ~right)), missing, tuple(told),
    )  # fmt: skip


def last(series: Series, at_ms: float, within_ms: float) -> float | None:
    """The newest value at this time, unless it is older than `within_ms` or something else came after it."""
    there = np.sort(np.concatenate([series.t_ms, series.nan_ms, series.stale_ms]))
    there = there[(there <= at_ms) & (there > at_ms - within_ms)]
    return series.at(int(there[-1])) if len(there) else None


@dataclass(frozen=True)
class Share:
    """A share of time with its verdict; fields as in harness.judge.decide.Decision."""

    verdict: Verdict
    reason: str
    measured: float | None
    observed: Interval
    interval: Interval


def decide(told: Times, target: float, claim: Claim, confidence: float, minimum: int) -> Share:
    """At least `target` of the time must be good, unknown time at its worst.

    For a claim on the platform each scrape counts as one event (Clopper and Pearson's bounds on the pessimistic and on
    the optimistic share).
    """
    n, whole, known = told.scrapes, told.all_ms, told.good_ms + told.bad_ms
    if not n or not whole:
        return Share(Verdict.INCONCLUSIVE, "there was not one scrape to judge by", None, Interval(), Interval())
    low, high = told.good_ms / whole, (whole - told.bad_ms) / whole
    observed = Interval(low=low, high=high)
    interval = Interval(
        low=min(low, bounds.lower(int(low * n), n, confidence)),
        high=max(high, bounds.upper(min(n, int(np.ceil(high * n))), n, confidence)),
    )
    if claim == "system":
        low, high = interval.low or 0.0, 1.0 if interval.high is None else interval.high
    measured = told.good_ms / known if known else None
    seen = _seen(told, known)
    needed = f"at least {percent(target)} must be"
    if n < minimum:
        text = f"only {count(n, 'scrape')}, fewer than the {count(minimum)} that are needed to decide; {seen}"
        return Share(Verdict.INCONCLUSIVE, text, measured, observed, interval)
    if low >= target:
        return Share(Verdict.PASS, f"{seen}; {needed}", measured, observed, interval)
    if high < target:
        return Share(Verdict.FAIL, f"{seen}; {needed}", measured, observed, interval)
    why = "what is unknown could tip it either way" if told.unknown_ms else "too short to be sure"
    return Share(Verdict.INCONCLUSIVE, f"{seen}; {needed}: {why}", measured, observed, interval)


def _seen(told: Times, known_ms: float) -> str:
    if not known_ms:
        return f"of {told.unknown_ms / 1000:.1f} s nothing is known"
    seen = f"{percent(told.good_ms / known_ms)} of {known_ms / 1000:.1f} s were good"
    return f"{seen}, and of {told.unknown_ms / 1000:.1f} s more nothing is known" if told.unknown_ms >= 0.05e3 else seen
