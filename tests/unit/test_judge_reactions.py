"""Alerts, gauges after a fault, primaries, checks and deployments."""

from __future__ import annotations

import pytest

from harness.judge import judge
from harness.model import events as e
from harness.model.evidence import MetricAnswer
from harness.model.judgement import ObjectiveResult, Verdict
from harness.model.slo import (
    AlertTime,
    CheckRatio,
    DeploymentTime,
    Indicator,
    MonitoringCoverage,
    ReactionTime,
    WritablePrimaries,
)
from harness.testing.evidence import (
    WALL_NS,
    Row,
    answers,
    evidence,
    happened,
    ns,
    roles,
    scraped,
    series,
    slo,
    wall_ms,
)

SECONDS = [second + 0.3 for second in range(-5, 78)]


def within_s(indicator: Indicator, seconds: float) -> object:
    return slo(indicator, 0.95, op="lte", value=seconds, window="fault", experiment="kill-weaviate")


def judged(rows: list[Row], indicator: Indicator, seconds: float, **more) -> ObjectiveResult:
    samples = [*scraped("up"), *rows]
    run = evidence(samples=samples, **{"metrics": answers(samples, "ALERTS", "breaker"), **more})
    return judge(run, [within_s(indicator, seconds)]).objectives[0]


# ---- alerts ---------------------------------------------------------------------------------------------------------

DOWN = AlertTime(name="WeaviateDown", severity="P1")


def firing(from_s: float, to_s: float = 70.0, severity: str = "P1", name: str = "WeaviateDown", state: str = "firing"):
    labels = {"__name__": "ALERTS", "alertname": name, "alertstate": state, "severity": severity}
    return series("ALERTS", labels, [(at, 1.0) for at in SECONDS if from_s <= at < to_s])


def test_an_alert_in_time():
    result = judged(firing(41.0), DOWN, 10.0)
    assert result.verdict is Verdict.PASS
    assert result.interval.low == pytest.approx(4.29, abs=0.01)
    assert result.interval.high == pytest.approx(4.30, abs=0.01)
    assert "fired 4.3 s after the fault" in result.reason


def test_an_alert_too_late():
    assert judged(firing(60.0), DOWN, 10.0).verdict is Verdict.FAIL


def test_an_alert_that_never_fired_fails_once_it_was_watched_for_long_enough():
    result = judged([], DOWN, 10.0)
    assert result.verdict is Verdict.FAIL
    assert "did not fire in the 40.3 s that Prometheus watched" in result.reason
    assert judged([], DOWN, 300.0).verdict is Verdict.INCONCLUSIVE


def test_pending_is_not_firing_and_another_severity_is_not_the_promised_one():
    assert judged(firing(41.0, state="pending"), DOWN, 10.0).verdict is Verdict.FAIL
    wrong = judged(firing(41.0, severity="P3"), DOWN, 10.0)
    assert wrong.verdict is Verdict.FAIL
    assert "it fired with severity P3" in wrong.reason
    assert judged(firing(41.0, name="Other"), DOWN, 10.0).verdict is Verdict.FAIL


def test_an_alert_that_fired_before_the_fault_proves_nothing():
    assert judged(firing(10.0), DOWN, 10.0).verdict is Verdict.INCONCLUSIVE


def test_an_alert_that_had_resolved_before_the_fault_counts_when_it_fires_again():
    assert judged([*firing(10.0, 20.0), *firing(41.0)], DOWN, 10.0).verdict is Verdict.PASS


def test_an_alert_of_another_region_is_not_this_one():
    here = AlertTime(name="WeaviateDown", severity="P1", labels={"region": "sjc"})

    def fired(region: str) -> list[Row]:
        labels = {"__name__": "ALERTS", "alertname": "WeaviateDown", "alertstate": "firing", "severity": "P1"}
        return series("ALERTS", {**labels, "region": region}, [(at, 1.0) for at in SECONDS if 41 <= at < 70])

    assert judged(fired("sjc"), here, 10.0).verdict is Verdict.PASS
    assert judged(fired("lax"), here, 10.0).verdict is Verdict.FAIL
    assert judged(firing(41.0), here, 10.0).verdict is Verdict.FAIL
    assert judged([*fired("lax"), *fired("sjc")], here, 10.0).verdict is Verdict.PASS


@pytest.mark.parametrize(("region", "verdict"), [("sjc", Verdict.PASS), ("lax", Verdict.INCONCLUSIVE)])
def test_nor_does_the_journal_take_another_region(region, verdict):
    here = AlertTime(name="WeaviateDown", severity="P1", labels={"region": "sjc"})
    at = {"active_wall_ns": ns(40) + WALL_NS, "firing_wall_ns": ns(42) + WALL_NS}
    seen = e.AlertSeen(name="WeaviateDown", severity="P1", labels={"region": region}, **at)
    assert judged([], here, 10.0, metrics=(), events=happened(seen)).verdict is verdict


def test_a_blind_prometheus_decides_nothing():
    up = scraped("up", times=[at for at in SECONDS if at < 39])
    run = evidence(samples=up, metrics=answers(up, "ALERTS"))
    result = judge(run, [within_s(DOWN, 10.0)]).objectives[0]
    assert result.verdict is Verdict.INCONCLUSIVE
    assert "1.3 s that Prometheus watched" in result.reason


@pytest.mark.parametrize("trouble", [{"error": "refused"}, {"warnings": ("partial",)}])
def test_an_error_decides_nothing(trouble):
    metrics = (*answers(scraped("up")), MetricAnswer("ALERTS", 0, 0, **trouble))
    assert judged([], DOWN, 10.0, metrics=metrics).verdict is Verdict.INCONCLUSIVE


def test_where_samples_cannot_tell_the_journal_may():
    seen = e.AlertSeen(
        name="WeaviateDown",
        severity="P1",
        labels={},
        active_wall_ns=ns(40) + WALL_NS,
        firing_wall_ns=ns(42) + WALL_NS,
    )
    told = judged([], DOWN, 10.0, metrics=(), events=happened(seen))
    assert told.verdict is Verdict.PASS
    assert judged([], DOWN, 10.0, metrics=()).verdict is Verdict.INCONCLUSIVE


def test_the_alert_is_the_detection_in_the_story_of_the_fault():
    samples = [*scraped("up"), *firing(41.0)]
    judgement = judge(evidence(samples=samples, metrics=answers(samples)), [within_s(DOWN, 10.0)])
    assert judgement.recoveries[0].detected_s is not None
    assert judgement.recoveries[0].detected_s.high == pytest.approx(4.3, abs=0.01)


# ---- gauges after a fault -------------------------------------------------------------------------------------------

OPENS = ReactionTime(query="breaker", equals=2.0)


def test_a_gauge_reaches_its_value_between_two_scrapes():
    result = judged(scraped("breaker", lambda at: 2.0 if 38.7 <= at < 60 else 0.0), OPENS, 30.0)
    assert result.verdict is Verdict.PASS
    assert result.interval.low == pytest.approx(1.29, abs=0.01)
    assert result.interval.high == pytest.approx(2.30, abs=0.01)


def test_a_gauge_that_never_did():
    flat = scraped("breaker", lambda _at: 0.0)
    assert judged(flat, OPENS, 30.0).verdict is Verdict.FAIL
    assert judged(flat, OPENS, 300.0).verdict is Verdict.INCONCLUSIVE


def test_a_gauge_that_was_there_before_or_is_absent_decides_nothing():
    assert judged(scraped("breaker", lambda _at: 2.0), OPENS, 30.0).verdict is Verdict.INCONCLUSIVE
    absent = judged([], OPENS, 30.0)
    assert absent.verdict is Verdict.INCONCLUSIVE
    assert "no series breaker" in absent.reason


def test_of_several_series_the_first_counts():
    rows = [
        *scraped("breaker", lambda at: 2.0 if at > 45 else 0.0, instance="sjc-0"),
        *scraped("breaker", lambda at: 2.0 if at > 40 else 0.0, instance="sjc-1"),
    ]
    assert judged(rows, OPENS, 5.0).verdict is Verdict.PASS


def test_first_down_then_up():
    back = ReactionTime(query="breaker", equals=1.0, after=0.0)
    dip = scraped("breaker", lambda at: 0.0 if 38 < at < 44 else 1.0)
    result = judged(dip, back, 30.0)
    assert result.verdict is Verdict.PASS
    assert result.interval.high == pytest.approx(7.3, abs=0.01)
    never_down = judged(scraped("breaker", lambda _at: 1.0), back, 30.0)
    assert never_down.verdict is not Verdict.PASS


# ---- one writable primary -------------------------------------------------------------------------------------------

ONE = slo(WritablePrimaries(regions=("sjc", "lax")), 1.0, op="lte", value=1.0, window="run")


def primaries(rows: list[Row]) -> ObjectiveResult:
    return judge(evidence(primaries=rows), [ONE]).objectives[0]


def test_one_primary():
    result = primaries(roles())
    assert result.verdict is Verdict.PASS
    assert "at most 1 database of 2" in result.reason


def test_a_clean_failover_has_one_primary_at_a_time():
    def change(region: str, at: float) -> str | None:
        if region == "sjc":
            return "refused" if 37 <= at < 60 else "standby" if at >= 60 else None
        return "writable" if at >= 45 else None

    assert primaries(roles(change=change)).verdict is Verdict.PASS


def test_two_writable_at_once_fail_however_short():
    def split(region: str, at: float) -> str | None:
        return "writable" if region == "lax" and 50 <= at < 50.25 else None

    result = primaries(roles(change=split))
    assert result.verdict is Verdict.FAIL
    assert "2 databases were writable at the same time" in result.reason


def test_a_handover_between_two_questions_is_not_known():
    def change(region: str, at: float) -> str | None:
        if region == "sjc":
            return "standby" if at > 45 else None
        return "writable" if at >= 45 else None

    assert primaries(roles(change=change)).verdict is Verdict.INCONCLUSIVE


def test_a_region_that_cannot_be_reached_may_be_writable():
    def cut_off(region: str, at: float) -> str | None:
        return "unreachable" if region == "lax" and 40 <= at < 45 else None

    result = primaries(roles(change=cut_off))
    assert result.verdict is Verdict.INCONCLUSIVE
    assert "2 may have been, where one could not be reached" in result.reason
    refused = roles(change=lambda region, at: "refused" if cut_off(region, at) else None)
    assert primaries(refused).verdict is Verdict.PASS


def test_its_own_log_tells_of_one_that_was_out_of_sight():
    def cut_off(region: str, at: float) -> str | None:
        return "unreachable" if region == "lax" and 40 <= at < 45 else None

    def told(from_s: float, to_s: float, region: str = "lax") -> Row:
        return {"asked_ns": ns(from_s), "answered_ns": ns(to_s), "region": region, "state": "unwritten"}

    unseen = roles(change=cut_off)
    assert primaries([*unseen, told(39.5, 50.0)]).verdict is Verdict.PASS
    assert primaries([*unseen, told(39.5, 44.0)]).verdict is Verdict.INCONCLUSIVE
    assert primaries([*unseen, told(41.0, 50.0)]).verdict is Verdict.INCONCLUSIVE
    assert primaries([*unseen, told(39.5, 50.0, "sjc")]).verdict is Verdict.INCONCLUSIVE
    once = roles(change=lambda region, at: cut_off(region, at) or ("writable" if (region, at) == ("lax", 47) else None))
    assert primaries([*once, told(39.5, 50.0)]).verdict is not Verdict.PASS
    assert primaries([told(0.0, 82.0), told(0.0, 82.0, "sjc")]).verdict is Verdict.INCONCLUSIVE, "nobody was asked"


def test_databases_that_nobody_reached_prove_nothing():
    assert primaries(roles(change=lambda _region, _at: "unreachable")).verdict is Verdict.INCONCLUSIVE
    both = roles(change=lambda _region, at: "unreachable" if 40 <= at < 42 else None)
    assert primaries(both).verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize("never", ["unreachable", "refused"])
def test_a_region_that_never_answered_proves_nothing(never):
    result = primaries(roles(change=lambda region, _at: never if region == "lax" else None))
    assert result.verdict is Verdict.INCONCLUSIVE
    assert "the database of lax never told whether it takes writes" in result.reason


def test_a_region_without_rows_proves_nothing():
    result = primaries([row for row in roles() if row["region"] == "sjc"])
    assert result.verdict is Verdict.INCONCLUSIVE
    assert "lax never told" in result.reason


@pytest.mark.parametrize("dead", ["sjc", "lax"])
def test_a_watch_that_died_or_paused_proves_nothing(dead):
    died = [row for row in roles() if row["region"] != dead or row["asked_ns"] < ns(10)]
    result = primaries(died)
    assert result.verdict is Verdict.INCONCLUSIVE
    assert f"the database of {dead} was not asked for 68." in result.reason
    paused = [row for row in roles() if row["region"] != dead or not ns(40) <= row["asked_ns"] < ns(45)]
    assert primaries(paused).verdict is Verdict.INCONCLUSIVE
    blink = [row for row in roles() if row["region"] != dead or not ns(40) <= row["asked_ns"] < ns(43)]
    assert primaries(blink).verdict is Verdict.PASS


def test_blindness_never_hides_two_that_were_seen():
    split = roles(change=lambda region, at: "writable" if region == "lax" and 20 <= at < 21 else None)
    died = [row for row in split if row["region"] != "lax" or row["asked_ns"] < ns(30)]
    assert primaries(died).verdict is Verdict.FAIL


def test_an_answer_between_two_others_counts():
    """lax is asked for 2 s while sjc answers several times: what comes of it is not known until then."""
    slow = [row for row in roles() if row["region"] != "lax" or not ns(40) < row["asked_ns"] < ns(42)]
    slow.append({"asked_ns": ns(40.1), "answered_ns": ns(42.0), "region": "lax", "state": "unreachable"})
    assert primaries(slow).verdict is Verdict.INCONCLUSIVE


def away(**told: tuple[float, float]) -> list[Row]:
    """lax is primary and silent from 40 to 60, but for what whoever runs it says; sjc takes over at 48."""

    def change(region: str, at: float) -> str | None:
        if region == "sjc":
            return "standby" if at < 48 else None
        said = [word for word, (start, end) in told.items() if start <= at < end]
        return said[0] if said else "writable" if at < 40 else "unreachable" if at < 60 else None

    return roles(change=change)


def test_a_database_that_stands_still_takes_no_writes():
    assert primaries(away(stopped=(45, 60))).verdict is Verdict.PASS
    assert primaries(away()).verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize("span", [(48.5, 60), (45, 59.5)])
def test_before_and_after_it_is_seen_to_stand_still_it_may_write(span):
    assert primaries(away(stopped=span)).verdict is Verdict.INCONCLUSIVE


def test_a_second_primary_elsewhere_fails_while_one_stands_still():
    rows = away(stopped=(45, 60))
    third = [{**row, "region": "iad", "state": "writable"} for row in rows if row["region"] == "sjc"]
    assert primaries(rows + third).verdict is Verdict.FAIL


def test_one_that_writes_again_after_it_stood_still_fails():
    def change(region: str, at: float) -> str | None:
        if region == "sjc":
            return "standby" if at < 48 else None
        return "writable" if at < 40 or at >= 60 else "stopped"

    assert primaries(roles(change=change)).verdict is Verdict.FAIL


def test_one_that_stood_still_all_the_time_never_told():
    result = primaries(roles(change=lambda region, _at: "stopped" if region == "lax" else None))
    assert result.verdict is Verdict.INCONCLUSIVE
    assert "the database of lax never told whether it takes writes" in result.reason


def test_nobody_asked():
    assert primaries([]).verdict is Verdict.INCONCLUSIVE
    assert judge(evidence(absent=("primaries",)), [ONE]).objectives[0].verdict is Verdict.INCONCLUSIVE
    both = roles(change=lambda region, at: "writable" if region == "lax" and at > 50 else None)
    blind = [row for row in both if row["region"] == "lax" or row["asked_ns"] < ns(49)]
    assert primaries(blind).verdict is Verdict.INCONCLUSIVE


# ---- checks and deployment ------------------------------------------------------------------------------------------

HEALTH = e.CheckDone(name="every health endpoint answers", passed=19, of=19)


def checks(*done: e.CheckDone, patterns: tuple[str, ...] = ()) -> ObjectiveResult:
    asked = slo(CheckRatio(checks=patterns), 1.0, window="run")
    return judge(evidence(events=happened(*done)), [asked]).objectives[0]


def test_all_checks_passed():
    assert checks(HEALTH).verdict is Verdict.PASS
    assert checks(HEALTH, patterns=("every health*",)).events == 19


def test_one_failed_check_fails_and_is_told():
    result = checks(HEALTH, e.CheckDone(name="no placeholder secret", passed=3, of=4, detail="redis: changeme"))
    assert result.verdict is Verdict.FAIL
    assert "1 was not (no placeholder secret: 3 of 4 (redis: changeme))" in result.reason


def test_a_check_that_was_not_made_is_inconclusive():
    assert checks().verdict is Verdict.INCONCLUSIVE
    result = checks(HEALTH, patterns=("services covered by monitoring",))
    assert result.verdict is Verdict.INCONCLUSIVE
    assert "'services covered by monitoring' was not made" in result.reason
    assert checks(e.CheckDone(name="nothing to look at", passed=0, of=0)).verdict is Verdict.INCONCLUSIVE


def test_of_a_check_made_again_the_last_counts():
    assert checks(HEALTH.model_copy(update={"passed": 3}), HEALTH).verdict is Verdict.PASS
    assert checks(HEALTH, HEALTH.model_copy(update={"passed": 3})).verdict is Verdict.FAIL


def test_deployment_time():
    asked = slo(DeploymentTime(), 0.95, op="lt", value=900.0, window="run")

    def verdict(*done: e.Deployed) -> Verdict:
        return judge(evidence(events=happened(*done)), [asked]).objectives[0].verdict

    quick = e.Deployed(release="1", seconds=14.2, instances=19, endpoints={})
    assert verdict(quick) is Verdict.PASS
    assert verdict(quick, quick.model_copy(update={"seconds": 901.0})) is Verdict.FAIL
    assert verdict() is Verdict.INCONCLUSIVE


def test_times_on_prometheus_clock_are_widened_by_what_is_not_known_of_it():
    reads = (
        e.ClockRead(clock="wall", offset_ns=WALL_NS, error_ns=0),
        e.ClockRead(clock="prometheus", offset_ns=0, error_ns=500_000_000),
    )
    rows = firing(41.0)
    result = judged(rows, DOWN, 10.0, events=happened(*reads, without=(e.ClockRead,)))
    assert result.interval.low == pytest.approx(3.79, abs=0.01)
    assert result.interval.high == pytest.approx(4.80, abs=0.01)
    assert rows[0]["t_ms"] == wall_ms(41.3)


def test_services_covered_by_monitoring():
    asked = slo(MonitoringCoverage(), 1.0, window="run")
    services = ("unified-api", "weaviate")
    everything = happened(e.PhaseDeployed(phase="a", strategy="parallel", seconds=1.0, services=services))

    def result(*rows: Row, events: tuple[e.AnyEvent, ...] = everything) -> ObjectiveResult:
        return judge(evidence(samples=list(rows), events=events), [asked]).objectives[0]

    api, weaviate = scraped("up", service="unified-api"), scraped("up", service="weaviate", instance="w")
    assert result(*api, *weaviate).verdict is Verdict.PASS
    blind = result(*api)
    assert blind.verdict is Verdict.FAIL
    assert "(never scraped: weaviate)" in blind.reason
    never_up = scraped("up", lambda _at: 0.0, service="weaviate", instance="w")
    assert result(*api, *never_up).verdict is Verdict.FAIL
    assert result(*api, *weaviate, events=happened()).verdict is Verdict.INCONCLUSIVE
    assert judge(evidence(absent=("samples",), events=everything), [asked]).objectives[0].verdict is (
        Verdict.INCONCLUSIVE
    )
