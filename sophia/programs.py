"""Finds the programs that the platform's real parts are, under the names different systems give them.

`python -m sophia.programs NAME[,NAME…] ARGUMENT…` becomes the first of them that is installed.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path


def _folders() -> list[str]:
    go_bin = os.environ.get("GOBIN") or str(Path(os.environ.get("GOPATH") or Path.home() / "go") / "bin")
    postgres = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return [*os.environ.get("PATH", "").split(os.pathsep), "/usr/sbin", "/usr/local/bin", go_bin, *map(str, postgres)]


def find(*names: str) -> str:
    """The path of the first of `names` that is installed; ends the process with one line when none is."""
    for name in names:
        if found := shutil.which(name, path=os.pathsep.join(_folders())):
            return found
    raise SystemExit(f"none of these programs is installed: {', '.join(names)}")


def main(arguments: list[str]) -> None:
    """Replaces this process by the program, so that signals and exit codes are the program's own."""
    if not arguments:
        raise SystemExit("usage: python -m sophia.programs NAME[,NAME…] ARGUMENT…")
    program = find(*arguments[0].split(","))
    os.execv(program, [program, *arguments[1:]])  # noqa: S606 - exec without a shell is the point


if __name__ == "__main__":
    main(sys.argv[1:])
