"""Nothing a user can write or call goes undocumented."""

from __future__ import annotations

import importlib
import subprocess
from pathlib import Path

import click
import pytest

from harness import actuators, faults
from harness.cli import EXIT_CODES, VERBS
from harness.model.platform import Platform
from harness.model.scenario import Scenario
from harness.model.waiver import Waivers
from harness.spec.reference import pages, reachable

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs" / "reference"


@pytest.mark.parametrize("name", sorted(pages()))
def test_the_generated_pages_are_up_to_date(name: str) -> None:
    assert (DOCS / name).read_text() == pages()[name], "python -m harness.spec.reference docs/reference"


@pytest.mark.parametrize("model", [*reachable(Scenario), *reachable(Waivers)], ids=lambda model: model.__name__)
def test_every_field_of_a_file_says_what_it_means(model: type) -> None:
    assert model.__doc__
    missing = [name for name, field in model.model_fields.items() if not field.description]
    assert not missing


def test_every_field_of_a_platform_stands_in_its_reference() -> None:
    page = (DOCS / "platform.md").read_text()
    names = {field.alias or name for model in reachable(Platform) for name, field in model.model_fields.items()}
    assert not {name for name in names if f"`{name}" not in page and f"{name}:" not in page}


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_teaches(verb: str) -> None:
    command = importlib.import_module(f"harness.cli.{verb.replace('-', '_')}").command
    assert len(command.help) > 30
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{verb} {parameter.opts}"
    assert f"harness {verb}" in (ROOT / "README.md").read_text() or f"`{verb}" in (ROOT / "README.md").read_text()


def test_a_verb_is_one_small_file() -> None:
    for verb in VERBS:
        assert len((ROOT / f"harness/cli/{verb.replace('-', '_')}.py").read_text().splitlines()) <= 60


def test_every_fault_and_actuator_has_its_page() -> None:
    index = (DOCS / "faults.md").read_text()
    assert not [kind for kind in faults.kinds() if f"[`{kind}`](faults/{kind}.md)" not in index]
    assert {page.stem for page in (DOCS / "faults").glob("*.md")} == set(faults.kinds())
    assert not [name for name in actuators.names() if f"## {name}" not in (DOCS / "actuators.md").read_text()]


def test_the_exit_codes_are_the_same_everywhere() -> None:
    for text in (EXIT_CODES, (ROOT / "README.md").read_text()):
        for code in ("0 PASS", "10 FAIL", "11 INCONCLUSIVE", "20 bad input", "21 harness error", "130 interrupted"):
            assert code in " ".join(text.split())


def test_no_path_of_a_machine_in_the_project() -> None:
    told = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    tracked = {ROOT / name for name in told.stdout.split("\0") if name}  # none where it is no checkout
    written = {*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "harness").rglob("*.py")}
    for file in (tracked | written) - {Path(__file__).resolve()}:
        assert not file.is_file() or b"/root/" not in file.read_bytes(), file
