"""kubectl, for what the bed itself needs to know and apply."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from testbed import build, process
from testbed.state import TestbedError, Word, run, until


def kubectl(kubeconfig: Path, *argv: Word, stdin: str | None = None, within_s: float = 120) -> str:
    # kubectl caches discovery by host and port; two clusters must not share that.
    own = (f"--kubeconfig={kubeconfig}", f"--cache-dir={kubeconfig}.cache")
    # marked as the bed's, so that `down` also ends what an `up` that was killed has left
    env = {**os.environ, process.MARK: f"{kubeconfig.parent}:kubectl:kubectl"}
    return run(build.program("kubectl"), *own, *argv, stdin=stdin, env=env, within_s=within_s)


def answers(kubeconfig: Path) -> bool:
    try:
        return kubectl(kubeconfig, "get", "--raw", "/readyz", "--request-timeout=2s", within_s=5).strip() == "ok"
    except TestbedError:
        return False


def ready_nodes(kubeconfig: Path) -> dict[str, bool]:
    """Every registered node, and whether Kubernetes says that it is Ready."""
    nodes: list[Any] = json.loads(kubectl(kubeconfig, "get", "nodes", "-o", "json"))["items"]
    return {node["metadata"]["name"]: _is_ready(node) for node in nodes}


def wait_for_nodes(kubeconfig: Path, names: set[str], within_s: float = 60) -> None:
    def all_ready() -> bool:
        ready = ready_nodes(kubeconfig)
        return all(ready.get(name, False) for name in names)

    until(all_ready, f"nodes {', '.join(sorted(names))} Ready", within_s, every_s=0.3)


def apply(kubeconfig: Path, *manifests: str) -> None:
    kubectl(kubeconfig, "apply", "-f", "-", stdin="\n---\n".join(manifests))


def rolled_out(kubeconfig: Path, namespace: str, workload: str, within_s: int = 90) -> None:
    kubectl(
        kubeconfig, "-n", namespace, "rollout", "status", workload, f"--timeout={within_s}s", within_s=within_s + 10
    )


def _is_ready(node: Any) -> bool:
    conditions = node.get("status", {}).get("conditions", [])
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
