"""Waiting for workloads to run as they were applied, and saying why they do not."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence

from harness.errors import TargetError
from harness.targets.kubernetes import objects, pods
from harness.targets.kubernetes.api import ApiError, Cluster, Manifest
from harness.targets.kubernetes.objects import ROLLED_OUT, Key, key
from harness.targets.kubernetes.pods import TRACK
from harness.targets.kubernetes.state import ClusterState

EVERY_S = 0.5
STATEFUL = "apps/v1/StatefulSet"
REVISION = "controller-revision-hash"  # the template that a StatefulSet's pod was made from
ADD_ONS = ("apps/v1/Deployment", "apps/v1/DaemonSet")
# The kubelet does not get over these by itself.
HOPELESS = ("ErrImageNeverPull", "ImagePullBackOff", "InvalidImageName", "CreateContainerConfigError")
CRASHES = 3  # restarts since applying after which a pod is given up
Restarts = Mapping[tuple[str, str], int]  # (pod's uid, container) → its restarts


def restarts(cluster: Cluster, now: ClusterState) -> Restarts:
    """Of the run's pods that are there, to tell later what came of an apply."""
    return {
        (pod["metadata"]["uid"], each["name"]): each.get("restartCount", 0)
        for pod in pods.of_run(cluster, now)
        for each in _statuses(pod)
    }


def wait_for_rollout(
    cluster: Cluster,
    now: ClusterState,
    manifests: Sequence[Manifest],
    early: bool = True,
    before: Restarts | None = None,
) -> None:
    """Returns when every workload runs as applied. Raises TargetError with what keeps it, at the deadline or (`early`)
    as soon as waiting is no use. Without `early` what failed may still be there, and is helped to go.

    Only the workloads' own pods count, and of those that were there `before` only what they did since.
    """
    deadline = time.monotonic() + now.on.rollout_within
    waiting = [key(each) for each in manifests if each["kind"] in (*ROLLED_OUT, "Pod", "Job")]
    while True:
        try:
            missing = {one: why for one in waiting if (why := _missing(cluster, one))}
            troubles = _troubles(cluster, now, manifests, before or {}) if missing else []
            if not early:
                _let_go(cluster, missing)
        except ApiError as error:
            if not error.passing or time.monotonic() > deadline:
                raise
            time.sleep(EVERY_S)
            continue
        waiting = list(missing)
        if not waiting:
            return
        hopeless = [text for text, given_up in troubles if given_up and early]
        if hopeless or time.monotonic() > deadline:
            what = "; ".join(f"{one}: {why}" for one, why in missing.items())
            late = "" if hopeless else f"not rolled out within {now.on.rollout_within:g} s: "
            told = hopeless or [text for text, _ in troubles] + _warnings(cluster, now, waiting)
            raise TargetError("; ".join([late + what, *told])[:2000])
        time.sleep(EVERY_S)


def wait_for_add_ons(cluster: Cluster, within_s: float) -> None:
    """Until all that a new cluster brings along runs: names, storage, device plugins. Raises TargetError with what does
    not."""
    deadline = time.monotonic() + within_s
    while True:
        try:
            there = [key(each) for kind in ADD_ONS for each in cluster.list(kind)]
            missing = [f"{one}: {why}" for one in there if (why := _missing(cluster, one))]
        except ApiError as error:
            if not error.passing:
                raise
            missing = [str(error)]
        if not missing:
            return
        if time.monotonic() > deadline:
            raise TargetError(f"the new cluster's own parts do not run within {within_s:g} s: {'; '.join(missing)}")
        time.sleep(EVERY_S)


def _missing(cluster: Cluster, one: Key) -> str:
    """What a workload lacks to be rolled out, in words; "" when nothing."""
    found = cluster.read(one.kind, one.namespace, one.name)
    if found is None:
        return "is not there"
    status, kind = found.get("status") or {}, found["kind"]
    if kind == "Pod":
        return "" if pods.is_ready(found) else "is not ready"
    if kind == "Job":
        return "" if status.get("succeeded") else "has not succeeded"
    if status.get("observedGeneration", 0) < found["metadata"]["generation"]:
        return "is not taken up yet"
    wanted = pods.desired(found)
    if kind == "DaemonSet":
        updated, ready = status.get("updatedNumberScheduled", 0), status.get("numberReady", 0)
    else:
        updated, ready = status.get("updatedReplicas", 0), status.get("readyReplicas", 0)
    old = status.get("replicas", updated) - updated if kind == "Deployment" else 0
    if updated < wanted or ready < wanted or old > 0:
        return f"{ready} of {wanted} ready, {updated} up to date" + (f", {old} old ones left" if old > 0 else "")
    return ""


def _let_go(cluster: Cluster, workloads: Iterable[Key]) -> None:
    """Deletes what StatefulSets hold on to: a pod of another template that never became Ready is not replaced by theirs
    (https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/#forced-rollback)."""
    for one in workloads:
        found = cluster.read(one.kind, one.namespace, one.name) if one.kind == STATEFUL else None
        status = (found or {}).get("status") or {}
        if found is None or status.get("observedGeneration", 0) < found["metadata"]["generation"]:
            continue
        for pod in cluster.list("v1/Pod", one.namespace, found["spec"]["selector"]["matchLabels"]):
            about = pod["metadata"]
            theirs = any(each["uid"] == found["metadata"]["uid"] for each in about.get("ownerReferences") or [])
            other = about["labels"].get(REVISION) not in (None, status.get("updateRevision"))
            if theirs and other and not pods.is_ready(pod) and not pods.leaving(pod):
                cluster.delete("v1/Pod", one.namespace, about["name"], uid=about["uid"])


def _troubles(
    cluster: Cluster, now: ClusterState, workloads: Sequence[Manifest], before: Restarts
) -> list[tuple[str, bool]]:
    """(what is wrong with a pod of these workloads, whether it will stay so)."""
    found = []
    for pod in pods.of_run(cluster, now):
        if pods.is_ready(pod) or not any(_is_of(pod, each) for each in workloads):
            continue
        name = pod["metadata"]["name"]
        found += [
            (f"{name}: {each.get('reason')}: {each.get('message')}", False)
            for each in pod["status"].get("conditions") or []
            if each["type"] == "PodScheduled" and each["status"] == "False"
        ]
        for each in _statuses(pod):
            wait = (each.get("state") or {}).get("waiting") or {}
            reason = wait.get("reason", "")
            if reason in HOPELESS or reason == "CrashLoopBackOff":
                ended = (each.get("lastState") or {}).get("terminated") or {}
                code = f", exit code {ended['exitCode']}" if "exitCode" in ended else ""
                known = before.get((pod["metadata"]["uid"], each["name"]))
                crashed = each.get("restartCount", 0) - (known or 0) >= CRASHES
                given_up = crashed or (reason in HOPELESS and known is None)
                found.append((f"{name}: {reason}: {wait.get('message', '')}{code}", given_up))
    return found


def _is_of(pod: Manifest, workload: Manifest) -> bool:
    """By the template's labels, so that pods of another release are none of it."""
    if workload["kind"] == "Pod":
        return key(pod) == key(workload)
    told, wanted = pod["metadata"].get("labels") or {}, objects.pod_labels(workload)
    return bool(wanted) and wanted.items() <= told.items() and told.get(TRACK) == wanted.get(TRACK)


def _statuses(pod: Manifest) -> list[Manifest]:
    return [*(pod["status"].get("initContainerStatuses") or []), *pods.statuses(pod)]


def _warnings(cluster: Cluster, now: ClusterState, workloads: Sequence[Key]) -> list[str]:
    """What the cluster's controllers complain of about these workloads; nothing where we may not read it."""
    names = {one.name for one in workloads}
    try:
        events = cluster.list("v1/Event", now.on.namespace)
    except ApiError:
        return []
    return [
        f"{each['involvedObject']['name']}: {each.get('reason')}: {each.get('message')}"
        for each in events
        if each.get("type") == "Warning" and each["involvedObject"].get("name") in names
    ][-5:]
