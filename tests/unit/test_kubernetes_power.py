"""Switching a node off and on: by programs that are named, without a shell, and only where somebody says how."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import BadInput, TargetError
from harness.model.on_cluster import KindCluster, NodePower, OnCluster, ReachedAt
from harness.spec.scenario import load_scenario
from harness.targets.kubernetes import power

BARE = Path(__file__).parents[2] / "scenarios" / "certify-bare.yaml"
AT = ReachedAt(edge="http://127.0.0.1:1")
OF_KIND = OnCluster(provider="kind", kind=KindCluster(), namespace="n", manifests="m", endpoints=AT)


def on(nodes: NodePower | None) -> OnCluster:
    return OnCluster(context="c", namespace="n", manifests="m", endpoints=AT, nodes=nodes)


def program(folder: Path, text: str) -> str:
    file = folder / "switch"
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(0o755)
    return str(file)


def test_the_program_gets_the_nodes_name_as_its_last_word(tmp_path: Path) -> None:
    switch = program(tmp_path, 'echo "$@" >> "$0.log"')
    where = on(NodePower(off=(switch, "stop", "$(id)"), on=(switch, "start")))
    power.switch_off(where, "n2")
    power.switch_on(where, "n2")
    assert (tmp_path / "switch.log").read_text() == "stop $(id) n2\nstart n2\n"


@pytest.mark.parametrize("name", ["-rf", "n2;id", "", "a b", "../n2"])
def test_what_is_no_nodes_name_is_refused(tmp_path: Path, name: str) -> None:
    where = on(NodePower(off=("true",), on=("true",)))
    with pytest.raises(BadInput, match="no name of a node"):
        power.switch_off(where, name)


def test_a_failure_is_told_in_the_programs_words(tmp_path: Path) -> None:
    switch = program(tmp_path, "echo starting; echo no such node >&2; exit 3")
    with pytest.raises(TargetError, match="no such node"):
        power.switch_off(on(NodePower(off=(switch,), on=(switch,))), "n2")
    with pytest.raises(TargetError, match="No such file"):
        power.switch_off(on(NodePower(off=(f"{tmp_path}/none",), on=("true",))), "n2")
    with pytest.raises(TargetError, match="more than"):
        slow = NodePower(off=(program(tmp_path, "exec sleep 5"),), on=("true",), within=0.1)
        power.switch_off(on(slow), "n2")


def test_where_nobody_says_how_it_is_refused() -> None:
    with pytest.raises(BadInput, match="nobody says how"):
        power.how(on(None))


@pytest.mark.parametrize(("said", "is_off"), [("off", True), ("on", False), ("", False), ("it is not off", False)])
def test_only_the_providers_own_word_makes_a_node_off(tmp_path: Path, said: str, is_off: bool) -> None:
    state = (program(tmp_path, f"echo {said}"),)
    assert power.is_off(on(NodePower(off=("true",), on=("true",), state=state)), "n2") is is_off


def test_where_nobody_says_it_a_node_is_not_known_to_be_off(tmp_path: Path) -> None:
    assert not power.is_off(on(None), "n2")
    assert not power.is_off(on(NodePower(off=("true",), on=("true",))), "n2")
    fails = (program(tmp_path, "echo off; exit 1"),)
    with pytest.raises(TargetError):
        power.is_off(on(NodePower(off=("true",), on=("true",), state=fails)), "n2")


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The one folder in which programs are found, as HARNESS_PATH may name one."""
    monkeypatch.setattr("harness.targets.kubernetes.sources.program_path", lambda: (str(tmp_path),))
    monkeypatch.delenv("KIND_EXPERIMENTAL_PROVIDER", raising=False)
    return tmp_path


@pytest.mark.parametrize(
    ("installed", "asked", "taken"),
    [
        (("docker", "nerdctl", "podman"), "", "docker"),
        (("nerdctl", "podman"), "", "nerdctl"),
        (("podman",), "", "podman"),
        (("docker", "podman"), "podman", "podman"),
        (("podman",), "unheard-of", "podman"),
    ],
)
def test_nodes_of_kind_are_containers_of_the_engine_that_kind_takes(
    programs: Path, monkeypatch: pytest.MonkeyPatch, installed: tuple[str, ...], asked: str, taken: str
) -> None:
    for name in installed:
        engine = programs / name
        engine.write_text('#!/bin/sh\necho "$@" >> "$0.log"; [ "$1" != inspect ] || echo off\n')
        engine.chmod(0o755)
    monkeypatch.setenv("KIND_EXPERIMENTAL_PROVIDER", asked)
    power.check(OF_KIND)
    power.switch_off(OF_KIND, "worker")
    assert power.is_off(OF_KIND, "worker")
    power.switch_on(OF_KIND, "worker")
    calls = [line.split() for line in (programs / f"{taken}.log").read_text().splitlines()]
    assert [(words[0], words[-1]) for words in calls] == [(word, "worker") for word in ("kill", "inspect", "start")]
    assert len(list(programs.glob("*.log"))) == 1


@pytest.mark.parametrize("asked", ["", "docker"])
def test_without_its_engine_nothing_is_begun(programs: Path, monkeypatch: pytest.MonkeyPatch, asked: str) -> None:
    if asked:
        (programs / "podman").symlink_to("/bin/true")  # kind was told to take another one
    monkeypatch.setenv("KIND_EXPERIMENTAL_PROVIDER", asked)
    with pytest.raises(BadInput, match="kind needs one of docker"):
        power.check(OF_KIND)
    assert not power.is_off(OF_KIND, "worker")


def test_a_program_that_is_not_here_is_told_before_anything_is_switched(programs: Path) -> None:
    (programs / "switch").symlink_to("/bin/true")
    power.check(on(NodePower(off=("switch", "off"), on=(f"{programs}/switch",))))
    for missing in ({"off": ("ipmitool",)}, {"on": ("./none",)}, {"state": ("ipmitool", "status")}):
        named = NodePower.model_validate({"off": ("switch",), "on": ("switch",), **missing})
        with pytest.raises(BadInput, match="is not installed"):
            power.check(on(named))


def test_a_path_counts_from_the_scenarios_folder() -> None:
    cluster = load_scenario(BARE).cluster
    assert cluster is not None
    assert cluster.nodes is not None
    assert Path(cluster.nodes.off[0]).resolve() == BARE.parents[1] / "scripts" / "bed-node"
    assert cluster.nodes.off[1:] == ("stop",)
