"""Each form of the report of four sample runs, against files that a person has looked at.

After a wanted change: `UPDATE_GOLDEN=1 pytest tests/golden/test_reports.py`, then read the diff.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.render.console import describe, result
from harness.render.html import html
from harness.render.json import judgement_json
from harness.render.junit import junit
from harness.render.markdown import summary
from harness.testing.sample_run import KINDS, Kind, sample

FOLDER = Path(__file__).parent / "reports"


def _html(kind: Kind) -> str:
    """The report without its style sheet; long drawings are digested, because nobody reads them in a diff."""
    evidence, judgement = sample(kind)
    text = re.sub(r"<style>.*?</style>", "<style/>", html(evidence, judgement).decode(), flags=re.S)
    text = re.sub(r"sha256-[^&']+", "sha256-…", text)
    text = re.sub(r'(<rect [^>]*class="reading">.*?</rect>)+', lambda found: f"<!-- {_digest(found[0])} -->", text)
    text = re.sub(r' d="([^"]{80,})"', lambda found: f' d="{_digest(found[1])}"', text)
    return text.replace("><", ">\n<")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _junit(kind: Kind) -> str:
    evidence, judgement = sample(kind)
    return junit(judgement, evidence).decode()


def _summary(kind: Kind) -> str:
    evidence, judgement = sample(kind)
    return summary(judgement, evidence)


FORMS: dict[str, Callable[[Kind], str]] = {
    "report.html": _html,
    "junit.xml": _junit,
    "summary.md": _summary,
    "judgement.json": lambda kind: judgement_json(sample(kind)[1]).decode(),
    "console.txt": lambda kind: result(sample(kind)[1], "reports/20261120-140300", width=120),
    "console-colour.txt": lambda kind: result(sample(kind)[1], "reports/x", colour=True, width=80),
    "events.txt": lambda kind: "".join(f"{describe(event)}\n" for event in sample(kind)[0].events),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", FORMS)
def test_a_report_is_as_it_was_looked_at(kind: Kind, name: str) -> None:
    made, golden = FORMS[name](kind), FOLDER / kind / name
    if os.environ.get("UPDATE_GOLDEN"):
        golden.parent.mkdir(parents=True, exist_ok=True)
        golden.write_text(made)
    assert made == golden.read_text()


def test_nothing_stale_lies_in_the_folder() -> None:
    found = {str(path.relative_to(FOLDER)) for path in FOLDER.rglob("*") if path.is_file()}
    assert found == {f"{kind}/{name}" for kind in KINDS for name in FORMS}
