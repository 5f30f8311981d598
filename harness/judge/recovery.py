"""Recovery at the user: from the fault to the first sustained good stretch after the first failure.

Every probe and every request is an observation. A bad one says that at some instant between its start and its end the
service was bad; a good one that it was good. So service came back after the start of the last bad observation before
the stretch (earliest) and before the end of the first good one in it (latest). A stretch counts when no bad observation
starts within the declared time after its first good one; flapping starts the count again.

What is unknown (a lost probe, an arrival without a record) may have been good or bad, at any time at which it may have
happened: earliest and latest hold whatever it was.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from harness.judge.requests import FULL_SERVICE, UNKNOWN_LEVEL, answered_right, unsettled
from harness.judge.windows import Span
from harness.model.judgement import Interval, Recovery
from harness.model.records import Outcome

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from harness.judge.facts import Facts, Fault
    from harness.judge.rows import Record

    Ints = NDArray[np.int64]
    Bools = NDArray[np.bool_]

Until = Literal["served", "full-service"]


@dataclass(frozen=True)
class Observations:
    """By start: when, [start, end] in ns, and what was seen. Neither good nor bad is unknown; its times are bounds."""

    start: Ints
    end: Ints
    good: Bools
    bad: Bools

    def __len__(self) -> int:
        return len(self.start)


@dataclass(frozen=True)
class Outage:
    """What was seen of one criterion after a fault, in ns since its clock's origin; None: did not happen."""

    first_bad: tuple[int, int] | None
    back: tuple[int | None, int | None] | None  # [earliest, latest]; latest None: not seen to come back
    again_bad: int | None  # the first bad observation after the recovery
    observed_until: int


def observe(
    facts: Facts, from_ns: int, until_ns: int, fault: Span | None, until: Until, regions: tuple[str, ...] = ()
) -> Observations:
    """Beacon and request record together, as far as started in [from_ns, until_ns).

    Of a record that is not there, or empty, nothing is known all that time; with neither, nobody observed anything.
    """
    records = [record for record in (facts.beacon, facts.requests) if record is not None]
    records = [record for record in records if len(record) or len(record.missing)]
    if not records:
        empty = np.zeros(0, dtype=np.int64)
        return Observations(empty, empty, empty.astype(bool), empty.astype(bool))
    parts = [_observe(record, facts, from_ns, until_ns, fault, until, regions) for record in records]
    if len(records) < 2:
        parts.append((np.array([from_ns]), np.array([until_ns]), np.array([False]), np.array([False])))
    start, end, good, bad = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    order = np.argsort(start, kind="stable")
    return Observations(start[order], end[order], good[order], bad[order])


def _observe(
    record: Record,
    facts: Facts,
    from_ns: int,
    until_ns: int,
    fault: Span | None,
    until: Until,
    regions: tuple[str, ...],
) -> tuple[Ints, Ints, Bools, Bools]:
    rows, missing = record.between(from_ns, until_ns), record.missing
    start = np.where(rows.started_ns >= 0, rows.started_ns, rows.intended_ns)
    end = np.where(rows.finished_ns >= 0, rows.finished_ns, start)
    right = answered_right(rows)
    allowed = _allowed(facts, fault, until)
    at_level = np.isin(rows.level, sorted(allowed))
    good = right.must & at_level
    bad = ~right.may | (right.must & ~at_level & (rows.level != UNKNOWN_LEVEL))
    if regions:  # served by others is not served by these; who does not tell says nothing
        there = rows.region.among(regions)
        bad |= good & ~there & ~rows.region.among([""])
        good &= there
    told = good | bad | unsettled(rows)  # an answer without a level says nothing about it
    if until == "served":
        quiet = right.must & (rows.level == UNKNOWN_LEVEL)
        good, told = good | quiet, told | quiet
    keep = (start >= from_ns) & (start < until_ns) & (rows.outcome != Outcome.SKIPPED) & told
    lost = (missing.until_ns >= from_ns) & (missing.from_ns < until_ns)
    nothing = np.zeros(int(np.count_nonzero(lost)), dtype=bool)
    return (
        np.concatenate([start[keep], np.maximum(missing.from_ns[lost], from_ns)]),
        np.concatenate([end[keep], missing.until_ns[lost]]),
        np.concatenate([good[keep], nothing]),
        np.concatenate([bad[keep], nothing]),
    )


def _allowed(facts: Facts, fault: Span | None, until: Until) -> frozenset[int]:
    promised = facts.promises.get(fault.name, frozenset()) if fault and until == "served" else frozenset()
    return promised | {FULL_SERVICE}


def outage(seen: Observations, from_ns: int, onset_until_ns: int, until_ns: int, sustained_ns: int) -> Outage:
    """Reads the outage out of the observations; `onset_until_ns`: a failure that begins later is not this fault's.

    The outage is the run of failures that holds the first one. With unknown observations it depends on them which one
    that is: the latest end takes the last it may be, and all that is unknown after it as bad; the earliest the first.
    """
    known = seen.good | seen.bad
    observed = int(seen.start[known].max()) if known.any() else from_ns
    early_bad = seen.bad & (seen.start < onset_until_ns)
    early_dark = ~known & (seen.start < onset_until_ns)
    if not early_bad.any() and not early_dark.any():
        return Outage(None, None, None, observed)
    first_bad = int(seen.start[early_bad][0]) if early_bad.any() else None
    first = None
    if first_bad is not None:  # what is unknown before it may have been the first
        since = min([first_bad, *(int(at) for at in seen.start[early_dark][:1])])
        first = (since, int(seen.end[early_bad].min()))
    onset = first_bad if first_bad is not None else int(seen.start[early_dark].max())
    # A failure is bad at its start; of an arrival without a record it is not known when that was.
    reach = np.where(seen.bad, seen.start, seen.end)
    dark = ~seen.good & (reach >= onset)
    latest = _back(np.maximum(seen.start[dark], onset), reach[dark], seen, until_ns, sustained_ns)[1]
    bad_start = seen.start[seen.bad]
    earliest = _back(bad_start, bad_start, seen, until_ns, sustained_ns)[0] if first_bad is not None else from_ns
    if early_dark.any():
        earliest = min(earliest, int(seen.start[early_dark][0]))
    again = bad_start[bad_start > latest] if latest is not None else bad_start[:0]
    return Outage(first, (earliest, latest), int(again.min()) if len(again) else None, observed)


def _back(
    bad_start: Ints, bad_reach: Ints, seen: Observations, until_ns: int, sustained_ns: int
) -> tuple[int, int | None]:
    """[earliest, latest] end of the outage that begins with the first of these, when exactly these are bad."""
    order = np.argsort(bad_start, kind="stable")
    start, reach = bad_start[order], np.maximum.accumulate(bad_reach[order])
    good_start, good_end = seen.start[seen.good], seen.end[seen.good]
    if not len(good_start):
        return int(start[-1]), None
    after = np.searchsorted(good_start, reach, side="right")  # the first good one after each bad one
    begun = np.where(after < len(good_start), good_start[np.minimum(after, len(good_start) - 1)], until_ns)
    # The last stretch ends where observation does; its last probe stands for the time up to the next one.
    watched = min(until_ns, int(good_start[-1]) + _spacing(good_start))
    stays = np.append(start[1:], watched) - begun >= sustained_ns
    if not stays.any():
        return int(start[-1]), None
    index = int(np.argmax(stays))
    return int(start[index]), int(good_end[after[index] : after[index] + 64].min())


def _spacing(times: Ints) -> int:
    """The usual distance of observations: the last of them stands for what follows up to the next."""
    return int(np.median(np.diff(times))) if len(times) > 1 else 0


def recovery(facts: Facts, fault: Fault, until: Until = "full-service", regions: tuple[str, ...] = ()) -> Recovery:
    """What one fault did to the user; seconds since the fault's effect, which was made in [from_ns, to_ns]."""
    horizon = facts.horizon_ns(fault)
    sustained = round(facts.evidence.scenario.sustained * 1e9)
    onset = fault.span.end_ns if fault.span else horizon
    results: dict[Until, tuple[Outage, Observations]] = {}
    for criterion in ("served", "full-service"):
        seen = observe(facts, fault.from_ns, horizon, fault.span, criterion, regions)
        results[criterion] = (outage(seen, fault.from_ns, onset, horizon, sustained), seen)
    main, seen = results[until]
    served, full = results["served"][0], results["full-service"][0]
    full_seen = results["full-service"][1]
    return Recovery(
        experiment=fault.experiment,
        fault=fault.fault,
        landed_ns=Interval(low=float(fault.from_ns), high=float(fault.to_ns)),
        first_failure_s=_since(fault, full.first_bad),
        served_s=_since(fault, served.back) or (Interval(low=0.0, high=0.0) if full.first_bad else None),
        full_service_s=_since(fault, full.back),
        recovered=bool(len(seen)) and (main.back is None or main.back[1] is not None),
        visible=full.first_bad is not None,
        probes=int(np.count_nonzero(full_seen.good | full_seen.bad)),
        lost_probes=int(np.count_nonzero(~(full_seen.good | full_seen.bad))),
        reason=_reason(fault, main, seen, until),
    )


def _since(fault: Fault, times: tuple[int | None, int | None] | None) -> Interval | None:
    if times is None:
        return None
    low, high = times
    return Interval(
        low=None if low is None else max(0.0, (low - fault.to_ns) / 1e9),
        high=None if high is None else max(0.0, (high - fault.from_ns) / 1e9),
    )


def _reason(fault: Fault, main: Outage, seen: Observations, until: Until) -> str:
    goal = "full service" if until == "full-service" else "service"
    if not len(seen):
        return "nobody observed the users' side"
    if main.back is None:
        return f"no user-visible failure in {(main.observed_until - fault.from_ns) / 1e9:.1f} s of observation"
    low, high = main.back
    if high is None:
        last = (main.observed_until - fault.to_ns) / 1e9
        return f"{goal} was not seen to stay back in the {max(last, 0):.1f} s that were observed"
    assert low is not None
    earliest, latest = max(0.0, (low - fault.to_ns) / 1e9), (high - fault.from_ns) / 1e9
    text = f"{goal} came back to stay between {earliest:.2f} s and {latest:.2f} s after the fault"
    if main.again_bad is not None and fault.span and main.again_bad < fault.span.end_ns:
        text += f"; it failed once more {(main.again_bad - fault.from_ns) / 1e9:.1f} s after the fault"
    return text
