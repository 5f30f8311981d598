"""Where a platform runs on Kubernetes: which cluster, what is applied there, and how it is reached."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from harness.model.base import Duration, Frozen


class ReachedAt(Frozen):
    """Where the platform is met from outside of the cluster: by Ingress, LoadBalancer, NodePort, whatever has a URL."""

    edge: str = Field(pattern=r"^https?://", description="the users' way in; https is verified")
    prometheus: str = Field(default="", pattern=r"^(https?://|$)", description="its Prometheus; empty: it has none")
    alertmanager: str = Field(default="", pattern=r"^(https?://|$)", description="its Alertmanager; empty: it has none")
    databases: dict[str, str] = Field(
        default={}, description="region → URL of its database; `${secret.name}` stands for a secret of the platform"
    )
    regions: dict[str, str] = Field(default={}, description="region → URL of its own entry, for the read-back")
    services: dict[str, Annotated[str, Field(pattern=r"^[^/\s:]+:\d+$")]] = Field(
        default={},
        description="service, or service@region → host:port at which programs of gates reach it; unset: forwarded",
    )


class HelmChart(Frozen):
    """A chart, rendered here by `helm template` and applied like any manifests; it makes no Helm release."""

    chart: str = Field(description="the chart's folder or archive; a path from the scenario's folder")
    values: tuple[str, ...] = Field(default=(), description="files of values; paths from the scenario's folder")
    set: dict[str, str] = Field(default={}, description="single values, as in `global.imageTag: 1.0.0`")


class KindCluster(Frozen):
    """A cluster that the run makes with kind, and deletes again."""

    config: str = Field(default="", description="kind's own configuration file; a path from the scenario's folder")
    image: str = Field(default="", description="the node image; empty: kind's default")
    archives: tuple[str, ...] = Field(
        default=(), description="image archives that are loaded onto the nodes; paths from the scenario's folder"
    )
    addons: tuple[str, ...] = Field(
        default=(), description="manifests that the cluster needs first, a device plugin say; paths as above"
    )
    within: Duration = Field(default=600.0, gt=0, description="time that making it, and each loading, may take")


class K3sNode(Frozen):
    """One machine of such a cluster."""

    name: str = Field(pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$", description="the node's name")
    via: tuple[str, ...] = Field(
        default=(), description="a remote shell as root, as in [ssh, root@10.0.0.2]; empty: this machine"
    )
    region: str = Field(default="", description="its label topology.kubernetes.io/region")
    gpu: str = Field(default="", description="its GPUs, as in GH200: labels gpu-type and nvidia.com/gpu.present")


class K3sCluster(Frozen):
    """A cluster that the run makes with K3s on machines that have none, and uninstalls: a server and its agents."""

    binary: str = Field(description="the k3s program; a path from the scenario's folder")
    installer: str = Field(description="K3s' own install script; a path from the scenario's folder")
    address: str = Field(pattern=r"^https://", description="where agents and this machine reach the server")
    server: K3sNode = Field(description="the machine of the server; it runs pods too")
    agents: tuple[K3sNode, ...] = Field(default=(), description="the other machines")
    archives: tuple[str, ...] = Field(
        default=(), description="image archives that are loaded onto every node; paths from the scenario's folder"
    )
    within: Duration = Field(default=600.0, gt=0, description="time that each step may take")


class NodePower(Frozen):
    """How a machine of the cluster is switched off and on: programs that take the node's name as their last word."""

    off: tuple[str, ...] = Field(
        min_length=1, description="a program and its first words; one with a slash is a path from the scenario's folder"
    )
    on: tuple[str, ...] = Field(min_length=1, description="the same; it must do no harm to a node that runs")
    state: tuple[str, ...] = Field(
        default=(),
        description="a program that prints `on` or `off`; without it nobody knows that what ran there has ended",
    )
    within: Duration = Field(default=60.0, gt=0, description="time that each may take")


class RegionCluster(Frozen):
    """A cluster of its own for one region: what is there is the region's, and nothing else's."""

    kubeconfig: str = Field(default="", description="a path from the scenario's folder; empty: that of the others")
    context: str = Field(min_length=1, description="the context in it")
    namespace: str = Field(
        default="",
        pattern=r"^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)?$",
        description="of the platform there; empty: as in the first cluster",
    )
    kustomize: str = Field(default="", description="a Kustomize folder; a path from the scenario's folder")
    manifests: str = Field(default="", description="a file or folder of plain manifests, instead of `kustomize`")
    helm: HelmChart | None = Field(default=None, description="a Helm chart, instead of `kustomize`")
    agent_image: str = Field(default="", description="as below; empty: that of the first cluster")
    nodes: NodePower | None = Field(default=None, description="for the fault `node_loss` there")
    test: bool = Field(default=False, description="the cluster is there to be broken; else a run needs `--yes`")

    @model_validator(mode="after")
    def _one_source(self) -> RegionCluster:
        _check_source(self)
        return self


class OnCluster(Frozen):
    """Which cluster, which part of it, what is applied there, and how the platform is reached."""

    provider: Literal["context", "kind", "k3s"] = Field(
        default="context",
        description="where the cluster comes from: it is there (`context`), or the run makes it (`kind`, `k3s`)",
    )
    kubeconfig: str = Field(
        default="", description="a path from the scenario's folder; empty: `$KUBECONFIG`, else `~/.kube/config`"
    )
    context: str = Field(default="", description="the context in it; it must be named")
    kind: KindCluster | None = Field(default=None, description="for `provider: kind`, instead of a context")
    k3s: K3sCluster | None = Field(default=None, description="for `provider: k3s`, instead of a context")
    namespace: str = Field(
        pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$",
        description="of the platform; made and removed by the run, unless it is there already",
    )
    kustomize: str = Field(default="", description="a Kustomize folder; a path from the scenario's folder")
    manifests: str = Field(default="", description="a file or folder of plain manifests, instead of `kustomize`")
    helm: HelmChart | None = Field(default=None, description="a Helm chart, instead of `kustomize`")
    clusters: dict[str, RegionCluster] = Field(
        default={}, description="region → a cluster of its own; all else is on the one that is named here"
    )
    endpoints: ReachedAt = Field(description="how the platform is reached from here")
    agent_image: str = Field(
        default="", description="an image with Python, for the pods by which faults act on nodes; empty: no such fault"
    )
    nodes: NodePower | None = Field(
        default=None, description="for the fault `node_loss`; a cluster of kind needs none, its nodes are containers"
    )
    architectures: tuple[str, ...] = Field(
        default=(),
        description="what the images are built for, as in `[amd64, arm64]`; nodes that are neither are found by the "
        "preflight. Empty: it is known of a kind cluster's archives only",
    )
    rollout_within: Duration = Field(default=300.0, gt=0, description="time that a phase's pods have to become ready")
    down_within: Duration = Field(default=180.0, gt=0, description="time that everything has to be gone again")
    test: bool = Field(default=False, description="the cluster is there to be broken; else a run needs `--yes`")

    @model_validator(mode="after")
    def _one_source(self) -> OnCluster:
        _check_source(self)
        return self

    @model_validator(mode="after")
    def _one_cluster(self) -> OnCluster:
        for name, section in (("kind", self.kind), ("k3s", self.k3s)):
            if (section is not None) != (self.provider == name):
                raise ValueError(f"`provider: {name}` and the section `{name}` go together")
        if self.provider == "context" and not self.context:
            raise ValueError("a cluster that is there needs its context")
        if self.clusters and self.provider != "context":
            raise ValueError("regions have clusters of their own only where the clusters are there already")
        names = [self.context, *(each.context for each in self.clusters.values())]
        if len(set(names)) < len(names):
            raise ValueError("two clusters have contexts of one name: they could not be told apart")
        return self


def _check_source(given: OnCluster | RegionCluster) -> None:
    if [bool(given.kustomize), bool(given.manifests), given.helm is not None].count(True) != 1:
        raise ValueError("needs one of kustomize, manifests and helm")
