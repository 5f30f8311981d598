"""Whether users and the platform count the same, where both counted it (`harness/same-as`).

The two look at different moments: a request is counted by the platform between its start and its end at the user, and
the counter is seen at the next scrape. So both counts are intervals, over the same window with its edges as unknown. A
request without an answer may have been counted or not. Intervals without a common number cannot both be right: then
something is missing that nobody knows of, and the best word is INCONCLUSIVE.

A user's time holds the platform's, so of fast requests the platform may well count more than the user, never fewer.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from harness.judge.counters import bound_of, in_prometheus_time, increase
from harness.judge.requests import select
from harness.model.judgement import Finding, Verdict
from harness.model.records import Outcome
from harness.model.slo import CounterRatio, RequestFilter, RequestRatio, Slo

if TYPE_CHECKING:
    from harness.judge.facts import Facts
    from harness.judge.rows import Record
    from harness.judge.windows import Span

Range = tuple[float, float]  # least, most


@dataclass(frozen=True)
class Agreement:
    """One count, as [least, most] by the users' record and by the platform's counter over the same window."""

    what: str  # "total", "good" or "bad"
    users: Range
    platform: Range
    one_sided: bool = False

    @property
    def holds(self) -> bool:
        """Whether one number can be true to both; one-sided: the platform's most is not below the users' least."""
        return self.users[0] <= self.platform[1] and (self.one_sided or self.platform[0] <= self.users[1])

    def __str__(self) -> str:
        return f"{self.what}: users {_told(self.users)}, the platform {_told(self.platform)}"


def _told(counted: Range) -> str:
    least, most = counted
    return f"at least {least:,.0f}" if math.isinf(most) else f"{least:,.0f} to {most:,.0f}"


def agreements(facts: Facts, slo: Slo) -> tuple[Agreement, ...] | str:
    """Total and part compared; a str says why they cannot be. () when the SLO declares nothing."""
    if not slo.annotations.same_as:
        return ()
    if slo.name not in facts.compared:
        facts.compared[slo.name] = _compare(facts, slo)
    return facts.compared[slo.name]


def _compare(facts: Facts, slo: Slo) -> tuple[Agreement, ...] | str:
    other = next((one for one in facts.slos if one.name == slo.annotations.same_as), None)
    server, spans, rows = slo.indicator, facts.judged(slo), facts.requests
    if other is None or not isinstance(other.indicator, RequestRatio) or not isinstance(server, CounterRatio):
        return f"{slo.annotations.same_as} is not among the objectives"
    if rows is None or not spans or facts.prometheus_clock is None:
        return "there is no record of the requests, no window, or no clock"
    for query in (server.total, server.good or server.bad):
        trouble = facts.samples.trouble(query) or facts.samples.trouble("up")
        if trouble:
            return trouble
    role, users = "good" if server.good else "bad", other.indicator
    part = users.good or users.bad or RequestFilter()
    bound = bound_of(facts, server.per_arrival, server.max_rate)
    times = in_prometheus_time(facts, spans)
    found = []
    for what, query, chosen in (
        ("total", server.total, RequestFilter()),
        (role, server.good or server.bad, part),
    ):
        grown = increase(facts.samples, query, times, bound, exact=True)
        found.append(
            Agreement(
                what,
                _users(facts, rows, users.total, chosen, spans),
                (grown.least, grown.most),
                one_sided=chosen.faster_than is not None,
            )
        )
    return tuple(found)


def _users(facts: Facts, record: Record, total: RequestFilter, part: RequestFilter, spans: tuple[Span, ...]) -> Range:
    """How many such requests the platform can have counted within the spans, by the users' record."""
    clock = facts.prometheus_clock
    error = (clock.error_ns if clock else 0) + 1_000_000
    timeout = round(facts.evidence.scenario.load.timeout * 1e9)
    least = most = 0
    for rows in record.pieces:
        whole = select(rows, total, facts.spans, facts.promises)
        chosen = select(rows, part, facts.spans, facts.promises)
        answered = rows.outcome == Outcome.ANSWERED
        sent = (rows.started_ns >= 0) & ~np.isin(rows.outcome, (Outcome.DROPPED, Outcome.SKIPPED))
        ours = answered & ~rows.release.among([""])  # the edge's own answers name no release
        must = ours & whole.must & chosen.must
        may = sent & whole.may & (chosen.may | ~answered)
        for span in spans:
            start, end = span.start_ns, span.end_ns
            inside = (rows.started_ns >= start + error) & (rows.finished_ns <= end - error)
            touching = (rows.started_ns <= end + error) & ((rows.finished_ns >= start - error) | ~answered)
            least += int(np.count_nonzero(must & inside))
            most += int(np.count_nonzero(may & touching))
    most += sum(record.missing.possibly_within(span.start_ns - timeout, span.end_ns) for span in spans)
    return float(least), float(most)


def note(facts: Facts, slo: Slo) -> tuple[str, ...]:
    """Both counts in one line, for the result of the platform's side."""
    found = agreements(facts, slo)
    if isinstance(found, str):
        return (f"not compared with {slo.annotations.same_as}: {found}",)
    return (f"beside {slo.annotations.same_as}: {'; '.join(map(str, found))}",) if found else ()


def disagreements(facts: Facts) -> Iterator[Finding]:
    """One finding for each pair of objectives whose counts cannot both be right."""
    for slo in facts.slos:
        if not slo.annotations.same_as or not facts.asked(slo):
            continue
        found = agreements(facts, slo)
        if isinstance(found, str):
            continue  # a side that is missing makes its own objective INCONCLUSIVE
        apart = [one for one in found if not one.holds]
        if apart:
            yield Finding(
                name="counts disagree",
                cap=Verdict.INCONCLUSIVE,
                reason=f"{slo.annotations.same_as} and {slo.name} count the same, but {apart[0]}: no missing data "
                "explains it",
                detail=tuple(str(one) for one in found),
            )
