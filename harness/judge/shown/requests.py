"""Requests and probes: the bad ones, those of which nothing is known, and the way back after a fault."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from harness.judge.requests import count_masks, select
from harness.judge.rows import Record
from harness.judge.rows import Rows as Table
from harness.judge.shown.base import Rows, Scope, text_of
from harness.judge.windows import Span, inside
from harness.model import slo as model
from harness.model.records import Content, Outcome
from harness.model.slo import RequestFilter

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Bools = NDArray[np.bool_]

REQUEST_HEAD = (
    "at s", "intended_ns", "journey", "latency ms", "outcome", "status", "content", "level", "region", "release",
)  # fmt: skip


def requests(scope: Scope, indicator: model.RequestRatio) -> Iterator[Rows]:
    record = scope.facts.requests if indicator.table == "requests" else scope.facts.beacon
    if record is None:
        return
    rows = record.whole
    noun = "requests" if indicator.table == "requests" else "probes"
    facts = scope.facts
    here = rows.release.among((scope.release, "")) if scope.release else np.ones(len(rows), dtype=bool)
    _good, bad, unknown = count_masks(rows, indicator, scope.spans, facts)
    yield _picked(scope, rows, here & bad, f"bad {noun}")
    yield _picked(scope, rows, here & unknown, f"{noun} of which it is not known")
    yield from _missing(scope, record, noun)


def _picked(scope: Scope, rows: Table, mask: Bools, title: str) -> Rows:
    """The first rows of a mask by intended time; the rest is counted, not made."""
    places = np.flatnonzero(mask)
    first = places[np.argsort(rows.intended_ns[places], kind="stable")][: scope.limit]
    kept = tuple(tuple(text_of(cell) for cell in _request(scope, rows, int(place))) for place in first)
    return Rows(title=title, total=len(places), head=REQUEST_HEAD, rows=kept)


def _request(scope: Scope, rows: Table, place: int) -> tuple[object, ...]:
    intended, started, finished = (
        int(column[place]) for column in (rows.intended_ns, rows.started_ns, rows.finished_ns)
    )
    latency = "—" if finished < 0 else f"{(finished - intended) / 1e6:.3f}"
    if finished >= 0 and started > intended:
        latency = f"{(finished - started) / 1e6:.3f} to {latency}"
    return (
        scope.seconds(intended),
        intended,
        rows.journey.names[rows.journey.codes[place]],
        latency,
        Outcome(int(rows.outcome[place])).name.lower(),
        int(rows.status[place]) or "—",
        Content(int(rows.content[place])).name.lower(),
        int(rows.level[place]) or "—",
        rows.region.names[rows.region.codes[place]] or "—",
        rows.release.names[rows.release.codes[place]] or "—",
    )


def _missing(scope: Scope, record: Record, noun: str) -> Iterator[Rows]:
    lost = record.missing
    here = np.zeros(len(lost), dtype=bool)
    for span in scope.spans:
        here |= (lost.from_ns < span.end_ns) & (lost.until_ns >= span.start_ns)
    if here.any():
        times = zip(lost.from_ns[here].tolist(), lost.until_ns[here].tolist(), strict=True)
        yield scope.table(
            f"arrivals without a record, which may have been {noun} of this window",
            ("due from s", "to s"),
            ((scope.seconds(low), scope.seconds(high)) for low, high in times),
        )


def recovery(scope: Scope, indicator: model.RecoveryTime) -> Iterator[Rows]:
    """What was not as it should be again after each fault, in the beacon's record and the load's."""
    wanted = (
        RequestFilter(outcome="served", regions=indicator.regions)
        if indicator.until == "served"
        else RequestFilter(outcome="served", levels=(1,), regions=indicator.regions)
    )
    for fault in scope.facts.faults_of(scope.slo):
        span = Span("fault", fault.experiment, fault.from_ns, scope.facts.horizon_ns(fault))
        made = f"{fault.experiment} (made {scope.seconds(fault.from_ns):.3f} to {scope.seconds(fault.to_ns):.3f} s)"
        for noun, record in (("probes", scope.facts.beacon), ("requests", scope.facts.requests)):
            if record is None:
                continue
            rows = record.between(span.start_ns, span.end_ns)
            here = inside(rows.intended_ns, [span]) & (rows.outcome != Outcome.SKIPPED)
            good = select(rows, wanted, scope.facts.spans, scope.facts.promises)
            bad = here & ~good.may
            yield _picked(scope, rows, bad, f"{noun} not {_aim(indicator)} since {made}")
            last = np.zeros(len(rows), dtype=bool)
            last[np.flatnonzero(bad)[-3:]] = True
            yield _picked(scope, rows, last, f"of the last {noun} of these")
            after = here & good.must
            if bad.any():
                after &= rows.intended_ns > rows.intended_ns[np.flatnonzero(bad)[-1]]
            first = np.zeros(len(rows), dtype=bool)
            first[np.flatnonzero(after)[:1]] = True
            yield _picked(scope, rows, first, f"first of the {noun} that were good after the last of these")


def _aim(indicator: model.RecoveryTime) -> str:
    return "served" if indicator.until == "served" else "at full service"
