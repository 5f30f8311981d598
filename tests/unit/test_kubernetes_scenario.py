"""Scenarios that name a cluster: what is refused, with file and line, before anything is asked of one."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.errors import BadInput
from harness.model.rollout import Rollout, RolloutStep
from harness.run.platforms import _named
from harness.run.prepare import may_act
from harness.spec.platform import load_platform
from harness.spec.scenario import load_scenario
from harness.targets.folder import PlatformFolder
from harness.targets.preflight import preflight

ROOT = Path(__file__).resolve().parents[2]
CLUSTER = ROOT / "tests" / "fixtures" / "cluster"
CLUSTER_SECTION = """
      context: mine
      namespace: small
      manifests: {manifests}
      endpoints: {{edge: "{edge}", databases: {{{region}: "{database}"}}, services: {{{service}: "{at}"}}}}
"""


def scenario(tmp_path: Path, section: str | None = None, **changes: str) -> Path:
    values = {
        "manifests": str(CLUSTER / "manifests.yaml"),
        "edge": "http://edge",
        "region": "east",
        "database": "base://${secret.base}@host",
        "service": "app@east",
        "at": "host:80",
        **changes,
    }
    text = CLUSTER_SECTION.format(**values) if section is None else section
    file = tmp_path / "s.yaml"
    file.write_text(
        f"""apiVersion: harness/v1
kind: Scenario
metadata: {{name: s}}
spec:
  target:
    kind: kubernetes
    platform: {CLUSTER / "platform.yaml"}
    kubernetes:{text}
  load:
    locustfile: {ROOT / "loadtests" / "sophia.py"}
    arrivals: {{kind: constant, rate: 1}}
    mix: {{chat: 1}}
  slos: [{ROOT / "slos"}]
"""
    )
    return file


def test_paths_become_absolute(tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text("")
    on = load_scenario(scenario(tmp_path, manifests="m.yaml")).cluster
    assert on is not None
    assert on.manifests == str(tmp_path / "m.yaml")
    assert on.kubeconfig == ""


@pytest.mark.parametrize(
    ("section", "told"),
    [
        (" {context: '', namespace: n, manifests: a, endpoints: {edge: 'http://e'}}", "needs its context"),
        ("\n      namespace: Not Valid", "namespace"),
        ("\n      provider: cloud", "provider"),
        (" {context: c, namespace: n, endpoints: {edge: 'http://e'}}", "one of kustomize, manifests and helm"),
        (" {context: c, namespace: n, manifests: a, kustomize: b, endpoints: {edge: 'http://e'}}", "one of kustomize"),
        (
            " {context: c, namespace: n, manifests: none.yaml, endpoints: {edge: 'http://e'}}",
            "none.yaml does not exist",
        ),
        (" {context: c, namespace: n, manifests: a, endpoints: {edge: 'edge.http'}}", "edge"),
    ],
)
def test_what_is_wrong_is_told_with_file_and_line(tmp_path: Path, section: str, told: str) -> None:
    with pytest.raises(BadInput, match=told) as refused:
        load_scenario(scenario(tmp_path, section))
    assert "s.yaml:" in str(refused.value)


def test_kind_and_section_go_together(tmp_path: Path) -> None:
    file = scenario(tmp_path)
    file.write_text(file.read_text().replace("kind: kubernetes", "kind: local"))
    with pytest.raises(BadInput, match="go together"):
        load_scenario(file)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"region": "north"}, "no region 'north'"),
        ({"edge": "http://${edge.http}"}, "placeholders"),
        ({"database": "base://${secret.none}@h"}, "placeholders"),
        ({"database": "base://${base.http}"}, "placeholders"),
        ({"service": "nobody"}, "no service 'nobody'"),
        ({"service": "app@north"}, "no service 'app@north'"),
    ],
)
def test_endpoints_are_checked_against_the_platform(tmp_path: Path, changes: dict[str, str], told: str) -> None:
    from harness.run.prepare import _check_endpoints

    good = load_scenario(scenario(tmp_path))
    platform = load_platform(good.platform).value
    _check_endpoints(good, platform)
    with pytest.raises(BadInput, match=told) as refused:
        _check_endpoints(load_scenario(scenario(tmp_path, **changes)), platform)
    assert "s.yaml:" in str(refused.value)


def test_a_cluster_that_is_not_for_tests_needs_a_word(tmp_path: Path) -> None:
    files = load_scenario(scenario(tmp_path))
    with pytest.raises(BadInput, match="--yes"):
        may_act(files, yes=False)
    may_act(files, yes=True)
    with pytest.raises(BadInput, match="--yes"):
        _named(files.spec_file, yes=False)
    marked = CLUSTER_SECTION + "      test: true\n"
    values = {"manifests": str(CLUSTER / "manifests.yaml"), "edge": "http://e", "region": "east", "database": "b://"}
    values |= {"service": "app", "at": "host:1"}
    may_act(load_scenario(scenario(tmp_path, marked.format(**values))), yes=False)


def test_images_that_are_not_built_keep_from_a_run_and_not_from_a_look_at_its_file(tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text("")
    section = """
      provider: kind
      kind: {archives: [built.tar]}
      namespace: n
      manifests: m.yaml
      endpoints: {edge: "http://e"}"""
    files = load_scenario(scenario(tmp_path, section))
    with pytest.raises(BadInput, match=r"s\.yaml:\d+: .*archives\[0\]: .*built\.tar does not exist"):
        may_act(files, yes=True)
    (tmp_path / "built.tar").write_text("")
    may_act(files, yes=False)


def test_the_local_target_refuses_a_service_without_a_command(tmp_path: Path) -> None:
    platform = load_platform(CLUSTER / "platform.yaml")
    with pytest.raises(BadInput, match=r"platform\.yaml:9: .*service 'base' has no command"):
        preflight(platform, PlatformFolder(tmp_path / "small-abcdef"))


def two_clusters(tmp_path: Path, region: str = "west", context: str = "other", more: str = "", tests: str = "") -> Path:
    for name in ("first.yaml", "second.yaml", "kubeconfig"):
        (tmp_path / name).write_text("")
    return scenario(
        tmp_path,
        f"""
      context: mine
      namespace: small
      manifests: first.yaml
      endpoints: {{edge: "http://e"}}{more}{tests}
      clusters:
        {region}: {{context: {context}, kubeconfig: kubeconfig, manifests: second.yaml}}
""",
    )


def test_a_region_may_have_a_cluster_of_its_own(tmp_path: Path) -> None:
    from harness.run.prepare import _check_endpoints

    files = load_scenario(two_clusters(tmp_path))
    assert files.cluster is not None
    west = files.cluster.clusters["west"]
    assert (west.manifests, west.kubeconfig) == (str(tmp_path / "second.yaml"), str(tmp_path / "kubeconfig"))
    platform = load_platform(files.platform).value
    _check_endpoints(files, platform)
    with pytest.raises(BadInput, match=r"clusters\.north: no region 'north'"):
        _check_endpoints(load_scenario(two_clusters(tmp_path, region="north")), platform)
    with pytest.raises(BadInput, match="contexts of one name"):
        load_scenario(two_clusters(tmp_path, context="mine"))
    with pytest.raises(BadInput, match="there already"):
        load_scenario(two_clusters(tmp_path, more="\n      provider: kind\n      kind: {}"))


def test_every_cluster_must_be_for_tests(tmp_path: Path) -> None:
    files = load_scenario(two_clusters(tmp_path, tests="\n      test: true"))
    with pytest.raises(BadInput, match=r"clusters\.west\.test: context other") as refused:
        may_act(files, yes=False)
    assert "s.yaml:" in str(refused.value)
    may_act(files, yes=True)


def test_each_cluster_gets_the_rights_of_what_is_broken_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from harness.run import cluster
    from harness.targets.probe import Answer
    from harness.testing.fake_cluster import FakeCluster

    known = FakeCluster(lambda *_: Answer(200, {}, ""))
    monkeypatch.setattr("harness.targets.kubernetes.target._connected", lambda *_: known)
    monkeypatch.setenv("HARNESS_STATE", str(tmp_path / "state"))
    files = load_scenario(two_clusters(tmp_path))
    objects = [each for each in (CLUSTER / "manifests.yaml").read_text().split("---\n") if "Namespace" not in each]
    for name, west in (("first", False), ("second", True)):
        (tmp_path / f"{name}.yaml").write_text("---\n".join(each for each in objects if ("-west" in each) is west))
    fault = SimpleNamespace(file=str(ROOT / "experiments" / "region-failover.yaml"), set={"region": "west"})
    rollout = Rollout(
        service="app",
        region="west",
        baseline="1",
        canary="2",
        actuator="gateway",
        settings={"route": "app", "stable": "app", "canary": "app-canary"},
        steps=(RolloutStep(share=0.5, bake=1.0),),
    )
    told = SimpleNamespace(
        files=files,
        platform=load_platform(files.platform),
        plan=SimpleNamespace(faults=[fault]),
        spec=SimpleNamespace(rollout=rollout),
    )
    monkeypatch.setattr(cluster, "prepare", lambda *_: told)

    roles = cluster.roles(files.spec_file)
    assert [(each["kind"], each["metadata"]["annotations"][cluster.CONTEXT]) for each in roles] == [
        ("Role", "mine"),
        ("ClusterRole", "mine"),
        ("Role", "other"),
        ("ClusterRole", "other"),
    ]
    execs = [any("pods/exec" in rule["resources"] for rule in each["rules"]) for each in roles]
    assert execs == [False, False, True, False]
    routes = [any("httproutes" in rule["resources"] for rule in each["rules"]) for each in roles]
    assert routes == [False, False, True, False], "so does the actuator"
    assert cluster.roles(files.spec_file, "other") == roles[2:]
    with pytest.raises(BadInput, match="no context 'x'"):
        cluster.roles(files.spec_file, "x")
