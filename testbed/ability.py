"""Whether this machine can hold the test bed: looked at within a second, before anything is installed.

Nothing but the standard library is used, so that `python3 -m testbed check` works in a fresh clone. What can be tried
is tried, in namespaces of a child process that are gone with it.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import socket
import struct
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path

from testbed.cgroups import hierarchies
from testbed.state import root

NEW_MOUNTS, NEW_NETWORK = 0x00020000, 0x40000000  # unshare(2)
PRIVATE = 1 << 18 | 1 << 14  # mount(2): MS_PRIVATE | MS_REC
NEW_LINK, REQUEST, ACK, CREATE = 16, 0x1, 0x4, 0x600  # rtnetlink(7)
NAME, LINK_INFO, KIND = 3, 18, 1
SETTING = Path("/proc/sys/vm/overcommit_memory")  # kubelets set it
CANNOT = 3  # exit code: not 1, which a crash gives, nor 2, which wrong options give
WRONG = 2  # of a trial's child: neither done nor refused
FREE_GB = {True: 5, False: 25}  # by whether the programs are built already: images and a bed; and all that builds them


def obstacles() -> list[str]:
    """Everything that keeps the bed from being brought up here, each with what would help; none when it can be."""
    if sys.platform != "linux":
        return [f"it needs Linux, and this is {sys.platform}"]
    if os.geteuid() != 0:
        return ["it needs root, for namespaces and mounts (sudo -E, or a privileged container)"]
    found = [
        f"{what}: {why}"
        for what, trial in (
            ("a network namespace with a bridge cannot be made", _network),
            ("a mount namespace with an overlay cannot be made", _mounts),
            ("settings of the kernel cannot be changed", _settings),
        )
        if (why := _in_a_child(trial))
    ]
    found += [f"no cgroup can be made in {each} ({why})" for each in hierarchies() if (why := _cgroup(each))]
    if not hierarchies():
        found.append("no cgroup hierarchy is mounted")
    built = (root() / "bin" / "kubectl").exists()
    missing = [name for name in ("apt-get", *(() if built else ("go",))) if shutil.which(name) is None]
    found += [f"{name} is not installed" for name in missing]
    free = shutil.disk_usage(_there(root())).free / 1e9
    if free < FREE_GB[built]:
        found.append(f"{root()} has {free:.0f} GB free, and {FREE_GB[built]} are needed ($TESTBED_STATE moves it)")
    return found


def main() -> int:
    """`python3 -m testbed check`: says in one line whether it can be done here; exit code 0 or CANNOT."""
    found = obstacles()
    print(
        f"this machine cannot hold the test bed: {'; '.join(found)}" if found else "this machine can hold the test bed"
    )
    return CANNOT if found else 0


def _in_a_child(trial: Callable[[], None]) -> str:
    """Why a trial failed in a child process of its own; "" when it did not. RuntimeError when the trial is wrong."""
    readable, writable = os.pipe()
    child = os.fork()
    if not child:
        code = WRONG
        try:
            trial()
            code = 0
        except OSError as error:
            code = 1
            os.write(writable, str(error.strerror or error).encode())
        finally:
            if code == WRONG:
                traceback.print_exc()
            os._exit(code)
    os.close(writable)
    with os.fdopen(readable) as told:
        why = told.read()
    _, status = os.waitpid(child, 0)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status) == WRONG:
        raise RuntimeError(f"the trial {trial.__name__} is wrong")
    return (why or "it did not end well") if status else ""


def _call(name: str, *arguments: object) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments):
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def _network() -> None:
    _call("unshare", NEW_NETWORK)
    for kind in (b"bridge", b"veth"):
        info = _attribute(LINK_INFO, _attribute(KIND, kind + b"\0"))
        body = struct.pack("=BxHiII", socket.AF_UNSPEC, 0, 0, 0, 0) + _attribute(NAME, b"try-" + kind + b"\0") + info
        header = struct.pack("=IHHII", 16 + len(body), NEW_LINK, REQUEST | ACK | CREATE, 1, 0)
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as kernel:
            kernel.send(header + body)
            (error,) = struct.unpack_from("=i", kernel.recv(4096), 16)
        if error:
            raise OSError(-error, f"{kind.decode()}: {os.strerror(-error)}")


def _attribute(number: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), number) + value + b"\0" * (-len(value) % 4)


def _mounts() -> None:
    """Where the bed keeps its containers: an overlay on a file system that is one itself is refused by the kernel."""
    _call("unshare", NEW_MOUNTS)
    _call("mount", None, b"/", None, PRIVATE, None)
    with tempfile.TemporaryDirectory(dir=_there(root()), prefix=".testbed-check-") as work:
        for name in ("lower", "upper", "work", "merged"):
            Path(work, name).mkdir()
        options = f"lowerdir={work}/lower,upperdir={work}/upper,workdir={work}/work".encode()
        merged = os.fsencode(Path(work, "merged"))
        _call("mount", b"overlay", merged, b"overlay", 0, options)
        _call("umount", merged)


def _settings() -> None:
    """Opened for writing, and left as it is."""
    with SETTING.open("r+"):
        pass


def _cgroup(hierarchy: Path) -> str:
    made = hierarchy / f"testbed-check-{os.getpid()}"
    try:
        made.mkdir()
        made.rmdir()
    except OSError as error:
        return str(error.strerror)
    return ""


def _there(path: Path) -> Path:
    """The path, or the nearest folder above it that is there."""
    return next(each for each in (path, *path.parents) if each.exists())
