"""What this machine has and lacks for running the harness."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

PROGRAMS = (
    # name, where Debian hides it, needed, fix
    ("haproxy", "/usr/sbin", True, "apt-get install haproxy"),
    ("prometheus", "", True, "apt-get install prometheus"),
    ("prometheus-alertmanager", "", True, "apt-get install prometheus-alertmanager"),
    ("redis-server", "", True, "apt-get install redis-server"),
    ("postgres", "/usr/lib/postgresql/15/bin", True, "apt-get install postgresql-15"),
    ("weaviate-server", "", True, "make setup builds it; that needs Go 1.24 or newer"),
    ("chromium", "", True, "apt-get install chromium: it measures the first paint"),
    ("k6", "", False, "go install go.k6.io/k6@v1.8.1: optional"),
    ("kubectl", "", False, "install it, or name its folder in HARNESS_PATH: only for the kubernetes target"),
)


class Finding(NamedTuple):
    """One look: what, whether it is all right, and how to mend it."""

    name: str
    ok: bool
    needed: bool
    detail: str
    fix: str


def examine() -> list[Finding]:
    """Programs, memory, disk, kernel features, children of Python. Starts nothing that stays."""
    return [*_programs(), _chaos(), _python(), _memory(), _disk(), _pidfd()]


def _programs() -> list[Finding]:
    found = []
    home_go = Path(os.environ.get("GOBIN") or Path(os.environ.get("GOPATH", Path.home() / "go")) / "bin")
    for name, place, needed, fix in PROGRAMS:
        places = [os.environ.get("HARNESS_PATH", ""), place or "/usr/bin", str(home_go)]
        path = shutil.which(name) or shutil.which(name, path=os.pathsep.join(filter(None, places)))
        found.append(Finding(name, path is not None, needed, path or "not found", fix))
    return found


def _chaos() -> Finding:
    chaos = Path(sys.executable).with_name("chaos")
    return Finding("chaos", chaos.exists(), True, str(chaos), "make setup installs chaostoolkit beside this Python")


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    return Finding("python", sys.version_info >= (3, 11), True, version, "install Python 3.11 or newer")


def _memory() -> Finding:
    fields = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    free = int(fields["MemAvailable"].split()[0]) / 1024
    return Finding("memory", free > 2500, True, f"{free:.0f} MiB available", "2.5 GiB are needed: end other programs")


def _disk() -> Finding:
    free = shutil.disk_usage(tempfile.gettempdir()).free / 2**30
    return Finding(
        "disk", free > 2, True, f"{free:.1f} GiB free in {tempfile.gettempdir()}", "free 2 GiB, or set TMPDIR"
    )


def _pidfd() -> Finding:
    try:
        os.close(os.pidfd_open(os.getpid()))
    except (AttributeError, OSError) as error:
        return Finding("pidfd", False, True, str(error), "the watchdog needs Linux 5.3 or newer")
    return Finding("pidfd", True, True, f"Linux {os.uname().release}", "")


def version_of(program: str, *arguments: str) -> str:
    """The first line a program prints of its version; empty when it cannot be asked."""
    try:
        answer = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return (answer.stdout or answer.stderr).strip().split("\n")[0][:200]
