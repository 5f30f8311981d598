"""PostgreSQL refuses to run as root: how a root launcher gives its children less than that."""

from __future__ import annotations

import ctypes
import os
import pwd
from collections.abc import Callable
from pathlib import Path

from sophia.child import die_with_parent

CLONE_NEWUSER = 0x10000000
USER = "postgres"
_libc = ctypes.CDLL(None, use_errno=True)


def _open_to_all(folder: Path) -> bool:
    return all(parent.stat().st_mode & 0o001 for parent in folder.resolve().parents)


def _new_user_namespace() -> None:
    user, group = os.geteuid(), os.getegid()
    if _libc.unshare(CLONE_NEWUSER) != 0:
        raise OSError(ctypes.get_errno(), "cannot make a user namespace")
    for name, content in (("setgroups", "deny"), ("uid_map", f"1000 {user} 1"), ("gid_map", f"1000 {group} 1")):
        Path("/proc/self", name).write_text(content)
    die_with_parent()


def before_exec(folder: Path) -> Callable[[], None]:
    """What a child must run before exec so that it is not root, and owns `folder`.

    Not root: nothing to do. Root: the user `postgres`; where that user is missing, or cannot reach `folder` because a
    folder above it is private, a user namespace of its own, which leaves it no capability at all.
    """
    if os.geteuid() != 0:
        return die_with_parent
    try:
        entry = pwd.getpwnam(USER)
    except KeyError:
        return _new_user_namespace
    if not _open_to_all(folder):
        return _new_user_namespace
    for path in (folder, *folder.rglob("*")):
        os.chown(path, entry.pw_uid, entry.pw_gid, follow_symlinks=False)

    def become() -> None:
        os.setgroups([])
        os.setgid(entry.pw_gid)
        os.setuid(entry.pw_uid)
        os.environ["HOME"] = str(folder)
        die_with_parent()

    return become
