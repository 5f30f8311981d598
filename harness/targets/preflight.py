"""What must be there before anything is started: programs, users, memory, disk, devices."""

from __future__ import annotations

import os
import pwd
import shutil
from collections.abc import Iterator
from pathlib import Path

from harness.errors import BadInput, BadInputs, TargetError
from harness.model.platform import Platform
from harness.spec.placeholders import PLACEHOLDER
from harness.spec.yaml import KeyPath, Located
from harness.targets.folder import PlatformFolder, check_socket_length
from harness.targets.render import effective_user, program_path

NO_COMMAND = "give it one, or deploy this platform on the kubernetes target"


def preflight(platform: Located[Platform], folder: PlatformFolder) -> None:
    """Raises BadInputs with every program and user that is missing, TargetError when memory or disk is short."""
    check_socket_length(folder)
    missing = [
        platform.error(("spec", "services", index), f"service {service.name!r} has no command", NO_COMMAND)
        for index, service in enumerate(platform.value.spec.services)
        if service.command is None
    ]
    missing += [
        platform.error(
            path, f"program {program!r} is not installed", f"install {program}, or name its folder in HARNESS_PATH"
        )
        for path, program in programs(platform.value)
        if not find_program(program)
    ]
    missing += [*_users(platform), *_devices(platform)]
    if missing:
        raise BadInputs(missing)
    needs = platform.value.spec.needs
    free_memory, free_disk = free_memory_mib(), free_disk_mib(folder.root)
    if free_memory < needs.memory_mib:
        raise TargetError(
            f"{free_memory} MiB of memory are free, the platform needs {needs.memory_mib}\n  fix: end other programs"
        )
    if free_disk < needs.disk_mib:
        raise TargetError(
            f"{free_disk} MiB are free for {folder.root.parent}, the platform needs {needs.disk_mib}\n"
            "  fix: free some, or set HARNESS_STATE to another disk"
        )


def programs(platform: Platform) -> Iterator[tuple[KeyPath, str]]:
    """Every program the platform file runs that is named plainly (placeholders are our own files)."""
    found: list[tuple[KeyPath, str]] = []
    for index, service in enumerate(platform.spec.services):
        at = ("spec", "services", index)
        if service.command:
            found.append(((*at, "command", 0), service.command[0]))
        found += [((*at, "prepare", step, 0), argv[0]) for step, argv in enumerate(service.prepare) if argv]
        if service.reload and service.reload.command:
            found.append(((*at, "reload", "command", 0), service.reload.command[0]))
    for index, phase in enumerate(platform.spec.phases):
        for number, gate in enumerate(phase.gates):
            if gate.command:
                path = ("spec", "phases", index, "gates", number, "command", "argv", 0)
                found.append((path, gate.command.argv[0]))
    for index, gate in enumerate(platform.spec.checks):
        if gate.command:
            found.append((("spec", "checks", index, "command", "argv", 0), gate.command.argv[0]))
    return ((path, program) for path, program in found if not PLACEHOLDER.search(program))


def find_program(name: str) -> str | None:
    return shutil.which(name, path=os.pathsep.join(program_path()))


def _users(platform: Located[Platform]) -> Iterator[BadInput]:
    for index, service in enumerate(platform.value.spec.services):
        if user := effective_user(service.user):
            try:
                pwd.getpwnam(user)
            except KeyError:
                path = ("spec", "services", index, "user")
                yield platform.error(
                    path, f"this machine has no user {user!r}", "install what makes it, or run as a user"
                )


def _devices(platform: Located[Platform]) -> Iterator[BadInput]:
    for index, device in enumerate(platform.value.spec.devices):
        if not PLACEHOLDER.search(device.path) and not Path(device.path).exists():
            path = ("spec", "devices", index, "path")
            yield platform.error(path, f"no device at {device.path}", "write ${platform}/NAME for a stand-in")


def free_memory_mib() -> int:
    """MemAvailable of this machine."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) // 1024
    return 0


def free_disk_mib(path: Path) -> int:
    """Free for us on the disk that the path is (or is going to be) on."""
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free // (1024 * 1024)
