"""Prometheus samples as series on Prometheus' own clock (ms), and the scrapes that failed or never came.

A scrape target is (job, instance). Prometheus writes `up` at every scrape: 1 when the target answered, 0 when it did
not; where `up` itself has a gap, Prometheus did not scrape. A series without a sample at a scrape that was up was not
exposed then: to a counter that means it did not exist yet. Prometheus writes a staleness marker where a series ended;
only remote read returns it, so it may be missing, and `up` tells the same of what was scraped.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from harness.judge.rows import labels, numbers
from harness.model.promql import parse_selector
from harness.model.records import STALE_BITS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from harness.judge.rows import Whole
    from harness.model.evidence import MetricAnswer

Key = tuple[str, str]
# Scrapes come late by some ms; one is missing when the next comes later than so many intervals.
LATE = 1.5
STARTED = "process_start_time_seconds"


@dataclass(frozen=True)
class Series:
    """One time series, ascending; samples that were NaN and staleness markers stand apart, by their times."""

    labels: Mapping[str, str]
    t_ms: NDArray[np.int64]
    value: NDArray[np.float64]
    nan_ms: NDArray[np.int64]
    stale_ms: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))

    def __len__(self) -> int:
        return len(self.t_ms) + len(self.nan_ms) + len(self.stale_ms)

    @property
    def key(self) -> Key:
        return self.labels.get("job", ""), self.labels.get("instance", "")

    @property
    def name(self) -> str:
        """The labels that tell it from its neighbours, as Prometheus writes them."""
        inside = ",".join(f'{k}="{v}"' for k, v in sorted(self.labels.items()) if k != "__name__")
        return f"{self.labels.get('__name__', '')}{{{inside}}}"

    def at(self, t_ms: int) -> float | None:
        """The value scraped exactly then."""
        place = int(np.searchsorted(self.t_ms, t_ms))
        return float(self.value[place]) if place < len(self.t_ms) and self.t_ms[place] == t_ms else None


@dataclass(frozen=True)
class Scrapes:
    """All scrapes of one target; `labels` are the target's own."""

    labels: Mapping[str, str]
    t_ms: NDArray[np.int64]
    up: NDArray[np.bool_]
    step_ms: float

    def dark(self, from_ms: float, to_ms: float) -> list[tuple[float, float]]:
        """The stretches of [from, to] in which the target was not seen up, a missing scrape's length or longer."""
        seen = self.t_ms[self.up]
        inside = seen[(seen >= from_ms) & (seen <= to_ms)]
        edges = np.concatenate([[from_ms], inside, [to_ms]]).astype(float)
        gaps = np.diff(edges) > LATE * self.step_ms
        return [(float(a), float(b)) for a, b in zip(edges[:-1][gaps], edges[1:][gaps], strict=True)]


@dataclass(frozen=True)
class Samples:
    """The samples table by query."""

    table: pa.Table | None
    answers: tuple[MetricAnswer, ...]
    census: tuple[tuple[float, frozenset[str]], ...] = ()  # when somebody looked, in ms, and which instances were there
    _cache: dict[str, tuple[Series, ...]] = field(default_factory=dict, compare=False)

    def away(
        self, labels: Mapping[str, str], seen_ms: NDArray[np.int64], from_ms: float, to_ms: float, late_ms: float
    ) -> bool:
        """Whether an instance was not there in a window, by whoever looked at its two ends and between them.

        Nor was it scraped (`seen_ms`) from the first of these looks to the last. No name is given twice, so it had
        ended, or was yet to come. A look stands for an edge when it came at most `late_ms` inside of it.
        """
        begin = max((place for place, (at, _) in enumerate(self.census) if at <= from_ms + late_ms), default=None)
        end = next((place for place, (at, _) in enumerate(self.census) if at >= to_ms - late_ms), None)
        if begin is None or end is None:
            return False
        looks = self.census[min(begin, end) : max(begin, end) + 1]
        first, last = min(looks[0][0], from_ms), max(looks[-1][0], to_ms)
        seen = (seen_ms > first + late_ms) & (seen_ms < last - late_ms)
        return not seen.any() and all(labels.get("instance", "") not in names for _, names in looks)

    def trouble(self, query: str) -> str:
        """Why this query's samples cannot be trusted; "" when they can."""
        if self.table is None:
            return "there are no Prometheus samples"
        answer = self._answer(query)
        if answer is None:
            return f"Prometheus was not asked for {query}"
        if answer.error:
            return f"Prometheus did not answer for {query}: {answer.error}"
        if answer.warnings:
            return f"Prometheus answered for {query} in part only: {answer.warnings[0]}"
        recorded = self.series(answer.query)
        if answer.samples > sum(map(len, recorded)) or answer.series > len(recorded):
            return f"of the samples of {query} some are missing from the record"
        return ""

    def _answer(self, query: str) -> MetricAnswer | None:
        """The answer to this query, or to a wider one that holds its series too."""
        exact = next((answer for answer in self.answers if answer.query == query), None)
        if exact is not None:
            return exact
        try:
            wanted = parse_selector(query)
        except ValueError:  # an expression: nothing wider holds it
            return None
        raw = (answer for answer in self.answers if not answer.computed_every_s)
        return next((answer for answer in raw if wanted.within(parse_selector(answer.query))), None)

    def computed_every_ms(self, query: str) -> float:
        """How often Prometheus evaluated this expression; 0 for what it scraped."""
        answer = next((answer for answer in self.answers if answer.query == query), None)
        return answer.computed_every_s * 1000 if answer else 0.0

    def series(self, query: str) -> tuple[Series, ...]:
        """The series that answered this query; none when there was no answer."""
        if query not in self._cache:
            answer = self._answer(query)
            if answer is None or answer.query == query:
                self._cache[query] = self._read(query)
            else:
                wanted = parse_selector(query)
                self._cache[query] = tuple(one for one in self.series(answer.query) if wanted.matches(one.labels))
        return self._cache[query]

    @cached_property
    def _columns(self) -> tuple[Whole, list[str], Whole, list[str], pa.Table]:
        assert self.table is not None
        query, series = labels(self.table, "query"), labels(self.table, "series")
        return query.codes, list(query.names), series.codes, list(series.names), self.table

    def _read(self, query: str) -> tuple[Series, ...]:
        if self.table is None or not self.table.num_rows:
            return ()
        query_codes, queries, series_codes, names, table = self._columns
        if query not in queries:
            return ()
        mine = np.flatnonzero(query_codes == queries.index(query))
        times = numbers(table.column("t_ms"))[mine]
        values = numbers(table.column("value"))[mine]
        codes = series_codes[mine]
        order = np.lexsort((times, codes))
        found = []
        for part in np.split(order, np.flatnonzero(np.diff(codes[order])) + 1):
            part = part[np.concatenate([[True], np.diff(times[part]) > 0])]
            nan = np.isnan(values[part])
            stale = values[part].view(np.int64) == STALE_BITS
            name = json.loads(names[codes[part[0]]])
            found.append(
                Series(name, times[part][~nan], values[part][~nan], times[part][nan & ~stale], times[part][stale])
            )
        return tuple(found)

    @cached_property
    def scrapes(self) -> dict[Key, Scrapes]:
        """Every scrape target by (job, instance). Its interval is the declared one; where none was, the median seen."""
        found: dict[Key, Scrapes] = {}
        answer = self._answer("up")
        declared = answer.intervals if answer else {}
        steps = [float(np.median(np.diff(up.t_ms))) for up in self.series("up") if len(up.t_ms) > 2]
        usual = float(np.median(steps)) if steps else 0.0
        for up in self.series("up"):
            step = float(np.median(np.diff(up.t_ms))) if len(up.t_ms) > 2 else usual
            told = declared.get(up.key[0])
            found[up.key] = Scrapes(up.labels, up.t_ms, up.value == 1.0, told * 1000 if told else step)
        return found

    def step_ms(self, series: Series) -> float:
        """How often a series is sampled: by its own target, else (a rule's result) as the slowest target."""
        scrapes = self.scrapes.get(series.key)
        return scrapes.step_ms if scrapes else max((one.step_ms for one in self.scrapes.values()), default=0.0)

    @cached_property
    def starts(self) -> dict[Key, Series]:
        """When each target's process began (seconds of wall time), as it told at each scrape."""
        return {series.key: series for series in self.series(STARTED)}

    @cached_property
    def _scraped(self) -> tuple[NDArray[np.int64], float]:
        """When Prometheus scraped anything, and after how long without it paused."""
        times = [scrapes.t_ms for scrapes in self.scrapes.values()]
        step = max((scrapes.step_ms for scrapes in self.scrapes.values()), default=0.0)
        return np.unique(np.concatenate(times or [np.zeros(0, dtype=np.int64)])), LATE * step

    def watched_since(self, until_ms: float) -> float:
        """Since when Prometheus scraped anything without a pause, up to this time."""
        times, pause = self._scraped
        before = times[times < until_ms]
        if not len(before) or until_ms - before[-1] > pause:
            return until_ms
        pauses = np.flatnonzero(np.diff(before) > pause)
        return float(before[pauses[-1] + 1] if len(pauses) else before[0])

    def last_scrape_ms(self, from_ms: float) -> float:
        """Until when Prometheus scraped anything without a pause, from this time on."""
        times, pause = self._scraped
        after = times[times >= from_ms]
        if not len(after) or after[0] - from_ms > pause:
            return from_ms
        pauses = np.flatnonzero(np.diff(after) > pause)
        return float(after[pauses[0]] if len(pauses) else after[-1])
