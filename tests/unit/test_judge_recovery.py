"""Recovery time against outages known to the millisecond."""

from __future__ import annotations

import pytest

from harness.judge import judge
from harness.model.evidence import Evidence
from harness.model.judgement import ObjectiveResult, Recovery, Verdict
from harness.model.records import Content, Outcome
from harness.model.slo import RecoveryTime
from harness.testing.evidence import (
    EVERY_S,
    INJECTED_S,
    evidence,
    happened,
    ns,
    probes,
    request,
    slo,
    steadily,
    within,
)

DOWN = {"outcome": Outcome.REFUSED, "latency": 0.001}
RTO = slo(RecoveryTime(), 0.95, op="lte", value=5.0, window="fault", experiment="kill-weaviate")
INJECTION_S = 0.01  # the injector's effect was made within so long


def story(**parts) -> tuple[Recovery, ObjectiveResult]:
    judgement = judge(evidence(**parts), [RTO])
    return judgement.recoveries[0], judgement.objectives[0]


def outages(*stretches: tuple[float, float], **change) -> Evidence:
    """Beacon and load both fail in these stretches [from, to) of the run."""
    failing = within(*stretches, **(change or DOWN))
    return evidence(beacon=probes(change=failing), requests=steadily(change=failing))


def told(run: Evidence, **annotations) -> tuple[Recovery, ObjectiveResult]:
    judgement = judge(run, [RTO])
    return judgement.recoveries[0], judgement.objectives[0]


@pytest.mark.parametrize("back_s", [37.021, 37.5, 38.0, 39.999, 41.2345])
def test_a_known_outage_is_found_within_the_beacons_interval(back_s):
    recovery, result = told(outages((INJECTED_S, back_s)))
    full = recovery.full_service_s
    assert full is not None and full.low is not None and full.high is not None
    truth = back_s - INJECTED_S
    assert full.low <= truth <= full.high
    assert full.high - full.low <= EVERY_S + INJECTION_S + 0.005  # interval, injection, latency of a probe
    assert recovery.visible and recovery.recovered
    assert result.verdict is Verdict.PASS


def test_longer_than_the_objective_fails():
    _, result = told(outages((INJECTED_S, 43.0)))
    assert result.verdict is Verdict.FAIL
    assert "full service came back to stay between 5.97 s and 6.00 s" in result.reason


def test_when_the_interval_holds_the_objective_nothing_is_decided():
    _, result = told(outages((INJECTED_S, 42.0)))
    assert result.verdict is Verdict.INCONCLUSIVE


def test_no_visible_failure_is_an_answer_too():
    recovery, result = told(evidence())
    assert (recovery.visible, recovery.recovered) == (False, True)
    assert recovery.first_failure_s is recovery.full_service_s is None
    assert result.verdict is Verdict.PASS
    assert "no user-visible failure" in result.reason


def test_flapping_does_not_count_as_recovered():
    # Back for less than the 2 s that are declared, three times, then for good at 44 s.
    recovery, _ = told(outages((37.0, 38.0), (39.5, 40.0), (41.9, 44.0)))
    full = recovery.full_service_s
    assert full is not None and full.low is not None and full.high is not None
    assert full.low <= 7.0 <= full.high


def test_a_stretch_that_stays_long_enough_counts_and_the_relapse_is_told():
    recovery, _ = told(outages((37.0, 38.0), (50.0, 51.0)))
    assert recovery.full_service_s is not None
    assert recovery.full_service_s.high == pytest.approx(1.002, abs=0.03)
    assert "it failed once more 13.0 s after the fault" in recovery.reason


def test_never_recovered_has_a_lower_bound():
    recovery, result = told(outages((INJECTED_S, 99.0)))
    assert not recovery.recovered
    assert recovery.full_service_s is not None
    assert recovery.full_service_s.low == pytest.approx(78 - 37, abs=0.1)
    assert recovery.full_service_s.high is None
    assert result.verdict is Verdict.FAIL  # 41 s is more than 5 s already
    patient = slo(RecoveryTime(), 0.95, op="lte", value=300.0, window="fault")
    assert judge(outages((INJECTED_S, 99.0)), [patient]).objectives[0].verdict is Verdict.INCONCLUSIVE


def test_a_recovery_just_before_the_end_was_not_seen_to_stay():
    recovery, _ = told(outages((INJECTED_S, 76.5)))
    assert not recovery.recovered
    assert recovery.full_service_s is not None and recovery.full_service_s.high is None


def test_partial_failure_is_a_failure():
    half = lambda n, at: DOWN if 37.0 <= at < 40.0 and n % 2 else None  # noqa: E731
    recovery, _ = told(evidence(beacon=probes(change=half)))
    assert recovery.full_service_s is not None
    assert recovery.full_service_s.high == pytest.approx(3.0, abs=0.05)


def test_full_service_waits_for_level_one_and_served_for_the_promise():
    levels = within((37.5, 45.0), level=3)
    down = within((37.0, 37.5), **DOWN)
    change = lambda n, at: down(n, at) or levels(n, at)  # noqa: E731
    served = slo(RecoveryTime(until="served"), 0.95, op="lte", value=1.0, window="fault", experiment="kill-weaviate")
    promised = served.model_copy(
        update={"annotations": served.annotations.model_copy(update={"levels": (1, 3)}), "name": "promised"}
    )
    run = evidence(beacon=probes(change=change), requests=steadily(change=change))
    judgement = judge(run, [RTO, promised])
    recovery = judgement.recoveries[0]
    assert recovery.served_s is not None and recovery.full_service_s is not None
    assert recovery.served_s.high == pytest.approx(0.5, abs=0.03)
    assert recovery.full_service_s.high == pytest.approx(8.0, abs=0.03)
    assert [result.verdict for result in judgement.objectives] == [Verdict.FAIL, Verdict.PASS]
    # Without the promise a degraded answer is no service.
    assert judge(run, [served]).objectives[0].verdict is Verdict.FAIL


def test_the_record_sees_what_the_beacon_does_not():
    wrong = within((37.0, 41.0), content=Content.WRONG)
    recovery, _ = told(evidence(requests=steadily(change=wrong)))
    assert recovery.visible
    assert recovery.full_service_s is not None
    assert recovery.full_service_s.high == pytest.approx(4.0, abs=0.05)


def test_hanging_probes_do_not_move_the_recovery():
    # From 37 to 38 s every probe hangs until its time-out of 2 s; those from 38 s on are answered at once.
    recovery, _ = told(outages((37.0, 38.0), outcome=Outcome.TIMEOUT, latency=2.0))
    full = recovery.full_service_s
    assert full is not None and full.low is not None and full.high is not None
    assert full.low <= 1.0 <= full.high <= 1.03


def test_lost_probes_widen_the_latest_and_never_the_earliest():
    failing = within((37.0, 40.0), **DOWN)
    beacon = [row for row in probes(change=failing) if not ns(40.0) <= row["intended_ns"] < ns(41.0)]
    requests = [row for row in steadily(change=failing) if not ns(40.0) <= row["intended_ns"] < ns(41.0)]
    recovery, _ = story(beacon=beacon, requests=requests)
    full = recovery.full_service_s
    assert full is not None and full.low is not None and full.high is not None
    assert full.low <= 3.0
    assert 4.0 <= full.high <= 4.06
    assert recovery.lost_probes == 100


def test_a_beacon_that_died_with_the_fault_never_passes():
    beacon = [row for row in probes() if row["intended_ns"] < ns(37.0)]
    recovery, result = story(beacon=beacon)
    assert not recovery.visible
    assert recovery.lost_probes > 2000
    assert result.verdict is Verdict.INCONCLUSIVE


def test_nobody_watched():
    run = evidence(absent=("beacon", "requests"))
    judgement = judge(run, [RTO])
    assert judgement.objectives[0].verdict is Verdict.INCONCLUSIVE
    assert judgement.recoveries[0].reason == "nobody observed the users' side"


@pytest.mark.parametrize("lost", ["beacon", "requests"])
def test_one_record_alone_leaves_open_what_the_other_saw(lost):
    """What was lost may hold failures that this one missed: losing it must not make a recovery shorter."""
    failing = within((37.0, 38.0), **DOWN)
    judgement = judge(evidence(requests=steadily(change=failing), beacon=probes(change=failing), absent=(lost,)), [RTO])
    assert judgement.objectives[0].verdict is Verdict.INCONCLUSIVE
    assert judgement.recoveries[0].visible


def test_a_fault_that_did_not_land_never_passes():
    from harness.model.events import FaultLanded

    _, result = story(events=happened(without=(FaultLanded,)))
    assert result.verdict is Verdict.INCONCLUSIVE
    assert "not seen to land" in result.reason


def test_a_failure_after_the_faults_window_is_not_the_faults():
    recovery, result = told(outages((70.0, 71.0)))
    assert not recovery.visible
    assert result.verdict is Verdict.PASS


def test_failures_before_the_fault_are_not_the_faults():
    recovery, _ = told(outages((36.0, 37.0)))
    assert not recovery.visible


def test_by_a_region():
    def change(_n, at):
        if 37.0 <= at < 39.0:
            return DOWN
        return {"region": "lax"} if at >= 39.0 else None

    lax = slo(RecoveryTime(until="served", regions=("lax",)), 0.95, op="lte", value=5.0, window="fault")
    run = evidence(beacon=probes(change=change), requests=steadily(change=change))
    assert judge(run, [lax]).objectives[0].verdict is Verdict.PASS
    back_in_sjc = outages((37.0, 39.0))
    assert judge(back_in_sjc, [lax]).objectives[0].verdict is not Verdict.PASS


def test_an_answer_without_a_level_says_nothing_about_full_service():
    silent = probes(change=lambda _n, _at: {"level": 0})
    degraded = steadily(change=within((37.0, 45.0), level=3))
    recovery, _ = story(beacon=silent, requests=degraded)
    assert recovery.full_service_s is not None
    assert recovery.full_service_s.high == pytest.approx(8.0, abs=0.05)
    nobody = steadily(change=lambda _n, _at: {"level": 0})
    _, result = story(beacon=silent, requests=nobody)
    assert result.verdict is Verdict.INCONCLUSIVE


def test_repeats_are_judged_each_and_the_worst_is_shown():
    from harness.model import events as e

    again = {"experiment": "kill-weaviate#2", "fault": "kill"}
    extra = (
        e.FaultIntended(**again, kind="process-kill", selection=("w",), token="t", mono_ns=ns(66)),
        e.FaultInjected(**again, from_ns=ns(66.0), to_ns=ns(66.01)),
        e.FaultLanded(**again, landed=True, observer="o", mono_ns=ns(66.05)),
        e.Window(kind="fault", experiment="kill-weaviate#2", start_ns=ns(65.5), end_ns=ns(75)),
    )
    failing = within((37.0, 38.0), (66.0, 72.5), **DOWN)
    run = evidence(events=happened(*extra), beacon=probes(change=failing), requests=steadily(change=failing))
    judgement = judge(run, [RTO])
    assert len(judgement.recoveries) == 2
    result = judgement.objectives[0]
    assert (result.events, result.bad, result.verdict) == (2, 1, Verdict.FAIL)
    assert result.interval.high == pytest.approx(6.5, abs=0.05)
    assert "1 of 2 faults within 5s" in result.reason


def test_a_claim_on_the_platform_needs_59_clean_kills():
    system = slo(RecoveryTime(), 0.95, op="lte", value=5.0, window="fault", claim="system")
    result = judge(evidence(), [system]).objectives[0]
    assert result.verdict is Verdict.INCONCLUSIVE
    assert "58 faults more" in result.reason


def test_the_rows_order_does_not_matter():
    failing = within((37.0, 38.0), **DOWN)
    rows = probes(change=failing)
    assert story(beacon=rows)[0] == story(beacon=rows[::-1])[0]


def test_a_row_out_of_nowhere_is_harmless():
    rows = [*probes(), request(10**6, 77.99, outcome=Outcome.UNFINISHED)]
    assert story(beacon=rows)[1].verdict is not Verdict.FAIL


def test_an_unknown_probe_does_not_hide_a_later_outage():
    # Was 39.0 s a failure? Then that outage was over at 39.02 s; else the outage is the one at 53 s.
    def change(_n, at):
        if 38.99 < at < 39.01:
            return {"outcome": Outcome.UNFINISHED}
        return DOWN if 53 <= at < 60 else None

    recovery, result = story(beacon=probes(change=change))
    full = recovery.full_service_s
    assert full is not None and full.low is not None and full.high is not None
    assert full.low <= 2.0
    assert full.high >= 23.0
    assert result.verdict is Verdict.INCONCLUSIVE


def test_an_arrival_in_flight_at_the_end_is_no_worse_than_one_without_a_record():
    unfinished = probes(change=within((50.0, 50.02), outcome=Outcome.UNFINISHED))
    lost = [row for row in probes() if row["intended_ns"] != ns(50.0)]
    assert story(beacon=unfinished)[1].verdict == story(beacon=lost)[1].verdict
