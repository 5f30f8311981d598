"""Spoiled files: 100,000 seeded mutations of every SLO and scenario file of this repository.

    python benchmarks/mutations.py --number 100000 --seed 1

Each is read as `harness validate` and `harness plan` read it. It loads, or it is refused, and every refusal names file,
line, cause and fix. Anything else (a traceback, a refusal that leaves one of them out, a file that takes longer than
the limit) is counted, shown with the seed that made it, and is the exit code 1.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from harness.errors import BadInput, BadInputs
from harness.spec.openslo import load_slos, read
from harness.spec.scenario import load_scenario
from harness.spec.words import explain

ROOT = Path(__file__).resolve().parents[1]
LIMIT_S = 10.0  # of processor time
WORDS = [
    *[
        "null",
        "true",
        "-1",
        "0",
        "1e999",
        "0.5",
        "99.9",
        "[]",
        "{}",
        "[[[",
        "}",
        ":",
        "-",
        "*",
        "?",
        "|",
        ">",
        "%",
        "'",
    ],
    *[
        "5m",
        "-5m",
        "0s",
        "NaN",
        ".nan",
        ".inf",
        "-.inf",
        "\t",
        "é",
        "on",
        "1_000",
        "0x10",
        "0o17",
        "2026-01-01",
        "12:30",
    ],
    *["---", "...", "&a", "*a", "SLI", "harness/unknown", "", "!!python/object:os.system x", "5 minutes", "x: y", '"'],
    *["9" * 400, "-" + "9" * 30, "1e-400", "0.1.2", "${region}", "${", "region=", "=", ";", "a=b;a=c", "\u202e", "𝒳"],
    *["!!binary aGk=", "!!float x", "!!int ''", "!!timestamp x", "~", "@", "`", "[1, [2, [3]]]", "{a: {b: c}}", "0b11"],
    *["<<: *a", "\ufeff"],
]
TYPES = ["[]", "{}", "[a, b]", "{a: b}", "null", "true", "7", "7.5", "text", '"7"']
BOMB = """\
a: &a [x, x]
b: &b [*a, *a, *a, *a, *a, *a]
c: &c [*b, *b, *b, *b, *b, *b]
d: &d [*c, *c, *c, *c, *c, *c]
e: [*d, *d, *d, *d, *d, *d]"""
CHARACTERS = [0x85, 0xA0, 0x2028, 0xFEFF, 0x1F600, 0xE000, 0x7F, 0x1, 0xFFFE]
Lines = list[str]


def rename_key(lines: Lines, random: Random) -> None:
    at = _at(lines, random)
    key, colon, rest = lines[at].partition(":")
    cut = random.randint(0, len(key))
    lines[at] = key[:cut] + random.choice("xXé_- ") + key[cut + random.randint(0, 1) :] + colon + rest


def remove_line(lines: Lines, random: Random) -> None:
    del lines[_at(lines, random)]


def remove_block(lines: Lines, random: Random) -> None:
    at = _at(lines, random)
    del lines[at : at + random.randint(2, 12)]


def duplicate(lines: Lines, random: Random) -> None:
    at = _at(lines, random)
    length = random.randint(1, 6)
    lines[at:at] = lines[at : at + length]


def change_type(lines: Lines, random: Random) -> None:
    at = _at(lines, random)
    key, _, _ = lines[at].partition(":")
    lines[at] = f"{key}: {random.choice(TYPES)}"


def odd_value(lines: Lines, random: Random) -> None:
    at = _at(lines, random)
    key, _, _ = lines[at].partition(":")
    lines[at] = f"{key}: {random.choice(WORDS)}"


def insert_word(lines: Lines, random: Random) -> None:
    at = _at(lines, random)
    cut = random.randint(0, len(lines[at]))
    lines[at] = lines[at][:cut] + random.choice(WORDS) + lines[at][cut:]


def truncate(lines: Lines, random: Random) -> None:
    text = "\n".join(lines)
    lines[:] = text[: random.randint(0, len(text))].split("\n")


def indentation(lines: Lines, random: Random) -> None:
    at = _at(lines, random)
    lines[at] = random.choice([" " * random.randint(0, 12), "\t", " \t "]) + lines[at].strip()


def swap(lines: Lines, random: Random) -> None:
    one, other = _at(lines, random), _at(lines, random)
    lines[one], lines[other] = lines[other], lines[one]


def anchors(lines: Lines, random: Random) -> None:
    at = _at(lines, random)
    chosen = [["x: &x", "  y: *x"], ["<<: *nothing"], ["annotations: &n", "  a: *n"], BOMB.split("\n")]
    lines[at:at] = random.choice([*chosen, ["- " * random.choice([10, 100, 2000]) + "x"]])


def unicode(lines: Lines, random: Random) -> None:
    at = _at(lines, random)
    cut = random.randint(0, len(lines[at]))
    lines[at] = lines[at][:cut] + chr(random.choice(CHARACTERS)) + lines[at][cut:]


def drop_character(lines: Lines, random: Random) -> None:
    at = _at(lines, random)
    lines[at] = lines[at].replace(random.choice(lines[at]) if lines[at] else " ", "")


def nest(lines: Lines, random: Random) -> None:
    at = _at(lines, random)
    key, _, _ = lines[at].partition(":")
    depth = random.choice([3, 61, 1500])
    lines[at] = f"{key}: {'[' * depth}{']' * depth}"


def broken_bytes(content: bytes, random: Random) -> bytes:
    at = random.randint(0, len(content))
    return content[:at] + bytes(random.randrange(256) for _ in range(random.randint(1, 4))) + content[at:]


EDITS: tuple[Callable[[Lines, Random], None], ...] = (
    rename_key, remove_line, remove_block, duplicate, change_type, odd_value, insert_word, truncate, indentation, swap,
    anchors, unicode, drop_character, nest,
)  # fmt: skip


def _at(lines: Lines, random: Random) -> int:
    if not lines:
        lines.append("")
    return random.randrange(len(lines))


def mutated(text: str, random: Random) -> tuple[bytes, str]:
    """(a spoiled copy, the name of its first edit): one to four edits."""
    if random.random() < 0.05:
        return broken_bytes(text.encode(), random), "broken_bytes"
    lines, names = text.split("\n"), []
    for _ in range(random.choice([1, 1, 1, 2, 3, 4])):
        edit = random.choice(EDITS)
        edit(lines, random)
        names.append(edit.__name__)
    return "\n".join(lines).encode("utf-8", "surrogatepass"), names[0]


@dataclass
class Tally:
    """`by_edit`: (edit, what came of it) → how often. `wrong`: what must not be, with the seed that made it."""

    by_edit: Counter[tuple[str, str]] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    slowest_s: float = 0.0


def files() -> list[Path]:
    """Every SLO and scenario file of the repository, the forms of OpenSLO's own examples among them."""
    folders = (ROOT / "slos", ROOT / "scenarios", ROOT / "tests" / "fixtures" / "openslo")
    return sorted(file for folder in folders for file in folder.rglob("*.yaml"))


def _parts(file: Path) -> list[tuple[Path, str]]:
    """The whole file once, and each of its documents several times: short, so read quickly."""
    text = file.read_text()
    documents = [part for part in text.split("---\n") if "kind:" in part]
    return [(file, text), *((file, part) for part in documents for _ in range(4 if len(documents) > 1 else 1))]


def check(file: Path, scenario: bool) -> str:
    """What came of a file: loaded, or refused; raises AssertionError for a refusal that leaves something out."""
    try:
        if scenario:
            load_scenario(file)
        else:
            read(file)
            for slo in load_slos([file]):
                explain(slo)
    except BadInput as refused:
        mistakes = refused.mistakes if isinstance(refused, BadInputs) else [refused]
        assert mistakes, "refused without a mistake"
        for one in mistakes:
            assert one.file is not None and Path(one.file).name == file.name, f"no file, or another: {one}"
            assert one.line and one.line >= 1, f"no line: {one}"
            assert one.cause, f"no cause: {one}"
            assert one.fix, f"no fix: {one}"
        return "refused"
    return "loaded"


def run(
    number: int, seed: int, sources: Sequence[Path] = (), told: Callable[[int, Tally], None] = lambda _n, _tally: None
) -> Tally:
    """So many mutations; the same seed makes the same ones."""
    originals = [part for file in sources or files() for part in _parts(file)]
    tally = Tally()
    with tempfile.TemporaryDirectory() as folder:
        for place in ("loadtests", "deploy", "experiments", "slos"):  # what scenarios name stands beside them
            (Path(folder) / place).symlink_to(ROOT / place)
        for index in range(number):
            random = Random(f"{seed}:{index}")
            source, text = random.choice(originals)
            content, name = mutated(text, random)
            scenario = "scenarios" in source.parts
            place = Path(folder) / ("scenarios" if scenario else "objectives")
            place.mkdir(exist_ok=True)
            file = place / source.name
            file.write_bytes(content)
            start = time.process_time()
            try:
                came = check(file, scenario)
            except Exception:  # noqa: BLE001 — that is what is looked for
                came = "wrong"
                tally.wrong.append(f"seed {seed}:{index}, {source.name}, {name}\n{traceback.format_exc()}")
            took = time.process_time() - start
            tally.slowest_s = max(tally.slowest_s, took)
            if took > LIMIT_S:
                tally.wrong.append(f"seed {seed}:{index}, {source.name}, {name}: took {took:.1f} s")
            tally.by_edit[name, came] += 1
            file.unlink()
            told(index + 1, tally)
    return tally


def table(tally: Tally) -> str:
    """What came of each kind of edit."""
    lines = [f"{'first edit':<16}{'loaded':>9}{'refused':>9}{'wrong':>7}"]
    rows = sorted({name for name, _ in tally.by_edit})
    for name in rows:
        cells = [tally.by_edit[name, came] for came in ("loaded", "refused", "wrong")]
        lines.append(f"{name:<16}{cells[0]:>9,}{cells[1]:>9,}{cells[2]:>7,}")
    sums = [sum(tally.by_edit[name, came] for name in rows) for came in ("loaded", "refused", "wrong")]
    lines.append(f"{'all':<16}{sums[0]:>9,}{sums[1]:>9,}{sums[2]:>7,}")
    return "\n".join(lines)


def main() -> int:
    """Prints the table; 1 when anything was wrong."""
    asked = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    asked.add_argument("--number", type=int, default=100_000)
    asked.add_argument("--seed", type=int, default=1)
    chosen = asked.parse_args()
    start = time.monotonic()

    def told(done: int, tally: Tally) -> None:
        if done % 5000 == 0:
            took = time.monotonic() - start
            print(f"{done:,} in {took:.0f} s, {len(tally.wrong)} wrong", file=sys.stderr, flush=True)

    tally = run(chosen.number, chosen.seed, told=told)
    for text in tally.wrong[:20]:
        print(text)
    print(table(tally))
    print(f"{chosen.number:,} mutations, seed {chosen.seed}: {len(tally.wrong)} wrong; slowest {tally.slowest_s:.2f} s")
    return 1 if tally.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
