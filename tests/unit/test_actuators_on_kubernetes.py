"""What the actuators on Kubernetes refuse, and what they leave, on a cluster in memory."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from harness import actuators
from harness.actuators import _undo
from harness.errors import BadInput, TargetError
from harness.model.rollout import Rollout, RolloutStep
from harness.ports import Selection, Settles
from harness.targets.kubernetes.target import KubernetesTarget
from harness.testing.fake_cluster import FakeCluster
from tests.contract.test_actuators import again, two_releases

ROUTE, SERVICE, DEPLOYMENT = "gateway.networking.k8s.io/v1/HTTPRoute", "v1/Service", "apps/v1/Deployment"
NAMES = {"route": "api", "stable": "api-stable", "canary": "api-canary", "taken_within": 0.3, "settle": "0s"}
Made = tuple[KubernetesTarget, FakeCluster]


def rollout(actuator: str, share: float = 0.5, **settings: Any) -> Rollout:
    count = 0 if actuator == "replicas" else 1
    steps = (RolloutStep(share=share, bake=1.0), RolloutStep(share=1.0))
    named = settings or NAMES
    return Rollout(
        service="api", baseline="1", canary="2", instances=count, actuator=actuator, settings=named, steps=steps
    )


@pytest.fixture
def made(tmp_path: Path) -> Made:
    target, cluster = two_releases(tmp_path)
    target.add_instances("api", "", 1, "2", lambda event: None)
    return target, cluster


def backends(cluster: FakeCluster, rule: int = 1) -> dict[str, int]:
    route = cluster.read(ROUTE, "two", "api") or {}
    return {each["name"]: each["weight"] for each in route["spec"]["rules"][rule]["backendRefs"]}


def routes_written(cluster: FakeCluster) -> list[str]:
    return [each for each in cluster.requests if each.startswith(f"patch {ROUTE}")]


# -- gateway


def test_a_share_finer_than_a_thousandth_is_refused_before_anything():
    actuators.check(rollout("gateway", 0.125))
    with pytest.raises(BadInput, match="finer than a thousandth") as refused:
        actuators.check(rollout("gateway", 0.1255))
    assert refused.value.key == "rollout.steps.0.share"
    with pytest.raises(BadInput, match="the same Service"):
        actuators.check(rollout("gateway", **{**NAMES, "canary": "api-stable"}))


@pytest.mark.parametrize(("share", "weights"), [(0.1, (9, 1)), (0.5, (1, 1)), (1.0, (0, 1)), (0.001, (999, 1))])
def test_weights_are_small_and_other_rules_stay(made: Made, share: float, weights: tuple[int, int]):
    target, cluster = made
    actuators.connect(target, rollout("gateway")).set_weight(share)
    assert backends(cluster) == dict(zip(("api-stable", "api-canary"), weights, strict=True))
    assert backends(cluster, rule=0) == {"other": 7}


@pytest.mark.parametrize(
    ("service", "selector", "told"),
    [
        ("api-stable", {"app.kubernetes.io/version": None}, "api-stable selects the canary"),
        ("api-canary", {"sophia-harness/track": None}, "selects api-.*no canary"),
        ("api-canary", {"sophia-harness/track": "nobody"}, "no canary that is ready"),
    ],
)
def test_services_that_select_the_wrong_pods_get_no_traffic(made: Made, service: str, selector: Any, told: str):
    target, cluster = made
    before = (cluster.read(SERVICE, "two", service) or {})["spec"]["selector"]
    after = {key: value for key, value in {**before, **selector}.items() if value}
    cluster._objects[SERVICE, "two", service]["spec"]["selector"] = after
    with pytest.raises(TargetError, match=told):
        actuators.connect(target, rollout("gateway")).set_weight(0.5)
    assert not routes_written(cluster)


@pytest.mark.parametrize(
    ("status", "told"),
    [
        ({}, "not Accepted: no Gateway controller says so"),
        (
            {"parents": [{"conditions": [{"type": "Accepted", "status": "False", "message": "no listener"}]}]},
            "not Accepted: no listener",
        ),
        ({"parents": [{"conditions": [{"type": "Accepted", "status": "True"}]}]}, "not ResolvedRefs"),
    ],
)
def test_a_route_that_no_controller_carries_out_is_not_weighed(made: Made, status: Any, told: str):
    target, cluster = made
    cluster._objects[ROUTE, "two", "api"]["status"] = status
    actuator = actuators.connect(target, rollout("gateway"))
    with pytest.raises(TargetError, match=told):
        actuator.set_weight(0.5)
    assert not routes_written(cluster)
    actuator.rollback()  # it is written whoever reads it
    assert len(routes_written(cluster)) == 1


def test_a_canary_keeps_its_pods_until_a_controller_has_taken_the_weights_up(made: Made):
    target, cluster = made
    chosen = rollout("gateway")
    before = {one.name: one.release for one in target.instances("api") if one.release == "1"}
    cold, selection = again(target, cluster), Selection(("2",), before)
    actuators.connect(target, chosen).set_weight(0.5)
    assert actuators.connect(target, chosen).observe() == 0.5
    cluster.routes = "away"
    for _ in range(2):
        with pytest.raises(TargetError, match=r"no controller confirms its weights.*the canary's instances stay"):
            _undo.recover(cold, selection, chosen)
        assert backends(cluster) == {"api-stable": 1, "api-canary": 0}
        assert [one.release for one in target.instances("api")].count("2") == 1
    seen = _undo.gone(cold, selection, chosen)
    assert not seen.seen and "no controller confirms" in seen.detail
    cluster.routes = "told"
    _undo.recover(cold, selection, chosen)
    seen = _undo.gone(cold, selection, chosen)
    assert seen.seen and "its controller has taken generation" in seen.detail
    assert [one.release for one in target.instances("api")].count("2") == 0


def test_every_parent_of_a_route_must_have_taken_it_up(made: Made):
    target, cluster = made
    stale = {"conditions": [{"type": "Accepted", "status": "True", "observedGeneration": 1}]}
    actuator = actuators.connect(target, rollout("gateway"))
    actuator.rollback()
    assert isinstance(actuator, Settles)
    actuator.settle()
    cluster.routes = "away"
    cluster._objects[ROUTE, "two", "api"]["status"]["parents"].append(stale)
    with pytest.raises(TargetError, match="no controller confirms its weights"):
        actuator.settle()
    cluster._objects[ROUTE, "two", "api"]["status"] = {}
    with pytest.raises(TargetError, match="accepted: nothing"):
        actuator.settle()


def test_of_a_controller_that_tells_no_generation_only_the_time_is_known(made: Made):
    target, cluster = made
    cluster.routes = "untold"
    chosen = rollout("gateway", **{**NAMES, "settle": 0.4})
    before = {one.name: one.release for one in target.instances("api") if one.release == "1"}
    began = time.monotonic()
    _undo.recover(target, Selection(("2",), before), chosen)
    assert time.monotonic() - began >= 0.4
    seen = _undo.gone(target, Selection(("2",), before), chosen)
    assert seen.seen and "tells no generation; 0.4 s were waited instead" in seen.detail


def test_what_somebody_else_writes_meanwhile_is_kept(made: Made, monkeypatch: pytest.MonkeyPatch):
    target, cluster = made
    patch, others = cluster.patch, iter([{"metadata": {"labels": {"theirs": "yes"}}}] * 2)

    def busy(kind: str, *words: Any) -> Any:
        if change := next(others, None):
            patch(ROUTE, "two", "api", change)
        return patch(kind, *words)

    monkeypatch.setattr(cluster, "patch", busy)
    actuators.connect(target, rollout("gateway")).set_weight(0.5)
    assert backends(cluster) == {"api-stable": 1, "api-canary": 1}
    assert (cluster.read(ROUTE, "two", "api") or {})["metadata"]["labels"]["theirs"] == "yes"


def test_rules_that_disagree_or_lack_a_backend_are_an_error(made: Made):
    target, cluster = made
    actuator = actuators.connect(target, rollout("gateway"))
    rules = cluster._objects[ROUTE, "two", "api"]["spec"]["rules"]
    rules.append({"backendRefs": [{"name": "api-stable", "weight": 1}, {"name": "api-canary", "weight": 1}]})
    with pytest.raises(TargetError, match="do not agree"):
        actuator.observe()
    rules[-1]["backendRefs"].pop()
    for call in (actuator.observe, actuator.rollback):
        with pytest.raises(TargetError, match="has api-stable and not api-canary"):
            call()


# -- replicas


@pytest.mark.parametrize(("share", "instances", "right"), [(0.1, 10, True), (0.5, 3, False), (0.1, 4, False)])
def test_a_share_that_whole_instances_cannot_make_is_refused(share: float, instances: int, right: bool):
    chosen = _replicas(share, instances)
    if right:
        actuators.check(chosen)
        return
    with pytest.raises(BadInput, match="is no whole number") as refused:
        actuators.check(chosen)
    assert refused.value.key == "rollout.steps.0.share"


def _replicas(share: float = 0.5, total: int = 4, **settings: Any) -> Rollout:
    chosen = rollout("replicas", share)
    return chosen.model_copy(update={"settings": {"instances": total, **settings}})


def test_who_makes_the_instances_is_said_once():
    with pytest.raises(BadInput, match="1 instances of the canary"):
        actuators.check(_replicas().model_copy(update={"instances": 1}))
    with pytest.raises(BadInput, match="0 instances of the canary"):
        actuators.check(rollout("gateway").model_copy(update={"instances": 0}))


def wanted(cluster: FakeCluster) -> dict[str, int]:
    return {each["metadata"]["name"]: each["spec"]["replicas"] for each in cluster.list(DEPLOYMENT, "two")}


@pytest.fixture
def empty(tmp_path: Path) -> Made:
    """As a rollout with `replicas` begins: a canary's Deployment without pods."""
    target, cluster = two_releases(tmp_path)
    assert target.add_instances("api", "", 0, "2", lambda event: None) == []
    return target, cluster


def test_counts_go_up_first_and_come_back_as_declared(empty: Made):
    target, cluster = empty
    actuator = actuators.connect(target, _replicas())
    actuator.set_weight(0.25)
    assert wanted(cluster) == {"api": 3, "api-canary": 1}
    cluster.requests.clear()
    actuator.set_weight(1.0)
    assert cluster.requests == [f"patch {DEPLOYMENT} api-canary", f"patch {DEPLOYMENT} api"]
    actuator.rollback()
    assert wanted(cluster) == {"api": 2, "api-canary": 0}


def test_a_cold_process_leaves_no_empty_workload(empty: Made):
    target, cluster = empty
    chosen = _replicas()
    before = {one.name: one.release for one in target.instances("api")}
    actuators.connect(target, chosen).set_weight(0.5)
    cold, selection = again(target, cluster), Selection(("2",), before)
    assert not _undo.gone(cold, selection, chosen).seen
    _undo.recover(cold, selection, chosen)
    _undo.recover(cold, selection, chosen)
    assert _undo.gone(cold, selection, chosen).seen
    assert wanted(cluster) == {"api": 2}


@pytest.mark.parametrize("share", [0.5, 1.0])
def test_a_stable_release_that_does_not_come_back_keeps_only_a_canary_that_serves_alone(empty: Made, share: float):
    target, cluster = empty
    chosen = _replicas(total=2, back_within=0.2)
    actuator = actuators.connect(target, chosen)
    actuator.set_weight(share)
    cluster.broken.add("two.local/api:1")  # from now on no pod becomes ready
    if share == 1.0:
        for again_and in (actuator, actuators.connect(again(target, cluster), chosen)):
            with pytest.raises(TargetError, match="0 of 2 pods are ready"):
                again_and.rollback()
            assert wanted(cluster) == {"api": 2, "api-canary": 2}  # the first attempt has raised the stable count
            assert actuator.observe() == 1.0
    else:
        actuator.rollback()
        assert wanted(cluster) == {"api": 2, "api-canary": 0}


def test_counts_that_came_back_without_a_pod_that_serves_are_not_gone(empty: Made):
    target, cluster = empty
    chosen = _replicas(total=2, back_within=0.2)
    before = {one.name: one.release for one in target.instances("api")}
    actuators.connect(target, chosen).set_weight(1.0)
    cluster.broken.add("two.local/api:1")
    cold, selection = again(target, cluster), Selection(("2",), before)
    for _ in range(2):
        with pytest.raises(TargetError, match="0 of 2 pods are ready"):
            _undo.recover(cold, selection, chosen)
        assert not _undo.gone(cold, selection, chosen).seen
    target.remove_instances([one for one in target.instances("api") if one.release == "2"])
    assert wanted(cluster) == {"api": 2}  # nothing of the canary, and nobody serves
    seen = _undo.gone(cold, selection, chosen)
    assert not seen.seen and "no instance of api is ready" in seen.detail
    cluster.broken.clear()
    for each in cluster.list("v1/Pod", "two"):
        cluster.delete("v1/Pod", "two", each["metadata"]["name"])
    _undo.recover(cold, selection, chosen)
    assert _undo.gone(cold, selection, chosen).seen


def test_the_rights_of_an_actuator_are_known():
    from harness.actuators import rights

    assert "patch httproutes (gateway.networking.k8s.io)" in map(str, rights(rollout("gateway")))
    assert "patch deployments (apps)" in map(str, rights(_replicas()))
    assert rights(rollout("haproxy", backend="api")) == ()
