"""The seam to a Kubernetes cluster. The real adapter is harness.targets.kubernetes.api, its equal fake_cluster."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

Manifest = dict[str, Any]


class Ran(Protocol):
    """How a command in a container ended, and what it printed."""

    @property
    def code(self) -> int: ...

    @property
    def output(self) -> str: ...


class Cluster(Protocol):
    """One API server. A kind is written `apiVersion/Kind`; failures are TargetErrors, with HTTP's `status` where it
    answered."""

    def read(self, kind: str, namespace: str, name: str) -> Manifest | None: ...

    def list(
        self, kind: str, namespace: str = "", labels: Mapping[str, str] | str = "", fields: str = ""
    ) -> Sequence[Manifest]: ...

    def create(self, manifest: Manifest, /) -> Manifest: ...

    def patch(self, kind: str, namespace: str, name: str, change: Manifest, subresource: str = "") -> Manifest:
        """JSON merge patch."""

    def delete(self, kind: str, namespace: str, name: str, *, uid: str = "", grace_s: int | None = None) -> bool: ...

    def evict(self, namespace: str, pod: str, *, uid: str = "") -> bool:
        """Asks for a pod's end as far as disruption budgets allow it: status 429 when they do not (yet)."""

    def exec(self, namespace: str, pod: str, container: str, argv: Sequence[str], timeout_s: float = 30.0) -> Ran: ...

    def proxy(
        self,
        namespace: str,
        pod: str,
        port: int,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        body: str | None = None,
        timeout_s: float = 5.0,
    ) -> object:
        """What a pod answers, asked through the API server; an error when the pod was not reached."""

    def logs(self, namespace: str, pod: str, container: str) -> str:
        """What a container has written so far."""

    def allowed(
        self, verb: str, group: str, resource: str, subresource: str = "", namespace: str = "", name: str = ""
    ) -> bool: ...


@dataclass(frozen=True)
class Site:
    """Where a platform runs. `labels` go on every object that the harness makes there for a run; `agent_image` has
    Python 3 in it."""

    cluster: Cluster
    namespace: str
    agent_image: str
    labels: Mapping[str, str] = field(default_factory=dict)


@runtime_checkable
class Kubernetes(Protocol):
    """Capability: the platform runs on a Kubernetes cluster, whose API can be used."""

    def site(self) -> Site: ...


@runtime_checkable
class Nodes(Protocol):
    """Capability: machines of the cluster can be stopped and started, not only marked."""

    def check_nodes(self) -> None:
        """Raises BadInput when this cluster's provider cannot."""

    def stop_node(self, name: str) -> None: ...

    def start_node(self, name: str) -> None:
        """Starts a node unless it runs; idempotent."""


def status_of(error: Exception) -> int:
    """HTTP's status that the API server answered with, 0 when it did not."""
    return int(getattr(error, "status", 0))
