"""The line: deploy → check → load → steady → break and heal → quiet → read back → collect → clean up.

All effects of a run happen here or below; what it returns is nothing but the journal and the files it leaves.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.effort import UNDER_LOAD, Meter
from harness.errors import HarnessError, Interrupted, TargetError
from harness.journal import log
from harness.judge.ledger import expectations
from harness.model.events import (
    ClockRead,
    Digest,
    ExperimentSkipped,
    GuardTripped,
    InstancesSeen,
    Recovered,
    RunClosed,
    ScheduleFixed,
)
from harness.model.plan import Plan, PlannedFault
from harness.model.scenario import Guard
from harness.ports import Artifacts, Census, Readiness, Releases, Standstills
from harness.run.clocks import every, monotonic_to_wall
from harness.run.context import RunContext, StopEarly
from harness.run.healing import error_share, healed_since, users_healed
from harness.run.primaries import LOG_WITHIN_S, PrimaryWatch, collect_primaries
from harness.run.read_back import read_back, to_table
from harness.run.readiness import ReadinessWatch
from harness.run.seal import sha256_of

if TYPE_CHECKING:
    import pyarrow as pa

    from harness.ports import LoadEngine, Standstill, Target

ORIGIN_WITHIN_S = 30.0
INTERRUPTED = "interrupted; everything was cleaned up"
USERS_WITHIN_S = 60.0  # a breaker's longest pause; who is served badly for longer is so in the steady state too
RECORD_WITHIN_S = 1.0  # the load's streams are on disk at the latest so long after the fact
CLOCK_EVERY_S = 5.0
UPGRADE_WITHIN_S = 900.0


@dataclass(frozen=True)
class Parts:
    """The real adapters, or their equals in harness/testing/; everything the line meets outside of itself."""

    target: Target
    owned: bool
    release: str
    load: LoadEngine
    origin_ns: Callable[[], int | None]
    stopped_ns: Callable[[], int | None]
    beacon: LoadEngine
    beacon_rows: Callable[[], pa.Table]
    request_rows: Callable[[], pa.Table]
    ledger_rows: Callable[[], pa.Table]
    count_arrivals: Callable[[float], int]
    run_experiment: Callable[[PlannedFault], None]
    rollout: Callable[[], object] | None
    collect: Callable[[], None]
    recover: Callable[[str], Recovered]
    prometheus_clock: Callable[[], ClockRead | None]
    show_load: Callable[[], None]
    admit: Callable[[dict[str, str]], None] = lambda digests: None  # raises BadInput for what is not certified


def execute(context: RunContext, plan: Plan, parts: Parts) -> None:
    """Carries out the plan and always cleans up; raises only after that.

    A run that was stopped early (guard, lost child) is still collected: what was seen is evidence.
    Raises Interrupted, TargetError, or CleanUpNotProven.
    """
    meter = Meter("harness")
    try:
        reason, failure = _attempt(context, plan, parts, meter)
    except KeyboardInterrupt:  # while another error was being handled
        reason, failure = "interrupted", Interrupted(INTERRUPTED)
    # A disk that is full, which may be what ended the run, must not keep it from being cleaned up.
    with suppress(OSError):
        if failure is not None and not isinstance(failure, Interrupted):
            context.problem("run", reason)
        context.stage("down", "cleaning up")
    # When this raises, the run stays open: the watchdog tries again as soon as this process has ended.
    clean = parts.recover("finally").clean
    with suppress(OSError):
        context.record(meter.read("collecting and cleaning up"))
        context.record(RunClosed(reason=reason, clean=clean))
    if failure is not None:
        raise failure


def _attempt(context: RunContext, plan: Plan, parts: Parts, meter: Meter) -> tuple[str, BaseException | None]:
    """(how it ended in words, what ended it). From its end on no signal raises any more."""
    try:
        try:
            return _line(context, plan, parts, meter), None
        finally:
            context.interruptible = False
    except KeyboardInterrupt:
        return "interrupted", Interrupted(INTERRUPTED)
    except HarnessError as error:
        return str(error), error
    except BaseException as error:  # noqa: BLE001 — whatever it was, the platform must be healed first; raised again then
        return f"{type(error).__name__}: {error}", error


def _line(context: RunContext, plan: Plan, parts: Parts, meter: Meter) -> str:
    reason = "completed"
    _deploy(context, parts)
    context.record(meter.read("deployment and checks"))
    try:
        _under_load(context, plan, parts)
    except StopEarly as early:
        reason = str(early)
        context.problem("run", f"ended early: {early}")
        _cut_short(context, plan, parts)
    except TargetError:  # as a release that does not come up: what users got meanwhile is evidence all the same
        with suppress(HarnessError):
            _cut_short(context, plan, parts)
            parts.collect()
        raise
    context.record(meter.read(UNDER_LOAD))
    parts.collect()
    return reason


def _deploy(context: RunContext, parts: Parts) -> None:
    if parts.owned:
        context.stage("deploy", f"bringing up release {parts.release or 'of the platform file'}")
        parts.target.up(context.spec.upgrade_from or parts.release, context.record)
    if isinstance(parts.target, Artifacts):
        found = {name: it if isinstance(it, str) else sha256_of(it) for name, it in parts.target.artifacts().items()}
        for name, digest in found.items():
            context.record(Digest(name=name, sha256=digest))
        parts.admit(found)
    context.stage("checks", "readiness and post-deployment checks")
    parts.target.check(context.record)


def _under_load(context: RunContext, plan: Plan, parts: Parts) -> None:
    spec = context.spec
    databases = parts.target.endpoints().databases
    primaries = PrimaryWatch(databases, context.folder.work, _standstills(parts.target, databases))
    readiness = _readiness(context, parts.target)
    try:
        parts.beacon.start()
        parts.load.start()
        context.watches.extend(_watches(context, parts))
        if not context.wait_for(lambda: parts.origin_ns() is not None, ORIGIN_WITHIN_S, every=0.05):
            raise StopEarly("the load did not start within 30 s; see logs/locust.log")
        origin = parts.origin_ns()
        assert origin is not None
        context.stage("warm-up", "load is on, nothing is judged yet")
        context.open_window("warm-up", origin)
        steady_from = origin + int(spec.load.warm_up * 1e9)
        context.wait((steady_from - time.monotonic_ns()) / 1e9)
        _census(context, parts)
        context.open_window("steady", steady_from)
        if spec.upgrade_from and parts.owned:
            _upgrade(context, parts)
        context.stage("steady", "undisturbed")
        context.wait(spec.steady)
        if parts.rollout is not None:
            parts.rollout()
        for fault in plan.faults:
            _break_and_heal(context, parts, fault)
        context.stage("quiet", "healed and quiet")
        context.wait(spec.quiet)
        context.close_window(time.monotonic_ns())
        _census(context, parts)
        _end_load(context, plan, parts)
        _read_back(context, parts, "end", time.monotonic_ns())
        context.watches.clear()  # they would miss the load, which has ended
        context.wait_for(primaries.settled, LOG_WITHIN_S)
    finally:
        context.watches.clear()
        primaries.stop()
        if readiness is not None:
            with suppress(OSError):  # what the disk has no room for must not hide why the run ends
                readiness.stop()
        _write_table(context, "primaries", collect_primaries(context.folder.work))


def _readiness(context: RunContext, target: Target) -> ReadinessWatch | None:
    """Who is Ready by the cluster's own word, where it has one; its thread tells the journal and nobody else."""
    if not isinstance(target, Readiness):
        return None
    return ReadinessWatch(
        target.readiness,
        # Not waited for: when a region goes, many change at once, and the next look would be late.
        lambda event: log.append(context.folder.journal, event, durable=False),
    )


def _standstills(target: Target, regions: Iterable[str]) -> dict[str, Standstill]:
    if not isinstance(target, Standstills):
        return {}
    found = {region: target.standstill(region) for region in regions}
    return {region: each for region, each in found.items() if each is not None}


def _upgrade(context: RunContext, parts: Parts) -> None:
    """Rolls the release out while users' load goes on; the time counts as steady, so no request may suffer."""
    if not isinstance(parts.target, Releases):
        raise TargetError(f"{type(parts.target).__name__} cannot replace a release")
    context.stage("redeploy", f"{context.spec.upgrade_from} → {parts.release}, under load")
    with ThreadPoolExecutor(1) as worker:
        deployed = worker.submit(parts.target.deploy, parts.release, context.record)
        context.wait_for(deployed.done, UPGRADE_WITHIN_S)
    deployed.result()


def _break_and_heal(context: RunContext, parts: Parts, fault: PlannedFault) -> None:
    """Runs one experiment in a window of its own; a steady one is open before and after."""
    context.stage("steady", f"quiet before {fault.experiment}")
    context.wait(fault.gap_s)
    if not _healed(context, parts):
        context.record(
            ExperimentSkipped(
                experiment=fault.experiment, reason="no steady state: the beacon saw bad answers just before"
            )
        )
        return
    context.stage("fault", fault.experiment)
    begun = time.monotonic_ns()
    context.open_window("fault", begun, fault.experiment)
    _census(context, parts)
    parts.run_experiment(fault)
    left = fault.within_s - (time.monotonic_ns() - begun) / 1e9
    if not context.wait_for(lambda: _healed(context, parts, begun), max(left, context.spec.sustained + 1)):
        context.problem(fault.experiment, f"not back at full service within {fault.within_s:g} s")
    elif not _users_healed(context, parts):
        context.stage("healing", "the probes have full service again, some users have not")
        left = fault.within_s - (time.monotonic_ns() - begun) / 1e9
        context.wait_for(lambda: _users_healed(context, parts), min(left, USERS_WITHIN_S), every=1.0)
    _census(context, parts)
    ended = time.monotonic_ns()
    context.open_window("steady", ended)
    context.wait(RECORD_WITHIN_S)
    _read_back(context, parts, fault.experiment, ended)


def _census(context: RunContext, parts: Parts) -> None:
    """Who may run, at the edges of every window: of anybody else there is nothing to know. When the target cannot
    tell, nobody is known to be gone."""
    if isinstance(parts.target, Census):
        with suppress(TargetError):
            context.record(InstancesSeen(names=tuple(sorted(parts.target.present()))))


def _healed(context: RunContext, parts: Parts, since_ns: int = 0) -> bool:
    return healed_since(parts.beacon_rows(), time.monotonic_ns(), context.spec.sustained, since_ns)


def _users_healed(context: RunContext, parts: Parts) -> bool:
    now_ns, sustained = time.monotonic_ns(), context.spec.sustained
    return healed_since(parts.beacon_rows(), now_ns, sustained) and users_healed(
        parts.request_rows(), now_ns, sustained
    )


def _cut_short(context: RunContext, plan: Plan, parts: Parts) -> None:
    context.close_window(time.monotonic_ns())
    _end_load(context, plan, parts)


def _end_load(context: RunContext, plan: Plan, parts: Parts) -> None:
    """Stops load and beacon and fixes what the schedule was; safe to call when they never started."""
    asked = time.monotonic_ns()
    for name, engine in (("load", parts.load), ("beacon", parts.beacon)):
        if wrong := engine.stop().problem:
            context.problem(name, wrong)
    origin = parts.origin_ns()
    if origin is None:
        context.problem("load", "no arrival was ever due")
        return
    # A generator that died did not say when it stopped: all arrivals until we asked it to stop were expected.
    duration = ((parts.stopped_ns() or asked) - origin) / 1e9
    context.record(
        ScheduleFixed(
            origin_ns=origin,
            seed=plan.seed,
            duration_s=duration,
            arrivals=context.spec.load.arrivals.model_dump(mode="json"),
            expected=parts.count_arrivals(duration),
        )
    )


def _read_back(context: RunContext, parts: Parts, after: str, before_ns: int) -> None:
    how = context.spec.read_back
    if how is None:
        return
    context.stage("read-back", f"reading every acknowledged write again ({after})")
    rows = read_back(lambda: expectations(parts.ledger_rows(), before_ns), parts.target.endpoints().regions, how, after)
    file = context.folder.work / f"readback-{len(list(context.folder.work.glob('readback-*')))}.parquet"
    _write_parquet(to_table(rows), file)


def _watches(context: RunContext, parts: Parts) -> list[Callable[[], None]]:
    def children() -> None:
        for name, engine in (("load", parts.load), ("beacon", parts.beacon)):
            state = engine.poll()
            if not state.alive:
                raise StopEarly(f"the {name} ended in mid-run (exit code {state.exit_code})")

    def clocks() -> None:
        offset, error = monotonic_to_wall()
        context.record(ClockRead(clock="wall", offset_ns=offset, error_ns=error))
        read = parts.prometheus_clock()
        if read is not None:
            context.record(read)

    guards = [_guard_watch(context, parts, guard) for guard in context.spec.guards]
    return [every(0.5, children), every(CLOCK_EVERY_S, clocks), every(1.0, parts.show_load), *guards]


def _guard_watch(context: RunContext, parts: Parts, guard: Guard) -> Callable[[], None]:
    """Raises StopEarly when the share of failed requests over `guard.over` is above the limit, in its windows."""
    stage = {"now": "warm-up"}

    def follow(event: Any) -> None:
        if event.event == "stage":
            stage["now"] = event.name

    context.listeners.append(follow)

    def look() -> None:
        if stage["now"] not in guard.windows:
            return
        share, count = error_share(parts.request_rows(), time.monotonic_ns(), guard.over)
        if count and share > guard.errors:
            detail = f"{share:.0%} of {count} requests failed within {guard.over:g} s (limit {guard.errors:.0%})"
            context.record(GuardTripped(guard=guard.name, detail=detail))
            raise StopEarly(f"guard {guard.name}: {detail}")

    return every(1.0, look)


def _write_table(context: RunContext, name: str, table: pa.Table) -> None:
    _write_parquet(table, context.folder.table(name))


def _write_parquet(table: pa.Table, file: Any) -> None:
    import pyarrow.parquet as pq

    pq.write_table(table, file, compression="zstd")


def collect_readback(context: RunContext) -> None:
    """The read-backs of the run as evidence/readback.parquet."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    files = sorted(context.folder.work.glob("readback-*.parquet"))
    _write_table(
        context, "readback", pa.concat_tables([pq.read_table(file) for file in files]) if files else to_table([])
    )
