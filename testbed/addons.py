"""What a cluster has besides Kubernetes itself: names (CoreDNS), storage, simulated graphics cards, figures of use."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from testbed import images
from testbed.kubectl import apply, kubectl, rolled_out
from testbed.state import HERE, TestbedError, say, until

MANIFESTS = HERE / "manifests"


def manifest(name: str) -> str:
    return images.with_tags((MANIFESTS / f"{name}.yaml").read_text())


def install(kubeconfig: Path, control_plane: str, with_gpus: Sequence[str]) -> None:
    """Applies the add-ons; returns when names and storage work. Graphics cards come 1 s later, figures of use 15 s."""
    kubectl(kubeconfig, "label", "--overwrite", "node", control_plane, "node-role.kubernetes.io/control-plane=")
    if with_gpus:
        kubectl(kubeconfig, "label", "--overwrite", "node", *with_gpus, "testbed/gpu=sim")
    apply(kubeconfig, *map(manifest, ("coredns", "storage", "gpu-sim", "metrics-server")))
    rolled_out(kubeconfig, "kube-system", "deployment/coredns")
    say("CoreDNS is ready")
    rolled_out(kubeconfig, "kube-system", "deployment/local-path-provisioner")


def wait_for_figures(kubeconfig: Path, within_s: float = 60) -> None:
    """Until `kubectl top` would answer."""
    path = "/apis/metrics.k8s.io/v1beta1/nodes"
    until(lambda: '"usage"' in _raw(kubeconfig, path), "metrics-server answers", within_s, every_s=0.5)


def _raw(kubeconfig: Path, path: str) -> str:
    try:
        return kubectl(kubeconfig, "get", "--raw", path)
    except TestbedError:
        return ""
