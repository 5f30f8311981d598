"""A run as it could have been: seeded evidence and the judgement on it, for the tests of the reports and their goldens.

Ninety seconds of load at 40 arrivals per second; in the `PASS`, `FAIL` and `INCONCLUSIVE` runs Weaviate is killed 35 s
after the load began and the platform answers at level 3 for about 30 s. The `rollback` run is a gate that takes a bad
release off. Only `random.Random` is drawn from, whose stream does not change between Python versions.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from harness.model import events as e
from harness.model.evidence import Evidence, MetricAnswer
from harness.model.judgement import (
    DataLoss,
    Finding,
    Interval,
    Judgement,
    ObjectiveResult,
    Recovery,
    Verdict,
    WindowKind,
    worst,
)
from harness.model.records import GENERATOR_COLUMNS, REQUEST_COLUMNS, Content, Outcome
from harness.model.scenario import (
    Constant,
    ExperimentRef,
    Load,
    Rollout,
    RolloutStep,
    ScenarioSpec,
    TargetRef,
)

if TYPE_CHECKING:
    import pyarrow as pa

Kind = Literal["pass", "fail", "inconclusive", "rollback"]
KINDS: tuple[Kind, ...] = ("pass", "fail", "inconclusive", "rollback")

SECOND = 1_000_000_000
OPENED_MONO_NS = 5_000 * SECOND
OPENED_WALL_NS = 1_795_183_380 * SECOND
LOAD_FROM_S, LOAD_S, RATE = 27.0, 90.0, 40.0
WARM_UP_S, LANDED_S, SERVED_S, FULL_S = 5.0, 62.05, 63.41, 91.9
EXPERIMENT = "kill-weaviate#1"


def sample(kind: Kind = "pass", *, seed: int = 7) -> tuple[Evidence, Judgement]:
    """Evidence and judgement of one run of that kind; the same for the same seed."""
    rows = _requests(kind, random.Random(seed))
    evidence = Evidence(
        run_id=f"20261120-140300-{kind}",
        scenario=_scenario(kind),
        events=_events(kind, seed, rows),
        requests=_table(REQUEST_COLUMNS, [row.__dict__ for row in rows]),
        beacon=None if kind == "rollback" else _table(REQUEST_COLUMNS, [row.__dict__ for row in _beacon()]),
        generator=_table(GENERATOR_COLUMNS, _generator()),
        ledger=None,
        readback=None,
        samples=None,
        primaries=None,
        metrics=_metrics(kind),
        problems=("Prometheus answered nothing after 51 s: connection refused",) if kind == "inconclusive" else (),
    )
    return evidence, _judgement(kind, evidence.run_id, rows)


@dataclass(frozen=True)
class _Row:
    arrival: int
    journey: str
    intended_ns: int
    started_ns: int
    finished_ns: int
    outcome: int
    status: int
    content: int
    level: int
    release: str
    region: str
    instance: str

    @property
    def good(self) -> bool:
        return self.outcome == Outcome.ANSWERED and self.status < 400 and self.content != Content.WRONG

    @property
    def latency_s(self) -> float:
        return (self.finished_ns - self.intended_ns) / SECOND


def _at(seconds: float) -> int:
    return OPENED_MONO_NS + round(seconds * SECOND)


def _requests(kind: Kind, draw: random.Random) -> list[_Row]:
    return [_request(kind, index, LOAD_FROM_S + index / RATE, draw) for index in range(int(LOAD_S * RATE))]


def _request(kind: Kind, index: int, at: float, draw: random.Random) -> _Row:
    journey = ("chat", "search", "memory-write", "memory-read")[index % 4]
    broken = kind != "rollback" and LANDED_S <= at < SERVED_S
    degraded = kind != "rollback" and SERVED_S <= at < FULL_S
    canary = kind == "rollback" and draw.random() < _share(at)
    latency = {"chat": 0.062, "search": 0.024, "memory-write": 0.031, "memory-read": 0.018}[journey]
    latency *= math.exp(draw.gauss(0.0, 0.28)) * (0.7 if degraded else 1.0) * (2.9 if kind == "fail" else 1.0)
    outcome, status, content = Outcome.ANSWERED, 200, Content.RIGHT
    if broken and draw.random() < 0.8:
        latency, outcome, status, content = (
            (5.0, Outcome.TIMEOUT, 0, Content.UNCHECKED)
            if draw.random() < 0.2
            else (0.004 + draw.random() / 100, Outcome.ANSWERED, 503, Content.UNCHECKED)
        )
    elif draw.random() < 0.0015:
        latency, status, content = 0.012, 502, Content.UNCHECKED
    elif canary and draw.random() < 0.09:
        latency, status, content = 0.012, 500, Content.UNCHECKED
    started = at + 0.0001 + draw.random() / 5000
    return _Row(
        arrival=index,
        journey=journey,
        intended_ns=_at(at),
        started_ns=_at(started),
        finished_ns=_at(at + latency),
        outcome=outcome,
        status=status,
        content=content,
        level=(3 if degraded else 1) if outcome == Outcome.ANSWERED and status == 200 else 0,
        release="2.4.1" if canary else "2.4.0",
        region="sjc",
        instance=f"unified-api-sjc-{index % 2}",
    )


def _share(at: float) -> float:
    return 0.0 if at < 45 or at >= 88.2 else 0.1 if at < 75 else 0.5


def _beacon() -> list[_Row]:
    probes = []
    for index in range(int(LOAD_S / 0.02)):
        at = LOAD_FROM_S + index * 0.02
        lost = LANDED_S + 0.02 <= at < SERVED_S
        probes.append(
            _Row(
                arrival=index,
                journey="beacon",
                intended_ns=_at(at),
                started_ns=_at(at),
                finished_ns=_at(at + 0.003),
                outcome=Outcome.ANSWERED,
                status=503 if lost else 200,
                content=Content.UNCHECKED if lost else Content.RIGHT,
                level=0 if lost else 3 if SERVED_S <= at < FULL_S else 1,
                release="2.4.0",
                region="sjc",
                instance="",
            )
        )
    return probes


def _generator() -> list[dict[str, Any]]:
    return [
        {
            "at_ns": _at(LOAD_FROM_S + second),
            "scheduled": int(second * RATE),
            "recorded": int(second * RATE) - 1,
            "late_p99_ms": 0.21 + (second % 7) / 50,
            "cpu": 0.11 + (second % 5) / 100,
            "run_delay_ms": 1.5,
            "in_flight": 2,
        }
        for second in range(1, int(LOAD_S) + 1)
    ]


def _table(columns: dict[str, str], rows: Sequence[dict[str, Any]]) -> pa.Table:
    import pyarrow as pa

    types = {"string": pa.dictionary(pa.int32(), pa.string())}
    return pa.table(
        {
            name: pa.array([row[name] for row in rows]).cast(types.get(kind) or pa.type_for_alias(kind))
            for name, kind in columns.items()
        }
    )


def _scenario(kind: Kind) -> ScenarioSpec:
    gate = kind == "rollback"
    return ScenarioSpec(
        target=TargetRef(platform="deploy/platform.yaml", release="2.4.0"),
        seed=7,
        load=Load(
            locustfile="loadtests/journeys.py",
            arrivals=Constant(kind="constant", rate=RATE),
            mix={"chat": 1, "search": 1, "memory-write": 1, "memory-read": 1},
        ),
        steady=30.0,
        experiments=() if gate else (ExperimentRef(file="experiments/kill-weaviate.yaml"),),
        rollout=Rollout(
            service="unified-api",
            baseline="2.4.0",
            canary="2.4.1",
            steps=(
                RolloutStep(share=0.1, bake=30.0),
                RolloutStep(share=0.5, bake=30.0),
                RolloutStep(share=1.0, bake=10.0),
            ),
        )
        if gate
        else None,
        slos=("slos",),
    )


def _events(kind: Kind, seed: int, rows: Sequence[_Row]) -> tuple[e.AnyEvent, ...]:
    timed = [
        *_opening(kind, seed),
        *_deployment(),
        *(_gate(rows) if kind == "rollback" else _chaos(kind)),
        *_closing(kind),
    ]
    return tuple(
        event.model_copy(update={"mono_ns": _at(at), "wall_ns": OPENED_WALL_NS + round(at * SECOND), "pid": 4711})
        for at, event in sorted(timed, key=lambda pair: pair[0])
    )


Timed = tuple[float, e.AnyEvent]


def _opening(kind: Kind, seed: int) -> list[Timed]:
    gate = kind == "rollback"
    scenario = "canary-local" if gate else "certify"
    argv = ("harness", "gate", "scenarios/canary-local.yaml") if gate else ("harness", "certify", "--profile", "quick")
    return [
        (
            0.0,
            e.RunOpened(
                run_id=f"20261120-140300-{kind}",
                scenario=scenario,
                profile="" if gate else "quick",
                user="rosa.release",
                host="build-7",
                version="0.1.0",
                commit="4f1c2d9e7ab0318c5d6e",
                seed=seed,
                python="3.11.7",
                machine="x86_64, 2 cores, 24 GiB",
                argv=argv,
                release="2.4.0",
            ),
        ),
        (0.01, e.Digest(name="deploy/platform.yaml", sha256="9b74c9897bac770ffc029102a200c5de" * 2)),
        (0.02, e.Digest(name="slos/unified-api.yaml", sha256="3c59dc048e8850243be8079a5c74d079" * 2)),
        (0.03, e.Digest(name="weaviate", sha256="b6d767d2f8ed5d21a44b0e5886680cb9" * 2, version="1.35.2")),
        (
            0.04,
            e.StandIn(
                service="gpu-worker", text="no GPU on this machine: the device is a file, its work done by the CPU"
            ),
        ),
        (0.05, e.StandIn(service="llm-gateway", text="two seeded providers answer instead of a paid one")),
        (0.06, e.Stage(name="deploy", title="Deploying the platform")),
        (0.07, e.ClockRead(clock="prometheus", offset_ns=210_000, error_ns=400_000)),
    ]


def _deployment() -> list[Timed]:
    return [
        (6.2, e.GateChecked(phase="foundation", gate="weaviate ready", ok=True, attempts=9, seconds=2.1, evidence="HTTP 200")),
        (6.4, e.GateChecked(phase="foundation", gate="RQ compression active", ok=True, attempts=1, seconds=0.1, evidence="75 % memory saved")),
        (6.5, e.PhaseDeployed(phase="foundation", strategy="blue-green", seconds=6.1, services=("weaviate", "postgres", "redis"))),
        (13.0, e.GateChecked(phase="processing", gate="vector round trip", ok=True, attempts=2, seconds=0.6)),
        (13.1, e.PhaseDeployed(phase="processing", strategy="blue-green", seconds=6.4, services=("mcp-server", "vector-store"))),
        (17.5, e.GateChecked(phase="orchestration", gate="unified-api healthy", ok=True, attempts=5, seconds=1.3)),
        (17.6, e.PhaseDeployed(phase="orchestration", strategy="canary", seconds=4.4, services=("unified-api", "edge"))),
        (21.0, e.PhaseDeployed(phase="interface", strategy="rolling", seconds=3.3, services=("agno-bridge", "agent-ui"))),
        (21.1, e.Deployed(release="2.4.0", seconds=20.9, instances=19, endpoints={"edge": "http://127.0.0.1:8088"})),
        (22.0, e.CheckDone(name="health endpoints answer 200", passed=19, of=19)),
        (22.4, e.CheckDone(name="logs show success and no failure pattern", passed=19, of=19)),
        (22.6, e.CheckDone(name="services covered by monitoring", passed=11, of=11)),
        (26.0, e.ChildStarted(name="locust", child_pid=4802, started_at=26.0)),
        (26.5, e.ScheduleFixed(origin_ns=_at(LOAD_FROM_S), seed=7, duration_s=LOAD_S, arrivals={"kind": "constant", "rate": RATE}, expected=int(LOAD_S * RATE))),
        (27.0, e.Stage(name="warm-up", title="Warm-up, not judged")),
        (32.0, e.Stage(name="steady", title="Steady state")),
    ]  # fmt: skip


def _window(
    kind: Literal["warm-up", "steady", "fault", "quiet"], start: float, end: float, experiment: str = ""
) -> Timed:
    return end, e.Window(kind=kind, experiment=experiment, start_ns=_at(start), end_ns=_at(end))


def _chaos(kind: Kind) -> list[Timed]:
    wall = OPENED_WALL_NS
    problem: list[Timed] = (
        [
            (50.6, e.ChildEnded(name="prometheus", child_pid=4790, code=-9, expected=False)),
            (51.0, e.Problem(where="prometheus", text="no answer: connection refused")),
        ]
        if kind == "inconclusive"
        else [
            (88.0, e.AlertSeen(name="WeaviateDown", severity="P1", labels={"service": "weaviate"}, active_wall_ns=wall + 64 * SECOND, firing_wall_ns=wall + 67 * SECOND))
        ]
    )  # fmt: skip
    return [
        _window("warm-up", LOAD_FROM_S, LOAD_FROM_S + WARM_UP_S),
        _window("steady", LOAD_FROM_S + WARM_UP_S, 62.0),
        (61.9, e.Stage(name="fault", title="Kill Weaviate")),
        (62.0, e.FaultIntended(experiment=EXPERIMENT, fault="kill-weaviate", kind="kill", selection=("weaviate-sjc-0",), token="undo-1")),
        (62.04, e.FaultInjected(experiment=EXPERIMENT, fault="kill-weaviate", from_ns=_at(62.02), to_ns=_at(62.04))),
        (LANDED_S, e.FaultLanded(experiment=EXPERIMENT, fault="kill-weaviate", landed=True, observer="process table", detail="pid 4731 is gone, ended by signal 9")),
        (92.6, e.FaultGone(experiment=EXPERIMENT, fault="kill-weaviate", gone=True, observer="readiness probe", by="the platform's restart", detail="weaviate-sjc-0 is ready, objects as before")),
        (93.4, e.ExperimentEnded(experiment=EXPERIMENT, title="Weaviate dies", status="completed", deviated=False, mistakes=())),
        _window("fault", 62.02, 94.0, EXPERIMENT),
        _window("quiet", 94.0, LOAD_FROM_S + LOAD_S),
        (94.0, e.Stage(name="quiet", title="All healed: steady again")),
        *problem,
    ]  # fmt: skip


def _gate(rows: Sequence[_Row]) -> list[Timed]:
    def seen(low: float, high: float, share: float) -> e.ShareSeen:
        inside = [row for row in rows if _at(low) <= row.intended_ns < _at(high)]
        canary = sum(row.release == "2.4.1" for row in inside)
        found = canary / len(inside)
        return e.ShareSeen(share=found, canary=canary, total=len(inside), ok=abs(found - share) <= 0.08)

    return [
        _window("warm-up", LOAD_FROM_S, LOAD_FROM_S + WARM_UP_S),
        _window("steady", LOAD_FROM_S + WARM_UP_S, LOAD_FROM_S + LOAD_S),
        (45.0, e.ShareSet(share=0.1, actuator="haproxy")),
        (48.0, seen(45, 48, 0.1)),
        (
            75.0,
            e.Decided(
                step=0, decision="ADVANCE", reason="error rate 0.9 %, below 1 % as far as 118 canary requests tell"
            ),
        ),
        (75.0, e.ShareSet(share=0.5, actuator="haproxy")),
        (78.0, seen(75, 78, 0.5)),
        (86.0, e.Decided(step=1, decision="ROLLBACK", reason="error rate of 2.4.1 is 9 %, above 5 %")),
        (86.1, e.ShareSet(share=0.0, actuator="haproxy")),
        (91.0, seen(89, 91, 0.0)),
        (91.1, e.RolledBack(seconds=5.1, seen=True)),
    ]


def _closing(kind: Kind) -> list[Timed]:
    end = LOAD_FROM_S + LOAD_S
    return [
        (end + 0.5, e.ChildEnded(name="locust", child_pid=4802, code=0, expected=True)),
        (end + 1.0, e.Stage(name="read-back", title="Reading back every acknowledged memory")),
        (end + 2.0, e.Stage(name="collect", title="Collecting the evidence")),
        (end + 4.0, e.Stage(name="down", title="Taking the platform down")),
        (end + 5.0, e.RunClosed(reason="all stages done", clean=True)),
    ]


def _metrics(kind: Kind) -> tuple[MetricAnswer, ...]:
    if kind == "inconclusive":
        return (MetricAnswer("consensus_total", 0, 0, error="connection refused"),)
    return (
        MetricAnswer("consensus_total", 4, 480),
        MetricAnswer("http_request_duration_seconds_bucket", 36, 4320, warnings=("3 scrapes were 0.4 s late",)),
    )


def _wilson(good: int, total: int) -> Interval:
    """Wilson's score interval at 95 %."""
    if not total:
        return Interval(low=0.0, high=1.0)
    z = 1.959964
    share = good / total
    middle = (share + z * z / (2 * total)) / (1 + z * z / total)
    half = z * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total)) / (1 + z * z / total)
    return Interval(low=max(0.0, middle - half), high=min(1.0, middle + half))


def _ratio(
    rows: Sequence[_Row], good: Callable[[_Row], bool], *, target: float, title: str, slo: str, window: WindowKind = "steady",
    experiment: str = "", service: str = "unified-api", notes: tuple[str, ...] = (),
) -> ObjectiveResult:  # fmt: skip
    total, bad = len(rows), sum(not good(row) for row in rows)
    measured = 1 - bad / total
    verdict = Verdict.PASS if measured >= target else Verdict.FAIL
    return ObjectiveResult(
        slo=slo, service=service, title=title, window=window, experiment=experiment, source="requests", target=target,
        confidence=0.95, measured=measured, interval=_wilson(total - bad, total), events=total, bad=bad, verdict=verdict, notes=notes,
        reason=f"{bad} of {total} requests were bad; {math.floor(total * (1 - target) + 1e-9)} are allowed",
    )  # fmt: skip


def _judgement(kind: Kind, run_id: str, rows: Sequence[_Row]) -> Judgement:
    objectives = _gate_objectives(rows) if kind == "rollback" else _certify_objectives(kind, rows)
    findings = _findings(kind)
    gate = kind == "rollback"
    return Judgement(
        run_id=run_id,
        rules="1",
        verdict=worst([item.verdict for item in objectives] + [item.cap for item in findings]),
        sentence={
            "pass": "All 12 objectives were met, with Weaviate killed once and users served again within 1.4 s.",
            "fail": f"The unified API is too slow: {100 * (objectives[1].measured or 0):.1f} % of requests were under 150 ms; 95 % must be.",
            "inconclusive": "Prometheus was lost at 51 s, so 3 objectives could not be judged; the other 9 were met.",
            "rollback": "Release 2.4.1 failed 1 request in 12 and was taken off again, seen within 5.1 s.",
        }[kind],
        objectives=objectives,
        findings=findings,
        recoveries=()
        if gate
        else (
            Recovery(
                experiment=EXPERIMENT,
                fault="kill-weaviate",
                landed_ns=Interval(low=_at(62.03), high=_at(LANDED_S)),
                first_failure_s=Interval(low=0.0, high=0.03),
                detected_s=None if kind == "inconclusive" else Interval(low=4.9, high=5.9),
                served_s=Interval(low=1.34, high=1.38),
                full_service_s=Interval(low=29.81, high=29.87),
                recovered=True,
                visible=True,
                probes=1600,
                lost_probes=67,
                reason="sustained for 2 s",
            ),
        ),
        data_loss=()
        if gate
        else tuple(
            DataLoss(after="end", region=region, acknowledged=884, present=884, lost=0, stale=0, duplicated=0, diverged=0, indeterminate=2)
            for region in ("sjc", "lax")
        ),
    )  # fmt: skip


def _findings(kind: Kind) -> tuple[Finding, ...]:
    quiet = Finding(name="stand-ins", cap=Verdict.PASS, reason="2 parts of the platform were stand-ins, as declared")
    if kind == "inconclusive":
        lost = Finding(
            name="prometheus lost",
            cap=Verdict.INCONCLUSIVE,
            reason="the process ended by signal 9 at 50.6 s and nobody asked for it",
            detail=("no samples in [51 s, 117 s]", "3 objectives rest on it"),
        )
        return (lost, quiet)
    return (quiet,)


def _certify_objectives(kind: Kind, rows: Sequence[_Row]) -> tuple[ObjectiveResult, ...]:
    steady = [row for row in rows if _at(32) <= row.intended_ns < _at(62)]
    during = [row for row in rows if _at(64) <= row.intended_ns < _at(94)]
    lost = kind == "inconclusive"

    def scalar(**fields: Any) -> ObjectiveResult:
        return ObjectiveResult(**{"source": "beacon", "window": "run", **fields})

    def prometheus(**fields: Any) -> ObjectiveResult:
        unknown = {"measured": None, "interval": Interval(), "events": 0, "bad": 0, "verdict": Verdict.INCONCLUSIVE}
        unknown["reason"] = "no samples after 51 s, so nothing can be said"
        return scalar(**{**fields, "source": "prometheus", **(unknown if lost else {})})

    return (
        _ratio(steady, lambda row: row.good, target=0.99, title="Availability", slo="unified-api-availability"),
        _ratio(steady, lambda row: row.good and row.latency_s < 0.15, target=0.95, title="P95 latency below 150 ms", slo="unified-api-latency"),
        _ratio(steady, lambda row: row.good and row.latency_s < 0.3, target=0.98, title="P99 latency below 300 ms", slo="unified-api-latency-p99"),
        _ratio(steady, lambda row: row.content != Content.WRONG, target=0.99, title="Right content", slo="unified-api-content"),
        _ratio(during, lambda row: row.good, target=0.95, title="Served while Weaviate is away", slo="unified-api-fault", window="fault", experiment=EXPERIMENT,
               notes=("level 3 counts as served inside this window",)),
        prometheus(slo="consensus-success", service="unified-api", title="Consensus success", window="steady", target=0.95, measured=0.9812,
                   interval=Interval(low=0.9603, high=0.9931), events=319, bad=6, confidence=0.95, verdict=Verdict.PASS, reason="6 of 319 rounds found no majority"),
        prometheus(slo="cost", service="unified-api", title="Cost per call", window="run", comparison="<", unit="usd", target=0.001, measured=0.00042,
                   interval=Interval(low=0.00042, high=0.00042), events=3490, verdict=Verdict.PASS, reason="$1.47 for 3490 calls"),
        scalar(slo="weaviate-rto", service="weaviate", title="Recovery time (RTO)", window="fault", experiment=EXPERIMENT, comparison="<=", unit="s", target=300.0,
               measured=29.87, interval=Interval(low=29.81, high=29.87), events=1600, bad=67, verdict=Verdict.PASS, reason="full service after 29.9 s at the latest"),
        scalar(slo="weaviate-mttd", service="weaviate", title="Alert WeaviateDown at P1", window="fault", experiment=EXPERIMENT, comparison="<=", unit="s", target=300.0,
               source="alerts", measured=None if lost else 5.9, interval=Interval() if lost else Interval(low=4.9, high=5.9), events=0 if lost else 1,
               verdict=Verdict.PASS, reason="fired 5.9 s after the fault at the latest") if not lost else
        prometheus(slo="weaviate-mttd", service="weaviate", title="Alert WeaviateDown at P1", window="fault", experiment=EXPERIMENT, comparison="<=", unit="s", target=300.0),
        scalar(slo="memory-durability", service="postgres", title="Acknowledged memories lost", window="run", comparison="<=", unit="count", target=0.0, measured=0.0,
               interval=Interval(low=0.0, high=0.0), events=1768, source="read-back", verdict=Verdict.PASS, reason="884 acknowledged, 884 read back in both regions"),
        scalar(slo="deployment-time", service="platform", title="Deployment of all services", comparison="<=", unit="s", target=900.0, measured=20.9,
               interval=Interval(low=20.9, high=20.9), events=1, source="journal", verdict=Verdict.PASS, reason="4 phases in 20.9 s"),
        scalar(slo="monitoring", service="platform", title="Services covered by monitoring", comparison=">=", unit="ratio", target=1.0, measured=1.0,
               interval=Interval(low=1.0, high=1.0), events=11, source="journal", verdict=Verdict.PASS, reason="11 of 11"),
    )  # fmt: skip


def _gate_objectives(rows: Sequence[_Row]) -> tuple[ObjectiveResult, ...]:
    canary = [row for row in rows if row.release == "2.4.1"]
    stable = [row for row in rows if row.release == "2.4.0"]
    return (
        _ratio(canary, lambda row: row.good, target=0.99, title="Requests without error, canary 2.4.1", slo="canary-errors"),
        _ratio(canary, lambda row: row.latency_s < 0.2, target=0.95, title="P95 latency below 200 ms, canary 2.4.1", slo="canary-latency"),
        _ratio(stable, lambda row: row.good, target=0.99, title="Requests without error, stable 2.4.0", slo="stable-errors"),
        ObjectiveResult(slo="rollback", service="unified-api", title="Rollback seen within 30 s", window="run", source="requests", comparison="<=", unit="s",
                        target=30.0, measured=5.1, interval=Interval(low=4.9, high=5.1), events=80, verdict=Verdict.PASS,
                        reason="the last response of 2.4.1 was sent 5.1 s after the trigger"),
    )  # fmt: skip
