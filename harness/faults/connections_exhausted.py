"""A PostgreSQL server has no connection to give any more: somebody else has taken them all.

    provider:
      type: python
      module: harness.chaos.actions
      func: inject
      arguments: {fault: connections_exhausted, parameters: {service: postgres, region: sjc}, blast_radius: 1}

An ordinary pod, without any right and without a password, opens connections until it is refused, and asks again for
each that the server ends. Connections that others have already stay theirs; what they open new is refused. Landed:
another pod that asks is refused with SQLSTATE 53300 (too many connections). Refused where it is so before. Gone: it is
asked who it is, and the pods are ready. Lifted when the agent ends: by the undo, at `undo_within`, or when its node
ends it.
"""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from harness.errors import BadInput, TargetError
from harness.faults import _cluster as on_cluster
from harness.faults import _hands as hands
from harness.faults import _shared as shared
from harness.kube import agent, deadman
from harness.kube.ports import Kubernetes
from harness.ports import Observation, Selection, Target

REQUIRES = (Kubernetes,)
RIGHTS = hands.RIGHTS
PROGRAMS = ("connections",)
REFUSED, ASKS = "53300", "asks"
ADDRESSES = "addresses"


class Parameters(on_cluster.Pods):
    """Which instances, on which of their ports, and how many connections are taken at most."""

    port: str = "sql"
    most: int = Field(default=500, ge=1, le=900)


predict = on_cluster.predict
recover = hands.recover


def select(target: Target, parameters: Parameters) -> Selection:
    selection = on_cluster.select(target, parameters, RIGHTS)
    chosen = [each for each in target.instances(parameters.service, parameters.region) if each.name in selection.names]
    for each in chosen:
        if parameters.port not in each.ports:
            raise BadInput(f"{each.name} has no port {parameters.port!r}", fix=f"one of {', '.join(each.ports)}")
    addresses = ",".join(f"{each.host}:{each.ports[parameters.port]}" for each in chosen)
    return Selection(selection.names, {**selection.before, ADDRESSES: addresses})


def prepare(target: Target, selection: Selection, parameters: Parameters) -> None:
    _eye(target, selection, deadman.seconds_left(selection.deadline_wall_ns))
    if found := list(_unlike(target, selection, ASKS)):
        raise BadInput(f"before the fault: {'; '.join(found)}", fix="see to it that these servers take new connections")


def inject(target: Target, selection: Selection, parameters: Parameters) -> None:
    site = on_cluster.on(target)
    fault, seconds = selection.before[on_cluster.ID], deadman.seconds_left(selection.deadline_wall_ns)
    names = []
    for number, address in enumerate(selection.before[ADDRESSES].split(",")):
        names.append(f"harness-hand-{fault}-{number}")
        argv = ["take", str(seconds), *address.rsplit(":", 1), str(parameters.most)]
        agent.launch(site, names[-1], fault, PROGRAMS, argv, seconds, security=agent.NOBODY)
    for name in names:
        agent.await_ready(site, name)


def landed(target: Target, selection: Selection, parameters: Parameters) -> Observation:
    return shared.observation(_unlike(target, selection, REFUSED), "second client", "new connections are refused")


def gone(target: Target, selection: Selection, parameters: Parameters) -> Observation:
    site = on_cluster.on(target)
    fault = selection.before[on_cluster.ID]
    found = [left for left in agent.remaining(site, fault) if "harness-eye-" not in left]
    found += hands.unready(site, selection)
    if not found and selection.made:  # else it may have been refused for what a second client was told before it
        found += _unlike(target, selection, ASKS)
    if not found:
        agent.remove(site, fault)
    return shared.observation(found, "second client", "new connections are taken")


def _unlike(target: Target, selection: Selection, wanted: str) -> Iterator[str]:
    """What another client is told by each server, unless it is what was wanted. One that moved is asked where it is."""
    site = on_cluster.on(target)
    eye = _eye(target, selection, hands.EYE_S)
    there = {each.name: each.host for each in target.instances()}
    addresses = dict(zip(selection.names, selection.before[ADDRESSES].split(","), strict=True))
    for name, address in addresses.items():
        host, port = address.rsplit(":", 1)
        try:
            said = str(agent.ask(site, eye, ["look", there.get(name, host), port])["said"])
        except TargetError as error:
            said = str(error)
        if said != wanted:
            yield f"{name}: a new client is told {said!r}"


def _eye(target: Target, selection: Selection, seconds: float) -> str:
    site = on_cluster.on(target)
    fault = selection.before[on_cluster.ID]
    name = f"harness-eye-{fault}"
    argv = ["hold", str(seconds)]
    agent.launch(site, name, fault, PROGRAMS, argv, seconds, security=agent.NOBODY)
    return name
