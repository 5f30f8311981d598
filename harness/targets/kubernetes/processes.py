"""What instances on a cluster can do beside serving: be killed from their nodes, be told apart, be asked."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

from harness.at_once import at_once
from harness.kube import processes, rights
from harness.kube.ports import Site
from harness.ports import Instance


class ClusterProcesses(ABC):
    """The capabilities `Kubernetes` and `Processes`, for a target that says where its platform is."""

    observer = processes.OBSERVER

    @abstractmethod
    def site(self) -> Site: ...

    def marks(self, instances: Sequence[Instance]) -> Mapping[str, str]:
        """Raises BadInput when we may not kill: a selection is what a fault begins with."""
        rights.check(self.site(), processes.RIGHTS)
        return processes.marks(self.site(), instances)

    def prepare(self, instances: Sequence[Instance]) -> None:
        """An agent on each instance's node, waiting."""
        at_once(lambda each: processes.prepare(self.site(), each), instances)

    def prepare_hold(self, instances: Sequence[Instance], deadline_wall_ns: int) -> None:
        """The same, and a dead man's switch that scales the workloads back."""
        rights.check(self.site(), processes.HOLD_RIGHTS)
        processes.prepare_hold(self.site(), instances, deadline_wall_ns)
        self.prepare(instances)

    def kill(self, instance: Instance) -> None:
        processes.kill(self.site(), instance)

    def kill_and_hold(self, instance: Instance) -> None:
        processes.kill_and_hold(self.site(), instance)

    def remains(self, marks: Mapping[str, str]) -> Sequence[str]:
        return processes.remains(self.site(), marks)

    def runs(self, marks: Mapping[str, str]) -> Sequence[str]:
        return processes.runs(self.site(), marks)

    def returned(self, marks: Mapping[str, str], made: bool = True) -> Sequence[str]:
        return processes.returned(self.site(), marks, made)

    def restore(self, marks: Mapping[str, str]) -> None:
        processes.restore(self.site(), marks)

    def restore_held(self, marks: Mapping[str, str]) -> None:
        processes.restore_held(self.site(), marks)

    def held(self, marks: Mapping[str, str]) -> Sequence[str]:
        return processes.held(self.site(), marks)
