"""Scenarios that name a cluster: what is refused, with file and line, before anything is asked of one."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import BadInput
from harness.run.prepare import may_act
from harness.run.wire import _named
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


def test_the_local_target_refuses_a_service_without_a_command(tmp_path: Path) -> None:
    platform = load_platform(CLUSTER / "platform.yaml")
    with pytest.raises(BadInput, match=r"platform\.yaml:9: .*service 'base' has no command"):
        preflight(platform, PlatformFolder(tmp_path / "small-abcdef"))
