"""How often the judge errs, by simulation: `python benchmarks/operating_characteristics.py`.

Every stream is made up with a known truth and judged by the judge's own functions; the seed decides everything.

fixed        objectives judged at a run's end: results in benchmarks/characteristics/results/fixed.json, tables in
             docs/concepts/confidence.md
sequential   canaries looked at every second: benchmarks/characteristics/sequential.json, docs/concepts/sequential.md

Ends with 1 when a cell that must hold does not: when even the lower end of the simulation's own error (99 %, exact) is
above its level.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # so that the file can be run by its name

from benchmarks.characteristics import fixed, table  # noqa: E402
from benchmarks.characteristics.cells import Cell  # noqa: E402

RUNS, SEED = 10_000, 20261125


def part(name: str, runs: int, seed: int) -> list[Cell]:
    """One part of the fixed simulation, in a process of its own."""
    return list(fixed.cells(name, runs, seed))


def fixed_samples(runs: int, seed: int, workers: int, simulate: bool) -> bool:
    """Results and tables of what is judged once; whether every promise held."""
    if simulate:
        with ProcessPoolExecutor(workers) as pool:
            tasks = [pool.submit(part, name, runs, seed) for name in fixed.PARTS]
            table.write("fixed", [cell for task in tasks for cell in task.result()], runs, seed)
    cells = table.read("fixed")
    table.PAGE.write_text(table.put(table.PAGE.read_text(), table.tables(cells) | {"lengths": table.lengths()}))
    failed = [cell for cell in cells if cell.fails]
    for cell in failed:
        print(f"above its level: {cell.row}: {cell.column}: {cell.happened} of {cell.runs}, at most {cell.level:g}")
    return not failed


def sequential(runs: int) -> bool:
    """The same of what is looked at all the time, which has a seed and tables of its own."""
    out = ROOT / "benchmarks/characteristics/sequential.json"
    command = [sys.executable, "-m", "benchmarks.characteristics.sequential", "--runs", str(runs), "--out", str(out)]
    return subprocess.run(command, cwd=ROOT, check=False).returncode == 0


def main() -> int:
    """Simulates what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("only", nargs="?", choices=("fixed", "sequential"), help="nothing: both")
    parser.add_argument("--runs", type=int, default=RUNS, help="simulated runs of a cell (default %(default)s)")
    parser.add_argument("--seed", type=int, default=SEED, help="of the fixed ones (default %(default)s)")
    parser.add_argument("--workers", type=int, default=2, help="processes (default %(default)s)")
    parser.add_argument("--tables", action="store_true", help="only write the fixed tables again, from the results")
    asked = parser.parse_args()
    held = asked.only == "sequential" or fixed_samples(asked.runs, asked.seed, asked.workers, not asked.tables)
    if asked.only != "fixed" and not asked.tables:
        held = sequential(asked.runs) and held
    return 0 if held else 1


if __name__ == "__main__":
    raise SystemExit(main())
