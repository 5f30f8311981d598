"""What a cold process must know of a running platform, and how it is kept on disk."""

from __future__ import annotations

import os
import threading
from collections.abc import Collection
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from harness.errors import BadInput, PlatformAbsent, TargetError
from harness.model.base import Frozen
from harness.model.platform import Device, PlatformSpec, Release, Service
from harness.ports import Instance
from harness.targets.folder import PlatformFolder

HOST = "127.0.0.1"

# serving: gets users' load · starting: new, not switched to yet · canary: beside the serving ones, given its share by
# an actuator · retiring: replaced, still running because something that runs was rendered with it
Role = Literal["serving", "starting", "canary", "retiring"]
SERVING: tuple[Role, ...] = ("serving",)
ANSWERING: tuple[Role, ...] = ("serving", "canary")


class InstanceState(Frozen):
    """One instance as deployed.

    `uses` names the instances whose addresses are in its rendered configuration; `script_sha256` and `files_sha256`
    tell whether that is still what would be rendered now.
    """

    name: str
    service: str
    region: str
    index: int
    release: str
    ports: dict[str, int]
    phase: str
    uses: tuple[str, ...] = ()
    script_sha256: str = ""
    files_sha256: str = ""
    role: Role = "serving"
    started: bool = False
    pid: int = 0
    start_time: int = 0


class PlatformState(Frozen):
    """The attach file."""

    id: str
    name: str
    platform_file: str
    platform_sha256: str
    source: str
    host: str
    boot_id: str
    created_wall_ns: int
    python: str
    supervisor_pid: int = 0
    supervisor_start_time: int = 0
    status: Literal["deploying", "up", "failed", "ending"] = "deploying"
    release: str
    phases: tuple[str, ...] = ()
    indexes: dict[str, int] = {}
    instances: tuple[InstanceState, ...] = ()
    endpoints: dict[str, str] = {}
    spec: PlatformSpec

    def instance(self, name: str) -> InstanceState:
        for each in self.instances:
            if each.name == name:
                return each
        known = ", ".join(each.name for each in self.instances)
        raise BadInput(f"no instance {name!r}", fix=f"instances: {known}")

    def service(self, name: str) -> Service:
        return self.spec.service(name)

    def phase_of(self, service: str) -> str:
        return next(phase.name for phase in self.spec.phases if service in phase.services)

    def release_named(self, name: str) -> Release:
        return self.spec.release_named(name)

    def device(self, name: str) -> Device:
        for each in self.spec.devices:
            if each.name == name:
                return each
        raise BadInput(f"no device {name!r}", fix=f"devices: {', '.join(each.name for each in self.spec.devices)}")

    def of(
        self, service: str | None = None, region: str | None = None, roles: Collection[Role] = SERVING
    ) -> list[InstanceState]:
        """Instances with one of these roles, in the order they were added."""
        return [
            each
            for each in self.instances
            if (service is None or each.service == service)
            and (region is None or each.region == region)
            and each.role in roles
        ]

    def with_instances(self, *changed: InstanceState) -> PlatformState:
        """The same with these instances put in place of those of the same name, or added."""
        by_name = {each.name: each for each in changed}
        kept = [by_name.pop(each.name, each) for each in self.instances]
        return self.model_copy(update={"instances": (*kept, *by_name.values())})

    def without(self, *names: str) -> PlatformState:
        return self.model_copy(update={"instances": tuple(each for each in self.instances if each.name not in names)})


def public(folder: PlatformFolder, each: InstanceState) -> Instance:
    """As the rest of the harness sees it."""
    return Instance(
        name=each.name,
        service=each.service,
        region=each.region,
        index=each.index,
        release=each.release,
        host=HOST,
        ports=dict(each.ports),
        state=folder.instance(each.name),
    )


def save(file: Path, state: PlatformState) -> None:
    """Whole or not at all, and on disk before this returns."""
    write_whole(file, state.model_dump_json(indent=1, by_alias=True).encode(), mode=0o600)


def write_whole(file: Path, data: bytes, mode: int = 0o644) -> None:
    """Replaces a file in one step; fsynced."""
    temporary = file.with_name(f".{file.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(file)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def load(file: Path) -> PlatformState:
    """Raises PlatformAbsent when there is no platform here, TargetError when its file cannot be read."""
    try:
        return PlatformState.model_validate_json(file.read_bytes())
    except FileNotFoundError:
        kind = TargetError if file.parent.is_dir() else PlatformAbsent
        raise kind(f"no platform at {file.parent}\n  fix: `harness status` lists the platforms that are up") from None
    except ValidationError as error:
        raise TargetError(
            f"{file} was written by another version of the harness or is damaged: {error.errors()[0]['msg']}"
        ) from None


def boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
