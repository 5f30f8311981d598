"""Scripted outages, known to the microsecond, judged whole: within 20 ms and the beacon's interval of the truth.

Time is in seconds since the injection. A script says which share of the requests and probes fails when; the truth is
read off the script by the definition alone: back after the last failure that is followed by the declared time without.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise
from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from harness.judge import judge
from harness.model import events as e
from harness.model.evidence import Evidence
from harness.model.judgement import Recovery
from harness.model.records import REQUEST_COLUMNS, Outcome
from harness.model.slo import RecoveryTime
from harness.testing.evidence import EVERY_S, INJECTED_S, evidence, happened, ns, probes, slo, steadily, table

RTO = slo(RecoveryTime(), 0.95, op="lte", value=30.0, window="fault")
SUSTAINED_S = 2.0
WITHIN_S = 0.020 + EVERY_S
DOWN: dict[str, Any] = {"outcome": Outcome.REFUSED, "latency": 0.001}
Segment = tuple[float, float, float]  # from, to, share that fails
QUICK = settings(max_examples=25, deadline=None)
ends = st.integers(200_000, 20_000_000).map(lambda microseconds: microseconds / 1e6)
gaps = st.integers(20_000, 1_800_000).map(lambda microseconds: microseconds / 1e6)  # too short to count as back


def fails(segments: Iterable[Segment], number: int, since: float) -> bool:
    """Of `number` in a row this share fails, evenly."""
    share = max((share for low, high, share in segments if low <= since < high), default=0.0)
    return int((number + 1) * share) > int(number * share)


def observed(segments: list[Segment], lost: tuple[float, float] = (0.0, 0.0), **more: Any) -> Evidence:
    def change(number: int, at: float) -> dict[str, Any] | None:
        return DOWN if fails(segments, number, at - INJECTED_S) else None

    def kept(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        low, high = (ns(INJECTED_S + at) for at in lost)
        return [row for row in rows if not low <= row["intended_ns"] < high]

    return evidence(beacon=kept(probes(change=change)), requests=kept(steadily(change=change)), **more)


def failures(run: Evidence) -> list[float]:
    """When each failure was, by the rows themselves."""
    times = [
        (row["intended_ns"] - ns(INJECTED_S)) / 1e9
        for table in (run.beacon, run.requests)
        for row in table.select(["intended_ns", "outcome"]).to_pylist()
        if row["outcome"] == Outcome.REFUSED
    ]
    return sorted(at for at in times if at >= 0)


def last_failure(times: list[float]) -> float:
    """The one after which nothing fails for the declared time."""
    return next(at for at, following in pairwise([*times, 1e9]) if following - at - EVERY_S >= SUSTAINED_S)


def told(run: Evidence) -> Recovery:
    return judge(run, [RTO]).recoveries[0]


def check(recovery: Recovery, truth: float, within: float = WITHIN_S) -> None:
    full = recovery.full_service_s
    assert full is not None and full.low is not None and full.high is not None
    assert max(full.low - truth, truth - full.high, 0.0) <= within
    assert full.high - full.low <= 2 * within
    assert recovery.recovered


@QUICK
@given(ends)
def test_clean(end):
    recovery = told(observed([(0, end, 1.0)]))
    check(recovery, end)
    assert recovery.full_service_s.low <= end <= recovery.full_service_s.high  # the truth is inside


@QUICK
@given(st.lists(st.tuples(ends.filter(lambda end: end < 3), gaps), min_size=2, max_size=4))
def test_flapping(parts):
    segments, at = [], 0.0
    for length, gap in parts:
        segments.append((at, at + length, 1.0))
        at += length + gap
    end = segments[-1][1]
    recovery = told(observed(segments))
    check(recovery, end)
    assert recovery.full_service_s.low <= end <= recovery.full_service_s.high


@QUICK
@given(ends, st.sampled_from([0.9, 0.5, 0.3, 0.1]))
def test_partial(end, share):
    run = observed([(0, end, share)])
    check(told(run), last_failure(failures(run)))


@QUICK
@given(ends, st.integers(2, 20))
def test_slow_drift_back(end, steps):
    """The failing share falls in steps from all to a twentieth."""
    segments = [(end * i / steps, end * (i + 1) / steps, max(0.05, 1 - i / steps)) for i in range(steps)]
    run = observed(segments)
    check(told(run), last_failure(failures(run)))


@QUICK
@given(ends.filter(lambda end: end < 8), st.floats(2.2, 8), ends.filter(lambda end: end < 8))
def test_two_outages_after_one_fault(first, pause, second):
    recovery = told(observed([(0, first, 1.0), (first + pause, first + pause + second, 1.0)]))
    check(recovery, first)
    assert "it failed once more" in recovery.reason


@QUICK
@given(st.integers(0, 10_000_000).map(lambda microseconds: microseconds / 1e6))
def test_never_back(begin):
    recovery = told(observed([(begin, 99.0, 1.0)]))
    assert not recovery.recovered
    assert recovery.full_service_s.high is None
    assert 0 <= 41.0 - recovery.full_service_s.low <= WITHIN_S  # observed until 78 s, injected at 37
    assert recovery.phases[-1].took.high is None


def test_no_failure():
    recovery = told(observed([]))
    assert (recovery.visible, recovery.recovered, recovery.full_service_s) == (False, True, None)


@QUICK
@given(ends, st.integers(500_000, 20_000_000).map(lambda microseconds: microseconds / 1e6))
def test_overlapping_with_the_next_faults_window(end, following):
    """The next fault is injected before, or after, this one was back to stay: only what came before it is seen."""
    assume(abs(following - end - SUSTAINED_S) > 0.1 and abs(following - end) > 0.1)
    name, at = {"experiment": "gpu-loss#1", "fault": "lost"}, INJECTED_S + following
    more = (
        e.FaultIntended(**name, kind="device-loss", selection=("g",), token="t", mono_ns=ns(at)),
        e.FaultInjected(**name, from_ns=ns(at), to_ns=ns(at)),
        e.FaultLanded(**name, landed=True, observer="o", mono_ns=ns(at)),
        e.Window(kind="fault", experiment="gpu-loss#1", start_ns=ns(at - 0.4), end_ns=ns(at + 3)),
    )
    recovery = told(observed([(0, end, 1.0)], events=happened(*more)))
    if following - end > SUSTAINED_S:
        check(recovery, end)
        return
    assert not recovery.recovered
    assert recovery.full_service_s.high is None
    assert recovery.full_service_s.low <= min(end, following)
    assert recovery.full_service_s.low >= min(end, following) - WITHIN_S


@QUICK
@given(ends, st.floats(-1, 1), st.floats(0.05, 1.5))
def test_lost_probes(end, shift, length):
    """However many observations are missing around the end: the truth stays inside, and is at most so much wider."""
    lost = (max(0.1, end + shift), max(0.1, end + shift) + length)
    full = told(observed([(0, end, 1.0)], lost=lost)).full_service_s
    assert full.low <= end
    assert full.high is not None and full.high >= end
    assert full.high - full.low <= length + SUSTAINED_S + 2 * WITHIN_S


@QUICK
@given(ends, st.sets(st.integers(0, 400), max_size=60))
def test_an_observation_turned_unknown_only_widens(end, dark):
    """By place from the injection on: neither end of any time moves inwards, and nothing that was not does pass."""
    run = observed([(0, end, 1.0)])
    rows = run.beacon.to_pylist()
    for place in dark:
        row = rows[round(INJECTED_S / EVERY_S) + place]
        row |= {"outcome": int(Outcome.UNFINISHED), "finished_ns": -1, "status": 0, "level": 0, "content": 0}
    before, after = told(run), told(replace(run, beacon=table(REQUEST_COLUMNS, rows)))
    for name in ("first_failure_s", "full_service_s"):
        narrow, wide = getattr(before, name), getattr(after, name)
        assert wide is not None
        assert wide.low <= narrow.low + 1e-9
        assert wide.high is None or wide.high >= narrow.high - 1e-9
