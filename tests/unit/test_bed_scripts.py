"""However a script that tests on a bed ends, it leaves none, and what failed is a failure."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"
STUB = """#!/bin/sh
echo "$*${TESTBED_REQUIRED:+ ($TESTBED_REQUIRED)}" >> called
case "$*" in "-m testbed down"*) exit ${DOWN:-0};; esac
"""


def start(folder: Path, body: str, **environment: str) -> subprocess.Popen[str]:
    program = folder / ".venv" / "bin" / "python"
    program.parent.mkdir(parents=True)
    program.write_text(STUB)
    program.chmod(0o755)
    script = f"set -euo pipefail\n. {SCRIPTS}/bed-tests.sh\nleave_at_the_end all\n{body}\n"
    return subprocess.Popen(
        ["bash", "-c", script],
        cwd=folder,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def called(folder: Path) -> list[str]:
    return (folder / "called").read_text().splitlines()


@pytest.mark.parametrize(
    ("body", "down", "code"),
    [
        ("part one true", "0", 0),
        ("part one true; part two sh -c 'exit 7'; part three true", "0", 7),
        ("part one true", "1", 1),  # a bed that does not go
        ("part one sh -c 'exit 7'", "1", 7),
    ],
)
def test_the_bed_goes_and_the_code_tells(tmp_path: Path, body: str, down: str, code: int) -> None:
    run = start(tmp_path, body, DOWN=down)
    told, _ = run.communicate(timeout=20)
    assert run.returncode == code, told
    assert called(tmp_path) == ["-m testbed down all"]
    assert ("s  one" in told) == ("part one true" in body)  # how long it took
    assert "three" not in told


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_ctrl_c_takes_the_bed_down(tmp_path: Path, number: signal.Signals, code: int) -> None:
    run = start(tmp_path, "part one sh -c 'touch begun; exec sleep 30'")
    while not (tmp_path / "begun").exists():
        time.sleep(0.02)
    os.killpg(run.pid, number)
    run.communicate(timeout=20)
    assert run.returncode == code
    assert called(tmp_path) == ["-m testbed down all"]


def test_what_is_tested_on_a_bed_may_not_be_skipped(tmp_path: Path) -> None:
    run = start(tmp_path, "part one tests_on bare some/tests -x")
    run.communicate(timeout=20)
    assert called(tmp_path)[0] == "-m pytest -q --durations=10 some/tests -x (bare)"


def test_the_controls_are_there() -> None:
    told = subprocess.run(
        [
            "bash",
            "-c",
            f'. {SCRIPTS}/bed-tests.sh; printf "%s\\n" "${{of_programs[@]}}" "${{providers[@]}}" "${{controls[@]}}"',
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    files = told.stdout.split()
    assert files
    assert all((SCRIPTS.parent / name).is_file() for name in files)


@pytest.mark.parametrize("script", ["test-kind.sh", "test-matrix.sh"])
def test_a_machine_that_cannot_is_told_so_before_any_set_up(script: str) -> None:
    lines = [line for line in (SCRIPTS / script).read_text().splitlines() if not line.startswith("#")]
    asked = lines.index("python3 -m testbed check")
    assert lines.index('part "set-up" scripts/setup.sh --tests --testbed') == asked + 1
    assert "set -euo pipefail" in lines[:asked]
