"""What the faults on a container's resources share: who takes them, and what the kernel counts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from harness.faults import _hands as hands
from harness.kube import pods
from harness.kube.ports import Manifest
from harness.ports import Observation, Selection, Target

PROGRAMS = ("node", "pressure")


def prepare(target: Target, selection: Selection, parameters: object) -> None:
    hands.prepare(target, selection, PROGRAMS)


def inject(target: Target, selection: Selection, command: str, *arguments: str) -> None:
    def argv(pod: Manifest, seconds: float) -> list[str]:
        return [command, str(seconds), pods.container_id(pods.main(pod)), *arguments]

    hands.inject(target, selection, PROGRAMS, argv)


def usage(ask: hands.Ask, pod: Manifest, file: str = "") -> dict[str, Any]:
    """`cores` used now, `memory` and its `limit` in bytes, `foreign` processes in the cgroup, bytes of `file`."""
    return ask("usage", pods.container_id(pods.main(pod)), *([file] if file else []))


def landed(
    target: Target, selection: Selection, object_to: Callable[[hands.Ask, Manifest], str], seen: str
) -> Observation:
    return hands.landed(target, selection, PROGRAMS, object_to, seen)


def gone(target: Target, selection: Selection, file: str = "") -> Observation:
    """No process that is not the container's is in its cgroup, and `file` takes no room."""

    def still(ask: hands.Ask, pod: Manifest) -> str:
        used = usage(ask, pod, file)
        if used["foreign"]:
            return f"{used['foreign']} processes that are not its own are in its cgroup"
        return f"the file still takes {used['file']} bytes" if used["file"] else ""

    return hands.gone(target, selection, PROGRAMS, still, "nothing that is not the container's is there any more")
