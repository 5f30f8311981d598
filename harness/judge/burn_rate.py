"""Burn rates: how many times faster than allowed a budget is spent, and the alerts on them.

Over a look-back window: share of bad events ÷ (1 - target); 1 spends exactly the budget. OpenSLO v1 has one look-back
window for each condition; `harness/also-over` adds shorter ones that must agree, so that an alert ends soon after its
cause (the multi-window alerts of Google's SRE workbook, chapter 5).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from harness.judge.decide import Counts, compare
from harness.model.judgement import Interval, Verdict
from harness.model.slo import BurnRateAlert


@dataclass(frozen=True)
class Bin:
    """Events of [start_s, end_s) of wall time. `unseen`: more than that may have happened in it."""

    start_s: float
    end_s: float
    counts: Counts
    unseen: bool = False


@dataclass(frozen=True)
class Firing:
    """An alert from one evaluation to another. `sure`: whatever the unknown events were; else it may have fired."""

    from_s: float
    until_s: float
    worst: float
    sure: bool


class Burn:
    """The burn rate of one objective at any time."""

    def __init__(self, bins: Sequence[Bin], target: float) -> None:
        self._bins = sorted(bins, key=lambda one: one.end_s)
        self._ends = [one.end_s for one in self._bins]
        self._allowed = 1.0 - target
        zero = Counts(0, 0)
        self._sums = list(accumulate((one.counts for one in self._bins), initial=zero))
        self._unseen = list(accumulate((one.unseen for one in self._bins), initial=0))

    def rate(self, at_s: float, over_s: float) -> Interval | None:
        """Over the bins that end in (at_s - over_s, at_s]; None when there was not one event."""
        first, last = bisect_right(self._ends, at_s - over_s), bisect_right(self._ends, at_s)
        before, upto = self._sums[first], self._sums[last]
        bad, unknown = upto.bad - before.bad, upto.unknown - before.unknown
        events = upto.events - before.events
        if self._unseen[last] > self._unseen[first]:
            return Interval(low=0.0, high=1.0 / self._allowed if self._allowed > 0 else float("inf"))
        if not events:
            return None
        if self._allowed <= 0:  # a target of 100 % has no budget: the first bad event burns it without end
            return Interval(low=_times(bad), high=_times(bad + unknown))
        return Interval(low=bad / events / self._allowed, high=(bad + unknown) / events / self._allowed)

    def silent(self, alert: BurnRateAlert) -> int:
        """At how many evaluations there was not one event to tell a burn rate from."""
        return sum(self.rate(one.end_s, alert.over_s) is None for one in self._bins)

    def firings(self, alert: BurnRateAlert) -> tuple[Firing, ...]:
        """When the condition held for `after_s` at every evaluation, one at the end of each bin."""
        found: list[Firing] = []
        begun: dict[bool, float | None] = {True: None, False: None}
        worst = 0.0
        open_: Firing | None = None
        for bin_ in self._bins:
            at = bin_.end_s
            word, rate = self._word(alert, at)
            worst = max(worst, rate) if word is not Verdict.FAIL else 0.0
            for sure in (True, False):
                holds = word is Verdict.PASS if sure else word is not Verdict.FAIL
                begun[sure] = (at if begun[sure] is None else begun[sure]) if holds else None
            state = next((sure for sure in (True, False) if _since(begun[sure], at) >= alert.after_s), None)
            if open_ is not None and (state is None or state != open_.sure):
                found.append(open_)
                open_ = None
            if state is not None:
                start = open_.from_s if open_ else at
                open_ = Firing(start, at, max(worst, open_.worst if open_ else 0.0), state)
        return tuple([*found, open_] if open_ else found)

    def _word(self, alert: BurnRateAlert, at_s: float) -> tuple[Verdict, float]:
        """PASS when the condition certainly holds over all its windows, FAIL when over one it certainly does not."""
        verdicts, shown = [], 0.0
        for over_s in (alert.over_s, *alert.also_over_s):
            rate = self.rate(at_s, over_s)
            if rate is None:
                return Verdict.FAIL, 0.0
            verdicts.append(compare(rate, alert.op, alert.threshold))
            shown = rate.high or 0.0 if over_s == alert.over_s else shown
        return max(verdicts, key=lambda verdict: verdict.rank), shown


def _since(begun: float | None, at_s: float) -> float:
    return -1.0 if begun is None else at_s - begun


def _times(bad: int) -> float:
    return float("inf") if bad else 0.0
