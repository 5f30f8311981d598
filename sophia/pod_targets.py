"""Keeps Prometheus' file of targets: the pods of this namespace that say where they are scraped.

For a Prometheus that cannot ask Kubernetes itself (Debian's). A pod's annotations `prometheus.io/port` and
`prometheus.io/path` say where, its labels say who it is. It is a target from when it was first ready, so that one that
is still starting is no alert, until it is told to end while it is ready; whatever happens in between, it stays one. So
does the pod of a lost node, which is told to end and cannot hear it.

A container that is killed may run again before the next scrape. So how often containers were restarted is told as
kube-state-metrics would, on a page that is a target, too.

Environment: TARGETS (the file to keep), NAMESPACE, SERVICE, INSTANCE, PORT (of the page). Kubernetes is asked as the
pod's service account, which must be allowed to get, list and watch pods.
"""

from __future__ import annotations

import json
import os
import signal
import ssl
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sophia import child, settings

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
LABELS = {
    "service": "app.kubernetes.io/name",
    "region": "topology.kubernetes.io/region",
    "release": "app.kubernetes.io/version",
}
SELECTOR = "app.kubernetes.io%2Fpart-of%3Dsophia"
WATCH_S = 30  # a connection that died in silence is noticed this late
Pod = Mapping[str, Any]


def target(pod: Pod) -> dict[str, Any] | None:
    """How Prometheus is told of a pod, or None when it is not to be scraped: it does not say where, or has ended."""
    metadata, status = pod["metadata"], pod.get("status", {})
    annotations, labels = metadata.get("annotations", {}), metadata.get("labels", {})
    port, address = annotations.get("prometheus.io/port"), status.get("podIP")
    if not port or not address or status.get("phase") in ("Succeeded", "Failed"):
        return None
    own = {name: labels.get(label, "") for name, label in LABELS.items()}
    own |= {"instance": metadata["name"], "node": pod.get("spec", {}).get("nodeName", "")}
    own["__metrics_path__"] = annotations.get("prometheus.io/path", "/metrics")
    return {"targets": [f"{address}:{port}"], "labels": own}


def restarts(pod: Pod) -> dict[str, int]:
    """How often each of its containers was restarted."""
    return {told["name"]: told["restartCount"] for told in pod.get("status", {}).get("containerStatuses", ())}


def is_ready(pod: Pod) -> bool:
    """Whether the kubelet says so."""
    conditions = pod.get("status", {}).get("conditions", ())
    return any(told["type"] == "Ready" and told["status"] == "True" for told in conditions)


def was_restarted(pod: Pod) -> bool:
    """Whether it runs again: that is no pod that still starts."""
    return any(restarts(pod).values())


class Targets:
    """The pods known now, and the file that tells them."""

    def __init__(self, file: Path, own: Sequence[dict[str, Any]] = ()) -> None:
        self._file, self._own = file, own
        self._told: dict[str, dict[str, Any]] = {}  # by the pod's uid
        self._restarts: dict[str, dict[str, int]] = {}
        self._written = ""

    def start_again(self, pods: list[Pod]) -> None:
        """These are all the pods there are."""
        there = {pod["metadata"]["uid"] for pod in pods}
        self._told = {uid: told for uid, told in self._told.items() if uid in there}
        for pod in pods:
            self._look(pod)
        self._write()

    def change(self, kind: str, pod: Pod) -> None:
        """One event of a watch: ADDED, MODIFIED or DELETED."""
        if kind == "DELETED":
            self._told.pop(pod["metadata"]["uid"], None)
        else:
            self._look(pod)
        self._write()

    def _look(self, pod: Pod) -> None:
        uid, found = pod["metadata"]["uid"], target(pod)
        known, ready, ends = uid in self._told, is_ready(pod), "deletionTimestamp" in pod["metadata"]
        if found is None or (ends and ready):
            self._told.pop(uid, None)
        elif known or (not ends and (ready or was_restarted(pod))):
            self._told[uid] = found
            self._restarts[uid] = restarts(pod)

    def metrics(self) -> tuple[int, str, bytes]:
        """The restarts of every target, as a page."""
        lines = ["# TYPE kube_pod_container_status_restarts_total counter"]
        for uid, found in list(self._told.items()):
            who = [f'{name}="{found["labels"][name]}"' for name in ("service", "region", "instance")]
            for container, count in self._restarts[uid].items():
                labels = ",".join([*who, f'container="{container}"'])
                lines.append(f"kube_pod_container_status_restarts_total{{{labels}}} {count}")
        return 200, "text/plain; version=0.0.4", ("\n".join(lines) + "\n").encode()

    def _write(self) -> None:
        """In one piece, and only when something changed."""
        text = json.dumps([*self._own, *sorted(self._told.values(), key=lambda told: str(told["targets"]))], indent=1)
        if text != self._written:
            fresh = self._file.with_suffix(".new")
            fresh.write_text(text)
            fresh.rename(self._file)
            self._written = text


class Pods:
    """The pods as the API server tells them. Methods raise OSError or ValueError."""

    def __init__(self, namespace: str) -> None:
        host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]
        self._url = f"https://{host}:{port}/api/v1/namespaces/{namespace}/pods?labelSelector={SELECTOR}"
        self._tls = ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt"))

    def _get(self, more: str, timeout: float) -> Any:
        headers = {"authorization": f"Bearer {(ACCOUNT / 'token').read_text()}"}  # it is renewed every hour
        request = urllib.request.Request(self._url + more, headers=headers)  # noqa: S310 - https, by the line above
        return urllib.request.urlopen(request, timeout=timeout, context=self._tls)  # noqa: S310

    def list(self) -> tuple[list[Pod], str]:
        """All of them, and the version to watch from."""
        with self._get("", 10) as answer:
            found = json.load(answer)
        return found["items"], found["metadata"]["resourceVersion"]

    def watch(self, version: str) -> Iterator[tuple[str, Pod]]:
        """What changes from then on, until the API server ends the watch or says that it has forgotten that version."""
        query = f"&watch=1&resourceVersion={version}&timeoutSeconds={WATCH_S}"
        with self._get(query, WATCH_S + 10) as answer:
            for line in answer:
                event = json.loads(line)
                if event["type"] == "ERROR":
                    return
                yield event["type"], event["object"]


def main() -> int:
    """For ever. While the API server is away, the latest targets stay."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # the first process of a container has no default for it
    port = settings.integer("PORT")
    labels = {"service": settings.text("SERVICE"), "instance": f"{settings.text('INSTANCE')}/targets"}
    targets = Targets(Path(settings.text("TARGETS")), [{"targets": [f"127.0.0.1:{port}"], "labels": labels}])
    child.serve_pages(port, {"/metrics": targets.metrics})
    pods = Pods(settings.text("NAMESPACE"))
    while True:
        try:
            found, version = pods.list()
            targets.start_again(found)
            for kind, pod in pods.watch(version):
                targets.change(kind, pod)
        except (OSError, ValueError) as problem:
            print(f"the API server does not tell the pods: {problem}", flush=True)
            time.sleep(1)


if __name__ == "__main__":
    sys.exit(main())
