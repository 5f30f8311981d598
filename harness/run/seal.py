"""Closing a run's folder: a manifest with the SHA-256 of every file."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from harness.journal.layout import RunFolder


def sha256(file: Path) -> str:
    """Hex digest of a file, read in pieces."""
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while piece := stream.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def sha256_of(path: Path) -> str:
    """Digest of a file, or of a folder: the SHA-256 of its sorted `digest  name` lines, byte code left out."""
    if path.is_file():
        return sha256(path)
    files = sorted(file for file in path.rglob("*") if file.is_file() and "__pycache__" not in file.parts)
    lines = "".join(f"{sha256(file)}  {file.relative_to(path)}\n" for file in files)
    return hashlib.sha256(lines.encode()).hexdigest()


def seal(folder: RunFolder) -> str:
    """Writes manifest.json over every file but itself and work/; returns the root hash.

    The root is the SHA-256 of the manifest's `files` as canonical JSON, so that one value stands for the whole folder.
    """
    files = {
        str(path.relative_to(folder.root)): sha256(path)
        for path in sorted(folder.root.rglob("*"))
        if path.is_file() and path != folder.manifest and folder.work not in path.parents
    }
    root = hashlib.sha256(json.dumps(files, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
    text = json.dumps({"run": folder.run_id, "root": root, "files": files}, indent=2, sort_keys=True) + "\n"
    write_whole(folder.manifest, text.encode())
    return root


def write_whole(file: Path, content: bytes) -> None:
    """The file either has its old content or all of the new one."""
    half = file.with_name(f".{file.name}.half")
    with half.open("wb") as stream:
        stream.write(content)
    half.replace(file)
