"""Properties of the judge: missing data never helps, one more bad event never helps, order does not matter."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.judge import bounds, judge
from harness.judge.decide import Counts, compare, decide
from harness.judge.verdict import merge
from harness.model.events import (
    CheckDone,
    Deployed,
    ExperimentEnded,
    FaultGone,
    FaultLanded,
    RunClosed,
    ScheduleFixed,
)
from harness.model.evidence import Evidence
from harness.model.judgement import Interval, Judgement, Verdict, worst
from harness.model.load import Constant
from harness.model.records import READBACK_COLUMNS, REQUEST_COLUMNS, SAMPLE_COLUMNS, Content, Outcome
from harness.model.slo import (
    CheckRatio,
    CounterRatio,
    DataLossMeasure,
    DeploymentTime,
    RecoveryTime,
    RequestFilter,
    RequestRatio,
    Slo,
    WritablePrimaries,
)
from harness.render.json import judgement_json
from harness.testing.evidence import (
    WALL_NS,
    Row,
    answers,
    evidence,
    happened,
    ns,
    probes,
    read_back,
    request,
    scenario,
    scraped,
    slo,
    table,
    wall_ms,
    writes,
)

QUICK = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
counts = st.builds(Counts, st.integers(0, 4000), st.integers(0, 60), st.integers(0, 60))
targets = st.sampled_from([0.5, 0.9, 0.95, 0.99, 0.999, 1.0])
claims = st.sampled_from(["run", "system"])


def rank(counts: Counts, target: float, claim: Any) -> int:
    return decide(counts, target, claim, 0.95, 1, "event").verdict.rank


# ---- counts ---------------------------------------------------------------------------------------------------------


@given(counts, targets, claims)
@settings(deadline=None)
def test_one_more_bad_event_never_improves_and_one_more_good_never_worsens(seen, target, claim):
    here = rank(seen, target, claim)
    if seen.events:
        assert rank(replace(seen, bad=seen.bad + 1), target, claim) >= here
        assert rank(replace(seen, good=seen.good + 1), target, claim) <= here


@given(counts, targets, claims)
@settings(deadline=None)
def test_known_turned_unknown_never_passes_what_did_not_and_never_fails_what_did_not(seen, target, claim):
    before = Verdict(list(Verdict)[rank(seen, target, claim)])
    for lost in (
        replace(seen, good=seen.good - 1, unknown=seen.unknown + 1) if seen.good else seen,
        replace(seen, bad=seen.bad - 1, unknown=seen.unknown + 1) if seen.bad else seen,
    ):
        after = Verdict(list(Verdict)[rank(lost, target, claim)])
        assert not (after is Verdict.PASS and before is not Verdict.PASS)
        assert not (after is Verdict.FAIL and before is not Verdict.FAIL)


@given(counts, targets)
@settings(deadline=None)
def test_a_claim_on_the_platform_is_never_decided_where_the_run_is_not(seen, target):
    run, system = rank(seen, target, "run"), rank(seen, target, "system")
    assert system in (run, Verdict.INCONCLUSIVE.rank)


@given(st.integers(1, 3000), st.data(), st.sampled_from([0.9, 0.95, 0.99]))
@settings(deadline=None)
def test_bounds_hold_the_estimate_and_mirror_each_other(n, data, confidence):
    good = data.draw(st.integers(0, n))
    low, high = bounds.lower(good, n, confidence), bounds.upper(good, n, confidence)
    assert 0.0 <= low <= good / n <= high <= 1.0
    assert high == pytest.approx(1 - bounds.lower(n - good, n, confidence), abs=2e-12)


@given(st.integers(1, 60), st.data())
@settings(deadline=None, max_examples=40)
def test_bounds_are_exact_by_rational_arithmetic(n, data):
    good = data.draw(st.integers(1, n))
    low = Fraction(bounds.lower(good, n, 0.95))
    tail = sum(math.comb(n, i) * low**i * (1 - low) ** (n - i) for i in range(good, n + 1))
    assert float(tail) <= 0.05 + 1e-9  # outward: never more than the declared error
    assert float(tail) == pytest.approx(0.05, rel=1e-6)


@given(st.integers(0, 30), st.sampled_from([0.9, 0.95, 0.99, 0.999]))
@settings(deadline=None)
def test_events_needed_is_the_least_number_that_passes(bad, target):
    needed = bounds.events_needed(bad, target, 0.95)
    assert needed is not None
    assert decide(Counts(needed - bad, bad), target, "system", 0.95, 1, "event").verdict is Verdict.PASS
    assert decide(Counts(needed - bad - 1, bad), target, "system", 0.95, 1, "event").verdict is not Verdict.PASS


# ---- merging --------------------------------------------------------------------------------------------------------

verdicts = st.lists(st.sampled_from(list(Verdict)))


@given(verdicts, verdicts, verdicts)
def test_merging_is_a_lattice(a, b, c):
    def join(*parts: list[Verdict]) -> Verdict:
        return worst([worst(part) for part in parts if part] or [Verdict.PASS])

    assert join(a, b) == join(b, a)
    assert join(a, a) == join(a)
    assert join(a, b, c) == join(a, [join(b, c)])
    assert worst([*a, Verdict.PASS]) == (worst(a) if a else Verdict.PASS)


def test_nothing_merged_is_inconclusive():
    assert merge([], []) is Verdict.INCONCLUSIVE


@given(st.floats(0, 10), st.floats(0, 10), st.sampled_from(["lte", "lt", "gte", "gt"]), st.floats(0, 10))
def test_widening_an_interval_only_goes_towards_inconclusive(a, b, op, value):
    low, high = min(a, b), max(a, b)
    narrow = compare(Interval(low=low, high=high), op, value)
    for wide in (Interval(low=low - 1, high=high), Interval(low=low, high=high + 1), Interval(low=low), Interval()):
        assert compare(wide, op, value) in (narrow, Verdict.INCONCLUSIVE)


# ---- whole judgements -----------------------------------------------------------------------------------------------

SERVED = RequestFilter(outcome="served")
LATENCY = RequestFilter(outcome="served", faster_than=0.15)
SLOS: list[Slo] = [
    slo(RequestRatio(table="requests", total=RequestFilter(), good=SERVED), 0.95, name="served"),
    slo(RequestRatio(table="requests", total=RequestFilter(), good=LATENCY), 0.95, name="fast"),
    slo(
        RequestRatio(table="requests", total=RequestFilter(), good=SERVED),
        0.9, name="meanwhile", window="fault", experiment="kill-weaviate", levels="1,3",
    ),
    slo(
        RequestRatio(table="requests", total=RequestFilter(), good=SERVED),
        0.8, name="platform", claim="system", correlation="1s",
    ),
    slo(RecoveryTime(), 0.95, op="lte", value=5.0, name="recovery", window="fault"),
    slo(RecoveryTime(until="served"), 0.95, op="lte", value=5.0, name="served again", window="fault"),
]  # fmt: skip
RATE = 5.0
HURT: list[dict[str, Any]] = [
    {"status": 503},
    {"outcome": Outcome.TIMEOUT, "latency": 2.0},
    {"outcome": Outcome.REFUSED, "latency": 0.001},
    {"outcome": Outcome.DROPPED},
    {"outcome": Outcome.UNFINISHED},
    {"content": Content.WRONG},
    {"level": 3},
    {"level": 0},
    {"latency": 0.2, "late": 0.1},
    {"latency": 0.5},
]
SCENARIO = scenario(
    load=scenario().load.model_copy(update={"warm_up": 5.0, "arrivals": Constant(kind="constant", rate=RATE)})
)
EVENTS = happened(expected=round(78 * RATE))


@st.composite
def runs(draw: Any) -> list[Row]:
    """A load record at 5/s over 78 s with up to three stretches of one kind of trouble each."""
    stretches = draw(st.lists(st.tuples(st.integers(0, 77), st.integers(1, 12), st.sampled_from(HURT)), max_size=3))

    def row(arrival: int) -> Row:
        at = arrival / RATE
        change: dict[str, Any] = {}
        for start, length, hurt in stretches:
            if start <= at < start + length:
                change = hurt
        return request(arrival, at, **change)

    return [row(arrival) for arrival in range(round(78 * RATE))]


def judged(rows: list[Row], beacon: list[Row] | None = None) -> Judgement:
    told = evidence(
        requests=rows, beacon=beacon, events=EVENTS, scenario=SCENARIO, absent=() if beacon else ("beacon",)
    )
    return judge(told, SLOS)


def ranks(judgement: Judgement) -> dict[str, Verdict]:
    return {result.slo: result.verdict for result in judgement.objectives}


@given(runs(), st.data())
@QUICK
def test_a_record_that_is_lost_never_makes_anything_pass(rows, data):
    lost = data.draw(st.sets(st.integers(0, len(rows) - 1), min_size=1, max_size=40))
    before = ranks(judged(rows))
    after = ranks(judged([row for row in rows if row["arrival"] not in lost]))
    for name, verdict in after.items():
        assert verdict is not Verdict.PASS or before[name] is Verdict.PASS, name


@given(runs(), st.data())
@QUICK
def test_an_outcome_nobody_saw_never_makes_anything_pass(rows, data):
    unseen = data.draw(st.sets(st.integers(0, len(rows) - 1), min_size=1, max_size=40))
    before = ranks(judged(rows))
    dropped = [
        request(row["arrival"], row["arrival"] / RATE, outcome=Outcome.UNFINISHED) if row["arrival"] in unseen else row
        for row in rows
    ]
    for name, verdict in ranks(judged(dropped)).items():
        assert verdict is not Verdict.PASS or before[name] is Verdict.PASS, name


@given(runs(), st.integers(0, 389))
@QUICK
def test_one_more_failure_never_improves_a_ratio(rows, which):
    before = ranks(judged(rows))
    worse = [request(which, which / RATE, status=500) if row["arrival"] == which else row for row in rows]
    for name, verdict in ranks(judged(worse)).items():
        if name in ("served", "fast", "meanwhile", "platform"):
            assert verdict.rank >= before[name].rank or rows[which]["outcome"] == Outcome.SKIPPED, name


def test_the_claim_on_the_platform_can_pass_and_fail_here():
    """Negative control: the properties above are not held by a claim that is always INCONCLUSIVE."""
    whole = [request(arrival, arrival / RATE) for arrival in range(round(78 * RATE))]
    assert ranks(judged(whole))["platform"] is Verdict.PASS
    broken = [request(arrival, arrival / RATE, status=500) for arrival in range(round(78 * RATE))]
    assert ranks(judged(broken))["platform"] is Verdict.FAIL


@given(runs(), st.randoms(use_true_random=False))
@QUICK
def test_the_order_of_rows_does_not_matter(rows, random):
    shuffled = list(rows)
    random.shuffle(shuffled)
    assert judged(shuffled) == judged(rows)


@given(runs(), st.integers(1, 300))
@QUICK
def test_the_split_of_a_table_does_not_matter(rows, at):
    whole = evidence(requests=rows, events=EVENTS, scenario=SCENARIO)
    assert whole.requests is not None
    split = pa.concat_tables([table(REQUEST_COLUMNS, rows[:at]), table(REQUEST_COLUMNS, rows[at:])])
    assert judge(replace(whole, requests=split), SLOS) == judge(whole, SLOS)


@given(runs())
@settings(max_examples=10, deadline=None)
def test_judging_twice_is_the_same(rows):
    told = evidence(requests=rows, events=EVENTS, scenario=SCENARIO)
    assert judge(told, SLOS) == judge(told, SLOS)
    assert Judgement.model_validate_json(judge(told, SLOS).model_dump_json()) == judge(told, SLOS)


@given(runs(), st.integers(1, 10**15))
@settings(max_examples=15, deadline=None)
def test_the_origin_of_monotonic_time_does_not_matter(rows, shift):
    told = evidence(requests=rows, events=EVENTS, scenario=SCENARIO)
    moved = replace(
        told,
        events=tuple(_moved(event, shift) for event in told.events),
        **{
            name: _later(getattr(told, name), shift)
            for name in ("requests", "beacon", "generator", "ledger", "readback", "primaries")
        },
    )
    before, after = judge(told, [*SLOS, *LOSSES]), judge(moved, [*SLOS, *LOSSES])
    assert before.objectives == after.objectives
    assert before.verdict == after.verdict
    assert before.data_loss == after.data_loss
    nowhere = {"landed_ns": Interval()}
    assert [it.model_copy(update=nowhere) for it in before.recoveries] == [
        it.model_copy(update=nowhere) for it in after.recoveries
    ]
    assert before.attribution is not None
    assert after.attribution is not None
    assert before.attribution.causes == after.attribution.causes
    assert before.attribution.budgets == after.attribution.budgets
    assert [one.from_ns + shift for one in before.attribution.stretches] == [
        one.from_ns for one in after.attribution.stretches
    ]


def _moved(event: Any, shift: int) -> Any:
    changes = {
        name: value + shift
        for name, value in event
        if name in ("mono_ns", "start_ns", "end_ns", "from_ns", "to_ns", "origin_ns")
    }
    if event.event == "clock" and event.clock == "wall":
        changes["offset_ns"] = event.offset_ns - shift
    return event.model_copy(update=changes)


def _later(columns: pa.Table, shift: int) -> pa.Table:
    for place, name in enumerate(columns.column_names):
        if name.endswith("_ns"):
            values = columns.column(name).to_numpy()
            columns = columns.set_column(place, name, pa.array(np.where(values >= 0, values + shift, values)))
    return columns


# ---- recovery -------------------------------------------------------------------------------------------------------


@st.composite
def outages(draw: Any) -> list[tuple[float, float]]:
    """Up to four outages after the fault, in steps of 20 ms."""
    found, at = [], 37.0
    for _ in range(draw(st.integers(0, 4))):
        start = at + 0.02 * draw(st.integers(0, 150))
        at = start + 0.02 * draw(st.integers(1, 200))
        found.append((round(start, 2), round(at, 2)))
        at += 0.02 * draw(st.integers(1, 150))
    return found


def truth(stretches: list[tuple[float, float]], sustained: float = 2.0) -> float | None:
    """When service came back to stay, by the definition; None when it was never away."""
    if not stretches:
        return None
    for (_, end), (following, _) in pairwise([*stretches, (1e9, 1e9)]):
        if following - end >= sustained:
            return end
    return None


@given(outages())
@settings(max_examples=40, deadline=None)
def test_scripted_outages_are_found_within_the_beacons_interval(stretches):
    def change(number: int, _at: float) -> dict[str, Any] | None:
        at = number * 0.02
        down = any(start - 1e-9 <= at < end - 1e-9 for start, end in stretches)
        return {"outcome": Outcome.REFUSED, "latency": 0.001} if down else None

    recovery = judge(evidence(beacon=probes(change=change)), SLOS).recoveries[0]
    back = truth(stretches)
    if back is None:
        assert not recovery.visible
        return
    full = recovery.full_service_s
    assert full is not None and full.low is not None and full.high is not None
    exact = any(abs((b - a) - 2.0) < 0.05 for (_, a), (b, _) in pairwise(stretches))
    if not exact:  # a pause of just the declared time may count or not, within the probes' distance
        assert full.low - 1e-6 <= back - 37.0 <= full.high + 1e-6
        assert full.high - full.low <= 0.02 + 0.01 + 0.005


# ---- other sources --------------------------------------------------------------------------------------------------

VOTES = slo(CounterRatio(good="votes_ok", total="votes"), 0.9)


@st.composite
def scrapes(draw: Any) -> list[Row]:
    bad_share = draw(st.sampled_from([0.0, 0.05, 0.099, 0.101, 0.3]))
    restart = draw(st.none() | st.integers(6, 74))

    def base(at: float) -> float:
        return at + 10 if restart is None or at < restart else at - restart

    return [
        *scraped("up"),
        *scraped(
            "process_start_time_seconds",
            lambda at: WALL_NS / 1e9 + 4000 + (0 if restart is None or at < restart else 1000 + restart),
        ),
        *scraped("votes", lambda at: round(1000 * base(at))),
        *scraped("votes_ok", lambda at: round(1000 * base(at) * (1 - bad_share))),
    ]


@given(scrapes(), st.sets(st.integers(-5, 77), max_size=30))
@QUICK
def test_a_scrape_that_is_missing_never_makes_a_counter_pass(rows, missing):
    gone = {wall_ms(second + 0.3) for second in missing}
    kept = [row for row in rows if row["t_ms"] not in gone]

    def verdict(samples: list[Row]) -> Verdict:
        metrics = answers(samples, "votes", "votes_ok", "up")
        return judge(evidence(samples=samples, metrics=metrics), [VOTES]).objectives[0].verdict

    assert verdict(kept) is not Verdict.PASS or verdict(rows) is Verdict.PASS


@given(scrapes(), st.randoms(use_true_random=False))
@settings(max_examples=20, deadline=None)
def test_the_order_of_samples_does_not_matter(rows, random):
    whole = evidence(samples=rows)
    shuffled = list(rows)
    random.shuffle(shuffled)
    moved = replace(whole, samples=table(SAMPLE_COLUMNS, shuffled))
    assert judge(moved, [VOTES]).objectives == judge(whole, [VOTES]).objectives


LOSSES = [
    slo(DataLossMeasure(regions=("sjc", "lax")), 1.0, op="lte", value=0.0, window="run", name="writes"),
    slo(
        DataLossMeasure(regions=("sjc", "lax"), measure="seconds"),
        0.9,
        op="lte",
        value=10.0,
        window="fault",
        name="seconds",
    ),
]
STATES = ["present", "lost", "stale", "duplicated", "diverged", "indeterminate"]


@given(st.lists(st.sampled_from(STATES), min_size=5, max_size=5), st.sets(st.integers(0, 19), max_size=8))
@QUICK
def test_a_read_that_is_missing_never_makes_data_loss_pass(states, missing):
    ledger = writes([6.0, 20.0, 30.0, 36.0, 50.0])
    told = dict(zip((row["key"] for row in ledger), states, strict=True))
    rows = [
        *read_back(ledger, "end", 80.0, states=told),
        *read_back(ledger, "kill-weaviate#1", 66.0, states=told),
    ]
    whole = evidence(ledger=ledger, readback=rows)
    fewer = replace(whole, readback=table(READBACK_COLUMNS, [row for i, row in enumerate(rows) if i not in missing]))
    before, after = ranks(judge(whole, LOSSES)), ranks(judge(fewer, LOSSES))
    for name, verdict in after.items():
        assert verdict is not Verdict.PASS or before[name] is Verdict.PASS, name


# ---- the whole judgement, whatever is lost --------------------------------------------------------------------------

WHOLE: list[Slo] = [
    *SLOS,
    slo(RequestRatio(table="requests", total=RequestFilter(regions=("sjc",)), good=SERVED), 0.9, name="region"),
    slo(RequestRatio(table="requests", total=RequestFilter(), bad=RequestFilter(releases=("1.0.0",), outcome="error")),
        0.9, name="release"),
    slo(RequestRatio(table="beacon", total=RequestFilter(), good=SERVED), 0.9, name="beacon", window="run"),
    slo(RequestRatio(table="requests", total=RequestFilter(), good=SERVED), 0.9, name="claimed", claim="system"),
    slo(CounterRatio(good="votes_ok", total="votes"), 0.5, name="votes"),
    slo(DataLossMeasure(regions=("sjc", "lax")), 1.0, op="lte", value=0.0, window="run", name="writes"),
    slo(WritablePrimaries(regions=("sjc", "lax")), 1.0, op="lte", value=1.0, window="run", name="primaries"),
    slo(CheckRatio(), 0.9, window="run", name="checks"),
    slo(DeploymentTime(), 0.9, op="lte", value=60.0, window="run", name="deployment"),
]  # fmt: skip
SEEN = (FaultLanded, FaultGone, ExperimentEnded, CheckDone, Deployed, RunClosed, ScheduleFixed)
TABLES = ("requests", "beacon", "generator", "ledger", "readback", "samples", "primaries")
STAMP: dict[str, Any] = {"mono_ns": ns(1), "wall_ns": ns(1) + WALL_NS, "pid": 1}
MORE = (
    CheckDone(name="vectors", passed=10, of=10, **STAMP),
    Deployed(release="1.0.0", seconds=20.0, instances=9, endpoints={}, **STAMP),
)


def a_run(rows: list[Row]) -> Evidence:
    """With everything that the objectives of WHOLE ask for, at a beacon of 2/s to be quick."""
    spec = SCENARIO.model_copy(update={"beacon": SCENARIO.beacon.model_copy(update={"every": 0.5})})
    samples = [
        *scraped("up"),
        *scraped("process_start_time_seconds", lambda _at: WALL_NS / 1e9 + 4000.0),
        *scraped("votes", lambda at: round(1000 * (at + 10))),
        *scraped("votes_ok", lambda at: round(900 * (at + 10))),
    ]
    return evidence(
        requests=rows, beacon=probes(every=0.5), samples=samples, metrics=answers(samples, "ALERTS"), scenario=spec,
        events=happened(*MORE, expected=round(78 * RATE)),
    )  # fmt: skip


def never_better(before: Judgement, after: Judgement) -> None:
    """Nothing passes that did not, nor does the run."""
    known = ranks(before)
    for name, verdict in ranks(after).items():
        assert verdict is not Verdict.PASS or known[name] is Verdict.PASS, name
    assert after.verdict is not Verdict.PASS or before.verdict is Verdict.PASS


def without_rows(table: pa.Table, lost: set[int]) -> pa.Table:
    return table.filter(pa.array([number not in lost for number in range(table.num_rows)]))


@given(runs(), st.sampled_from(TABLES), st.data())
@QUICK
def test_evidence_that_is_lost_never_makes_anything_pass(rows, name, data):
    whole = a_run(rows)
    before = judge(whole, WHOLE)
    table = getattr(whole, name)
    assert table.num_rows
    lost = data.draw(st.sets(st.integers(0, table.num_rows - 1), min_size=1, max_size=30))
    never_better(before, judge(replace(whole, **{name: without_rows(table, lost)}), WHOLE))
    for nothing in (None, table.slice(0, 0)):
        after = judge(replace(whole, **{name: nothing}), WHOLE)
        assert after.verdict is not Verdict.PASS
        never_better(before, after)


@given(runs(), st.data())
@QUICK
def test_an_observation_that_is_lost_never_makes_anything_pass(rows, data):
    """Any event that says that something was seen; what was only planned (windows, intents) is not evidence."""
    whole = a_run(rows)
    seen = [number for number, event in enumerate(whole.events) if isinstance(event, SEEN)]
    lost = data.draw(st.sets(st.sampled_from(seen), min_size=1, max_size=3))
    fewer = tuple(event for number, event in enumerate(whole.events) if number not in lost)
    never_better(judge(whole, WHOLE), judge(replace(whole, events=fewer), WHOLE))


@given(runs(), st.sampled_from(["error", "warnings", "gone"]), st.sampled_from(["votes", "votes_ok", "up"]))
@QUICK
def test_an_answer_that_is_lost_never_makes_anything_pass(rows, how, query):
    whole = a_run(rows)
    worse = {"error": {"error": "timed out"}, "warnings": {"warnings": ("partial",)}, "gone": {}}[how]
    metrics = tuple(
        replace(one, **worse) if one.query == query else one
        for one in whole.metrics
        if how != "gone" or one.query != query
    )
    never_better(judge(whole, WHOLE), judge(replace(whole, metrics=metrics), WHOLE))


@given(runs(), st.sampled_from([{"region": ""}, {"release": ""}, {"level": 0}]), st.integers(0, 380))
@QUICK
def test_an_answer_that_does_not_tell_who_or_at_what_level_never_makes_anything_pass(rows, change, first):
    dark = [{**row, **change} if first <= row["arrival"] < first + 10 else row for row in rows]
    never_better(judge(a_run(rows), WHOLE), judge(a_run(dark), WHOLE))


@given(runs(), st.integers(0, 389))
@QUICK
def test_one_more_good_request_never_worsens_a_ratio(rows, which):
    before = ranks(judged(rows))
    better = [request(which, which / RATE) if row["arrival"] == which else row for row in rows]
    for name, verdict in ranks(judged(better)).items():
        if name in ("served", "fast", "meanwhile"):
            assert verdict.rank <= before[name].rank, name


@given(runs(), st.sampled_from(TABLES), st.randoms(use_true_random=False), st.integers(1, 100))
@QUICK
def test_the_order_and_the_split_of_no_table_matter(rows, name, random, cut):
    whole = a_run(rows)
    table = getattr(whole, name)
    order = list(range(table.num_rows))
    random.shuffle(order)
    shuffled = table.take(pa.array(order))
    split = pa.concat_tables([shuffled.slice(0, cut), shuffled.slice(cut, 7), shuffled.slice(cut + 7)])
    before, after = judge(whole, WHOLE), judge(replace(whole, **{name: split}), WHOLE)
    # Losses are listed in the order of their read-backs: what they say does not depend on it.
    before, after = (
        told.model_copy(update={"data_loss": tuple(sorted(told.data_loss, key=repr))}) for told in (before, after)
    )
    assert judgement_json(after) == judgement_json(before)


@given(runs())
@settings(max_examples=10, deadline=None)
def test_judging_again_gives_the_same_bytes(rows):
    assert judgement_json(judge(a_run(rows), WHOLE)) == judgement_json(judge(a_run(rows), WHOLE))


@given(runs(), st.permutations(WHOLE))
@settings(max_examples=10, deadline=None)
def test_what_is_asked_beside_it_does_not_change_an_answer(rows, others):
    """Nor in which order; only the number of claims on the platform may: it sets how sure their FAIL must be."""
    whole = a_run(rows)
    for one, result in zip(WHOLE, judge(whole, WHOLE).objectives, strict=True):
        again = next(item for item in judge(whole, others).objectives if item.slo == one.name)
        assert again == result
        if one.annotations.claim != "system" and one.annotations.window == "steady":  # no levels are promised there
            assert judge(whole, [one]).objectives[0].verdict is result.verdict
