"""The judgement on the sample run: as a judge would give it, its ratios counted from the run's own requests."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from harness.model.judgement import (
    Correction,
    DataLoss,
    Finding,
    Interval,
    Judgement,
    ObjectiveResult,
    Phase,
    PhaseName,
    Recovery,
    Verdict,
    worst,
)
from harness.model.records import Content
from harness.testing.sample_row import EXPERIMENT, LANDED_S, NAME, Kind, Row, at_ns

API = "unified-api"
LOST = "no samples after 51 s, so nothing can be said"


def judgement_of(kind: Kind, run_id: str, rows: Sequence[Row]) -> Judgement:
    """The word on the run with these requests."""
    gate = kind == "rollback"
    objectives = _gate(rows) if gate else _certify(kind, rows)
    findings = _findings(kind)
    return Judgement(
        run_id=run_id,
        rules={"decide": 1},
        verdict=worst([item.verdict for item in objectives] + [item.cap for item in findings]),
        sentence=_sentence(kind, objectives),
        objectives=objectives,
        findings=findings,
        correction=Correction(false_fail=0.05, claims=sum(item.claim == "system" for item in objectives)),
        recoveries=() if gate else (_recovery(kind),),
        data_loss=() if gate else (_loss("sjc"), _loss("lax")),
    )


def _sentence(kind: Kind, objectives: Sequence[ObjectiveResult]) -> str:
    missed = [item for item in objectives if item.verdict is Verdict.FAIL]
    if missed:
        worst_of = f"{missed[0].title}: {missed[0].reason}"
        return f"FAIL: {len(missed)} of {len(objectives)} objectives missed; worst: {worst_of}."
    if kind == "inconclusive":
        return "INCONCLUSIVE: Prometheus was lost at 51 s, so 2 of 12 objectives could not be decided."
    return (
        f"PASS: All {len(objectives)} objectives were met, with Weaviate killed once and users served again in 1.4 s."
    )


def _certify(kind: Kind, rows: Sequence[Row]) -> tuple[ObjectiveResult, ...]:
    return (*_steady(kind, rows), *_fault(kind, rows), *_whole_run())


def _steady(kind: Kind, rows: Sequence[Row]) -> tuple[ObjectiveResult, ...]:
    steady = [row for row in rows if at_ns(32) <= row.intended_ns < at_ns(62)]
    return (
        _ratio(steady, _good, 0.99, f"{API}-availability", "Availability of the unified API", "99 % served"),
        _ratio(steady, _within(0.15), 0.95, f"{API}-latency", "Latency of the unified API", "P95 < 150 ms"),
        _ratio(steady, _within(0.3), 0.98, f"{API}-tail", "Tail latency of the unified API", "P98 < 300 ms"),
        _ratio(steady, _right, 0.99, f"{API}-content", "Answers of the unified API", "99 % right"),
        _prometheus(
            kind,
            API,
            "Consensus of the swarm",
            (0.9603, 0.9812, 0.9931),
            "6 of 319 rounds found no majority",
            slo="consensus",
            target=0.95,
            events=319,
            bad=6,
            confidence=0.95,
            effective=160.0,
            correlation_s=0.1,
            window="steady",
            claim="system",
        ),
    )


def _fault(kind: Kind, rows: Sequence[Row]) -> tuple[ObjectiveResult, ...]:
    fault = [row for row in rows if at_ns(64) <= row.intended_ns < at_ns(94)]
    during: dict[str, Any] = {"window": "fault", "experiment": NAME}
    title = "Weaviate dies, users are served meanwhile"
    note = "level 3 counts as served inside this window"
    return (
        _ratio(fault, _good, 0.95, f"{API}-fault", title, "95 % served", notes=(note,), **during),
        _value(
            "weaviate",
            "Weaviate dies, full service is back",
            (29.81, 29.84, 29.87),
            "full service after 29.87 s at most",
            slo="weaviate-rto",
            objective="RTO 5 min",
            target=300.0,
            unit="s",
            source="beacon",
            **during,
        ),
        _prometheus(
            kind,
            "weaviate",
            "Weaviate dies, its alert fires at P1",
            (4.9, 5.4, 5.9),
            "fired 5.9 s after the fault at most",
            slo="weaviate-alert",
            objective="MTTD 5 min",
            target=300.0,
            comparison="<=",
            unit="s",
            events=1,
            **during,
        ),
    )


def _whole_run() -> tuple[ObjectiveResult, ...]:
    return (
        _value(
            API,
            "Cost per call",
            (0.00042, 0.00042, 0.00042),
            "$1.47 for 3490 calls",
            slo="cost",
            target=0.001,
            comparison="<",
            unit="usd",
            events=3490,
            source="prometheus",
        ),
        _value(
            "postgres",
            "Acknowledged memories are kept",
            (0.0, 0.0, 0.0),
            "884 acknowledged, 884 read back in both regions",
            slo="memories",
            objective="not one lost, stale, doubled, resurrected or diverged",
            target=0.0,
            unit="count",
            events=1768,
            source="read-back",
        ),
        _value(
            "platform",
            "Deployment of all services",
            (20.9, 20.9, 20.9),
            "4 phases in 20.9 s",
            slo="deployment",
            target=900.0,
            unit="s",
            source="journal",
        ),
        _value(
            "platform",
            "Services covered by monitoring",
            (1.0, 1.0, 1.0),
            "11 of 11",
            slo="monitoring",
            target=1.0,
            comparison=">=",
            unit="ratio",
            events=11,
            source="journal",
        ),
    )


def _gate(rows: Sequence[Row]) -> tuple[ObjectiveResult, ...]:
    canary = [row for row in rows if row.release == "2.4.1"]
    stable = [row for row in rows if row.release == "2.4.0"]
    seen = "the last response of 2.4.1 was sent 5.1 s after the trigger"
    return (
        _ratio(canary, _good, 0.99, "canary-errors", "Errors of canary 2.4.1", "99 % without error"),
        _ratio(canary, _within(0.2), 0.95, "canary-latency", "Latency of canary 2.4.1", "P95 < 200 ms"),
        _ratio(stable, _good, 0.99, "stable-errors", "Errors of stable 2.4.0", "99 % without error"),
        _value(API, "Rollback seen", (4.9, 5.0, 5.1), seen, slo="rollback", target=30.0, unit="s", source="requests"),
    )


def _good(row: Row) -> bool:
    return row.good


def _right(row: Row) -> bool:
    return row.content != Content.WRONG


def _within(seconds: float) -> Callable[[Row], bool]:
    return lambda row: row.good and row.latency_s < seconds


def _ratio(
    rows: Sequence[Row], good: Callable[[Row], bool], target: float, slo: str, title: str, objective: str, **more: Any
) -> ObjectiveResult:
    total, bad = len(rows), sum(not good(row) for row in rows)
    measured, interval = 1 - bad / total, _wilson(total - bad, total)
    system = more.get("window", "steady") == "steady"
    low, high = (interval.low or 0.0, interval.high or 1.0) if system else (measured, measured)
    values: dict[str, Any] = {
        "slo": slo,
        "service": API,
        "title": title,
        "objective": objective,
        "window": "steady",
        "source": "requests",
        "target": target,
        "confidence": 0.95,
        "claim": "system" if system else "run",
        "observed": Interval(low=measured, high=measured),
        "measured": measured,
        "interval": interval,
        "events": total,
        "bad": bad,
        "verdict": Verdict.PASS if low >= target else Verdict.FAIL if high < target else Verdict.INCONCLUSIVE,
        "reason": f"{bad} of {total} requests were bad; {math.floor(total * (1 - target) + 1e-9)} are allowed",
    }
    return ObjectiveResult(**(values | more))


def _value(service: str, title: str, seen: tuple[float, float, float], reason: str, **more: Any) -> ObjectiveResult:
    low, measured, high = seen
    values: dict[str, Any] = {
        "window": "run",
        "comparison": "<=",
        "events": 1,
        "verdict": Verdict.PASS,
        "measured": measured,
        "interval": Interval(low=low, high=high),
        "observed": Interval(low=low, high=high),
    }
    return ObjectiveResult(service=service, title=title, reason=reason, **(values | more))


def _prometheus(
    kind: Kind, service: str, title: str, seen: tuple[float, float, float], reason: str, **more: Any
) -> ObjectiveResult:
    """A result that rests on Prometheus, which the inconclusive run has lost."""
    found = _value(service, title, seen, reason, source="prometheus", **({"comparison": ">="} | more))
    if kind != "inconclusive":
        return found
    nothing = {"measured": None, "interval": Interval(), "observed": Interval(), "events": 0, "bad": 0}
    return found.model_copy(update={**nothing, "verdict": Verdict.INCONCLUSIVE, "reason": LOST})


def _findings(kind: Kind) -> tuple[Finding, ...]:
    quiet = Finding(name="stand-ins", cap=Verdict.PASS, reason="2 parts of the platform were stand-ins, as declared")
    if kind != "inconclusive":
        return (quiet,)
    reason = "the process ended by signal 9 at 50.6 s, and nobody asked for it"
    detail = ("no samples in [51 s, 117 s]", "2 objectives rest on it")
    return (Finding(name="prometheus lost", cap=Verdict.INCONCLUSIVE, reason=reason, detail=detail), quiet)


def _recovery(kind: Kind) -> Recovery:
    return Recovery(
        experiment=EXPERIMENT,
        fault=NAME,
        landed_ns=Interval(low=at_ns(LANDED_S - 0.02), high=at_ns(LANDED_S)),
        first_failure_s=Interval(low=0.0, high=0.03),
        detected_s=None if kind == "inconclusive" else Interval(low=4.9, high=5.9),
        served_s=Interval(low=1.34, high=1.38),
        full_service_s=Interval(low=29.81, high=29.87),
        recovered=True,
        visible=True,
        probes=2880,
        lost_probes=0,
        reason="stayed good for the 2 s that are required",
        phases=() if kind == "inconclusive" else _phases(),
    )


def _phases() -> tuple[Phase, ...]:
    """As `harness.judge.phases.chain` gives them: the breaker tells before the alert, nothing fails over."""

    def phase(name: PhaseName, at: tuple[float, float], took: tuple[float, float], told_by: str = "users") -> Phase:
        span = Interval(low=at[0], high=at[1])
        return Phase(name=name, at=span, until=span, took=Interval(low=took[0], high=took[1]), told_by=told_by)

    return (
        phase("first-failure", (0.0, 0.03), (0.0, 0.03)),
        phase("detected", (0.4, 0.9), (0.37, 0.9), "breaker of unified-api"),
        Phase(name="failed-over", reason="whoever answered before the fault answered on; nothing took over"),
        Phase(name="ready", reason="no reaction is declared for it"),
        phase("served", (1.34, 1.38), (0.44, 0.98)),
        phase("full-service", (29.81, 29.87), (28.43, 28.53)),
    )


def _loss(region: str) -> DataLoss:
    counts = {"acknowledged": 884, "present": 870, "deleted": 14, "lost": 0, "stale": 0, "duplicated": 0, "diverged": 0}
    return DataLoss(after="end", region=region, indeterminate=2, **counts)


def _wilson(good: int, total: int) -> Interval:
    """Wilson's score interval at 95 %."""
    z = 1.959964
    share = good / total
    middle = (share + z * z / (2 * total)) / (1 + z * z / total)
    half = z * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total)) / (1 + z * z / total)
    return Interval(low=max(0.0, middle - half), high=min(1.0, middle + half))
