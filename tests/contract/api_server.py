"""A real API server and its etcd, alone: no controllers, no kubelets. Ready in a few seconds, on ports of its own."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from harness.testing.authority import issue

BIN = Path(os.environ.get("TESTBED_STATE") or "/var/lib/testbed") / "bin"
MISSING = [name for name in ("etcd", "kube-apiserver") if not (BIN / name).exists()]
READY_WITHIN_S = 60.0
USERS = {"admin": "system:masters", "plain": ""}  # name → group; the token is `token-NAME`


@contextmanager
def api_server(folder: Path) -> Iterator[Path]:
    """The path of a kubeconfig with the contexts `admin` (may everything) and `plain` (may nothing)."""
    etcd, peer, secure = free_ports(3)
    issue(folder)
    tokens = "".join(f'token-{name},{name},{name},"{group}"\n' for name, group in USERS.items())
    (folder / "tokens.csv").write_text(tokens)
    with ExitStack() as stack:
        stack.enter_context(
            running(
                folder / "etcd.log",
                BIN / "etcd",
                f"--data-dir={folder / 'etcd'}",
                "--unsafe-no-fsync",
                f"--listen-client-urls=http://127.0.0.1:{etcd}",
                f"--advertise-client-urls=http://127.0.0.1:{etcd}",
                f"--listen-peer-urls=http://127.0.0.1:{peer}",
                f"--initial-advertise-peer-urls=http://127.0.0.1:{peer}",
                f"--initial-cluster=default=http://127.0.0.1:{peer}",
            )
        )
        stack.enter_context(
            running(
                folder / "kube-apiserver.log",
                BIN / "kube-apiserver",
                f"--etcd-servers=http://127.0.0.1:{etcd}",
                "--bind-address=127.0.0.1",
                f"--secure-port={secure}",
                f"--tls-cert-file={folder / 'server.crt'}",
                f"--tls-private-key-file={folder / 'server.key'}",
                f"--service-account-key-file={folder / 'server.key'}",
                f"--service-account-signing-key-file={folder / 'server.key'}",
                "--service-account-issuer=https://kubernetes.default.svc",
                "--service-cluster-ip-range=10.96.0.0/16",
                f"--token-auth-file={folder / 'tokens.csv'}",
                "--authorization-mode=RBAC",
                "--disable-admission-plugins=ServiceAccount",
            )
        )
        file = kubeconfig(folder, f"https://127.0.0.1:{secure}")
        wait(file)
        yield file


def kubeconfig(folder: Path, server: str) -> Path:
    file = folder / "kubeconfig"
    users = "".join(f"- name: {name}\n  user: {{token: token-{name}}}\n" for name in [*USERS, "stranger"])
    contexts = "".join(f"- name: {name}\n  context: {{cluster: test, user: {name}}}\n" for name in [*USERS, "stranger"])
    file.write_text(
        f"apiVersion: v1\nkind: Config\nclusters:\n"
        f"- name: test\n  cluster: {{server: {server}, certificate-authority: {folder / 'server.crt'}}}\n"
        f"- name: open\n  cluster: {{server: {server}, insecure-skip-tls-verify: true}}\n"
        f"users:\n{users}contexts:\n{contexts}"
        f"- name: open\n  context: {{cluster: open, user: admin}}\n"
    )
    return file


def wait(file: Path) -> None:
    from harness.errors import TargetError
    from harness.targets.kubernetes.api import Cluster

    deadline = time.monotonic() + READY_WITHIN_S
    while True:
        try:
            if Cluster.connect(str(file), "admin").read("v1/Namespace", "", "default"):
                Cluster.connect(str(file), "plain").allowed("get", "", "pods")  # the built-in roles are there
                return
        except TargetError:
            if time.monotonic() > deadline:
                raise
        time.sleep(0.2)


@contextmanager
def running(log: Path, *argv: Path | str) -> Iterator[None]:
    with log.open("w") as out:
        child = subprocess.Popen([str(word) for word in argv], stdout=out, stderr=out, stdin=subprocess.DEVNULL)
    try:
        yield
    finally:
        child.terminate()
        try:
            child.wait(20)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def free_ports(count: int) -> list[int]:
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in held]
    for each in held:
        each.close()
    return ports
