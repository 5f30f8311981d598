"""Debian root file systems, made by apt and pip: what images with more than one program stand on."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import re
import shutil
import tempfile
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from testbed.state import HERE, REPOSITORY, TestbedError, Word, forget, locked, root, run, run_for_long

SUITE = "bookworm"  # its systemd 252 still runs on cgroup v1, its Python is 3.11
PYTHON = "3.11"
USER = "10001:10001"
PYTHON_PACKAGES = f"usr/local/lib/python{PYTHON}/dist-packages"
# Nothing that a container needs; left out of its layer.
DISPENSABLE = (
    *("proc", "sys", "dev", "run", "tmp", "var/cache/apt", "var/lib/apt/lists", "var/log", "root"),
    *("var/lib/postgresql/15", "etc/postgresql/15"),  # a database that Debian's package makes
    *(f"usr/share/{name}" for name in ("doc", "man", "locale", "info", "lintian", "bug")),
    "usr/share/javascript",  # 220 MB of Prometheus' old web pages
)
# Of the machine that makes the root, and so not the same twice.
MACHINES_OWN = ("etc/resolv.conf", "etc/hostname", "etc/machine-id")


@dataclass(frozen=True)
class Root:
    name: str
    packages: tuple[str, ...]
    extra: str = ""  # of pyproject.toml: Python packages to install
    configured: bool = True  # False: only unpacked
    commands: tuple[tuple[str, ...], ...] = ()  # run in it at the end
    links: Mapping[str, str] = field(default_factory=dict)


_NETWORK = ("iptables", "conntrack", "iproute2", "kmod")
_SYSTEMD = ("systemd", "systemd-sysv", "dbus")
_TOOLS = ("ethtool", "socat", "mount", "util-linux", "procps", "hostname", "runc", "netbase")
_XTABLES = ("iptables", "iptables-save", "iptables-restore", "ip6tables", "ip6tables-save", "ip6tables-restore")
ROOTS = (
    Root(
        "sophia",
        (
            "python3",
            "postgresql-15",
            "redis-server",
            "haproxy",
            "prometheus",
            "prometheus-alertmanager",
            "ca-certificates",
        ),
        extra="sophia",
        commands=(
            # PostgreSQL wants a name for the user it runs as.
            ("groupadd", "--gid", USER.partition(":")[2], "sophia"),
            ("useradd", "--uid", USER.partition(":")[0], "--gid=sophia", "--home-dir=/nonexistent", "sophia"),
            # A package makes a key pair for nobody, each time another one.
            ("find", "/etc/ssl", "-lname", "ssl-cert-snakeoil.pem", "-delete"),
            ("find", "/etc/ssl", "-name", "ssl-cert-snakeoil.*", "-delete"),
        ),
    ),
    Root("busybox", ("busybox-static",), configured=False, commands=(("/bin/busybox", "--install", "-s", "/bin"),)),
    Root("node", (*_SYSTEMD, *_NETWORK, *_TOOLS)),
    Root(
        "kube-proxy", _NETWORK, configured=False, links={f"usr/sbin/{name}": "xtables-nft-multi" for name in _XTABLES}
    ),
)


def folder(name: str) -> Path:
    each = next(root for root in ROOTS if root.name == name)
    return root() / "rootfs" / f"{name}-{_key(each)[:12]}"


def make(name: str) -> Path:
    """The folder of a root, made when it is missing."""
    target = folder(name)
    if target.exists():
        return target
    each = next(root for root in ROOTS if root.name == name)
    with locked("rootfs"):
        if target.exists():
            return target
        target.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=target.parent))
        work.chmod(0o755)
        try:
            _debian(each, work)
            _python(each, work)
            work.rename(target)
            forget(target.parent.glob(f"{name}-*"))
        finally:
            shutil.rmtree(work, ignore_errors=True)
    return target


def _debian(each: Root, work: Path) -> None:
    """mmdebstrap is debootstrap and apt in one: resolves what the packages need, starts none of their services."""
    mirrors = run(
        "apt-get", "indextargets", "--format", "$(SITE)", "Created-By: Packages", f"Codename: {SUITE}"
    ).split()
    variant = "minbase" if each.configured else "extract"
    options = ["--mode=root", f"--variant={variant}", f"--include={','.join(each.packages)}", "--skip=check/empty"]
    command: list[Word] = ["mmdebstrap", *options, SUITE, work, *mirrors[:1]]
    run_for_long(f"making the Debian root {each.name} (about 60 s)", command, root() / "log" / f"root-{each.name}.log")
    for file in MACHINES_OWN:
        (work / file).unlink(missing_ok=True)
    for words in each.commands:
        run("chroot", work, *words)
    for path, target in each.links.items():
        (work / path).unlink(missing_ok=True)
        (work / path).symlink_to(target)


def _python(each: Root, work: Path) -> None:
    """Wheels, then bytecode that does not depend on the files' times."""
    if not each.extra:
        return
    ours = importlib.util.find_spec("pip")
    if ours is None or ours.origin is None:
        raise TestbedError("this Python has no pip", "run it as .venv/bin/python -m testbed, after scripts/setup.sh")
    pip: list[Word] = ["unshare", "--mount", HERE / "pip-in-root", work, Path(ours.origin).parent, "install"]
    pip += ["--quiet", "--no-compile", "--no-cache-dir", "--only-binary=:all:", "--root-user-action=ignore"]
    pip += [f"--target=/{PYTHON_PACKAGES}", *requirements(each.extra)]
    log = root() / "log" / f"root-{each.name}-pip.log"
    run_for_long(f"installing the Python packages of {each.name}", pip, log)
    (work / "etc/resolv.conf").unlink()
    compile_python(work, f"/usr/lib/python{PYTHON}", f"/{PYTHON_PACKAGES}")


def compile_python(tree: Path, *folders: str) -> None:
    """Writes bytecode of a root's Python files; layers have no times that it could be checked against."""
    run("chroot", tree, "python3", "-m", "compileall", "-q", "-f", "--invalidation-mode", "unchecked-hash", *folders)


def requirements(extra: str) -> list[str]:
    """The Python packages of an extra, each at the version that this interpreter has: the tested one."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    pinned = []
    for wanted in project["optional-dependencies"][extra]:
        name = re.match(r"[\w.-]+(\[[\w,-]+\])?", wanted)
        assert name, wanted
        try:
            pinned.append(f"{name[0]}=={importlib.metadata.version(name[0].partition('[')[0])}")
        except importlib.metadata.PackageNotFoundError as error:
            raise TestbedError(
                f"Python has no {name[0]}", "run it as .venv/bin/python -m testbed, after scripts/setup.sh"
            ) from error
    return sorted(pinned)


def _key(each: Root) -> str:
    words = [SUITE, repr(each), *MACHINES_OWN, *(requirements(each.extra) if each.extra else [])]
    return hashlib.sha256("\n".join(words).encode()).hexdigest()
