"""How often the judge errs, by simulation: `python benchmarks/operating_characteristics.py`.

Every stream is made up with a known truth and judged by the judge's own functions; the seed decides everything. Results
go to benchmarks/characteristics/results/, the tables from there into docs/concepts/confidence.md. Ends with 1 when a
cell that must hold does not: when even the lower end of the simulation's own error (99 %, exact) is above its level.
"""

from __future__ import annotations

import argparse
import sys
from concurrent.futures import ProcessPoolExecutor
from importlib import import_module
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.characteristics import table
from benchmarks.characteristics.cells import Cell

SIMULATIONS = ("fixed",)  # each a module with PARTS and cells(part, runs, seed)
RUNS, SEED = 10_000, 20261125


def simulate(name: str, part: str, runs: int, seed: int) -> list[Cell]:
    """One part of a simulation, in a process of its own."""
    return list(import_module(f"benchmarks.characteristics.{name}").cells(part, runs, seed))


def main() -> int:
    """Simulates what is asked for, writes results and tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="SIMULATION", help=f"{', '.join(SIMULATIONS)}; none: all")
    parser.add_argument("--runs", type=int, default=RUNS, help="simulated runs of a cell (default %(default)s)")
    parser.add_argument("--seed", type=int, default=SEED, help="decides everything (default %(default)s)")
    parser.add_argument("--workers", type=int, default=2, help="processes (default %(default)s)")
    parser.add_argument("--tables", action="store_true", help="only write the tables again, from the results")
    asked = parser.parse_args()
    names = asked.names or list(SIMULATIONS)
    if not asked.tables:
        with ProcessPoolExecutor(asked.workers) as pool:
            for name in names:
                parts = import_module(f"benchmarks.characteristics.{name}").PARTS
                tasks = [pool.submit(simulate, name, part, asked.runs, asked.seed) for part in parts]
                table.write(name, [cell for task in tasks for cell in task.result()], asked.runs, asked.seed)
    failed = []
    for name in names:
        cells = table.read(name)
        found = table.tables(cells) | {"lengths": table.lengths()}
        table.PAGE.write_text(table.put(table.PAGE.read_text(), found))
        failed += [cell for cell in cells if cell.fails]
    for cell in failed:
        print(f"above its level: {cell.row}: {cell.column}: {cell.happened} of {cell.runs}, at most {cell.level:g}")
    return bool(failed)


if __name__ == "__main__":
    raise SystemExit(main())
