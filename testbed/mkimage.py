"""Docker-archives without Docker: `ctr images import`, `docker load` and `kind load image-archive` take them.

The same input gives the same digest: entries in order, time 0, no names of users. One tar file per layer.
"""

from __future__ import annotations

import hashlib
import io
import json
import platform
import tarfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from testbed.state import TestbedError

PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
GOARCH = {"x86_64": "amd64", "aarch64": "arm64", "ppc64le": "ppc64le", "riscv64": "riscv64", "s390x": "s390x"}


@dataclass(frozen=True)
class Config:
    """What a container of the image runs by default."""

    entrypoint: Sequence[str] = ()
    user: str = ""
    env: Sequence[str] = ()


def architecture(machine: str = "") -> str:
    """What images call a machine's instruction set (`uname -m`; this one's by default), by Go's names as OCI asks."""
    machine = machine or platform.machine()
    try:
        return GOARCH[machine]
    except KeyError:
        known = ", ".join(GOARCH)
        raise TestbedError(f"no image is made for a machine of the kind {machine!r}", f"known: {known}") from None


def layer_of_files(out: Path, files: Mapping[str, Path], folders: Mapping[str, int] | None = None) -> None:
    """Writes a layer of single files (absolute path in the image → file here), all root's, and of folders (modes)."""
    modes = {"tmp": 0o1777} | {path.strip("/"): mode for path, mode in (folders or {}).items()}
    for path in files:
        for parent in list(Path(path.strip("/")).parents)[:-1]:
            modes.setdefault(str(parent), 0o755)
    with tarfile.open(out, "w", format=tarfile.GNU_FORMAT) as tar:
        for path, mode in sorted(modes.items()):
            entry = tarfile.TarInfo(path)
            entry.type, entry.mode = tarfile.DIRTYPE, mode
            tar.addfile(entry)
        for path, source in sorted(files.items()):
            tar.add(source.resolve(), arcname=path.strip("/"), filter=_roots, recursive=False)


def layer_of_tree(out: Path, tree: Path, below: str = "", without: Collection[str] = ()) -> None:
    """Writes a layer with a folder's content, owners kept as numbers.

    `below` limits it to one folder of the tree. Of each folder named in `without` only the folder itself is kept.
    """
    skipped = tuple(f"{path.strip('/')}/" for path in without)

    def kept(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
        return None if f"{entry.name}/".startswith(skipped) and f"{entry.name}/" not in skipped else _neutral(entry)

    with tarfile.open(out, "w", format=tarfile.GNU_FORMAT) as tar:
        for path in [tree / below] if below else sorted(tree.iterdir()):
            tar.add(path, arcname=str(path.relative_to(tree)), filter=kept)


def archive(out: Path, name: str, layers: Sequence[Path], config: Config) -> str:
    """Writes the image `name:tag`; returns its id (a digest of its configuration and layers)."""
    digests = [_digest(layer) for layer in layers]
    run: dict[str, object] = {"Env": [PATH, *config.env], "WorkingDir": "/"}
    if config.entrypoint:
        run["Entrypoint"] = list(config.entrypoint)
    if config.user:
        run["User"] = config.user
    described = json.dumps(
        {
            "architecture": architecture(),
            "os": "linux",
            "config": run,
            "created": "1970-01-01T00:00:00Z",
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}" for digest in digests]},
            "history": [{"created_by": "testbed"} for _ in digests],
        }
    ).encode()
    identity = hashlib.sha256(described).hexdigest()
    paths = [f"{digest}/layer.tar" for digest in digests]
    manifest = json.dumps([{"Config": f"{identity}.json", "RepoTags": [name], "Layers": paths}]).encode()
    with tarfile.open(out, "w", format=tarfile.GNU_FORMAT) as tar:
        for path, content in ((f"{identity}.json", described), ("manifest.json", manifest)):
            entry = tarfile.TarInfo(path)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
        for path, layer in zip(paths, layers, strict=True):
            tar.add(layer, arcname=path, filter=_roots)
    return identity


def name_of(archived: Path) -> str:
    """The name and tag of the image in an archive."""
    with tarfile.open(archived) as tar:
        manifest = tar.extractfile("manifest.json")
        assert manifest is not None
        return str(json.load(manifest)[0]["RepoTags"][0])


def _neutral(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uname = entry.gname = ""
    entry.mtime = 0
    return entry


def _roots(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    return _neutral(entry)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
