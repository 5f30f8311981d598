"""The k3s provider on a stand-in for a remote shell, which keeps each machine's files in a folder and notes how K3s'
installer was called; the rest is done by the real shell. The flags are those of K3s' own server and agent commands."""

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
(machine / "usr/local/bin").mkdir(parents=True, exist_ok=True)
def here(word):
    for top in ("/etc/rancher", "/usr/local"):
        word = word.replace(top, f"{machine}{top}")
    return word
if command[0] == "env":
    settings = dict(word.split("=", 1) for word in command[1:3])
    assert sys.stdin.read() == "the installer"
    (machine / "called").write_text(settings["INSTALL_K3S_SKIP_DOWNLOAD"] + " " + settings["INSTALL_K3S_EXEC"])
    Path(here("/etc/rancher/k3s/k3s.yaml")).write_text("server: https://127.0.0.1:6443")
    for name in ("k3s-uninstall.sh", "k3s-agent-uninstall.sh"):
        script = Path(here(f"/usr/local/bin/{name}"))
        does = f"echo {name} >>{machine}/removed; rm -rf /etc/rancher/k3s /usr/local/bin/k3s"
        script.write_text("#!/bin/sh\\n" + here(does))
        script.chmod(0o755)
elif command[0] == "/usr/local/bin/k3s":
    (machine / "loaded").write_text(sys.stdin.read())
elif not ("remove" in command and (machine / "stuck").exists()):
    os.execvp(command[0], [here(word) for word in command])
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
    return machines / machine / path.removeprefix("/")


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
    assert (machines / "one" / "removed").read_text() == "k3s-uninstall.sh\n"
    assert (machines / "two" / "removed").read_text() == "k3s-agent-uninstall.sh\n"
    assert not token.exists()


def test_a_machine_that_has_k3s_is_left_alone(machines: Path, folder: ClusterFolder) -> None:
    file(machines, "two", k3s.BINARY).parent.mkdir(parents=True)
    file(machines, "two", k3s.BINARY).write_text("theirs")
    with pytest.raises(TargetError, match="two has /usr/local/bin/k3s already"):
        k3s.create(on(machines), folder)
    assert k3s.delete(on(machines), folder) == []
    assert file(machines, "two", k3s.BINARY).read_text() == "theirs"
    assert not (machines / "one" / "called").exists()


@pytest.fixture
def second(tmp_path: Path) -> ClusterFolder:
    """Another run's, on the same machines."""
    made = ClusterFolder(tmp_path / "small-fedcba")
    made.logs.mkdir(parents=True)
    return made


def test_a_run_that_is_refused_leaves_the_cluster_of_another_one(
    machines: Path, folder: ClusterFolder, second: ClusterFolder
) -> None:
    made = k3s.create(on(machines), folder)
    with pytest.raises(TargetError, match="one has /usr/local/bin/k3s already"):
        k3s.create(on(machines), second)
    assert k3s.delete(on(machines), second) == []
    assert not (machines / "one" / "removed").exists()
    assert all(file(machines, name, path).exists() for name in ("one", "two") for path in (k3s.BINARY, k3s.TOKEN))
    assert k3s.delete(made, folder) == []
    assert not file(machines, "one", k3s.BINARY).exists()


def test_a_machine_that_another_run_has_claimed_is_left_alone(machines: Path, folder: ClusterFolder) -> None:
    claimed = file(machines, "two", k3s.TOKEN)
    claimed.parent.mkdir(parents=True)
    claimed.write_text("small-fedcba.0123")
    with pytest.raises(TargetError, match="two has /etc/rancher/k3s/harness-token already"):
        k3s.create(on(machines), folder)
    assert k3s.delete(on(machines), folder) == []
    assert claimed.read_text() == "small-fedcba.0123"


def test_of_two_runs_that_both_saw_a_free_machine_one_gets_it(
    machines: Path, folder: ClusterFolder, second: ClusterFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    k3s.create(on(machines), folder)
    with monkeypatch.context() as before:
        before.setattr(k3s, "_holds", lambda *_: True)  # as it was before the first one came
        with pytest.raises(TargetError, match=r"one: .*harness-token"):
            k3s.create(on(machines), second)
    assert k3s.delete(on(machines), second) == []
    assert file(machines, "one", k3s.TOKEN).read_text().startswith("small-abcdef.")
    assert not (machines / "one" / "removed").exists()


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
