"""Where the test bed keeps its things, how it runs commands, and how it says what it does."""

from __future__ import annotations

import fcntl
import os
import shlex
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent
Word = str | Path  # of a command
PROGRESS_EVERY_S = 15.0
KEPT = 3
_began = time.monotonic()


class TestbedError(Exception):
    """What went wrong, and on a second line how to put it right."""

    __test__ = False

    def __init__(self, cause: str, fix: str = "") -> None:
        super().__init__(f"{cause}\n  fix: {fix}" if fix else cause)


def root() -> Path:
    """The state folder, shared by every clone on the machine."""
    return Path(os.environ.get("TESTBED_STATE") or "/var/lib/testbed")


def say(text: str) -> None:
    print(f"[testbed {time.monotonic() - _began:6.1f} s] {text}", flush=True)


@contextmanager
def locked(name: str) -> Iterator[None]:
    """One process of the machine at a time; says so when it has to wait."""
    root().mkdir(parents=True, exist_ok=True)
    with (root() / f"{name}.lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"waiting for another process that holds {file.name}")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def run(*argv: Word, stdin: str | None = None, env: Mapping[str, str] | None = None, within_s: float = 120) -> str:
    """The standard output of a command; raises TestbedError with its last words when it fails."""
    words = [str(word) for word in argv]
    try:
        done = subprocess.run(
            words, input=stdin, env=env, capture_output=True, text=True, timeout=within_s, check=False
        )
    except FileNotFoundError as error:
        raise TestbedError(f"{words[0]} is not installed", "scripts/setup.sh --testbed") from error
    except subprocess.TimeoutExpired as error:
        raise TestbedError(f"{shlex.join(words)}: no answer within {within_s:g} s") from error
    if done.returncode != 0:
        raise TestbedError(f"{shlex.join(words)}: exit code {done.returncode}\n{tail(done.stderr or done.stdout)}")
    return done.stdout


def run_for_long(
    what: str, argv: Sequence[Word], log: Path, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> None:
    """Runs a command with its output in `log`; every 15 s one line says how far it is."""
    log.parent.mkdir(parents=True, exist_ok=True)
    words = [str(word) for word in argv]
    say(what)
    began = spoke = time.monotonic()
    with log.open("w") as output:
        try:
            process = subprocess.Popen(words, stdout=output, stderr=subprocess.STDOUT, env=env, cwd=cwd)
        except FileNotFoundError as error:
            raise TestbedError(f"{words[0]} is not installed", "scripts/setup.sh --testbed") from error
        try:
            while process.poll() is None:
                time.sleep(0.2)
                if time.monotonic() - spoke > PROGRESS_EVERY_S:
                    spoke = time.monotonic()
                    lines = log.read_text(errors="replace").splitlines() or ["-"]
                    say(f"  … {spoke - began:.0f} s, {len(lines)} lines of output, the last: {lines[-1]}")
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()
    if process.returncode != 0:
        raise TestbedError(
            f"{shlex.join(words)}: exit code {process.returncode}\n{tail(log.read_text())}", f"read {log}"
        )
    say(f"  done in {time.monotonic() - began:.1f} s")


def until(condition: Callable[[], bool], what: str, within_s: float, fix: str = "", every_s: float = 0.1) -> None:
    """Waits for a condition; raises TestbedError when it does not come true in time."""
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            raise TestbedError(f"{what}: not within {within_s:g} s", fix)
        time.sleep(every_s)


def link(path: Path, target: Path) -> None:
    """Makes or changes a symbolic link, at once."""
    new = path.with_name(f".{path.name}")
    new.unlink(missing_ok=True)
    new.symlink_to(target)
    new.replace(path)


def forget(paths: Iterable[Path]) -> None:
    """Removes all but the newest few: what earlier inputs gave, kept for clones with other code."""
    for old in sorted(paths, key=lambda path: path.stat().st_mtime)[:-KEPT]:
        shutil.rmtree(old) if old.is_dir() else old.unlink()


def tail(text: str, lines: int = 15) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines()[-lines:])
