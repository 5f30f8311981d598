"""What a cluster has besides Kubernetes itself: names (CoreDNS), storage, simulated graphics cards, figures of use."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from testbed import build, images
from testbed.kubectl import apply, kubectl, rolled_out
from testbed.state import HERE, TestbedError, run, say, until

MANIFESTS = HERE / "manifests"
GATEWAY_API = "sigs.k8s.io/gateway-api"


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


def gateway(kubeconfig: Path, load: Callable[[Path], None]) -> None:
    """A Gateway controller, with the kinds of the Gateway API; `load` takes its image to the nodes. Idempotent."""
    build.build(["traefik"])
    load(*images.make(images.ON_DEMAND))
    apply(kubeconfig, *(file.read_text() for file in gateway_kinds()))
    names = [f"crd/{kind}.gateway.networking.k8s.io" for kind in ("gatewayclasses", "httproutes")]
    kubectl(kubeconfig, "wait", "--for=condition=Established", "--timeout=30s", *names)
    apply(kubeconfig, manifest("gateway"))
    rolled_out(kubeconfig, "gateway", "deployment/traefik")
    say("the gateway is ready: GatewayClass traefik, NodePort 30088")


def gateway_kinds() -> list[Path]:
    """The CustomResourceDefinitions of the Gateway API, of the version that our Traefik was built with."""
    module = json.loads(run("go", "-C", build.GO / "traefik", "mod", "download", "-json", GATEWAY_API))
    return sorted((Path(module["Dir"]) / "config/crd/standard").glob("gateway.networking.k8s.io_*.yaml"))
