"""Recovery time as the beacon sees it, against outages of known length: is the truth inside, how wide is the interval?

    python benchmarks/load_recovery.py [--count 28] [--every 20ms]

The server's ledger tells when each outage was over; the judge's own rule reads [earliest, latest] from the beacon's
record alone. `off` is the distance of the truth to that interval: 0 inside. The same record is read three times more:
the calm before each outage (no visible failure), each outage cut off before it was over (never back), and with every
second observation lost in the tenth of a second before and after its end (the truth must stay inside).
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from load_common import server

from harness.journal.layout import RunFolder
from harness.judge.recovery import Observations, outage
from harness.load.engine import beacon_engine, rows
from harness.model.base import parse_duration
from harness.model.load import Beacon
from harness.model.records import Outcome

SUSTAINED_NS = 500_000_000
MS = 1_000_000
SHOWN_NS = 1_200 * MS  # what is looked at after an outage: longer than the declared time
ALLOWED_MS = 20.0  # beside the beacon's interval


def observations(folder: RunFolder) -> Observations:
    record = rows(folder, "beacon").sort_by("started_ns")
    started, finished, outcome, status = (
        record[name].to_numpy() for name in ("started_ns", "finished_ns", "outcome", "status")
    )
    good = (outcome == Outcome.ANSWERED) & (status == 200)
    return Observations(started, finished, good, ~good & (outcome != Outcome.DROPPED))


def part(seen: Observations, from_ns: int, until_ns: int, lost: Any = None) -> Observations:
    """What started in [from_ns, until_ns); where `lost`, nobody knows how it went."""
    here = (seen.start >= from_ns) & (seen.start < until_ns)
    known = here if lost is None else here & ~lost
    return Observations(seen.start[here], seen.end[here], (seen.good & known)[here], (seen.bad & known)[here])


def off_ms(back: tuple[int | None, int | None] | None, truth_ns: int) -> float:
    """How far the truth lies outside of [earliest, latest]; infinite when there is no such interval."""
    if back is None or back[0] is None or back[1] is None:
        return math.inf
    return max(back[0] - truth_ns, truth_ns - back[1], 0) / MS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--count", type=int, default=28)
    parser.add_argument("--every", default="20ms")
    options = parser.parse_args()
    every = parse_duration(options.every)
    scratch = Path(tempfile.mkdtemp())
    folder, ledger = RunFolder(scratch / "run"), scratch / "ledger"
    with server("outages.py", "--ledger", str(ledger), "--count", str(options.count)) as url:
        beacon = beacon_engine(folder, Beacon(path="/", every=every, timeout=1.0), url)
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
    right = dict.fromkeys(("calm", "cut off", "lost", "relapse"), 0)
    asked = dict.fromkeys(right, 0)
    second = np.arange(len(seen)) % 2 == 0
    for line in ledger.read_text().splitlines():
        truth = json.loads(line)
        began, ended, over = truth["began_ns"], truth["ended_ns"], truth["over_ns"]
        until = over + SHOWN_NS
        cut = part(seen, began - 100 * MS, until)
        found = outage(cut, began, over, until, SUSTAINED_NS)
        off = off_ms(found.back, ended)
        offs.append(off)
        earliest, latest = found.back or (None, None)
        if earliest is None or latest is None:
            print(f"{truth['kind']:8} {(ended - began) / MS:14.1f}    not seen to come back")
            continue
        widths.append((latest - earliest) / MS)
        length, low, high = ((at - began) / MS for at in (ended, earliest, latest))
        print(f"{truth['kind']:8} {length:14.1f}    [{low:9.1f}, {high:9.1f}]   {off:11.2f} {widths[-1]:8.2f}")
        calm = part(seen, began - 900 * MS, began - 100 * MS)
        early = ended - 50 * MS
        lost = part(seen, began - 100 * MS, until, second & (abs(seen.start - ended) < 100 * MS))
        answers = {
            "calm": outage(calm, began - 900 * MS, began, began - 100 * MS, SUSTAINED_NS).back is None,
            "cut off": outage(part(seen, began - 100 * MS, early), began, early, early, SUSTAINED_NS).back[1] is None,
            "lost": off_ms(outage(lost, began, over, until, SUSTAINED_NS).back, ended) == 0,
            "relapse": (found.again_bad is not None) == (truth["kind"] == "twice"),
        }
        for name, good in answers.items():
            asked[name] += 1
            right[name] += good
    allowed = ALLOWED_MS + every * 1e3
    within = sum(off <= allowed for off in offs)
    print(f"{within} of {len(offs)} within {allowed:g} ms; worst: {max(offs):.2f} ms off, {max(widths):.2f} ms wide")
    print("; ".join(f"{name}: {right[name]} of {asked[name]} right" for name in right))
    print(f"every {options.every}, CPU {state.cpu:.3f}")
    shutil.rmtree(scratch)
    if within < len(offs) or right != asked:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
