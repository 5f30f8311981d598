"""Faults that an agent makes at a pod's own node and that last as long as it does: the hand. Another, the eye, looks.

Both end by themselves at the fault's deadline: nothing outlives a harness that lost the network. The eye is made before
the fault, looks from the same place, and goes when the fault has been seen gone; a look from cold makes a new one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from harness.errors import BadInput, TargetError
from harness.faults import _cluster as on_cluster
from harness.faults import _shared as shared
from harness.kube import agent, deadman, pods
from harness.kube.pods import read_mark
from harness.kube.ports import Manifest, Site
from harness.kube.rights import rights
from harness.ports import Observation, Selection, Target

RIGHTS = (
    *on_cluster.LOOKING,
    *agent.RIGHTS,
    *rights("get", "deployments", "apps"),
    *rights("get", "statefulsets", "apps"),
)
EYE_S = 120.0
Ask = Callable[..., dict[str, Any]]


def select(target: Target, parameters: on_cluster.Pods) -> Selection:
    """As on_cluster.select; refuses a pod that has its node's network for its own."""
    selection = on_cluster.select(target, parameters, RIGHTS)
    site = on_cluster.on(target)
    for name, pod in pods.by_name(site, selection.names).items():
        if pod["spec"].get("hostNetwork"):
            raise BadInput(f"pod {name} has its node's network: the whole node would be hit")
    return selection


def prepare(target: Target, selection: Selection, programs: Sequence[str]) -> None:
    """Makes an eye for each selected pod."""
    site = on_cluster.on(target)
    seconds = deadman.seconds_left(selection.deadline_wall_ns)
    for number, _, pod in _there(site, selection, fail=True):
        _eye(site, selection, number, pod, programs, seconds)


def inject(
    target: Target, selection: Selection, programs: Sequence[str], argv: Callable[[Manifest, float], Sequence[str]]
) -> None:
    """Makes a hand for each selected pod, with these arguments, and returns when all are at work."""
    site = on_cluster.on(target)
    seconds, fault = deadman.seconds_left(selection.deadline_wall_ns), selection.before[on_cluster.ID]
    names = []
    for number, _, pod in _there(site, selection, fail=True):
        names.append(f"harness-hand-{fault}-{number}")
        agent.launch(
            site,
            names[-1],
            fault,
            programs,
            argv(pod, seconds),
            seconds,
            security=agent.NODE,
            node=pods.node(pod),
        )
    for name in names:
        agent.await_ready(site, name)


def landed(
    target: Target, selection: Selection, programs: Sequence[str], object_to: Callable[[Ask, Manifest], str], seen: str
) -> Observation:
    """`object_to(ask, pod)` says what speaks against it, by what the pod's eye answers."""

    def objections() -> Iterator[str]:
        site = on_cluster.on(target)
        found = list(_there(site, selection, fail=False))
        yield from shared.missing(target.instances(), selection)
        for number, name, pod in found:
            eye = _eye(site, selection, number, pod, programs, EYE_S)
            try:
                objection = object_to(_asking(site, eye), pod)
            except TargetError as error:
                objection = str(error)
            if objection:
                yield f"{name}: {objection}"

    return shared.observation(objections(), "an agent at the pod's place", seen)


def gone(
    target: Target, selection: Selection, programs: Sequence[str], object_to: Callable[[Ask, Manifest], str], seen: str
) -> Observation:
    """As `landed`, for the pods that are still the same; and all instances are ready, and no agent is left."""
    site = on_cluster.on(target)
    fault = selection.before[on_cluster.ID]

    def objections() -> Iterable[str]:
        yield from (left for left in agent.remaining(site, fault) if "harness-eye-" not in left)
        yield from unready(site, selection)

    found = list(objections())
    if not found:
        for number, name, pod in _there(site, selection, fail=False):
            eye = _eye(site, selection, number, pod, programs, EYE_S)
            if objection := object_to(_asking(site, eye), pod):
                found.append(f"{name}: {objection}")
    if not found:
        agent.remove(site, fault)
    return shared.observation(found, "an agent at the pod's place", seen)


def recover(target: Target, selection: Selection) -> None:
    """Ends hands and eyes: a hand lifts what it made before it goes."""
    site = on_cluster.on(target)
    agent.remove(site, selection.before[on_cluster.ID])


def unready(site: Site, selection: Selection) -> Iterator[str]:
    """Which of the selected instances are not ready, or have no successor that is."""
    found = site.cluster.list(pods.POD, site.namespace)
    names = {pods.name(pod): pod for pod in found}
    for name, text in shared.marks(selection).items():
        if name in names:
            if not pods.is_ready(names[name]):
                yield f"{name}: not ready{' (' + pods.reason(names[name]) + ')' if pods.reason(names[name]) else ''}"
        else:
            yield from pods.short(site, read_mark(text).workload, found)


def _there(site: Site, selection: Selection, fail: bool) -> Iterator[tuple[int, str, Manifest]]:
    """(place in the selection, name, pod) of the selected pods that are still the same ones.

    Raises TargetError (`fail`) when one is not.
    """
    found = pods.by_name(site, selection.names)
    for number, name in enumerate(selection.names):
        if name in found and pods.uid(found[name]) == read_mark(selection.before.get(name, "")).uid:
            yield number, name, found[name]
        elif fail:
            raise TargetError(f"{name}: the pod is not the one that was selected any more")


def _eye(
    site: Site,
    selection: Selection,
    number: int,
    pod: Manifest,
    programs: Sequence[str],
    seconds: float,
) -> str:
    fault = selection.before[on_cluster.ID]
    name = f"harness-eye-{fault}-{number}"
    argv = ["hold", str(seconds)]
    agent.launch(site, name, fault, programs, argv, seconds, security=agent.NODE, node=pods.node(pod))
    return name


def _asking(site: Site, eye: str) -> Ask:
    def ask(*argv: str) -> dict[str, Any]:
        return agent.ask(site, eye, argv)

    return ask
