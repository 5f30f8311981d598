"""The end of a run and its beginning, as far as the record is concerned: inputs, digests, seal, what is printed."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from harness.errors import BadInput
from harness.journal import log
from harness.journal.layout import RunFolder
from harness.journal.manifest import read
from harness.judge.again import compare
from harness.model.events import Digest
from harness.model.judgement import Judgement
from harness.run import wire
from harness.run.context import RunContext, new_run_folder
from harness.run.history import history
from harness.run.prepare import Choices, prepare
from harness.run.verdict import compare_with_sealed, judge_folder
from harness.run.verify import verify

ROOT = Path(__file__).resolve().parents[2]
(RUN,) = (ROOT / "tests/fixtures/runs/0.1.0").iterdir()

WAIVER = """\
apiVersion: harness/v1
kind: Waivers
metadata: {name: x}
spec:
  waivers:
    - {objective: unified-api-availability, who: Rosa, why: known, until: 2027-01-31}
    - {objective: first-paint, who: Rosa, why: known, until: 2026-01-31}
"""


@pytest.fixture
def ended(tmp_path: Path) -> RunFolder:
    """A run that was carried out and is not judged yet."""
    folder = RunFolder(shutil.copytree(RUN, tmp_path / "reports" / RUN.name))
    for name in ("manifest.json", "judgement.json", "summary.md"):
        (folder.root / name).unlink()
    folder.work.mkdir()
    (folder.work / "stream").write_text("raw")
    return folder


def stricter(folder: RunFolder) -> None:
    """Asks more of the availability than any run can give, so that it fails."""
    file = folder.inputs / "slos/0/unified-api.yaml"
    text = file.read_text()
    assert "outcome: served" in text
    file.write_text(text.replace("outcome: served", "outcome: served, fasterThan: 1ms", 1))


def test_the_end_of_a_run_seals_it_and_prints_the_root(ended: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    code = wire.finish(ended, as_json=False)
    sealed = read(ended)
    assert sealed
    assert f"Sealed: {sealed.root}" in capsys.readouterr().out
    assert code == {"PASS": 0, "FAIL": 10, "INCONCLUSIVE": 11}[json.loads(ended.judgement.read_text())["verdict"]]
    assert not ended.work.exists()
    assert verify(ended, sealed.root).whole
    assert "judgement.json" in sealed.files
    assert set(sealed.reports) == {"report.html", "junit.xml", "summary.md"}
    compared = compare_with_sealed(ended, judge_folder(ended))
    assert compared
    assert not compared.differences


def test_a_waived_run_fails_in_plain_sight(ended: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    stricter(ended)
    (ended.inputs / "waivers.yaml").write_text(WAIVER)
    assert wire.finish(ended, as_json=False) == 10
    shown = capsys.readouterr().out
    assert "FAIL (waived)" in shown
    assert "Rosa" in shown
    assert "expired" in shown
    judgement = Judgement.model_validate_json(ended.judgement.read_bytes())
    assert judgement.waived
    for report in (ended.html, ended.summary, ended.junit):
        assert "Rosa" in report.read_text()
    assert history(ended.root.parent)[0].verdict == "FAIL (waived)"
    assert compare(judgement, judge_folder(ended)).same
    without = judge_folder(ended).model_copy(update={"waivers": (), "waived": False})
    assert not compare(judgement, without).same


def scenario(tmp_path: Path, add: str) -> Path:
    for folder in ("slos", "experiments", "loadtests", "deploy"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    file = tmp_path / "scenarios/x.yaml"
    file.parent.mkdir()
    text = (ROOT / "scenarios/certify-quick.yaml").read_text()
    file.write_text(text.replace("spec:\n", f"spec:\n{add}", 1))
    return file


def test_waivers_are_an_input_and_the_release_has_a_digest(tmp_path: Path) -> None:
    (tmp_path / "waivers.yaml").write_text(WAIVER)
    prepared = prepare(scenario(tmp_path, "  waivers: ../waivers.yaml\n"), Choices())
    context = RunContext(new_run_folder(tmp_path / "reports", "x"), prepared.spec, 1)
    wire._open(context, prepared)
    assert (context.folder.inputs / "waivers.yaml").read_text() == WAIVER
    names = {event.name for event in log.read(context.folder.journal) if isinstance(event, Digest)}
    assert {"inputs/waivers.yaml", "release 1.0.0"} <= names


def test_a_waiver_for_an_objective_that_does_not_exist_is_refused_before_the_run(tmp_path: Path) -> None:
    (tmp_path / "waivers.yaml").write_text(WAIVER.replace("first-paint", "first-pain"))
    with pytest.raises(BadInput, match=r"waivers\.yaml:7.*no SLO 'first-pain'"):
        prepare(scenario(tmp_path, "  waivers: ../waivers.yaml\n"), Choices())


def test_the_certificate_of_a_waived_run_is_none_of_a_pass(ended: RunFolder) -> None:
    from harness.run import certificate

    stricter(ended)
    wire.finish(ended, as_json=True)
    with pytest.raises(BadInput, match="the run is FAIL"):
        certificate.issue(ended, 86400.0)
    later = ended.root.parent / "later.yaml"
    day = (datetime.now(UTC) + timedelta(days=400)).date().isoformat()
    later.write_text(WAIVER.replace("2027-01-31", day))
    written = certificate.issue(ended, 86400.0, waivers=later)
    assert certificate.read(written[0]).verdict == "FAIL (waived)"
    assert written[1].read_text().startswith("NOT A PASS")
    with pytest.raises(BadInput, match="not of a PASS"):
        certificate.admission(written[0], None).admit({})
    assert verify(ended).whole


def test_words_of_a_waiver_cannot_look_like_lines_of_ours(ended: RunFolder) -> None:
    from harness.run import certificate

    stricter(ended)
    wire.finish(ended, as_json=True)
    later = ended.root.parent / "later.yaml"
    day = (datetime.now(UTC) + timedelta(days=400)).date().isoformat()
    later.write_text(WAIVER.replace("2027-01-31", day).replace("why: known", 'why: "x\\nverdict    PASS"', 1))
    text = certificate.issue(ended, 86400.0, waivers=later)[1].read_text()
    assert not [line for line in text.splitlines() if line.startswith("verdict") and "PASS" in line]
