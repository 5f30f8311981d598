"""The seal: what verify finds, what a signature adds, and what neither claims."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from harness.errors import BadInput
from harness.journal.layout import RunFolder
from harness.journal.manifest import Manifest, read, root_of
from harness.run import dsse, sign
from harness.run.seal import seal
from harness.run.verdict import judge_folder, write_judgement, write_reports
from harness.run.verify import verify

(OLD,) = (Path(__file__).resolve().parents[1] / "fixtures/runs/0.1.0").iterdir()


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run sealed by this version: the old one judged, reported and sealed anew."""
    folder = RunFolder(tmp_path_factory.mktemp("sealed") / OLD.name)
    shutil.copytree(OLD, folder.root)
    folder.manifest.unlink()
    folder.logs.mkdir()
    (folder.logs / "locust.log").write_text("a line\n")
    judgement = judge_folder(folder)
    write_judgement(judgement, folder.root)
    seal(folder, lambda root: write_reports(folder, judgement, folder.root, root))
    return folder.root


@pytest.fixture
def run(template: Path, tmp_path: Path) -> RunFolder:
    shutil.copytree(template, tmp_path / OLD.name)
    return RunFolder(tmp_path / OLD.name)


@pytest.fixture
def key(tmp_path: Path) -> Path:
    return write_key(tmp_path / "key", Ed25519PrivateKey.generate())


def write_key(file: Path, key: Ed25519PrivateKey, password: bytes | None = None) -> Path:
    lock = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    form = serialization.PrivateFormat.PKCS8 if password else serialization.PrivateFormat.OpenSSH
    file.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, lock))
    file.chmod(0o600)
    line = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    file.with_suffix(".pub").write_bytes(line + b" somebody@somewhere\n")
    return file


def pub(key: Path) -> Path:
    return key.with_suffix(".pub")


def flip(file: Path, place: float) -> None:
    raw = bytearray(file.read_bytes())
    raw[min(int(len(raw) * place), len(raw) - 1)] ^= 1
    file.write_bytes(bytes(raw))


def test_a_sealed_run_is_whole_and_its_reports_carry_the_root(run: RunFolder) -> None:
    found = verify(run)
    assert found.whole
    assert found.exit_code == 0
    for report in (run.html, run.junit, run.summary):
        assert found.root in report.read_text()
    assert {"report.html", "junit.xml", "summary.md"} == set(read(run).reports)  # type: ignore[union-attr]
    assert "logs/locust.log" in read(run).files  # type: ignore[union-attr]
    assert any("accidents, not forgers" in note for note in found.notes)


CLASSES = [
    "journal.jsonl",
    "evidence/requests.parquet",
    "evidence/metrics.json",
    "inputs/scenario.json",
    "inputs/slos/0/unified-api.yaml",
    "judgement.json",
    "logs/locust.log",
    "report.html",
    "junit.xml",
    "summary.md",
    "manifest.json",
]


@pytest.mark.parametrize("place", [0.0, 0.37, 0.5, 1.0])
@pytest.mark.parametrize("name", CLASSES)
def test_one_flipped_bit_is_found_wherever_it_is(run: RunFolder, name: str, place: float) -> None:
    flip(run.root / name, place)
    found = verify(run)
    assert not found.whole
    assert found.exit_code == 10
    assert name in " ".join(found.problems)


def test_every_byte_of_the_manifest_counts(run: RunFolder) -> None:
    raw = run.manifest.read_bytes()
    for place in range(0, len(raw), 41):
        changed = bytearray(raw)
        changed[place] ^= 1
        run.manifest.write_bytes(bytes(changed))
        assert verify(run).problems, place
    for half in (b"", raw[:1], raw[: len(raw) // 2], raw[:-1], raw + b"\n", b"{}", b"[]", b"null"):
        run.manifest.write_bytes(half)
        assert verify(run).exit_code == 10


def missing(run: RunFolder) -> str:
    run.table("ledger").unlink()
    return "evidence/ledger.parquet is missing"


def no_journal(run: RunFolder) -> str:
    run.journal.unlink()
    return "journal.jsonl is missing"


def added(run: RunFolder) -> str:
    (run.root / "work").mkdir()
    (run.root / "work/undo").write_text("")
    return "work/undo is not in manifest.json"


def half_written(run: RunFolder) -> str:
    (run.root / ".manifest.json.half").write_text("{")
    return ".manifest.json.half is not in manifest.json"


def a_link(run: RunFolder) -> str:
    """The same content, but somewhere where it can change."""
    elsewhere = run.root.parent / "elsewhere"
    run.judgement.rename(elsewhere)
    run.judgement.symlink_to(elsewhere)
    return "judgement.json was changed"


@pytest.mark.parametrize("change", [missing, no_journal, added, half_written, a_link])
def test_missing_and_added_files_are_found(run: RunFolder, change: Callable[[RunFolder], str]) -> None:
    told = change(run)
    found = verify(run)
    assert any(told in problem for problem in found.problems)
    assert found.exit_code == 10


def test_a_folder_without_a_seal_is_not_whole_and_not_broken(run: RunFolder) -> None:
    run.manifest.unlink()
    assert verify(run).exit_code == 11
    assert verify(run, root="0" * 64).exit_code == 10


def test_a_forged_manifest_is_found_by_the_root_and_by_the_signature_only(run: RunFolder, key: Path) -> None:
    root = verify(run).root
    sign.sign(run, key)
    (run.inputs / "slos/0/unified-api.yaml").write_text("an easier objective")
    seal(run)
    assert verify(run).whole, "this is what the note warns of"
    assert any(root not in problem and "another record" in problem for problem in verify(run, root).problems)
    assert any("is signed for the root" in problem for problem in verify(run, key=pub(key)).problems)


def test_a_forged_report_is_found_by_the_signature(run: RunFolder, key: Path) -> None:
    root = verify(run).root
    sign.sign(run, key)
    run.summary.write_text("## PASS")
    sealed = read(run)
    assert sealed
    reports = {**sealed.reports, "summary.md": dsse.hashlib.sha256(b"## PASS").hexdigest()}
    run.manifest.write_bytes(Manifest(sealed.run, sealed.root, sealed.files, reports).to_bytes())
    found = verify(run, root)
    assert found.whole
    assert any("only a signature covers them" in note for note in found.notes)
    assert any("other reports" in problem for problem in verify(run, root, pub(key)).problems)


def test_a_root_that_is_none_is_bad_input(run: RunFolder) -> None:
    with pytest.raises(BadInput, match="SHA-256"):
        verify(run, root="abc")


def test_the_seal_of_0_1_0_is_still_read() -> None:
    found = verify(RunFolder(OLD))
    assert found.whole
    assert read(RunFolder(OLD)).format == 1  # type: ignore[union-attr]


def test_a_later_format_is_not_guessed(run: RunFolder) -> None:
    sealed = read(run)
    assert sealed
    later = Manifest(sealed.run, root_of(sealed.run, sealed.files, 3), sealed.files, sealed.reports, 3)
    run.manifest.write_bytes(later.to_bytes())
    assert "format 3" in verify(run).problems[0]


# -- signatures


def statement(run: RunFolder) -> dict:
    envelope = json.loads((run.root / "attestation.dsse.json").read_text())
    assert envelope["payloadType"] == "application/vnd.in-toto+json"
    return json.loads(base64.b64decode(envelope["payload"]))


def test_pae_is_the_specification_s_example() -> None:
    told = dsse.pae("http://example.com/HelloWorld", b"hello world")
    assert told == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"


def test_the_statement_has_the_fields_of_the_specification(run: RunFolder, key: Path) -> None:
    sign.sign(run, key, "https://ci.example/job/1")
    told = statement(run)
    assert set(told) == {"_type", "subject", "predicateType", "predicate"}
    assert told["_type"] == "https://in-toto.io/Statement/v1"
    assert told["predicateType"] == "https://in-toto.io/attestation/test-result/v0.1"
    fields = {"result", "configuration", "url", "passedTests", "warnedTests", "failedTests"}
    assert fields == set(told["predicate"]) - {"harness"}
    assert told["predicate"]["result"] == "PASSED"
    assert len(told["predicate"]["passedTests"]) == 22
    assert all(set(one["digest"]) == {"sha256"} for one in (*told["subject"], *told["predicate"]["configuration"]))
    assert "package sophia" in {one["name"] for one in told["subject"]}
    assert not [one for one in told["subject"] if one["name"].startswith("inputs/")]
    found = verify(run, key=pub(key))
    assert found.whole
    assert found.proof


@pytest.mark.parametrize("verdict", ["FAIL", "INCONCLUSIVE"])
def test_what_is_not_shown_to_be_good_is_failed(run: RunFolder, verdict: str) -> None:
    from harness.journal import log
    from harness.model.judgement import Judgement, Verdict

    judgement = Judgement.model_validate_json(run.judgement.read_bytes())
    worse = judgement.objectives[0].model_copy(update={"verdict": Verdict(verdict)})
    judgement = judgement.model_copy(
        update={"verdict": Verdict(verdict), "objectives": (worse, *judgement.objectives[1:])}
    )
    told = sign.statement(judgement, log.read(run.journal), read(run))["predicate"]  # type: ignore[arg-type]
    assert told["result"] == "FAILED"
    assert len(told["failedTests"]) == 1
    assert "url" not in told


def test_another_key_and_a_changed_statement_are_refused(run: RunFolder, key: Path, tmp_path: Path) -> None:
    sign.sign(run, key)
    other = write_key(tmp_path / "other", Ed25519PrivateKey.generate())
    assert any("is not signed by key" in problem for problem in verify(run, key=pub(other)).problems)
    file = run.root / "attestation.dsse.json"
    envelope = json.loads(file.read_text())
    body = json.loads(base64.b64decode(envelope["payload"]))
    body["predicate"]["result"] = "WARNED"
    file.write_text(json.dumps(envelope | {"payload": base64.b64encode(json.dumps(body).encode()).decode()}))
    assert any("is not signed by key" in problem for problem in verify(run, key=pub(key)).problems)
    file.write_text("{}")
    assert any("no signed envelope" in problem for problem in verify(run, key=pub(key)).problems)
    file.unlink()
    assert any("it is not signed" in problem for problem in verify(run, key=pub(key)).problems)


def test_a_signature_on_something_else_is_no_statement(run: RunFolder, key: Path) -> None:
    private = dsse.private_key(key)
    file = run.root / "attestation.dsse.json"
    for kind, body in (("text/plain", b"{}"), (sign.PAYLOAD_TYPE, b"{}"), (sign.PAYLOAD_TYPE, b"[")):
        file.write_bytes(dsse.envelope(kind, body, private))
        assert any("is signed, but" in problem for problem in verify(run, key=pub(key)).problems)


def test_url_safe_base64_is_read_too(key: Path) -> None:
    private = dsse.private_key(key)
    value = json.loads(dsse.envelope("a/b", b"\xff\xfe\xfb" * 9, private))
    for part in (value, value["signatures"][0]):
        for name in {"payload", "sig"} & set(part):
            part[name] = part[name].replace("+", "-").replace("/", "_")
    assert dsse.opened(json.dumps(value).encode(), "a/b", private.public_key()) == b"\xff\xfe\xfb" * 9


def test_a_broken_seal_is_not_signed(run: RunFolder, key: Path) -> None:
    flip(run.journal, 0.5)
    with pytest.raises(BadInput, match=r"journal\.jsonl was changed"):
        sign.sign(run, key)
    assert not (run.root / "attestation.dsse.json").exists()


def test_a_key_that_others_may_read_is_refused(key: Path) -> None:
    key.chmod(0o640)
    with pytest.raises(BadInput, match="others may read") as refused:
        dsse.private_key(key)
    assert "chmod 600" in refused.value.fix


def test_keys_of_other_kinds_and_forms(key: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadInput, match="private key"):
        dsse.public_key(key)
    with pytest.raises(BadInput, match="no private key"):
        dsse.private_key(_private(tmp_path / "x", b"no key"))
    with pytest.raises(BadInput, match="No such file"):
        dsse.private_key(tmp_path / "nowhere")
    curve = generate_private_key(SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with pytest.raises(BadInput, match="not an Ed25519 key"):
        dsse.private_key(_private(tmp_path / "ec", curve))
    locked = write_key(tmp_path / "locked", Ed25519PrivateKey.generate(), b"open sesame")
    with pytest.raises(BadInput, match="passphrase") as refused:
        dsse.private_key(locked)
    assert dsse.PASSPHRASE in refused.value.fix
    monkeypatch.setenv(dsse.PASSPHRASE, "wrong")
    with pytest.raises(BadInput, match="wrong passphrase") as wrong:
        dsse.private_key(locked)
    assert "wrong\n" not in str(wrong.value)
    monkeypatch.setenv(dsse.PASSPHRASE, "open sesame")
    assert dsse.private_key(locked)


def _private(file: Path, content: bytes) -> Path:
    file.write_bytes(content)
    file.chmod(0o600)
    return file


def test_no_secret_is_written_anywhere(run: RunFolder, key: Path) -> None:
    sign.sign(run, key)
    secret = dsse.private_key(key).private_bytes_raw()
    body = b"".join(key.read_bytes().split(b"\n")[1:-2])
    for file in (path for path in run.root.rglob("*") if path.is_file()):
        content = file.read_bytes()
        assert secret not in content
        assert secret.hex().encode() not in content
        assert base64.b64encode(secret) not in content
        assert body not in content.replace(b"\n", b"")
