"""The platform is told to move its primary to another region, as before maintenance, or back after a failover.

    provider:
      type: python
      module: harness.chaos.actions
      func: inject
      arguments:
        fault: switchover
        parameters: {service: failover-agent, to: lax, serves: unified-api}
        blast_radius: 1

Nothing is broken: what is asked is whether users notice, and whether an acknowledged write is lost. Whoever decides is
told by `POST path {"to": region}` until he accepts it, for `within` (a standby that does not follow yet is refused),
and tells at `GET tell` the `primary` and, while a change goes on, the `heir`, and that it `moves` until the new primary
is one. Landed: he says that `to` is primary. Gone: no change goes on, and the instances of `serves` in the primary's
region answer `ready` with 200. Undone, unless it was seen to have gone well, by moving the primary back, after a change
that goes on has ended (`within`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from harness.errors import BadInput, TargetError
from harness.faults import _decider as decider
from harness.faults import _shared as shared
from harness.model.base import Duration, Frozen
from harness.model.platform import PlatformSpec
from harness.ports import Calls, Instance, Observation, Selection, Target

REQUIRES = (Calls,)
RIGHTS = decider.RIGHTS
BEFORE = "primary"


class Parameters(Frozen):
    """Who decides (`service`, its first instance), which region is to be primary, which service then serves there.

    Leave `serves` out where a region has a cluster of its own: it cannot be seen from the one of who decides."""

    service: str
    to: str
    serves: str | None = None
    path: str = "/switchover"
    tell: str = "/term"
    ready: str = "/ready"
    port: str = "http"
    within: Duration = 60.0


def predict(platform: PlatformSpec, parameters: Parameters) -> Selection:
    return Selection(shared.predicted(platform, parameters.service, None)[:1])


def select(target: Target, parameters: Parameters) -> Selection:
    """BadInput when the region is primary already."""
    shared.check_rights(target, RIGHTS)
    chosen = target.instances(parameters.service)[:1]
    before = {each.name: _term(target, each, parameters)["primary"] for each in chosen}
    if parameters.to in before.values():
        raise BadInput(f"{parameters.to} is primary already", key="to", fix="name another region")
    return Selection(tuple(before), {BEFORE: next(iter(before.values()), "")})


def inject(target: Target, selection: Selection, parameters: Parameters) -> None:
    for each in shared.named(target, selection):
        _move(target, each, parameters, parameters.to)


def landed(target: Target, selection: Selection, parameters: Parameters) -> Observation:
    told = [_term(target, each, parameters)["primary"] for each in shared.named(target, selection)]
    others = [f"{name} is primary" for name in told if name != parameters.to]
    return shared.observation(others, parameters.service, f"{parameters.to} is primary")


def gone(target: Target, selection: Selection, parameters: Parameters) -> Observation:
    return shared.observation(_unfinished(target, parameters), "primary region", "it serves")


def recover(target: Target, selection: Selection, parameters: Parameters) -> None:
    for each in target.instances(parameters.service)[:1]:
        term = decider.settled(target, each, parameters.port, parameters.tell, parameters.within)
        if term["primary"] != selection.before[BEFORE]:
            _move(target, each, parameters, selection.before[BEFORE])


def _term(target: Target, instance: Instance, parameters: Parameters) -> dict[str, Any]:
    return decider.term(target, instance, parameters.port, parameters.tell)


def _move(target: Target, instance: Instance, parameters: Parameters, to: str) -> None:
    decider.tell(target, instance, parameters.port, parameters.path, {"to": to}, parameters.within)


def _unfinished(target: Target, parameters: Parameters) -> Iterator[str]:
    deciders = target.instances(parameters.service)[:1]
    if not deciders:
        yield f"no instance of {parameters.service} is there"
    for each in deciders:
        term = _term(target, each, parameters)
        if term.get("heir"):
            yield f"{term['heir']} is about to be primary"
        elif term.get("moves"):
            yield f"the move to {term['primary']} goes on"
        if term.get("heir") or parameters.serves is None:
            continue
        serving = target.instances(parameters.serves, term["primary"])
        if not serving:
            yield f"no instance of {parameters.serves} is in {term['primary']}"
        for one in serving:
            try:
                status, _ = shared.calls(target).call(
                    one, parameters.port, "GET", parameters.ready, None, decider.ASKING_S
                )
            except TargetError as error:
                yield str(error).splitlines()[0]
                continue
            if status != 200:
                yield f"{one.name} is not ready: status {status}"
