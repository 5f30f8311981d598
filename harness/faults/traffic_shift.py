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
accepts it, for `within`, and tells at `GET tell` the `primary` and the `users` of each region. Landed: of `asks`
requests through the instances of `edge` at `ask`, the share whose answer names the `region` is as wanted, give or take
`tolerance`; none and all are exact. Gone: it is so of the share that he tells, whichever that is by then. Undone,
unless it was seen to have gone well, by giving the region the share it had; after a change of primary by somebody else
users stay where that left them.
"""

from __future__ import annotations

import json
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
    asks: Annotated[int, Field(ge=10)] = 60
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
    """From answers at the edge. Whoever does not answer, or names no region, is not served by it."""
    edges = target.instances(parameters.edge)
    if not edges:
        return Observation(False, "nobody", f"no instance of {parameters.edge} is there")
    there = sum(_region(target, edges[number % len(edges)], parameters) == parameters.to
                for number in range(parameters.asks))  # fmt: skip
    share = there / parameters.asks
    near = share == wanted if wanted in (0, 1) else 0 < share < 1 and abs(share - wanted) <= parameters.tolerance
    detail = f"{parameters.to} answered {there} of {parameters.asks}, {wanted:.0%} wanted"
    return Observation(near, parameters.edge, detail)


def _region(target: Target, edge: Instance, parameters: Parameters) -> object:
    try:
        status, said = shared.calls(target).call(edge, parameters.port, "GET", parameters.ask, None, decider.ASKING_S)
        return json.loads(said).get("region") if status == 200 else None
    except (TargetError, ValueError, AttributeError):
        return None
