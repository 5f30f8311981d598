"""Whether a database on a cluster surely stands still, by the word of whoever runs it and not by its silence.

A pod stands still when its machine is off (the provider says so), when its kubelet says that nothing of it runs, or
when nothing listens at its port, seen from outside of it and from inside. What the API server has of a pod is what its
kubelet last told, which may be long ago: a kubelet that is cut off starts containers on its own. A node that is only
not Ready tells nothing.

Afterwards the logs of all that has run since tell what it was: as long as none is missing, so none but the two latest
runs of a container, and nothing that a kubelet has rotated away (10 MiB by default).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from harness.errors import HarnessError
from harness.targets.kubernetes.api import LOG_BYTES, ApiError, Cluster, Manifest
from harness.targets.kubernetes.pods import port_of, statuses

ASK_S = 1.0
GRACE_S = 30.0  # Kubernetes' own, where a pod does not say
TOLD_S = 10.0  # a kubelet that is heard of has by then learned what was deleted
LEASE, LEASES = "coordination.k8s.io/v1/Lease", "kube-node-lease"  # what a kubelet renews as long as it is well


@dataclass(frozen=True)
class Gone:
    """A pod that is not there any more: the latest lease of its kubelet, and when one that was newer came."""

    beat: str
    heard_at: float | None = None


Starts = dict[tuple[str, str], int]  # (uid, container) → how often it was started


@dataclass
class Standstill:
    """Looks again and again at the pods with these labels; `is_off` asks the provider about a machine."""

    cluster: Cluster
    namespace: str
    labels: dict[str, str]
    port: tuple[str, int]  # its name, and the number where a pod gives the name to none of its own
    is_off: Callable[[str], bool]
    now: Callable[[], float] = time.monotonic
    _seen: dict[str, Manifest] = field(default_factory=dict)  # every pod that was ever there
    _gone: dict[str, Gone] = field(default_factory=dict)
    _over: set[str] = field(default_factory=set)  # those that no kubelet will start any more
    _held: list[tuple[float, frozenset[str], Starts]] = field(default_factory=list)  # looks: when, over, started
    _heard: tuple[float, dict[str, str]] | None = None  # since when logs are asked for, and each node's beat then

    def note(self) -> None:
        """Remembers who is there, so that later nobody is forgotten."""
        with suppress(HarnessError):
            self._pods()

    def look(self) -> bool:
        """Whether nothing of it runs now; False when it may, or nobody can tell."""
        began, self._heard = self.now(), None
        try:
            pods = self._pods()
            for uid, pod in self._seen.items():
                told_to_end = uid not in pods or bool(pod["metadata"].get("deletionTimestamp"))
                if told_to_end and uid not in self._over and self._is_off(pod):
                    self._over.add(uid)  # when its machine is on again, its kubelet hears that it is to be no more
            gone = [self._has_ended(uid, pod) for uid, pod in self._seen.items() if uid not in pods]
            may_run = {
                uid for uid, pod in pods.items() if uid not in self._over and not self._surely_runs_nothing(uid, pod)
            }
            holds = bool(self._seen) and all(gone) and all(self._refuses(pods[uid]) for uid in may_run)
        except HarnessError:
            return False
        if holds:
            # What runs and does not listen yet has still to show what it is.
            started = {key: number - (key[0] in may_run) for key, number in _starts(pods).items()}
            held = (frozenset(self._over & self._seen.keys()), started)
            if not self._held or self._held[-1][1:] != held:
                self._held.append((began, *held))
        return holds

    def logged(self, since_s: Sequence[float]) -> Sequence[str | None]:
        """As the protocol says. What the API server has of a pod may be old: so its kubelet must have had the time to
        tell since this was asked first, and have been heard of."""
        try:
            pods = self._pods()
            if not self._are_heard_of({_node(pod) for pod in pods.values()} - {""}):
                return [None] * len(since_s)
            helds = [next((each for each in reversed(self._held) if each[0] <= since), None) for since in since_s]
            read: dict[tuple[str, str, bool], str] = {}
            return [held and self._logs(pods, *held[1:], read) for held in helds]
        except HarnessError:
            return [None] * len(since_s)

    def _are_heard_of(self, nodes: set[str]) -> bool:
        beats = {node: self._beat(node) for node in nodes}
        if self._heard is None or self._heard[1].keys() != nodes or "" in self._heard[1].values():
            self._heard = (self.now(), beats)
        since, before = self._heard
        return self.now() - since >= TOLD_S and all(beats[node] not in ("", before[node]) for node in nodes)

    def _logs(
        self,
        pods: dict[str, Manifest],
        over: frozenset[str],
        before: Starts,
        read: dict[tuple[str, str, bool], str],
    ) -> str | None:
        if any(uid not in pods and uid not in over for uid in self._seen):
            return None  # one is gone, and with it what it logged
        texts = []
        for (uid, container), number in _starts(pods).items():
            since = number - before.get((uid, container), 0)
            if since > 2:
                return None  # no more than two runs of a container are kept
            for previous in (True, False) if since == 2 else (False,):
                name, key = str(pods[uid]["metadata"]["name"]), (uid, container, previous)
                if key not in read:
                    read[key] = self.cluster.logs(self.namespace, name, container, previous, LOG_BYTES, ASK_S)
                texts.append(read[key])
        return None if any(len(text.encode()) >= LOG_BYTES for text in texts) else "\n".join(texts)

    def _pods(self) -> dict[str, Manifest]:
        found = {
            str(each["metadata"]["uid"]): each for each in self.cluster.list("v1/Pod", self.namespace, self.labels)
        }
        self._seen |= found
        return found

    def _is_off(self, pod: Manifest) -> bool:
        return bool(_node(pod)) and self.is_off(_node(pod))

    def _surely_runs_nothing(self, uid: str, pod: Manifest) -> bool:
        return not _node(pod) or self._is_off(pod) or self._runs(uid, pod) is False

    def _runs(self, uid: str, pod: Manifest) -> bool | None:
        """By the word of its kubelet, asked for what really runs on its node; None where it is not to be asked."""
        try:
            return uid in self.cluster.running(_node(pod), ASK_S)
        except ApiError:
            return None

    def _refuses(self, pod: Manifest) -> bool:
        """Nothing listens: as the API server meets it, and as its kubelet does from inside."""
        name, port = str(pod["metadata"]["name"]), port_of(pod, *self.port)
        try:
            self.cluster.proxy(self.namespace, name, port, "GET", "/", timeout_s=ASK_S)
        except ApiError as error:
            return "connection refused" in str(error) and self.cluster.refuses(self.namespace, name, port, ASK_S)
        return False

    def _has_ended(self, uid: str, pod: Manifest) -> bool:
        """Of a pod that is gone. That its object is gone says little: a forced deletion waits for nobody. So its
        machine was off since, or its kubelet says that nothing of it runs, or, where that may not be asked, its kubelet
        was heard of, had the time for ending it, and was heard of again."""
        if uid in self._over or not _node(pod):
            return True
        runs = self._runs(uid, pod)
        if runs:
            self._gone.pop(uid, None)
            return False
        beat = self._beat(_node(pod))
        before = self._gone.setdefault(uid, Gone(beat))
        if beat and beat != before.beat:
            heard_at = self.now() if before.heard_at is None else before.heard_at
            self._gone[uid] = Gone(beat, heard_at)
            grace_s = 0.0 if runs is False else float(pod["spec"].get("terminationGracePeriodSeconds") or GRACE_S)
            if self.now() - heard_at > grace_s + TOLD_S:
                self._over.add(uid)
        return runs is False or uid in self._over

    def _beat(self, node: str) -> str:
        """The latest sign of life of a node's kubelet; "" where that may not be seen."""
        try:
            lease = self.cluster.read(LEASE, LEASES, node) or {}
        except ApiError:
            return ""
        return str(lease.get("spec", {}).get("renewTime") or "")


def _node(pod: Manifest) -> str:
    return str(pod["spec"].get("nodeName") or "")


def _starts(pods: dict[str, Manifest]) -> Starts:
    return {
        (uid, str(each["name"])): int(each.get("restartCount", 0)) + _was_started(each)
        for uid, pod in pods.items()
        for each in statuses(pod)
    }


def _was_started(status: Manifest) -> bool:
    return "waiting" not in status.get("state", {}) or bool(status.get("restartCount") or status.get("lastState"))
