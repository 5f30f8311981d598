"""The platform is told to let another region serve a part of the users: a step of a gradual shift.

    provider:
      type: python
      module: harness.chaos.actions
      func: inject
      arguments:
        fault: traffic_shift
        parameters: {service: failover-agent, to: lax, share: 0.1, edge: edge}
        blast_radius: 1

Nothing is broken, as with a switchover. Whoever decides is told by `POST path {"region": to, "share": share}` until he
accepts it, for `within`, and tells at `GET tell` the `primary` and the `users` of each region. Landed: of requests
through the instances of `edge` at `ask`, the share whose answer names the `region` is as wanted, give or take
`tolerance`, but not nearer to none or all. At least `asks` are made, and more until that is sure (three standard
errors; for 10 or 50 % some 300): a share beyond the tolerance is taken for the wanted one in fewer than 3 of 100 looks,
one that is off by half as much again in fewer than 1 of 10000. None and all are exact, of `asks`. Whoever is not
answered, or told no region, has seen nothing. Gone: it is so of the share that is told, whichever that is by then.
Undone, unless it was seen to have gone well, by giving the region the share it had; after a change of primary by
somebody else users stay where that left them.
"""

from __future__ import annotations

import itertools
import json
import math
import time
from typing import Annotated

from pydantic import Field

from harness.errors import BadInput, TargetError
from harness.faults import _decider as decider
from harness.faults import _shared as shared
from harness.model.base import Duration, Frozen
from harness.model.platform import PlatformSpec
from harness.ports import Calls, Instance, Observation, Selection, Target

REQUIRES = (Calls,)
RIGHTS = decider.RIGHTS
BEFORE, PRIMARY = "share", "primary"
SURE = 3.0  # standard errors
LOOK_S = 10.0  # an edge may be slow, and others wait for the next look
Share = Annotated[float, Field(ge=0, le=1)]


class Parameters(Frozen):
    """Who decides (`service`, its first instance), which region serves which share of the users, where that is seen."""

    service: str
    to: str
    share: Share
    edge: str
    path: str = "/users"
    tell: str = "/term"
    ask: str = "/api/ping"
    asks: Annotated[int, Field(ge=10)] = 100
    tolerance: Share = 0.1
    port: str = "http"
    within: Duration = 60.0


def predict(platform: PlatformSpec, parameters: Parameters) -> Selection:
    return Selection(shared.predicted(platform, parameters.service, None)[:1])


def select(target: Target, parameters: Parameters) -> Selection:
    """BadInput when the region has that share already, or is none that he knows."""
    shared.check_rights(target, RIGHTS)
    chosen = target.instances(parameters.service)[:1]
    for each in chosen:
        term = decider.term(target, each, parameters.port, parameters.tell)
        told = _told(term, parameters)
        if told is None:
            raise BadInput(f"{each.name} tells no users of {parameters.to}", key="to", fix="name a region it tells of")
        if told == parameters.share:
            raise BadInput(f"{parameters.to} serves {told:.0%} of the users already", key="share", fix="another share")
        return Selection((each.name,), {BEFORE: str(told), PRIMARY: term["primary"]})
    return Selection(())


def inject(target: Target, selection: Selection, parameters: Parameters) -> None:
    for each in shared.named(target, selection):
        _shift(target, each, parameters, parameters.share)


def landed(target: Target, selection: Selection, parameters: Parameters) -> Observation:
    return _seen(target, parameters, parameters.share)


def gone(target: Target, selection: Selection, parameters: Parameters) -> Observation:
    for each in target.instances(parameters.service)[:1]:
        told = _told(decider.term(target, each, parameters.port, parameters.tell), parameters)
        if told is not None:
            return _seen(target, parameters, told)
    return Observation(False, "nobody", f"{parameters.service} does not tell who serves the users")


def recover(target: Target, selection: Selection, parameters: Parameters) -> None:
    for each in target.instances(parameters.service)[:1]:
        term = decider.settled(target, each, parameters.port, parameters.tell, parameters.within)
        before = float(selection.before[BEFORE])
        if term["primary"] == selection.before[PRIMARY] and _told(term, parameters) != before:
            _shift(target, each, parameters, before)


def _told(term: dict[str, object], parameters: Parameters) -> float | None:
    users = term.get("users")
    told = users.get(parameters.to) if isinstance(users, dict) else None
    return float(told) if isinstance(told, int | float) else None


def _shift(target: Target, instance: Instance, parameters: Parameters, share: float) -> None:
    body = {"region": parameters.to, "share": share}
    decider.tell(target, instance, parameters.port, parameters.path, body, parameters.within)


def _seen(target: Target, parameters: Parameters, wanted: float) -> Observation:
    """From answers at the edge, until they show it or show that it is not so."""
    edges = target.instances(parameters.edge)
    if not edges:
        return Observation(False, "nobody", f"no instance of {parameters.edge} is there")
    there, end = 0, time.monotonic() + LOOK_S
    for asked in itertools.count(1):
        edge = edges[asked % len(edges)]
        region = _region(target, edge, parameters)
        if not region:
            return Observation(
                False, parameters.edge, f"{edge.name} does not answer {parameters.ask}, or names no region"
            )
        there += region == parameters.to
        shown, over = _shown(there, asked, wanted, parameters), time.monotonic() >= end
        if shown is not None or over:
            break
    detail = f"{parameters.to} answered {there} of {asked}, {wanted:.0%} wanted"
    return Observation(bool(shown), parameters.edge, detail if shown is not None else f"{detail}: too few to be sure")


def _shown(there: int, asked: int, wanted: float, parameters: Parameters) -> bool | None:
    """Whether the answers so far show that the share is as wanted, or that it is not; None: neither yet."""
    if wanted in (0, 1):
        return False if there != wanted * asked else True if asked >= parameters.asks else None
    if asked < parameters.asks:
        return None
    low, high = max(wanted - parameters.tolerance, wanted / 2), min(wanted + parameters.tolerance, (1 + wanted) / 2)
    above, below = there / asked - low, high - there / asked
    error_low, error_high = (SURE * math.sqrt(edge * (1 - edge) / asked) for edge in (low, high))
    if above >= error_low and below >= error_high:
        return True
    return False if above <= -error_low or below <= -error_high else None


def _region(target: Target, edge: Instance, parameters: Parameters) -> object:
    try:
        status, said = shared.calls(target).call(edge, parameters.port, "GET", parameters.ask, None, decider.ASKING_S)
        return json.loads(said).get("region") if status == 200 else None
    except (TargetError, ValueError, AttributeError):
        return None
