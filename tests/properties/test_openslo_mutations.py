"""Spoiled OpenSLO files: each is refused with file, line, cause and fix, or loads; never a traceback."""

from __future__ import annotations

import tempfile
from pathlib import Path
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import BadInput, BadInputs
from harness.spec.openslo import load_slos
from harness.spec.words import explain

FILES = sorted((Path(__file__).parents[2] / "slos").rglob("*.yaml"))
TEXTS = [file.read_text() for file in FILES]
WORDS = [
    *["null", "true", "-1", "0", "1e999", "0.5", "99.9", "[]", "{}", "[[[", "}", ":", "-", "*", "?", "|", ">"],
    *["%", "'", '"', "5m", "-5m", "NaN", ".inf", "\t", "\x00", "é", "on", "1_000", "0x10", "2026-01-01"],
    *("---", "&a", "SLI", "harness/unknown", "", "&a *a", "!!python/object:os.system x", "5 minutes", "x: y"),
    "kind: SLI",
]  # fmt: skip


def spoil(text: str, random: Random) -> str:
    """One to four random edits of lines or words."""
    lines = text.splitlines()
    for _ in range(random.randint(1, 4)):
        place = random.randrange(len(lines))
        line = lines[place]
        match random.randrange(8):
            case 0:
                del lines[place]
            case 1:
                lines.insert(place, line)
            case 2:
                lines[place] = " " * random.randint(0, 12) + line.strip()
            case 3:
                key, _, _ = line.partition(":")
                lines[place] = f"{key}: {random.choice(WORDS)}"
            case 4:
                cut = random.randint(0, len(line))
                lines[place] = line[:cut] + random.choice(WORDS) + line[cut:]
            case 5:
                other = random.randrange(len(lines))
                lines[place], lines[other] = lines[other], line
            case 6:
                lines[place] = line.replace(random.choice(line) if line else " ", "")
            case 7:
                lines = lines[: max(place, 1)]
        if not lines:
            break
    return "\n".join(lines) + "\n"


@given(st.integers(0, 10**9))
@settings(max_examples=150, deadline=None)
def test_no_spoiled_file_makes_a_traceback(seed):
    random = Random(seed)
    text = spoil(random.choice(TEXTS), random)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "slo.yaml"
        file.write_text(text)
        try:
            for slo in load_slos([file]):
                explain(slo)
        except BadInput as refused:
            mistakes = refused.mistakes if isinstance(refused, BadInputs) else [refused]
            assert mistakes
            for mistake in mistakes:
                assert mistake.file == file or str(mistake.file) == str(file)
                assert mistake.line and mistake.line >= 1, mistake
                assert mistake.cause, mistake
                assert mistake.fix, mistake
