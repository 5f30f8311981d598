"""A service's containers are short of memory: a process beside theirs takes it, up to a share of their limit.

    provider:
      type: python
      module: harness.chaos.actions
      func: inject
      arguments:
        fault: memory_pressure
        parameters: {service: unified-api, region: sjc, count: 1, fill: 0.9}
        blast_radius: 1

An agent on the pod's node puts a process that takes memory into the container's own cgroup; should the limit be reached
nevertheless, the kernel kills that process first. A container without a limit is refused: what is taken would be its
node's. Landed: the cgroup uses at least 95 % of the share, that process being in it. Gone: no process that is not the
container's is in it, and the pods are ready. Lifted when the agent ends: by the undo, at `undo_within`, or when its
node ends it.
"""

from __future__ import annotations

from pydantic import Field

from harness.errors import BadInput
from harness.faults import _cluster as on_cluster
from harness.faults import _hands as hands
from harness.faults import _pressure as pressure
from harness.kube import pods
from harness.kube.ports import Kubernetes, Manifest
from harness.ports import Observation, Selection, Target

REQUIRES = (Kubernetes,)
RIGHTS = hands.RIGHTS
SEEN = 0.95


class Parameters(on_cluster.Pods):
    """Which instances, and what share of the memory limit is to be in use."""

    fill: float = Field(default=0.9, gt=0, lt=1)


predict = on_cluster.predict
prepare = pressure.prepare
recover = hands.recover


def select(target: Target, parameters: Parameters) -> Selection:
    selection = hands.select(target, parameters)
    site = on_cluster.on(target)
    for name, pod in pods.by_name(site, selection.names).items():
        if "memory" not in (pods.main_container(pod["spec"]).get("resources", {}).get("limits") or {}):
            raise BadInput(f"{name} has no memory limit: what is taken would be its node's", fix="declare a limit")
    return selection


def inject(target: Target, selection: Selection, parameters: Parameters) -> None:
    pressure.inject(target, selection, "press_memory", str(parameters.fill))


def landed(target: Target, selection: Selection, parameters: Parameters) -> Observation:
    def object_to(ask: hands.Ask, pod: Manifest) -> str:
        used = pressure.usage(ask, pod)
        if not used["foreign"]:
            return "nothing else runs in its cgroup"
        share = used["memory"] / used["limit"]
        return "" if share >= SEEN * parameters.fill else f"its cgroup uses {share:.0%} of its memory"

    return pressure.landed(target, selection, object_to, f"its cgroup uses {parameters.fill:.0%} of its memory")


def gone(target: Target, selection: Selection, parameters: Parameters) -> Observation:
    return pressure.gone(target, selection)
