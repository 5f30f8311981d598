"""Where a platform keeps its state: paths and the locks in them. Standard library only: the restart policy uses it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.errors import BadInput, TargetError

SOCKET_LIMIT = 107  # bytes of sun_path on Linux, without its final NUL


@dataclass(frozen=True)
class PlatformFolder:
    """Paths only. `root` is the platform's own folder, its name is the platform's id."""

    root: Path

    @property
    def id(self) -> str:
        return self.root.name

    @property
    def state(self) -> Path:
        """The attach file: all that a cold process needs."""
        return self.root / "platform.json"

    @property
    def saved(self) -> Path:
        """States as they were before each phase."""
        return self.root / "saved"

    @property
    def held(self) -> Path:
        """One empty file per instance that must stay down."""
        return self.root / "held"

    @property
    def restarts(self) -> Path:
        return self.root / "restarts.jsonl"

    @property
    def checked(self) -> Path:
        """How long each instance's log was when it was first checked, as JSON."""
        return self.root / "checked.json"

    @property
    def gates(self) -> Path:
        return self.root / "gates.jsonl"

    @property
    def policy(self) -> Path:
        """Restart policy of each instance, as JSON."""
        return self.root / "restart-policy.json"

    @property
    def control(self) -> Path:
        """supervisord's configuration, log and socket; nobody else may enter."""
        return self.root / "control"

    @property
    def socket(self) -> Path:
        return self.control / "rpc.sock"

    @property
    def supervisor_log(self) -> Path:
        return self.control / "supervisord.log"

    @property
    def born(self) -> Path:
        """When the platform was made, in clock ticks since boot: nothing of it is older."""
        return self.control / "born"

    @property
    def secrets(self) -> Path:
        """The platform's secrets by name, as JSON; nobody else may read it."""
        return self.control / "secrets.json"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    def log(self, instance: str) -> Path:
        return self.logs / f"{instance}.log"

    def script(self, instance: str) -> Path:
        return self.root / "run" / instance

    def process(self, instance: str) -> Path:
        """/proc/self/stat of the instance's process, written by itself just before its program takes over."""
        return self.root / "process" / instance

    def instance(self, instance: str) -> Path:
        """The instance's own folder."""
        return self.root / "i" / instance

    def hold(self, instance: str) -> Path:
        return self.held / instance

    @contextlib.contextmanager
    def locked(self, name: str = "lock") -> Iterator[None]:
        """One process at a time; freed by the kernel when its holder dies."""
        with locked(self.root / f".{name}"):
            yield


@contextlib.contextmanager
def locked(file: Path) -> Iterator[None]:
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def state_root(override: Path | None = None) -> Path:
    """The folder of all platforms of this user: ${HARNESS_STATE}, else <tempdir>/harness-<uid>."""
    chosen = override or (Path(os.environ["HARNESS_STATE"]) if os.environ.get("HARNESS_STATE") else None)
    return (chosen or user_folder()).absolute()


def user_folder() -> Path:
    """<tempdir>/harness-<uid>, whatever HARNESS_STATE says: port leases are shared by all runs of a user."""
    return Path(tempfile.gettempdir()) / f"harness-{os.getuid()}"


def make_private(folder: Path) -> Path:
    """Makes a folder that only we write to. One of the same name that belongs to somebody else is refused: in a shared
    temporary directory anybody could have put it there."""
    if folder != user_folder() and folder.parent == user_folder():
        make_private(folder.parent)
    mode = 0o711 if os.getuid() == 0 else 0o700  # services of another user must be able to walk through
    try:
        folder.mkdir(mode=mode, parents=True, exist_ok=True)
        seen = folder.lstat()
    except OSError as error:
        raise TargetError(
            f"{folder}: {error.strerror}\n  fix: set HARNESS_STATE to a folder that you can write to"
        ) from None
    if not stat.S_ISDIR(seen.st_mode) or seen.st_uid != os.getuid():
        raise TargetError(f"{folder} is not a folder of yours\n  fix: remove it or set HARNESS_STATE to another place")
    return folder


def check_socket_length(folder: PlatformFolder) -> None:
    """Unix socket paths are short; say so before supervisord does."""
    if len(os.fsencode(folder.socket)) > SOCKET_LIMIT:
        raise BadInput(
            f"{folder.root} is too long a path: unix sockets end at {SOCKET_LIMIT} bytes",
            fix="set HARNESS_STATE to a shorter path",
        )
