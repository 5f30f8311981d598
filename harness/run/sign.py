"""Signing a sealed run: an in-toto Statement with the test-result predicate, in a DSSE envelope beside the seal.

https://in-toto.io/Statement/v1 and https://in-toto.io/attestation/test-result/v0.1 (github.com/in-toto/attestation).
The predicate knows PASSED, WARNED and FAILED: INCONCLUSIVE is FAILED, since nobody showed that the release is good.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.errors import BadInput
from harness.journal import log, manifest
from harness.journal.layout import RunFolder
from harness.judge.certify import INPUTS, release_digests
from harness.model.events import AnyEvent
from harness.model.judgement import Judgement, ObjectiveResult, Verdict
from harness.run.dsse import Refused, envelope, opened, private_key
from harness.run.seal import write_whole
from harness.run.verify import verify

PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://in-toto.io/attestation/test-result/v0.1"


def sign(folder: RunFolder, key: Path, url: str = "") -> Path:
    """Writes attestation.dsse.json beside the seal; `url`: where the run can be looked up.

    Raises BadInput when the folder is not whole, or names no release.
    """
    private = private_key(key)
    judgement = sealed_judgement(folder)
    sealed = manifest.read(folder)
    assert sealed is not None
    value = statement(judgement, log.read(folder.journal), sealed, url)
    if not value["subject"]:
        raise BadInput("the journal names no digest of what was tested", file=folder.journal, fix="run it once more")
    file = folder.root / manifest.ATTESTATION
    write_whole(file, envelope(PAYLOAD_TYPE, json.dumps(value, sort_keys=True).encode(), private))
    return file


def sealed_judgement(folder: RunFolder) -> Judgement:
    """The judgement that was sealed with the run. Raises BadInput unless the folder is whole."""
    found = verify(folder)
    if not found.whole:
        cause = "; ".join(found.problems[:3]) or "it was never sealed"
        raise BadInput(cause, file=folder.root, fix="only a sealed run that is whole can be signed")
    try:
        return Judgement.model_validate_json(folder.judgement.read_bytes())
    except (OSError, ValueError) as error:
        raise BadInput(
            f"cannot be read: {str(error).splitlines()[0]}", file=folder.judgement, fix="use the version that wrote it"
        ) from None


def statement(
    judgement: Judgement, events: Sequence[AnyEvent], sealed: manifest.Manifest, url: str = ""
) -> dict[str, Any]:
    """The in-toto Statement: subjects are the release's digests, the configuration is the run's inputs.

    `harness` in the predicate is ours (the specification lets a schema be extended): root, verdict, reports, rules.
    """
    by = {verdict: [_test(one) for one in judgement.objectives if one.verdict is verdict] for verdict in Verdict}
    caps = [f"finding: {one.name}" for one in judgement.findings if one.cap is not Verdict.PASS]
    return {
        "_type": STATEMENT,
        "subject": _descriptors(release_digests(events)),
        "predicateType": PREDICATE,
        "predicate": {
            "result": "PASSED" if judgement.verdict is Verdict.PASS else "FAILED",
            "configuration": _descriptors(
                {name: digest for name, digest in sealed.files.items() if name.startswith(INPUTS)}
            ),
            **({"url": url} if url else {}),
            "passedTests": by[Verdict.PASS],
            "warnedTests": [],
            "failedTests": [*by[Verdict.FAIL], *by[Verdict.INCONCLUSIVE], *caps],
            "harness": {
                "root": sealed.root,
                "run": sealed.run,
                "verdict": str(judgement.verdict),
                "waived": judgement.waived,
                "reports": dict(sealed.reports),
                "rules": dict(judgement.rules),
            },
        },
    }


def _descriptors(digests: Mapping[str, str]) -> list[dict[str, Any]]:
    return [{"name": name, "digest": {"sha256": digest}} for name, digest in sorted(digests.items())]


def _test(item: ObjectiveResult) -> str:
    about = f" {item.experiment}" if item.experiment else ""
    return " ".join(part for part in (item.slo, item.objective, f"[{item.window}{about}]") if part)


def check_attestation(raw: bytes, public: Any, sealed: manifest.Manifest) -> dict[str, Any]:
    """The statement, when this key signed it and it is about this seal. Raises Refused."""
    payload = opened(raw, PAYLOAD_TYPE, public)
    try:
        value: dict[str, Any] = json.loads(payload)
        ours = value["predicate"]["harness"]
        root, reports = str(ours["root"]), dict(ours["reports"])
        kinds = (value["_type"], value["predicateType"])
    except (ValueError, TypeError, KeyError):
        raise Refused("is signed, but no statement about a run") from None
    if kinds != (STATEMENT, PREDICATE):
        raise Refused("is signed, but no test result")
    if not hmac.compare_digest(root, sealed.root):
        raise Refused(f"is signed for the root {root}, not for this record")
    if reports != dict(sealed.reports):
        raise Refused("is signed for other reports than these")
    return value
