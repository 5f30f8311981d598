"""Agents: short-lived pods of the harness on a node, which do there what the API cannot.

An agent's life is the fault's life where the fault lasts: it makes the fault when it starts and lifts it when it ends,
and it ends when it is deleted, at its own deadline, or at the latest when the kubelet ends it at
`activeDeadlineSeconds`. So nothing outlives a harness that lost the network. Every agent carries the id of its fault,
by which `remove` finds it.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from harness.errors import NotYet, TargetError
from harness.kube import pods
from harness.kube.ports import Manifest, Site, status_of
from harness.kube.programs import source
from harness.kube.rights import rights

NAME, FAULT, MANAGED = (
    "app.kubernetes.io/name",
    "sophia-harness/fault",
    {"app.kubernetes.io/managed-by": "sophia-harness"},
)
CONTAINER, AGENT = "agent", {NAME: "harness-agent"}
START = "import os; exec(os.environ['HARNESS_AGENT'])"
STARTS_WITHIN_S, ENDS_WITHIN_S, GRACE_S, LATER_S = 60.0, 30.0, 5, 15
HOPELESS = ("ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName", "CreateContainerConfigError",
            "CreateContainerError", "RunContainerError")  # fmt: skip
RIGHTS = (
    *rights("get list create delete", "pods"),
    *rights("get create", "pods", subresource="exec"),
    *rights("get", "pods", subresource="log"),
)

KILL: Manifest = {
    "runAsUser": 0,
    "capabilities": {"drop": ["ALL"], "add": ["KILL"]},
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
}
NODE: Manifest = {"runAsUser": 0, "privileged": True}
NOBODY: Manifest = {
    "runAsNonRoot": True,
    "runAsUser": 65534,
    "capabilities": {"drop": ["ALL"]},
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}


def labels(site: Site, fault: str) -> dict[str, str]:
    """What every object that is made for a fault carries."""
    return {**site.labels, **MANAGED, FAULT: fault}


def launch(
    site: Site,
    name: str,
    fault: str,
    programs: Sequence[str],
    argv: Sequence[str],
    seconds: float,
    *,
    security: Manifest,
    node: str = "",
    more: Mapping[str, Any] | None = None,
) -> None:
    """Makes an agent unless there is one of that name, and returns when it has begun (its first line of output may come
    later). On a node it sees that node's processes; without one it is an ordinary pod. `more`: fields of its pod's
    spec, None for one that it shall not have. Raises TargetError, with the pod removed, when it does not begin."""
    seconds = max(1.0, seconds)
    spec: dict[str, Any] = {
        "restartPolicy": "Never",
        "activeDeadlineSeconds": int(seconds) + LATER_S,
        "terminationGracePeriodSeconds": GRACE_S,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "containers": [
            {
                "name": CONTAINER,
                "image": site.agent_image,
                "imagePullPolicy": "IfNotPresent",
                "command": ["python3", "-c", START, *argv],
                "env": [{"name": "HARNESS_AGENT", "value": source(*programs)}],
                "securityContext": security,
                "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}},
            }
        ],
        **(more or {}),
    }
    if node:
        spec |= {"nodeName": node, "hostPID": True, "tolerations": [{"operator": "Exists"}]}
    spec = {key: value for key, value in spec.items() if value is not None}
    about = {"name": name, "namespace": site.namespace, "labels": {**labels(site, fault), **AGENT}}
    _create(site, {"apiVersion": "v1", "kind": "Pod", "metadata": about, "spec": spec})
    if why := _not_begun(site, name):
        with contextlib.suppress(TargetError):
            site.cluster.delete(pods.POD, site.namespace, name, grace_s=0)
        raise TargetError(
            f"agent {name}{' on node ' + node if node else ''} does not start: {why}\n"
            f"  fix: an image with Python 3 that the node has or can pull (agent_image, now {site.agent_image!r})"
        )


def _create(site: Site, manifest: Manifest) -> None:
    """Makes the pod unless it is there and has not ended; one that has ended makes room."""
    name, end = manifest["metadata"]["name"], time.monotonic() + ENDS_WITHIN_S
    while True:
        try:
            site.cluster.create(manifest)
            return
        except TargetError as error:
            if status_of(error) != 409 or time.monotonic() > end:
                raise
        there = site.cluster.read(pods.POD, site.namespace, name)
        if there is not None and not pods.ended(there) and not pods.going(there):
            return
        if there is not None:
            site.cluster.delete(pods.POD, site.namespace, name, uid=pods.uid(there))
            time.sleep(0.1)


def _not_begun(site: Site, name: str) -> str:
    """Waits until the agent runs or has ended; why not, in the kubelet's words."""
    end, seen = time.monotonic() + STARTS_WITHIN_S, ""
    while time.monotonic() < end:
        pod = site.cluster.read(pods.POD, site.namespace, name)
        if pod is None:
            return "it was deleted"
        seen = pods.reason(pod)
        if not seen or pod["status"].get("phase") == "Succeeded":
            return ""
        if pod["status"].get("phase") == "Failed" or seen in HOPELESS:
            return str(pod["status"].get("message") or _message(pod) or _last_words(site, name) or seen)
        time.sleep(0.1)
    return f"{seen} after {STARTS_WITHIN_S:g} s"


def _last_words(site: Site, name: str) -> str:
    """What an agent that has ended wrote; "" when that is not to be had."""
    try:
        return site.cluster.logs(site.namespace, name, CONTAINER).strip()[-300:]
    except TargetError:
        return ""


def _message(pod: Manifest) -> str:
    state = pods.main(pod).get("state") or {}
    return str(next((each["message"] for each in state.values() if "message" in each), ""))


def await_ready(site: Site, name: str, within_s: float = STARTS_WITHIN_S) -> None:
    """Returns when the agent's program says that it is at work. Raises TargetError with what it says else."""
    end = time.monotonic() + within_s
    while True:
        pod = site.cluster.read(pods.POD, site.namespace, name)
        said = site.cluster.logs(site.namespace, name, CONTAINER) if pod else "it was deleted"
        lines = list(_lines(said))
        if any("ready" in line for line in lines):
            return
        wrong = next((str(line["error"]) for line in lines if "error" in line), "")
        if wrong or pod is None or pods.ended(pod) or time.monotonic() > end:
            raise TargetError(f"agent {name} is not at work: {wrong or said.strip()[-300:] or 'it says nothing'}")
        time.sleep(0.05)


def _lines(text: str) -> Iterator[dict[str, Any]]:
    return (json.loads(line) for line in text.splitlines() if line.startswith("{"))


def ask(site: Site, name: str, argv: Sequence[str], timeout_s: float = 30.0) -> dict[str, Any]:
    """What a command of an agent's programs answers, run beside it in its pod. Raises TargetError with its own word."""
    ran = site.cluster.exec(site.namespace, name, CONTAINER, ["python3", "-c", START, *argv], timeout_s)
    lines = list(_lines(ran.output))
    answer = lines[-1] if lines else {}
    if ran.code != 0 or not answer or "error" in answer:
        raise TargetError(f"{name}: {argv[0]}: {answer.get('error') or ran.output.strip()[-300:] or 'no answer'}")
    return answer


def remove(site: Site, *faults: str) -> None:
    """Ends the agents of faults and waits until they are gone: what they made is lifted by then. Idempotent, and from
    cold."""
    for pod in agents(site, *faults):
        site.cluster.delete(pods.POD, site.namespace, pods.name(pod), uid=pods.uid(pod))
    end = time.monotonic() + ENDS_WITHIN_S
    while left := list(remaining(site, *faults)):
        if time.monotonic() > end:
            raise NotYet("; ".join(left))  # where the control plane comes back, a kubelet may take longer to notice
        time.sleep(0.1)


def remaining(site: Site, *faults: str) -> Iterator[str]:
    """Agents of faults that are still there."""
    return (f"agent {pods.name(pod)} is still there" for pod in agents(site, *faults))


def agents(site: Site, *faults: str) -> list[Manifest]:
    """The pods that were made for these faults; not those that a bad template of a fault's made."""
    found = site.cluster.list(pods.POD, site.namespace, AGENT)
    return [pod for pod in found if pod["metadata"]["labels"].get(FAULT) in faults]
