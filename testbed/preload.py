"""All images unpacked once into a containerd folder; every node of the bare bed starts with a copy of it."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from testbed import build, images, mkimage, process
from testbed.images import Image
from testbed.state import TestbedError, forget, locked, root, run, say, until

NODE = "preload"
HOLDS = "testbed-archives"  # the names of the archives that are unpacked there


def folder(wanted: Sequence[Image] = images.IMAGES) -> Path:
    names = "\n".join(images.archive(each).name for each in wanted)
    return root() / "preload" / hashlib.sha256(names.encode()).hexdigest()[:12]


def make(wanted: Sequence[Image] = images.IMAGES) -> Path:
    """The unpacked images, made when one of them has changed."""
    archives = images.make(wanted)
    target = folder(wanted)
    with locked("preload"):
        if target.exists():
            return target
        target.parent.mkdir(parents=True, exist_ok=True)
        process.end(lambda: [each.pid for each in process.running(target.parent)])  # of one that was killed
        for left in target.parent.glob(".new-*"):
            shutil.rmtree(left)
        work = Path(tempfile.mkdtemp(prefix=".new-", dir=target.parent))
        try:
            new = _begin(work / "root", archives)
            say(f"unpacking {len(new)} images")
            _unpack(work, new)
            _note(work / "root", archives)
            (work / "root").rename(target)
        finally:
            process.end(lambda: [each.pid for each in process.running(target.parent)])
            shutil.rmtree(work, ignore_errors=True)
        forget(path for path in target.parent.iterdir() if path.is_dir() and path.name != "log")
    return target


def _begin(fresh: Path, archives: list[Path]) -> list[Path]:
    """Starts from the earlier folder that lacks the fewest images and has none too many; returns what it lacks."""
    names = {_short(archive.name) for archive in archives}
    held = {each.parent: each.read_text().split() for each in folder().parent.glob(f"*/{HOLDS}")}
    useful = {earlier: within for earlier, within in held.items() if names.issuperset(map(_short, within))}
    if not useful:
        return archives
    best = max(useful, key=lambda earlier: len({archive.name for archive in archives} & set(useful[earlier])))
    copy(best, fresh)
    return [archive for archive in archives if archive.name not in useful[best]]


def _note(fresh: Path, archives: list[Path]) -> None:
    """What a folder holds, in a file of its own: one that came with a copy is the earlier folder's too. That also makes
    the folder the newest, which copies are not by their own date."""
    (fresh / HOLDS).unlink(missing_ok=True)
    (fresh / HOLDS).write_text("\n".join(archive.name for archive in archives))


def _short(archive: str) -> str:
    return archive.rpartition("-")[0]


def copy(source: Path, target: Path) -> None:
    """A copy for a node: files of images are linked, because nobody writes to them; the databases are copied."""
    if not source.exists():
        raise TestbedError("the images are not unpacked", "python -m testbed images")
    new = target.with_name(f".{target.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    run("cp", "-al", source, new)
    for database in new.glob("*/*.db"):
        content = database.read_bytes()
        database.unlink()
        database.write_bytes(content)
    new.rename(target)


def load(containerd: Path, archive: Path) -> None:
    """Imports an archive into a running containerd, named by its socket."""
    run(build.program("ctr"), "-a", containerd, "-n", "k8s.io", "images", "import", "--local", archive, within_s=300)


def _unpack(work: Path, archives: list[Path]) -> None:
    socket = work / "sock"
    disabled = [
        f'"io.containerd.{name}"'
        for name in ("grpc.v1.cri", "cri.v1.images", "cri.v1.runtime", "internal.v1.opt", "nri.v1.nri")
    ]
    config = work / "containerd.toml"
    config.write_text(
        f'version = 3\nroot = "{work}/root"\nstate = "{work}/state"\ndisabled_plugins = [{", ".join(disabled)}]\n'
        f'[grpc]\n  address = "{socket}"\n'
    )
    command = ["unshare", "--mount", "--propagation", "private", str(build.program("containerd")), "-c", str(config)]
    process.start(work.parent, NODE, "containerd", command)
    ctr = (build.program("ctr"), "-a", socket)

    def answers() -> bool:
        process.daemon(work.parent, NODE, "containerd")
        try:
            run(*ctr, "version")
        except TestbedError:
            return False
        return True

    until(answers, "containerd answers", 20, f"read {process.log_of(work.parent, NODE, 'containerd')}")
    for archive in archives:
        run(*ctr, "-n", "k8s.io", "images", "import", "--local", "--discard-unpacked-layers", archive, within_s=300)
    kept = set(run(*ctr, "-n", "k8s.io", "images", "ls", "-q").split())
    missing = {mkimage.name_of(archive) for archive in archives} - kept
    if missing:
        raise TestbedError(f"containerd did not take {', '.join(sorted(missing))}")
