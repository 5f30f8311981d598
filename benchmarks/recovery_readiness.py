"""Recovery by polls of the API server for readiness beside what users saw, of runs on Kubernetes.

    python benchmarks/recovery_readiness.py reports/RUN…

Nothing is run: it reads run folders. The first column is what krkn and a readiness probe of Chaos Toolkit would tell.
"""

from __future__ import annotations

import sys
from pathlib import Path

from harness.journal.layout import RunFolder
from harness.metrics.evidence import load_evidence
from harness.model.judgement import Interval, Judgement
from harness.render.polled import polled

ROW = "{:<28} {:>22} {:>18} {:>18}"


def rows(folder: Path) -> list[tuple[str, str, str, str]]:
    """(fault, Ready by polls, users served, users at full service) of every fault, in seconds after it."""
    evidence = load_evidence(RunFolder(folder))
    judgement = Judgement.model_validate_json((folder / "judgement.json").read_text())
    found = []
    for recovery in judgement.recoveries:
        seen = polled(evidence, recovery.experiment)
        ready = "not polled" if seen is None else "always" if not seen.dipped else seconds(seen.ready_s)
        users = ("—", "—") if not recovery.visible else (seconds(recovery.served_s), seconds(recovery.full_service_s))
        found.append((recovery.experiment, ready, *users))
    return found


def seconds(span: Interval | None) -> str:
    """As "9.2 to 9.7"; "never" where it was not seen."""
    if span is None or span.high is None:
        return "never"
    low, high = f"{span.low or 0.0:.1f}", f"{span.high:.1f}"
    return low if low == high else f"{low} to {high}"


def main(folders: list[str]) -> int:
    print(ROW.format("fault", "Ready by polls, s", "users served, s", "full service, s"))
    for folder in folders:
        for row in rows(Path(folder)):
            print(ROW.format(*row))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
