"""A release is rolled out that runs but never becomes ready; undone by putting the saved pod template back.

    provider:
      type: python
      module: harness.chaos.actions
      func: inject
      arguments: {fault: readiness_broken, parameters: {service: unified-api, region: sjc}, blast_radius: 2}

The container's readiness probe is replaced by one that always fails. Landed: the kubelet says of each new pod that it
runs, is not ready, and failed its readiness probe, and no Service counts on it. Gone and undone as with bad_image.
"""

from __future__ import annotations

from harness.faults import _cluster as on_cluster
from harness.faults import _release as release
from harness.kube import pods
from harness.kube.ports import Kubernetes, Manifest, Site
from harness.kube.rights import rights
from harness.ports import Observation, Selection, Target

REQUIRES = (Kubernetes,)
RIGHTS = (*release.RIGHTS, *rights("list", "events"))
PROBE = {"exec": {"command": ["/harness-no-such-program"]}, "periodSeconds": 1, "failureThreshold": 1}


class Parameters(on_cluster.Whole):
    """Which workload: that of this service, in this region (every region when left out)."""


predict = on_cluster.predict
prepare = release.prepare
gone = release.gone
recover = release.recover


def select(target: Target, parameters: Parameters) -> Selection:
    return release.select(target, parameters, RIGHTS)


def inject(target: Target, selection: Selection, parameters: Parameters) -> None:
    release.inject(target, selection, lambda container: {**container, "readinessProbe": PROBE})


def landed(target: Target, selection: Selection, parameters: Parameters) -> Observation:
    seen = "the new pods run and are not ready: their probe fails"
    return release.landed(target, selection, _is_well, seen, answers=True)


def _is_well(site: Site, pod: Manifest) -> str:
    if pods.reason(pod):
        return f"does not run: {pods.reason(pod)}"
    if pods.is_ready(pod):
        return "is ready"
    told = site.cluster.list("v1/Event", site.namespace, fields=f"involvedObject.uid={pods.uid(pod)},reason=Unhealthy")
    return "" if told else "no failed probe is told of yet"
