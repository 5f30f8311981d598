"""What a platform's containers have written, as files of this machine."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from harness.targets.kubernetes import objects, pods
from harness.targets.kubernetes.api import ApiError, Cluster
from harness.targets.kubernetes.state import ClusterFolder, ClusterState


def logs(cluster: Cluster, folder: ClusterFolder, now: ClusterState) -> Sequence[Path]:
    """One file per container, one more for its run before; the namespace's events; the gates' attempts."""
    for pod in cluster.list("v1/Pod", now.on.namespace, {objects.RUN: now.id}):
        name = pod["metadata"]["name"]
        for status in pods.statuses(pod):
            _container(cluster, folder, now, name, status["name"], previous=False)
            if status.get("restartCount"):
                _container(cluster, folder, now, name, status["name"], previous=True)
    try:
        events = cluster.list("v1/Event", now.on.namespace)
        text = "".join(json.dumps(each, sort_keys=True) + "\n" for each in events)
        (folder.logs / "events.jsonl").write_text(text)
    except ApiError as error:
        if error.status != 403:
            raise
    own = [folder.gates] if folder.gates.exists() else []
    return [*sorted(folder.logs.iterdir()), *own]


def _container(
    cluster: Cluster, folder: ClusterFolder, now: ClusterState, pod: str, container: str, previous: bool
) -> None:
    file = folder.logs / f"{pod}.{container}{'.before' if previous else ''}.log"
    try:
        text = cluster.logs(now.on.namespace, pod, container, previous)
    except ApiError as error:  # the container is gone by now, or was never started
        text = f"(not to be had: {error})\n"
    file.write_text(text)
