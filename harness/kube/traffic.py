"""Whether a pod serves, by other eyes than its kubelet's: those of who sends traffic, and of who asks it."""

from __future__ import annotations

from collections.abc import Iterator

from harness.errors import TargetError
from harness.kube import pods
from harness.kube.ports import Manifest, Site, status_of
from harness.kube.rights import rights

RIGHTS = (*rights("list", "endpointslices", "discovery.k8s.io"), *rights("get", "pods", subresource="proxy"))
ASK_S = 2.0


def counted_on(site: Site, pod: Manifest) -> Iterator[str]:
    """Which Services take the pod for one that serves. (A Service may publish addresses of pods that are not ready: it
    tells them as ready, and as not serving.)"""
    for each, conditions in _endpoints(site, pod):
        if conditions.get("serving", conditions.get("ready")) is not False:
            yield f"{each['metadata']['name']} takes it for one that serves"


def answered(site: Site, pod: Manifest) -> Iterator[str]:
    """Where the pod serves, or nobody can tell: its ports are asked through the API server, those that it declares and
    those that Services send to."""
    ports = {each.get("containerPort") for each in pods.main_container(pod["spec"]).get("ports") or [] if _tcp(each)}
    for each, _ in _endpoints(site, pod):
        ports |= {port.get("port") for port in each.get("ports") or [] if _tcp(port)}
    for number in sorted(filter(None, ports)):
        try:
            answer = site.cluster.proxy(site.namespace, pods.name(pod), number, "GET", "/", timeout_s=ASK_S)
        except TargetError as error:
            if not status_of(error):  # the API server itself was not reached
                raise
            if "connection refused" not in str(error):
                yield f"port {number}: nobody can tell: {str(error).splitlines()[0]}"
        else:
            status = int(getattr(answer, "status", 0))
            if status < 500:
                yield f"port {number}: it answers with {status}"


def _endpoints(site: Site, pod: Manifest) -> Iterator[tuple[Manifest, Manifest]]:
    """(a slice that names the pod, the pod's conditions in it)."""
    for each in site.cluster.list(pods.SLICE, site.namespace):
        for endpoint in each.get("endpoints") or []:
            if (endpoint.get("targetRef") or {}).get("uid") == pods.uid(pod):
                yield each, endpoint.get("conditions") or {}


def _tcp(port: Manifest) -> bool:
    return bool(port.get("protocol", "TCP") == "TCP")
