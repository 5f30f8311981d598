"""From a run's folder to its judgement, reports and exit code."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import EXIT_FAIL, EXIT_INCONCLUSIVE, EXIT_PASS, BadInput
from harness.journal import manifest
from harness.journal.layout import RunFolder
from harness.model.events import RunClosed
from harness.model.judgement import Judgement, Verdict
from harness.run.seal import write_whole

if TYPE_CHECKING:
    from harness.judge.again import Compared
    from harness.model.evidence import Evidence

EXIT_CODES = {Verdict.PASS: EXIT_PASS, Verdict.FAIL: EXIT_FAIL, Verdict.INCONCLUSIVE: EXIT_INCONCLUSIVE}
WAIVERS = "waivers.yaml"


def exit_code(verdict: Verdict) -> int:
    """0, 10 or 11; a waived FAIL is 10 like any other."""
    return EXIT_CODES[verdict]


def judge_folder(folder: RunFolder, slos: Sequence[Path] = (), waivers: Path | None = None) -> Judgement:
    """The judgement of a run's folder, by its own objectives and waivers or by others."""
    from harness.judge import judge
    from harness.judge.rollout import judge_rollout
    from harness.judge.waive import waive
    from harness.metrics.evidence import load_evidence
    from harness.spec.openslo import load_slos
    from harness.spec.waivers import load_waivers

    evidence, chosen = load_evidence(folder), load_slos(list(slos) or slo_folders(folder.inputs / "slos"))
    judgement = (judge_rollout if evidence.scenario.rollout else judge)(evidence, chosen)
    own = folder.inputs / WAIVERS
    file = waivers or (own if own.exists() else None)
    if file is not None:
        judgement = waive(judgement, load_waivers(file), _ended_wall_ns(evidence))
    if slos or waivers:
        paths = tuple(str(path) for path in (*slos, *([waivers] if waivers else [])))
        judgement = judgement.model_copy(update={"what_if": paths})
    return judgement


def _ended_wall_ns(evidence: Evidence) -> int:
    """When the run was closed; of one that was not, when its last event was written."""
    closed = [event.wall_ns for event in evidence.events if isinstance(event, RunClosed)]
    return max(closed or [event.wall_ns for event in evidence.events], default=0)


def slo_folders(folder: Path) -> list[Path]:
    """A run's own objectives: one numbered folder for each path of its scenario. Raises BadInput when they are gone."""
    found = [path for path in folder.glob("*") if path.is_dir() and path.name.isdigit()]
    if not found:
        raise BadInput("holds no objectives", file=folder, fix="name some with --slos")
    return sorted(found, key=lambda path: int(path.name))


def compare_with_sealed(folder: RunFolder, judgement: Judgement) -> Compared | None:
    """What the judgement that was sealed with the run said otherwise; None when the folder holds none."""
    from pydantic import ValidationError

    from harness.judge.again import Compared, compare

    if not folder.judgement.exists():
        return None
    try:
        sealed = manifest.read(folder)
        name = folder.judgement.name
        if sealed and manifest.digest_of(folder.judgement) != sealed.all.get(name):
            return Compared(unreadable=f"{name} was changed after the run, so it is not compared with")
        return compare(Judgement.model_validate_json(folder.judgement.read_bytes()), judgement)
    except manifest.Damaged as damaged:
        return Compared(unreadable=str(damaged))
    except ValidationError as error:
        return Compared(unreadable=f"judgement.json cannot be read: {error.errors()[0]['msg']}")


def root_of(folder: RunFolder) -> str:
    """The root that the folder was sealed with, "" when there is none or it does not hold."""
    try:
        sealed = manifest.read(folder)
    except manifest.Damaged:
        return ""
    return sealed.root if sealed else ""


def write_judgement(judgement: Judgement, to: Path) -> Path:
    """judgement.json in `to`."""
    from harness.render.json import judgement_json

    to.mkdir(parents=True, exist_ok=True)
    write_whole(RunFolder(to).judgement, judgement_json(judgement))
    return RunFolder(to).judgement


def write_reports(folder: RunFolder, judgement: Judgement, to: Path, root: str) -> list[Path]:
    """report.html, junit.xml and summary.md in `to`, which carry the root ("": never sealed); what was written."""
    from harness.metrics.evidence import load_evidence
    from harness.render.html import html
    from harness.render.junit import junit
    from harness.render.markdown import summary

    evidence: Evidence = load_evidence(folder)
    target = RunFolder(to)
    contents = {
        target.html: html(evidence, judgement, root),
        target.junit: junit(judgement, evidence, root),
        target.summary: summary(judgement, evidence, root=root).encode(),
    }
    for file, content in contents.items():
        write_whole(file, content)
    return list(contents)


def show(
    judgement: Judgement, folder: RunFolder, as_json: bool, root: str = "", compared: Compared | None = None
) -> None:
    """The result on standard output, and how it compares with an earlier one."""
    if as_json:
        value = judgement.model_dump(mode="json")
        if compared is not None:
            value["compared"] = {**compared.model_dump(mode="json"), "same": compared.same}
        text = json.dumps(value, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False)
        sys.stdout.write(text + "\n")
        return
    from harness.render.console import result, wants_colour

    colour = wants_colour(sys.stdout.isatty(), os.environ)
    width = shutil.get_terminal_size((100, 24)).columns
    reported = _short(folder.root) if folder.html.exists() else None
    shown = result(judgement, reported, colour, width=width, root=root, compared=compared)
    sys.stdout.write(shown.rstrip() + "\n")


def _short(path: Path) -> Path:
    """Relative to the working directory where that is shorter to read."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
