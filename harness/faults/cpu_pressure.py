"""A service's containers get hardly any CPU: busy processes beside theirs use up what their limit allows.

    provider:
      type: python
      module: harness.chaos.actions
      func: inject
      arguments:
        fault: cpu_pressure
        parameters: {service: unified-api, region: sjc, count: 1, workers: 2}
        blast_radius: 1

An agent on the pod's node puts busy processes into the container's own cgroup, so the kernel counts and limits them as
the container's; a container without a limit takes from its node. Landed: the cgroup uses at least `cores`, and
processes that are not the container's are in it. Gone: none is, and the pods are ready. Lifted when the agent ends: by
the undo, at `undo_within`, or when its node ends it.
"""

from __future__ import annotations

from pydantic import Field

from harness.faults import _cluster as on_cluster
from harness.faults import _hands as hands
from harness.faults import _pressure as pressure
from harness.kube.ports import Kubernetes, Manifest
from harness.ports import Observation, Selection, Target

REQUIRES = (Kubernetes,)
RIGHTS = hands.RIGHTS


class Parameters(on_cluster.Pods):
    """Which instances, how many busy processes, and how many cores their cgroup must then be seen to use."""

    workers: int = Field(default=1, ge=1, le=64)
    cores: float = Field(default=0.2, gt=0)


predict = on_cluster.predict
select = hands.select
prepare = pressure.prepare
recover = hands.recover


def inject(target: Target, selection: Selection, parameters: Parameters) -> None:
    pressure.inject(target, selection, "press_cpu", str(parameters.workers))


def landed(target: Target, selection: Selection, parameters: Parameters) -> Observation:
    def object_to(ask: hands.Ask, pod: Manifest) -> str:
        used = pressure.usage(ask, pod)
        if not used["foreign"]:
            return "nothing else runs in its cgroup"
        return "" if used["cores"] >= parameters.cores else f"its cgroup uses {used['cores']:g} cores"

    return pressure.landed(target, selection, object_to, f"its cgroup uses {parameters.cores:g} cores or more")


def gone(target: Target, selection: Selection, parameters: Parameters) -> Observation:
    return pressure.gone(target, selection)
