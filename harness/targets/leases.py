"""Free TCP ports, leased to platforms so that two runs at once never get the same one.

A lease is a file named by the port that holds the path of the platform's folder; it ends with that folder. Numbers
below the kernel's range for outgoing connections are handed out, so that no client socket can be sitting on them.
"""

from __future__ import annotations

import errno
import random
import socket
from collections.abc import Iterable
from pathlib import Path

from harness.errors import TargetError
from harness.targets.folder import locked, make_private, user_folder

RANGE = range(20_000, 32_000)


def bindable(port: int) -> bool:
    """Whether nobody listens on the port, on any IPv4 address of this host."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # old connections in TIME_WAIT do not matter
        try:
            probe.bind(("0.0.0.0", port))  # noqa: S104  bound for a moment, never listening
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES, errno.EPERM):
                return False
            raise
    return True


def lease(holder: Path, wanted: Iterable[int], folder: Path | None = None) -> list[int]:
    """One free port for each wanted number: that one if it is free, else any. 0 means any.

    Raises TargetError when none is left.
    """
    folder = make_private(folder or leases_folder())
    taken: list[int] = []
    with locked(folder / ".lock"):
        for preferred in wanted:
            start = random.randrange(len(RANGE))
            candidates = [*RANGE[start:], *RANGE[:start]]
            for port in [preferred, *candidates] if preferred else candidates:
                if port not in taken and not _holder(folder / str(port)) and bindable(port):
                    break
            else:
                raise TargetError(f"no free TCP port between {RANGE.start} and {RANGE.stop}")
            (folder / str(port)).write_text(str(holder))
            taken.append(port)
    return taken


def release(holder: Path, folder: Path | None = None, ports: Iterable[int] | None = None) -> None:
    """Gives back these ports, or all that the holder has."""
    folder = folder or leases_folder()
    if not folder.is_dir():
        return
    with locked(folder / ".lock"):
        names = [str(port) for port in ports] if ports is not None else [path.name for path in folder.iterdir()]
        for name in names:
            if name.isdigit() and _read(folder / name) == str(holder):
                (folder / name).unlink(missing_ok=True)


def held_by(holder: Path, folder: Path | None = None) -> list[int]:
    """All ports leased to a holder."""
    folder = folder or leases_folder()
    if not folder.is_dir():
        return []
    return sorted(int(path.name) for path in folder.iterdir() if path.name.isdigit() and _read(path) == str(holder))


def leases_folder() -> Path:
    return user_folder() / "ports"


def _holder(file: Path) -> str:
    """The folder that has the lease; empty when there is none, or it is of a platform that is no more."""
    holder = _read(file)
    return holder if holder and Path(holder).is_dir() else ""


def _read(file: Path) -> str:
    try:
        return file.read_text()
    except FileNotFoundError:
        return ""
