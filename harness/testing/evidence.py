"""Evidence made by hand, second by second, for tests of the judge. Time 0 is the load's origin.

warm-up 0–5 · steady 5–35 · fault kill-weaviate#1 35–65 (injected at 37) · steady 65–75 · quiet 75–78
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from harness.model import events as e
from harness.model.annotations import Annotations
from harness.model.evidence import Evidence, MetricAnswer
from harness.model.load import Constant, Load
from harness.model.openslo import Operator
from harness.model.records import (
    GENERATOR_COLUMNS,
    LEDGER_COLUMNS,
    PRIMARY_COLUMNS,
    READBACK_COLUMNS,
    REQUEST_COLUMNS,
    SAMPLE_COLUMNS,
    Content,
    Outcome,
)
from harness.model.scenario import ExperimentRef, ScenarioSpec, TargetRef
from harness.model.slo import Indicator, Objective, Slo

if TYPE_CHECKING:
    import pyarrow as pa

SECOND = 1_000_000_000
ORIGIN_NS = 5_000 * SECOND
WALL_NS = 1_795_000_000 * SECOND  # wall time at monotonic time 0
EXPERIMENT = "kill-weaviate#1"
END_S, INJECTED_S, RATE, EVERY_S = 78.0, 37.0, 50.0, 0.02
Row = dict[str, Any]


def ns(seconds: float) -> int:
    """Monotonic time of a second of the run."""
    return ORIGIN_NS + round(seconds * SECOND)


def wall_ms(seconds: float) -> int:
    """Wall time of a second of the run, as Prometheus tells it."""
    return (ns(seconds) + WALL_NS) // 1_000_000


def table(columns: Mapping[str, str], rows: Iterable[Mapping[str, Any]]) -> pa.Table:
    """Rows as a table with these columns."""
    import pyarrow as pa

    kept = list(rows)
    text = pa.dictionary(pa.int32(), pa.string())
    return pa.table(
        {
            name: pa.array([row[name] for row in kept], text if kind == "string" else pa.type_for_alias(kind))
            for name, kind in columns.items()
        }
    )


def request(
    arrival: int,
    at: float,
    *,
    latency: float = 0.02,
    late: float = 0.0,
    outcome: Outcome = Outcome.ANSWERED,
    status: int = 200,
    content: Content = Content.RIGHT,
    level: int = 1,
    journey: str = "chat",
    region: str = "sjc",
    release: str = "1.0.0",
) -> Row:
    """One row of the request record: intended at `at`, started `late` after it, finished `latency` after it."""
    answered = outcome == Outcome.ANSWERED
    sent = outcome not in (Outcome.DROPPED, Outcome.SKIPPED)
    return {
        "arrival": arrival,
        "journey": journey,
        "intended_ns": ns(at),
        "started_ns": ns(at + late) if sent else -1,
        "finished_ns": ns(at + latency) if sent and outcome != Outcome.UNFINISHED else -1,
        "outcome": int(outcome),
        "status": status if answered else 0,
        "content": int(content if answered else Content.UNCHECKED),
        "level": level if answered else 0,
        "release": release if answered else "",
        "region": region if answered else "",
        "instance": "",
    }


def steadily(
    until: float = END_S, rate: float = RATE, change: Callable[[int, float], Mapping[str, Any] | None] | None = None
) -> list[Row]:
    """Good requests at equal distances; `change(arrival, at)` gives what differs, as arguments of `request`."""
    return [
        request(arrival, arrival / rate, **((change(arrival, arrival / rate) or {}) if change else {}))
        for arrival in range(round(until * rate))
    ]


def probes(
    until: float = END_S, every: float = EVERY_S, change: Callable[[int, float], Mapping[str, Any] | None] | None = None
) -> list[Row]:
    """The beacon's rows, good ones but for what `change` says."""
    latency = {"latency": 0.002, "journey": "beacon"}
    return [
        request(number, number * every, **{**latency, **((change(number, number * every) or {}) if change else {})})
        for number in range(round(until / every))
    ]


def within(*stretches: tuple[float, float], **change: Any) -> Callable[[int, float], Mapping[str, Any] | None]:
    """A change for everything intended in one of the stretches [from, to)."""
    return lambda _number, at: change if any(low <= at < high for low, high in stretches) else None


def generator(until: float = END_S, late_ms: float = 0.2, cpu: float = 0.2) -> list[Row]:
    """One row a second."""
    return [
        {
            "at_ns": ns(second),
            "scheduled": round(second * RATE),
            "recorded": round(second * RATE),
            "late_p99_ms": late_ms,
            "cpu": cpu,
            "run_delay_ms": 1.0,
            "in_flight": 1,
        }
        for second in range(1, round(until) + 1)
    ]


def writes(times: Iterable[float], acknowledged: bool = True) -> list[Row]:
    """Rows of the ledger: key m0, m1, … sent at these seconds and acknowledged 10 ms later."""
    return [
        {
            "key": f"m{number}",
            "text_sha256": f"text-{number}",
            "sent_ns": ns(at),
            "acknowledged_ns": ns(at + 0.01) if acknowledged else -1,
            "region": "sjc",
            "operation": "write",
        }
        for number, at in enumerate(times)
    ]


def deletes(keys: Mapping[str, float], acknowledged: bool = True) -> list[Row]:
    """Rows of the ledger: key → when its deletion was sent, acknowledged 10 ms later."""
    return [
        {
            "key": key,
            "text_sha256": "",
            "sent_ns": ns(at),
            "acknowledged_ns": ns(at + 0.01) if acknowledged else -1,
            "region": "sjc",
            "operation": "delete",
        }
        for key, at in keys.items()
    ]


def read_back(
    ledger: Sequence[Row],
    after: str = "end",
    at: float = 80.0,
    regions: Sequence[str] = ("sjc", "lax"),
    states: Mapping[str, str] | None = None,
) -> list[Row]:
    """Rows of the read-back: all present but for `states` (key → state, in every region)."""
    texts = {"lost": "", "deleted": "", "indeterminate": "", "stale": "an older text"}
    return [
        {
            "key": row["key"],
            "region": region,
            "read_ns": ns(at),
            "after": after,
            "state": (states or {}).get(row["key"], "present"),
            "text_sha256": texts.get((states or {}).get(row["key"], ""), row["text_sha256"]),
        }
        for row in ledger
        for region in regions
    ]


def series(query: str, labels: Mapping[str, str], points: Iterable[tuple[float, float]]) -> list[Row]:
    """Samples (second of the run, value) of one series that answered a query."""
    name = json.dumps({**labels}, sort_keys=True, separators=(",", ":"))
    return [{"query": query, "series": name, "t_ms": wall_ms(at), "value": value} for at, value in points]


def scraped(
    query: str,
    value: Callable[[float], float] = lambda _at: 1.0,
    *,
    job: str = "unified-api",
    instance: str = "sjc-0",
    times: Iterable[float] | None = None,
    **labels: str,
) -> list[Row]:
    """A series scraped once a second (at .3), by default from −5 s to the end."""
    at = [second + 0.3 for second in range(-5, round(END_S))] if times is None else list(times)
    name = {"__name__": query.partition("{")[0], "job": job, "instance": instance, **labels}
    return series(query, name, [(moment, value(moment)) for moment in at])


def answers(rows: Iterable[Row], *others: str) -> tuple[MetricAnswer, ...]:
    """What Prometheus said of these samples, and of queries without any."""
    counts: dict[str, list[str]] = {query: [] for query in others}
    for row in rows:
        counts.setdefault(row["query"], []).append(row["series"])
    return tuple(MetricAnswer(query, len(set(names)), len(names)) for query, names in counts.items())


def scenario(**changes: Any) -> ScenarioSpec:
    """The declared run."""
    values: dict[str, Any] = {
        "target": TargetRef(platform="deploy/platform.yaml"),
        "load": Load(locustfile="loadtests/x.py", arrivals=Constant(kind="constant", rate=RATE), mix={"chat": 1.0}),
        "experiments": (ExperimentRef(file="experiments/kill-weaviate.yaml"),),
        "slos": ("slos",),
    }
    return ScenarioSpec(**{**values, **changes})


def happened(
    *more: e.AnyEvent, without: tuple[type[e.Event], ...] = (), expected: int | None = None, until: float = END_S
) -> tuple[e.AnyEvent, ...]:
    """The journal of a run in which all went as planned, and more."""
    fault = {"experiment": EXPERIMENT, "fault": "kill"}
    window = e.Window
    timed: list[tuple[float, e.AnyEvent]] = [
        (0.0, e.ClockRead(clock="wall", offset_ns=WALL_NS, error_ns=1000)),
        (0.1, e.ClockRead(clock="prometheus", offset_ns=0, error_ns=1_000_000)),
        (5.0, window(kind="warm-up", start_ns=ns(0), end_ns=ns(5))),
        (35.0, window(kind="steady", start_ns=ns(5), end_ns=ns(35))),
        (36.9, e.FaultIntended(**fault, kind="process-kill", selection=("weaviate-sjc-0",), token="t")),  # noqa: S106
        (37.01, e.FaultInjected(**fault, from_ns=ns(INJECTED_S), to_ns=ns(INJECTED_S + 0.01))),
        (37.05, e.FaultLanded(**fault, landed=True, observer="process table")),
        (60.0, e.FaultGone(**fault, gone=True, observer="readiness", by="the platform")),
        (62.0, e.ExperimentEnded(experiment=EXPERIMENT, title="", status="completed", deviated=False, mistakes=())),
        (65.0, window(kind="fault", experiment=EXPERIMENT, start_ns=ns(35), end_ns=ns(65))),
        (75.0, window(kind="steady", start_ns=ns(65), end_ns=ns(75))),
        (78.0, window(kind="quiet", start_ns=ns(75), end_ns=ns(78))),
        (
            until,
            e.ScheduleFixed(
                origin_ns=ns(0),
                seed=1,
                duration_s=until,
                arrivals={"kind": "constant", "rate": RATE},
                expected=round(until * RATE) if expected is None else expected,
            ),
        ),
        (90.0, e.RunClosed(reason="completed", clean=True)),
    ]  # fmt: skip
    stamped = [
        event.model_copy(update={"mono_ns": ns(at), "wall_ns": ns(at) + WALL_NS, "pid": 1})
        for at, event in timed
        if not isinstance(event, without)
    ]
    return (*stamped, *more)


def evidence(
    *,
    requests: Sequence[Row] | None = None,
    beacon: Sequence[Row] | None = None,
    samples: Sequence[Row] | None = None,
    ledger: Sequence[Row] | None = None,
    readback: Sequence[Row] | None = None,
    primaries: Sequence[Row] | None = None,
    events: tuple[e.AnyEvent, ...] | None = None,
    metrics: tuple[MetricAnswer, ...] | None = None,
    absent: tuple[str, ...] = (),
    **changes: Any,
) -> Evidence:
    """A good run but for what is given; any other field of Evidence by its name; `absent` tables are None."""
    ledger = writes([6.0, 20.0, 36.0, 50.0, 70.0]) if ledger is None else ledger
    if readback is None:
        early = [row for row in ledger if row["acknowledged_ns"] < ns(65)]
        readback = [*read_back(early, EXPERIMENT, 66.0), *read_back(ledger, "end", 80.0)]
    if samples is None:
        samples = [*scraped("up"), *scraped("process_start_time_seconds", lambda _at: WALL_NS / 1e9 + 4000.0)]
    values: dict[str, Any] = {
        "run_id": "made-by-hand",
        "scenario": scenario(),
        "events": happened() if events is None else events,
        "requests": table(REQUEST_COLUMNS, steadily() if requests is None else requests),
        "beacon": table(REQUEST_COLUMNS, probes() if beacon is None else beacon),
        "generator": table(GENERATOR_COLUMNS, generator()),
        "ledger": table(LEDGER_COLUMNS, ledger),
        "readback": table(READBACK_COLUMNS, readback),
        "samples": table(SAMPLE_COLUMNS, samples),
        "primaries": table(PRIMARY_COLUMNS, roles() if primaries is None else primaries),
        "metrics": answers(samples, "ALERTS") if metrics is None else metrics,
    }
    return Evidence(**{**values, **changes, **dict.fromkeys(absent)})


def roles(
    until: float = 82.0, every: float = 0.25, change: Callable[[str, float], str | None] | None = None
) -> list[Row]:
    """What the databases said: sjc writable, lax standby, but for `change(region, at)`."""
    return [
        {
            "asked_ns": ns(tick * every + shift),
            "answered_ns": ns(tick * every + shift + 0.002),
            "region": region,
            "state": (change(region, tick * every) if change else None) or usual,
        }
        for tick in range(round(until / every))
        for region, usual, shift in (("sjc", "writable", 0.0), ("lax", "standby", 0.01))
    ]


def slo(
    indicator: Indicator,
    target: float = 0.95,
    *,
    op: Operator | None = None,
    value: float | None = None,
    name: str = "made-by-hand",
    **annotations: Any,
) -> Slo:
    """An SLO with one objective; annotations by their field names."""
    return Slo(
        name=name,
        title=name,
        service="unified-api",
        origin="made.yaml:1",
        source=type(indicator).__name__,
        annotations=Annotations(**annotations),
        indicator=indicator,
        objectives=(Objective(target=target, op=op, value=value),),
    )
