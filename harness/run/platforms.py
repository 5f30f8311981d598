"""Platforms that stay up without a run: bringing one up, which ones are up, taking them down."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import BadInput, TargetError
from harness.model.events import AnyEvent, Stage
from harness.run.prepare import may_act

if TYPE_CHECKING:
    from harness.model.on_cluster import OnCluster
    from harness.model.platform import Platform
    from harness.ports import Target
    from harness.spec.yaml import Located


def create(platform: Located[Platform], cluster: OnCluster | None = None) -> Target:
    """A new target for this platform, on a cluster or on this machine; nothing is started."""
    if cluster is not None:
        from harness.targets.kubernetes import kubernetes

        return kubernetes(platform, cluster)
    from harness.targets.local import local

    return local(platform)


def bring_up(file: Path, release: str, quiet: bool, yes: bool = False) -> tuple[str, dict[str, str]]:
    """Brings a platform up and leaves it up; (its state folder, its endpoints). `file` is a platform file, for this
    machine, or a scenario, for its target."""
    from harness.render.live import view

    platform, cluster, chosen = _named(file, yes)
    target = create(platform, cluster)
    with view(sys.stderr, time.monotonic_ns, live=False) as shown:
        opened = time.monotonic_ns()
        shown.event(Stage(mono_ns=opened, name="deploy", title=f"bringing up {file}"))

        def report(event: AnyEvent) -> None:
            if not quiet:
                shown.event(event.model_copy(update={"mono_ns": time.monotonic_ns()}))

        try:
            target.up(release or chosen, report)
            target.check(report)
        except BaseException:
            target.down()
            raise
    return target.reference, _endpoints(target)


def _named(file: Path, yes: bool) -> tuple[Located[Platform], OnCluster | None, str]:
    """(platform, cluster, release) of a scenario, or of a platform file: that is for this machine."""
    from harness.spec.platform import load_platform
    from harness.spec.scenario import load_scenario
    from harness.spec.yaml import read_documents

    data = read_documents(file)[0].data
    if not (isinstance(data, dict) and data.get("kind") == "Scenario"):
        return load_platform(file), None, ""
    files = load_scenario(file)
    may_act(files, yes)
    return load_platform(files.platform), files.cluster, files.scenario.value.spec.target.release


def _endpoints(target: Target) -> dict[str, str]:
    endpoints = target.endpoints()
    return {"edge": endpoints.edge, "prometheus": endpoints.prometheus, "alertmanager": endpoints.alertmanager}


def platforms() -> list[dict[str, Any]]:
    """The platforms that are up, for people and for JSON."""
    from harness.targets.summary import all_up

    return [
        {
            "state": found.reference,
            "platform": found.name,
            "release": found.release,
            "status": found.status,
            "edge": found.edge,
            "instances": found.instances,
            "not_ready": list(found.not_ready),
            "supervised": found.supervised,
        }
        for found in all_up()
    ]


def take_down(state: str, every: bool) -> dict[str, tuple[str, ...]]:
    """Takes one or all platforms down: of each, what there was no right to look for. Raises TargetError with what is
    left when something is."""
    from harness.chaos.attach import attach
    from harness.targets.summary import all_up

    up = [found.reference for found in all_up()]
    if state:
        chosen = [state]
    elif every or len(up) <= 1:
        chosen = up
    else:
        raise BadInput(f"{len(up)} platforms are up: {', '.join(up)}", fix="name one, or use --all")
    ended = {}
    for reference in chosen:
        leftovers = attach(reference).down()
        if not leftovers.clean:
            raise TargetError(f"{reference}: left behind: {leftovers}")
        ended[reference] = leftovers.unseen
    return ended
