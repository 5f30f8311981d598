"""The command line as a user meets it: help, exit codes, bad input in every place; nothing here starts a platform."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from harness.cli import VERBS, outcome

ROOT = Path(__file__).resolve().parents[2]
RUN = str(next((ROOT / "tests/fixtures/runs/0.1.0").iterdir()))


@pytest.fixture(autouse=True)
def _in_project(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def test_help_lists_every_verb_and_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    assert outcome(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(verb in text for verb in VERBS)
    assert "22 clean-up not proven" in text


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_has_help(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert outcome([verb, "--help"]) == 0
    assert "Usage: harness" in capsys.readouterr().out


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from harness.cli import outcome; outcome(['--help']); "
        "heavy = 'pydantic numpy pyarrow pandas locust gevent chaoslib httpx rich psycopg'.split(); "
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("[]")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["certfy"], "did you mean 'certify'"),
        (["certify", "--profile", "huge"], "quick"),
        (["run"], "Missing argument"),
        (["run", "nowhere"], "no scenario 'nowhere'"),
        (["plan", "nowhere"], "one of:"),
        (["plan", "--release", "9.9"], "no release '9.9'"),
        (["gate", "certify-quick"], "no `rollout`"),
        (["judge", "no-such-run"], "harness runs"),
        (["report", "no-such-run"], "harness runs"),
        (["recover", "no-such-run"], "harness runs"),
        (["verify", "no-such-run"], "harness runs"),
        (["verify", RUN, "--root", "abc"], "SHA-256"),
        (["verify", RUN, "--key", "/no/such/key"], ""),
        (["sign", RUN, "--key", "/no/such/key"], "No such file"),
        (["report", RUN], "--to"),
        (["explain", RUN], "Missing argument"),
        (["explain", RUN, "unified-api-availabilty"], "did you mean unified-api-availability"),
        (["compare", RUN, "no-such-run"], "harness runs"),
        (["judge", RUN, "--waivers", "/no/such/file"], "no such file"),
        (["certificate", RUN, "--valid-for", "30"], "is not a duration"),
        (["certificate", RUN, "--sign", "/no/such/key"], "No such file"),
        (["admit", "/no/such/file", "--digest", "0"], "No such file"),
        (["admit", "README.md", "--digest", "0"], "is no certificate"),
        (["admit", "README.md"], "--digest"),
        (["gate", "--certificate", "README.md"], "is no certificate"),
        (["down", "/no/such/state"], ""),
        (["validate", "/no/such/file"], "no such file"),
        (["up", "/no/such/platform.yaml"], "no such file"),
    ],
)
def test_bad_input_is_told_with_exit_code_20(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code = outcome(arguments)
    said = capsys.readouterr()
    assert code in ((0, 20, 21) if arguments[0] == "down" else (20,))
    assert message in said.err + said.out
    assert "Traceback" not in said.err


def test_all_files_of_the_project_are_valid(capsys: pytest.CaptureFixture[str]) -> None:
    assert outcome(["validate", "--explain"]) == 0
    text = capsys.readouterr().out
    assert "scenarios/certify-quick.yaml" in text
    assert "deploy/inventory-29.yaml" in text
    assert "BAD" not in text


def test_validate_as_json_names_each_mistake(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text("apiVersion: harness/v1\nkind: Scenario\nmetadata: {name: x}\nspec: {stedy: 5s}\n")
    assert outcome(["validate", str(bad), "--json"]) == 20
    (row,) = json.loads(capsys.readouterr().out)
    assert not row["ok"]
    assert {"file", "line", "cause", "fix", "key"} == set(row["mistakes"][0])


def test_the_plan_is_exact_and_the_same_every_time(capsys: pytest.CaptureFixture[str]) -> None:
    assert outcome(["plan", "certify-full", "--json"]) == 0
    first = capsys.readouterr().out
    assert outcome(["plan", "certify-full", "--json"]) == 0
    assert capsys.readouterr().out == first
    plan = json.loads(first)
    assert [fault["experiment"] for fault in plan["faults"]][:2] == ["kill-weaviate#1", "kill-weaviate#2"]
    assert outcome(["plan", "certify-full", "--json", "--seed", "2"]) == 0
    assert capsys.readouterr().out != first
    assert outcome(["plan"]) == 0
    assert "weaviate-sjc-0" in capsys.readouterr().out


def test_a_blast_radius_that_is_too_small_is_refused_with_its_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (ROOT / "scenarios/certify-full.yaml").read_text().replace("blast_radius: 20", "blast_radius: 3")
    for folder in ("slos", "experiments", "loadtests", "deploy"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    file = tmp_path / "scenarios" / "x.yaml"
    file.parent.mkdir()
    file.write_text(text)
    assert outcome(["plan", str(file)]) == 20
    line = next(number for number, line in enumerate(text.splitlines(), 1) if "blast_radius: 3" in line)
    assert f"x.yaml:{line}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("../loadtests/sophia.py", "../loadtests/none.py", "does not exist"),
        ("../slos]", "../none]", "does not exist"),
        ("../experiments/kill-weaviate.yaml", "../experiments/none.yaml", "does not exist"),
        ("rate: 40", "rate: -1", "greater than 0"),
        ("steady: 20s", "steady: 20", "is not a duration"),
        ("chat: 40", "chat: -40", "weights must be positive"),
        ("chat: 40", "chatt: 40", "has no journey 'chatt'"),
        ("kind: poisson", "kind: bursts", "kind"),
        ("kind: local", "kind: moon", "local"),
    ],
)
def test_a_wrong_scenario_names_file_and_line(
    tmp_path: Path, old: str, new: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder in ("slos", "experiments", "loadtests", "deploy"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    file = tmp_path / "scenarios" / "x.yaml"
    file.parent.mkdir()
    text = (ROOT / "scenarios/certify-quick.yaml").read_text()
    assert old in text
    file.write_text(text.replace(old, new))
    assert outcome(["plan", str(file)]) == 20
    said = capsys.readouterr().err
    assert message in said
    line = next(number for number, line in enumerate(file.read_text().splitlines(), 1) if new in line)
    assert f"x.yaml:{line}" in said


def test_an_objective_about_an_unknown_experiment_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder in ("experiments", "loadtests", "deploy"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    for folder in ("slos", "scenarios"):
        (tmp_path / folder).mkdir()
    for file in (ROOT / "slos").glob("*.yaml"):
        (tmp_path / "slos" / file.name).write_text(file.read_text().replace("kill-weaviate\n", "kill-weavite\n"))
    scenario = tmp_path / "scenarios/x.yaml"
    scenario.write_text((ROOT / "scenarios/certify-quick.yaml").read_text())
    assert outcome(["plan", str(scenario)]) == 20
    said = capsys.readouterr().err
    assert "no experiment 'kill-weavite'" in said
    assert "weaviate.yaml:" in said


def test_schemas_and_completion(capsys: pytest.CaptureFixture[str]) -> None:
    for document in ("scenario", "platform", "slo", "waivers"):
        assert outcome(["schema", document]) == 0
        assert json.loads(capsys.readouterr().out)["type"] == "object"
    for shell in ("bash", "zsh", "fish"):
        assert outcome(["completion", shell]) == 0
        assert "_HARNESS_COMPLETE" in capsys.readouterr().out


def test_runs_of_an_empty_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert outcome(["runs", "--reports", str(tmp_path)]) == 0
    assert "no run" in capsys.readouterr().out
    assert outcome(["judge", "last", "--reports", str(tmp_path)]) == 20
    assert outcome(["runs", "--reports", str(tmp_path), "--json"]) == 0


def test_doctor_says_what_is_missing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert outcome(["doctor"]) == 0
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    capsys.readouterr()
    assert outcome(["doctor", "--json"]) == 20
    rows = json.loads(capsys.readouterr().out)
    assert all(row["fix"] for row in rows if not row["ok"])


def test_a_reports_folder_that_cannot_be_written_is_a_clean_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "reports").write_text("a file")
    assert outcome(["certify", "--reports", str(tmp_path / "reports")]) in (20, 21)
    assert "Traceback" not in capsys.readouterr().err


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A copy of a sealed run, in a reports folder of its own."""
    return Path(shutil.copytree(RUN, tmp_path / "reports" / Path(RUN).name))


def test_verify_tells_every_change(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = json.loads((run / "manifest.json").read_text())["root"]
    assert outcome(["verify", str(run), "--root", root]) == 0
    said = capsys.readouterr().out
    assert "whole" in said
    assert f"Sealed: {root}" in said
    assert "held against the root that was given" in said
    assert outcome(["verify", "last", "--reports", str(run.parent)]) == 0
    assert "accidents, not forgers" in capsys.readouterr().out
    assert outcome(["verify", str(run), "--root", "0" * 64]) == 10
    (run / "journal.jsonl").unlink()
    (run / "added").write_text("")
    assert outcome(["verify", str(run), "--json"]) == 10
    told = json.loads(capsys.readouterr().out.partition("\n{")[2].join(["{", ""]))
    assert {text.split()[0] for text in told["problems"]} == {"journal.jsonl", "added"}
    assert not told["whole"]
    (run / "manifest.json").write_text("{")
    assert outcome(["verify", str(run)]) == 10


def test_judge_compares_with_what_was_sealed(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert outcome(["judge", str(run)]) in (0, 10, 11)
    assert "sealed judgement" in capsys.readouterr().out
    assert outcome(["judge", str(run), "--json"]) in (0, 10, 11)
    assert "same" in json.loads(capsys.readouterr().out)["compared"]
    assert outcome(["judge", str(run), "--slos", str(run / "inputs/slos/0/agent-ui.yaml")]) == 0
    said = capsys.readouterr().out
    assert said.startswith("WHAT IF")
    assert "sealed judgement" not in said
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_reports_of_a_sealed_run_go_elsewhere(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = json.loads((run / "manifest.json").read_text())["root"]
    assert outcome(["report", str(run), "--to", str(tmp_path / "again")]) == 0
    assert root in (tmp_path / "again/report.html").read_text()
    assert outcome(["report", str(run), "--to", str(run / "logs")]) == 20
    capsys.readouterr()
    assert outcome(["verify", str(run), "--root", root]) == 0


def test_signed_certified_and_admitted(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    assert outcome(["sign", str(run), "--key", str(key)]) == 0
    assert outcome(["verify", str(run), "--key", f"{key}.pub"]) == 0
    assert "the signature of key" in capsys.readouterr().out
    assert outcome(["certificate", str(run), "--sign", str(key)]) == 0
    assert "CERTIFICATE" in capsys.readouterr().out
    certificate = run / "certificate.dsse.json"
    digest = json.loads((run / "certificate.json").read_text())["digests"]["package sophia"]
    admit = ["admit", str(certificate), "--key", f"{key}.pub", "--release", "1.0.0"]
    assert outcome([*admit, "--digest", f"package sophia={digest}", "--digest", f"sha256:{digest}"]) == 0
    assert "admitted: release 1.0.0" in capsys.readouterr().out
    assert outcome([*admit, "--digest", "package sophia=" + "0" * 64]) == 20
    assert "certified is" in capsys.readouterr().err
    key.chmod(0o644)
    assert outcome(["sign", str(run), "--key", str(key)]) == 20
    assert "chmod 600" in capsys.readouterr().err


def test_explain_shows_what_decided(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert outcome(["explain", str(run), "unified-api-availability"]) == 0
    text = capsys.readouterr().out
    assert "decided by" in text
    assert "0 bad requests" in text
    assert outcome(["explain", str(run), "kill-weaviate-recovery", "--json", "--rows", "2"]) == 0
    (one,) = json.loads(capsys.readouterr().out)
    assert len(one["rows"][0]["rows"]) == 2


def test_the_shell_completes_runs_and_objectives(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from harness.cli import cli

    def completed(words: str) -> list[str]:
        monkeypatch.setenv("COMP_WORDS", words)
        monkeypatch.setenv("COMP_CWORD", str(len(words.split(" ")) - 1))
        monkeypatch.setenv("_HARNESS_COMPLETE", "bash_complete")
        with pytest.raises(SystemExit):
            cli.main(args=[], prog_name="harness")
        return [line.partition(",")[2] for line in capsys.readouterr().out.splitlines() if line]

    assert completed(f"harness verify --reports {run.parent} 2026") == [run.name]
    assert completed(f"harness explain --reports {run.parent} {run.name} unified-api-l") == [
        "unified-api-latency-p95",
        "unified-api-latency-p99",
    ]
    assert completed(f"harness explain --reports {run.parent} nowhere unified") == []
    assert "explain" in completed("harness ex")
