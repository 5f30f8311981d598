"""How users came to a region: little by little, or all at once; told by the region that answered each of them.

Users' requests are looked at in two stretches of `over` on both sides of a moment, and that for many moments of the
window. The beacon's probes are not: where each opens a connection, they may move when users do not. Nothing is
inferred: what is not known of a request (it was not answered, has no record, or names no region) counts for both sides,
and a stretch with fewer than `least` answers, or a pause in them, says nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from harness.judge.decide import percent
from harness.judge.facts import Facts
from harness.judge.values import Value
from harness.judge.windows import Span
from harness.model.judgement import Interval
from harness.model.records import Outcome
from harness.model.slo import TrafficShift

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from harness.judge.rows import Record

    Ints = NDArray[np.int64]
    Floats = NDArray[np.float64]

LOOKS = 20  # moments within one stretch


@dataclass(frozen=True)
class Shares:
    """The region's share of users from each of `at_ns` on, for one stretch: not less than `low`, not more than `high`;
    `before` the same of the stretch until then."""

    at_ns: Ints
    low: Floats
    high: Floats
    before_low: Floats
    before_high: Floats


def shift(facts: Facts, span: Span, wanted: TrafficShift) -> Value:
    """The largest rise of the share, or the seconds until `all` users stayed with the region."""
    shares = shares_of(facts, span, wanted)
    if shares is None:
        return Value(Interval(), "there is no record of who answered users")
    if not len(shares.at_ns):
        return Value(Interval(), f"{span.experiment} was shorter than one stretch")
    there, maybe = shares.low[-1] >= wanted.all, shares.high[-1] >= wanted.all
    if wanted.measure == "seconds":
        return _seconds(shares, span, wanted)
    low, high = shares.low - shares.before_high, shares.high - shares.before_low
    top = int(np.argmax(low))
    least, most = max(0.0, float(low[top])), max(0.0, float(high.max()))
    at = (shares.at_ns[top] - span.start_ns) / 1e9
    step = f"{least * 100:.0f} points more of the users at once, {at:.1f} s into {span.experiment}"
    if not there:
        told = "it is not known" if maybe else "not so"
        end = f"at the end of {span.experiment} {wanted.to} was to answer all users: {told}"
        return Value(Interval(low=least), f"{end}; it got {step}" if least else end)
    text = f"{wanted.to} got at most {step}"
    if most > least + 0.005:
        text += f"; with what is not known perhaps {most * 100:.0f}"
    return Value(Interval(low=least, high=most), text)


def _seconds(shares: Shares, span: Span, wanted: TrafficShift) -> Value:
    ends = (_stays(shares.high >= wanted.all), _stays(shares.low >= wanted.all))
    low, high = (None if end is None else (int(shares.at_ns[end]) - span.start_ns) / 1e9 for end in ends)
    if low is None:
        low = span.seconds
    text = f"{wanted.to} answered {percent(wanted.all)} of the users, and went on so, "
    if high is None:
        return Value(Interval(low=low), f"{text}not within the {low:.1f} s of {span.experiment} that this is known of")
    return Value(Interval(low=low, high=high), f"{text}after {high:.1f} s")


def _stays(good: NDArray[np.bool_]) -> int | None:
    """From which place on all are good."""
    bad = np.flatnonzero(~good)
    first = int(bad[-1]) + 1 if len(bad) else 0
    return first if first < len(good) else None


def shares_of(facts: Facts, span: Span, wanted: TrafficShift) -> Shares | None:
    """None without a record of requests."""
    if facts.requests is None or not len(facts.requests):
        return None
    over = round(wanted.over * 1e9)
    at = np.arange(span.start_ns, span.end_ns - over + 1, max(1, over // LOOKS), dtype=np.int64)
    events = _events(facts.requests, span.start_ns - over, span.end_ns, wanted.to)
    there, others, unknown = (np.sort(times) for times in events)
    told = np.concatenate([[span.start_ns - over], np.sort(np.concatenate([there, others])), [span.end_ns]])
    gaps = _gaps(told, round(wanted.longest_gap * 1e9))

    def stretch(start: Ints) -> tuple[Floats, Floats]:
        its, rest, open_ = (_within(times, start, over) for times in (there, others, unknown))
        known, total = its + rest, its + rest + open_
        silent = (known < wanted.least) | _touched(gaps, start, over)
        total = np.maximum(total, 1)
        return np.where(silent, 0.0, its / total), np.where(silent, 1.0, (its + open_) / total)

    return Shares(at, *stretch(at), *stretch(at - over))


def _events(record: Record, from_ns: int, until_ns: int, region: str) -> tuple[Ints, Ints, Ints]:
    """When users were answered by the region, by others, and by nobody knows whom. One that is lost may have come at
    any time between its neighbours: it counts at both ends."""
    rows, missing = record.between(from_ns, until_ns), record.missing
    rows = rows.at(rows.outcome != Outcome.SKIPPED)
    at = np.where(rows.started_ns >= 0, rows.started_ns, rows.intended_ns)
    told, its = ~rows.region.among([""]), rows.region.among([region])
    lost = (missing.until_ns >= from_ns) & (missing.from_ns < until_ns)
    ends = np.concatenate([missing.from_ns[lost], missing.until_ns[lost]])
    return at[its], at[told & ~its], np.concatenate([at[~told], ends])


def _within(times: Ints, start: Ints, length: int) -> Ints:
    return np.searchsorted(times, start + length) - np.searchsorted(times, start)


def _gaps(times: Ints, longest: int) -> tuple[Ints, Ints]:
    """[from, until] of each pause that is longer."""
    long = np.diff(times) > longest
    return times[:-1][long], times[1:][long]


def _touched(gaps: tuple[Ints, Ints], start: Ints, length: int) -> NDArray[np.bool_]:
    """Of which stretches a pause takes a part."""
    from_ns, until_ns = gaps
    if not len(from_ns):
        return np.zeros(len(start), dtype=bool)
    hit = (from_ns[None, :] < (start + length)[:, None]) & (until_ns[None, :] > start[:, None])
    touched: NDArray[np.bool_] = np.logical_or.reduce(hit, axis=1)
    return touched
