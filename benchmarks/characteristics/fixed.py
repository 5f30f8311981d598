"""Objectives judged once, at the end of a run: claims about the platform."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.characteristics.cells import Cell
from benchmarks.characteristics.streams import STREAMS, Stream, draw
from harness.judge.blocks import Blocks, pieces
from harness.judge.decide import Counts, platform, side
from harness.model.judgement import Verdict

if TYPE_CHECKING:
    from benchmarks.characteristics.streams import Ints

CONFIDENCE, ERROR = 0.95, 0.05
STRICT_ERROR = 0.001
FALSE_FAIL = 0.05
OBJECTIVES = 10  # of the run in which several are judged together
BETTER, WORSE = 0.8, 1.2  # just inside and just outside: this share of what the objective allows
GOOD_PLATFORM = 0.1  # how many events it takes is told for a platform that has this share of what is allowed


@dataclass(frozen=True)
class Run:
    """A target and a run long enough to claim it: `length` in L at `rate` events per L."""

    target: float
    length: int
    rate: float

    @property
    def name(self) -> str:
        return f"{self.target * 100:g} %"

    @property
    def cuts(self) -> int:
        return pieces(1.0, self.rate)


RUNS = (Run(0.95, 250, 20.0), Run(0.99, 1000, 8.0), Run(0.999, 8000, 4.0))
SHORT = Run(0.95, 150, 8.0)  # drawn most often
SOME = tuple(stream for stream in STREAMS if stream.name in ("independent", "bursts of L", "bursts of 2 L"))


def judged(good: Ints, bad: Ints, run: Run, confidence: float, fail_confidence: float) -> Verdict:
    """What the judge says of events by block."""
    size = max(1.0, run.rate / run.cuts)
    blocks = Blocks(good, bad, np.zeros_like(good), 0, size, run.cuts + 1, 1.0)
    counts = Counts(int(good.sum()), int(bad.sum()))
    return side(platform(counts, blocks, confidence, fail_confidence), run.target)


def verdicts(
    run: Run, stream: Stream, bad: float, confidence: float, fail_confidence: float, runs: int, seed: list[int]
) -> Iterator[Verdict]:
    """What the judge says of so many runs; `bad`: the share of bad events."""
    rng = np.random.default_rng(seed)
    for good_runs, bad_runs in draw(stream, bad, run.length, run.rate, run.cuts, runs, rng):
        for good, lost in zip(good_runs, bad_runs, strict=True):
            yield judged(good, lost, run, confidence, fail_confidence)


def cells(part: str, runs: int, seed: int) -> Iterator[Cell]:
    """`part`: a target of `RUNS`, or what is asked of several objectives, of a strict level, of the events needed."""
    for run in RUNS:
        if part == f"{run.target:g}":
            for number, stream in enumerate(STREAMS):
                yield from _around(run, stream, runs, [seed, round(run.target * 1e4), number])
    if part == "exact":
        for run in RUNS:
            for number, burst in enumerate((1, 5)):
                yield from _exact(run, burst, runs, [seed, 4, round(run.target * 1e4), number])
    if part == "levels":
        for number, stream in enumerate(SOME):
            yield from _levels(stream, runs, [seed, 1, number])
    if part == "needed":
        for run in RUNS:
            for number, stream in enumerate(STREAMS[:3]):
                yield from _needed(run, stream, max(1, runs // 20), [seed, 3, round(run.target * 1e4), number])


PARTS = (*(f"{run.target:g}" for run in RUNS), "exact", "levels", "needed")


def _around(run: Run, stream: Stream, runs: int, seed: list[int]) -> Iterator[Cell]:
    allowed = 1.0 - run.target
    for place, (factor, where) in enumerate(((BETTER, "inside"), (1.0, "at"), (WORSE, "outside"))):
        said = list(verdicts(run, stream, allowed * factor, CONFIDENCE, CONFIDENCE, runs, [*seed, place]))
        row = f"{run.name}, {stream.name}"
        passed, failed = said.count(Verdict.PASS), said.count(Verdict.FAIL)
        if factor >= 1.0:
            yield Cell("fixed", row, f"false PASS {where}", passed, runs, ERROR, stream.declared)
        if factor <= 1.0:
            yield Cell("fixed", row, f"false FAIL {where}", failed, runs, ERROR, stream.declared)


def _exact(run: Run, burst: int, runs: int, seed: list[int]) -> Iterator[Cell]:
    """A correlation of 0s: the exact bounds, on independent events and on events that are bad `burst` at a time."""
    rng = np.random.default_rng(seed)
    events = round(run.length * run.rate)

    def said(bad: float, confidence: float, times: int) -> list[Verdict]:
        lost = burst * rng.binomial(events // burst, bad, times)
        return [side(platform(Counts(events - int(n), int(n)), None, confidence, confidence), run.target) for n in lost]

    allowed, name = 1.0 - run.target, "independent" if burst == 1 else f"bursts of {burst} events"
    for factor, where in ((BETTER, "inside"), (1.0, "at"), (WORSE, "outside")):
        found = said(allowed * factor, CONFIDENCE, runs)
        row = f"{run.name} declared 0s, {name}"
        if factor >= 1.0:
            yield Cell("fixed", row, f"false PASS {where}", found.count(Verdict.PASS), runs, ERROR, burst == 1)
        if factor <= 1.0:
            yield Cell("fixed", row, f"false FAIL {where}", found.count(Verdict.FAIL), runs, ERROR, burst == 1)
    found = said(allowed, 1.0 - STRICT_ERROR, 10 * runs)
    row = f"{run.name} declared 0s, at 99.9 % confidence, {name}"
    for verdict in (Verdict.PASS, Verdict.FAIL):
        number = found.count(verdict)
        yield Cell("fixed", row, f"false {verdict} at", number, 10 * runs, STRICT_ERROR, burst == 1)


def _levels(stream: Stream, runs: int, seed: list[int]) -> Iterator[Cell]:
    """Objectives exactly met, judged where 0.1 % is claimed, and ten of them together with Bonferroni's correction."""
    run, allowed = SHORT, 1.0 - SHORT.target
    strict = 1.0 - FALSE_FAIL / OBJECTIVES
    said = list(verdicts(run, stream, allowed, 1.0 - STRICT_ERROR, 1.0 - STRICT_ERROR, 10 * runs, [*seed, 0]))
    row = f"{run.name} at 99.9 % confidence, {stream.name}"
    yield Cell("fixed", row, "false PASS at", said.count(Verdict.PASS), len(said), STRICT_ERROR, stream.declared)
    yield Cell("fixed", row, "false FAIL at", said.count(Verdict.FAIL), len(said), STRICT_ERROR, stream.declared)
    said = list(verdicts(run, stream, allowed, CONFIDENCE, strict, OBJECTIVES * runs, [*seed, 1]))
    groups = [said[i : i + OBJECTIVES] for i in range(0, len(said), OBJECTIVES)]
    row = f"{OBJECTIVES} objectives of {run.name} in one run, {stream.name}"
    failed = sum(Verdict.FAIL in group for group in groups)
    passed = sum(all(verdict is Verdict.PASS for verdict in group) for group in groups)
    yield Cell("fixed", row, "false PASS at", passed, runs, ERROR, stream.declared)
    yield Cell("fixed", row, "false FAIL at", failed, runs, FALSE_FAIL, stream.declared)


def _needed(run: Run, stream: Stream, runs: int, seed: list[int]) -> Iterator[Cell]:
    """The fewest events with which half and 95 % of runs PASS, of a platform that has a tenth of the bad ones allowed.

    A cell's `happened` is the number of events (-1: more than were tried), its `runs` how many were simulated.
    """
    lengths = [round(run.length * 1.12**step) for step in range(-14, 14)]
    rng = np.random.default_rng(seed)
    passed = np.zeros(len(lengths), dtype=np.int64)
    bad_share = GOOD_PLATFORM * (1.0 - run.target)
    for good_runs, bad_runs in draw(stream, bad_share, lengths[-1], run.rate, run.cuts, runs, rng):
        for good, lost in zip(good_runs, bad_runs, strict=True):
            for place, length in enumerate(lengths):
                said = judged(good[: length * run.cuts], lost[: length * run.cuts], run, CONFIDENCE, CONFIDENCE)
                passed[place] += said is Verdict.PASS
    for share, column in ((0.5, "median"), (0.95, "95 %")):
        enough = np.flatnonzero(passed >= share * runs)
        events = round(lengths[enough[0]] * run.rate) if len(enough) else -1
        yield Cell("needed", f"{run.name}, {stream.name}", column, events, runs)
