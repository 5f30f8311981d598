"""Certificates: who gets one, what stands in it, and what a gate refuses."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from harness.errors import BadInput
from harness.journal.layout import RunFolder
from harness.judge.certify import certificate_of, refusals
from harness.metrics.evidence import load_evidence
from harness.model.certificate import Certificate
from harness.model.judgement import Finding, Judgement, Verdict, Waived
from harness.run import certificate as certificates
from harness.run.prepare import Choices, prepare
from harness.run.verdict import judge_folder, root_of
from harness.run.verify import verify

ROOT = Path(__file__).resolve().parents[2]
(RUN,) = (ROOT / "tests/fixtures/runs/0.1.0").iterdir()
NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
DAY = 86400.0


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return RunFolder(shutil.copytree(RUN, tmp_path / "runs" / RUN.name))


@pytest.fixture
def key(tmp_path: Path) -> Path:
    return new_key(tmp_path / "key")


def new_key(file: Path) -> Path:
    key = Ed25519PrivateKey.generate()
    file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    file.chmod(0o600)
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    file.with_suffix(".pub").write_bytes(public)
    return file


def judgement() -> Judgement:
    return Judgement.model_validate_json((RUN / "judgement.json").read_bytes())


def made(found: Judgement | None = None, days: float = 30) -> Certificate | str:
    folder = RunFolder(RUN)
    return certificate_of(found or judgement(), load_evidence(folder), root_of(folder), NOW, days * DAY)


def given() -> Certificate:
    found = made()
    assert isinstance(found, Certificate)
    return found


def test_what_stands_in_it() -> None:
    it = given()
    assert it.verdict == "PASS"
    assert (it.release, it.target, it.profile, it.scenario) == ("1.0.0", "local", "quick", "certify-quick")
    assert (it.objectives, it.met) == (22, 22)
    assert it.root == json.loads((RUN / "manifest.json").read_text())["root"]
    assert "package sophia" in it.digests
    assert not [name for name in it.digests if name.startswith("inputs/")]
    assert it.harness == "0.1.0"
    assert datetime.fromisoformat(it.expires_at) - NOW == timedelta(days=30)
    assert "gpu-worker" in it.stand_ins
    text = certificates.in_words(it, signed=False)
    for part in (it.root, it.release, it.expires_at, *it.digests.values(), "Not signed"):
        assert part in text


@pytest.mark.parametrize("verdict", [Verdict.FAIL, Verdict.INCONCLUSIVE])
def test_no_certificate_without_a_pass(verdict: Verdict) -> None:
    told = made(judgement().model_copy(update={"verdict": verdict, "sentence": "it was slow"}))
    assert isinstance(told, str)
    assert "it was slow" in told


def waived(until: str) -> Judgement:
    first, *rest = judgement().objectives
    return judgement().model_copy(
        update={
            "verdict": Verdict.FAIL,
            "waived": True,
            "objectives": (first.model_copy(update={"verdict": Verdict.FAIL}), *rest),
            "waivers": (Waived(objective=first.slo, who="Rosa", why="known", until=until, state="used"),),
        }
    )


def test_one_of_a_waived_run_never_says_pass_and_ends_with_its_waiver() -> None:
    it = made(waived("2026-12-01"))
    assert isinstance(it, Certificate)
    assert it.verdict == "FAIL (waived)"
    assert it.expires_at == "2026-12-02T00:00:00+00:00"
    text = certificates.in_words(it, signed=True)
    assert "PASS" not in text.replace("NOT A PASS", "")
    assert "Rosa" in text
    assert any("waived" in told for told in refusals(it, NOW, {}))
    assert not refusals(it, NOW, {}, allow_waived=True)
    assert isinstance(made(waived("2026-11-25")), str)


def test_what_a_certificate_admits_and_refuses() -> None:
    it = given()
    assert not refusals(it, NOW, it.digests, "1.0.0")
    assert not refusals(it, NOW, {"?x": it.digests["package sophia"]})
    other = {**it.digests, "package sophia": "0" * 64}
    for told, text in (
        (refusals(it, NOW, other), "package sophia has the digest 0000"),
        (refusals(it, NOW, {"program evil": "1" * 64}), "program evil is not certified"),
        (refusals(it, NOW, {"?x": "1" * 64}), "not among the certified digests"),
        (refusals(it, NOW, {}, "1.1.0"), "for release 1.0.0, not for 1.1.0"),
        (refusals(it, NOW + timedelta(days=30), {}), "it expired on"),
        (refusals(it, NOW - timedelta(days=1), {}), "a clock is wrong"),
    ):
        assert len(told) == 1
        assert text in told[0]


def test_issued_beside_the_seal_and_read_back(run: RunFolder, key: Path) -> None:
    written = certificates.issue(run, DAY, key)
    assert [file.name for file in written] == ["certificate.json", "certificate.txt", "certificate.dsse.json"]
    assert verify(run).whole
    plain, signed = certificates.read(written[0]), certificates.read(written[2], key.with_suffix(".pub"))
    assert plain == signed == certificates.read(written[2])
    with pytest.raises(BadInput, match="is not signed by key"):
        certificates.read(written[2], new_key(run.root.parent / "other").with_suffix(".pub"))
    with pytest.raises(BadInput, match="is not signed"):
        certificates.read(written[0], key.with_suffix(".pub"))
    envelope = json.loads(written[2].read_text())
    envelope["payload"] = envelope["payload"][:-8] + "AAAA" + envelope["payload"][-4:]
    written[2].write_text(json.dumps(envelope))
    with pytest.raises(BadInput, match="is not signed by key"):
        certificates.read(written[2], key.with_suffix(".pub"))


def test_a_signed_run_is_no_certificate(run: RunFolder, key: Path) -> None:
    from harness.run.sign import sign

    with pytest.raises(BadInput, match="is signed, but as"):
        certificates.read(sign(run, key), key.with_suffix(".pub"))


@pytest.mark.parametrize("name", ["journal.jsonl", "judgement.json", "evidence/ledger.parquet", "manifest.json"])
def test_none_for_a_run_that_was_changed(run: RunFolder, name: str) -> None:
    file = run.root / name
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(BadInput):
        certificates.issue(run, DAY)
    assert not (run.root / "certificate.json").exists()


def test_none_for_a_run_that_was_never_sealed(run: RunFolder) -> None:
    run.manifest.unlink()
    with pytest.raises(BadInput, match="never sealed"):
        certificates.issue(run, DAY)


def test_none_when_this_version_judges_otherwise(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    worse = judge_folder(run).model_copy(
        update={"verdict": Verdict.FAIL, "findings": (Finding(name="x", cap=Verdict.FAIL, reason="y"),)}
    )
    monkeypatch.setattr("harness.run.verdict.judge_folder", lambda *_: worse)
    with pytest.raises(BadInput, match="sealed as PASS, and this version judges it FAIL"):
        certificates.issue(run, DAY)


def test_what_is_no_certificate(tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    for content in ("", "{", "[]", "{}", '{"payload": "e30="}', '{"payload": 5}', "null"):
        file.write_text(content)
        with pytest.raises(BadInput, match="is no certificate"):
            certificates.read(file)
    with pytest.raises(BadInput, match="No such file"):
        certificates.read(tmp_path / "none")


# -- asked for by a run


def certified(tmp_path: Path, release: str, **changes: object) -> Path:
    """A certificate for a release of the reference platform as it stands in deploy/."""
    from harness.spec.platform import load_platform

    platform = load_platform(ROOT / "deploy/platform.yaml").value
    now = datetime.now(UTC)
    values = {
        "release": release,
        "digests": {**given().digests, **certificates.definition(platform, release)},
        "issued_at": now.isoformat(),
        "expires_at": (now + timedelta(days=1)).isoformat(),
        **changes,
    }
    file = tmp_path / "certificate.json"
    file.write_text(given().model_copy(update=values).model_dump_json())
    return file


GATE = ROOT / "scenarios/canary-local.yaml"


def test_a_gate_takes_the_certified_release_and_compares_what_runs(tmp_path: Path) -> None:
    file = certified(tmp_path, "1.1.0")
    admission = prepare(GATE, Choices(gate=True, certificate=file)).admission
    assert admission
    admission.admit(given().digests)
    with pytest.raises(BadInput, match="package sophia has the digest") as refused:
        admission.admit({**given().digests, "package sophia": "0" * 64})
    assert refused.value.exit_code == 20
    assert "fix:" in str(refused.value)


@pytest.mark.parametrize(
    ("choices", "changes", "message"),
    [
        ({"canary": "bad-slow"}, {}, "for release 1.1.0, not for bad-slow"),
        ({}, {"expires_at": "2026-01-01T00:00:00+00:00"}, "expired"),
        ({}, {"digests": {"release 1.1.0": "0" * 64}}, "release 1.1.0 has the digest"),
        ({}, {"digests": {}}, "release 1.1.0 is not certified"),
        ({}, {"verdict": "FAIL (waived)"}, "not of a PASS"),
    ],
)
def test_a_gate_refuses_before_anything_is_touched(tmp_path: Path, choices: dict, changes: dict, message: str) -> None:
    file = certified(tmp_path, "1.1.0", **changes)
    with pytest.raises(BadInput, match=message):
        prepare(GATE, Choices(gate=True, certificate=file, **choices))


def test_a_scenario_can_require_a_signed_one(tmp_path: Path, key: Path) -> None:
    for folder in ("slos", "experiments", "loadtests", "deploy"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    scenario = tmp_path / "scenarios/x.yaml"
    scenario.parent.mkdir()
    scenario.write_text(GATE.read_text().replace("spec:\n", "spec:\n  certificate_key: ../key.pub\n", 1))
    with pytest.raises(BadInput, match=r"x\.yaml:\d+.*needs a certificate"):
        prepare(scenario, Choices(gate=True))
    plain = certified(tmp_path, "1.1.0")
    with pytest.raises(BadInput, match="is not signed"):
        prepare(scenario, Choices(gate=True, certificate=plain))
    signed = tmp_path / "certificate.dsse.json"
    for signer, right in ((new_key(tmp_path / "other"), False), (key, True)):
        private = certificates.private_key(signer)
        signed.write_bytes(certificates.envelope(certificates.PAYLOAD_TYPE, plain.read_bytes(), private))
        if right:
            assert prepare(scenario, Choices(gate=True, certificate=signed)).admission
        else:
            with pytest.raises(BadInput, match="is not signed by key"):
                prepare(scenario, Choices(gate=True, certificate=signed))


def test_releases_have_definitions_of_their_own() -> None:
    from harness.spec.platform import load_platform

    platform = load_platform(ROOT / "deploy/platform.yaml").value
    found = [certificates.definition(platform, name) for name in ("1.0.0", "1.1.0", "bad-slow", "1.0.0")]
    assert found[0] == found[3]
    assert len({digest for one in found for digest in one.values()}) == 3
