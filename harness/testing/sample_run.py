"""A run as it could have been: seeded evidence and the judgement on it, for the tests of the reports and their goldens.

Ninety seconds of load at 40 arrivals per second; in the `PASS`, `FAIL` and `INCONCLUSIVE` runs Weaviate is killed 35 s
after the load began and the platform answers at level 3 for about 30 s. The `rollback` run is a gate that takes a bad
release off. Only `random.Random` is drawn from, whose stream does not change between Python versions.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from harness.judge.attribution import attribute
from harness.judge.facts import Facts
from harness.model import events as e
from harness.model.annotations import Annotations
from harness.model.evidence import Evidence, MetricAnswer
from harness.model.judgement import Judgement
from harness.model.load import Constant, Load
from harness.model.records import GENERATOR_COLUMNS, REQUEST_COLUMNS, Content, Outcome
from harness.model.rollout import Comparison, ErrorCriterion, Rollout, RolloutStep, SlowCriterion
from harness.model.scenario import ExperimentRef, ScenarioSpec, TargetRef
from harness.model.slo import Objective, RequestFilter, RequestRatio, Slo
from harness.testing.sample_judgement import judgement_of
from harness.testing.sample_row import (
    EXPERIMENT,
    FULL_S,
    KINDS,
    LANDED_S,
    LOAD_FROM_S,
    LOAD_S,
    NAME,
    OPENED_WALL_NS,
    RATE,
    SECOND,
    SERVED_S,
    WARM_UP_S,
    Kind,
    Row,
    at_ns,
)

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["KINDS", "Kind", "sample"]


def sample(kind: Kind = "pass", *, seed: int = 7) -> tuple[Evidence, Judgement]:
    """Evidence and judgement of one run of that kind; the same for the same seed."""
    rows = _requests(kind, random.Random(seed))
    evidence = _evidence(kind, seed, rows)
    judgement = judgement_of(kind, evidence.run_id, rows)
    if kind in ("pass", "fail"):
        promised = [it for it in judgement.objectives if it.slo == _served().name]
        judgement = judgement.model_copy(update={"attribution": attribute(Facts(evidence, (_served(),)), promised)})
    return evidence, judgement


def _served() -> Slo:
    """The promise that the fault's failures are held against."""
    return Slo(
        name="unified-api-fault",
        title="Weaviate dies, users are served meanwhile",
        service="unified-api",
        source="RequestRecord",
        annotations=Annotations.model_validate(
            {"harness/window": "fault", "harness/experiment": NAME, "harness/levels": "2,3"}
        ),
        indicator=RequestRatio(table="requests", total=RequestFilter(), good=RequestFilter(outcome="served")),
        objectives=(Objective(title="95 % served", target=0.95),),
    )


def _evidence(kind: Kind, seed: int, rows: list[Row]) -> Evidence:
    requests = _table(REQUEST_COLUMNS, [row.__dict__ for row in rows])
    lost = ("Prometheus answered nothing after 51 s: connection refused",)
    return Evidence(
        run_id=f"20261120-140300-{kind}",
        scenario=_scenario(kind),
        events=_events(kind, seed, rows, requests),
        requests=requests,
        beacon=None if kind == "rollback" else _table(REQUEST_COLUMNS, [row.__dict__ for row in _beacon()]),
        generator=_table(GENERATOR_COLUMNS, _generator()),
        ledger=None,
        readback=None,
        samples=None,
        primaries=None,
        metrics=_metrics(kind),
        problems=lost if kind == "inconclusive" else (),
    )


def _requests(kind: Kind, draw: random.Random) -> list[Row]:
    return [_request(kind, index, LOAD_FROM_S + index / RATE, draw) for index in range(int(LOAD_S * RATE))]


def _request(kind: Kind, index: int, at: float, draw: random.Random) -> Row:
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
    elif canary and draw.random() < (0.005 if at < 75 else 0.2):
        latency, status, content = 0.012, 500, Content.UNCHECKED
    started = at + 0.0001 + draw.random() / 5000
    return Row(
        arrival=index,
        journey=journey,
        intended_ns=at_ns(at),
        started_ns=at_ns(started),
        finished_ns=at_ns(at + latency),
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


def _beacon() -> list[Row]:
    probes = []
    for index in range(int(LOAD_S / 0.02)):
        at = LOAD_FROM_S + index * 0.02
        lost = LANDED_S + 0.02 <= at < SERVED_S
        probes.append(
            Row(
                arrival=index,
                journey="beacon",
                intended_ns=at_ns(at),
                started_ns=at_ns(at),
                finished_ns=at_ns(at + 0.003),
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
            "at_ns": at_ns(LOAD_FROM_S + second),
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
            compare=Comparison(
                criteria=(
                    ErrorCriterion(kind="errors", ratio=1.0, plus=0.01),
                    SlowCriterion(kind="slow", above=0.2, plus=0.02),
                )
            ),
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


def _events(kind: Kind, seed: int, rows: Sequence[Row], requests: pa.Table) -> tuple[e.AnyEvent, ...]:
    timed = [
        *_opening(kind, seed),
        *_deployment(),
        *(_gate(rows, requests) if kind == "rollback" else _chaos(kind)),
        *_closing(kind),
    ]
    return tuple(
        event.model_copy(update={"mono_ns": at_ns(at), "wall_ns": OPENED_WALL_NS + round(at * SECOND), "pid": 4711})
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
        (
            6.2,
            e.GateChecked(
                phase="foundation", gate="weaviate ready", ok=True, attempts=9, seconds=2.1, evidence="HTTP 200"
            ),
        ),
        (
            6.4,
            e.GateChecked(
                phase="foundation",
                gate="RQ compression active",
                ok=True,
                attempts=1,
                seconds=0.1,
                evidence="75 % memory saved",
            ),
        ),
        (
            6.5,
            e.PhaseDeployed(
                phase="foundation", strategy="blue-green", seconds=6.1, services=("weaviate", "postgres", "redis")
            ),
        ),
        (13.0, e.GateChecked(phase="processing", gate="vector round trip", ok=True, attempts=2, seconds=0.6)),
        (
            13.1,
            e.PhaseDeployed(
                phase="processing", strategy="blue-green", seconds=6.4, services=("mcp-server", "vector-store")
            ),
        ),
        (17.5, e.GateChecked(phase="orchestration", gate="unified-api healthy", ok=True, attempts=5, seconds=1.3)),
        (
            17.6,
            e.PhaseDeployed(phase="orchestration", strategy="canary", seconds=4.4, services=("unified-api", "edge")),
        ),
        (
            21.0,
            e.PhaseDeployed(phase="interface", strategy="rolling", seconds=3.3, services=("agno-bridge", "agent-ui")),
        ),
        (21.1, e.Deployed(release="2.4.0", seconds=20.9, instances=19, endpoints={"edge": "http://127.0.0.1:8088"})),
        (22.0, e.CheckDone(name="health endpoints answer 200", passed=19, of=19)),
        (22.4, e.CheckDone(name="logs show success and no failure pattern", passed=19, of=19)),
        (22.6, e.CheckDone(name="services covered by monitoring", passed=11, of=11)),
        (26.0, e.ChildStarted(name="locust", child_pid=4802, started_at=26.0)),
        (
            26.5,
            e.ScheduleFixed(
                origin_ns=at_ns(LOAD_FROM_S),
                seed=7,
                duration_s=LOAD_S,
                arrivals={"kind": "constant", "rate": RATE},
                expected=int(LOAD_S * RATE),
            ),
        ),
        (27.0, e.Stage(name="warm-up", title="Warm-up, not judged")),
        (32.0, e.Stage(name="steady", title="Steady state")),
    ]


def _window(
    kind: Literal["warm-up", "steady", "fault", "quiet"], start: float, end: float, experiment: str = ""
) -> Timed:
    return end, e.Window(kind=kind, experiment=experiment, start_ns=at_ns(start), end_ns=at_ns(end))


def _chaos(kind: Kind) -> list[Timed]:
    wall = OPENED_WALL_NS
    problem: list[Timed] = (
        [
            (50.6, e.ChildEnded(name="prometheus", child_pid=4790, code=-9, expected=False)),
            (51.0, e.Problem(where="prometheus", text="no answer: connection refused")),
        ]
        if kind == "inconclusive"
        else [
            (
                88.0,
                e.AlertSeen(
                    name="WeaviateDown",
                    severity="P1",
                    labels={"service": "weaviate"},
                    active_wall_ns=wall + 64 * SECOND,
                    firing_wall_ns=wall + 67 * SECOND,
                ),
            )
        ]
    )
    return [
        _window("warm-up", LOAD_FROM_S, LOAD_FROM_S + WARM_UP_S),
        _window("steady", LOAD_FROM_S + WARM_UP_S, 62.0),
        (61.9, e.Stage(name="fault", title="Kill Weaviate")),
        (
            62.0,
            e.FaultIntended(
                experiment=EXPERIMENT,
                fault=NAME,
                kind="kill",
                selection=("weaviate-sjc-0",),
                token="undo-1",  # noqa: S106
            ),
        ),
        (62.04, e.FaultInjected(experiment=EXPERIMENT, fault=NAME, from_ns=at_ns(62.02), to_ns=at_ns(62.04))),
        (
            LANDED_S,
            e.FaultLanded(
                experiment=EXPERIMENT,
                fault=NAME,
                landed=True,
                observer="process table",
                detail="pid 4731 is gone, ended by signal 9",
            ),
        ),
        (
            92.6,
            e.FaultGone(
                experiment=EXPERIMENT,
                fault=NAME,
                gone=True,
                observer="readiness probe",
                by="the platform's restart",
                detail="weaviate-sjc-0 is ready, objects as before",
            ),
        ),
        (
            93.4,
            e.ExperimentEnded(
                experiment=EXPERIMENT, title="Weaviate dies", status="completed", deviated=False, mistakes=()
            ),
        ),
        _window("fault", 62.02, 94.0, EXPERIMENT),
        _window("quiet", 94.0, LOAD_FROM_S + LOAD_S),
        (94.0, e.Stage(name="quiet", title="All healed: steady again")),
        *problem,
    ]


def _gate(rows: Sequence[Row], requests: pa.Table) -> list[Timed]:
    from harness.judge.sequential.record import of_table
    from harness.judge.sequential.watch import again

    rollout = _scenario("rollback").rollout
    assert rollout is not None
    record = of_table(requests, "2.4.0", "2.4.1")

    def compared(step: int, low: float, high: float) -> Timed:
        asked = e.Compared(step=step, word="open", from_ns=at_ns(low), bake_ns=at_ns(low), until_ns=at_ns(high))
        return high, again(asked, record, rollout)

    def seen(low: float, high: float, share: float) -> e.ShareSeen:
        inside = [row for row in rows if at_ns(low) <= row.intended_ns < at_ns(high)]
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
                step=0,
                decision="ADVANCE",
                state="shifting",
                reason="error rate 0.9 %, below 1 % as far as 118 canary requests tell",
            ),
        ),
        compared(0, 48.0, 75.0),
        (75.0, e.ShareSet(share=0.5, actuator="haproxy")),
        (78.0, seen(75, 78, 0.5)),
        (
            86.0,
            e.Decided(
                step=1,
                decision="ROLLBACK",
                state="rolled-back",
                reason="errors: 21 of 145 of the canary, 4 of 2022 of the baseline",
            ),
        ),
        compared(1, 78.0, 86.0),
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
