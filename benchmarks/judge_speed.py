"""How long the judge takes over a long run, and how much memory.

    python benchmarks/judge_speed.py [--millions 1 2 5 10] [--keep FOLDER]

Makes sealed run folders with so many requests (seeded, in the order in which they end, as the recorder writes them,
some arrivals without a record) and 50 objectives: many filters, thresholds and windows, claims on the run and on the
platform with correlated failures, and faults at the end as a scenario has them. Each folder is judged in a fresh
process; in another one its request columns are only read. Verifying the seal counts apart, and so do imports. The
limits, 2 s, 1 GiB and three times the reading, are those of 10 million. CPU seconds stand beside the wall clock, for a
busy machine. The exit code is 1 when a limit does not hold.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import yaml

RATE, FAULTS, SLOS = 2000, 3, 50
LIMIT_S, LIMIT_MIB, LIMIT_READS = 2.0, 1024.0, 3.0
SECOND = 10**9
ORIGIN = 5000 * SECOND
JOURNEYS, REGIONS, RELEASES = ("chat", "search", "memory", "consensus"), ("sjc", "lax"), ("1.0.0", "1.1.0")


# ---- the run --------------------------------------------------------------------------------------------------------


def windows(seconds: float) -> Iterator[tuple[str, str, float, float]]:
    """(kind, experiment, start, end) as a scenario has them: warm-up, steady, faults of 60 s each, quiet."""
    yield "warm-up", "", 0.0, 5.0
    yield "steady", "", 5.0, seconds - 60 * FAULTS - 3
    for number in range(FAULTS):
        start = seconds - 3 - 60 * (FAULTS - number)
        yield "fault", f"kill-{number}#1", start, start + 60
    yield "quiet", "", seconds - 3, seconds


def record(rows: int, rate: float, seed: int, journeys: tuple[str, ...], faults: list[float]) -> Any:
    """A table of the request record: one in a thousand goes wrong, and all for eight seconds after a fault."""
    import pyarrow as pa

    random = np.random.default_rng(seed)
    intended = ORIGIN + (np.arange(rows) * (SECOND / rate)).astype(np.int64)
    started = intended + random.exponential(100_000, rows).astype(np.int64)
    finished = started + random.lognormal(np.log(30e6), 0.6, rows).astype(np.int64)
    outcome = random.choice(np.arange(7, dtype=np.int8), rows, p=[0.9985, *[0.00025] * 6])
    status = random.choice(np.array([200, 201, 404, 503], np.int16), rows, p=[0.9, 0.0995, 0.0003, 0.0002])
    content = random.choice(np.array([1, 2], np.int8), rows, p=[0.9998, 0.0002])
    level = random.choice(np.array([1, 2, 3, 0], np.int8), rows, p=[0.9995, 0.0002, 0.0002, 0.0001])
    for at in faults:
        begun = ORIGIN + round((at + 2) * SECOND)
        outcome[(intended >= begun) & (intended < begun + 8 * SECOND)] = 2
        level[(intended >= begun + 8 * SECOND) & (intended < begun + 20 * SECOND)] = 3
    answered = outcome == 0
    for column in (status, content, level):
        column[~answered] = 0
    started[(outcome == 4) | (outcome == 6)] = -1
    finished[outcome >= 4] = -1
    order = np.argsort(np.where(finished < 0, intended, finished), kind="stable")
    order = order[random.random(rows) > 1e-5]  # what left no record

    def text(names: tuple[str, ...], weights: list[float], told: Any = None) -> pa.Array:
        codes = random.choice(len(names), rows, p=weights).astype(np.int32)
        if told is not None:
            codes = np.where(told, codes, len(names)).astype(np.int32)
        return pa.DictionaryArray.from_arrays(pa.array(codes[order]), pa.array((*names, "")))

    return pa.table(
        {
            "arrival": pa.array(order.astype(np.int64)),
            "journey": text(journeys, [1 / len(journeys)] * len(journeys)),
            **{
                name: pa.array(values[order])
                for name, values in {
                    "intended_ns": intended, "started_ns": started, "finished_ns": finished, "outcome": outcome,
                    "status": status, "content": content, "level": level,
                }.items()
            },
            "release": text(RELEASES, [0.9, 0.1], answered),
            "region": text(REGIONS, [0.8, 0.2], answered),
            "instance": text(tuple(f"api-{number}" for number in range(8)), [1 / 8] * 8, answered),
        }
    )  # fmt: skip


def objectives() -> Iterator[dict[str, Any]]:
    """50 OpenSLO documents: 2 recovery times, the rest ratios of requests."""
    filters = [
        {"outcome": "served"},
        *({"outcome": "served", "fasterThan": f"{limit}ms"} for limit in (50, 100, 150, 200, 300, 500, 1000)),
        {"content": "right"},
        {"levels": [1]},
        {"outcome": "served", "levels": [1, 3]},
    ]
    totals = [{}, *({"journeys": [name]} for name in JOURNEYS), {"regions": ["sjc"]}, {"releases": ["1.1.0"]}]
    wheres = [
        {"harness/window": "steady", "harness/claim": "system"},
        {"harness/window": "steady", "harness/claim": "run"},
        {"harness/window": "run"},
        {"harness/window": "fault", "harness/experiment": "kill-0", "harness/levels": "1,3"},
    ]
    chosen = list(product(wheres, totals, filters))
    for number in range(SLOS - 2):
        where, total, good = chosen[number * len(chosen) // (SLOS - 2)]
        ratio = {
            "counter": True,
            "good": {"metricSource": {"type": "RequestRecord", "spec": good}},
            "total": {"metricSource": {"type": "RequestRecord", "spec": total}},
        }
        yield slo(f"ratio-{number}", where, {"ratioMetric": ratio}, {"target": 0.99})
    for number in (0, 1):
        where = {"harness/window": "fault", "harness/experiment": f"kill-{number}"}
        source = {"metricSource": {"type": "Recovery", "spec": {"until": "full-service"}}}
        yield slo(f"recovery-{number}", where, {"thresholdMetric": source}, {"op": "lte", "value": 60, "target": 0.9})


def slo(name: str, annotations: dict[str, str], sli: dict[str, Any], objective: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "openslo/v1",
        "kind": "SLO",
        "metadata": {"name": name, "annotations": annotations},
        "spec": {
            "service": "unified-api",
            "indicator": {"spec": sli},
            "budgetingMethod": "Occurrences",
            "objectives": [objective],
        },
    }


def make(root: Path, rows: int) -> None:
    """A sealed run folder."""
    import pyarrow.parquet as pq

    from harness.journal.layout import RunFolder
    from harness.load import recorder
    from harness.metrics.evidence import TABLES, save_answers
    from harness.run.seal import seal
    from harness.testing.evidence import scenario

    folder, seconds = RunFolder(root), rows / RATE
    stretches = list(windows(seconds))
    faults = [start for kind, _, start, _ in stretches if kind == "fault"]
    for path in (folder.evidence, folder.inputs / "slos" / "0"):
        path.mkdir(parents=True)
    for name, columns in TABLES.items():
        table = recorder.schema(columns).empty_table()
        if name == "requests":
            table = record(rows, RATE, 1, JOURNEYS, faults)
        elif name == "beacon":
            table = record(round(seconds / 0.02), 50, 2, ("beacon",), faults)
        elif name == "generator":
            table = generator(round(seconds))
        pq.write_table(table.cast(recorder.schema(columns)), folder.table(name), compression="zstd")
    save_answers(folder, ())
    load = scenario().load.model_copy(update={"mix": dict.fromkeys(JOURNEYS, 1.0)})
    arrivals = load.arrivals.model_copy(update={"rate": float(RATE)})
    spec = scenario(load=load.model_copy(update={"arrivals": arrivals}), claim="system")
    (folder.inputs / "scenario.json").write_text(spec.model_dump_json())
    (folder.inputs / "slos" / "0" / "made.yaml").write_text(yaml.safe_dump_all(objectives()))
    folder.journal.write_text("".join(event.model_dump_json() + "\n" for event in events(stretches, rows)))
    seal(folder)


def generator(seconds: int) -> Any:
    import pyarrow as pa

    at = np.arange(1, seconds + 1)
    steady = {"late_p99_ms": 0.2, "cpu": 0.2, "run_delay_ms": 1.0}
    return pa.table(
        {
            "at_ns": ORIGIN + at * SECOND,
            "scheduled": at * RATE,
            "recorded": at * RATE,
            **{name: np.full(seconds, value) for name, value in steady.items()},
            "in_flight": np.ones(seconds, dtype=np.int64),
        }
    )


def events(stretches: list[tuple[str, str, float, float]], rows: int) -> Iterator[Any]:
    from harness.model import events as e

    def at(seconds: float) -> int:
        return ORIGIN + round(seconds * SECOND)

    def stamped(event: Any, seconds: float) -> Any:
        return event.model_copy(update={"mono_ns": at(seconds), "wall_ns": at(seconds) + 10**18, "pid": 1})

    yield stamped(e.ClockRead(clock="wall", offset_ns=10**18, error_ns=1000), 0)
    for kind, name, start, end in stretches:
        if name:
            fault = {"experiment": name, "fault": "kill"}
            yield stamped(e.FaultIntended(**fault, kind="process-kill", selection=("api-0",), token="t"), start + 1)
            yield stamped(e.FaultInjected(**fault, from_ns=at(start + 2), to_ns=at(start + 2.01)), start + 2)
            yield stamped(e.FaultLanded(**fault, landed=True, observer="process table"), start + 2.1)
            yield stamped(e.FaultGone(**fault, gone=True, observer="readiness", by="the platform"), start + 12)
            done = e.ExperimentEnded(experiment=name, title="", status="completed", deviated=False, mistakes=())
            yield stamped(done, end)
        yield stamped(e.Window(kind=kind, experiment=name, start_ns=at(start), end_ns=at(end)), end)
    seconds = stretches[-1][3]
    fixed = e.ScheduleFixed(
        origin_ns=ORIGIN, seed=1, duration_s=seconds, arrivals={"kind": "constant", "rate": RATE}, expected=rows
    )
    yield stamped(fixed, seconds)
    yield stamped(e.RunClosed(reason="completed", clean=True), seconds + 1)


# ---- what is measured, each in a process of its own -----------------------------------------------------------------


class Clock:
    """Wall and CPU seconds of a stretch of code."""

    def __enter__(self) -> Clock:
        self.wall, self.cpu = -time.perf_counter(), -time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        self.wall += time.perf_counter()
        self.cpu += time.process_time()


def judging(folder: Path) -> dict[str, Any]:
    with Clock() as imports:
        import pyarrow.parquet  # noqa: F401

        import harness.judge.rollout
        import harness.spec.openslo  # noqa: F401
        from harness.journal.layout import RunFolder
        from harness.metrics import evidence
        from harness.run.verdict import judge_folder
    empty, seal, check = peak_mib(), Clock(), evidence.broken_seal

    def timed(folder: RunFolder) -> list[str]:
        with seal:
            return check(folder)

    evidence.broken_seal = timed  # so that it counts apart
    with Clock() as whole:
        judgement = judge_folder(RunFolder(folder))
    assert len(judgement.objectives) == SLOS, len(judgement.objectives)
    verdicts = sorted(str(result.verdict) for result in judgement.objectives)
    return {
        "empty": empty,
        "imports": imports.wall,
        "seal": seal.wall,
        "wall": whole.wall - seal.wall,
        "cpu": whole.cpu - seal.cpu,
        "verdicts": {name: verdicts.count(name) for name in sorted(set(verdicts))},
        "findings": [finding.reason for finding in judgement.findings][:5],
    }


def reading(folder: Path) -> dict[str, Any]:
    import pyarrow.parquet as pq

    from harness.model.records import REQUEST_COLUMNS

    texts = [name for name, kind in REQUEST_COLUMNS.items() if kind == "string"]
    with Clock() as clock:
        pq.read_table(folder / "evidence" / "requests.parquet", columns=list(REQUEST_COLUMNS), read_dictionary=texts)
    return {"wall": clock.wall, "cpu": clock.cpu}


def fresh(what: str, folder: Path, *more: int) -> dict[str, Any]:
    argv = [sys.executable, __file__, what, str(folder), *map(str, more)]
    done = subprocess.run(argv, check=True, stdout=subprocess.PIPE)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--millions", type=float, nargs="+", default=[1, 2, 5, 10])
    parser.add_argument("--keep", type=Path, help="make the folders here, or use those that are here")
    parser.add_argument("--repeat", type=int, default=3, help="the fastest of so many counts")
    chosen = parser.parse_args()
    held = True
    with tempfile.TemporaryDirectory() as scratch:
        for millions in chosen.millions:
            folder = (chosen.keep or Path(scratch)) / f"{millions:g}-million"
            if not folder.exists():
                fresh("making", folder, round(millions * 1e6))
            judged = [fresh("judging", folder) for _ in range(chosen.repeat)]
            read = [fresh("reading", folder) for _ in range(chosen.repeat)]
            wall, cpu = (min(one[name] for one in judged) for name in ("wall", "cpu"))
            base, base_cpu = (min(one[name] for one in read) for name in ("wall", "cpu"))
            peak = max(one["peak"] for one in judged)
            print(
                f"{millions:g} million requests, {SLOS} objectives: judged in {wall:.2f} s ({cpu:.2f} s CPU), columns "
                f"read in {base:.2f} s ({base_cpu:.2f} s CPU): {wall / base:.2f} times ({cpu / base_cpu:.2f} by CPU); "
                f"peak {peak:.0f} MiB, above imports {(peak - judged[0]['empty']) / millions:.0f} a million; "
                f"seal {min(one['seal'] for one in judged):.2f} s, imports {judged[0]['imports']:.2f} s; "
                f"{judged[0]['verdicts']}",
                flush=True,
            )
            held &= peak <= LIMIT_MIB and min(wall / base, cpu / base_cpu) <= LIMIT_READS and wall <= LIMIT_S
    print(f"load of the machine {os.getloadavg()[0]:.1f}; limits {'hold' if held else 'DO NOT HOLD'}")
    return 0 if held else 1


def peak_mib() -> float:
    """Of this process alone: ru_maxrss begins with what the parent had."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def child(what: str, folder: Path, *more: str) -> None:
    if what == "making":
        make(folder, int(more[0]))
        print("{}")
        return
    found = judging(folder) if what == "judging" else reading(folder)
    print(json.dumps({**found, "peak": peak_mib()}))


if __name__ == "__main__":
    if sys.argv[1:2] and sys.argv[1] in ("making", "judging", "reading"):
        child(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:])
    else:
        sys.exit(main())
