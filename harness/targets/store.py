"""The attach file under a lock, and the changes to it that need free ports."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from pathlib import Path

from harness.targets import leases
from harness.targets.folder import PlatformFolder
from harness.targets.state import InstanceState, PlatformState, Role, load, save


class Store:
    """One platform's state on disk; safe for several threads and processes."""

    def __init__(self, folder: PlatformFolder) -> None:
        self.folder = folder
        self._mutex = threading.Lock()

    def read(self) -> PlatformState:
        return load(self.folder.state)

    def update(self, change: Callable[[PlatformState], PlatformState]) -> PlatformState:
        with self._mutex, self.folder.locked():
            changed = change(self.read())
            save(self.folder.state, changed)
            return changed

    def put(self, *changed: InstanceState) -> PlatformState:
        return self.update(lambda state: state.with_instances(*changed))

    def set_instance(self, name: str, **values: object) -> PlatformState:
        """Changes some fields of one instance, leaving what others changed meanwhile."""
        return self.update(lambda state: state.with_instances(state.instance(name).model_copy(update=values)))

    def saved(self, phase: str) -> Path:
        """Where the state before a phase is kept."""
        return self.folder.saved / f"{hashlib.sha256(phase.encode()).hexdigest()[:12]}.json"

    def add(self, service: str, region: str, release: str, role: Role = "serving") -> InstanceState:
        """A new instance with free ports and a name that was never used before."""
        added: list[InstanceState] = []

        def change(state: PlatformState) -> PlatformState:
            declared = state.service(service)
            key = f"{service}@{region}"
            index = state.indexes.get(key, 0)
            numbers = leases.lease(self.folder.root, declared.ports.values())
            each = InstanceState(
                name="-".join(part for part in (service, region, str(index)) if part),
                service=service,
                region=region,
                index=index,
                release=release if declared.released else "",
                ports=dict(zip(declared.ports, numbers, strict=True)),
                phase=state.phase_of(service),
                role=role,
            )
            added.append(each)
            return state.with_instances(each).model_copy(update={"indexes": {**state.indexes, key: index + 1}})

        self.update(change)
        return added[0]

    def other_port(self, name: str, taken: int) -> None:
        """Gives an instance another port instead of one that somebody else took."""

        def change(state: PlatformState) -> PlatformState:
            each = state.instance(name)
            (fresh,) = leases.lease(self.folder.root, [0])
            ports = {key: fresh if port == taken else port for key, port in each.ports.items()}
            return state.with_instances(each.model_copy(update={"ports": ports}))

        self.update(change)
        leases.release(self.folder.root, ports=[taken])
