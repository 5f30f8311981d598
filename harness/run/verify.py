"""Is a run's folder as the run left it? Every changed byte, missing and added file, a wrong root, a bad signature."""

from __future__ import annotations

import hmac
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import EXIT_FAIL, EXIT_INCONCLUSIVE, EXIT_PASS, BadInput
from harness.journal import manifest
from harness.journal.layout import RunFolder
from harness.run.dsse import Refused, key_id, public_key

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

NOT_PROOF = (
    "without the root that the run printed (--root) or a signature (--key) this finds accidents, not forgers: "
    "whoever changes a file can write a new manifest too"
)


@dataclass(frozen=True)
class Verified:
    """`problems`: what is not as it was sealed. `proof`: what the seal was held against beside itself."""

    run: str
    root: str
    sealed: bool
    files: int
    problems: tuple[str, ...] = ()
    proof: tuple[str, ...] = ()
    notes: tuple[str, ...] = field(default=())

    @property
    def whole(self) -> bool:
        return self.sealed and not self.problems

    @property
    def exit_code(self) -> int:
        """0 as it was sealed · 10 not so · 11 never sealed, so nobody can tell."""
        if self.problems:
            return EXIT_FAIL
        return EXIT_PASS if self.sealed else EXIT_INCONCLUSIVE

    def as_dict(self) -> dict[str, Any]:
        """For --json."""
        return {
            "run": self.run,
            "root": self.root,
            "sealed": self.sealed,
            "whole": self.whole,
            "files": self.files,
            "problems": list(self.problems),
            "proof": list(self.proof),
            "notes": list(self.notes),
        }


def verify(folder: RunFolder, root: str = "", key: Path | None = None) -> Verified:
    """Compares the folder with its manifest, the manifest with the root, and the signature with both.

    Raises BadInput when `root` is no SHA-256 or the key cannot be read.
    """
    if root and not re.fullmatch(r"[0-9a-f]{64}", root):
        raise BadInput("--root is not a SHA-256", fix="give the 64 hex digits that the run printed as `Sealed: …`")
    public = public_key(key) if key else None
    try:
        sealed = manifest.read(folder)
    except manifest.Damaged as damaged:
        return Verified(folder.run_id, "", True, 0, (str(damaged),))
    if sealed is None:
        wanted = ("it holds no manifest.json, though a root or key was given",) if root or key else ()
        return Verified(folder.run_id, "", False, 0, wanted, notes=("never sealed: the run did not come to its end",))
    problems = [one.text for one in manifest.compare(folder, sealed, lambda name: name not in manifest.BESIDE)]
    proof, notes = [], []
    if root and not hmac.compare_digest(root, sealed.root):
        problems.append(f"the root is {sealed.root}, not the one that was given: this is another record")
    elif root:
        proof.append("the root that was given")
    signed, wrong, told = _signature(folder, sealed, public)
    problems += wrong
    proof += signed
    notes += told
    later = [name for name in manifest.CERTIFICATES if (folder.root / name).exists()]
    notes += [f"{name} lies beside the seal: it came after it" for name in later]
    if sealed.reports and not signed:
        names = ", ".join(sorted(sealed.reports))
        notes.append(f"{names} carry the root, so they are sealed beside it: only a signature covers them")
    if sealed.run != folder.run_id:
        notes.append(f"this is a copy of {sealed.run} under another name")
    if not proof:
        notes.append(NOT_PROOF)
    return Verified(sealed.run, sealed.root, True, len(sealed.all), tuple(problems), tuple(proof), tuple(notes))


def _signature(
    folder: RunFolder, sealed: manifest.Manifest, key: Ed25519PublicKey | None
) -> tuple[list[str], list[str], list[str]]:
    """(proof, problems, notes) of the signature beside the seal."""
    file = folder.root / manifest.ATTESTATION
    if not file.exists():
        return [], [f"it is not signed: there is no {manifest.ATTESTATION}"] if key else [], []
    if key is None:
        return [], [], [f"{manifest.ATTESTATION} was not checked: give the signer's public key with --key"]
    from harness.run import sign

    try:
        sign.check_attestation(file.read_bytes(), key, sealed)
    except Refused as refused:
        return [], [f"{manifest.ATTESTATION}: {refused}"], []
    return [f"the signature of key {key_id(key)}"], [], []
