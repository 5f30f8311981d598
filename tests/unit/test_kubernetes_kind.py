"""The kind provider, on a stand-in for the `kind` program that keeps its clusters as files."""

from __future__ import annotations

import stat
import textwrap
from pathlib import Path

import pytest

from harness.errors import BadInput, TargetError
from harness.model.on_cluster import KindCluster, OnCluster
from harness.targets.kubernetes import kind
from harness.targets.kubernetes.state import ClusterFolder
from harness.targets.render import program_path
from harness.testing.fake_cluster import FakeCluster, node

STAND_IN = """\
#!/bin/sh
echo "$@" >> "$CLUSTERS/calls"
case "$1 $2" in
  "create cluster") [ ! -e "$CLUSTERS/refuse" ] || { echo "ERROR: no docker" >&2; exit 1; }
    for word in "$@"; do case $word in
      --name=*) touch "$CLUSTERS/${word#--name=}" ;;
      --kubeconfig=*) echo "kubeconfig" > "${word#--kubeconfig=}" ;;
    esac; done ;;
  "delete cluster") [ -e "$CLUSTERS/stuck" ] || rm -f "$CLUSTERS/${3#--name=}" ;;
  "get clusters") ls "$CLUSTERS" | grep -v -e calls -e stuck -e refuse; true ;;
esac
"""


@pytest.fixture
def clusters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    programs, clusters = tmp_path / "bin", tmp_path / "clusters"
    programs.mkdir()
    clusters.mkdir()
    for name in ("kind", "docker"):
        (programs / name).write_text(textwrap.dedent(STAND_IN))
        (programs / name).chmod(0o755)
    monkeypatch.setenv("HARNESS_PATH", str(programs))
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    monkeypatch.setenv("CLUSTERS", str(clusters))
    monkeypatch.setattr("harness.targets.kubernetes.nodes.EVERY_S", 0.01)
    program_path.cache_clear()
    yield clusters
    program_path.cache_clear()


@pytest.fixture
def folder(tmp_path: Path) -> ClusterFolder:
    made = ClusterFolder(tmp_path / "small-abcdef")
    made.logs.mkdir(parents=True)
    return made


def on(**given: object) -> OnCluster:
    section = KindCluster.model_validate({"config": "/c.yaml", "image": "node:1", "archives": ["/a.tar"], **given})
    return OnCluster.model_validate(
        {"provider": "kind", "kind": section, "namespace": "n", "manifests": "m", "endpoints": {"edge": "http://e"}}
    )


def connect(monkeypatch: pytest.MonkeyPatch, cluster: FakeCluster) -> None:
    monkeypatch.setattr(kind.Cluster, "connect", lambda kubeconfig, context: cluster)


def test_a_cluster_is_made_loaded_and_deleted(
    clusters: Path, folder: ClusterFolder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cluster = FakeCluster(lambda *_: None)
    connect(monkeypatch, cluster)
    addon = tmp_path / "addon.yaml"
    addon.write_text("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: addon, namespace: kube-system}\n")
    made = kind.create(on(addons=[str(addon)]), folder)
    assert cluster.read("v1/ConfigMap", "kube-system", "addon")
    assert (made.context, made.kubeconfig) == ("kind-small-abcdef", str(folder.kubeconfig))
    assert stat.S_IMODE(folder.kubeconfig.stat().st_mode) == 0o600
    calls = (clusters / "calls").read_text().splitlines()
    name = "--name=small-abcdef"
    assert calls == [
        f"create cluster {name} --kubeconfig={folder.kubeconfig} --config=/c.yaml --image=node:1",
        f"load image-archive /a.tar {name}",
    ]
    assert (clusters / "small-abcdef").exists()
    assert OnCluster.model_validate_json(made.model_dump_json()) == made
    assert kind.delete(made, folder) == []
    assert kind.delete(made, folder) == []
    assert not (clusters / "small-abcdef").exists()


def test_what_stays_is_told(clusters: Path, folder: ClusterFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    connect(monkeypatch, FakeCluster(lambda *_: None))
    made = kind.create(on(), folder)
    (clusters / "stuck").touch()
    assert kind.delete(made, folder) == ["kind cluster small-abcdef"]


def test_its_words_are_told_when_it_fails(clusters: Path, folder: ClusterFolder) -> None:
    (clusters / "refuse").touch()
    with pytest.raises(TargetError, match="no docker"):
        kind.create(on(), folder)
    assert kind.delete(on(), folder) == []


def test_nodes_that_do_not_become_ready(clusters: Path, folder: ClusterFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = FakeCluster(lambda *_: None)
    ill = node("worker")
    ill["status"]["conditions"] = []
    cluster.create(ill)
    connect(monkeypatch, cluster)
    with pytest.raises(TargetError, match="worker is not Ready"):
        kind.create(on(within="1s"), folder)


def test_without_the_program_nothing_is_begun(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("harness.targets.kubernetes.sources.program_path", lambda: (str(tmp_path),))
    with pytest.raises(BadInput, match="kind is not installed"):
        kind.preflight()
