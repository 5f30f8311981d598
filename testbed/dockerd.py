"""A Docker daemon of our own, from Debian's packages, unpacked beside the system and not installed.

It lives in a network namespace without an uplink: no container can send a packet out. Ports that it publishes on
127.0.0.1 there are carried to the same numbers outside, so that `kind create cluster` works as anywhere.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

from testbed import cgroups, expose, machine, nameserver, process
from testbed.machine import Before
from testbed.state import HERE, TestbedError, Word, link, root, run, say, until

NETNS = "testbed-docker"
NODE = "docker"
NAME_SERVER = "coredns"
ANSWERS_WITHIN_S = 10.0
PACKAGES = ("docker.io", "containerd", "tini")
SYSCTLS = (*machine.SYSCTLS, "net.ipv4.ip_forward", "net.ipv4.conf.all.route_localnet")
# fixed paths, mounted over in the daemon's own mount namespace; the last is what kind.yaml mounts into every node
OWN = ("/run/docker", "/run/containerd", "/var/local/shared")
FOLDERS = (*OWN, "/lib/modules")  # kind nodes mount the last


def folder() -> Path:
    return root() / "run" / "docker"


def host() -> str:
    """The value of DOCKER_HOST."""
    return f"unix://{folder()}/docker.sock"


def docker(*argv: Word, within_s: float = 120) -> str:
    """Any docker client serves; Debian's own is with the daemon."""
    return run(programs() / "usr/bin/docker", *argv, env={**os.environ, "DOCKER_HOST": host()}, within_s=within_s)


def programs() -> Path:
    return root() / "docker"


def fetch() -> None:
    """Unpacks the packages, once."""
    if programs().exists():
        return
    work = Path(tempfile.mkdtemp(prefix=".docker-", dir=root()))
    try:
        say(f"unpacking {', '.join(PACKAGES)}")
        # apt drops its privileges for downloads, and cannot then write here
        run(
            "sh",
            "-c",
            'cd "$1" && shift && apt-get -o APT::Sandbox::User=root download -q "$@"',
            "sh",
            work,
            *PACKAGES,
            within_s=300,
        )
        for package in work.glob("*.deb"):
            run("dpkg-deb", "-x", package, work / "root")
        missing = [
            line.split()[0] for line in run("ldd", work / "root/usr/sbin/dockerd").splitlines() if "not found" in line
        ]
        if missing:
            raise TestbedError(f"dockerd needs {', '.join(missing)}", "scripts/setup.sh --testbed")
        work.chmod(0o755)
        (work / "root").rename(programs())
        (root() / "bin").mkdir(exist_ok=True)
        link(root() / "bin/docker", programs() / "usr/bin/docker")
    finally:
        shutil.rmtree(work, ignore_errors=True)


def is_up() -> bool:
    try:
        docker("info", within_s=5)
    except TestbedError:
        return False
    return True


def up() -> None:
    if is_up():
        return
    down()
    fetch()
    before = machine.look(SYSCTLS, FOLDERS)
    for path in OWN:
        (folder() / "own" / Path(path).name).mkdir(parents=True)
    (folder() / "before.json").write_text(json.dumps(asdict(before)))
    machine.make_folders(before)
    run("ip", "netns", "add", NETNS)
    run("ip", "-n", NETNS, "link", "set", "lo", "up")
    run("ip", "-n", NETNS, "address", "add", f"{nameserver.ADDRESS}/32", "dev", "lo")
    _start_name_server()
    _start_daemons()
    until(is_up, "dockerd answers", 20, f"read {folder() / 'log'}")
    say(f"dockerd is up; DOCKER_HOST={host()}")


def _start_name_server() -> None:
    """Raises TestbedError, with the end of its log, when it does not answer: without one Docker works, and slowly."""
    corefile = folder() / "Corefile"
    corefile.write_text(nameserver.COREFILE)
    process.start(folder(), NODE, NAME_SERVER, [root() / "bin/coredns", "-conf", corefile], netns=NETNS)

    def answers() -> bool:
        answered = inside.submit(nameserver.answers).result()
        if not answered:
            process.daemon(folder(), NODE, NAME_SERVER)  # raises when it has ended: no need to wait
        return answered

    with ThreadPoolExecutor(1, initializer=expose.enter, initargs=(NETNS,)) as inside:
        log = process.log_of(folder(), NODE, NAME_SERVER)
        until(answers, f"{NAME_SERVER} answers at {nameserver.ADDRESS}", ANSWERS_WITHIN_S, f"read {log}")


def _start_daemons() -> None:
    mounts = [str(folder() / "own" / Path(path).name) + ":" + path for path in OWN]
    unshare = [
        "unshare",
        "--mount",
        "--propagation",
        "slave",
        "bash",
        str(HERE / "node/docker-holder"),
        str(folder()),
        *mounts,
    ]
    process.start(folder(), NODE, "holder", unshare, netns=NETNS)
    until((folder() / "mounted").exists, "dockerd's mounts", 10, every_s=0.02)
    disabled = [
        "grpc.v1.cri",
        "internal.v1.opt",
        *(f"snapshotter.v1.{name}" for name in ("aufs", "btrfs", "devmapper", "zfs")),
    ]
    (folder() / "containerd.toml").write_text(
        f'version = 2\nroot = "{root()}/docker-containerd"\nstate = "{folder()}/containerd"\noom_score = 0\n'
        f"disabled_plugins = {json.dumps([f'io.containerd.{name}' for name in disabled])}\n"
        f'[grpc]\n  address = "{folder()}/containerd.sock"\n'
    )
    (folder() / "daemon.json").write_text(json.dumps(_daemon(), indent=1))
    binaries = programs() / "usr"
    path = {"PATH": f"{binaries}/bin:{process.PATH}"}
    holder = process.daemon(folder(), NODE, "holder").pid
    containerd: list[Word] = [binaries / "bin/containerd", "-c", folder() / "containerd.toml"]
    process.start(folder(), NODE, "containerd", containerd, netns=NETNS, mounts_of=holder, env=path)
    dockerd: list[Word] = [binaries / "sbin/dockerd", "--config-file", folder() / "daemon.json"]
    process.start(folder(), NODE, "dockerd", dockerd, netns=NETNS, mounts_of=holder, env=path)
    process.start(folder(), NODE, "expose", [sys.executable, "-I", HERE / "expose.py", NETNS, "all"])


def _daemon() -> dict[str, object]:
    return {
        "data-root": str(root() / "docker-data"),
        "exec-root": str(folder() / "exec"),
        "pidfile": str(folder() / "docker.pid"),
        "hosts": [host()],
        "containerd": str(folder() / "containerd.sock"),
        "storage-driver": "overlay2",
        "bridge": "none",
        "iptables": False,
        "ip6tables": False,
        "ip-forward": False,
        "ip-masq": False,
        "userland-proxy": True,
        "userland-proxy-path": str(programs() / "usr/sbin/docker-proxy"),
        "oom-score-adjust": 0,
        "shutdown-timeout": 5,
        "default-runtime": "nosysres",
        "runtimes": {"nosysres": {"path": str(HERE / "node/runc-nosysres")}},
        "dns": [nameserver.ADDRESS],
        "default-address-pools": [{"base": "10.211.0.0/16", "size": 24}],
        "features": {"buildkit": False},
    }


def down() -> None:
    """Ends the daemon with all its containers and removes their data; nothing is done when there is nothing."""
    if not folder().exists():
        return
    with contextlib.suppress(TestbedError):
        if containers := docker("ps", "-aq").split():
            docker("rm", "-fv", *containers)

    def pids() -> list[int]:
        return [*cgroups.processes("docker"), *(each.pid for each in process.running(folder()))]

    process.end(pids, gently_s=3)
    if (machine.NAMESPACES / NETNS).exists():
        run("ip", "netns", "del", NETNS)
    cgroups.remove("docker")
    for data in ("docker-data", "docker-containerd"):
        shutil.rmtree(root() / data, ignore_errors=True)
    if (folder() / "before.json").exists():
        machine.restore(Before.of(json.loads((folder() / "before.json").read_text())))
    shutil.rmtree(folder())
    say("dockerd is down")
