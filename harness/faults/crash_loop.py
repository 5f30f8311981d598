"""A release is rolled out that ends as soon as it starts; undone by putting the saved pod template back.

    provider:
      type: python
      module: harness.chaos.actions
      func: inject
      arguments: {fault: crash_loop, parameters: {service: unified-api, region: sjc}, blast_radius: 2}

The container's command is replaced by a program that is not there, which works with any image. Landed: the kubelet has
tried each new pod's container at least twice and waits before it tries again, no Service counts on the pod, and nobody
answers at its ports. Gone and undone as with bad_image.
"""

from __future__ import annotations

from harness.faults import _cluster as on_cluster
from harness.faults import _release as release
from harness.kube import pods, traffic
from harness.kube.ports import Kubernetes, Manifest, Site
from harness.ports import Observation, Selection, Target

REQUIRES = (Kubernetes,)
RIGHTS = (*release.RIGHTS, *traffic.RIGHTS)
COMMAND = "/harness-no-such-program"


class Parameters(on_cluster.Whole):
    """Which workload: that of this service, in this region (every region when left out)."""


predict = on_cluster.predict
prepare = release.prepare
gone = release.gone
recover = release.recover


def select(target: Target, parameters: Parameters) -> Selection:
    return release.select(target, parameters, RIGHTS)


def inject(target: Target, selection: Selection, parameters: Parameters) -> None:
    release.inject(target, selection, lambda container: {**container, "command": [COMMAND], "args": []})


def landed(target: Target, selection: Selection, parameters: Parameters) -> Observation:
    return release.landed(target, selection, _stays, "the new pods' containers end again and again, and serve nobody")


def _stays(site: Site, pod: Manifest) -> str:
    restarts = int(pods.main(pod).get("restartCount", 0))
    return "" if restarts >= 1 and pods.reason(pod) else f"has ended {restarts} times, {pods.reason(pod) or 'runs now'}"
