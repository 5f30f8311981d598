"""manifest.json: the seal of a run's folder, and how a folder differs from it (docs/adr/0010).

The root is one hash over the digests of everything that the run left and was judged by. The rendered reports carry the
root, so they cannot lie under it: the manifest lists them apart. What proves itself lies beside the seal: signature and
certificate are made after it.
"""

from __future__ import annotations

import hashlib
import json
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from harness.journal.layout import RunFolder

FORMAT = 2  # 1 was 0.1.0's: the reports were under the root, and nothing carried it
REPORTS = ("report.html", "junit.xml", "summary.md")
ATTESTATION, CERTIFICATES = "attestation.dsse.json", ("certificate.json", "certificate.txt", "certificate.dsse.json")
BESIDE = (ATTESTATION, *CERTIFICATES)

Kind = Literal["changed", "missing", "added"]


class Damaged(ValueError):
    """manifest.json is no manifest: half written, edited, or not one of ours."""


@dataclass(frozen=True)
class Manifest:
    """Name → SHA-256 of the files under the root, and of the reports that carry it."""

    run: str
    root: str
    files: Mapping[str, str]
    reports: Mapping[str, str] = field(default_factory=dict)
    format: int = FORMAT

    @property
    def all(self) -> dict[str, str]:
        return {**self.files, **self.reports}

    def to_bytes(self) -> bytes:
        """The one way in which this manifest is written: another byte is a change."""
        value: dict[str, Any] = {"files": dict(self.files), "root": self.root, "run": self.run}
        if self.format > 1:
            value |= {"format": self.format, "reports": dict(self.reports)}
        return (json.dumps(value, indent=2, sort_keys=True) + "\n").encode()


@dataclass(frozen=True)
class Difference:
    """One file that is not as it was sealed."""

    name: str
    kind: Kind
    text: str


def root_of(run: str, files: Mapping[str, str], number: int = FORMAT) -> str:
    """SHA-256 of canonical JSON: sorted keys, no blanks. Format 1 did not hold the run's name."""
    value: Any = dict(files) if number == 1 else {"files": dict(files), "format": number, "run": run}
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def read(folder: RunFolder) -> Manifest | None:
    """The manifest, None when the folder was never sealed. Raises Damaged."""
    if not folder.manifest.exists():
        return None
    try:
        raw = folder.manifest.read_bytes()
        value = json.loads(raw)
        names = (value["files"], value.get("reports", {}))
        files, reports = ({str(name): str(digest) for name, digest in part.items()} for part in names)
        found = Manifest(str(value["run"]), str(value["root"]), files, reports, int(value.get("format", 1)))
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        told = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise Damaged(f"manifest.json cannot be read: {told}") from None
    if not 1 <= found.format <= FORMAT:
        raise Damaged(f"manifest.json has format {found.format}, which this version does not know")
    if root_of(found.run, found.files, found.format) != found.root:
        raise Damaged("manifest.json does not agree with its own root: it was changed after the run")
    if found.to_bytes() != raw:
        raise Damaged("manifest.json is not written as the harness writes it: it was changed after the run")
    return found


def entries(folder: RunFolder) -> dict[str, Path]:
    """Name → path of everything below the folder but folders and manifest.json. Links are not followed."""
    found: dict[str, Path] = {}
    for path in sorted(folder.root.rglob("*")):
        if path != folder.manifest and not stat.S_ISDIR(path.lstat().st_mode):
            found[str(path.relative_to(folder.root))] = path
    return found


def compare(folder: RunFolder, manifest: Manifest, looked_at: Callable[[str], bool]) -> tuple[Difference, ...]:
    """Every file that was changed, is missing or came later, among the names that `looked_at` chooses."""
    sealed = {name: digest for name, digest in manifest.all.items() if looked_at(name)}
    there = {name: path for name, path in entries(folder).items() if looked_at(name)}
    found = [
        Difference(name, "added", f"{name} is not in manifest.json: it came after the run")
        for name in there.keys() - sealed.keys()
    ]
    for name, digest in sealed.items():
        if name not in there:
            found.append(Difference(name, "missing", f"{name} is missing, though the manifest lists it"))
        elif digest_of(there[name]) != digest:
            text = f"{name} was changed after the run: its SHA-256 is not the manifest's"
            found.append(Difference(name, "changed", text))
    return tuple(sorted(found, key=lambda one: (one.kind, one.name)))


def digest_of(file: Path) -> str:
    """SHA-256 in hex; "" of what is no regular file or cannot be read, which is no digest of anything."""
    try:
        if not stat.S_ISREG(file.lstat().st_mode):
            return ""
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError:
        return ""
