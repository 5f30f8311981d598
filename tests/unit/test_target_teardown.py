"""Whom a platform's end may signal: what it started, and nobody who only looks at its folder."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.targets import procfs, teardown
from harness.targets.folder import PlatformFolder

# Starts `sleep` in a session of its own and leaves it behind, as a killed server leaves its back ends.
ORPHAN = """
import os, subprocess, sys
child = subprocess.Popen(
    ["/bin/sleep", "60"], cwd=sys.argv[1], env=dict(pair.split("=") for pair in sys.argv[3:]), start_new_session=True,
    stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, user=int(sys.argv[2]),
)
print(child.pid)
"""
Orphan = Callable[..., procfs.Seen]


@pytest.fixture
def folder(tmp_path: Path) -> PlatformFolder:
    made = PlatformFolder(tmp_path / "tiny-abcdef")
    made.control.mkdir(parents=True)
    (made.root / "i" / "db-0").mkdir(parents=True)
    made.born.write_text(str(procfs.ticks_now()))
    time.sleep(0.02)  # a tick: born before what follows
    return made


@pytest.fixture
def orphan(folder: PlatformFolder) -> Iterator[Orphan]:
    made: list[procfs.Seen] = []

    def make(cwd: Path | None = None, user: int | None = None, **environment: str) -> procfs.Seen:
        where = cwd or folder.root / "i" / "db-0"
        pairs = [f"{key}={value}" for key, value in environment.items()]
        argv = [sys.executable, "-c", ORPHAN, str(where), str(os.getuid() if user is None else user), *pairs]
        seen = procfs.look(int(subprocess.check_output(argv)))
        assert seen is not None
        made.append(seen)
        procfs.wait_gone(lambda: [] if procfs.executable(seen.pid).endswith("sleep") else [seen], 5)
        return seen

    yield make
    for seen in made:
        procfs.send(seen.pid, seen.start_time, signal.SIGKILL)


def found(folder: PlatformFolder) -> set[int]:
    return {seen.pid for seen in teardown.members(folder)}


def test_what_carries_the_mark_is_ours_wherever_it_works(
    folder: PlatformFolder, orphan: Orphan, tmp_path: Path
) -> None:
    assert found(folder) == set()
    seen = orphan(tmp_path, HARNESS_PLATFORM=folder.id)
    assert found(folder) == {seen.pid}


def test_an_orphan_that_overwrote_its_environment_is_known_by_where_it_works(
    folder: PlatformFolder, orphan: Orphan
) -> None:
    assert found(folder) == set()
    seen = orphan()
    assert found(folder) == {seen.pid}


def test_somebodys_process_that_looks_at_the_folder_is_left_alone(folder: PlatformFolder, orphan: Orphan) -> None:
    """As an editor's server does: no terminal, our user, younger than the platform."""
    orphan(PATH="/bin")
    orphan(HARNESS_PLATFORM="other-abcdef")
    assert found(folder) == set()


def test_what_is_older_than_the_platform_is_not_of_it(folder: PlatformFolder, orphan: Orphan) -> None:
    seen = orphan()
    folder.born.write_text(str(seen.start_time + 1))
    assert found(folder) == set()
    folder.born.unlink()  # nobody knows how old: nothing is taken
    assert found(folder) == set()


def test_what_has_a_parent_outside_is_not_of_it(folder: PlatformFolder) -> None:
    """A live parent that is younger than the platform and not of it: no orphan, somebody's child."""
    code = (
        "import subprocess, sys; p = subprocess.Popen(['/bin/sleep', '60'], env={}); print(p.pid, flush=True); p.wait()"
    )
    owner = subprocess.Popen(
        [sys.executable, "-c", code], cwd=folder.root, stdout=subprocess.PIPE, start_new_session=True
    )
    assert owner.stdout is not None
    child = procfs.look(int(owner.stdout.readline()))
    assert child is not None
    try:
        assert found(folder) == set()
    finally:
        procfs.send(child.pid, child.start_time, signal.SIGKILL)
        owner.wait(10)
        owner.stdout.close()


@pytest.mark.skipif(os.getuid() != 0, reason="only root may start a process of another user")
def test_another_users_process_is_of_it_only_in_a_folder_of_its_own(folder: PlatformFolder, orphan: Orphan) -> None:
    own = folder.root / "i" / "db-0"
    for path in (folder.root, *folder.root.parents):
        if path.stat().st_uid == 0 and path.is_relative_to("/tmp") and path != Path("/tmp"):
            path.chmod(0o755)
    stranger = orphan(own, user=65534)
    assert stranger.pid not in found(folder)
    os.chown(own, 65534, -1)
    assert found(folder) == {stranger.pid}
