"""A certificate at the door of a live platform: what it names may run, anything else is refused."""

from __future__ import annotations

import json
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from tests.e2e.local.support import ROOT, Harness, Scenario


def keys(folder: Path) -> tuple[Path, Path]:
    private, public = folder / "key.pem", folder / "key.pub.pem"
    key = Ed25519PrivateKey.generate()
    private.touch(mode=0o600)
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return private, public


def judged_by_its_deployment(spec: Scenario) -> None:
    """What is tried here is the door: on a busy machine nobody is late for it."""
    spec["slos"] = [str(ROOT / "slos" / "platform.yaml")]


def test_only_what_was_certified_runs(harness: Harness, tmp_path: Path) -> None:
    scenario, (private, public) = harness.scenario(judged_by_its_deployment), keys(tmp_path)
    tried = harness("run", scenario)
    assert tried.verdict() == "PASS", tried.reasons()
    issued = harness("certificate", str(tried.folder), "--sign", str(private), "--to", str(tmp_path)).finish()
    assert issued.code == 0, issued.errors
    signed = ["--certificate", str(tmp_path / "certificate.dsse.json"), "--certificate-key", str(public)]

    other = harness("run", scenario, "--release", "1.1.0", *signed).finish()
    assert other.code == 20
    assert "it is for release 1.0.0, not for 1.1.0" in other.errors
    assert not list(other.reports.glob("*"))

    certificate = json.loads((tmp_path / "certificate.json").read_text())
    assert "package sophia" in certificate["digests"]
    certificate["digests"]["package sophia"] = "0" * 64
    (tmp_path / "changed.json").write_text(json.dumps(certificate))
    changed = harness("run", scenario, "--certificate", str(tmp_path / "changed.json")).finish()
    assert changed.code == 20
    assert "package sophia has the digest" in changed.errors
    assert not changed.events("window")  # no user was let in
    assert not changed.left_behind()

    admitted = harness("run", scenario, *signed)
    assert admitted.verdict() == "PASS", admitted.reasons()
    assert admitted.code == 0
