"""Services that lead to one release, by its label in their selectors, and are seen to."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from harness.errors import TargetError
from harness.targets.kubernetes import objects, pods, state
from harness.targets.kubernetes.api import ApiError, Cluster, Manifest
from harness.targets.kubernetes.objects import Key, key
from harness.targets.kubernetes.state import ClusterFolder, ClusterState

EVERY_S = 0.5
SERVICE, SLICE = "v1/Service", "discovery.k8s.io/v1/EndpointSlice"
OF_SERVICE = "kubernetes.io/service-name"  # EndpointSlices carry it


@dataclass(frozen=True)
class Held:
    """A Service as it was applied, and the releases between which it is switched."""

    service: Manifest
    old: str
    new: str = ""

    @property
    def name(self) -> str:
        return str(self.service["metadata"]["name"])


def choose(
    changed: Mapping[Key, Manifest], applied: Mapping[str, Mapping[str, Manifest]], label: str, unfit: dict[Key, str]
) -> list[Held]:
    """The Services that lead to what is changed. What has none that can be switched is added to `unfit`: a Service
    must lead to changed workloads only, all of one release, and not choose a release itself."""
    there = {key(each): each for group in applied.values() for each in group.values()}
    services = [each for each in there.values() if each["kind"] == "Service"]
    leads = {key(each): [one for one, it in there.items() if _selects(each, it)] for each in services}
    while True:
        fit = set(changed) - set(unfit)
        held = {key(each): each for each in services if fit.intersection(leads[key(each)])}
        releases = {one: {objects.pod_labels(there[it]).get(label, "") for it in leads[one]} for one in held}
        new = {one: {objects.pod_labels(changed[it]).get(label, "") for it in leads[one] if it in fit} for one in held}
        wrong = {
            one: "leads elsewhere too" if set(leads[one]) - fit else "cannot be switched by the release's label"
            for one, each in held.items()
            if set(leads[one]) - fit or label in each["spec"]["selector"] or not _switchable(releases[one], new[one])
        }
        late = {each: "no Service leads to it" for each in fit if not any(each in leads[one] for one in held)}
        late |= {each: f"{one} {why}" for one, why in wrong.items() for each in fit.intersection(leads[one])}
        if not late:
            return [Held(each, *releases[one], *new[one]) for one, each in held.items()]
        unfit |= late


def _switchable(old: set[str], new: set[str]) -> bool:
    return len(old) == len(new) == 1 and len((old | new) - {""}) == 2


def _selects(service: Manifest, workload: Manifest) -> bool:
    selector = (service.get("spec") or {}).get("selector") or {}
    return service["kind"] == "Service" and bool(selector) and selector.items() <= objects.pod_labels(workload).items()


def lead(cluster: Cluster, now: ClusterState, held: Sequence[Held], release: Callable[[Held], str]) -> None:
    """Holds Services to a release, and sees it in their EndpointSlices. Raises TargetError."""
    for each in held:
        changed = copy.deepcopy(each.service)
        changed["spec"]["selector"][now.labels.release] = release(each)
        cluster.apply(changed)

    def astray() -> list[str]:
        there = pods.of_run(cluster, now) if held else []
        slices = cluster.list(SLICE, now.on.namespace) if held else []
        return [why for each in held if (why := _astray(each.service, release(each), there, slices, now))]

    until_none(astray, now.on.rollout_within)


def _astray(
    service: Manifest, release: str, there: Sequence[Manifest], slices: Iterable[Manifest], now: ClusterState
) -> str:
    """What is wrong with where a Service leads; "" when it leads to all ready pods of a release, and to no other."""
    name, selector = service["metadata"]["name"], service["spec"]["selector"]
    mine = [pod for pod in there if selector.items() <= pod["metadata"]["labels"].items()]
    of_release = {
        pod["metadata"]["name"] for pod in mine if pod["metadata"]["labels"].get(now.labels.release) == release
    }
    ready = {pod["metadata"]["name"] for pod in mine if pods.is_ready(pod)} & of_release
    led = {
        (endpoint.get("targetRef") or {}).get("name", "somebody")
        for each in slices
        if (each["metadata"].get("labels") or {}).get(OF_SERVICE) == name
        for endpoint in each.get("endpoints") or []
        if (endpoint.get("conditions") or {}).get("ready") is not False
    }
    wrong = [f"still leads to {each}" for each in sorted(led - of_release)]
    wrong += [f"does not lead to {each}" for each in sorted(ready - led)]
    if not ready:
        wrong.append(f"no pod of {release} is ready")
    return f"Service {name} {', '.join(wrong)}" if wrong else ""


def let_go(cluster: Cluster, held: Iterable[Held]) -> None:
    """Services select as they were applied."""
    for each in held:
        cluster.apply(each.service)


def lead_back(cluster: Cluster, folder: ClusterFolder, before: Sequence[Manifest]) -> list[Held]:
    """Services that are held to a release lead to what was there before, whose pods are ready; they stay held until the
    copies are gone. From what is on the cluster and on disk alone. Raises TargetError."""
    now, held = state.read(folder), []
    for each in state.read_applied(folder).get("", {}).values():
        releases = {objects.pod_labels(it).get(now.labels.release, "") for it in before if _selects(each, it)}
        there = cluster.read(SERVICE, now.on.namespace, each["metadata"]["name"]) if len(releases) == 1 else None
        if there and now.labels.release in {*there["spec"]["selector"]} - {*each["spec"]["selector"]}:
            held.append(Held(each, *releases))
    lead(cluster, now, held, lambda each: each.old)
    return held


def until_none(left: Callable[[], list[str]], within_s: float) -> None:
    """Looks until nothing is left to wait for. Raises TargetError with what is."""
    deadline = time.monotonic() + within_s
    while True:
        try:
            waiting = left()
        except ApiError as error:
            if not error.passing:
                raise
            waiting = [str(error)]
        if not waiting:
            return
        if time.monotonic() > deadline:
            raise TargetError(f"after {within_s:g} s {'; '.join(waiting)}"[:2000])
        time.sleep(EVERY_S)
