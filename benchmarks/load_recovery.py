"""Recovery time as the beacon sees it, against outages of known length: is the truth inside, how wide is the interval?

    python benchmarks/load_recovery.py [--count 12] [--every 20ms]

The server's ledger tells when each outage was over; the judge's own rule reads [earliest, latest] from the beacon's
record alone. `off` is the distance of the truth to that interval: 0 inside.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from pathlib import Path

from load_common import server

from harness.journal.layout import RunFolder
from harness.judge.recovery import Observations, outage
from harness.load.engine import beacon_engine, rows
from harness.model.base import parse_duration
from harness.model.records import Outcome
from harness.model.scenario import Beacon

SUSTAINED_NS = 500_000_000


def observations(folder: RunFolder) -> Observations:
    record = rows(folder, "beacon").sort_by("started_ns")
    started, finished, outcome, status = (
        record[name].to_numpy() for name in ("started_ns", "finished_ns", "outcome", "status")
    )
    good = (outcome == Outcome.ANSWERED) & (status == 200)
    return Observations(started, finished, good, ~good & (outcome != Outcome.DROPPED))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--count", type=int, default=12)
    parser.add_argument("--every", default="20ms")
    options = parser.parse_args()
    every = parse_duration(options.every)
    scratch = Path(tempfile.mkdtemp())
    folder, ledger = RunFolder(scratch / "run"), scratch / "ledger"
    with server("outages.py", "--ledger", str(ledger), "--count", str(options.count)) as url:
        beacon = beacon_engine("benchmark", folder, Beacon(path="/", every=every, timeout=1.0), url)
        beacon.start()
        while not ledger.exists() or ledger.read_text().count("\n") < options.count:
            time.sleep(0.1)
        time.sleep(1.5)
        state = beacon.stop()
    if state.problem:
        raise SystemExit(state.problem)
    seen = observations(folder)
    print("outage      true length    measured [earliest, latest]      off    width   (ms)")
    offs, widths = [], []
    for line in ledger.read_text().splitlines():
        truth = json.loads(line)
        began, ended = truth["began_ns"], truth["ended_ns"]
        near = (seen.start >= began - 100_000_000) & (seen.start < ended + 1_200_000_000)
        cut = Observations(seen.start[near], seen.end[near], seen.good[near], seen.bad[near])
        found = outage(cut, began, ended, ended + 1_200_000_000, SUSTAINED_NS)
        earliest, latest = found.back or (None, None)
        if earliest is None or latest is None:
            print(f"{truth['kind']:8} {(ended - began) / 1e6:14.1f}    not seen to come back")
            continue
        off = max(earliest - ended, ended - latest, 0) / 1e6
        width = (latest - earliest) / 1e6
        offs.append(off)
        widths.append(width)
        length, low, high = ((at - began) / 1e6 for at in (ended, earliest, latest))
        print(f"{truth['kind']:8} {length:14.1f}    [{low:9.1f}, {high:9.1f}]   {off:11.2f} {width:8.2f}")
    if offs:
        print(f"worst: {max(offs):.2f} ms off, {max(widths):.2f} ms wide; every {options.every}, CPU {state.cpu:.3f}")
    shutil.rmtree(scratch)


if __name__ == "__main__":
    main()
