"""Looks at a running bed as a user would: each promise seen to be kept, with what was seen and how long it took."""

from __future__ import annotations

import json
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from testbed import addons
from testbed.kubectl import apply, kubectl, ready_nodes
from testbed.state import TestbedError, until

NAMESPACE = "testbed-verify"
EDGE = "http://127.0.0.1:30080"
OUTSIDE = "http://192.0.2.1/"  # RFC 5737: an address of nobody


class Look:
    """One cluster, through its kubeconfig."""

    def __init__(self, kubeconfig: Path) -> None:
        self.kubeconfig = kubeconfig
        self.began = datetime.now(UTC)

    def kubectl(self, *argv: str, within_s: float = 120) -> str:
        return kubectl(self.kubeconfig, "-n", NAMESPACE, *argv, within_s=within_s).strip()

    def exec(self, pod: str, *argv: str) -> str:
        return self.kubectl("exec", pod, "--", *argv)

    def field(self, resource: str, path: str) -> str:
        return self.kubectl("get", *resource.split(), "-o", f"jsonpath={{{path}}}")

    def a_web(self) -> str:
        return self.field("pod -l app=web --field-selector=status.phase=Running", ".items[0].metadata.name")


def nodes(look: Look) -> str:
    told = ready_nodes(look.kubeconfig)
    _expect(all(told.values()), f"not Ready: {[name for name, ready in told.items() if not ready]}")
    regions = look.kubectl(
        "get", "nodes", "-o", r"jsonpath={.items[*].metadata.labels.topology\.kubernetes\.io/region}"
    )
    return f"{len(told)} nodes Ready, regions {regions}"


def deployment(look: Look) -> str:
    look.kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    return "2 pods ready"


def node_port(look: Look) -> str:
    until(lambda: _get(EDGE) != "", EDGE, 20)
    answers = Counter(" on ".join(_get(EDGE).split()) for _ in range(20))
    _expect("" not in answers, f"some requests failed: {dict(answers)}")
    return ", ".join(f"{who} {count}×" for who, count in answers.items())


def names(look: Look) -> str:
    pod = look.a_web()
    full = look.exec(pod, "/probe", "lookup", f"web.{NAMESPACE}.svc.cluster.local")
    _expect(full == look.exec(pod, "/probe", "lookup", "web"), "the short name has another address")
    return f"web is {full}"


def cluster_ip(look: Look) -> str:
    return look.exec(look.a_web(), "/probe", "get", f"http://web.{NAMESPACE}.svc.cluster.local/")


def no_way_out(look: Look) -> str:
    try:
        look.exec(look.a_web(), "/probe", "get", OUTSIDE)
    except TestbedError as error:
        words = str(error)
        _expect("unreachable" in words or "deadline" in words or "Timeout" in words, words)
        return f"a pod cannot reach {OUTSIDE}"
    raise TestbedError(f"a pod reached {OUTSIDE}")


def policy_not_enforced(look: Look) -> str:
    apply(look.kubeconfig, addons.manifest("verify-policy"))
    try:
        time.sleep(2)
        look.exec(look.a_web(), "/probe", "get", "http://web/")
    finally:
        look.kubectl("delete", "networkpolicy", "deny-all")
    return "a NetworkPolicy that denies all is accepted and NOT enforced: the bridge plugin has no policy engine"


def storage(look: Look) -> str:
    look.kubectl("wait", "pod/store-0", "pod/reader", "--for=condition=Ready", "--timeout=60s")
    word = str(time.time_ns())
    look.exec("store-0", "/bin/sh", "-c", f"echo {word} > /own/word; echo {word} > /common/word")
    _expect(look.exec("reader", "cat", "/common/word") == word, "another node does not see the shared volume")
    before = look.field("pod store-0", ".metadata.uid")
    look.kubectl("delete", "pod", "store-0", "--grace-period=0", "--force")
    until(
        lambda: look.field("pod -l app=store", ".items[*].metadata.uid") not in ("", before), "the pod is replaced", 30
    )
    look.kubectl("wait", "pod/store-0", "--for=condition=Ready", "--timeout=60s")
    _expect(look.exec("store-0", "cat", "/own/word") == word, "the volume lost its data with the pod")
    return "data is there after the pod was replaced; the shared volume is the same on two nodes"


def replacement(look: Look) -> str:
    pod = look.a_web()
    uid = look.field(f"pod {pod}", ".metadata.uid")
    look.kubectl("delete", "pod", pod, "--grace-period=0", "--force")

    def replaced() -> bool:
        uids = look.field("pod -l app=web", ".items[*].metadata.uid")
        return uid not in uids and look.field("deployment web", ".status.readyReplicas") == "2"

    until(replaced, "two pods are ready again", 30)
    return "a killed pod is replaced"


def gpu(look: Look) -> str:
    look.kubectl("wait", "pod/gpu", "--for=condition=Ready", "--timeout=60s")
    device = look.exec("gpu", "/bin/sh", "-c", "echo $NVIDIA_VISIBLE_DEVICES")
    _expect(device in look.exec("gpu", "ls", "/run/gpu-sim").split(), f"no {device} in /run/gpu-sim")
    node = look.field("pod gpu", ".spec.nodeName")
    plugin = f"--field-selector=spec.nodeName={node}"
    uid = kubectl(
        look.kubeconfig,
        "-n",
        "kube-system",
        "get",
        "pod",
        "-l",
        "k8s-app=gpu-sim",
        plugin,
        "-o",
        "jsonpath={.items[0].status.phase}",
    )
    _expect(uid == "Running", f"gpu-sim on {node} is {uid}")
    free = look.field(f"node {node}", r".status.allocatable.nvidia\.com/gpu")
    return f"{device} on {node} is in the container; {free} allocatable"


def figures(look: Look) -> str:
    addons.wait_for_figures(look.kubeconfig)
    until(lambda: "web" in _quietly(lambda: look.kubectl("top", "pods")), "kubectl top pods", 60, every_s=1)
    return "kubectl top answers"


def autoscaling(look: Look) -> str:
    stop = threading.Event()

    def burn() -> None:
        while not stop.is_set():
            _get(f"{EDGE}/burn?ms=200")

    burners = [threading.Thread(target=burn) for _ in range(4)]
    for each in burners:
        each.start()
    began = time.monotonic()
    try:
        until(lambda: int(look.field("deployment web", ".spec.replicas")) >= 4, "4 pods under load", 60, every_s=0.5)
    finally:
        stop.set()
        for each in burners:
            each.join()
    up_s, began = time.monotonic() - began, time.monotonic()
    until(lambda: look.field("deployment web", ".spec.replicas") == "2", "2 pods after the load", 120, every_s=1)
    return f"2 → 4 pods after {up_s:.0f} s of load, 2 again {time.monotonic() - began:.0f} s after it"


def steady(look: Look) -> str:
    asked = ("get", "events", "-A", "--field-selector", "reason=NodeNotReady,involvedObject.kind=Node", "-o", "json")
    told = [
        event["involvedObject"]["name"]
        for event in json.loads(look.kubectl(*asked))["items"]
        if _at(event) >= look.began
    ]
    _expect(not told, f"not Ready meanwhile: {', '.join(told)}: heartbeats slower than the grace period?")
    return "no node was not Ready meanwhile"


CHECKS: tuple[Callable[[Look], str], ...] = (
    *(nodes, deployment, node_port, names, cluster_ip, no_way_out, policy_not_enforced),
    *(storage, replacement, gpu, figures, autoscaling, steady),
)


def verify(kubeconfig: Path) -> int:
    """Prints a line per check; returns how many failed. All that it made is removed."""
    look, failed = Look(kubeconfig), 0
    apply(kubeconfig, addons.manifest("verify"))
    try:
        for check in CHECKS:
            began = time.monotonic()
            try:
                told, word = check(look), "ok    "
            except TestbedError as error:
                told, word, failed = str(error), "FAILED", failed + 1
            print(f"{word} {check.__name__:20} {time.monotonic() - began:5.1f} s  {told}", flush=True)
    finally:
        kubectl(kubeconfig, "delete", "namespace", NAMESPACE)
    return failed


def _at(event: dict[str, str]) -> datetime:
    return datetime.fromisoformat(event.get("lastTimestamp") or event["eventTime"])


def _expect(true: bool, otherwise: str) -> None:
    if not true:
        raise TestbedError(otherwise)


def _get(url: str) -> str:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - our own loopback address
            return str(answer.read().decode())
    except (OSError, urllib.error.URLError):
        return ""


def _quietly(ask: Callable[[], str]) -> str:
    try:
        return ask()
    except TestbedError:
        return ""
