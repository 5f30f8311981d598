"""Go programs at pinned versions, static, built once per machine and input.

Each part has a folder named by a checksum of all that goes into it, put in place whole; `bin/` links to the newest ones
for people. Two ways to build: `go install PACKAGE@VERSION`, and `go build` in a folder of `go/` for our own programs
and for modules that `go install` refuses because of their replace directives.
"""

from __future__ import annotations

import functools
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from testbed.state import HERE, REPOSITORY, TestbedError, Word, forget, link, locked, root, run, run_for_long, say

GO = HERE / "go"


_ETCD = "go.etcd.io/etcd/server/v3"


@dataclass(frozen=True)
class Part:
    """Programs that are built together. `seconds`: about how long from empty caches on two cores."""

    name: str
    version: str
    packages: tuple[str, ...]
    seconds: int
    folder: str = ""  # of go/; empty: go install at `version`
    stamps: tuple[
        str, ...
    ] = ()  # variables that hold the version a program tells; go install leaves them at a placeholder
    on_demand: bool = False  # an add-on: built when it is named

    @property
    def programs(self) -> tuple[str, ...]:
        return tuple(_program(package) for package in self.packages)


def _program(package: str) -> str:
    """A package's program is named by the last part of its path; etcd's is in a package called server."""
    return "etcd" if package == _ETCD else package.rpartition("/")[2]


def _pin(folder: str, module: str) -> str:
    found = re.search(rf"^\s*{re.escape(module)} (v\S+)", (GO / folder / "go.mod").read_text(), re.MULTILINE)
    assert found, f"go/{folder}/go.mod does not name {module}"
    return found[1]


def _weaviate() -> str:
    found = re.search(r"^WEAVIATE=(v\S+)", (REPOSITORY / "scripts/setup.sh").read_text(), re.MULTILINE)
    assert found, "scripts/setup.sh does not say WEAVIATE=v…"
    return found[1]


KUBERNETES = _pin("k8s", "k8s.io/kubernetes")
_KUBE = ("kubectl", "kube-apiserver", "kubelet", "kube-controller-manager", "kube-scheduler", "kube-proxy", "kubeadm")
_CONTAINERD = "github.com/containerd/containerd/v2"
_TRAEFIK = "github.com/traefik/traefik/v3"
_CNI = "github.com/containernetworking/plugins/plugins"
PARTS = (
    Part("etcd", _pin("etcd", _ETCD), (_ETCD,), 37, folder="etcd"),
    Part(
        "k8s",
        KUBERNETES,
        tuple(f"k8s.io/kubernetes/cmd/{name}" for name in _KUBE),
        329,
        folder="k8s",
        stamps=("k8s.io/component-base/version.gitVersion", "k8s.io/client-go/pkg/version.gitVersion"),
    ),
    Part(
        "containerd",
        "v2.4.2",
        tuple(f"{_CONTAINERD}/cmd/{name}" for name in ("containerd", "containerd-shim-runc-v2", "ctr")),
        65,
        stamps=(f"{_CONTAINERD}/version.Version",),
    ),
    Part(
        "cni",
        "v1.9.1",
        tuple(f"{_CNI}/{name}" for name in ("main/bridge", "main/loopback", "ipam/host-local", "meta/portmap")),
        5,
    ),
    Part("programs", "v1", ("testbed.local/programs/pause", "testbed.local/programs/probe"), 2, folder="programs"),
    Part("coredns", "v1.15.0", ("github.com/coredns/coredns",), 131),
    Part("metrics-server", "v0.9.0", ("sigs.k8s.io/metrics-server/cmd/metrics-server",), 128),
    Part("local-path-provisioner", "v0.0.30", ("github.com/rancher/local-path-provisioner",), 60),
    Part("weaviate", _weaviate(), ("github.com/weaviate/weaviate/cmd/weaviate-server",), 205),
    Part("gpu-sim", "v1", ("testbed.local/gpu-sim",), 2, folder="gpu-sim"),
    Part("kind", "v0.33.0", ("sigs.k8s.io/kind",), 9),
    Part("helm", "v3.22.0", ("helm.sh/helm/v3/cmd/helm",), 61),
    Part(
        "traefik",
        _pin("traefik", _TRAEFIK),
        (f"{_TRAEFIK}/cmd/traefik",),
        300,
        folder="traefik",
        stamps=(f"{_TRAEFIK}/pkg/version.Version",),
        on_demand=True,
    ),
)


def part(name: str) -> Part:
    for each in PARTS:
        if each.name == name:
            return each
    raise TestbedError(f"unknown part {name!r}", f"one of {', '.join(each.name for each in PARTS)}")


@functools.cache
def folder(name: str) -> Path:
    """Where a part's programs are, or will be."""
    return root() / "build" / f"{name}-{_key(part(name))[:12]}"


def program(name: str) -> Path:
    """A built program; raises TestbedError when it is not built."""
    for each in PARTS:
        if name in each.programs:
            path = folder(each.name) / name
            if path.exists():
                return path
            raise TestbedError(f"{name} {each.version} is not built", f"python -m testbed build {each.name}")
    raise AssertionError(f"no part builds {name}")


def build(names: Iterable[str] = ()) -> None:
    """Builds the parts that are missing; by default all but those that are built on demand."""
    wanted = [part(name) for name in names] or [each for each in PARTS if not each.on_demand]
    missing = [each for each in wanted if not folder(each.name).exists()]
    if missing:
        with locked("build"):
            for number, each in enumerate(missing, 1):
                _build(each, f"{number} of {len(missing)}")
    say(f"{len(wanted)} parts are built, {len(wanted) - len(missing)} of them before")


def _build(each: Part, place: str) -> None:
    target = folder(each.name)
    if target.exists():  # by whoever held the lock before us
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{each.name}-", dir=target.parent))
    try:
        if not _taken(each, work):
            what = f"building {each.name} {each.version} ({place}; about {each.seconds} s from empty caches)"
            environment = {**os.environ, "CGO_ENABLED": "0", "GOBIN": str(work), "GOFLAGS": ""}
            log = root() / "log" / f"build-{each.name}.log"
            run_for_long(what, ["nice", "-n2", *_command(each, work)], log, environment, GO / each.folder)
        work.chmod(0o755)
        work.rename(target)
        forget(target.parent.glob(f"{each.name}-*"))
    finally:
        shutil.rmtree(work, ignore_errors=True)
    _link(target)


def _command(each: Part, work: Path) -> list[Word]:
    version = " ".join(f"-X {name}={each.version}" for name in each.stamps)
    flags: list[Word] = ["-v", "-trimpath", "-ldflags", f"-s -w {version}".strip()]
    if each.folder:
        out = work / each.programs[0] if len(each.packages) == 1 else f"{work}/"
        return ["go", "build", *flags, "-o", out, *each.packages]
    return ["go", "install", *flags, *(f"{package}@{each.version}" for package in each.packages)]


def _taken(each: Part, work: Path) -> bool:
    """Copies what `go install` put into GOPATH/bin before, when it is the same version, static."""
    if each.folder or each.stamps:
        return False
    gobin = Path(run("go", "env", "GOPATH").strip()) / "bin"
    if not all((gobin / name).exists() for name in each.programs):
        return False
    for name in each.programs:
        told = run("go", "version", "-m", gobin / name)
        if f"\t{each.version}\t" not in told or "CGO_ENABLED=0" not in told:
            return False
    for name in each.programs:
        shutil.copy2(gobin / name, work / name)
    say(f"{each.name} {each.version} is taken from {gobin}")
    return True


def _link(target: Path) -> None:
    links = root() / "bin"
    links.mkdir(exist_ok=True)
    for file in target.iterdir():
        link(links / file.name, file)


@functools.cache
def _go() -> str:
    return run("go", "env", "GOVERSION", "GOARCH")


def _key(each: Part) -> str:
    """A checksum of all that decides what is built."""
    digest = hashlib.sha256()
    for word in (_go(), each.version, *each.packages, *each.stamps):
        digest.update(word.encode() + b"\0")
    if each.folder:
        for file in sorted(path for path in (GO / each.folder).rglob("*") if path.is_file()):
            digest.update(str(file.relative_to(GO)).encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()
