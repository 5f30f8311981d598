"""From a run's folder to its judgement, reports and exit code."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import EXIT_FAIL, EXIT_INCONCLUSIVE, EXIT_PASS, BadInput
from harness.journal.layout import RunFolder
from harness.model.judgement import Judgement, Verdict
from harness.run.seal import write_whole

if TYPE_CHECKING:
    from harness.model.evidence import Evidence

EXIT_CODES = {Verdict.PASS: EXIT_PASS, Verdict.FAIL: EXIT_FAIL, Verdict.INCONCLUSIVE: EXIT_INCONCLUSIVE}


def exit_code(verdict: Verdict) -> int:
    """0, 10 or 11."""
    return EXIT_CODES[verdict]


def judge_folder(folder: RunFolder, slos: Sequence[Path] = ()) -> Judgement:
    """The judgement of a run's folder, by its own objectives or by others."""
    from harness.judge import judge
    from harness.judge.rollout import judge_rollout
    from harness.metrics.evidence import load_evidence
    from harness.spec.openslo import load_slos

    evidence, chosen = load_evidence(folder), load_slos(list(slos) or slo_folders(folder.inputs / "slos"))
    return (judge_rollout if evidence.scenario.rollout else judge)(evidence, chosen)


def slo_folders(folder: Path) -> list[Path]:
    """A run's own objectives: one numbered folder for each path of its scenario. Raises BadInput when they are gone."""
    found = [path for path in folder.glob("*") if path.is_dir() and path.name.isdigit()]
    if not found:
        raise BadInput("holds no objectives", file=folder, fix="name some with --slos")
    return sorted(found, key=lambda path: int(path.name))


def write_reports(folder: RunFolder, judgement: Judgement, to: Path) -> list[Path]:
    """judgement.json, report.html, junit.xml and summary.md in `to`; returns what was written."""
    from harness.metrics.evidence import load_evidence
    from harness.render.html import html
    from harness.render.json import judgement_json
    from harness.render.junit import junit
    from harness.render.markdown import summary

    evidence: Evidence = load_evidence(folder)
    target = RunFolder(to)
    to.mkdir(parents=True, exist_ok=True)
    contents = {
        target.judgement: judgement_json(judgement),
        target.html: html(evidence, judgement),
        target.junit: junit(judgement, evidence),
        target.summary: summary(judgement, evidence).encode(),
    }
    for file, content in contents.items():
        write_whole(file, content)
    return list(contents)


def show(judgement: Judgement, folder: RunFolder, as_json: bool) -> None:
    """The result on standard output."""
    from harness.render.json import judgement_json

    if as_json:
        sys.stdout.buffer.write(judgement_json(judgement))
        return
    from harness.render.console import result, wants_colour

    colour = wants_colour(sys.stdout.isatty(), os.environ)
    width = shutil.get_terminal_size((100, 24)).columns
    sys.stdout.write(result(judgement, _short(folder.root), colour, width=width).rstrip() + "\n")


def _short(path: Path) -> Path:
    """Relative to the working directory where that is shorter to read."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
