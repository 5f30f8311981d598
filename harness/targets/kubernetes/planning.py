"""From files to what a run is going to do on a cluster. Nothing is touched; the cluster is asked what it serves."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from harness.kube.rights import Right
from harness.model.on_cluster import OnCluster
from harness.model.platform import Platform
from harness.spec.yaml import Located
from harness.targets.kubernetes import claim, deployment, objects, rights, sources
from harness.targets.kubernetes.api import Cluster, Manifest, Resource
from harness.targets.kubernetes.architectures import built
from harness.targets.kubernetes.finding import Intent
from harness.targets.kubernetes.state import ClusterFolder, ClusterState


@dataclass(frozen=True)
class Plan:
    """What `up` is going to do. `manifests` are labelled, and of no release yet; `namespace` is what the manifests say
    of the platform's namespace, if anything."""

    state: ClusterState
    rendered: Sequence[Manifest]
    manifests: Sequence[Manifest]
    intent: Intent

    @property
    def namespace(self) -> Manifest:
        name = self.state.on.namespace
        mine = (each for each in self.rendered if each["kind"] == "Namespace" and each["metadata"]["name"] == name)
        return next(mine, {})


def plan(
    folder: ClusterFolder,
    platform: Located[Platform],
    on: OnCluster,
    cluster: Cluster,
    release: str,
    needs: Collection[Right] = (),
) -> Plan:
    """`needs`: of its faults and its actuator. Raises BadInput where the files do not go together."""
    claim.refuse_protected(on.namespace)
    rendered = sources.rendered(on)
    fresh = deployment.new_state(folder, platform, on, release)
    manifests = prepared(cluster, fresh, rendered)
    fresh = fresh.model_copy(
        update={
            "cluster": claim.cluster_uid(cluster),
            "server": cluster.server,
            "kinds": tuple(sorted({objects.key(each).kind for each in manifests})),
            "manifests_sha256": deployment.digest(rendered),
        }
    )
    chosen = objects.released(manifests, fresh.spec, fresh.labels, fresh.release_named(fresh.release))
    objects.by_phase(chosen, fresh.spec, fresh.labels)
    intent = Intent(cluster, on.namespace, fresh.id, chosen, fresh.spec, needs, built(on))
    return Plan(fresh, rendered, manifests, intent)


def prepared(cluster: Cluster, now: ClusterState, rendered: Sequence[Manifest]) -> list[Manifest]:
    """The objects as they are applied, of no release yet."""
    namespaced = {kind: resource.namespaced for kind, resource in served(cluster, rendered).items()}
    return objects.prepared(rendered, now.id, now.on.namespace, namespaced, claim.generated_names(now))


def served(cluster: Cluster, rendered: Sequence[Manifest]) -> dict[str, Resource]:
    """Where the objects' kinds are served, or will be."""
    kinds = {objects.key(each).kind for each in rendered}
    return {**objects.defined(rendered), **rights.by_kind(cluster, kinds)}
