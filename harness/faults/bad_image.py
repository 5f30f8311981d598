"""A release is rolled out whose image does not exist; undone by putting the saved pod template back.

    provider:
      type: python
      module: harness.chaos.actions
      func: inject
      arguments: {fault: bad_image, parameters: {service: unified-api, region: sjc}, blast_radius: 2}

A Deployment keeps serving with its old pods as far as its strategy says; a StatefulSet loses its last pod at once.
Landed: the kubelet says of each new pod that its image cannot be had, no Service counts on it, and nobody answers at
its ports. Gone: the pod template is byte for byte what was
saved, all pods are of it and ready, nothing of the bad release is left. A dead man's switch in the cluster puts the
template back when `undo_within` is over.
"""

from __future__ import annotations

from harness.faults import _cluster as on_cluster
from harness.faults import _release as release
from harness.kube import pods, traffic
from harness.kube.ports import Kubernetes, Manifest, Site
from harness.ports import Observation, Selection, Target

REQUIRES = (Kubernetes,)
RIGHTS = (*release.RIGHTS, *traffic.RIGHTS)
NOT_TO_BE_HAD = ("ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull")


class Parameters(on_cluster.Whole):
    """Which workload: that of this service, in this region (every region when left out). `tag`: of its image."""

    tag: str = "harness-no-such-release"


predict = on_cluster.predict
prepare = release.prepare
gone = release.gone
recover = release.recover


def select(target: Target, parameters: Parameters) -> Selection:
    return release.select(target, parameters, RIGHTS)


def inject(target: Target, selection: Selection, parameters: Parameters) -> None:
    def spoil(container: Manifest) -> Manifest:
        return {**container, "image": f"{repository(container['image'])}:{parameters.tag}"}

    release.inject(target, selection, spoil)


def landed(target: Target, selection: Selection, parameters: Parameters) -> Observation:
    return release.landed(target, selection, _runs, "the new pods have no image to run, and serve nobody")


def repository(image: str) -> str:
    """An image's name without tag and digest; a port in its host stays."""
    name = image.partition("@")[0]
    host, slash, last = name.rpartition("/")
    return host + slash + last.partition(":")[0]


def _runs(site: Site, pod: Manifest) -> str:
    reason = pods.reason(pod)
    return "" if reason in NOT_TO_BE_HAD else f"is {reason or 'running'}"
