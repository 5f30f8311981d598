"""A target that is a folder, for tests of what breaks and mends: its instances are files, and outlive a kill -9.

`NAME` is an instance that serves; `NAME.broken` is one that a fault has hit; `down` says that it was taken down.
`attach(folder)` makes it usable as HARNESS_TARGET="harness.testing.folder_target:FOLDER".
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from harness.errors import PlatformAbsent
from harness.ports import Endpoints, Instance, Leftovers, Report


class FolderTarget:
    """See the module. Every look is at the disk; nothing is kept in memory."""

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise PlatformAbsent(f"no platform at {folder}")
        self.folder = folder

    @property
    def reference(self) -> str:
        return f"{__name__}:{self.folder}"

    def up(self, release: str, report: Report) -> None:
        (self.folder / "down").unlink(missing_ok=True)

    def check(self, report: Report) -> None:
        return None

    def names(self) -> list[str]:
        return sorted({file.name.removesuffix(".broken") for file in self.folder.iterdir() if file.name != "down"})

    def broken(self, name: str) -> bool:
        return (self.folder / f"{name}.broken").exists()

    def ready(self) -> Sequence[str]:
        return [name for name in self.names() if self.broken(name)]

    def endpoints(self) -> Endpoints:
        edge = os.environ.get("EDGE_URL", "http://127.0.0.1:9")
        return Endpoints(edge=edge, prometheus="", alertmanager="", databases={}, regions={}, extra={})

    def instances(self, service: str | None = None, region: str | None = None) -> Sequence[Instance]:
        return [
            Instance(name, name.partition("-")[0], "", index, "", "127.0.0.1", {}, self.folder)
            for index, name in enumerate(self.names())
            if service in (None, name.partition("-")[0])
        ]

    def down(self) -> Leftovers:
        (self.folder / "down").touch()
        for name in self.names():
            self.mend(name)
        return Leftovers()

    def break_instance(self, name: str) -> None:
        (self.folder / name).rename(self.folder / f"{name}.broken")

    def mend(self, name: str) -> None:
        if self.broken(name):
            (self.folder / f"{name}.broken").rename(self.folder / name)


def attach(reference: str) -> FolderTarget:
    """Raises PlatformAbsent when the folder is not there."""
    return FolderTarget(Path(reference))
