"""Everything in a region is killed at once with SIGKILL and stays dead until it is undone.

    provider:
      type: python
      module: harness.chaos.actions
      func: inject
      arguments: {fault: region_loss, parameters: {region: sjc}, blast_radius: 20}

Landed: nothing of the region runs and no port of it is served. Gone: a new process runs each instance and its health
check passes. Undone by starting all of it: a rejoin, never a second primary (its database comes back as a standby of
whoever was promoted meanwhile). On Kubernetes its workloads are scaled to zero and their containers killed from their
nodes; a dead man's switch in the cluster scales them back when `undo_within` is over.
"""

from __future__ import annotations

from pydantic import Field

from harness.at_once import at_once
from harness.faults import _shared as shared
from harness.kube import processes as on_cluster
from harness.model.base import Frozen
from harness.model.platform import PlatformSpec
from harness.ports import Observation, Processes, Selection, Target

REQUIRES = (Processes,)
RIGHTS = (*on_cluster.RIGHTS, *on_cluster.HOLD_RIGHTS)  # on Kubernetes


class Parameters(Frozen):
    """Which region; services outside of all regions (an edge, Prometheus) are never touched."""

    region: str = Field(min_length=1)


def predict(platform: PlatformSpec, parameters: Parameters) -> Selection:
    return Selection(shared.predicted(platform, None, parameters.region))


def select(target: Target, parameters: Parameters) -> Selection:
    return shared.select(target, target.instances(region=parameters.region))


def prepare(target: Target, selection: Selection, parameters: Parameters) -> None:
    shared.processes(target).prepare_hold(shared.named(target, selection), selection.deadline_wall_ns)


def inject(target: Target, selection: Selection, parameters: Parameters) -> None:
    at_once(shared.processes(target).kill_and_hold, shared.named(target, selection))


def landed(target: Target, selection: Selection, parameters: Parameters) -> Observation:
    control = shared.processes(target)
    return shared.observation(
        control.runs(shared.marks(selection)), control.observer, f"nothing of {parameters.region} runs or listens"
    )


def gone(target: Target, selection: Selection, parameters: Parameters) -> Observation:
    control, marks = shared.processes(target), shared.marks(selection)
    seen = shared.seen_back(selection, f"all of {parameters.region} runs and is ready")
    return shared.observation([*control.held(marks), *control.returned(marks, selection.made)], control.observer, seen)


def recover(target: Target, selection: Selection, parameters: Parameters) -> None:
    shared.processes(target).restore_held(shared.marks(selection))
