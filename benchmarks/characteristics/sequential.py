"""Operating characteristics of the tests that are looked at every second. The simulator calls what the gate calls.

    python -m benchmarks.characteristics.sequential [--runs 10000] [--cell WORD] [--out FILE]
    python -m benchmarks.characteristics.sequential --table FILE          # the table in docs/concepts/sequential.md

A cell is a stream, a test and a claim; its share of wrong words is counted over runs in which somebody looks after
every block of a bake. It fails when the lower end of its own simulation error (exact, 99 %) lies above the level; cells
beyond what is assumed have no level and show where the promise ends.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from benchmarks.characteristics import peers
from benchmarks.characteristics.rollout_streams import RATE, Stream, bursts, counts, diurnal, drift, scaled, steady
from harness.judge import bounds
from harness.judge.sequential import rate
from harness.judge.sequential.canary import Block, Margin, Null, begin, log_ratio, with_constant_rates

HISTORY = 1000  # responses of the stable release before the bake
BAKE = 900


@dataclass(frozen=True)
class Cell:
    """One line of the table. `wrong`: share of runs with the word that must not come; None in cells about speed."""

    name: str
    stream: str
    word: str
    runs: int
    share: float  # of runs in which the word came
    level: float | None = None  # at most so many, when the word is wrong
    holds: bool | None = None
    median: float | None = None  # canary requests until the word came
    p95: float | None = None
    note: str = ""


def judged(name: str, stream: str, word: str, came: int, runs: int, level: float | None, note: str = "") -> Cell:
    """A cell about a wrong word."""
    share = came / runs
    low = 1 - bounds.upper(runs - came, runs, 0.99)  # exact lower bound of the share
    return Cell(name, stream, word, runs, share, level, None if level is None else low <= level, note=note)


# ---- the tests, looked at after every block


def look(
    blocks: Iterator[Block], null: Null, margin: Margin, alpha: float, before: float, runs: int,
    rng: np.random.Generator, assume: str = "independent", known: tuple[float, float] | None = None,
    earlier: int = HISTORY,
) -> np.ndarray:  # fmt: skip
    """Canary requests seen when the evidence first reached 1/alpha; inf where it never did."""
    history = np.full(runs, float(earlier))
    test = begin(null, margin, rng.binomial(earlier, before, runs).astype(float), history)
    total = Block(np.zeros(runs), np.zeros(runs), test.stable_bad, test.stable)
    at, seen, log_e = np.full(runs, np.inf), np.zeros(runs), np.zeros(runs)
    for block in blocks:
        seen = seen + block.canary
        if known:
            log_e = log_e + log_ratio(block, np.array(known[0]), np.array(known[1]), margin, null)
        else:
            total = total + block
            test = test.then(block.as_one_event() if assume == "together" else block)
            log_e = with_constant_rates(test, total) if assume == "constant" else test.log_evidence
        at = np.where((log_e >= math.log(1 / alpha)) & np.isinf(at), seen, at)
        if np.isfinite(at).all():
            break
    return at


def wrong_words(runs: int) -> Iterator[Callable[[], Cell]]:
    """False rollback and false promote, the canary on its line."""
    relative, absolute = Margin(1, 0), Margin(1, 0.01)

    def cell(name, stream, source, null, margin, alpha, level, before, n=runs, bake=300, **how):  # type: ignore[no-untyped-def]
        def work() -> Cell:
            rng = np.random.default_rng(sum(map(ord, name + stream)))
            together = how.pop("together", False)
            at = look(counts(source, rng, n, 0.1, bake, together), null, margin, alpha, before, n, rng, **how)
            word = "rollback" if null is Null.NOT_WORSE else "promote"
            return judged(name, stream, f"false {word}", int(np.isfinite(at).sum()), n, level, f"bake {bake} s")

        return work

    harm, good = Null.NOT_WORSE, Null.WORSE
    for margin, label, bake in ((relative, "no worse", 300), (absolute, "+ 1 %", 120)):
        for null, alpha in ((harm, 0.01), (good, 0.05)):
            if null is good and margin is relative:
                continue  # without a margin nobody is shown to be within it
            for stream, source in (
                ("steady", scaled(0.01, margin, lambda k: 1.0)),
                ("drift", scaled(0.002, margin, drift(bake))),
                ("diurnal", scaled(0.01, margin, diurnal, traffic=True)),
                ("shared bursts", bursts(0.002, margin, 0.05, 1, 0.3, own=False, part=0.5)),
                ("long shared", bursts(0.002, margin, 0.01, 10, 0.3, own=False, part=1.0)),
            ):
                name = f"independent, {label}, {'α' if null is harm else 'β'} = {alpha:g}"
                yield cell(name, stream, source, null, margin, alpha, alpha, 0.01, bake=bake)
    flat, own = scaled(0.01, relative, lambda k: 1.0), steady(0.02, 0.02)
    yield cell(
        "independent, no worse, α = 0.001", "steady", flat, harm, relative, 0.001, 0.001, 0.01, n=10 * runs, bake=120
    )
    yield cell("together, no worse, α = 0.01", "own bursts", own, harm, relative, 0.01, 0.01, 0.01, together=True,
               assume="together")  # fmt: skip
    yield cell("together, + 1 %, β = 0.05", "own bursts", steady(0.04, 0.02), good, absolute, 0.05, 0.05, 0.01,
               together=True, assume="together")  # fmt: skip
    yield cell("constant, no worse, α = 0.01", "steady", flat, harm, relative, 0.01, 0.01, 0.01, assume="constant")
    # Beyond what is assumed.
    yield cell("independent, no worse, α = 0.01", "own bursts", own, harm, relative, 0.01, None, 0.01, together=True)
    long_own = bursts(0.002, relative, 0.004, 5, 0.5, own=True, part=1.0)
    for assume in ("independent", "together"):
        yield cell(
            f"{assume}, no worse, α = 0.01", "long own", long_own, harm, relative, 0.01, None, 0.01, assume=assume
        )
    yield cell("constant, no worse, α = 0.01", "0.2 % for 20,000 requests, then 2 %", own, harm, relative, 0.01, None,
               0.002, assume="constant", earlier=20_000)  # fmt: skip


def speed(runs: int) -> Iterator[Callable[[], Cell]]:
    """How many canary requests a true word takes."""

    def cell(name, word, rates, share, null, margin, alpha, bake, **how):  # type: ignore[no-untyped-def]
        def work() -> Cell:
            rng = np.random.default_rng(sum(map(ord, name)))
            source = counts(steady(*rates), rng, runs, share, bake)
            at = np.sort(look(source, null, margin, alpha, rates[1], runs, rng, **how))
            median, p95 = (float(at[math.ceil(q * runs) - 1]) for q in (0.5, 0.95))
            stream = f"{rates[0]:.1%} beside {rates[1]:.1%}, share {share:.0%}"
            came = float(np.isfinite(at).mean())
            return Cell(name, stream, word, runs, came, median=finite(median), p95=finite(p95))

        return work

    bad, good = (0.05, 0.001), (0.001, 0.001)
    harm, enough, none = Null.NOT_WORSE, Null.WORSE, Margin(1, 0)
    for share in (0.1, 0.5):
        yield cell(
            "drift-valid, both rates known, α = 0.001", "rollback", bad, share, harm, none, 0.001, 300, known=bad
        )
        yield cell("independent, α = 0.001", "rollback", bad, share, harm, none, 0.001, 300)
        yield cell("independent, α = 0.001 / 3 criteria", "rollback", bad, share, harm, none, 0.001 / 3, 300)
        yield cell("constant, α = 0.001", "rollback", bad, share, harm, none, 0.001, 300, assume="constant")
    yield cell("together, α = 0.001", "rollback", bad, 0.1, harm, none, 0.001, 400, assume="together")
    for share in (0.1, 0.5):
        yield cell("+ 1 %, β = 0.05", "promote", good, share, enough, Margin(1, 0.01), 0.05, 600)
    yield cell("+ 1 %, β = 0.05 / 3 bakes", "promote", good, 0.1, enough, Margin(1, 0.01), 0.05 / 3, 600)


def finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


# ---- shift of latency, one rate


def shift(runs: int) -> Iterator[Callable[[], Cell]]:
    """Latencies are log-normal (σ = 0.5); the canary's are longer by a factor. Thresholds: the stable P50, P90, P99."""
    margin, alpha, share = Margin(1, 0.05), 0.01, 0.1

    def cell(factor: float, null: Null, level: float | None, bake: int = 120):  # type: ignore[no-untyped-def]
        def work() -> Cell:
            rng = np.random.default_rng(int(1000 * factor))
            history = np.sort(rng.normal(size=(runs, HISTORY)), axis=1)
            edges = history[:, [math.ceil(q * HISTORY) - 1 for q in (0.5, 0.9, 0.99)]]
            tests = [
                begin(null, margin, np.full(runs, (1 - q) * HISTORY), np.full(runs, HISTORY)) for q in (0.5, 0.9, 0.99)
            ]
            above = [_above(edges - move) for move in (math.log(factor) / 0.5, 0.0)]
            at, seen = np.full(runs, np.inf), np.zeros(runs)
            for _ in range(bake):
                events = [rng.poisson(RATE * part, runs) for part in (share, 1 - share)]
                bad = [_nested(rng, n, p) for n, p in zip(events, above, strict=True)]
                seen = seen + events[0]
                tests = [
                    test.then(Block(*(x.astype(float) for x in (bad[0][:, j], events[0], bad[1][:, j], events[1]))))
                    for j, test in enumerate(tests)
                ]
                logs = np.stack([test.log_evidence for test in tests])
                log_e = np.logaddexp.reduce(logs) - math.log(3) if null is Null.NOT_WORSE else logs.min(axis=0)
                at = np.where((log_e >= math.log(1 / alpha)) & np.isinf(at), seen, at)
            came, name = int(np.isfinite(at).sum()), f"shift, + 5 %, α = {alpha:g}"
            stream, word = f"latency × {factor:g}", "rollback" if null is Null.NOT_WORSE else "promote"
            if level is not None:
                return judged(name, stream, f"false {word}", came, runs, level, f"bake {bake} s")
            at = np.sort(at)
            median, p95 = (finite(float(at[math.ceil(q * runs) - 1])) for q in (0.5, 0.95))
            return Cell(name, stream, word, runs, came / runs, median=median, p95=p95)

        return work

    yield cell(1.0, Null.NOT_WORSE, alpha)
    yield cell(1.3, Null.WORSE, alpha)
    yield cell(1.3, Null.NOT_WORSE, None)
    yield cell(1.0, Null.WORSE, None, bake=400)


def _above(z: np.ndarray) -> np.ndarray:
    """Chance that a standard normal is above z."""
    return np.asarray([math.erfc(x / math.sqrt(2)) / 2 for x in z.ravel()]).reshape(z.shape)


def _nested(rng: np.random.Generator, n: np.ndarray, above: np.ndarray) -> np.ndarray:
    """How many of n are above each of rising thresholds."""
    first = rng.binomial(n, above[:, 0])
    second = rng.binomial(first, above[:, 1] / above[:, 0])
    return np.stack([first, second, rng.binomial(second, above[:, 2] / above[:, 1])], axis=1)


def one_rate(runs: int) -> Iterator[Callable[[], Cell]]:
    """The confidence sequence ever misses the rate, over 2000 events, looked at after each tenth."""

    def cell(p: float, group: int, declared: int, level: float | None):  # type: ignore[no-untyped-def]
        def work() -> Cell:
            rng = np.random.default_rng(int(1e4 * p) + group)
            bad, missed = np.zeros(runs), np.zeros(runs, dtype=bool)
            for events in range(10, 2001, 10):
                new = rng.binomial(10, p, runs) if group == 1 else 10 * rng.binomial(1, p, runs)
                bad = bad + new
                missed |= rate.log_evidence(bad / declared, events / declared, p) >= math.log(1 / 0.05)
            stream = f"rate {p:g}" + (f", failing in tens, declared {declared}" if group > 1 else "")
            return judged("confidence sequence, α = 0.05", stream, "misses the rate", int(missed.sum()), runs, level)

        return work

    for p in (0.001, 0.01, 0.1):
        yield cell(p, 1, 1, 0.05)
    yield cell(0.01, 10, 10, 0.05)
    yield cell(0.01, 10, 1, None)


# ---- peers on the same streams


def beside_peers(runs: int) -> Iterator[Callable[[], list[Cell]]]:
    """Ours and theirs on one bake of 15 minutes at a share of 10 %, on the very same counts."""
    none = Margin(1, 0)
    streams: tuple[tuple[str, str, Stream, float], ...] = (
        ("1 % beside 1 %", "false rollback", steady(0.01, 0.01), 0.01),
        ("4 % beside 4 %", "false rollback", steady(0.04, 0.04), 0.04),
        ("drift, 0.4 % to 8 % on both", "false rollback", scaled(0.004, none, drift(BAKE)), 0.004),
        ("diurnal around 3 %", "false rollback", scaled(0.03, none, diurnal, traffic=True), 0.03),
        ("5 % beside 0.1 %", "rollback", steady(0.05, 0.001), 0.001),
        ("2 % beside 0.1 %", "rollback", steady(0.02, 0.001), 0.001),
    )

    def work(stream: str, word: str, source: Stream, before: float) -> Callable[[], list[Cell]]:
        def go() -> list[Cell]:
            rng = np.random.default_rng(sum(map(ord, stream)))
            minutes: list[Block] = []

            def passing() -> Iterator[Block]:
                part: Block | None = None
                for k, block in enumerate(counts(source, rng, runs, 0.1, BAKE)):
                    part = block if part is None else part + block
                    if k % 60 == 59:
                        minutes.append(part)
                        part = None
                    yield block

            blocks = passing()
            found = {"ours, no worse, α = 0.01": look(blocks, Null.NOT_WORSE, none, 0.01, before, runs, rng)}
            for _ in blocks:  # what was left when all had been found
                pass
            found |= {name: rule(minutes) for name, rule in peers.RULES.items()}
            return [_beside(name, stream, word, at, runs) for name, at in found.items()]

        return go

    for one in streams:
        yield work(*one)


def _beside(name: str, stream: str, word: str, at: np.ndarray, runs: int) -> Cell:
    came = int(np.isfinite(at).sum())
    if word.startswith("false"):
        return judged(name, stream, word, came, runs, 0.01 if name.startswith("ours") else None, "bake 900 s")
    at = np.sort(at)
    median, p95 = (finite(float(at[math.ceil(q * runs) - 1])) for q in (0.5, 0.95))
    return Cell(name, stream, word, runs, came / runs, median=median, p95=p95, note="bake 900 s")


def cells(runs: int = 10_000, only: str = "", tell: Callable[[Cell], None] = lambda cell: None) -> list[Cell]:
    """Every cell; `only`: those whose group has this word in its name."""
    found: list[Cell] = []
    for group in (speed, one_rate, wrong_words, shift, beside_peers):
        if only in group.__name__:
            for work in group(runs):
                done = work()
                for cell in done if isinstance(done, list) else [done]:
                    found.append(cell)
                    tell(cell)
    return found


def table(cells: Sequence[Cell]) -> str:
    """The cells as Markdown: what must not come, then how long what must come takes."""
    lines = ["| rule | stream | runs | wrong word | how often | at most |", "|---|---|---|---|---|---|"]
    for cell in (cell for cell in cells if "false" in cell.word or "miss" in cell.word):
        level = "–" if cell.level is None else f"{100 * cell.level:g} %" + ("" if cell.holds else " **broken**")
        bake = f", {cell.note}" if cell.note else ""
        lines.append(
            f"| {cell.name} | {cell.stream}{bake} | {cell.runs:,} | {cell.word} | {cell.share:.2%} | {level} |"
        )
    lines += ["", "| rule | stream | runs | word | came | median | 95 % |", "|---|---|---|---|---|---|---|"]
    for cell in (cell for cell in cells if "false" not in cell.word and "miss" not in cell.word):
        median, p95 = ("–" if one is None else f"{one:,.0f}" for one in (cell.median, cell.p95))
        bake = f", {cell.note}" if cell.note else ""
        lines.append(
            f"| {cell.name} | {cell.stream}{bake} | {cell.runs:,} | {cell.word} | {cell.share:.1%} | {median} | {p95} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--cell", default="", help="only groups with this word in their name")
    parser.add_argument("--out", type=Path, help="JSON file")
    parser.add_argument("--table", type=Path, help="print the table of this JSON file, and simulate nothing")
    arguments = parser.parse_args()
    if arguments.table:
        print(table([Cell(**one) for one in json.loads(arguments.table.read_text())]), end="")
        return
    begun = time.monotonic()

    def tell(cell: Cell) -> None:
        print(f"{time.monotonic() - begun:7.1f} s  {cell}", flush=True)

    found = cells(arguments.runs, arguments.cell, tell)
    if arguments.out:
        arguments.out.write_text(json.dumps([asdict(cell) for cell in found], indent=1, ensure_ascii=False) + "\n")
    raise SystemExit(1 if any(cell.holds is False for cell in found) else 0)


if __name__ == "__main__":
    main()
