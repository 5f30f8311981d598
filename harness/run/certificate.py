"""Issuing a certificate of a sealed run, reading one back, and refusing what it does not cover."""

from __future__ import annotations

import hashlib
import json
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from harness.errors import BadInput
from harness.journal.layout import RunFolder
from harness.journal.manifest import CERTIFICATES
from harness.judge.certify import RELEASE, certificate_of, refusals
from harness.model.certificate import PASSED, Certificate
from harness.render.words import clean
from harness.run.dsse import Refused, envelope, opened, private_key, public_key
from harness.run.seal import write_whole

PAYLOAD_TYPE = "application/vnd.sophia-harness.certificate+json"
JSON, TEXT, SIGNED = CERTIFICATES


def issue(
    folder: RunFolder, valid_for_s: float, key: Path | None = None, waivers: Path | None = None, to: Path | None = None
) -> list[Path]:
    """Writes the certificate of a sealed run that is whole and passes when it is judged again; the files written.

    Raises BadInput, saying why there is none.
    """
    from harness.metrics.evidence import load_evidence
    from harness.run.sign import sealed_judgement
    from harness.run.verdict import judge_folder, root_of

    private = private_key(key) if key else None
    sealed = sealed_judgement(folder)
    judged = judge_folder(folder, (), waivers)
    if judged.verdict is not sealed.verdict:
        raise BadInput(
            f"it was sealed as {sealed.verdict}, and this version judges it {judged.verdict}",
            file=folder.root,
            fix="`harness judge` tells the rules that changed; run it once more with this version",
        )
    found = certificate_of(judged, load_evidence(folder), root_of(folder), _now(), valid_for_s)
    if isinstance(found, str):
        raise BadInput(found, file=folder.root, fix="only a PASS, or a FAIL of which all is waived, has a certificate")
    target = to or folder.root
    target.mkdir(parents=True, exist_ok=True)
    payload = (json.dumps(found.model_dump(mode="json"), indent=2, sort_keys=True) + "\n").encode()
    contents = {JSON: payload, TEXT: in_words(found, signed=private is not None).encode()}
    if private is not None:
        contents[SIGNED] = envelope(PAYLOAD_TYPE, payload, private)
    for name, content in contents.items():
        write_whole(target / name, content)
    return [target / name for name in contents]


def read(file: Path, key: Path | None = None) -> Certificate:
    """A certificate, signed or not; with `key` only one that this key signed. Raises BadInput."""
    try:
        raw = file.read_bytes()
    except OSError as error:
        raise BadInput(error.strerror or "cannot be read", file=file, fix="check the path") from None
    try:
        value = json.loads(raw)
        signed = isinstance(value, dict) and "payload" in value
        if key is not None:
            if not signed:
                raise Refused("is not signed")
            return Certificate.model_validate_json(opened(raw, PAYLOAD_TYPE, public_key(key)))
        return Certificate.model_validate_json(_unchecked(value) if signed else raw)
    except Refused as refused:
        raise BadInput(
            f"the certificate {refused}", file=file, fix=f"give the {SIGNED} of the signer whose public key that is"
        ) from None
    except (ValueError, ValidationError):
        raise BadInput(
            "is no certificate of the harness", file=file, fix="`harness certificate RUN` makes one"
        ) from None


def _unchecked(value: Any) -> bytes:
    import base64

    return base64.b64decode(str(value["payload"]))


@dataclass(frozen=True)
class Admission:
    """A certificate that a run was given, and what it is held against as that becomes known."""

    certificate: Certificate
    file: Path

    def admit(self, digests: Mapping[str, str], release: str = "", allow_waived: bool = False) -> None:
        """Raises BadInput when the certificate does not cover this; a digest without a name has the key "?…"."""
        told = refusals(self.certificate, _now(), digests, release, allow_waived)
        if told:
            fix = f"certify this release first; this certificate is of run {self.certificate.run_id}"
            raise BadInput("the certificate does not admit it: " + "; ".join(told), file=self.file, fix=fix)


def admission(file: Path, key: Path | None) -> Admission:
    """Reads the certificate that is to be held against a release."""
    return Admission(read(file, key), file)


def definition(platform: Any, release: str) -> dict[str, str]:
    """{"release X": digest} of a release as the platform file defines it, with all services it is made of."""
    spec = platform.spec.model_dump(mode="json", by_alias=True)
    if spec["kubernetes"] is None:  # a certificate of before there was such a section stays good
        del spec["kubernetes"]
    mine = [one for one in spec.pop("releases", []) if one.get("name") == release]
    for one in mine:
        if not one["images"]:  # nor could releases name images
            del one["images"]
    text = json.dumps({"release": mine, "spec": spec}, sort_keys=True, separators=(",", ":"))
    return {RELEASE + release: hashlib.sha256(text.encode()).hexdigest()}


def in_words(it: Certificate, signed: bool) -> str:
    """For people: to print, and to sign by hand."""
    passed = it.verdict == PASSED
    title = "CERTIFICATE" if passed else "NOT A PASS: A FAILED RUN, WAIVED"
    word = "passed" if passed else "FAILED"
    lines = [
        title,
        "=" * len(title),
        "",
        *textwrap.wrap(
            f"Release {it.release or '(unnamed)'} {word} the scenario {it.scenario}"
            f"{f' (profile {it.profile})' if it.profile else ''}: {it.met} of {it.objectives} objectives were met.",
            100,
        ),
        "",
        f"verdict    {it.verdict}",
        f"valid      {it.issued_at} to {it.expires_at}",
        f"run        {it.run_id}, {it.ran_at}",
        f"sealed as  {it.root}",
        f"target     {it.target}, {it.platform}",
        f"stand-ins  {', '.join(it.stand_ins) or 'none: every part was the real one'}",
        f"harness    {it.harness}, commit {it.commit or 'unknown'}",
        f"rules      {', '.join(f'{name} {number}' for name, number in sorted(it.rules.items()))}",
    ]
    lines += [f"waived     {one.objective} by {one.who} until {one.until}: {one.why}" for one in it.waivers]
    lines += ["", "What was tested, by SHA-256:"]
    lines += [f"  {digest}  {name}" for name, digest in sorted(it.digests.items())]
    how = f"{SIGNED} holds the signature." if signed else "Not signed: whoever can write this file can make it up."
    told = [clean(line).replace("\n", " ") for line in lines]  # a waiver's words must not look like lines of ours
    return "\n".join([*told, "", how, ""])


def _now() -> datetime:
    return datetime.now(UTC)
