"""Phase by phase onto a cluster: apply, wait for the rollout, gates; and taking a phase back."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from harness.errors import TargetError
from harness.model.events import Deployed, PhaseDeployed, PhaseTakenBack
from harness.model.on_cluster import OnCluster
from harness.model.platform import Phase, Platform
from harness.ports import Report
from harness.spec.yaml import Located
from harness.targets.gates import see_hold
from harness.targets.kubernetes import beside, objects, services, state
from harness.targets.kubernetes.api import ApiError, Cluster, Manifest
from harness.targets.kubernetes.gates import Gates, Place
from harness.targets.kubernetes.objects import RUN, Key, key
from harness.targets.kubernetes.rollout import restarts, wait_for_rollout
from harness.targets.kubernetes.state import ClusterFolder, ClusterState
from harness.targets.rollout import at_first

EVERY_S = 0.5
CLAIM = "v1/PersistentVolumeClaim"


@dataclass(frozen=True)
class Deployment:
    """What all steps need on one cluster. `manifests` are rendered and belong to no release yet."""

    cluster: Cluster
    folder: ClusterFolder
    manifests: Sequence[Manifest]

    def state(self) -> ClusterState:
        return state.read(self.folder)

    def phases(self, release: str) -> dict[str, list[Manifest]]:
        """Phase → its objects for a release; "" is what belongs to no service."""
        now = self.state()
        chosen = objects.released(self.manifests, now.spec, now.labels, now.release_named(release))
        return dict(objects.by_phase(chosen, now.spec, now.labels))


@dataclass(frozen=True)
class Rollout:
    """A platform on all of its clusters. `folder` is the whole platform's: that of its deployment, where it has one."""

    folder: ClusterFolder
    parts: Sequence[Deployment]

    def state(self) -> ClusterState:
        return state.read(self.folder)

    def note(self, **values: object) -> None:
        """Changes the state, that of every part too."""
        for folder in {self.folder, *(each.folder for each in self.parts)}:
            state.change(folder, **values)

    def gates(self, copies: Collection[str] = ()) -> Gates:
        """Of all that serves; with `copies` (names of workloads) as if those served already."""
        places = tuple(Place(each.cluster, each.state(), each.folder.root) for each in self.parts)
        return Gates(places, self.folder, self.state(), frozenset(copies))


def new_state(folder: ClusterFolder, platform: Located[Platform], on: OnCluster, release: str) -> ClusterState:
    """The state of a platform of which nothing is there yet."""
    spec, file = platform.value.spec, platform.file.resolve()
    return ClusterState(
        id=folder.id,
        name=platform.value.metadata.name,
        platform_file=str(file),
        platform_sha256=hashlib.sha256(file.read_bytes()).hexdigest(),
        created_wall_ns=time.time_ns(),
        on=on,
        release=release or (spec.releases[0].name if spec.releases else ""),
        spec=spec,
    )


def first(whole: Rollout, report: Report) -> None:
    """Applies everything, phase by phase, onto namespaces that are ours. Raises TargetError, the phase taken back."""
    begun = time.monotonic()
    now = whole.state()
    groups = [each.phases(now.release) for each in whole.parts]
    for part, group in zip(whole.parts, groups, strict=True):
        _foundation(part, group[""], now.on.rollout_within)
    for phase in now.spec.phases:
        roll_out(whole, phase, [group[phase.name] for group in groups], report)
    finish(whole, begun, report)


def _foundation(made: Deployment, manifests: Sequence[Manifest], within_s: float) -> None:
    """What belongs to no service; definitions of kinds first."""
    state.remember(made.folder, "", manifests)
    definitions = [each for each in manifests if each["kind"] == objects.DEFINITION]
    for each in definitions:
        made.cluster.apply(each)
    _wait_until_served(made.cluster, objects.defined(definitions), within_s)
    for each in manifests:
        if each not in definitions:
            made.cluster.apply(each)


def _wait_until_served(cluster: Cluster, kinds: Iterable[str], within_s: float) -> None:
    deadline = time.monotonic() + within_s
    for kind in kinds:
        while True:
            try:
                cluster.resource(kind)
                break
            except ApiError as error:
                if error.status != 404 or time.monotonic() > deadline:
                    raise
                time.sleep(EVERY_S)


def replace(whole: Rollout, release: str, report: Report) -> None:
    """Rolls out another release of the released services while they serve, as their phases' strategies have it."""
    begun = time.monotonic()
    now = whole.state()
    groups = [each.phases(release) for each in whole.parts]
    for phase in now.spec.phases:
        if any(now.service(name).released for name in phase.services):
            roll_out(whole, phase, [group[phase.name] for group in groups], report)
    whole.note(release=release)
    finish(whole, begun, report)


def roll_out(whole: Rollout, phase: Phase, manifests: Sequence[Sequence[Manifest]], report: Report) -> None:
    """One phase: applied (service after service, if its strategy says so, or with a release beside the other first),
    waited for, gated, else taken back.

    `manifests` has those of each part.
    """

    def hold(copies: Collection[str] = ()) -> None:
        see_hold(phase.name, phase.gates, whole.gates(copies).look, whole.folder.gates, report)

    begun = time.monotonic()
    claims, before = [], False
    for part in whole.parts:
        claims.append(_claims(part.cluster, part.state()))
        if beside.unfinished(part.folder, phase.name) and not take_back(part, phase.name, claims[-1]):
            raise TargetError(f"phase {phase.name!r} was left half-way by another run, and cannot be taken back")
        applied = state.read_applied(part.folder)
        state.save_applied(part.folder, applied, phase.name)
        before = before or bool(applied.get(phase.name))
    try:
        pairs = zip(whole.parts, manifests, strict=True)
        copies = [beside.choose(part.cluster, part.folder, phase, mine) for part, mine in pairs]
        beside.stand(copies, phase, hold, report)
        for names in _batches(phase):
            batches = [
                [each for each in mine if _service(each, part.state()) in names]
                for part, mine in zip(whole.parts, manifests, strict=True)
            ]
            known = [restarts(part.cluster, part.state()) for part in whole.parts]
            for part, batch in zip(whole.parts, batches, strict=True):
                state.remember(part.folder, phase.name, batch)
                for each in batch:
                    part.cluster.apply(each)
            for part, batch, then in zip(whole.parts, batches, known, strict=True):
                wait_for_rollout(part.cluster, part.state(), batch, before=then)
        beside.end(copies)
        hold()
    except Exception as error:
        _give_back(whole, phase, claims, error, report)
        raise
    whole.note(phases=tuple(dict.fromkeys((*whole.state().phases, phase.name))))
    report(
        PhaseDeployed(
            phase=phase.name,
            strategy=phase.strategy,
            carried_out=beside.in_place(copies) if before else at_first(phase.strategy),
            seconds=time.monotonic() - begun,
            services=phase.services,
        )
    )


def _batches(phase: Phase) -> list[tuple[str, ...]]:
    """Services that are brought up together."""
    if phase.strategy in ("sequential", "rolling"):
        return [(name,) for name in phase.services]
    return [phase.services]


def _service(manifest: Manifest, now: ClusterState) -> str:
    return objects.pod_labels(manifest).get(now.labels.service, "")


# -- back


def _claims(cluster: Cluster, now: ClusterState) -> set[str]:
    return {each["metadata"]["name"] for each in cluster.list(CLAIM, now.on.namespace, {RUN: now.id})}


def take_back(made: Deployment, phase: str, claims: set[str]) -> bool:
    """Puts a phase back to what was applied before it; True when that was then seen to be so.

    What was there before is applied again as it was; what is new is deleted, with its pods and the claims they made.
    """
    now = made.state()
    before = state.read_applied(made.folder, phase).get(phase, {})
    after = state.read_applied(made.folder).get(phase, {})
    for each in before.values():
        made.cluster.apply(each)
    wait_for_rollout(made.cluster, now, list(before.values()), early=False)  # what failed may still be there
    held = services.lead_back(made.cluster, made.folder, list(before.values()))
    new = [key(each) for name, each in after.items() if name not in before]
    for one in new:
        made.cluster.delete(one.kind, one.namespace, one.name)
    theirs = {each for spec in now.spec.phases if spec.name == phase for each in spec.services}
    deadline = time.monotonic() + now.on.down_within
    while _left(made.cluster, now, new, theirs if not before else set()):
        if time.monotonic() > deadline:
            return False
        time.sleep(EVERY_S)
    services.let_go(made.cluster, held)
    for name in _claims(made.cluster, now) - claims:
        made.cluster.delete(CLAIM, now.on.namespace, name)
    applied = state.read_applied(made.folder)
    applied[phase] = before
    state.save_applied(made.folder, applied)
    return True


def _left(cluster: Cluster, now: ClusterState, gone: Sequence[Key], services: set[str]) -> list[str]:
    """What of a phase is still there: objects that were deleted, pods of services that have no workload any more."""
    left = [str(one) for one in gone if cluster.read(one.kind, one.namespace, one.name) is not None]
    running = cluster.list("v1/Pod", now.on.namespace, {RUN: now.id})
    theirs = [pod for pod in running if pod["metadata"]["labels"].get(now.labels.service) in services]
    copies = beside.pods_of(cluster, now, [one.name for one in gone])
    return left + [pod["metadata"]["name"] for pod in theirs] + copies


def _give_back(whole: Rollout, phase: Phase, claims: Sequence[set[str]], error: Exception, report: Report) -> None:
    verified = False
    try:
        back = [_taken_back(part, phase.name, mine) for part, mine in zip(whole.parts, claims, strict=True)]
        verified = all(back)
    finally:
        if not verified or whole.state().status != "up":  # never was up, or is not what it was
            whole.note(status="failed")
        report(PhaseTakenBack(phase=phase.name, reason=str(error) or type(error).__name__, verified=verified))


def _taken_back(made: Deployment, phase: str, claims: set[str]) -> bool:
    try:
        return take_back(made, phase, claims)
    except (ApiError, TargetError):  # the first error is the one that is told
        return False


def finish(whole: Rollout, begun: float, report: Report) -> None:
    """The platform is up."""
    whole.note(status="up")
    now = whole.state()
    on = now.on.endpoints
    endpoints = {"edge": on.edge, "prometheus": on.prometheus, "alertmanager": on.alertmanager}
    report(
        Deployed(
            release=now.release,
            seconds=time.monotonic() - begun,
            instances=len(whole.gates().serving()),
            endpoints={name: url for name, url in endpoints.items() if url},
        )
    )


def digest(manifests: Sequence[Manifest]) -> str:
    """Of the objects as rendered: the same for every run of the same files."""
    return hashlib.sha256(json.dumps(list(manifests), sort_keys=True).encode()).hexdigest()
