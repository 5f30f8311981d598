"""The seams: everything the harness meets outside of itself, one page.

Each Protocol has a real adapter and an equal fake in harness/testing/, both under the same contract test.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from harness.model.events import AnyEvent

if TYPE_CHECKING:
    from harness.model.evidence import MetricAnswer
    from harness.model.platform import PlatformSpec

Report = Callable[[AnyEvent], object]


@dataclass(frozen=True)
class Process:
    """A process, told apart from a later one with the same pid by its start time (clock ticks since boot)."""

    pid: int
    start_time: int


@dataclass(frozen=True)
class Instance:
    """One running (or dead) copy of a service. `container`: which of its containers is meant, "" for the service's."""

    name: str
    service: str
    region: str
    index: int
    release: str
    host: str
    ports: Mapping[str, int]
    state: Path
    container: str = ""


@dataclass(frozen=True)
class Endpoints:
    """Where the platform is met: URLs and database addresses, resolved."""

    edge: str
    prometheus: str
    alertmanager: str
    databases: Mapping[str, str]
    regions: Mapping[str, str]
    extra: Mapping[str, str]


@dataclass(frozen=True)
class Leftovers:
    """What was still there after `down`; clean when empty. `unseen`: what there was no right to look for."""

    processes: tuple[str, ...] = ()
    ports: tuple[int, ...] = ()
    files: tuple[str, ...] = ()
    objects: tuple[str, ...] = ()
    unseen: tuple[str, ...] = ()

    @property
    def clean(self) -> bool:
        return not (self.processes or self.ports or self.files or self.objects)


@dataclass(frozen=True)
class ProcessStatus:
    """What the target knows of an instance's process; `exit_code` is negative for a signal."""

    process: Process | None
    alive: bool
    exit_code: int | None = None
    restarts: int = 0


@runtime_checkable
class Target(Protocol):
    """Where the platform runs. Its handle (`reference`) is enough to attach to it from another, cold process."""

    @property
    def reference(self) -> str: ...

    def up(self, release: str, report: Report) -> None:
        """Deploys the platform phase by phase; raises TargetError, with the phase taken back, when a gate fails."""

    def check(self, report: Report) -> None:
        """Reports one CheckDone for each post-deployment check."""

    def ready(self) -> Sequence[str]:
        """Names of the instances that should serve and do not; empty when all is ready."""

    def endpoints(self) -> Endpoints: ...

    def instances(self, service: str | None = None, region: str | None = None) -> Sequence[Instance]: ...

    def down(self) -> Leftovers:
        """Ends exactly what `up` started."""


@runtime_checkable
class Spread(Protocol):
    """Capability: the platform lies on several targets, each of which has a reference, and is acted on by itself."""

    def parts(self, region: str | None = None) -> Sequence[Target]:
        """Those that may hold instances of a region; without one, all."""


@runtime_checkable
class Kept(Protocol):
    """Capability: what a cold process must know of the platform can be kept in another folder as well, and put back
    where the platform's own is gone, so that what outlives the platform can still be undone. No secret is in it."""

    def keep(self, folder: Path) -> None: ...

    def put_back(self, folder: Path) -> None:
        """Does nothing where the platform's own folder is there, or where nothing was kept."""


@runtime_checkable
class Processes(Protocol):
    """Capability: instances run as processes that can be killed, and told apart from those that come after them.

    A mark names the process that runs an instance now, as data that any later process can compare with. What is asked
    of marks (name → mark) is answered with objections; none: it is so. `observer` says who sees that.
    """

    observer: str

    def marks(self, instances: Sequence[Instance]) -> Mapping[str, str]: ...

    def prepare(self, instances: Sequence[Instance]) -> None:
        """Whatever takes time before a kill, so that the kill itself takes none; not needed, and idempotent."""

    def prepare_hold(self, instances: Sequence[Instance], deadline_wall_ns: int) -> None:
        """The same before instances are killed and held. Where a hold would outlive a harness that lost the network, it
        is arranged that it ends at the deadline (0: after a while)."""

    def kill(self, instance: Instance) -> object:
        """SIGKILL to the process that now runs the instance. Restarts are the platform's business."""

    def kill_and_hold(self, instance: Instance) -> None:
        """SIGKILL, and no restart until `restore`."""

    def remains(self, marks: Mapping[str, str]) -> Sequence[str]:
        """What still runs or serves of the marked processes, or cannot be told."""

    def runs(self, marks: Mapping[str, str]) -> Sequence[str]:
        """What of these instances runs or serves now, by whatever process."""

    def returned(self, marks: Mapping[str, str], made: bool = True) -> Sequence[str]:
        """What keeps these instances from being back: no later process, or it is not ready. Where the kill was perhaps
        never `made`, the marked process is as good as a later one, if nothing is left that could still kill it."""

    def restore(self, marks: Mapping[str, str]) -> None:
        """Starts what of these instances is down; one that runs is left alone. Idempotent, and from cold."""

    def restore_held(self, marks: Mapping[str, str]) -> None:
        """The same after a hold, which ends with all that was arranged for it, whatever of that there is."""

    def held(self, marks: Mapping[str, str]) -> Sequence[str]:
        """What is left of a hold of these instances, and of what was arranged for it."""


@runtime_checkable
class Pauses(Protocol):
    """Capability: instances are processes of this machine, which can be stopped in their tracks, with all that they
    started, and go on later."""

    def status(self, instance: Instance) -> ProcessStatus: ...

    def start(self, instance: Instance) -> None:
        """Starts the instance unless it runs; idempotent."""

    def pause(self, instance: Instance) -> None: ...

    def resume(self, instance: Instance) -> None: ...


@runtime_checkable
class Pages(Protocol):
    """Capability: what an instance tells over HTTP can be read, wherever it runs."""

    def page(self, instance: Instance, port: str, path: str, timeout_s: float) -> str:
        """The body of GET `path` on the named port; TargetError when the instance does not answer with 200."""


@runtime_checkable
class Calls(Protocol):
    """Capability: an instance can be called over HTTP, wherever it runs, also by methods that change something."""

    def call(
        self, instance: Instance, port: str, method: str, path: str, body: str | None, timeout_s: float
    ) -> tuple[int, str]:
        """(status, body); `body` is JSON. TargetError when there is no answer in time."""


@runtime_checkable
class Devices(Protocol):
    """Capability: devices that can go away and come back."""

    def devices(self, region: str | None = None) -> Sequence[str]: ...

    def device_present(self, name: str) -> bool: ...

    def detach_device(self, name: str) -> None: ...

    def attach_device(self, name: str) -> None: ...


@runtime_checkable
class Artifacts(Protocol):
    """Capability: what the platform really runs, so that a verdict names the release it was given for."""

    def artifacts(self) -> Mapping[str, Path | str]:
        """Name → SHA-256 (hex), or the file or folder to take it of: images and programs that run, packages that are
        run by an interpreter."""


@runtime_checkable
class Logs(Protocol):
    """Capability: what the platform's instances and their supervisor have written."""

    def logs(self) -> Sequence[Path]: ...


@runtime_checkable
class Census(Protocol):
    """Capability: to say of instances that they are gone for good. No name is given twice."""

    def present(self) -> Sequence[str]:
        """Names of all instances that may run, those on their way out included."""


class Standstill(Protocol):
    """Looks at one database again and again, by other means than asking it."""

    def note(self) -> None:
        """Takes note of who runs it now; called while it answers."""

    def look(self) -> bool:
        """Whether nothing of it runs now; False when it may, or nobody can tell. Never raises for what is not seen."""

    def logged(self, since_s: Sequence[float]) -> Sequence[str | None]:
        """All that has been logged by whatever of it ran since each of these looks that held (monotonic seconds, at its
        end); None where something may be missing. May hold older lines too. Never raises for what is not seen."""


@runtime_checkable
class Standstills(Protocol):
    """Capability: to say of a database that does not answer that it surely stands still."""

    def standstill(self, region: str) -> Standstill | None: ...


@runtime_checkable
class Readiness(Protocol):
    """Capability: whether instances serve, by one cheap question to whoever keeps watch over them."""

    def readiness(self) -> Mapping[tuple[str, str], tuple[Sequence[str], Sequence[str]]]:
        """(service, region) → (names of its instances that are Ready, names of those that are not)."""


@runtime_checkable
class Releases(Protocol):
    """Capability: more than one release side by side."""

    def add_instances(
        self, service: str, region: str, count: int, release: str, report: Report
    ) -> Sequence[Instance]: ...

    def remove_instances(self, instances: Sequence[Instance]) -> None: ...

    def deploy(self, release: str, report: Report) -> None:
        """Replaces the released services while they serve."""


@dataclass(frozen=True)
class Count:
    """Instances of a release: those that there should be, and those that serve now."""

    wanted: int = 0
    ready: int = 0


@runtime_checkable
class Counts(Protocol):
    """Capability: how many instances of each release of a service there should be is a number that can be set."""

    def counts(self, service: str, region: str) -> Mapping[str, Count]:
        """Of each release that has a place of its own."""

    def set_count(self, service: str, region: str, release: str, count: int | None, within_s: float) -> None:
        """None: as many as the platform declares. Returns when so many are ready, those that are too many being told
        to end. Raises TargetError when they are not in time."""


@dataclass(frozen=True)
class LoadState:
    """How the load is doing."""

    alive: bool
    scheduled: int
    recorded: int
    exit_code: int | None = None
    in_flight: int = 0
    late_p99_ms: float = 0.0
    cpu: float = 0.0
    problem: str = ""  # what went wrong with the generator itself, "" when nothing is known


class LoadEngine(Protocol):
    """Drives the declared schedule in a child process and records every arrival."""

    def start(self) -> None: ...

    def poll(self) -> LoadState: ...

    def stop(self) -> LoadState:
        """Lets requests in flight finish within the declared drain, then ends the child; idempotent."""


@dataclass(frozen=True)
class Observation:
    """What was seen, by whom; `seen` False is an observation too."""

    seen: bool
    observer: str
    detail: str


@dataclass(frozen=True)
class Selection:
    """What a fault is going to touch, by name; the blast radius is its length.

    `before` keeps what was true of a name when it was selected (the process that ran it), so that a cold process can
    tell the old from the new. After `deadline_wall_ns` (0: none) it should be undone by whoever is still there. Not
    `made`: nobody wrote down that the fault was made to its end, so all, a part or nothing of it was.
    """

    names: tuple[str, ...]
    before: Mapping[str, str] = field(default_factory=dict)
    deadline_wall_ns: int = 0
    made: bool = True


class FaultInjector(Protocol):
    """One kind of fault. The modules of harness/faults/ are the adapters; the file's name is the kind.

    `parameters` is the model of the fault's own arguments. `predict` says from the platform file alone which names
    `select` is going to find. `recover` is idempotent and works from a cold process with nothing but the token's
    selection and parameters. A kind may have a `prepare(target, selection, parameters)`, called before `inject`, for
    what takes time and does no harm; `recover` undoes it too. One with OUTLIVES_PLATFORM = True hits what is not the
    platform's own, and so is still there when that has gone down; its `by_hand(selection, parameters)` says how a user
    undoes it where nothing is known of the platform any more.
    """

    Parameters: type[Any]
    REQUIRES: tuple[type[Any], ...]

    def predict(self, platform: PlatformSpec, parameters: Any) -> Selection: ...

    def select(self, target: Target, parameters: Any) -> Selection: ...

    def inject(self, target: Target, selection: Selection, parameters: Any) -> None: ...

    def landed(self, target: Target, selection: Selection, parameters: Any) -> Observation: ...

    def gone(self, target: Target, selection: Selection, parameters: Any) -> Observation: ...

    def recover(self, target: Target, selection: Selection, parameters: Any) -> None: ...


class MetricSource(Protocol):
    """Raw samples, as scraped."""

    def samples(self, selector: str, from_wall_s: float, to_wall_s: float) -> tuple[Any, MetricAnswer]:
        """(pyarrow Table with SAMPLE_COLUMNS, how it was answered). Errors are in the answer, not raised.

        What is no series selector is evaluated by the source itself, which the answer tells, or is an error.
        """


class Actuator(Protocol):
    """Splits traffic between the stable release and the canary. Setting is not having: observe it."""

    def observe(self) -> float:
        """The share that the actuator is set to now, 0..1, as read back from it."""

    def set_weight(self, share: float) -> None: ...

    def promote(self) -> None: ...

    def rollback(self) -> None: ...


@runtime_checkable
class Settles(Protocol):
    """Capability of an actuator that only writes down what somebody else carries out, later."""

    def confirmed(self) -> str:
        """How it is known that what is set now is carried out. Raises TargetError when it is not, or nobody says so."""

    def settle(self) -> None:
        """Returns when it is. Raises TargetError when that takes longer than the actuator's settings allow."""


class Reporter(Protocol):
    """A run's record and judgement as bytes."""

    def __call__(self, run: Any) -> bytes: ...


Stream = Literal["requests", "beacon"]
