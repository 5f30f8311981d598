"""Closing a run's folder: one root hash over all that the run left, and the reports that carry it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

from harness.journal.layout import RunFolder
from harness.journal.manifest import BESIDE, REPORTS, Manifest, digest_of, entries, root_of


def sha256(file: Path) -> str:
    """Hex digest of a file, read in pieces."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sha256_of(path: Path) -> str:
    """Digest of a file, or of a folder: the SHA-256 of its sorted `digest  name` lines, byte code left out."""
    if path.is_file():
        return sha256(path)
    files = sorted(file for file in path.rglob("*") if file.is_file() and "__pycache__" not in file.parts)
    lines = "".join(f"{sha256(file)}  {file.relative_to(path)}\n" for file in files)
    return hashlib.sha256(lines.encode()).hexdigest()


def seal(folder: RunFolder, render: Callable[[str], object] = lambda root: None) -> str:
    """Hashes every file but the reports and work/, has the reports rendered with that root, and writes manifest.json.

    The manifest comes last and whole: a folder is sealed or it is not. Returns the root.
    """
    left = {name: path for name, path in entries(folder).items() if folder.work not in path.parents}
    files = {name: digest_of(path) for name, path in left.items() if name not in (*REPORTS, *BESIDE)}
    root = root_of(folder.run_id, files)
    render(root)
    reports = {name: digest_of(folder.root / name) for name in REPORTS if (folder.root / name).is_file()}
    write_whole(folder.manifest, Manifest(folder.run_id, root, files, reports).to_bytes())
    return root


def write_whole(file: Path, content: bytes) -> None:
    """The file either has its old content or all of the new one, also when the machine stops."""
    half = file.with_name(f".{file.name}.half")
    with half.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    half.replace(file)
