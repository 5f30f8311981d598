"""A target in memory, equal to the local one: instances are values, processes are numbers, time comes from a clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.at_once import at_once
from harness.errors import BadInput, TargetError
from harness.model.clock import Clock, SystemClock
from harness.model.events import CheckDone, Deployed, GateChecked, PhaseDeployed, PhaseTakenBack, StandIn
from harness.model.platform import Phase, Platform, PlatformSpec
from harness.ports import Endpoints, Instance, Leftovers, Process, ProcessStatus, Report
from harness.targets import marks, pages
from harness.targets.restart_policy import Policy, Rule
from harness.targets.rollout import at_first

FIRST_PID, FIRST_PORT = 1000, 40_000
MORTAL = ("KILL", "TERM", "INT", "QUIT", "ABRT", "SEGV")


@dataclass
class FakeProcess:
    """What runs, or ran, an instance. `crashed` until the restart policy has been told."""

    process: Process
    alive: bool = True
    paused: bool = False
    held: bool = False
    restarts: int = 0
    exit_code: int | None = None


@dataclass
class FakeTarget:
    """Does what a real target does, without a process.

    `failing_gates` names gates that never hold, `unready_releases` releases whose instances never become ready,
    `immortal` instances that survive `down`.
    """

    platform: Platform
    clock: Clock = field(default_factory=SystemClock)
    failing_gates: set[str] = field(default_factory=set)
    unready_releases: set[str] = field(default_factory=set)
    immortal: set[str] = field(default_factory=set)
    observer: str = "the fake's own table"

    def __post_init__(self) -> None:
        self._instances: dict[str, Instance] = {}
        self._processes: dict[str, FakeProcess] = {}
        self._canaries: set[str] = set()
        self._indexes: dict[tuple[str, str], int] = {}
        self._detached: set[str] = set()
        self._next_pid, self._next_port, self._up, self._release = FIRST_PID, FIRST_PORT, False, ""
        self._policy = Policy(self._rule)

    @property
    def reference(self) -> str:
        return f"fake:{self.platform.metadata.name}"

    @property
    def _spec(self) -> PlatformSpec:
        return self.platform.spec

    # -- deployment

    def up(self, release: str, report: Report) -> None:
        if self._up:
            raise TargetError(f"{self.reference} was brought up before")
        known = [each.name for each in self._spec.releases]
        self._release = self._known_release(release or (known[0] if known else ""))
        self._up = True
        for service in self._spec.services:
            if service.stand_in:
                report(StandIn(service=service.name, text=service.stand_in))
        for phase in self._spec.phases:
            before = dict(self._instances)
            for name in phase.services:
                for region, count in self._service_regions(name).items():
                    for _ in range(count):
                        self._add(name, region, self._release)
            self._gates(phase, before, report)
            report(
                PhaseDeployed(
                    phase=phase.name,
                    strategy=phase.strategy,
                    carried_out=at_first(phase.strategy),
                    seconds=0.0,
                    services=phase.services,
                )
            )
        self._report_deployed(report)

    def deploy(self, release: str, report: Report) -> None:
        self._require_up()
        self._known_release(release)
        for phase in self._spec.phases:
            before = dict(self._instances)
            old = [
                each
                for each in self._instances.values()
                if each.service in phase.services and self._released(each.service) and each.release != release
            ]
            if not any(self._released(name) for name in phase.services):
                continue
            for each in old:
                self._add(each.service, each.region, release)
                self._remove(each.name)
            self._gates(phase, before, report)
            report(PhaseDeployed(phase=phase.name, strategy=phase.strategy, seconds=0.0, services=phase.services))
        self._release = release
        self._report_deployed(report)

    def add_instances(self, service: str, region: str, count: int, release: str, report: Report) -> Sequence[Instance]:
        self._require_up()
        self._known_release(release)
        if region not in self._service_regions(service):
            raise BadInput(f"service {service!r} is not in region {region!r}")
        if release in self.unready_releases:
            raise TargetError(f"release {release!r} is not ready")
        added = [self._add(service, region, release) for _ in range(count)]
        self._canaries.update(each.name for each in added)
        return added

    def remove_instances(self, instances: Sequence[Instance]) -> None:
        for each in instances:
            self._remove(each.name)

    # -- looking

    def check(self, report: Report) -> None:
        unready = self.ready()
        count = len(self._instances)
        report(CheckDone(name="every health endpoint answers", passed=count - len(unready), of=count))
        for gate in self._spec.checks:
            report(CheckDone(name=gate.name, passed=int(gate.name not in self.failing_gates), of=1))

    def ready(self) -> Sequence[str]:
        self._require_up()
        self._let_time_pass()
        return [name for name, each in self._processes.items() if not each.alive or each.paused]

    def endpoints(self) -> Endpoints:
        self._require_up()
        return Endpoints("http://127.0.0.1:1", "", "", {}, dict.fromkeys(self._spec.endpoints.regions, ""), {})

    def present(self) -> Sequence[str]:
        self._require_up()
        return list(self._instances)

    def instances(self, service: str | None = None, region: str | None = None) -> Sequence[Instance]:
        self._require_up()
        if service is not None:
            self._service_regions(service)
        return [
            each
            for each in self._instances.values()
            if service in (None, each.service) and region in (None, each.region)
        ]

    def readiness(self) -> Mapping[tuple[str, str], tuple[Sequence[str], Sequence[str]]]:
        ill = set(self.ready())
        found: dict[tuple[str, str], tuple[list[str], list[str]]] = {}
        for each in self.instances():
            found.setdefault((each.service, each.region), ([], []))[each.name in ill].append(each.name)
        return found

    def logs(self) -> Sequence[Path]:
        return []

    def page(self, instance: Instance, port: str, path: str, timeout_s: float) -> str:
        return pages.page(instance, port, path, timeout_s)

    def call(
        self, instance: Instance, port: str, method: str, path: str, body: str | None, timeout_s: float
    ) -> tuple[int, str]:
        return pages.call(instance, port, method, path, body, timeout_s)

    # -- processes

    def marks(self, instances: Sequence[Instance]) -> Mapping[str, str]:
        return {each.name: marks.mark(self.status(each).process) for each in instances}

    def prepare(self, instances: Sequence[Instance]) -> None:
        """Nothing: a signal takes no time."""

    def prepare_hold(self, instances: Sequence[Instance], deadline_wall_ns: int) -> None:
        """Nothing: who is cut off from this machine is cut off from the harness too."""

    def remains(self, marked: Mapping[str, str]) -> Sequence[str]:
        seen = self._seen(marked)
        still = [each.name for each, process in seen if process == marks.read(marked[each.name])[0]]
        return [*self._missing(marked), *(f"{name}: its process still runs" for name in still)]

    def runs(self, marked: Mapping[str, str]) -> Sequence[str]:
        return [
            *self._missing(marked),
            *(f"{each.name}: has a process" for each, process in self._seen(marked) if process),
        ]

    def returned(self, marked: Mapping[str, str], made: bool = True) -> Sequence[str]:
        return [*self._missing(marked), *marks.replaced(self._seen(marked), marked, self.ready(), made)]

    def restore(self, marked: Mapping[str, str]) -> None:
        at_once(self.start, [each for each, _ in self._seen(marked)])

    def restore_held(self, marked: Mapping[str, str]) -> None:
        """The supervisor starts what it held; nothing else was arranged."""
        self.restore(marked)

    def held(self, marked: Mapping[str, str]) -> Sequence[str]:
        """Nothing: that an instance is held shows in its having no process."""
        return []

    def _missing(self, marked: Mapping[str, str]) -> Sequence[str]:
        return list(marks.missing(self.instances(), marked))

    def _seen(self, marked: Mapping[str, str]) -> list[tuple[Instance, Process | None]]:
        return [(each, self.status(each).process) for each in self.instances() if each.name in marked]

    def status(self, instance: Instance) -> ProcessStatus:
        self._let_time_pass()
        each = self._processes[instance.name]
        return ProcessStatus(each.process if each.alive else None, each.alive, each.exit_code, each.restarts)

    def kill(self, instance: Instance, signal: str = "KILL") -> Process:
        import signal as signals

        self._let_time_pass()
        word = signal.removeprefix("SIG")
        if f"SIG{word}" not in signals.Signals.__members__:
            raise BadInput(f"no signal {signal!r}")
        each = self._processes[instance.name]
        if not each.alive:
            raise TargetError(f"{instance.name} has no running process to signal")
        if word in MORTAL:
            each.alive, each.exit_code = False, -int(signals.Signals[f"SIG{word}"])
            if not each.held:
                self._policy.exited(instance.name, each.process.pid, self._now())
        return each.process

    def stop(self, instance: Instance) -> None:
        self._end(instance, -15)

    def kill_and_hold(self, instance: Instance) -> None:
        self._end(instance, -9)

    def start(self, instance: Instance) -> None:
        self._let_time_pass()
        each = self._processes[instance.name]
        each.held = False
        if not each.alive:
            self._policy.forget(instance.name)
            self._run(instance.name)

    def pause(self, instance: Instance) -> None:
        self._processes[instance.name].paused = True

    def resume(self, instance: Instance) -> None:
        self._processes[instance.name].paused = False

    # -- devices

    def devices(self, region: str | None = None) -> Sequence[str]:
        return [each.name for each in self._spec.devices if region in (None, each.region)]

    def device_present(self, name: str) -> bool:
        return self._known_device(name) not in self._detached

    def detach_device(self, name: str) -> None:
        self._detached.add(self._known_device(name))

    def attach_device(self, name: str) -> None:
        self._detached.discard(self._known_device(name))

    # -- the end

    def down(self) -> Leftovers:
        left = tuple(name for name in self._instances if name in self.immortal)
        for name in list(self._instances):
            if name not in self.immortal:
                self._remove(name)
        self._up = bool(left)
        return Leftovers(processes=left)

    # -- inside

    def _require_up(self) -> None:
        if not self._up:
            raise TargetError(f"{self.reference} is not up")

    def _now(self) -> float:
        return self.clock.mono_ns() / 1e9

    def _rule(self, name: str) -> Rule | None:
        service = next(each for each in self._spec.services if each.name == self._instances[name].service)
        return Rule(tuple(service.restart.waits), service.restart.forget_after)

    def _service_regions(self, name: str) -> dict[str, int]:
        for each in self._spec.services:
            if each.name == name:
                return each.instances
        raise BadInput(f"no service {name!r}")

    def _released(self, name: str) -> bool:
        return any(each.name == name and each.released for each in self._spec.services)

    def _known_release(self, release: str) -> str:
        known = [each.name for each in self._spec.releases]
        if known and release not in known:
            raise BadInput(f"no release {release!r}", fix=f"releases: {', '.join(known)}")
        return release

    def _known_device(self, name: str) -> str:
        if name not in self.devices():
            raise BadInput(f"no device {name!r}")
        return name

    def _add(self, service: str, region: str, release: str) -> Instance:
        index = self._indexes.get((service, region), 0)
        self._indexes[service, region] = index + 1
        declared = next(each for each in self._spec.services if each.name == service)
        ports = {}
        for port in declared.ports:
            ports[port], self._next_port = self._next_port, self._next_port + 1
        name = "-".join(part for part in (service, region, str(index)) if part)
        each = Instance(
            name,
            service,
            region,
            index,
            release if declared.released else "",
            "127.0.0.1",
            ports,
            Path("/nonexistent") / name,
        )
        self._instances[name] = each
        self._run(name)
        return each

    def _remove(self, name: str) -> None:
        self._instances.pop(name, None)
        self._processes.pop(name, None)
        self._canaries.discard(name)
        self._policy.forget(name)

    def _run(self, name: str) -> None:
        old = self._processes.get(name)
        process = Process(self._next_pid, self._next_pid)
        self._next_pid += 1
        self._processes[name] = FakeProcess(process, restarts=old.restarts if old else 0)
        self._policy.started(name, self._now())

    def _end(self, instance: Instance, exit_code: int) -> None:
        each = self._processes[instance.name]
        each.held = True
        self._policy.forget(instance.name)
        if each.alive:
            each.alive, each.exit_code = False, exit_code

    def _let_time_pass(self) -> None:
        for name in self._policy.due(self._now()):
            self._run(name)
            self._processes[name].restarts += 1

    def _gates(self, phase: Phase, before: dict[str, Instance], report: Report) -> None:
        failures = []
        for gate in phase.gates:
            ok = gate.name not in self.failing_gates
            report(GateChecked(phase=phase.name, gate=gate.name, ok=ok, attempts=1, seconds=0.0))
            if not ok:
                failures.append(f"gate {gate.name!r} of phase {phase.name!r} did not hold within {gate.within:g} s")
        ill = {each.release for each in self._instances.values()} & self.unready_releases
        failures += [f"release {release!r} is not ready" for release in sorted(ill)]
        if failures:
            for name in [name for name in self._instances if name not in before]:
                self._remove(name)
            for name, each in before.items():
                if name not in self._instances:
                    self._instances[name] = each
                    self._run(name)
            reason = "\n".join(failures)
            report(PhaseTakenBack(phase=phase.name, reason=reason, verified=True))
            raise TargetError(reason)

    def _report_deployed(self, report: Report) -> None:
        endpoints = {"edge": self.endpoints().edge}
        report(Deployed(release=self._release, seconds=0.0, instances=len(self._instances), endpoints=endpoints))
