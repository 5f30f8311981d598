"""A whole node on a real cluster: somebody else's pod on it is seen before, and who holds it is told on the node."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.chaos import lifecycle
from harness.chaos.lifecycle import Session
from harness.errors import BadInput, TargetError
from harness.journal import log
from harness.journal.layout import RunFolder
from harness.kube import holds, pods
from harness.kube.ports import Site
from harness.model.events import FaultLanded
from harness.targets.kubernetes.api import Cluster
from harness.testing.plain_target import PlainTarget
from tests.e2e.bed import conftest
from tests.e2e.bed.test_fault_matrix import GOES_S, LANDS_S, whole

NEIGHBOUR, KIND = "fault-matrix-neighbour", "node_drain"
WHERE = {"service": "weaviate", "region": "sjc"}
OURS = f"gateway, {NEIGHBOUR}"  # a bed may have a Gateway controller


@pytest.fixture
def session(tmp_path: Path, target: PlainTarget) -> Session:
    whole(target)
    return Session(RunFolder(tmp_path / "run"), "nodes#1", target.reference, lambda _: target)


@pytest.fixture(scope="module")
def neighbour(cluster: Cluster) -> Iterator[str]:
    """A namespace of somebody else's."""
    cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NEIGHBOUR}})
    yield NEIGHBOUR
    cluster.delete("v1/Namespace", "", NEIGHBOUR)


@pytest.fixture
def node(cluster: Cluster, target: PlainTarget, neighbour: str) -> Iterator[str]:
    """The node that the fault will choose, with a neighbour's pod on it."""
    whole(target)
    first = target.instances(**WHERE)[0].name
    name = next(pods.node(each) for each in cluster.list(pods.POD, target.namespace) if pods.name(each) == first)
    about = {"name": "theirs", "namespace": neighbour}
    spec = {
        "nodeName": name,
        "terminationGracePeriodSeconds": 0,
        "containers": [{"name": "c", "image": conftest.PROBE}],
    }
    cluster.create({"apiVersion": "v1", "kind": "Pod", "metadata": about, "spec": spec})
    yield name
    cluster.delete(pods.POD, neighbour, "theirs", grace_s=0)


def test_a_neighbour_is_seen_before_and_met_only_where_that_is_allowed(
    cluster: Cluster, target: PlainTarget, session: Session, node: str
) -> None:
    before = cluster.read(pods.POD, NEIGHBOUR, "theirs")
    assert before is not None
    with pytest.raises(BadInput, match=rf"on node {node} .*{NEIGHBOUR}/theirs"):
        lifecycle.inject(session, "x", KIND, {**WHERE, "others": "gateway"}, 20, 60)
    assert not session.folder.journal.exists(), "nothing was even intended"
    elsewhere = Site(cluster, "elsewhere", "")
    holds.check(elsewhere, node)
    try:
        lifecycle.inject(session, "x", KIND, {**WHERE, "others": OURS}, 20, 60)
        lifecycle.await_landed(session, "x", LANDS_S)
        with pytest.raises(TargetError, match=f"node {node} is held by a fault of namespace {target.namespace}"):
            holds.claim(elsewhere, "n1", "0123")
    finally:
        lifecycle.recover(session, "x", GOES_S)
    holds.claim(elsewhere, "n1", "0123")
    holds.release(elsewhere, "n1", "0123")
    (landed,) = [event for event in log.read(session.folder.journal) if isinstance(event, FaultLanded)]
    assert f"{NEIGHBOUR}/theirs" in landed.detail
    after = cluster.read(pods.POD, NEIGHBOUR, "theirs")
    assert after is not None
    assert (pods.uid(after), pods.going(after)) == (pods.uid(before), False), (
        "a drain asks the platform's own pods only"
    )
    whole(target)


def test_a_node_that_is_lost_keeps_its_mark_while_it_is_off(
    cluster: Cluster, target: PlainTarget, session: Session, node: str
) -> None:
    """Its kubelet writes its own status all the time, which must not hinder the claim nor undo it."""
    try:
        lifecycle.inject(session, "x", "node_loss", {**WHERE, "others": OURS}, 20, 300)
        lifecycle.await_landed(session, "x", LANDS_S)
        assert conftest.testbed("node", "state", node).strip() == "off"
        assert holds.holder(cluster.read(holds.KIND, "", node) or {}).startswith(f"{target.namespace}/")
    finally:
        lifecycle.recover(session, "x", GOES_S)
    assert holds.holder(cluster.read(holds.KIND, "", node) or {}) == ""
    whole(target)
