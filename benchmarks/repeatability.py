"""How often the same good release gets which verdict: `python benchmarks/repeatability.py 20 [SCENARIO]`.

Runs the scenario (default: the quick certification) so often, one after another, and prints each verdict, how long it
took, and what was not met. Aim: no FAIL; the rate of INCONCLUSIVE is stated.
"""

from __future__ import annotations

import collections
import json
import subprocess
import sys
import tempfile
import time


def main(times: int, scenario: str) -> None:
    counts: collections.Counter[str] = collections.Counter()
    for number in range(1, times + 1):
        begun = time.monotonic()
        with tempfile.TemporaryDirectory() as reports:
            done = subprocess.run(
                [sys.executable, "-m", "harness", "run", scenario, "--json", "--reports", reports],
                capture_output=True,
                text=True,
                check=False,
            )
        took = time.monotonic() - begun
        try:
            judgement = json.loads(done.stdout)
        except ValueError:
            judgement = {"verdict": f"exit {done.returncode}", "sentence": done.stderr[-300:], "objectives": []}
        counts[judgement["verdict"]] += 1
        unmet = [row["slo"] for row in judgement["objectives"] if row["verdict"] != "PASS"]
        why = "" if judgement["verdict"] == "PASS" else f"  {judgement['sentence'][:200]} {unmet}"
        print(f"{number:3} {judgement['verdict']:<13} {took:6.1f} s{why}", flush=True)
    print(", ".join(f"{verdict}: {count} of {times}" for verdict, count in sorted(counts.items())))


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "certify-quick")
