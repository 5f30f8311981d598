"""What a bed changes on the machine outside of its own folders, written down before, put back after."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from testbed.state import TestbedError, root, run

NAMESPACES = Path("/run/netns")
# kubelets set these three for the whole machine
SYSCTLS = ("vm.overcommit_memory", "kernel.panic", "kernel.panic_on_oops")


def only(bed: str) -> None:
    """One bed at a time: they publish the same ports, and would put back each other's settings."""
    for other in {"bare", "docker"} - {bed}:
        if (root() / "run" / other).exists():
            raise TestbedError(f"the {other} bed is up, or was not taken down", "python -m testbed down")


@dataclass(frozen=True)
class Before:
    sysctls: dict[str, str]
    made: tuple[str, ...]  # folders that were missing, in the order to make them
    netns_mounted: bool  # whether /run/netns was a mount: `ip netns add` makes it one

    @staticmethod
    def of(content: dict[str, Any]) -> Before:
        return Before(content["sysctls"], tuple(content["made"]), content["netns_mounted"])


def look(sysctls: Sequence[str], folders: Sequence[str]) -> Before:
    wanted = (*folders, str(NAMESPACES))
    missing = [
        path for folder in wanted for path in reversed([Path(folder), *Path(folder).parents]) if not path.exists()
    ]
    return Before(
        sysctls={name: run("sysctl", "-n", name).strip() for name in sysctls},
        made=tuple(dict.fromkeys(map(str, missing))),
        netns_mounted=_netns_is_a_mount(),
    )


def make_folders(before: Before) -> None:
    for path in before.made:
        Path(path).mkdir(exist_ok=True)


def restore(before: Before) -> None:
    for name, value in before.sysctls.items():
        run("sysctl", "-qw", f"{name}={value}")
    if not before.netns_mounted and _netns_is_a_mount() and not any(NAMESPACES.iterdir()):
        run("umount", NAMESPACES)
    for path in reversed(before.made):
        with contextlib.suppress(OSError):  # gone, or somebody else has put something there
            Path(path).rmdir()


def _netns_is_a_mount() -> bool:
    return f" {NAMESPACES} " in Path("/proc/self/mounts").read_text()
