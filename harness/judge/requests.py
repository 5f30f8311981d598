"""Ratios of requests, counted one by one in the load's or the beacon's record.

What is not known of a request counts on both sides: `must` marks the requests that certainly meet a condition, `may`
those that possibly do (Kleene's logic in two masks). An arrival that the generator dropped or that was still in flight
is unknown; so is one without a record. One that was skipped, because the step before it had failed, is no event: the
failure has been counted already.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from harness.judge.decide import Counts, count
from harness.judge.windows import Span, inside
from harness.model.records import Content, Outcome
from harness.model.slo import RequestFilter, RequestRatio

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from harness.judge.classes import Tally
    from harness.judge.facts import Facts
    from harness.judge.rows import Labels, Record, Rows

    Bools = NDArray[np.bool_]

FULL_SERVICE = 1
UNKNOWN_LEVEL = 0


@dataclass(frozen=True)
class Masks:
    """Which rows certainly and which possibly meet a condition."""

    must: Bools
    may: Bools

    def __and__(self, other: Masks) -> Masks:
        return Masks(self.must & other.must, self.may & other.may)

    def __invert__(self) -> Masks:
        return Masks(~self.may, ~self.must)


def known(mask: Bools) -> Masks:
    """A condition of which nothing is unknown."""
    return Masks(mask, mask)


def unsettled(rows: Rows) -> Bools:
    """Rows whose outcome nobody saw: dropped by the generator, or in flight at the end."""
    return np.isin(rows.outcome, (Outcome.DROPPED, Outcome.UNFINISHED))


def level_counts(rows: Rows, spans: Sequence[Span], promises: dict[str, frozenset[int]]) -> Masks:
    """Whether the degradation level told counts as served: 1, or one that was promised for the fault just then."""
    right = rows.level == FULL_SERVICE
    for span in spans:
        promised = promises.get(span.name) if span.kind == "fault" else None
        if promised:
            right |= inside(rows.intended_ns, [span]) & np.isin(rows.level, sorted(promised))
    return Masks(right, right | (rows.level == UNKNOWN_LEVEL))


def answered_right(rows: Rows) -> Masks:
    """Answered with a status below 400 and no wrong content, at whatever level."""
    good = (
        (rows.outcome == Outcome.ANSWERED)
        & (rows.status >= 200)
        & (rows.status < 400)
        & (rows.content != Content.WRONG)
    )
    return Masks(good, good | unsettled(rows))


def served(rows: Rows, spans: Sequence[Span], promises: dict[str, frozenset[int]]) -> Masks:
    """Answered right, at a level that counts."""
    level = level_counts(rows, spans, promises)
    lost = unsettled(rows)
    return answered_right(rows) & Masks(level.must, level.may | lost)


def latency_ns(seconds: float) -> int:
    """A declared latency in whole nanoseconds."""
    return round(seconds * 1e9)


def faster_than(rows: Rows, seconds: float) -> Masks:
    """Latency counts from the intended start; a late start makes it the interval [finish-started, finish-intended]."""
    limit = latency_ns(seconds)
    finished = rows.finished_ns >= 0
    begun = np.maximum(rows.started_ns, rows.intended_ns)  # -1 for never started
    return Masks(
        finished & (rows.finished_ns - rows.intended_ns < limit),
        (finished & (rows.finished_ns - begun < limit)) | unsettled(rows),
    )


def select(rows: Rows, chosen: RequestFilter, spans: Sequence[Span], promises: dict[str, frozenset[int]]) -> Masks:
    """The rows that meet all conditions of a filter."""
    found = known(np.ones(len(rows), dtype=bool))
    if chosen.journeys:
        found &= known(rows.journey.among(chosen.journeys))
    if chosen.outcome != "any":
        answer = served(rows, spans, promises)
        found &= answer if chosen.outcome == "served" else ~answer
    if chosen.faster_than is not None:
        found &= faster_than(rows, chosen.faster_than)
    if chosen.content != "any":
        found &= _content(rows, chosen.content)
    if chosen.levels:
        right = np.isin(rows.level, chosen.levels)
        found &= Masks(right, right | (rows.level == UNKNOWN_LEVEL) & _tellable(rows))
    for names, column in ((chosen.regions, rows.region), (chosen.releases, rows.release)):
        if names:
            found &= _named(column, names)
    return found


def _tellable(rows: Rows) -> Bools:
    """Answered without an error, or unsettled: there was or may have been somebody to tell the level."""
    return answered_right(rows).may


def _content(rows: Rows, wanted: str) -> Masks:
    right = rows.content == (Content.RIGHT if wanted == "right" else Content.WRONG)
    open_ = (rows.content == Content.UNCHECKED) & answered_right(rows).may
    return Masks(right, right | open_)


def _named(column: Labels, names: Iterable[str]) -> Masks:
    """An answer that does not tell its region or release, or an error without an answer, may be anybody's."""
    right = column.among(names)
    return Masks(right, right | column.among([""]))


def count_masks(rows: Rows, ratio: RequestRatio, spans: Sequence[Span], facts: Facts) -> tuple[Bools, Bools, Bools]:
    """Which rows of these spans are certainly good events, certainly bad ones, and possibly events of either kind."""
    here = inside(rows.intended_ns, spans) & (rows.outcome != Outcome.SKIPPED)
    total = select(rows, ratio.total, facts.spans, facts.promises)
    part = select(rows, ratio.good or ratio.bad or RequestFilter(), facts.spans, facts.promises)
    if ratio.bad is not None:
        part = ~part
    good = here & total.must & part.must
    bad = here & total.must & ~part.may
    return good, bad, here & total.may & ~good & ~bad


def count_requests(
    record: Record, ratio: RequestRatio, spans: Sequence[Span], facts: Facts
) -> tuple[Counts, tuple[str, ...], tuple[str, ...]]:
    """(counts over these spans, what the bad ones were, what else is to be said)."""
    tally = facts.tally(record, ratio, spans)
    rows, here = tally.rows, inside(tally.rows.intended_ns, spans)
    good, bad, open_ = count_masks(rows, ratio, spans, facts)
    missing = sum(record.missing.possibly_within(span.start_ns, span.end_ns) for span in spans)
    counts = Counts(tally.of(good), tally.of(bad), tally.of(open_) + missing)
    notes: list[str] = []
    if missing:
        notes.append(f"{count(missing, 'arrival')} of the schedule left no record")
    dropped = tally.of(open_ & (rows.outcome == Outcome.DROPPED))
    if dropped:
        notes.append(f"{count(dropped, 'arrival')} never sent: the generator had its maximum in flight")
    skipped = tally.of(here & (rows.outcome == Outcome.SKIPPED))
    if skipped:
        notes.append(f"{count(skipped, 'request')} not made because the step before had failed")
    return counts, _causes(tally, bad, ratio, facts), tuple(notes)


def _causes(tally: Tally, bad: Bools, ratio: RequestRatio, facts: Facts) -> tuple[str, ...]:
    """What the bad requests were, each told by its first cause, most frequent first."""
    rows, left = tally.rows, bad.copy()
    level = level_counts(rows, facts.spans, facts.promises)
    causes: list[tuple[str, Bools]] = [
        ("timed out", rows.outcome == Outcome.TIMEOUT),
        ("found no connection", rows.outcome == Outcome.REFUSED),
        ("were broken off", rows.outcome == Outcome.BROKEN),
        ("got a server error (5xx)", rows.status >= 500),
        ("were turned away (4xx)", rows.status >= 400),
        ("got wrong content", rows.content == Content.WRONG),
        ("got a degraded answer where full service was due", ~level.may),
    ]
    chosen = ratio.good or ratio.bad
    if chosen is not None and chosen.faster_than is not None:
        causes.append(("were too slow", np.ones(len(rows), dtype=bool)))
    found: list[tuple[int, str]] = []
    for text, mask in causes:
        number = tally.of(left & mask)
        if number:
            found.append((number, text))
        left &= ~mask
    return tuple(f"{count(number)} {text}" for number, text in sorted(found, reverse=True))
