"""What stands in a run's journal. Each event has its own type; times are the host's monotonic and wall nanoseconds."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, JsonValue, TypeAdapter

from harness.model.base import Frozen


class Event(Frozen):
    """Base of all: when, and which process wrote it."""

    mono_ns: int = 0
    wall_ns: int = 0
    pid: int = 0


class RunOpened(Event):
    event: Literal["run.opened"] = "run.opened"
    run_id: str
    scenario: str
    profile: str = ""
    user: str
    host: str
    version: str
    commit: str
    seed: int
    python: str
    machine: str
    argv: tuple[str, ...]
    release: str = ""


class RunClosed(Event):
    event: Literal["run.closed"] = "run.closed"
    reason: str
    clean: bool


class Digest(Event):
    """A file or program that the run depended on, by SHA-256."""

    event: Literal["digest"] = "digest"
    name: str
    sha256: str
    version: str = ""


class StandIn(Event):
    """A part of the platform that was not the real one; the report says so first."""

    event: Literal["stand-in"] = "stand-in"
    service: str
    text: str


class Stage(Event):
    """The run goes into a stage: deploy, checks, warm-up, steady, fault, healing, quiet, read-back, collect, down."""

    event: Literal["stage"] = "stage"
    name: str
    title: str = ""


class ClusterMade(Event):
    """A cluster of the run's own: all nodes Ready, its images loaded, and what a new one brings along runs."""

    event: Literal["cluster.made"] = "cluster.made"
    provider: str
    nodes: int
    seconds: float


class PhaseStep(Event):
    """beside: copies of these workloads run the new release beside the old one, and the gates hold for them; switched:
    these Services were seen to lead to the new release alone."""

    event: Literal["phase.step"] = "phase.step"
    phase: str
    step: Literal["beside", "switched"]
    names: tuple[str, ...]


class PhaseDeployed(Event):
    """`carried_out`: what was not done as the strategy says; empty when all was."""

    event: Literal["phase.deployed"] = "phase.deployed"
    phase: str
    strategy: str
    carried_out: str = ""
    seconds: float
    services: tuple[str, ...]


class PhaseTakenBack(Event):
    event: Literal["phase.taken-back"] = "phase.taken-back"
    phase: str
    reason: str
    verified: bool


class GateChecked(Event):
    event: Literal["gate.checked"] = "gate.checked"
    phase: str
    gate: str
    ok: bool
    attempts: int
    seconds: float
    evidence: str = ""


class Deployed(Event):
    event: Literal["deployed"] = "deployed"
    release: str
    seconds: float
    instances: int
    endpoints: dict[str, str]


class InstancesSeen(Event):
    """The names of all instances that may run, those on their way out included. One that is missing is gone, or is not
    there yet: no name is given twice."""

    event: Literal["instances.seen"] = "instances.seen"
    names: tuple[str, ...]


class ReadinessSeen(Event):
    """Which instances of a service in a region were Ready by the cluster's own word, when a look found a change: it
    came about after the look before was asked for (`since_ns`, 0: there was none) and before this one was answered
    (`seen_ns`)."""

    event: Literal["readiness"] = "readiness"
    service: str
    region: str = ""
    ready: tuple[str, ...]
    unready: tuple[str, ...] = ()
    since_ns: int
    seen_ns: int


class ReadinessWatched(Event):
    """All looks of the watch that recorded `readiness`, of which `failed` had no answer. Between two answers passed at
    most `longest_s`, and until the first one; all the time that it lasted when there was none."""

    event: Literal["readiness.watched"] = "readiness.watched"
    from_ns: int
    until_ns: int
    every_s: float
    looks: int
    failed: int
    longest_s: float


class Effort(Event):
    """What a process of the run cost since it began, or since the stage before: its own CPU time and that of its
    children that have ended, requests to the API server by HTTP method, and programs that it ran by name."""

    event: Literal["effort"] = "effort"
    process: str
    stage: str = ""
    seconds: float
    cpu_s: float
    children_cpu_s: float
    api_calls: dict[str, int] = {}
    programs: dict[str, int] = {}


class CheckDone(Event):
    """A readiness or post-deployment check; `of` counts what was looked at, `passed` what was right."""

    event: Literal["check"] = "check"
    name: str
    passed: int
    of: int
    detail: str = ""


class ChildStarted(Event):
    event: Literal["child.started"] = "child.started"
    name: str
    child_pid: int
    started_at: float


class ChildEnded(Event):
    event: Literal["child.ended"] = "child.ended"
    name: str
    child_pid: int
    code: int | None
    expected: bool


class Window(Event):
    """A stretch of the run, [start_ns, end_ns) monotonic. Fault windows carry their experiment's id (name#n), bakes
    the share."""

    event: Literal["window"] = "window"
    kind: Literal["warm-up", "steady", "fault", "bake", "quiet"]
    experiment: str = ""
    start_ns: int
    end_ns: int


class ScheduleFixed(Event):
    """The exact schedule that the load had to keep: arrivals are recomputed from it."""

    event: Literal["schedule"] = "schedule"
    origin_ns: int
    seed: int
    duration_s: float
    arrivals: dict[str, JsonValue]
    expected: int


class FaultIntended(Event):
    event: Literal["fault.intended"] = "fault.intended"
    experiment: str
    fault: str
    kind: str
    selection: tuple[str, ...]
    token: str


class FaultInjected(Event):
    """The injector's effect was made between these two times."""

    event: Literal["fault.injected"] = "fault.injected"
    experiment: str
    fault: str
    from_ns: int
    to_ns: int


class FaultLanded(Event):
    """An observation independent of the injector; landed is None when it was never seen."""

    event: Literal["fault.landed"] = "fault.landed"
    experiment: str
    fault: str
    landed: bool
    observer: str
    detail: str = ""


class FaultGone(Event):
    event: Literal["fault.gone"] = "fault.gone"
    experiment: str
    fault: str
    gone: bool
    observer: str
    by: str
    detail: str = ""


class ExperimentEnded(Event):
    """What the Chaos Toolkit journal said, read by our rules. `mistakes` is empty when all went as declared."""

    event: Literal["experiment.ended"] = "experiment.ended"
    experiment: str
    title: str
    status: str
    deviated: bool
    mistakes: tuple[str, ...]


class ExperimentSkipped(Event):
    event: Literal["experiment.skipped"] = "experiment.skipped"
    experiment: str
    reason: str


class AlertSeen(Event):
    """An alert as Prometheus showed it: since when its condition held, and when it was first seen firing (wall)."""

    event: Literal["alert"] = "alert"
    name: str
    severity: str
    labels: dict[str, str]
    active_wall_ns: int
    firing_wall_ns: int


class ClockRead(Event):
    """Monotonic against wall clock, and the offset of another clock to ours with its error bound."""

    event: Literal["clock"] = "clock"
    clock: str
    offset_ns: int
    error_ns: int


class GuardTripped(Event):
    event: Literal["guard"] = "guard"
    guard: str
    detail: str


class ShareSet(Event):
    event: Literal["share.set"] = "share.set"
    share: float
    actuator: str


class ShareSeen(Event):
    event: Literal["share.seen"] = "share.seen"
    share: float
    canary: int
    total: int
    ok: bool


class Decided(Event):
    """What the gate was told (`seen`), what it decided, and the state it is in since."""

    event: Literal["decision"] = "decision"
    step: int
    decision: str
    reason: str
    seen: str = ""
    state: str = ""


class CriterionSeen(Frozen):
    """One criterion of the comparison: sure counts, of the stable release from the start of the record on; and the
    evidence as powers of ten (2.0: 100 to 1) that the canary is worse than its margin, and that it is within it."""

    criterion: str
    canary_bad: int
    canary: int
    stable_bad: int
    stable: int
    harm: float
    enough: float


class Compared(Event):
    """The comparison of canary and baseline when it decided something or a bake ended. Harm is tested on the blocks
    from `from_ns` on (the step's first bake), good enough from `bake_ns` on (this bake), both up to `until_ns`."""

    event: Literal["compared"] = "compared"
    step: int
    word: Literal["harm", "enough", "open"]
    from_ns: int
    bake_ns: int
    until_ns: int
    unknown: int = 0
    criteria: tuple[CriterionSeen, ...] = ()


class RolledBack(Event):
    event: Literal["rolled-back"] = "rolled-back"
    seconds: float
    seen: bool


class Problem(Event):
    """Something that went wrong with the harness's own observing; it can only move the verdict away from PASS."""

    event: Literal["problem"] = "problem"
    where: str
    text: str


class Recovered(Event):
    """`harness recover`, the watchdog or `finally` undid what a run left; `by` tells which."""

    event: Literal["recovered"] = "recovered"
    by: str
    undone: tuple[str, ...]
    ended: tuple[str, ...]
    clean: bool


AnyEvent = Annotated[
    RunOpened
    | RunClosed
    | Digest
    | StandIn
    | Stage
    | ClusterMade
    | PhaseStep
    | PhaseDeployed
    | PhaseTakenBack
    | GateChecked
    | Deployed
    | InstancesSeen
    | ReadinessSeen
    | ReadinessWatched
    | Effort
    | CheckDone
    | ChildStarted
    | ChildEnded
    | Window
    | ScheduleFixed
    | FaultIntended
    | FaultInjected
    | FaultLanded
    | FaultGone
    | ExperimentEnded
    | ExperimentSkipped
    | AlertSeen
    | ClockRead
    | GuardTripped
    | ShareSet
    | ShareSeen
    | Decided
    | Compared
    | RolledBack
    | Problem
    | Recovered,
    Field(discriminator="event"),
]
EVENT: TypeAdapter[AnyEvent] = TypeAdapter(AnyEvent)
