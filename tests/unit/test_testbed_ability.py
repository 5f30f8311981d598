"""Whether a machine can hold the bed is told at once, in one line, with nothing installed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import pytest

from testbed import ability

ROOT = Path(__file__).parents[2]
Usage = namedtuple("Usage", "total used free")
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="tries namespaces and mounts, which needs root")


@pytest.fixture
def able(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A machine that can."""
    monkeypatch.setattr(ability.os, "geteuid", lambda: 0)
    monkeypatch.setattr(ability, "_in_a_child", lambda _: "")
    monkeypatch.setattr(ability, "_cgroup", lambda _: "")
    monkeypatch.setattr(ability, "hierarchies", lambda: [Path("/sys/fs/cgroup")])
    monkeypatch.setattr(ability.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(ability.shutil, "disk_usage", lambda _: Usage(0, 0, 100e9))
    return monkeypatch


def test_one_that_can(able: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert ability.main() == 0
    assert capsys.readouterr().out == "this machine can hold the test bed\n"


def test_each_obstacle_is_told_in_one_line(able: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    able.setattr(ability, "_in_a_child", lambda trial: "not permitted" if trial is ability._network else "")
    able.setattr(ability, "_cgroup", lambda _: "Read-only file system")
    able.setattr(ability.shutil, "which", lambda name: None if name == "go" else f"/usr/bin/{name}")
    able.setattr(ability.shutil, "disk_usage", lambda _: Usage(0, 0, 3e9))
    able.setattr(ability, "root", lambda: Path("/nowhere/testbed"))
    assert ability.main() == ability.CANNOT == 3
    told = capsys.readouterr().out
    assert told.count("\n") == 1
    for part in ("network namespace", "not permitted", "Read-only", "go is not installed", "3 GB free, and 25"):
        assert part in told


def test_no_cgroups_no_linux_no_root(able: pytest.MonkeyPatch) -> None:
    able.setattr(ability, "hierarchies", lambda: [])
    assert ability.obstacles() == ["no cgroup hierarchy is mounted"]
    able.setattr(ability.os, "geteuid", lambda: 1000)
    assert "needs root" in ability.obstacles()[0]
    able.setattr(ability.sys, "platform", "darwin")
    assert ability.obstacles() == ["it needs Linux, and this is darwin"]


def test_with_its_programs_built_it_needs_neither_go_nor_much_room(able: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "kubectl").touch()
    able.setattr(ability, "root", lambda: tmp_path)
    able.setattr(ability.shutil, "which", lambda name: None if name == "go" else f"/usr/bin/{name}")
    able.setattr(ability.shutil, "disk_usage", lambda _: Usage(0, 0, 6e9))
    assert ability.obstacles() == []


@as_root
def test_what_is_tried_leaves_nothing() -> None:
    mounts = Path("/proc/self/mounts").read_text()
    links = sorted(each.name for each in Path("/sys/class/net").iterdir())
    ability.obstacles()
    assert Path("/proc/self/mounts").read_text() == mounts
    assert sorted(each.name for each in Path("/sys/class/net").iterdir()) == links


@as_root
@pytest.mark.parametrize("trial", [ability._network, ability._mounts])
def test_a_trial_that_is_not_allowed_says_why(trial: object, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(ability, "_call", forbidden)
    assert ability._in_a_child(trial) == "Operation not permitted"  # type: ignore[arg-type]


def test_settings_that_are_read_only_are_an_obstacle(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(ability, "SETTING", tmp_path / "none")
    assert ability._in_a_child(ability._settings) == "No such file or directory"


def test_a_trial_that_dies_is_an_obstacle() -> None:
    assert ability._in_a_child(lambda: os.kill(os.getpid(), 9)) == "it did not end well"
    assert ability._in_a_child(lambda: None) == ""


def test_a_trial_that_is_wrong_is_no_obstacle(capfd: pytest.CaptureFixture[str]) -> None:
    """So that the check ends as a crash does, not as a machine that cannot."""
    with pytest.raises(RuntimeError, match="is wrong"):
        ability._in_a_child(lambda: print(1 // 0))
    assert "ZeroDivisionError" in capfd.readouterr().err


def test_it_needs_nothing_installed() -> None:
    """-S: without site-packages, as in a clone that was not set up."""
    command = [sys.executable, "-S", "-m", "testbed", "check"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30, check=False, env={"PATH": "/"})
    assert ran.returncode in (0, ability.CANNOT), ran.stderr
    assert ran.stdout.startswith("this machine can")
    assert not ran.stderr
