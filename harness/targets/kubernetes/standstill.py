"""Whether a database on a cluster surely stands still, by the word of whoever runs it and not by its silence.

A pod stands still when its machine is off (the provider says so), when its kubelet has not started it yet, or when
nothing listens at its port, seen from outside of it and from inside. One that was told to end and then was seen to
stand still is over: no kubelet starts it again. A node that is only not Ready tells nothing: what runs there may go on,
cut off from us.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from harness.errors import HarnessError
from harness.targets.kubernetes.api import ApiError, Cluster, Manifest
from harness.targets.kubernetes.pods import statuses

ASK_S = 1.0
GRACE_S = 30.0  # Kubernetes' own, where a pod does not say
LEASE, LEASES = "coordination.k8s.io/v1/Lease", "kube-node-lease"  # what a kubelet renews as long as it is well


@dataclass(frozen=True)
class Seen:
    """A pod when it was last there; `beat`: its kubelet's lease when its time to end was over."""

    at: float
    pod: Manifest
    beat: str = ""


@dataclass
class Standstill:
    """Looks again and again at the pods with these labels; `is_off` asks the provider about a machine."""

    cluster: Cluster
    namespace: str
    labels: dict[str, str]
    port: int
    is_off: Callable[[str], bool]
    now: Callable[[], float] = time.monotonic
    _seen: dict[str, Seen] = field(default_factory=dict)  # every pod that was ever there
    _over: set[str] = field(default_factory=set)  # those that no kubelet will start any more

    def note(self) -> None:
        """Remembers who is there, so that later nobody is forgotten."""
        with suppress(HarnessError):
            self._pods()

    def look(self) -> bool:
        """Whether nothing of it runs now; False when it may, or nobody can tell."""
        try:
            pods = self._pods()
            for uid, pod in pods.items():
                if _was_told_to_end(pod) and (not _runs(pod) or self._is_off(pod)):
                    self._over.add(uid)
            gone = [self._has_ended(uid, seen) for uid, seen in self._seen.items() if uid not in pods]
            there = (uid in self._over or self._stands_still(pod) for uid, pod in pods.items())
            return bool(self._seen) and all(gone) and all(there)
        except HarnessError:
            return False

    def _pods(self) -> dict[str, Manifest]:
        found = {
            str(each["metadata"]["uid"]): each for each in self.cluster.list("v1/Pod", self.namespace, self.labels)
        }
        self._seen |= {uid: Seen(self.now(), pod) for uid, pod in found.items()}
        return found

    def _is_off(self, pod: Manifest) -> bool:
        return bool(_node(pod)) and self.is_off(_node(pod))

    def _stands_still(self, pod: Manifest) -> bool:
        return not _was_started(pod) or self._is_off(pod) or self._refuses(str(pod["metadata"]["name"]))

    def _runs_nowhere(self, uid: str, pod: Manifest) -> bool:
        """By the word of its kubelet, asked for what really runs on its node; False where it is not to be asked."""
        try:
            return uid not in self.cluster.running(_node(pod), ASK_S)
        except ApiError:
            return False

    def _refuses(self, name: str) -> bool:
        """Nothing listens: as the API server meets it, and as its kubelet does from inside."""
        try:
            self.cluster.proxy(self.namespace, name, self.port, "GET", "/", timeout_s=ASK_S)
        except ApiError as error:
            return "connection refused" in str(error) and self.cluster.refuses(self.namespace, name, self.port, ASK_S)
        return False

    def _has_ended(self, uid: str, seen: Seen) -> bool:
        """Of a pod that is gone. That its object is gone says little: a forced deletion waits for nobody. So it must
        have been over before, or its kubelet says that it does not run, or its kubelet was heard of after the time that
        it had for ending it."""
        if uid in self._over or not _was_started(seen.pod):
            return True
        if self._runs_nowhere(uid, seen.pod):
            self._over.add(uid)
            return True
        if self.now() - seen.at <= float(seen.pod["spec"].get("terminationGracePeriodSeconds") or GRACE_S):
            return False
        lease = self.cluster.read(LEASE, LEASES, _node(seen.pod)) or {}
        beat = str(lease.get("spec", {}).get("renewTime") or "")
        if not seen.beat:
            self._seen[uid] = Seen(seen.at, seen.pod, beat)
        elif beat != seen.beat:
            self._over.add(uid)
        return uid in self._over


def _node(pod: Manifest) -> str:
    return str(pod["spec"].get("nodeName") or "")


def _was_told_to_end(pod: Manifest) -> bool:
    return bool(pod["metadata"].get("deletionTimestamp"))


def _runs(pod: Manifest) -> bool:
    """Whether a container of it may run, by its kubelet's latest word."""
    return any("running" in each.get("state", {}) for each in statuses(pod)) or not statuses(pod)


def _was_started(pod: Manifest) -> bool:
    """Whether its kubelet has ever started a container of it, by its own word."""
    if not statuses(pod):
        return str(pod["status"].get("phase", "Pending")) != "Pending"
    return any(
        each.get("containerID") or each.get("restartCount") or each.get("lastState") or "waiting" not in each["state"]
        for each in statuses(pod)
    )
