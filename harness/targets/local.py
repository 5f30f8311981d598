"""The local target: a platform file deployed as supervised processes of this machine."""

from __future__ import annotations

import functools
import importlib.util
import re
import secrets
import shutil
import signal as signals
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ParamSpec, TypeVar

from harness.at_once import at_once
from harness.errors import BadInput, PlatformAbsent, TargetError
from harness.model.events import StandIn
from harness.model.platform import Platform
from harness.ports import Endpoints, Instance, Leftovers, Process, ProcessStatus, Report
from harness.spec.yaml import Located
from harness.targets import deployment, fleet, leases, marks, pages, procfs, teardown
from harness.targets import instances as one
from harness.targets.folder import PlatformFolder, check_socket_length, make_private, state_root
from harness.targets.preflight import preflight
from harness.targets.render import Context, endpoint
from harness.targets.state import ANSWERING, HOST, InstanceState, boot_id, load, public
from harness.targets.store import Store
from harness.targets.summary import PlatformSummary

ID = re.compile(r"^[a-z0-9-]+-[0-9a-f]{6}$")

P = ParamSpec("P")
T = TypeVar("T")


def _told(method: Callable[P, T]) -> Callable[P, T]:
    """A full disk or a folder that cannot be written to is a TargetError."""

    @functools.wraps(method)
    def telling(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return method(*args, **kwargs)
        except OSError as error:
            fix = "free some space, or set HARNESS_STATE to another folder"
            raise TargetError(f"{error.filename or 'the state folder'}: {error.strerror}\n  fix: {fix}") from error

    return telling


class LocalTarget:
    """One platform on this machine, named by its state folder.

    Holds nothing of its own: every call reads the attach file, so that several processes (the harness, a chaos child, a
    watchdog) may use the same platform.
    """

    observer = marks.OBSERVER

    def __init__(self, folder: PlatformFolder, platform: Located[Platform] | None = None) -> None:
        self.folder = folder
        self._store = Store(folder)
        self._platform = platform

    @property
    def reference(self) -> str:
        return f"local:{self.folder.root}"

    # -- deployment

    @_told
    def up(self, release: str, report: Report) -> None:
        """Deploys phase by phase. Raises BadInput or TargetError before anything is started when something is missing,
        TargetError (with the phase taken back) when an instance or a gate fails."""
        if self._platform is None or self.folder.root.exists():
            raise TargetError(f"{self.folder.root} was brought up before\n  fix: roll out a release with `deploy`")
        begun = time.monotonic()
        preflight(self._platform, self.folder)
        deployment.create(self._store, self._platform, release)
        spec = self._platform.value.spec
        for service in spec.services:
            if service.stand_in:
                report(StandIn(service=service.name, text=service.stand_in))
        for phase in spec.phases:
            deployment.roll_out_first(self._store, phase, report)
        deployment.finish(self._store, begun, report)

    @_told
    def deploy(self, release: str, report: Report) -> None:
        """Rolls out another release of the released services while they serve, phase by phase.

        Raises BadInput for an unknown release, TargetError (with the phase taken back) when something fails.
        """
        begun = time.monotonic()
        state = self._store.read()
        state.release_named(release)
        deployment.refuse_without_reload(state)
        for phase in state.spec.phases:
            if any(state.service(name).released for name in phase.services):
                deployment.replace(self._store, phase, release, report)
        fleet.refresh(self._store, settle=True)
        fleet.end_unused(self._store)
        self._store.update(lambda state: state.model_copy(update={"release": release}))
        deployment.finish(self._store, begun, report)

    @_told
    def take_back(self, phase: str) -> bool:
        """Puts the platform back to what it was before a phase; True when that was then seen to be so."""
        return deployment.take_back(self._store, phase)

    def add_instances(self, service: str, region: str, count: int, release: str, report: Report) -> Sequence[Instance]:
        """Starts canaries: extra instances of a release beside the serving ones; returns when they are ready.

        Templates see them only when they ask for canaries: the share of traffic they get is an actuator's business.
        Raises BadInput for unknown names, TargetError (nothing of them left) when one does not become ready.
        """
        state = self._store.read()
        declared = state.service(service)
        state.release_named(release)
        if not declared.released:
            raise BadInput(f"service {service!r} has no releases", fix="set `released: true` in the platform file")
        if region not in declared.instances:
            fix = f"it is in {', '.join(declared.instances)}"
            raise BadInput(f"service {service!r} is not in region {region!r}", fix=fix)
        new = [self._store.add(service, region, release, "canary") for _ in range(count)]
        try:
            fleet.start(self._store, new)
        except BaseException:
            fleet.discard(self._store, new)
            raise
        fleet.refresh(self._store, settle=False)
        return [self._public(self._store.read().instance(each.name)) for each in new]

    @_told
    def remove_instances(self, instances: Sequence[Instance]) -> None:
        """Ends instances for good; ones that are gone already are no error."""
        names = {each.name for each in instances}
        fleet.discard(self._store, [each for each in self._store.read().instances if each.name in names])
        fleet.refresh(self._store, settle=False)

    # -- looking

    @_told
    def check(self, report: Report) -> None:
        """Reports one CheckDone for each post-deployment check."""
        from harness.targets.checks import post_deployment

        for done in post_deployment(self.folder, self._store.read()):
            report(done)

    def ready(self) -> Sequence[str]:
        """Names of the instances that should serve and do not."""
        state = self._store.read()
        expected = state.of(roles=ANSWERING)
        with ThreadPoolExecutor(max_workers=fleet.THREADS) as pool:
            looks = list(pool.map(lambda each: one.look(self.folder, state, each), expected))
        return [each.name for each, look in zip(expected, looks, strict=True) if not look.ok]

    def endpoints(self) -> Endpoints:
        """URLs and addresses; `extra` has host:port of every port as `instance.port`."""
        state = self._store.read()
        points, context = state.spec.endpoints, Context(self.folder, state)
        return Endpoints(
            edge=endpoint(context, points.edge),
            prometheus=endpoint(context, points.prometheus),
            alertmanager=endpoint(context, points.alertmanager),
            databases={key: endpoint(context, text) for key, text in points.databases.items()},
            regions={key: endpoint(context, text) for key, text in points.regions.items()},
            extra={
                f"{each.name}.{port}": f"{HOST}:{number}"
                for each in state.of(roles=ANSWERING)
                for port, number in each.ports.items()
            },
        )

    def instances(self, service: str | None = None, region: str | None = None) -> Sequence[Instance]:
        state = self._store.read()
        if service is not None:
            state.service(service)
        return [self._public(each) for each in state.of(service, region, ANSWERING)]

    def present(self) -> Sequence[str]:
        """All that were deployed and not removed: any may run, or be started again."""
        return [each.name for each in self._store.read().instances]

    def artifacts(self) -> Mapping[str, Path | str]:
        """Every executable that runs now, and the root package of every `python -m` among the commands."""
        programs = {procfs.executable(seen.pid) for seen in teardown.members(self.folder)} - {""}
        found: dict[str, Path | str] = {f"program {Path(program).name}": Path(program) for program in sorted(programs)}
        for service in self._store.read().spec.services:
            command = service.command or ("",)
            if command[0] == "${python}" and "-m" in command:
                package = command[command.index("-m") + 1].partition(".")[0]
                spec = importlib.util.find_spec(package)
                if spec and spec.origin:
                    found[f"package {package}"] = Path(spec.origin).parent
        return found

    def logs(self) -> Sequence[Path]:
        """All logs: one per instance (also of its earlier processes), supervisord's, restarts, gates."""
        own = (self.folder.supervisor_log, self.folder.restarts, self.folder.gates)
        return [*sorted(self.folder.logs.glob("*.log")), *(file for file in own if file.exists())]

    def _public(self, each: InstanceState) -> Instance:
        return public(self.folder, each)

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
        listed = self._listed(marked)
        return [*marks.missing(listed, marked), *marks.survivors(listed, marked)]

    def runs(self, marked: Mapping[str, str]) -> Sequence[str]:
        listed = self._listed(marked)
        return [*self.remains(marked), *marks.running((each, self.status(each).process) for each in listed)]

    def returned(self, marked: Mapping[str, str], made: bool = True) -> Sequence[str]:
        listed, unready = self._listed(marked), self.ready()
        seen = [(each, self.status(each).process) for each in listed]
        return [*marks.missing(listed, marked), *marks.replaced(seen, marked, unready, made)]

    def restore(self, marked: Mapping[str, str]) -> None:
        """At the same time; every instance is tried before the first error is raised."""
        at_once(self.start, self._listed(marked))

    def restore_held(self, marked: Mapping[str, str]) -> None:
        """The supervisor starts what it held; nothing else was arranged."""
        self.restore(marked)

    def held(self, marked: Mapping[str, str]) -> Sequence[str]:
        """Nothing: that an instance is held shows in its having no process."""
        return []

    def _listed(self, marked: Mapping[str, str]) -> list[Instance]:
        return [each for each in self.instances() if each.name in marked]

    def status(self, instance: Instance) -> ProcessStatus:
        return one.status(self.folder, instance.name)

    def kill(self, instance: Instance, signal: str = "KILL") -> Process:
        return one.kill(self.folder, instance.name, signal)

    def stop(self, instance: Instance) -> None:
        state = self._store.read()
        fleet.stop(self.folder, state, [state.instance(instance.name)])

    def kill_and_hold(self, instance: Instance) -> None:
        one.stop(self.folder, instance.name, "KILL", 5)

    def start(self, instance: Instance) -> None:
        self._store.read().instance(instance.name)
        one.start(self.folder, instance.name)

    def pause(self, instance: Instance) -> None:
        """SIGSTOP to the instance's process and all below it."""
        one.signal_all(self.folder, instance.name, signals.SIGSTOP)

    def resume(self, instance: Instance) -> None:
        one.signal_all(self.folder, instance.name, signals.SIGCONT)

    # -- devices

    def devices(self, region: str | None = None) -> Sequence[str]:
        return [each.name for each in self._store.read().spec.devices if region is None or each.region == region]

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
        if path.exists():
            return
        if not _away(path).exists():
            raise TargetError(f"device {name!r} is neither at {path} nor at {_away(path)}")
        _away(path).replace(path)

    def _device(self, name: str) -> Path:
        state = self._store.read()
        return Path(Context(self.folder, state).fill(state.device(name).path))

    # -- the end

    def down(self) -> Leftovers:
        """Ends exactly what was started and proves it; then the folder goes.

        Works without supervisord, from a cold process, twice, and when nothing was ever started. Returns what is still
        there; in that case the folder stays.
        """
        groups, ports, devices = self._endings()
        left = teardown.end(self.folder, groups, ports)
        for device in devices:
            if not device.exists() and _away(device).exists():
                _away(device).replace(device)
        if not left.clean:
            return left
        leases.release(self.folder.root)
        shutil.rmtree(self.folder.root, ignore_errors=True)
        return Leftovers(files=(str(self.folder.root),) if self.folder.root.exists() else ())

    def _endings(self) -> tuple[list[list[teardown.Ending]], list[int], list[Path]]:
        """Groups to end (last phase first), ports that must fall silent, devices that are not in the platform's folder.

        Nothing when there is no readable attach file: then all processes just get SIGTERM.
        """
        try:
            state = self._store.read()
        except TargetError:
            return [], [], []
        if state.boot_id != boot_id():  # the machine was started anew: nothing of that time runs
            return [], [], []
        groups = []
        for phase in reversed(state.spec.phases):
            stops = {name: state.service(name).stop for name in phase.services}
            members = [each for each in state.instances if each.service in stops]
            groups.append(
                [
                    teardown.Ending(each.name, stops[each.service].signal, stops[each.service].timeout)
                    for each in members
                ]
            )
        ports = [port for each in state.instances if each.started for port in each.ports.values()]
        context = Context(self.folder, state)
        paths = [Path(context.fill(device.path)) for device in state.spec.devices]
        return groups, ports, [path for path in paths if self.folder.root not in path.parents]


def _away(path: Path) -> Path:
    return path.with_name(f".{path.name}.detached")


def local(platform: Located[Platform], root: Path | None = None) -> LocalTarget:
    """A target for a new deployment of a checked platform; of the platform nothing is touched before `up`.

    Its state goes below `root`, else ${HARNESS_STATE}, else <tempdir>/harness-<uid>.
    """
    base = make_private(state_root(root))
    folder = PlatformFolder(base / f"{platform.value.metadata.name}-{secrets.token_hex(3)}")
    check_socket_length(folder)
    return LocalTarget(folder, platform)


def attach(state: Path | str) -> LocalTarget:
    """The platform of a state folder (or of `local:FOLDER`), from whatever process.

    A folder that is gone is no error here, since `down` must be possible twice; every other call then raises
    TargetError. Raises TargetError for what cannot be a platform's folder.
    """
    path = Path(str(state).removeprefix("local:")).absolute()
    if not ID.match(path.name):
        raise TargetError(f"{path} is no platform\n  fix: `harness status` lists the platforms that are up")
    return LocalTarget(PlatformFolder(path))


def status(root: Path | None = None) -> list[PlatformSummary]:
    """All platforms of this user, oldest first; one whose attach file is damaged is `unreadable`, and can be ended."""
    base = state_root(root)
    found = []
    for file in sorted(base.glob("*/platform.json")) if base.is_dir() else []:
        target = attach(file.parent)
        try:
            state = load(file)
            not_ready, edge = tuple(target.ready()), target.endpoints().edge
        except PlatformAbsent:  # it went down just now
            continue
        except TargetError:
            found.append(PlatformSummary(target.reference, file.parent.name, "", "unreadable", 0, 0, (), False, ""))
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
