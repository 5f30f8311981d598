"""The k3s provider on a stand-in for a remote shell, which keeps each machine's files in a folder and notes how K3s'
installer was called. The flags are those of K3s' own server and agent commands."""

from __future__ import annotations

import json
import shlex
import stat
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.errors import TargetError
from harness.model.on_cluster import K3sCluster, OnCluster
from harness.targets.kubernetes import k3s
from harness.targets.kubernetes.state import ClusterFolder
from harness.testing.fake_cluster import FakeCluster, node

SHELL = """\
import os, shlex, sys
from pathlib import Path
machine, command = Path(sys.argv[1]), shlex.split(sys.argv[2])
machine.mkdir(exist_ok=True)
def at(path): return machine / path.replace("/", "_")
if command[0] == "test":
    sys.exit(at(command[-1]).exists() == ("!" in command))
elif command[0] == "env":
    settings = dict(word.split("=", 1) for word in command[1:3])
    assert sys.stdin.read() == "the installer"
    (machine / "called").write_text(settings["INSTALL_K3S_SKIP_DOWNLOAD"] + " " + settings["INSTALL_K3S_EXEC"])
    at("/etc/rancher/k3s/k3s.yaml").write_text("server: https://127.0.0.1:6443")
elif command[0] == "cat":
    print(at(command[1]).read_text())
elif command[0] == "/usr/local/bin/k3s":
    (machine / "loaded").write_text(sys.stdin.read())
elif "put" in command:
    path, mode = command[-2:]
    at(path).write_text(sys.stdin.read())
    at(path).chmod(int(mode, 8))
elif "remove" in command:
    (machine / "removed").write_text(command[-1])
    for path in ("/etc/rancher/k3s/harness-token", "/usr/local/bin/k3s"):
        if not (machine / "stuck").exists():
            at(path).unlink(missing_ok=True)
else:
    sys.exit(f"what is {command}?")
"""


@pytest.fixture
def machines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, text in (
        ("shell.py", SHELL),
        ("k3s", "the program"),
        ("install.sh", "the installer"),
        ("a.tar", "image"),
    ):
        (tmp_path / name).write_text(text)
    cluster = FakeCluster(lambda *_: None)
    cluster.create(node("node-2"))
    monkeypatch.setattr(k3s.Cluster, "connect", lambda kubeconfig, context: cluster)
    monkeypatch.setattr("harness.targets.kubernetes.nodes.EVERY_S", 0.01)
    return tmp_path


@pytest.fixture
def folder(tmp_path: Path) -> ClusterFolder:
    made = ClusterFolder(tmp_path / "small-abcdef")
    made.logs.mkdir(parents=True)
    return made


def on(machines: Path, **given: Any) -> OnCluster:
    def via(name: str) -> list[str]:
        return [sys.executable, str(machines / "shell.py"), str(machines / name)]

    section = {
        "binary": str(machines / "k3s"),
        "installer": str(machines / "install.sh"),
        "address": "https://10.0.0.1:6443",
        "server": {"name": "one", "via": via("one"), "region": "sjc"},
        "agents": [{"name": "two", "via": via("two"), "region": "lax", "gpu": "GH200"}],
        "archives": [str(machines / "a.tar")],
        **given,
    }
    return OnCluster.model_validate(
        {
            "provider": "k3s",
            "k3s": K3sCluster.model_validate(section),
            "namespace": "n",
            "manifests": "m",
            "endpoints": {"edge": "http://e"},
        }
    )


def file(machines: Path, machine: str, path: str) -> Path:
    return machines / machine / path.replace("/", "_")


def test_server_and_agents_are_installed_and_uninstalled(machines: Path, folder: ClusterFolder) -> None:
    made = k3s.create(on(machines), folder)
    assert (made.context, folder.kubeconfig.read_text().strip()) == ("default", "server: https://10.0.0.1:6443")
    assert stat.S_IMODE(folder.kubeconfig.stat().st_mode) == 0o600
    assert OnCluster.model_validate_json(made.model_dump_json()) == made
    token = file(machines, "one", k3s.TOKEN)
    assert token.read_text() == file(machines, "two", k3s.TOKEN).read_text()
    assert stat.S_IMODE(token.stat().st_mode) == 0o600
    assert (machines / "one" / "called").read_text().split() == [
        "true",
        "server",
        "--node-name=one",
        "--token-file=/etc/rancher/k3s/harness-token",
        "--node-label=topology.kubernetes.io/region=sjc",
        "--disable=traefik",
        "--write-kubeconfig-mode=600",
    ]
    assert (machines / "two" / "called").read_text().split() == [
        "true",
        "agent",
        "--node-name=two",
        "--token-file=/etc/rancher/k3s/harness-token",
        "--node-label=topology.kubernetes.io/region=lax",
        "--node-label=gpu-type=GH200",
        "--node-label=nvidia.com/gpu.present=true",
        "--server=https://10.0.0.1:6443",
    ]
    assert (machines / "two" / "loaded").read_text() == "image"
    for log in folder.logs.iterdir():
        assert token.read_text() not in log.read_text()
    for _ in range(2):
        assert k3s.delete(made, folder) == []
    assert (machines / "one" / "removed").read_text() == "/usr/local/bin/k3s-uninstall.sh"
    assert (machines / "two" / "removed").read_text() == "/usr/local/bin/k3s-agent-uninstall.sh"
    assert not token.exists()


def test_a_machine_that_has_k3s_is_left_alone(machines: Path, folder: ClusterFolder) -> None:
    (machines / "two").mkdir()
    file(machines, "two", k3s.BINARY).write_text("theirs")
    with pytest.raises(TargetError, match="two has /usr/local/bin/k3s already"):
        k3s.create(on(machines), folder)
    assert k3s.delete(on(machines), folder) == []
    assert file(machines, "two", k3s.BINARY).read_text() == "theirs"
    assert not (machines / "one" / "called").exists()


def test_what_stays_is_told(machines: Path, folder: ClusterFolder) -> None:
    made = k3s.create(on(machines), folder)
    (machines / "two" / "stuck").touch()
    assert k3s.delete(made, folder) == ["K3s on two"]


def test_a_machine_that_cannot_be_reached_is_told(machines: Path, folder: ClusterFolder) -> None:
    for via in (["/nonexistent/ssh"], ["/bin/false"]):
        away = on(machines, agents=[{"name": "two", "via": via}])
        with pytest.raises(TargetError, match="two"):
            k3s.create(away, folder)


def test_fewer_nodes_than_machines_are_not_enough(machines: Path, folder: ClusterFolder) -> None:
    third = {"name": "three", "via": [sys.executable, str(machines / "shell.py"), str(machines / "three")]}
    few = on(machines, agents=[*json.loads(on(machines).model_dump_json())["k3s"]["agents"], third], within="1s")
    with pytest.raises(TargetError, match="2 of 3 nodes"):
        k3s.create(few, folder)
    assert shlex.split(folder.provider_log.read_text().splitlines()[0])[0] == "one$"
