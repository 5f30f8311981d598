"""What an agent takes from a container, in cgroups of our own: the kernel is real, there is no cluster."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from harness.kube.programs import pressure

ROOT = Path("/sys/fs/cgroup")
LIMIT = 96 << 20
CALL = "import sys; from harness.kube.programs.pressure import COMMANDS; COMMANDS[sys.argv[1]](sys.argv[2:])"


def folders(name: str) -> list[Path]:
    """The cgroup in each hierarchy that counts: version 1's, else the one of version 2."""
    old = [ROOT / controller / name for controller in ("cpu", "cpuacct", "memory") if (ROOT / controller).is_dir()]
    return list({path.resolve(): path for path in old}.values()) or [ROOT / name]


def possible() -> bool:
    try:
        for path in folders(f"harness-probe-{os.getpid()}"):
            path.mkdir()
            path.rmdir()
    except OSError:
        return False
    return os.geteuid() == 0


pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not possible(), reason="no cgroup can be made here"),
]


@dataclass
class Box:
    """A sleeping process with a process namespace of its own, in a cgroup that carries the container's id."""

    id: str
    process: subprocess.Popen[bytes]

    def ask(self, *argv: str) -> dict[str, Any]:
        ran = subprocess.run(self._command("usage", self.id, *argv), capture_output=True, text=True, check=False)
        return dict(json.loads(ran.stdout.splitlines()[-1]))

    def press(self, command: str, *argv: str, seconds: float = 20) -> subprocess.Popen[str]:
        words = self._command(command, str(seconds), self.id, *argv)
        hand = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        assert hand.stdout is not None
        self.said = json.loads(hand.stdout.readline())
        return hand

    def until(self, what: str, least: float) -> dict[str, Any]:
        deadline = time.monotonic() + 10
        while (seen := self.ask())[what] < least and time.monotonic() < deadline:
            time.sleep(0.1)
        return seen

    def _command(self, *words: str) -> list[str]:
        return [sys.executable, "-c", CALL, *words]


@pytest.fixture
def box() -> Iterator[Box]:
    name = f"harness-{secrets.token_hex(8)}"
    made = folders(name)
    for path in made:
        path.mkdir()
        for file in ("memory.limit_in_bytes", "memory.max"):
            if (path / file).exists():
                (path / file).write_text(str(LIMIT))
    process = subprocess.Popen(["unshare", "--pid", "--fork", "sleep", "60"])
    try:
        for path in made:
            (path / "cgroup.procs").write_text(str(process.pid))
        time.sleep(0.1)
        for path in made:
            for child in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
                (path / "cgroup.procs").write_text(child)
        (made[0].parent / "cgroup.procs").write_text(str(process.pid))  # the one that holds the namespace is not in it
        for path in made:
            (path.parent / "cgroup.procs").write_text(str(process.pid))
        yield Box(name, process)
    finally:
        for child in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
            os.kill(int(child), signal.SIGKILL)
        process.wait(10)
        deadline = time.monotonic() + 5
        for path in made:
            while path.exists():
                try:
                    path.rmdir()
                except OSError:
                    assert time.monotonic() < deadline, f"{path} is not empty"
                    time.sleep(0.05)


def end(hand: subprocess.Popen[str], how: signal.Signals = signal.SIGTERM) -> None:
    hand.send_signal(how)
    hand.wait(10)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_busy_processes_count_as_the_containers_and_go_with_their_maker(box: Box, how: signal.Signals) -> None:
    assert box.ask()["foreign"] == 0
    hand = box.press("press_cpu", "1")
    seen = box.until("cores", 0.2)
    end(hand, how)
    assert seen["foreign"] == 1
    assert seen["cores"] >= 0.2
    time.sleep(0.2)
    after = box.ask()
    assert (after["foreign"], after["cores"] < 0.1) == (0, True)


def test_memory_is_taken_up_to_a_share_of_the_limit(box: Box) -> None:
    assert box.ask()["limit"] == LIMIT
    hand = box.press("press_memory", "0.8")
    seen = box.until("memory", 0.76 * LIMIT)
    end(hand)
    assert 0.76 * LIMIT <= seen["memory"] <= LIMIT
    assert box.ask()["memory"] < 0.2 * LIMIT


def test_memory_without_a_limit_is_refused(box: Box) -> None:
    for path in folders(box.id):
        for file in ("memory.limit_in_bytes", "memory.max"):
            if (path / file).exists():
                (path / file).write_text("max" if file == "memory.max" else "-1")
    hand = box.press("press_memory", "0.8")
    assert "no memory limit" in box.said["error"]
    assert hand.wait(10) == 1
    assert box.ask()["foreign"] == 0


def test_a_file_takes_room_and_is_removed(box: Box, tmp_path: Path) -> None:
    file = tmp_path / "big"
    hand = box.press("press_disk", str(file), str(3 << 20))
    assert box.ask(str(file))["file"] >= 3 << 20
    end(hand)
    assert not file.exists()
    assert box.ask(str(file))["file"] == 0


def test_it_ends_by_itself_at_its_deadline(box: Box) -> None:
    hand = box.press("press_cpu", "1", seconds=1)
    assert hand.wait(10) == 0
    assert box.ask()["foreign"] == 0


def test_no_container_is_said(box: Box) -> None:
    nobody = Box("harness-no-such-container", box.process)
    assert "no process of container" in nobody.ask()["error"]
    assert pressure.UNLIMITED > LIMIT
