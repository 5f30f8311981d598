"""Faults that take a whole node: who else is on it is counted before, and one run at a time acts on nodes."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from harness import faults
from harness.chaos import lifecycle, undo
from harness.chaos.lifecycle import Session
from harness.chaos.preview import preview
from harness.errors import BadInput, TargetError
from harness.journal import log
from harness.journal.layout import RunFolder
from harness.kube import holds
from harness.kube.ports import Manifest
from harness.model.events import FaultLanded
from harness.spec.platform import load_platform
from harness.testing.fake_bed import FakeBed, bed_target
from harness.testing.plain_target import PlainTarget
from tests.contract.test_fault_injectors import REFERENCE

SPEC = load_platform(REFERENCE).value
WHERE = {"service": "weaviate", "region": "sjc"}
EXPERIMENT = Path(__file__).parents[2] / "experiments" / "node-loss.yaml"


@pytest.fixture
def target() -> PlainTarget:
    return bed_target(SPEC)


@pytest.fixture
def bed(target: PlainTarget) -> FakeBed:
    assert isinstance(target.api, FakeBed)
    return target.api


@pytest.fixture(params=["node_loss", "node_drain"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def node(target: PlainTarget) -> str:
    """Which one the faults are going to choose."""
    injector = faults.load("node_drain")
    return injector.select(target, injector.Parameters(**WHERE)).before["node"]


def session(tmp_path: Path, target: PlainTarget, name: str = "run") -> Session:
    return Session(RunFolder(tmp_path / name), f"{name}#1", target.reference, lambda _: target)


def inject(session: Session, kind: str, **more: Any) -> None:
    lifecycle.inject(session, kind, kind, {**WHERE, **more}, 20, 60)


def pod(name: str, namespace: str, node: str, owner: str = "ReplicaSet", phase: str = "Running") -> Manifest:
    owners = [{"kind": owner, "name": "x", "uid": "", "controller": True}]
    about = {"name": name, "namespace": namespace, "ownerReferences": owners}
    spec = {"nodeName": node, "containers": [{"name": "c", "image": "c:1"}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": about, "spec": spec, "status": {"phase": phase}}


def put(bed: FakeBed, manifest: Manifest) -> None:
    """A pod of somebody else, as its own controller would have made it."""
    stored = bed._put(manifest)
    stored["metadata"]["ownerReferences"][0]["uid"] = stored["metadata"]["uid"]


def holder(bed: FakeBed, name: str) -> str:
    return str((bed._objects["v1/Node", "", name]["metadata"].get("annotations") or {}).get(holds.HOLDER, ""))


def test_pods_of_others_are_named_and_nothing_is_touched(
    kind: str, target: PlainTarget, bed: FakeBed, node: str, tmp_path: Path
) -> None:
    put(bed, pod("api-1", "team-a", node))
    put(bed, pod("web-1", "team-b", node))
    run, before = session(tmp_path, target), list(bed.requests)
    with pytest.raises(BadInput, match=rf"on node {node} .*team-a/api-1, team-b/web-1") as refused:
        inject(run, kind)
    assert "others: [team-a, team-b]" in str(refused.value.fix)
    with pytest.raises(BadInput, match=rf"on node {node} .*of others: team-b/web-1\n"):
        inject(run, kind, others=["team-a"])
    assert bed.requests == before
    assert not run.folder.journal.exists(), "nothing was even intended"
    assert target.ready() == []


@pytest.mark.parametrize("others", [["team-a"], "team-a", "x, team-a"])
def test_what_the_experiment_allows_is_hit_and_told(
    kind: str, others: object, target: PlainTarget, bed: FakeBed, node: str, tmp_path: Path
) -> None:
    put(bed, pod("api-1", "team-a", node))
    run = session(tmp_path, target)
    inject(run, kind, others=others)
    lifecycle.await_landed(run, kind, 1)
    (landed,) = [event for event in log.read(run.folder.journal) if isinstance(event, FaultLanded)]
    assert "team-a/api-1" in landed.detail
    lifecycle.recover(run, kind, 1)
    assert target.left() == []


@pytest.mark.parametrize(
    "there",
    [
        pod("coredns-1", "kube-system", "NODE"),
        pod("logger-1", "logging", "NODE", owner="DaemonSet"),
        pod("proxy-n2", "proxies", "NODE", owner="Node"),
        pod("job-1", "team-a", "NODE", phase="Succeeded"),
        pod("api-1", "team-a", "n4"),
    ],
    ids=["system", "daemon set", "static", "ended", "elsewhere"],
)
def test_what_is_the_clusters_own_or_not_there_is_nobodys(
    kind: str, there: Manifest, target: PlainTarget, bed: FakeBed, node: str, tmp_path: Path
) -> None:
    if there["spec"]["nodeName"] == "NODE":
        there = {**there, "spec": {**there["spec"], "nodeName": node}}
    put(bed, there)
    inject(session(tmp_path, target), kind)


def test_who_may_not_see_all_namespaces_is_refused(
    kind: str, target: PlainTarget, bed: FakeBed, tmp_path: Path
) -> None:
    """A right to list pods in the platform's own namespace does not say who else is on the node."""
    bed.only_within = {("list", "pods")}
    run, before = session(tmp_path, target), list(bed.requests)
    with pytest.raises(BadInput, match="would not allow: list pods in all namespaces"):
        inject(run, kind)
    assert bed.requests == before


def test_on_a_cluster_that_goes_with_its_run_there_is_nobody_else(
    kind: str, target: PlainTarget, bed: FakeBed, node: str, tmp_path: Path
) -> None:
    put(bed, pod("ingress-1", "ingress", node))

    class Own(PlainTarget):
        goes_with_cluster = True

    own = Own(**{each.name: getattr(target, each.name) for each in dataclasses.fields(target)})
    inject(session(tmp_path, own), kind)


def test_a_second_run_is_kept_off_all_nodes_until_the_first_has_given_its_own_back(
    kind: str, target: PlainTarget, bed: FakeBed, node: str, tmp_path: Path
) -> None:
    first = session(tmp_path, target)
    bed.patch("v1/Node", "", "n4", {"metadata": {"annotations": {holds.HOLDER: "elsewhere/0123"}}})
    with pytest.raises(TargetError, match=r"node n4 is held by a fault of namespace elsewhere(.|\n)*kubectl annotate"):
        inject(first, kind)
    assert not first.folder.journal.exists(), "nothing was even intended"
    bed.patch("v1/Node", "", "n4", {"metadata": {"annotations": {holds.HOLDER: None}}})
    inject(first, kind)
    assert holder(bed, node).startswith("tiny/")
    lifecycle.recover(first, kind, 1)
    assert [name for name in ("n1", "n2", "n3", "n4") if holder(bed, name)] == []


def test_of_two_that_come_at_once_none_stops_a_node_and_each_gives_its_own_back(
    kind: str, target: PlainTarget, bed: FakeBed, node: str, tmp_path: Path
) -> None:
    """The other takes its node between our look and our word."""
    patch, run = bed.patch, session(tmp_path, target)

    class Late(FakeBed):
        def patch(self, kind: str, namespace: str, name: str, change: Manifest, subresource: str = "") -> Manifest:
            if kind == holds.KIND and (change.get("metadata") or {}).get("resourceVersion"):
                patch(kind, "", "n4", {"metadata": {"annotations": {holds.HOLDER: "elsewhere/0123"}}})
            return super().patch(kind, namespace, name, change, subresource)

    bed.__class__ = Late
    with pytest.raises(TargetError, match="node n4 is held by"):
        inject(run, kind)
    assert (holder(bed, node), holder(bed, "n4")) == ("", "elsewhere/0123")
    assert bed.down == set()
    assert "unschedulable" not in bed._objects["v1/Node", "", node]["spec"]
    lifecycle.recover(run, kind, 1)
    assert holder(bed, "n4") == "elsewhere/0123", "what is another's is not given back"


def test_a_word_of_the_kubelet_in_between_does_not_hinder(
    kind: str, target: PlainTarget, bed: FakeBed, node: str, tmp_path: Path
) -> None:
    patch, words = bed.patch, [0]

    class Busy(FakeBed):
        def patch(self, kind: str, namespace: str, name: str, change: Manifest, subresource: str = "") -> Manifest:
            if (change.get("metadata") or {}).get("resourceVersion") and words[0] < 2:
                words[0] += 1
                patch(kind, "", name, {"metadata": {"labels": {"seen": str(words[0])}}})
            return super().patch(kind, namespace, name, change, subresource)

    bed.__class__ = Busy
    inject(session(tmp_path, target), kind)
    assert words == [2]
    assert holder(bed, node)


def test_who_was_refused_does_not_undo_what_another_does(
    kind: str, target: PlainTarget, bed: FakeBed, node: str, tmp_path: Path
) -> None:
    """Its token was on disk before the node was refused: undoing it from cold must not bring the other's node back."""
    patch, run = bed.patch, session(tmp_path, target)

    class Late(FakeBed):
        def patch(self, kind: str, namespace: str, name: str, change: Manifest, subresource: str = "") -> Manifest:
            if (change.get("metadata") or {}).get("resourceVersion"):
                taken = {"metadata": {"annotations": {holds.HOLDER: "elsewhere/0123"}}}
                patch(kind, "", name, {**taken, "spec": {"unschedulable": True}})
            return super().patch(kind, namespace, name, change, subresource)

    bed.__class__ = Late
    with pytest.raises(TargetError, match=f"node {node} is held by"):
        inject(run, kind)
    bed.__class__ = FakeBed
    bed.down.add(node)
    (token,) = undo.pending(run.folder)
    lifecycle.lift(run, token)
    assert bed.down == {node}
    assert bed._objects["v1/Node", "", node]["spec"]["unschedulable"]
    assert holder(bed, node) == "elsewhere/0123"


def test_a_node_is_started_again_also_while_the_api_server_is_away(
    target: PlainTarget, bed: FakeBed, node: str, tmp_path: Path
) -> None:
    """It may lie on that very node."""
    run = session(tmp_path, target)
    inject(run, "node_loss")
    assert bed.down == {node}
    bed.forbidden = {("get", "nodes")}
    (token,) = undo.pending(run.folder)
    with pytest.raises(TargetError):
        lifecycle.lift(run, token)
    assert bed.down == set()
    bed.forbidden = set()
    lifecycle.recover(run, "node_loss", 1)
    assert holder(bed, node) == ""


def test_a_dead_mans_switch_gives_the_node_back_too(
    target: PlainTarget, bed: FakeBed, node: str, tmp_path: Path
) -> None:
    inject(session(tmp_path, target), "node_drain")
    (switch,) = [each for each in bed.list("v1/Pod", "tiny") if each["metadata"]["name"].startswith("harness-undo-")]
    assert holds.HOLDER in str(switch["spec"]["containers"][0]["command"])


def test_the_shipped_experiment_lets_a_scenario_name_the_others() -> None:
    (foreseen,) = preview(EXPERIMENT, SPEC, chosen={"others": "gateway, team-a"})
    assert foreseen.parameters["others"] == "gateway, team-a"
    assert faults.load("node_loss").Parameters.model_validate(foreseen.parameters).others == ("gateway", "team-a")
