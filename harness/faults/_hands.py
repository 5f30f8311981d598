"""Faults that an agent makes at a pod's own node and that last as long as it does: the hand. Another, the eye, looks.

Both end by themselves at the fault's deadline: nothing outlives a harness that lost the network. The eye is made before
the fault, looks from the same place, and goes when the fault has been seen gone; a look from cold makes a new one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

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
LOOKS = 3  # of which one must be good before the fault: a single echo may get lost by itself
Ask = Callable[..., dict[str, Any]]
T = TypeVar("T")


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
    found = list(_there(site, selection, fail=True))
    _at_once(lambda number, _, pod: _eye(site, selection, number, pod, programs, seconds), found)


def look_before(
    target: Target, selection: Selection, programs: Sequence[str], object_to: Callable[[Ask, Manifest], str], fix: str
) -> None:
    """Refuses with BadInput, the eyes being there and nothing else, what could be seen neither to land nor to go: the
    fault's effect is there already (`object_to` as `gone` has it), or an eye cannot see."""
    for _ in range(LOOKS):
        found = _looks(target, selection, programs, object_to)
        if not found:
            return
    raise BadInput(f"before the fault: {'; '.join(found[:5])}", fix=fix)


def inject(
    target: Target, selection: Selection, programs: Sequence[str], argv: Callable[[Manifest, float], Sequence[str]]
) -> None:
    """Makes a hand for each selected pod, with these arguments, and returns when all are at work."""
    site = on_cluster.on(target)
    seconds, fault = deadman.seconds_left(selection.deadline_wall_ns), selection.before[on_cluster.ID]

    def make(number: int, _: str, pod: Manifest) -> None:
        name, words, node = f"harness-hand-{fault}-{number}", argv(pod, seconds), pods.node(pod)
        agent.launch(site, name, fault, programs, words, seconds, security=agent.NODE, node=node)
        agent.await_ready(site, name)

    _at_once(make, list(_there(site, selection, fail=True)))


def landed(
    target: Target, selection: Selection, programs: Sequence[str], object_to: Callable[[Ask, Manifest], str], seen: str
) -> Observation:
    """`object_to(ask, pod)` says what speaks against it, by what the pod's eye answers."""
    found = shared.missing(target.instances(), selection) + _looks(target, selection, programs, object_to)
    return shared.observation(found, "agent at the pod's place", seen)


def gone(
    target: Target, selection: Selection, programs: Sequence[str], object_to: Callable[[Ask, Manifest], str], seen: str
) -> Observation:
    """As `landed`, for the pods that are still the same; and all instances are ready, and no agent is left. Of a fault
    that was perhaps never made that is enough where an eye cannot see: it may be why it was not made."""
    site = on_cluster.on(target)
    fault = selection.before[on_cluster.ID]

    def objections() -> Iterable[str]:
        yield from (left for left in agent.remaining(site, fault) if "harness-eye-" not in left)
        yield from unready(site, selection)

    found = list(objections())
    found = found or _looks(target, selection, programs, object_to, must_see=selection.made)
    if not found:
        agent.remove(site, fault)
    return shared.observation(found, "agent at the pod's place", seen)


def _looks(
    target: Target,
    selection: Selection,
    programs: Sequence[str],
    object_to: Callable[[Ask, Manifest], str],
    must_see: bool = True,
) -> list[str]:
    """What the eyes object to, all asked at once; one that cannot see objects too (`must_see`)."""
    site = on_cluster.on(target)

    def look(number: int, name: str, pod: Manifest) -> str:
        try:
            eye = _eye(site, selection, number, pod, programs, EYE_S)
            objection = object_to(_asking(site, eye), pod)
        except TargetError as error:
            objection = str(error).splitlines()[0] if must_see or error.passing else ""
        return f"{name}: {objection}" if objection else ""

    return [each for each in _at_once(look, list(_there(site, selection, fail=False))) if each]


def _at_once(act: Callable[[int, str, Manifest], T], found: Sequence[tuple[int, str, Manifest]]) -> list[T]:
    with ThreadPoolExecutor(max_workers=max(1, len(found))) as pool:
        return list(pool.map(lambda each: act(*each), found))


def recover(target: Target, selection: Selection, parameters: object) -> None:
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
