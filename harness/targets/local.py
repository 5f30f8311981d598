"""The local target: a platform file deployed as supervised processes of this machine."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import signal as signals
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

from harness.errors import BadInput, HarnessError, PlatformAbsent, TargetError
from harness.model.events import Deployed, GateChecked, PhaseDeployed, PhaseTakenBack, StandIn
from harness.model.platform import Gate, Phase, Platform
from harness.ports import Endpoints, Instance, Leftovers, Process, ProcessStatus, Report
from harness.spec.yaml import Located
from harness.targets import instances as inst
from harness.targets import leases, procfs, restart_policy, supervisor, teardown
from harness.targets.folder import PlatformFolder, check_socket_length, make_private, state_root, user_folder
from harness.targets.gates import gate_look, keep_attempts
from harness.targets.preflight import preflight
from harness.targets.probe import Attempt, poll
from harness.targets.render import Context, base_environment, endpoint, render
from harness.targets.rollout import first_batches, replacing_batches, unused
from harness.targets.state import (
    ANSWERING,
    InstanceState,
    PlatformState,
    Role,
    boot_id,
    load,
    public,
    save,
    write_whole,
)

PORT_ATTEMPTS = 3


class LocalTarget:
    """One platform on this machine, named by its state folder. Holds no state of its own: every call reads the attach
    file, so that several processes (the harness, a chaos child, a watchdog) may use the same platform."""

    def __init__(self, folder: PlatformFolder, platform: Located[Platform] | None = None) -> None:
        self.folder = folder
        self._platform = platform
        self._mutex = threading.RLock()

    @property
    def reference(self) -> str:
        return f"local:{self.folder.root}"

    # ---------------------------------------------------------------- deployment

    def up(self, release: str, report: Report) -> None:
        """Deploys phase by phase. Raises BadInput or TargetError before anything is started when something is missing,
        TargetError (with the phase taken back) when an instance or a gate fails."""
        if self._platform is None:
            raise TargetError(f"{self.folder.root} is up already\n  fix: use `deploy` to roll out another release")
        begun = time.monotonic()
        spec = self._platform.value.spec
        preflight(self._platform, self.folder)
        self._create(release)
        for service in spec.services:
            if service.stand_in:
                report(StandIn(service=service.name, text=service.stand_in))
        for phase in spec.phases:
            self._first_roll_out(phase, report)
        state = self._update(lambda state: state.model_copy(update={"status": "up"}))
        self._report_deployed(state, begun, report)

    def deploy(self, release: str, report: Report) -> None:
        """Rolls out another release of the released services while they serve, phase by phase; the old instances end
        when nothing that runs was rendered with them. Raises TargetError with the phase taken back."""
        begun = time.monotonic()
        state = self._state()
        if not release:
            raise BadInput("no release is named", fix="name one of the platform file's releases")
        state.release_named(release)
        self._refuse_without_reload(state)
        self._update(lambda state: state.model_copy(update={"release": release}))
        for phase in state.spec.phases:
            if any(state.service(name).released for name in phase.services):
                self._replace(phase, release, report)
        self._refresh(settle=True)
        self._end_unused()
        self._report_deployed(self._state(), begun, report)

    def take_back(self, phase: str) -> bool:
        """Puts the platform back to what it was before a phase; True when that was then seen to be so.

        What ran before is started again, what came since is stopped, configurations are as they were.
        """
        saved = load(self._saved(phase))
        now = self._state()
        before = {each.name for each in saved.instances if each.started}
        back = [each for each in saved.instances if each.started and inst.running(self.folder, each.name) is None]
        self._update(
            lambda state: saved.model_copy(
                update={
                    "supervisor_pid": state.supervisor_pid,
                    "supervisor_start_time": state.supervisor_start_time,
                    "indexes": state.indexes,
                    "instances": saved.instances,
                }
            )
        )
        self._write_rules()
        if back:
            self._start(back)
        self._refresh(settle=True)
        newer = [each for each in now.instances if each.name not in before]
        self._stop([each for each in newer if inst.running(self.folder, each.name)], now)
        state = self._state()
        alive = {each.name for each in now.instances if inst.running(self.folder, each.name)}
        looks = [inst.look(self.folder, state, state.instance(name)) for name in sorted(before & alive)]
        return alive == before and all(look.ok for look in looks)

    def add_instances(self, service: str, region: str, count: int, release: str, report: Report) -> Sequence[Instance]:
        """Starts canaries: extra instances of a release beside the serving ones. Templates see them only when they ask
        for canaries; the share of traffic they get is an actuator's business."""
        state = self._state()
        declared = state.service(service)
        state.release_named(release)
        if region not in declared.instances:
            raise BadInput(
                f"service {service!r} is not in region {region!r}", fix=f"in {', '.join(declared.instances)}"
            )
        phase = next(phase.name for phase in state.spec.phases if service in phase.services)
        new = [self._new_instance(service, region, release, phase, "canary") for _ in range(count)]
        try:
            self._start(new)
        except HarnessError:
            self._discard(new)
            raise
        self._refresh()
        return [public(self.folder, self._state().instance(each.name)) for each in new]

    def remove_instances(self, instances: Sequence[Instance]) -> None:
        """Ends instances for good; ones that are gone already are no error."""
        names = {each.name for each in instances}
        self._discard([each for each in self._state().instances if each.name in names])
        self._refresh()

    # ---------------------------------------------------------------- looking

    def check(self, report: Report) -> None:
        """Reports one CheckDone for each post-deployment check."""
        from harness.targets.checks import post_deployment

        state = self._state()
        for done in post_deployment(self.folder, state):
            report(done)

    def ready(self) -> Sequence[str]:
        """Names of the instances that should serve and do not."""
        state = self._state()
        expected = state.of(roles=ANSWERING)
        with ThreadPoolExecutor(max_workers=16) as pool:
            looks = list(pool.map(lambda each: inst.look(self.folder, state, each), expected))
        return [each.name for each, look in zip(expected, looks, strict=True) if not look.ok]

    def endpoints(self) -> Endpoints:
        state = self._state()
        points, context = state.spec.endpoints, Context(self.folder, state)
        return Endpoints(
            edge=endpoint(context, points.edge),
            prometheus=endpoint(context, points.prometheus),
            alertmanager=endpoint(context, points.alertmanager),
            databases={key: endpoint(context, text) for key, text in points.databases.items()},
            regions={key: endpoint(context, text) for key, text in points.regions.items()},
            extra={
                f"{each.name}.{port}": f"127.0.0.1:{number}"
                for each in state.of(roles=ANSWERING)
                for port, number in each.ports.items()
            },
        )

    def instances(self, service: str | None = None, region: str | None = None) -> Sequence[Instance]:
        state = self._state()
        if service is not None:
            state.service(service)
        return [public(self.folder, each) for each in state.of(service, region, ANSWERING)]

    def log(self, instance: Instance) -> Path:
        """The file with all output of an instance, also of its earlier processes."""
        return self.folder.log(instance.name)

    def logs(self) -> Sequence[Path]:
        """All logs: instances, supervisord, restarts, gates."""
        own = (self.folder.supervisor_log, self.folder.restarts, self.folder.gates)
        return [*sorted(self.folder.logs.glob("*.log")), *(file for file in own if file.exists())]

    # ---------------------------------------------------------------- processes

    def status(self, instance: Instance) -> ProcessStatus:
        return inst.status(self.folder, instance.name)

    def kill(self, instance: Instance, signal: str = "KILL") -> Process:
        return inst.kill(self.folder, instance.name, signal)

    def stop(self, instance: Instance) -> None:
        service = self._state().service(instance.service)
        inst.stop(self.folder, instance.name, service.stop.signal, service.stop.timeout)

    def kill_and_hold(self, instance: Instance) -> None:
        inst.hold(self.folder, instance.name)
        if inst.running(self.folder, instance.name):
            inst.stop(self.folder, instance.name, "KILL", 5)

    def start(self, instance: Instance) -> None:
        self._state().instance(instance.name)
        inst.start(self.folder, instance.name)

    def pause(self, instance: Instance) -> None:
        """SIGSTOP to the instance's process and all below it."""
        inst.signal_all(self.folder, instance.name, signals.SIGSTOP)

    def resume(self, instance: Instance) -> None:
        inst.signal_all(self.folder, instance.name, signals.SIGCONT)

    # ---------------------------------------------------------------- devices

    def devices(self, region: str | None = None) -> Sequence[str]:
        return [each.name for each in self._state().spec.devices if region is None or each.region == region]

    def device_present(self, name: str) -> bool:
        return self._device(name).exists()

    def detach_device(self, name: str) -> None:
        """Moves the device's file away; nothing to do when it is away already."""
        path = self._device(name)
        if path.exists():
            path.replace(_away(path))

    def attach_device(self, name: str) -> None:
        """Moves the device's file back; nothing to do when it is there."""
        path = self._device(name)
        if not path.exists():
            if not _away(path).exists():
                raise TargetError(f"device {name!r} is neither at {path} nor at {_away(path)}")
            _away(path).replace(path)

    def _device(self, name: str) -> Path:
        state = self._state()
        return Path(Context(self.folder, state).fill(state.device(name).path))

    # ---------------------------------------------------------------- the end

    def down(self) -> Leftovers:
        """Ends exactly what was started and proves it; then the folder goes. Works without supervisord, from a cold
        process, and when nothing was ever started.

        Returns what was still there; the folder stays in that case.
        """
        folder = self.folder
        if not folder.root.is_dir():
            return Leftovers()
        groups, ports, devices = self._endings()
        left = teardown.end(folder, groups, ports)
        for device in devices:
            if not device.exists() and _away(device).exists():
                _away(device).replace(device)
        if not left.clean:
            return left
        leases.release(folder.root)
        shutil.rmtree(folder.root, ignore_errors=True)
        return Leftovers(files=(str(folder.root),) if folder.root.exists() else ())

    def _endings(self) -> tuple[list[list[teardown.Ending]], list[int], list[Path]]:
        """Last phase first; nothing when the attach file cannot be read (then all processes just get SIGTERM)."""
        try:
            state = self._state()
        except TargetError:
            return [], [], []
        groups = []
        for phase in reversed(state.spec.phases):
            stops = {name: state.service(name).stop for name in phase.services}
            groups.append(
                [
                    teardown.Ending(each.name, stops[each.service].signal, stops[each.service].timeout)
                    for each in state.instances
                    if each.service in stops
                ]
            )
        ports = [port for each in state.instances if each.started for port in each.ports.values()]
        context = Context(self.folder, state)
        outside = [Path(context.fill(device.path)) for device in state.spec.devices]
        return groups, ports, [path for path in outside if self.folder.root not in path.parents]

    # ---------------------------------------------------------------- inside

    def _state(self) -> PlatformState:
        return load(self.folder.state)

    def _update(self, change: Callable[[PlatformState], PlatformState]) -> PlatformState:
        with self._mutex, self.folder.locked():
            changed = change(self._state())
            save(self.folder.state, changed)
            return changed

    def _saved(self, phase: str) -> Path:
        return self.folder.saved / f"{hashlib.sha256(phase.encode()).hexdigest()[:12]}.json"

    def _create(self, release: str) -> None:
        """Folder, first state with all ports, devices, supervisord."""
        assert self._platform is not None
        platform, file = self._platform.value, self._platform.file.resolve()
        spec, folder = platform.spec, self.folder
        chosen = release or (spec.releases[0].name if spec.releases else "")
        if folder.root.exists():
            raise TargetError(f"{folder.root} exists already")
        for path in (folder.root, folder.saved, folder.held, folder.logs):
            make_private(path)
        folder.control.mkdir(mode=0o700)
        state = PlatformState(
            id=folder.id,
            name=platform.metadata.name,
            platform_file=str(file),
            platform_sha256=hashlib.sha256(file.read_bytes()).hexdigest(),
            source=str(file.parent),
            host=os.uname().nodename,
            boot_id=boot_id(),
            created_wall_ns=time.time_ns(),
            python=sys.executable,
            release=chosen,
            spec=spec,
        )
        if chosen:
            state.release_named(chosen)
        save(folder.state, state)
        for phase in spec.phases:
            for name in phase.services:
                for region, count in state.service(name).instances.items():
                    for _ in range(count):
                        self._new_instance(name, region, chosen, phase.name, "serving")
        self._make_devices()
        seen = supervisor.start(folder, base_environment(folder))
        self._update(
            lambda state: state.model_copy(
                update={"supervisor_pid": seen.pid, "supervisor_start_time": seen.start_time}
            )
        )

    def _make_devices(self) -> None:
        """A device below the platform's own folder is a stand-in that we make; any other must be there already."""
        state = self._state()
        context = Context(self.folder, state)
        for device in state.spec.devices:
            path = Path(context.fill(device.path))
            if self.folder.root in path.parents:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch()

    def _new_instance(self, service: str, region: str, release: str, phase: str, role: Role) -> InstanceState:
        """Adds an instance to the state, with free ports and a name that was never used before."""

        def change(state: PlatformState) -> PlatformState:
            declared = state.service(service)
            key = f"{service}@{region}"
            index = state.indexes.get(key, 0)
            numbers = leases.lease(self.folder.root, declared.ports.values())
            each = InstanceState(
                name="-".join(part for part in (service, region, str(index)) if part),
                service=service,
                region=region,
                index=index,
                release=release if declared.released else "",
                ports=dict(zip(declared.ports, numbers, strict=True)),
                phase=phase,
                role=role,
            )
            added.append(each)
            return state.with_instances(each).model_copy(update={"indexes": {**state.indexes, key: index + 1}})

        added: list[InstanceState] = []
        self._update(change)
        return added[0]

    def _first_roll_out(self, phase: Phase, report: Report) -> None:
        begun = time.monotonic()
        before = self._state()
        save(self._saved(phase.name), before)
        try:
            for batch in first_batches(phase.strategy, [each for each in before.of() if each.phase == phase.name]):
                self._start(batch)
            self._refresh()
            self._gates(phase, report)
        except HarnessError as error:
            self._give_back(phase, str(error), report)
            raise
        self._finish_phase(phase, begun, report)

    def _replace(self, phase: Phase, release: str, report: Report) -> None:
        begun = time.monotonic()
        before = self._state()
        save(self._saved(phase.name), before)
        old = [
            each
            for each in before.of()
            if each.phase == phase.name and before.service(each.service).released and each.release != release
        ]
        try:
            for number, batch in enumerate(replacing_batches(phase.strategy, old)):
                new = [self._new_instance(each.service, each.region, release, phase.name, "starting") for each in batch]
                self._start(new)
                if phase.strategy == "blue-green" or (phase.strategy == "canary" and number == 0):
                    self._gates(phase, report, [each.name for each in new])
                self._switch(batch, new)
            self._gates(phase, report)
        except HarnessError as error:
            self._give_back(phase, str(error), report)
            raise
        self._finish_phase(phase, begun, report)

    def _switch(self, old: Sequence[InstanceState], new: Sequence[InstanceState]) -> None:
        """New instances serve, old ones end as soon as nothing uses them."""

        def change(state: PlatformState) -> PlatformState:
            roles: dict[str, Role] = {
                **{each.name: "retiring" for each in old},
                **{each.name: "serving" for each in new},
            }
            return state.with_instances(
                *(each.model_copy(update={"role": roles[each.name]}) for each in state.instances if each.name in roles)
            )

        self._update(change)
        self._refresh()
        self._end_unused()

    def _give_back(self, phase: Phase, reason: str, report: Report) -> None:
        verified = False
        try:
            verified = self.take_back(phase.name)
        finally:
            self._update(lambda state: state.model_copy(update={"status": "failed"}))
            report(PhaseTakenBack(phase=phase.name, reason=reason, verified=verified))

    def _finish_phase(self, phase: Phase, begun: float, report: Report) -> None:
        self._update(
            lambda state: state.model_copy(update={"phases": tuple(dict.fromkeys((*state.phases, phase.name)))})
        )
        seconds = time.monotonic() - begun
        report(PhaseDeployed(phase=phase.name, strategy=phase.strategy, seconds=seconds, services=phase.services))

    def _report_deployed(self, state: PlatformState, begun: float, report: Report) -> None:
        points = self.endpoints()
        flat = {"edge": points.edge, "prometheus": points.prometheus, "alertmanager": points.alertmanager}
        report(
            Deployed(
                release=state.release,
                seconds=time.monotonic() - begun,
                instances=len(state.of()),
                endpoints={key: value for key, value in flat.items() if value},
            )
        )

    # ---- starting and stopping several at once

    def _start(self, batch: Sequence[InstanceState]) -> None:
        """Starts instances at once, each after those of the batch that it depends on; returns when all serve.

        Raises the first failure after the others were given up. A port that turns out to be taken is replaced.
        """
        state = self._state()
        for each in batch:
            inst.configure(self.folder, state, each)
        supervisor.load(self.folder, [each.name for each in batch])
        self._write_rules()
        names = {each.name for each in batch}
        done = {name: threading.Event() for name in names}
        failed = threading.Event()

        def one(each: InstanceState) -> None:
            try:
                depends = state.service(each.service).depends
                for other in batch:
                    if other.service in depends:
                        while not done[other.name].wait(0.05):
                            if failed.is_set():
                                raise inst.Stopped(f"{each.name}: given up")
                self._start_one(each.name, failed)
                done[each.name].set()
            except BaseException:
                failed.set()
                raise

        with ThreadPoolExecutor(max_workers=max(1, len(batch))) as pool:
            futures: list[Future[None]] = [pool.submit(one, each) for each in batch]
            wait(futures, return_when=FIRST_EXCEPTION)
        errors = [error for future in futures if (error := future.exception())]
        for error in sorted(errors, key=lambda error: isinstance(error, inst.Stopped)):
            raise error

    def _start_one(self, name: str, failed: threading.Event) -> None:
        for attempt in range(PORT_ATTEMPTS):
            state = self._state()
            each, rendered = inst.place(self.folder, state, state.instance(name))
            if attempt == 0 and not each.started:
                inst.prepare(self.folder, state.service(each.service), each, rendered)
            self._update(
                lambda state, each=each: state.with_instances(each.model_copy(update={"started": True}))  # type: ignore[misc]
            )
            inst.start(self.folder, name)
            try:
                inst.wait_ready(self.folder, state, each, failed.is_set)
            except inst.PortTaken as taken:
                if attempt == PORT_ATTEMPTS - 1:
                    raise
                inst.stop(self.folder, name, "KILL", 5)
                self._other_port(taken)
                continue
            seen = inst.running(self.folder, name)
            if seen:
                self._update(
                    lambda state, seen=seen: state.with_instances(  # type: ignore[misc]
                        state.instance(name).model_copy(update={"pid": seen.pid, "start_time": seen.start_time})
                    )
                )
            return

    def _other_port(self, taken: inst.PortTaken) -> None:
        def change(state: PlatformState) -> PlatformState:
            each = state.instance(taken.instance)
            (fresh,) = leases.lease(self.folder.root, [0])
            ports = {key: fresh if port == taken.port else port for key, port in each.ports.items()}
            return state.with_instances(each.model_copy(update={"ports": ports}))

        self._update(change)
        leases.release(self.folder.root, ports=[taken.port])

    def _stop(self, instances: Iterable[InstanceState], state: PlatformState) -> None:
        def one(each: InstanceState) -> None:
            how = state.service(each.service).stop
            inst.stop(self.folder, each.name, how.signal, how.timeout)

        with ThreadPoolExecutor(max_workers=16) as pool:
            list(pool.map(one, instances))

    def _discard(self, instances: Sequence[InstanceState]) -> None:
        """Stops instances and takes them out of the state; their folders and logs stay until `down`."""
        names = [each.name for each in instances]
        self._stop(instances, self._state())
        self._update(lambda state: state.without(*names))
        self._write_rules()
        for name in names:
            supervisor.forget(self.folder, name)

    def _end_unused(self) -> None:
        """Drains and ends retiring instances that nothing uses any more."""
        state = self._state()
        idle = unused(state.instances)
        if idle:
            time.sleep(max(state.service(each.service).stop.drain for each in idle))
            self._discard(idle)

    def _refresh(self, settle: bool = False) -> None:
        """Renders every running instance again and makes it take up what changed.

        Changed files are reloaded. A changed command or environment needs another process: services with releases keep
        the instances they were rendered with until their own phase replaces them, others are restarted; with `settle`
        (nothing more is going to be replaced) all are.
        """
        state = self._state()
        settle_s = 0.0
        for each in state.of(roles=ANSWERING):
            if not each.started or inst.running(self.folder, each.name) is None:
                continue
            fresh = render(self.folder, state, each)
            script_changed = fresh.script_sha256 != each.script_sha256
            if not script_changed and fresh.files_sha256 == each.files_sha256:
                continue
            if script_changed and state.service(each.service).released and not settle:
                continue
            placed, rendered = inst.place(self.folder, state, each)
            if script_changed:
                how = state.service(each.service).stop
                inst.stop(self.folder, each.name, how.signal, how.timeout)
                inst.start(self.folder, each.name)
                inst.wait_ready(self.folder, state, placed)
            else:
                settle_s = max(settle_s, inst.reload(self.folder, state, placed, rendered))
            self._update(lambda state, placed=placed: state.with_instances(placed))  # type: ignore[misc]
        time.sleep(settle_s)

    def _refuse_without_reload(self, state: PlatformState) -> None:
        released = {each.name for each in state.of() if state.service(each.service).released}
        for service in state.spec.services:
            users = [each for each in state.of(service.name) if released & set(each.uses)]
            if users and service.files and not service.released and service.reload is None:
                raise BadInput(
                    f"service {service.name!r} is rendered with instances that a rollout replaces, and has no `reload`",
                    file=state.platform_file,
                    fix="give it `reload` with a signal, a command, or `watched: true`",
                )

    def _write_rules(self) -> None:
        state = self._state()
        rules = {
            each.name: restart_policy.Rule(tuple(policy.waits), policy.forget_after)
            for each in state.instances
            for policy in [state.service(each.service).restart]
        }
        write_whole(self.folder.policy, restart_policy.dump_rules(rules))

    # ---- gates

    def _gates(self, phase: Phase, report: Report, names: Sequence[str] = ()) -> None:
        """All gates of a phase at once, each to its deadline; `names` restricts them to these instances."""
        state = self._state()
        gates = [gate for gate in phase.gates if not names or _touches(gate, state, names)]

        def one(gate: Gate) -> tuple[bool, list[Attempt], float]:
            begun = time.monotonic()
            ok, attempts = poll(lambda: gate_look(self.folder, state, gate, names), gate.within, gate.every)
            return ok, attempts, time.monotonic() - begun

        with ThreadPoolExecutor(max_workers=max(1, len(gates))) as pool:
            results = list(pool.map(one, gates))
        failures = []
        for gate, (ok, attempts, seconds) in zip(gates, results, strict=True):
            keep_attempts(self.folder, phase.name, gate.name, attempts)
            evidence = attempts[-1].look.evidence[:500]
            report(
                GateChecked(
                    phase=phase.name, gate=gate.name, ok=ok, attempts=len(attempts), seconds=seconds, evidence=evidence
                )
            )
            if not ok:
                failures.append(
                    f"gate {gate.name!r} of phase {phase.name!r} did not hold within {gate.within:g} s: {evidence}"
                )
        if failures:
            raise TargetError("\n".join(failures))


def _touches(gate: Gate, state: PlatformState, names: Sequence[str]) -> bool:
    services = {state.instance(name).service for name in names}
    return gate.http is not None and gate.http.service in services


def _away(path: Path) -> Path:
    return path.with_name(f".{path.name}.detached")


def local(platform: Located[Platform], root: Path | None = None) -> LocalTarget:
    """A target for a new deployment of a checked platform; nothing is touched before `up`.

    Its state goes below `root`, else ${HARNESS_STATE}, else <tempdir>/harness-<uid>.
    """
    base = state_root(root)
    if base == user_folder():
        make_private(base)
    folder = PlatformFolder(base / f"{platform.value.metadata.name}-{secrets.token_hex(3)}")
    check_socket_length(folder)
    return LocalTarget(folder, platform)


def attach(state: Path | str) -> LocalTarget:
    """The platform of a state folder (or of `local:FOLDER`), from whatever process. Raises TargetError."""
    path = Path(str(state).removeprefix("local:")).absolute()
    target = LocalTarget(PlatformFolder(path))
    if not path.is_dir():
        raise PlatformAbsent(f"no platform at {path}\n  fix: `harness status` lists the platforms that are up")
    return target


@dataclass(frozen=True)
class PlatformSummary:
    """One line of `harness status`. `supervised` is False when supervisord is gone."""

    reference: str
    name: str
    release: str
    status: str
    created_wall_ns: int
    instances: int
    not_ready: tuple[str, ...]
    supervised: bool
    edge: str


def status(root: Path | None = None) -> list[PlatformSummary]:
    """All platforms of this user, oldest first; folders that hold no readable platform are left out."""
    found = []
    base = state_root(root)
    for file in sorted(base.glob("*/platform.json")) if base.is_dir() else []:
        target = attach(file.parent)
        try:
            state = load(file)
            not_ready, edge = tuple(target.ready()), target.endpoints().edge
        except TargetError:
            continue
        found.append(
            PlatformSummary(
                reference=target.reference,
                name=state.name,
                release=state.release,
                status=state.status,
                created_wall_ns=state.created_wall_ns,
                instances=len(state.of()),
                not_ready=not_ready,
                supervised=procfs.alive(state.supervisor_pid, state.supervisor_start_time),
                edge=edge,
            )
        )
    return sorted(found, key=lambda each: each.created_wall_ns)
