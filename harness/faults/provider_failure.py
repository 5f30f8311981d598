"""An external API answers 429 or 500, or not at all: its stand-in is told to.

    provider:
      type: python
      module: harness.chaos.actions
      func: inject
      arguments:
        fault: provider_failure
        parameters:
          service: llm-provider-atlas
          behaviour: throttled
          request: {model: atlas-large, question: "What is 20 plus 22?"}
        blast_radius: 1

The stand-in is told by `PUT admin {"name": behaviour, "for": seconds}`, and tells by `GET admin` how it behaves. It
goes back to `normal` by itself when `undo_within` is over, whatever becomes of the harness. Landed is what a caller
gets who posts `request` to `path`: status 429 (`throttled`), 500 (`failing`), or no answer within `within` while its
health page does answer (`timeout`). Gone: that caller gets 200. A provider of somebody else's cannot be told: put a
stand-in or a proxy that speaks this in front of it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from typing import Literal

from pydantic import JsonValue

from harness.errors import BadInput, TargetError
from harness.faults import _shared as shared
from harness.kube import deadman
from harness.kube.ports import status_of
from harness.kube.rights import rights
from harness.model.base import Duration, Frozen
from harness.model.platform import PlatformSpec
from harness.ports import Calls, Instance, Observation, Selection, Target

REQUIRES = (Calls,)
RIGHTS = rights("get create update", "pods", subresource="proxy")  # on Kubernetes
STATUS = {"throttled": 429, "failing": 500}
TELLING_S = 2.0


class Parameters(Frozen):
    """Which instances: of this service, in this region (every region when left out). How they behave; what a caller
    posts, and how long he waits."""

    service: str
    region: str | None = None
    behaviour: Literal["throttled", "failing", "timeout"]
    request: dict[str, JsonValue]
    path: str = "/v1/complete"
    admin: str = "/admin/behaviour"
    health: str = "/health"
    port: str = "http"
    within: Duration = 2.0


def predict(platform: PlatformSpec, parameters: Parameters) -> Selection:
    return Selection(shared.predicted(platform, parameters.service, parameters.region))


def select(target: Target, parameters: Parameters) -> Selection:
    """BadInput for an instance that cannot be told, or that somebody else made misbehave already."""
    shared.check_rights(target, RIGHTS)
    chosen = target.instances(parameters.service, parameters.region)
    for each in chosen:
        if (now := _behaviour(target, each, parameters)) != "normal":
            raise BadInput(f"{each.name} is {now} already", fix="end what made it so")
    return Selection(tuple(each.name for each in chosen))


def inject(target: Target, selection: Selection, parameters: Parameters) -> None:
    for each in shared.named(target, selection):
        _tell(target, each, parameters, parameters.behaviour, deadman.seconds_left(selection.deadline_wall_ns))


def landed(target: Target, selection: Selection, parameters: Parameters) -> Observation:
    there = shared.listed(target, selection)
    found = [*shared.missing(there, selection), *_unlike(target, there, parameters, parameters.behaviour)]
    return shared.observation(found, "second caller", f"callers see: {parameters.behaviour}")


def gone(target: Target, selection: Selection, parameters: Parameters) -> Observation:
    return shared.observation(
        _unlike(target, _now(target, parameters), parameters, "normal"), "second caller", "callers are answered"
    )


def recover(target: Target, selection: Selection, parameters: Parameters) -> None:
    for each in _now(target, parameters):
        _tell(target, each, parameters, "normal")


def _now(target: Target, parameters: Parameters) -> Sequence[Instance]:
    """The instances that are there: one that took the place of another never heard of the fault."""
    return target.instances(parameters.service, parameters.region)


def _tell(target: Target, instance: Instance, parameters: Parameters, name: str, seconds: float = 0.0) -> None:
    body = json.dumps({"name": name, "for": seconds} if seconds else {"name": name})
    status, said = shared.calls(target).call(instance, parameters.port, "PUT", parameters.admin, body, TELLING_S)
    if status != 200:
        raise TargetError(f"{instance.name} could not be told to be {name}: status {status}: {said[:200]}")


def _behaviour(target: Target, instance: Instance, parameters: Parameters) -> str:
    try:
        status, said = shared.calls(target).call(instance, parameters.port, "GET", parameters.admin, None, TELLING_S)
        found = json.loads(said)["name"] if status == 200 else ""
    except (TargetError, ValueError, KeyError, TypeError):
        found = ""
    if not found:
        raise BadInput(
            f"{instance.name} does not tell at {parameters.admin} how it behaves",
            fix="name a stand-in that can be told to fail",
        )
    return str(found)


def _unlike(target: Target, instances: Sequence[Instance], parameters: Parameters, wanted: str) -> Iterator[str]:
    """What a caller of each instance gets, unless it is what was wanted."""
    if not instances:
        yield f"no instance of {parameters.service} is there"
    for each in instances:
        if (got := _outcome(target, each, parameters)) != wanted:
            yield f"{each.name}: a caller sees: {got}"


def _outcome(target: Target, instance: Instance, parameters: Parameters) -> str:
    """The behaviour that a caller sees, or what he sees else."""
    calls, began = shared.calls(target), time.monotonic()
    try:
        body = json.dumps(parameters.request)
        status, _ = calls.call(instance, parameters.port, "POST", parameters.path, body, parameters.within)
    except TargetError as error:
        waited = not status_of(error) and time.monotonic() - began >= parameters.within
        return "timeout" if waited and _healthy(calls, instance, parameters) else str(error).splitlines()[0]
    known = {200: "normal", **{code: name for name, code in STATUS.items()}}
    return known.get(status, f"status {status}")


def _healthy(calls: Calls, instance: Instance, parameters: Parameters) -> bool:
    try:
        return calls.call(instance, parameters.port, "GET", parameters.health, None, TELLING_S)[0] == 200
    except TargetError:
        return False
