"""The k3s provider: a cluster that a run installs on machines that have none, and uninstalls.

K3s' own install script does it, from a binary that is copied there: Traefik off, regions and GPUs as labels. An NVIDIA
container runtime that is on a machine is found by K3s itself.
"""

from __future__ import annotations

import secrets
import shlex
import subprocess
from pathlib import Path

from harness import effort
from harness.errors import TargetError
from harness.model.on_cluster import K3sCluster, K3sNode, OnCluster
from harness.targets.kubernetes.api import Cluster
from harness.targets.kubernetes.nodes import wait_for_nodes
from harness.targets.kubernetes.state import ClusterFolder
from harness.targets.state import write_whole

BINARY, TOKEN = "/usr/local/bin/k3s", "/etc/rancher/k3s/harness-token"
KUBECONFIG, LOCAL = "/etc/rancher/k3s/k3s.yaml", "https://127.0.0.1:6443"
PUT = 'umask 077 && mkdir -p "$(dirname "$1")" && cat >"$1" && chmod "$2" "$1"'
# The token is the run's mark on a machine too: it begins with the run's id, and nobody's is written over.
CLAIM = 'umask 077 && mkdir -p "$(dirname "$1")" && set -C && cat >"$1"'
OWNED = '[ -e "$1" ] || exit 1; token=$(cat "$1") || exit 2; [ "${token%.*}" = "$2" ]'
UNINSTALL = {"server": "/usr/local/bin/k3s-uninstall.sh", "agent": "/usr/local/bin/k3s-agent-uninstall.sh"}


def create(on: OnCluster, folder: ClusterFolder) -> OnCluster:
    """Installs server and agents, loads images, waits until all nodes are Ready; the same with its kubeconfig and
    context. Raises TargetError when a step fails, or when a machine has K3s already or is another run's."""
    asked = _asked(on)
    nodes = [("server", asked.server), *(("agent", each) for each in asked.agents)]
    for _, node in nodes:
        for file in (BINARY, TOKEN):
            if not _holds(asked, folder, node, "test", "!", "-e", file):
                raise TargetError(f"{node.name} has {file} already: it may be somebody's\n  fix: name other machines")
    token = f"{folder.id}.{secrets.token_hex(24)}".encode()
    for _, node in nodes:
        _run(asked, folder, node, "sh", "-c", CLAIM, "claim", TOKEN, given=token)
    for role, node in nodes:
        _run(asked, folder, node, "sh", "-c", PUT, "put", BINARY, "755", given=Path(asked.binary).read_bytes())
        _run(asked, folder, node, *_install(role, node, asked), given=Path(asked.installer).read_bytes())
        for archive in asked.archives:
            _run(asked, folder, node, BINARY, "ctr", "images", "import", "-", given=Path(archive).read_bytes())
    text = _run(asked, folder, asked.server, "cat", KUBECONFIG).replace(LOCAL, asked.address)
    write_whole(folder.kubeconfig, text.encode(), mode=0o600)
    made = on.model_copy(update={"kubeconfig": str(folder.kubeconfig), "context": "default"})
    wait_for_nodes(Cluster.connect(made.kubeconfig, made.context), asked.within, len(nodes))
    return made


def _install(role: str, node: K3sNode, asked: K3sCluster) -> list[str]:
    """The install script's call, which comes on standard input."""
    labels = [f"topology.kubernetes.io/region={node.region}"] if node.region else []
    labels += [f"gpu-type={node.gpu}", "nvidia.com/gpu.present=true"] if node.gpu else []
    flags = [role, f"--node-name={node.name}", f"--token-file={TOKEN}", *(f"--node-label={each}" for each in labels)]
    if role == "server":
        flags += ["--disable=traefik", "--write-kubeconfig-mode=600"]
    else:
        flags += [f"--server={asked.address}"]
    return ["env", "INSTALL_K3S_SKIP_DOWNLOAD=true", f"INSTALL_K3S_EXEC={shlex.join(flags)}", "sh", "-s", "-"]


def delete(on: OnCluster, folder: ClusterFolder) -> list[str]:
    """Uninstalls it from every machine, agents first; what is still there, in words. Idempotent. A machine that is not
    this run's by its token is left alone."""
    asked, left = _asked(on), []
    for role, node in [*(("agent", each) for each in asked.agents), ("server", asked.server)]:
        if _holds(asked, folder, node, "sh", "-c", OWNED, "owned", TOKEN, folder.id):
            remove = f'[ ! -e "$1" ] || "$1"; rm -f {TOKEN} {BINARY}'
            _run(asked, folder, node, "sh", "-c", remove, "remove", UNINSTALL[role])
            if not _holds(asked, folder, node, "test", "!", "-e", BINARY):
                left.append(f"K3s on {node.name}")
    return left


def _asked(on: OnCluster) -> K3sCluster:
    assert on.k3s is not None
    return on.k3s


def _holds(asked: K3sCluster, folder: ClusterFolder, node: K3sNode, *test: str) -> bool:
    ran = _called(asked, folder, node, test)
    if ran.returncode not in (0, 1):
        raise TargetError(f"{node.name} cannot be asked: {_last(ran)}")
    return ran.returncode == 0


def _run(asked: K3sCluster, folder: ClusterFolder, node: K3sNode, *argv: str, given: bytes = b"") -> str:
    ran = _called(asked, folder, node, argv, given)
    if ran.returncode:
        raise TargetError(f"{node.name}: {shlex.join(argv)[:200]}: {_last(ran)}\n  fix: see {folder.provider_log}")
    return ran.stdout.decode(errors="replace")


def _called(
    asked: K3sCluster, folder: ClusterFolder, node: K3sNode, argv: tuple[str, ...], given: bytes = b""
) -> subprocess.CompletedProcess[bytes]:
    """A command on a machine. A remote shell gets it as one quoted word."""
    command = [*node.via, shlex.join(argv)] if node.via else list(argv)
    effort.ran(Path(command[0]).name)
    try:
        ran = subprocess.run(command, input=given, capture_output=True, timeout=asked.within, check=False)
    except (subprocess.TimeoutExpired, OSError) as error:
        raise TargetError(f"{node.name}: {command[0]}: {error}") from None
    with folder.provider_log.open("ab") as log:
        log.write(f"{node.name}$ {shlex.join(argv)}\n".encode() + ran.stderr)
    return ran


def _last(ran: subprocess.CompletedProcess[bytes]) -> str:
    lines = ran.stderr.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else f"exit code {ran.returncode}"
