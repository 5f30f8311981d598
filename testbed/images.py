"""The images that run on the bed, as docker-archives made without Docker and without a registry.

An archive's file name holds a checksum of its inputs.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from testbed import build, mkimage, roots
from testbed.state import REPOSITORY, TestbedError, forget, link, locked, root, say

OWN, SOPHIA = "testbed.local", "sophia.local"


@dataclass(frozen=True)
class Image:
    """A short name, and what is in it: programs (path → program of build.py), a Debian root, our own Python package."""

    short: str
    tag: str
    programs: Mapping[str, str] = field(default_factory=dict)
    root: str = ""
    package: str = ""
    entrypoint: tuple[str, ...] = ()
    user: str = ""
    registry: str = OWN

    @property
    def name(self) -> str:
        return f"{self.registry}/{self.short}:{self.tag}"


def _of_one_program(name: str, tag: str) -> Image:
    return Image(name, tag, {f"/{name}": name}, entrypoint=(f"/{name}",))


IMAGES = (
    _of_one_program("pause", "3.10.2"),  # the tag that kubeadm of this version asks for
    _of_one_program("probe", "1"),
    _of_one_program("coredns", build.part("coredns").version),
    _of_one_program("metrics-server", build.part("metrics-server").version),
    _of_one_program("local-path-provisioner", build.part("local-path-provisioner").version),
    _of_one_program("gpu-sim", "1"),
    Image("busybox", roots.SUITE, root="busybox"),
    # These two are what deploy/images/*/Dockerfile say.
    Image(
        "weaviate",
        build.part("weaviate").version.removeprefix("v"),
        {"/weaviate-server": "weaviate-server"},
        entrypoint=("/weaviate-server",),
        user=roots.USER,
        registry=SOPHIA,
    ),
    Image("sophia", "1.0.0", root="sophia", package="sophia", user=roots.USER, registry=SOPHIA),
)

# Not on the nodes from the start: `testbed add` takes them there.
ON_DEMAND = (_of_one_program("traefik", build.part("traefik").version),)

_KUBE = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy")
# What kubeadm runs in pods; the bare bed runs the programs themselves.
CONTROL_PLANE = (
    Image("etcd", build.part("etcd").version.removeprefix("v") + "-0", {"/usr/local/bin/etcd": "etcd"}),
    *(
        Image(
            name, build.KUBERNETES, {f"/usr/local/bin/{name}": name}, root="kube-proxy" if name == "kube-proxy" else ""
        )
        for name in _KUBE
    ),
)


def named(short: str) -> Image:
    known = {each.short: each for each in (*IMAGES, *ON_DEMAND, *CONTROL_PLANE)}
    if short not in known:
        raise TestbedError(f"unknown image {short!r}", f"one of {', '.join(known)}")
    return known[short]


def name(short: str) -> str:
    """Name and tag of an image of ours."""
    return named(short).name


def with_tags(manifest: str) -> str:
    """A manifest with the tags of our images, which it names without."""
    return re.sub(rf"(?<=image: ){re.escape(OWN)}/([a-z-]+)(?![a-z:-])", lambda found: name(found[1]), manifest)


def make(wanted: Sequence[Image] = IMAGES) -> list[Path]:
    """The archives of images, made where they are missing or an input has changed."""
    return [_make(each) for each in wanted]


def archive(each: Image) -> Path:
    return root() / "img" / f"{each.short}-{_key(each)[:12]}.tar"


def _make(each: Image) -> Path:
    out = archive(each)
    with locked("images"):
        if not out.exists():
            out.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=out.parent) as work:
                layers = _layers(each, Path(work))
                config = mkimage.Config(each.entrypoint, each.user)
                new = Path(work) / out.name
                mkimage.archive(new, each.name, layers, config)
                new.replace(out)
            say(f"image {each.name}: {out.stat().st_size / 1e6:.0f} MB")
            forget(out.parent.glob(f"{each.short}-*.tar"))
        link(out.parent / f"{each.short}.tar", out)  # for people and scenarios
    return out


def _layers(each: Image, work: Path) -> list[Path]:
    layers = []
    if each.root:
        layers.append(layer_of_root(each.root))
    if each.programs:
        layers.append(work / "programs.tar")
        mkimage.layer_of_files(layers[-1], {path: build.program(program) for path, program in each.programs.items()})
    if each.package:
        layers.append(work / "package.tar")
        _layer_of_package(layers[-1], each.package, roots.make(each.root))
    return layers


def layer_of_root(name: str) -> Path:
    """A Debian root as a layer, kept: our own source changes more often than what it stands on."""
    tree = roots.make(name)
    key = hashlib.sha256(f"{tree.name} {roots.DISPENSABLE}".encode()).hexdigest()[:12]
    out = root() / "img" / "layers" / f"{name}-{key}.tar"
    if not out.exists():
        out.parent.mkdir(parents=True, exist_ok=True)
        new = out.with_suffix(".new")
        mkimage.layer_of_tree(new, tree, without=roots.DISPENSABLE)
        new.replace(out)
        forget(out.parent.glob(f"{name}-*.tar"))
    return out


def _layer_of_package(out: Path, package: str, tree: Path) -> None:
    """Our own Python source beside the root's Python packages, with bytecode by the root's own Python."""
    place = f"{roots.PYTHON_PACKAGES}/{package}"
    try:
        shutil.copytree(
            REPOSITORY / package, tree / place, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True
        )
        roots.compile_python(tree, f"/{place}")
        mkimage.layer_of_tree(out, tree, below=place)
    finally:
        shutil.rmtree(tree / place)


def _key(each: Image) -> str:
    digest = hashlib.sha256(repr(each).encode())
    inputs = [_folder_of(program) for program in each.programs.values()]
    inputs += [roots.folder(each.root).name, *roots.DISPENSABLE] if each.root else []
    for word in inputs:
        digest.update(word.encode())
    if each.package:
        sources = (REPOSITORY / each.package).rglob("*")
        for file in sorted(path for path in sources if path.is_file() and "__pycache__" not in path.parts):
            digest.update(str(file.relative_to(REPOSITORY)).encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


def _folder_of(program: str) -> str:
    return next(build.folder(part.name).name for part in build.PARTS if program in part.programs)
