"""A run's folder as evidence: what is missing or damaged is a problem, never an exception, and never passes."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from harness.journal.layout import RunFolder
from harness.judge import judge
from harness.metrics.answers import wall_ns_of
from harness.metrics.evidence import TABLES, load_evidence, save_answers
from harness.model.judgement import Verdict
from harness.model.records import LEDGER_COLUMNS
from harness.model.slo import RequestFilter, RequestRatio
from harness.run.seal import seal
from harness.testing.evidence import evidence, slo

SERVED = slo(RequestRatio(table="requests", total=RequestFilter(), good=RequestFilter(outcome="served")), 0.999)


@pytest.fixture
def folder(tmp_path) -> RunFolder:
    """A whole run, written down."""
    run = RunFolder(tmp_path / "run-1")
    made = evidence()
    run.evidence.mkdir(parents=True)
    run.inputs.mkdir()
    run.journal.write_text("".join(event.model_dump_json() + "\n" for event in made.events))
    (run.inputs / "scenario.json").write_text(json.dumps(made.scenario.model_dump(mode="json", by_alias=True)))
    for name in TABLES:
        pq.write_table(getattr(made, name), run.table(name))
    save_answers(run, made.metrics)
    return run


def test_a_ledger_of_version_0_1_0_holds_writes(folder):
    file = folder.table("ledger")
    pq.write_table(pq.read_table(file).drop_columns(["operation"]), file)
    ledger = load_evidence(folder).ledger
    assert ledger is not None
    assert set(ledger.column("operation").to_pylist()) == {"write"}
    assert ledger.column_names == list(LEDGER_COLUMNS)


def test_a_whole_folder_gives_the_same_judgement_as_the_values(folder):
    loaded = load_evidence(folder)
    assert loaded.problems == ()
    assert loaded.run_id == "run-1"
    assert loaded.scenario == evidence().scenario
    assert loaded.metrics == evidence().metrics
    from_values = judge(evidence(), [SERVED]).model_copy(update={"run_id": "run-1"})
    assert judge(loaded, [SERVED]) == from_values
    assert from_values.verdict is Verdict.PASS


@pytest.mark.parametrize("name", list(TABLES))
@pytest.mark.parametrize("spoil", ["missing", "torn", "text", "columns", "nulls"])
def test_a_spoiled_table_is_a_problem_and_caps_the_verdict(folder, name, spoil):
    file = folder.table(name)
    whole = pq.read_table(file)
    match spoil:
        case "missing":
            file.unlink()
        case "torn":
            file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
        case "text":
            file.write_text("not Parquet")
        case "columns":
            pq.write_table(whole.drop_columns([whole.column_names[0]]), file)
        case "nulls":
            empty = pa.nulls(whole.num_rows, whole.schema.field(0).type)
            pq.write_table(whole.set_column(0, whole.schema.field(0), empty), file)
    loaded = load_evidence(folder)
    assert getattr(loaded, name) is None
    assert any(f"evidence/{name}.parquet" in problem for problem in loaded.problems)
    assert judge(loaded, [SERVED]).verdict is Verdict.INCONCLUSIVE


def test_plain_strings_and_other_integers_are_cast(folder):
    whole = pq.read_table(folder.table("requests"))
    plain = whole.set_column(1, "journey", whole.column("journey").cast(pa.string()))
    plain = plain.set_column(6, "status", plain.column("status").cast(pa.int64()))
    pq.write_table(plain, folder.table("requests"))
    assert judge(load_evidence(folder), [SERVED]).verdict is Verdict.PASS


def test_no_journal_no_scenario_no_answers(folder):
    folder.journal.unlink()
    (folder.inputs / "scenario.json").unlink()
    (folder.evidence / "metrics.json").write_text("{}")
    loaded = load_evidence(folder)
    assert any("scenario.json" in problem for problem in loaded.problems)
    assert any("metrics.json" in problem for problem in loaded.problems)
    assert judge(loaded, [SERVED]).verdict is Verdict.INCONCLUSIVE


def test_a_damaged_scenario_is_a_problem(folder):
    (folder.inputs / "scenario.json").write_text('{"target": 5')
    assert "its limits are unknown" in load_evidence(folder).problems[0]


def test_a_torn_journal_line_caps_the_verdict(folder):
    with folder.journal.open("a") as journal:
        journal.write('{"event": "window", "ki')
    assert judge(load_evidence(folder), [SERVED]).verdict is Verdict.INCONCLUSIVE


@pytest.fixture
def sealed(folder) -> RunFolder:
    slos = folder.inputs / "slos" / "0"
    slos.mkdir(parents=True)
    (slos / "api.yaml").write_text("an objective")
    (folder.root / "report.html").write_text("a report")
    seal(folder)
    return folder


def test_a_sealed_folder_is_as_good_as_before(sealed):
    (sealed.root / "report.html").write_text("made again")
    (sealed.root / "judgement.json").write_text("{}")
    assert load_evidence(sealed).problems == ()
    assert judge(load_evidence(sealed), [SERVED]).verdict is Verdict.PASS


def fewer_requests(folder: RunFolder) -> str:
    """A whole table all the same, so that only the seal can tell."""
    file = folder.table("beacon")
    pq.write_table(pq.read_table(file).slice(1), file)
    return "evidence/beacon.parquet was changed"


def another_objective(folder: RunFolder) -> str:
    (folder.inputs / "slos" / "0" / "api.yaml").write_text("an easier objective")
    return "inputs/slos/0/api.yaml was changed"


def one_objective_less(folder: RunFolder) -> str:
    (folder.inputs / "slos" / "0" / "api.yaml").unlink()
    return "inputs/slos/0/api.yaml is missing"


def one_objective_more(folder: RunFolder) -> str:
    (folder.inputs / "slos" / "0" / "more.yaml").write_text("another objective")
    return "inputs/slos/0/more.yaml is not in manifest.json"


def a_shorter_journal(folder: RunFolder) -> str:
    lines = folder.journal.read_text().splitlines(keepends=True)
    folder.journal.write_text("".join(line for line in lines if '"clock"' not in line or '"wall"' in line))
    return "journal.jsonl was changed"


def no_journal_in_the_manifest(folder: RunFolder) -> str:
    manifest = json.loads(folder.manifest.read_text())
    del manifest["files"]["journal.jsonl"]
    folder.manifest.write_text(json.dumps(manifest))
    return "manifest.json does not agree with its own root"


def a_damaged_manifest(folder: RunFolder) -> str:
    folder.manifest.write_text('{"files": ["x"]}')
    return "manifest.json cannot be read"


@pytest.mark.parametrize(
    "change",
    [
        fewer_requests,
        another_objective,
        one_objective_less,
        one_objective_more,
        a_shorter_journal,
        no_journal_in_the_manifest,
        a_damaged_manifest,
    ],
)
def test_a_record_changed_after_the_run_proves_nothing(sealed, change):
    told = change(sealed)
    loaded = load_evidence(sealed)
    assert any(told in problem for problem in loaded.problems)
    judgement = judge(loaded, [SERVED])
    assert judgement.verdict is Verdict.INCONCLUSIVE
    assert told in judgement.sentence


def test_an_empty_folder(tmp_path):
    loaded = load_evidence(RunFolder(tmp_path))
    assert len(loaded.problems) == len(TABLES) + 2
    assert judge(loaded, [SERVED]).verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("1970-01-01T00:00:01Z", 1_000_000_000),
        ("1970-01-01T00:00:01.5Z", 1_500_000_000),
        ("1970-01-01T00:00:01.123456789Z", 1_123_456_789),
        ("1970-01-01T01:00:01.25+01:00", 1_250_000_000),
        ("1970-01-01T01:00:01+01:00", 1_000_000_000),
        ("0001-01-01T00:00:00Z", 0),
    ],
)
def test_times_of_prometheus(text, ns):
    assert wall_ns_of(text) == ns
