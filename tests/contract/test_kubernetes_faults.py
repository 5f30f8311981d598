"""What every kind of fault on Kubernetes must keep, on a cluster in memory; `make test-matrix` does it on a real one.

Each is made from its own how-to, is seen to land, is undone from nothing but what its token keeps, is seen gone, and
leaves nothing that the harness made.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from harness import faults
from harness.chaos.lifecycle import check_capabilities, check_parameters
from harness.chaos.undo import UndoToken
from harness.errors import BadInput, TargetError
from harness.faults import _release as release
from harness.kube import agent, pods, processes, traffic
from harness.kube.ports import Site
from harness.ports import FaultInjector, Instance, Selection
from harness.spec.platform import load_platform
from harness.targets.kubernetes.api import ApiError
from harness.testing.fake_bed import MISSING_TAG, PLUGGED, FakeBed, bed_target
from harness.testing.plain_target import PlainTarget
from tests.contract.test_fault_injectors import KINDS, ON_CLUSTERS, REFERENCE, TOLD, how_to

ALSO_HERE = ["process_kill", "region_loss", "provider_failure", *TOLD]
HEALED = [
    "process_kill",
    "pod_delete",
    *TOLD,
]  # by the platform itself, perhaps before somebody looks
KILLS = ["process_kill", "pod_delete", "region_loss"]  # what is as it was shows nothing of them
OUTLIVING = [kind for kind in KINDS if getattr(faults.load(kind), "OUTLIVES_PLATFORM", False)]
NETWORK = [kind for kind in ON_CLUSTERS if hasattr(faults.load(kind), "network")]
SPEC = load_platform(REFERENCE).value


@pytest.fixture
def target() -> PlainTarget:
    return bed_target(SPEC)


@pytest.fixture(params=[*ON_CLUSTERS, *ALSO_HERE])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def bed(target: PlainTarget) -> FakeBed:
    assert isinstance(target.api, FakeBed)
    target.api.requests.clear()
    return target.api


def parts(kind: str, tmp_path: Path) -> tuple[FaultInjector, Any]:
    injector = faults.load(kind)
    return injector, check_parameters(injector, kind, how_to(kind, tmp_path)["parameters"])


def through_a_token(selection: Selection, parameters: Any) -> Selection:
    """What a cold process has of it."""
    token = UndoToken(
        fault="x#1/f",
        kind="k",
        experiment="x#1",
        target="t",
        selection=selection.names,
        before=dict(selection.before),
        parameters=parameters.model_dump(mode="json"),
        created_wall_ns=0,
        deadline_wall_ns=0,
    )
    return UndoToken.model_validate_json(token.model_dump_json()).selected


def make(injector: Any, target: PlainTarget, selection: Selection, parameters: Any) -> None:
    if prepare := getattr(injector, "prepare", None):
        prepare(target, selection, parameters)
    injector.inject(target, selection, parameters)


def test_selects_no_more_than_was_predicted(kind: str, target: PlainTarget, bed: FakeBed, tmp_path: Path) -> None:
    injector, parameters = parts(kind, tmp_path)
    check_capabilities(injector, kind, target)
    predicted = injector.predict(SPEC.spec, parameters).names
    selected = injector.select(target, parameters).names
    assert 1 <= len(selected) <= len(predicted)
    if not kind.startswith("node_"):  # what lies on a node only the cluster knows
        assert len(selected) == len(predicted)
    assert not bed.requests, "selecting touches nothing"


def test_is_made_seen_undone_from_cold_and_leaves_nothing(kind: str, target: PlainTarget, tmp_path: Path) -> None:
    injector, parameters = parts(kind, tmp_path)
    assert target.ready() == []
    count = len(target.instances())
    selection = through_a_token(injector.select(target, parameters), parameters)
    assert not injector.landed(target, selection, parameters).seen, "nothing was made yet"
    make(injector, target, selection, parameters)
    seen = injector.landed(target, selection, parameters)
    assert seen.seen, seen
    assert seen.observer
    if kind not in HEALED:
        assert not injector.gone(target, selection, parameters).seen
    for _ in range(2):
        injector.recover(target, selection, parameters)
        looks = [injector.gone(target, selection, parameters) for _ in range(3)]
        assert looks[-1].seen, looks  # the first look may find, and remove, what is left of a rollout
        assert kind not in TOLD or not injector.landed(target, selection, parameters).seen
    assert target.ready() == []
    assert len(target.instances()) == count
    assert target.left() == []


@pytest.mark.parametrize("prepared", [False, True])
def test_one_that_was_never_made_is_seen_gone_and_leaves_nothing(
    kind: str, prepared: bool, target: PlainTarget, bed: FakeBed, tmp_path: Path
) -> None:
    """Whoever meant to make it died, or was refused by the cluster, before or after everything was prepared."""
    injector, parameters = parts(kind, tmp_path)
    selection = through_a_token(injector.select(target, parameters), parameters)
    unmade = dataclasses.replace(selection, made=False)
    if prepared and hasattr(injector, "prepare"):
        injector.prepare(target, selection, parameters)
        if kind in ("process_kill", "region_loss"):
            assert "agent" in injector.gone(target, unmade, parameters).detail, "one that waits may still kill"
    injector.recover(target, unmade, parameters)
    assert injector.gone(target, unmade, parameters).seen
    assert target.left() == []
    if kind in KILLS:
        assert "still container" in injector.gone(target, selection, parameters).detail, "made, it is not gone"
        bed._objects[pods.POD, "tiny", selection.names[0]]["status"]["containerStatuses"][0]["state"] = {"waiting": {}}
        assert "not ready" in injector.gone(target, unmade, parameters).detail


def test_one_whose_agent_cannot_start_is_not_made_and_is_seen_gone(
    kind: str, target: PlainTarget, bed: FakeBed, tmp_path: Path
) -> None:
    """Nor can the one that would look; on a platform that was up before, `recover` would end with 22 each time."""
    injector, parameters = parts(kind, tmp_path)
    target.agent_image = f"a{MISSING_TAG}"
    selection = through_a_token(injector.select(target, parameters), parameters)
    try:
        make(injector, target, selection, parameters)
    except TargetError as error:
        assert "does not start" in str(error)
    else:
        assert not [each for each in bed.requests if "create v1/Pod" in each], "it needs no agent"
        return
    injector.recover(target, selection, parameters)
    assert injector.gone(target, dataclasses.replace(selection, made=False), parameters).seen
    assert target.ready() == []
    assert target.left() == []


@pytest.mark.parametrize("kind", ON_CLUSTERS)
def test_a_right_that_is_lacking_is_refused_before_anything(
    kind: str, target: PlainTarget, bed: FakeBed, tmp_path: Path
) -> None:
    injector, parameters = parts(kind, tmp_path)
    needed = getattr(injector, "RIGHTS", ())
    assert needed, "the kind does not say what it needs"
    done = list(bed.requests)
    for right in needed:
        if right.verb in ("get", "list"):
            continue
        bed.forbidden = {(right.verb, right.resource)}
        with pytest.raises(BadInput, match=right.resource):
            injector.select(target, parameters)
    assert bed.requests == done


def test_what_a_kind_does_is_what_it_says_it_needs(
    kind: str, target: PlainTarget, bed: FakeBed, tmp_path: Path
) -> None:
    """A Role with a kind's RIGHTS is enough for its whole life, the undoing from cold included."""
    injector, parameters = parts(kind, tmp_path)
    bed.used.clear()
    selection = injector.select(target, parameters)
    make(injector, target, selection, parameters)
    injector.landed(target, selection, parameters)
    for _ in range(3):
        injector.recover(target, selection, parameters)
        injector.gone(target, selection, parameters)
    looking = {("get", "pods", ""), ("list", "pods", "")}  # what every run may
    declared = {(right.verb, right.resource, right.subresource) for right in getattr(injector, "RIGHTS", ())}
    assert bed.used <= declared | looking


def test_what_hits_nodes_outlives_the_platform_and_nothing_else_is_undone_by_hand() -> None:
    assert {"node_drain", "node_loss", "device_plugin_loss"} <= set(OUTLIVING)
    assert [kind for kind in KINDS if hasattr(faults.load(kind), "by_hand")] == OUTLIVING


@pytest.mark.parametrize("kind", OUTLIVING)
def test_what_outlives_the_platform_says_how_it_is_undone_by_hand(
    kind: str, target: PlainTarget, tmp_path: Path
) -> None:
    injector, parameters = parts(kind, tmp_path)
    selection = injector.select(target, parameters)
    held = set(json.loads(selection.before["labels"])) if "labels" in selection.before else {selection.before["node"]}
    told = injector.by_hand(through_a_token(selection, parameters), parameters)  # type: ignore[attr-defined]
    assert held
    assert all(node in told for node in held), told


@pytest.mark.parametrize("kind", ["scale_to_zero", "node_drain", "device_plugin_loss", "region_loss"])
def test_a_dead_mans_switch_has_no_end_but_its_work(
    kind: str, target: PlainTarget, bed: FakeBed, tmp_path: Path
) -> None:
    injector, parameters = parts(kind, tmp_path)
    selection = injector.select(target, parameters)
    injector.prepare(target, selection, parameters)  # type: ignore[attr-defined]
    switches = [pod for pod in bed.list(pods.POD, "tiny") if pods.name(pod).startswith("harness-undo-")]
    assert switches
    assert all("activeDeadlineSeconds" not in pod["spec"] for pod in switches)
    injector.recover(target, selection, parameters)
    assert target.left() == []


def test_a_protected_namespace_is_refused(kind: str, target: PlainTarget, tmp_path: Path) -> None:
    injector, parameters = parts(kind, tmp_path)
    target.namespace = "kube-system"
    with pytest.raises(BadInput, match="protected"):
        injector.select(target, parameters)


def test_what_is_nowhere_is_not_selected(kind: str, target: PlainTarget, tmp_path: Path) -> None:
    if kind in TOLD:
        pytest.skip("it acts on whoever decides for all regions")
    injector = faults.load(kind)
    parameters = check_parameters(injector, kind, {**how_to(kind, tmp_path)["parameters"], "region": "mars"})
    assert injector.select(target, parameters).names == ()
    assert injector.predict(SPEC.spec, parameters).names == ()


def test_a_pod_that_was_replaced_meanwhile_is_not_touched(target: PlainTarget, bed: FakeBed, tmp_path: Path) -> None:
    for kind in ("network_latency", "cpu_pressure"):
        injector, parameters = parts(kind, tmp_path)
        selection = injector.select(target, parameters)
        bed.delete(pods.POD, "tiny", selection.names[0])
        with pytest.raises(TargetError, match=selection.names[0]):
            make(injector, target, selection, parameters)
        injector.recover(target, selection, parameters)
        assert target.left() == []


def test_a_drain_that_a_budget_does_not_allow_fails_and_uncordons(
    target: PlainTarget, bed: FakeBed, tmp_path: Path
) -> None:
    injector = faults.load("node_drain")
    parameters = injector.Parameters(service="weaviate", region="sjc", within=0.0)
    selection = injector.select(target, parameters)
    bed.keeps = {"weaviate-sjc-0"}
    with pytest.raises(TargetError, match=r"weaviate-sjc-0 may not go.*budget"):
        make(injector, target, selection, parameters)
    node = bed.read("v1/Node", "", selection.before["node"])
    assert node is not None
    assert "unschedulable" not in node["spec"]
    injector.recover(target, selection, parameters)
    assert target.left() == []


def test_a_drain_that_fails_says_why_of_each_pod_that_stays(target: PlainTarget, bed: FakeBed) -> None:
    """Also where the last pod that was asked may go."""
    injector = faults.load("node_drain")
    parameters = injector.Parameters(service="weaviate", region="sjc", within=0.0)
    selection = injector.select(target, parameters)
    bed.keeps = {selection.names[0]}
    with pytest.raises(TargetError, match=f"{selection.names[0]} may not go: .*budget"):
        make(injector, target, selection, parameters)


def test_a_node_that_somebody_else_cordoned_is_left_alone(target: PlainTarget, bed: FakeBed) -> None:
    injector = faults.load("node_drain")
    parameters = injector.Parameters(service="weaviate", region="sjc")
    node = injector.select(target, parameters).before["node"]
    bed.patch("v1/Node", "", node, {"spec": {"unschedulable": True}})
    with pytest.raises(BadInput, match="cordoned already"):
        injector.select(target, parameters)


def test_nodes_that_cannot_be_stopped_are_refused(tmp_path: Path) -> None:
    injector, parameters = parts("node_loss", tmp_path)
    with pytest.raises(BadInput, match="how a node of this cluster is stopped"):
        injector.select(bed_target(SPEC, can_stop_nodes=False), parameters)


def test_a_bad_release_that_somebody_else_put_right_is_left_alone(
    target: PlainTarget, bed: FakeBed, tmp_path: Path
) -> None:
    """The next release was rolled out over the bad one: undoing must not put an older one back."""
    injector, parameters = parts("bad_image", tmp_path)
    selection = injector.select(target, parameters)
    make(injector, target, selection, parameters)
    newer = {
        "metadata": {"labels": {"sophia-harness/fault": None}},
        "spec": {"containers": [{"name": "a", "image": "b:2"}]},
    }
    bed.patch("apps/v1/Deployment", "tiny", "unified-api-sjc", {"spec": {"template": newer}})
    injector.recover(target, selection, parameters)
    there = bed.read("apps/v1/Deployment", "tiny", "unified-api-sjc")
    assert there is not None
    assert there["spec"]["template"]["spec"]["containers"][0]["image"] == "b:2"
    assert "not what it was" in injector.gone(target, selection, parameters).detail


@pytest.mark.parametrize("kind", ["bad_image", "crash_loop", "readiness_broken"])
def test_a_bad_release_that_users_are_still_served_by_has_not_landed(
    kind: str, target: PlainTarget, bed: FakeBed, tmp_path: Path
) -> None:
    """Whatever the kubelet says of its containers."""
    injector, parameters = parts(kind, tmp_path)
    selection = injector.select(target, parameters)
    make(injector, target, selection, parameters)
    assert injector.landed(target, selection, parameters).seen
    (new,) = [pods.name(each) for each in release.new_pods(target.site(), selection.before["id"])]
    bed.counted_on = {new}
    assert "all takes it for one that serves" in injector.landed(target, selection, parameters).detail
    bed.counted_on = set()
    if kind != "readiness_broken":  # that one runs
        bed.speaks = {new: 404}
        assert "port 8080: it answers with 404" in injector.landed(target, selection, parameters).detail
        bed.speaks = {new: 503}  # a mesh's proxy, for instance, which has nobody to send it to
        assert injector.landed(target, selection, parameters).seen
    injector.recover(target, selection, parameters)


def test_a_port_of_which_nobody_can_tell_is_not_taken_for_silent(target: PlainTarget, bed: FakeBed) -> None:
    pod = bed.list(pods.POD, "tiny")[0]
    pod["spec"]["containers"][0]["ports"] = [{"containerPort": 9, "protocol": "UDP"}, {"containerPort": 7}]
    answers: list[TargetError] = [ApiError("dial tcp: i/o timeout", 503), ApiError("connect: connection refused", 503)]

    class Told:
        def __getattr__(self, name: str) -> Any:
            return getattr(bed, name)

        def proxy(self, _namespace: str, _pod: str, port: int, *_: object, **__: object) -> None:
            asked.append(port)
            raise answers.pop(0)

    asked: list[int] = []
    site = dataclasses.replace(target.site(), cluster=Told())
    assert list(traffic.answered(site, pod)) == ["port 7: nobody can tell: dial tcp: i/o timeout"]
    assert asked == [7, 8080], "those that it declares, and those that Services send to"
    answers.append(TargetError("connection refused"))
    with pytest.raises(TargetError):  # by the API server itself
        list(traffic.answered(site, pod))


def test_a_kill_that_another_signal_did_is_not_taken_for_one(target: PlainTarget, bed: FakeBed, tmp_path: Path) -> None:
    injector, parameters = parts("process_kill", tmp_path)
    selection = injector.select(target, parameters)
    make(injector, target, selection, parameters)
    pod = bed._objects[pods.POD, "tiny", selection.names[0]]
    pod["status"]["containerStatuses"][0]["lastState"]["terminated"]["exitCode"] = 143
    assert "exit code 143" in injector.landed(target, selection, parameters).detail


def with_side_car(bed: FakeBed) -> None:
    there = bed.read("apps/v1/Deployment", "tiny", "unified-api-sjc")
    assert there is not None
    containers = [*there["spec"]["template"]["spec"]["containers"], {"name": "proxy", "image": "proxy:1"}]
    change = {"spec": {"template": {"spec": {"containers": containers}}}}
    bed.patch("apps/v1/Deployment", "tiny", "unified-api-sjc", change)
    for _ in range(4):  # until it is rolled out
        bed.list(pods.POD, "tiny")


def test_a_side_car_is_killed_by_its_name_and_nothing_else_is(target: PlainTarget, bed: FakeBed) -> None:
    with_side_car(bed)
    kind = faults.load("process_kill")
    named = kind.Parameters(service="unified-api", region="sjc", count=1, container="proxy")
    unnamed = named.model_copy(update={"container": None})
    selection, of_main = (through_a_token(kind.select(target, each), each) for each in (named, unnamed))
    (name,) = selection.names
    assert selection.before[name] != of_main.before[name]
    assert "still runs" in kind.landed(target, selection, named).detail
    make(kind, target, selection, named)
    assert kind.landed(target, selection, named).seen
    assert "still runs" in kind.landed(target, of_main, unnamed).detail, "the first container was left alone"
    pod = bed._objects[pods.POD, "tiny", name]
    assert [each["restartCount"] for each in pod["status"]["containerStatuses"]] == [0, 1]
    pod["status"]["containerStatuses"][1]["state"] = {"waiting": {"reason": "CrashLoopBackOff"}}
    kind.recover(target, selection, named)
    assert bed.read(pods.POD, "tiny", name) is None, "a side-car that waits is given a new pod"
    assert kind.gone(target, selection, named).seen
    assert target.left() == []


def test_without_a_name_it_is_the_first_container(target: PlainTarget, bed: FakeBed) -> None:
    with_side_car(bed)
    kind = faults.load("process_kill")
    parameters = kind.Parameters(service="unified-api", region="sjc", count=1)
    selection = kind.select(target, parameters)
    make(kind, target, selection, parameters)
    pod = bed._objects[pods.POD, "tiny", selection.names[0]]
    assert [each["restartCount"] for each in pod["status"]["containerStatuses"]] == [1, 0]
    kind.recover(target, selection, parameters)


def test_a_name_that_no_container_has_is_refused(target: PlainTarget, bed: FakeBed) -> None:
    with_side_car(bed)
    kind = faults.load("process_kill")
    bed.requests.clear()
    with pytest.raises(BadInput, match=r"no container 'prox'\n  fix: it has unified-api, proxy"):
        kind.select(target, kind.Parameters(service="unified-api", region="sjc", container="prox"))
    with pytest.raises(BadInput, match="no container 'proxy'"):  # one of its regions lacks it
        kind.select(target, kind.Parameters(service="unified-api", container="proxy"))
    assert bed.requests == []


def test_side_cars_may_be_among_the_init_containers() -> None:
    init = [{"name": "once"}, {"name": "mesh", "restartPolicy": "Always"}]
    told = {"initContainerStatuses": [{"name": "mesh", "containerID": "x://7"}]}
    pod = {"metadata": {"uid": "u"}, "spec": {"containers": [{"name": "a"}], "initContainers": init}, "status": told}
    assert pods.containers(pod) == ["a", "mesh"]
    assert str(pods.mark(pod, "mesh")) == "u/7///mesh"
    assert pods.read_mark("u/7///mesh") == pods.mark(pod, "mesh")
    assert pods.read_mark("u/7/Deployment/d").container == "", "as earlier releases wrote it"


def test_a_container_that_was_replaced_twice_does_not_tell_how_it_ended(
    target: PlainTarget, bed: FakeBed, tmp_path: Path
) -> None:
    """The kubelet tells of the last one that ended only, and that one was killed too."""
    injector, parameters = parts("process_kill", tmp_path)
    selection = injector.select(target, parameters)
    make(injector, target, selection, parameters)
    make(injector, target, selection, parameters)
    seen = injector.landed(target, selection, parameters)
    assert (seen.seen, "replaced more than once" in seen.detail) == (False, True)


def test_what_the_kubelet_does_not_tell_is_not_landed(target: PlainTarget, bed: FakeBed, tmp_path: Path) -> None:
    injector, parameters = parts("process_kill", tmp_path)
    selection = injector.select(target, parameters)
    pod = bed._objects[pods.POD, "tiny", selection.names[0]]
    del pod["status"]["containerStatuses"]
    assert "does not tell" in injector.landed(target, selection, parameters).detail
    bed._drop(pod)
    assert not injector.landed(target, selection, parameters).seen


def test_what_was_made_for_a_pod_that_was_replaced_meanwhile_goes_too(target: PlainTarget, bed: FakeBed) -> None:
    """Its successor in a StatefulSet has its name: an agent waits for that one."""
    kind = faults.load("process_kill")
    parameters = kind.Parameters(service="weaviate", region="sjc")
    selection = kind.select(target, parameters)
    bed.delete(pods.POD, "tiny", "weaviate-sjc-0")
    kind.prepare(target, selection, parameters)
    assert target.left() != []
    assert not kind.landed(target, selection, parameters).seen
    kind.recover(target, selection, parameters)
    assert kind.gone(target, selection, parameters).seen
    assert target.left() == []


def test_a_switch_that_never_began_or_was_evicted_leaves_no_account(
    target: PlainTarget, bed: FakeBed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its rights are there before its pod, and stay when that goes."""
    kind = faults.load("region_loss")
    parameters = kind.Parameters(region="sjc")

    def refused(*_: object, **__: object) -> None:
        raise TargetError("no image for it")

    selection = kind.select(target, parameters)
    with monkeypatch.context() as broken, pytest.raises(TargetError, match="no image"):
        broken.setattr(agent, "launch", refused)
        make(kind, target, selection, parameters)
    unmade = dataclasses.replace(selection, made=False)
    assert any("ServiceAccount" in each for each in target.left())
    assert "Role" in kind.gone(target, unmade, parameters).detail
    kind.recover(target, unmade, parameters)
    assert kind.gone(target, unmade, parameters).seen
    assert target.left() == []

    bed.delete(pods.POD, "tiny", "weaviate-sjc-0")  # replaced between being selected and killed
    make(kind, target, selection, parameters)
    (switch,) = [pods.name(pod) for pod in bed.list(pods.POD, "tiny") if pods.name(pod).startswith("harness-undo")]
    bed.delete(pods.POD, "tiny", switch)
    kind.recover(target, selection, parameters)
    assert kind.gone(target, selection, parameters).seen
    assert target.left() == []


def test_a_pod_that_the_hold_of_its_neighbour_took_away_needs_no_kill(
    target: PlainTarget, bed: FakeBed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All pods of a region are killed at once; the first of a workload scales all of them away."""
    kind = faults.load("region_loss")
    parameters = kind.Parameters(region="sjc")
    selection = kind.select(target, parameters)
    prepare = processes.prepare

    def late(site: Site, instance: Instance) -> str:
        if instance.service == "unified-api":
            processes.hold(site, pods.Workload("Deployment", "unified-api-sjc"))
        return prepare(site, instance)

    kind.prepare(target, selection, parameters)
    monkeypatch.setattr(processes, "prepare", late)
    kind.inject(target, selection, parameters)
    assert kind.landed(target, selection, parameters).seen
    kind.recover(target, selection, parameters)
    assert target.left() == []


def test_a_device_is_hidden_on_its_node_and_shown_again(target: PlainTarget, bed: FakeBed) -> None:
    kind = faults.load("device_loss")
    parameters = kind.Parameters(device="gpu-sjc", worker="gpu-worker", metric="sophia_gpu_present", region="sjc")
    check_capabilities(kind, "device_loss", target)
    selection = through_a_token(kind.select(target, parameters), parameters)
    assert selection.names == kind.predict(SPEC.spec, parameters).names == ("gpu-sjc",)
    assert not kind.landed(target, selection, parameters).seen
    kind.inject(target, selection, parameters)
    assert kind.landed(target, selection, parameters).seen
    assert not target.device_present("gpu-sjc")
    for _ in range(2):
        kind.recover(target, selection, parameters)
        assert kind.gone(target, selection, parameters).seen
    assert target.device_present("gpu-sjc")
    assert target.left() == []


def test_the_kinds_on_networks_are_these() -> None:
    assert {"network_latency", "network_loss", "network_partition", "dns_loss"} <= set(NETWORK)


@pytest.mark.parametrize("kind", NETWORK)
def test_an_untouched_network_has_no_fault_and_its_look_before_is_good(
    kind: str, target: PlainTarget, bed: FakeBed, tmp_path: Path
) -> None:
    injector, parameters = parts(kind, tmp_path)
    selection = injector.select(target, parameters)
    injector.prepare(target, selection, parameters)  # type: ignore[attr-defined]
    assert not injector.landed(target, selection, parameters).seen
    assert injector.gone(target, selection, parameters).seen
    injector.recover(target, selection, parameters)
    assert target.left() == []


@pytest.mark.parametrize("kind", [*NETWORK, "connections_exhausted"])
@pytest.mark.parametrize("wrong", [{"deaf": True}, {"blind": "no process of pod u on this node"}], ids=str)
def test_an_eye_that_sees_the_fault_already_or_nothing_is_a_refusal(
    kind: str, wrong: dict[str, Any], target: PlainTarget, bed: FakeBed, tmp_path: Path
) -> None:
    """Before anything is touched, with what to do; and from cold it leaves nothing and is no fault that stays."""
    injector, parameters = parts(kind, tmp_path)
    selection = through_a_token(injector.select(target, parameters), parameters)
    for name, value in wrong.items():
        setattr(bed, name, value)
    with pytest.raises(BadInput, match=r"before the fault: [a-z-]+-sjc.*\n  fix: "):
        make(injector, target, selection, parameters)
    assert not [request for request in bed.requests if "harness-hand" in request]
    injector.recover(target, selection, parameters)
    assert not injector.gone(target, selection, parameters).seen, "who made it does not know that it is gone"
    unmade = dataclasses.replace(selection, made=False)
    assert injector.gone(target, unmade, parameters).seen
    assert target.left() == []


@pytest.mark.parametrize("kind", NETWORK)
def test_an_echo_that_gets_lost_by_itself_is_no_refusal(
    kind: str, target: PlainTarget, bed: FakeBed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    injector, parameters = parts(kind, tmp_path)
    selection = injector.select(target, parameters)
    looks: list[str] = []

    def swept(*_: Any) -> dict[str, int]:
        """A look begins with it; the first one gets no echo back."""
        looks.append("one")
        bed.deaf = len(looks) == 1
        return {"chains": 0}

    monkeypatch.setattr(bed, "_swept", swept)
    make(injector, target, selection, parameters)
    assert injector.landed(target, selection, parameters).seen
    injector.recover(target, selection, parameters)


@pytest.mark.parametrize("kind", [kind for kind in NETWORK if kind.startswith("network_")])
def test_who_was_measured_against_may_be_another_pod_by_now(
    kind: str, target: PlainTarget, bed: FakeBed, tmp_path: Path
) -> None:
    injector, parameters = parts(kind, tmp_path)
    selection = injector.select(target, parameters)
    make(injector, target, selection, parameters)
    (reference,) = [pod for pod in bed.list(pods.POD, "tiny") if pods.address(pod) == selection.before["reference"]]
    bed.delete(pods.POD, "tiny", pods.name(reference))
    injector.recover(target, selection, parameters)
    assert injector.gone(target, selection, parameters).seen
    assert target.left() == []


@pytest.mark.parametrize("kind", NETWORK)
def test_one_whose_agent_hangs_on_is_not_gone_though_nobody_wrote_that_it_was_made(
    kind: str, target: PlainTarget, tmp_path: Path
) -> None:
    injector, parameters = parts(kind, tmp_path)
    selection = injector.select(target, parameters)
    make(injector, target, selection, parameters)
    unmade = dataclasses.replace(selection, made=False)
    assert "is still there" in injector.gone(target, unmade, parameters).detail
    injector.recover(target, selection, parameters)
    assert injector.gone(target, unmade, parameters).seen


@pytest.mark.parametrize("far_ms", [0.1, 30, 99])
@pytest.mark.parametrize("jitter", [0.0, 0.02, 0.1, 0.199])
def test_an_echo_that_takes_long_by_itself_is_no_latency(
    far_ms: float, jitter: float, target: PlainTarget, bed: FakeBed
) -> None:
    kind = faults.load("network_latency")
    bed.far_ms = far_ms
    parameters = kind.Parameters(service="unified-api", region="sjc", delay=0.2, jitter=jitter)
    selection = kind.select(target, parameters)
    kind.prepare(target, selection, parameters)
    assert not kind.landed(target, selection, parameters).seen
    kind.inject(target, selection, parameters)
    assert kind.landed(target, selection, parameters).seen
    kind.recover(target, selection, parameters)
    assert kind.gone(target, selection, parameters).seen


def test_a_delay_that_is_too_short_is_not_made_up_for_by_a_long_way(target: PlainTarget, bed: FakeBed) -> None:
    kind = faults.load("network_latency")
    bed.far_ms = 90
    parameters = kind.Parameters(service="unified-api", region="sjc", delay=0.2, jitter=0.02)
    selection = kind.select(target, parameters)
    kind.prepare(target, selection, parameters)
    kind.inject(target, selection, kind.Parameters(service="unified-api", delay=0.1))
    assert "takes 190.0 ms (0% lost), 90 ms before" in kind.landed(target, selection, parameters).detail
    kind.recover(target, selection, parameters)


def test_an_eye_that_was_not_there_before_does_not_tell_a_delay(target: PlainTarget, bed: FakeBed) -> None:
    kind = faults.load("network_latency")
    parameters = kind.Parameters(service="unified-api", region="sjc", count=1, delay=0.2)
    selection = kind.select(target, parameters)
    make(kind, target, selection, parameters)
    bed.delete(pods.POD, "tiny", f"harness-eye-{selection.before['id']}-0")
    assert "nobody knows any more" in kind.landed(target, selection, parameters).detail
    kind.recover(target, selection, parameters)
    assert kind.gone(target, selection, parameters).seen, "that, it can tell"


def test_memory_that_the_service_takes_itself_is_no_pressure(
    target: PlainTarget, bed: FakeBed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    injector, parameters = parts("memory_pressure", tmp_path)
    selection = injector.select(target, parameters)
    used = {"cores": 0.0, "memory": 99, "limit": 100, "foreign": 0, "file": 0}
    monkeypatch.setattr(bed, "_usage", lambda *_: used)
    assert "nothing else runs in its cgroup" in injector.landed(target, selection, parameters).detail
    injector.recover(target, selection, parameters)


@pytest.mark.parametrize("jitter", ["200ms", "1s"])
def test_more_jitter_than_delay_is_refused(jitter: str) -> None:
    kind = faults.load("network_latency")
    with pytest.raises(BadInput, match="must be less than the delay"):
        check_parameters(kind, "network_latency", {"service": "unified-api", "delay": "200ms", "jitter": jitter})


def test_a_device_is_not_lost_by_the_workers_word_alone(target: PlainTarget, bed: FakeBed) -> None:
    """The node can give it out still; and nodes that tell nothing of it, as without its plug-in, are nobody's word."""
    kind = faults.load("device_loss")
    parameters = kind.Parameters(device="gpu-sjc", worker="gpu-worker", metric="sophia_gpu_present", region="sjc")
    selection = kind.select(target, parameters)
    bed.gauge = "0"
    assert kind.landed(target, selection, parameters).detail == "gpu-sjc: can be given out still"
    bed.cards = "0"
    assert "no node of region sjc tells of a nvidia.com/gpu" in kind.landed(target, selection, parameters).detail
    bed.gauge = "1"
    assert "no node of region sjc tells of a nvidia.com/gpu" in kind.gone(target, selection, parameters).detail
    bed.cards = "1"
    assert kind.gone(target, selection, parameters).seen


def test_of_two_pods_one_that_is_replaced_does_not_confuse_the_looks(target: PlainTarget, bed: FakeBed) -> None:
    """The eyes are told apart by the pods' places in the selection, also when one of these is gone."""
    kind = faults.load("network_partition")
    parameters = kind.Parameters(service="unified-api", region="sjc")
    selection = kind.select(target, parameters)
    first, second = selection.names
    make(kind, target, selection, parameters)
    assert kind.landed(target, selection, parameters).seen
    bed.delete(pods.POD, "tiny", first)
    seen = kind.landed(target, selection, parameters)
    assert (seen.seen, first in seen.detail, second in seen.detail) == (False, True, False)
    kind.recover(target, selection, parameters)
    assert kind.gone(target, selection, parameters).seen
    assert target.left() == []


def test_a_plug_in_whose_devices_are_still_given_out_is_not_gone(target: PlainTarget, bed: FakeBed) -> None:
    kind = faults.load("device_plugin_loss")
    parameters = kind.Parameters(service="gpu-worker", region="sjc", label=PLUGGED)
    selection = kind.select(target, parameters)
    make(kind, target, selection, parameters)
    bed.patch("v1/Node", "", "n3", {"metadata": {"labels": {PLUGGED: "true"}}})  # somebody put it back on one node
    assert "n3: has 1 nvidia.com/gpu" in kind.landed(target, selection, parameters).detail
    kind.recover(target, selection, parameters)
    assert kind.gone(target, selection, parameters).seen


def test_a_pod_that_still_gets_a_device_speaks_against_it(target: PlainTarget, bed: FakeBed) -> None:
    kind = faults.load("device_plugin_loss")
    parameters = kind.Parameters(service="gpu-worker", region="sjc", label=PLUGGED)
    selection = kind.select(target, parameters)
    make(kind, target, selection, parameters)
    bed.schedules_all = True
    assert "a pod that asks for nvidia.com/gpu there is scheduled" in kind.landed(target, selection, parameters).detail
    kind.recover(target, selection, parameters)
    assert target.left() == []


def test_a_taint_with_the_devices_name_is_no_lack_of_devices(
    target: PlainTarget, bed: FakeBed, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = faults.load("device_plugin_loss")
    parameters = kind.Parameters(service="gpu-worker", region="sjc", label=PLUGGED)
    selection = kind.select(target, parameters)
    make(kind, target, selection, parameters)
    made: list[dict[str, Any]] = []
    monkeypatch.setattr(bed, "create", lambda manifest: (made.append(manifest), FakeBed.create(bed, manifest))[1])
    bed.word = "0/4 nodes are available: 1 node(s) had untolerated taint {nvidia.com/gpu: present}"
    assert "untolerated taint" in kind.landed(target, selection, parameters).detail
    assert all(each["spec"]["tolerations"] == [{"operator": "Exists"}] for each in made)
    bed.word = "0/4 nodes are available: 1 Insufficient nvidia.com/gpu"
    assert kind.landed(target, selection, parameters).seen
    kind.recover(target, selection, parameters)


def test_a_label_that_no_node_has_is_refused(target: PlainTarget) -> None:
    kind = faults.load("device_plugin_loss")
    with pytest.raises(BadInput, match=r"no node with nvidia.com/gpu has the label 'gpu'"):
        kind.select(target, kind.Parameters(service="gpu-worker", region="sjc", label="gpu"))


def test_a_label_that_is_not_the_plug_ins_takes_nobodys_device(
    target: PlainTarget, bed: FakeBed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The nodes lose a label, and the kubelets have their devices still: no pod is deleted."""
    kind = faults.load("device_plugin_loss")
    monkeypatch.setattr(kind, "PLUGIN_S", 0.2)
    for node in ("n2", "n3"):
        bed.patch("v1/Node", "", node, {"metadata": {"labels": {"other": "yes"}}})
    parameters = kind.Parameters(service="gpu-worker", region="sjc", label="other")
    selection = kind.select(target, parameters)
    with pytest.raises(TargetError, match=r"n2: has 1 nvidia.com/gpu.*\n  fix: name the label"):
        make(kind, target, selection, parameters)
    assert target.ready() == []
    kind.recover(target, selection, parameters)
    assert kind.gone(target, selection, parameters).seen
    node = bed.read("v1/Node", "", "n2")
    assert node is not None
    assert node["metadata"]["labels"]["other"] == "yes"
    assert target.left() == []


def test_who_has_a_device_keeps_it_when_nobody_is_evicted(target: PlainTarget, bed: FakeBed) -> None:
    kind = faults.load("device_plugin_loss")
    parameters = kind.Parameters(service="gpu-worker", region="sjc", label=PLUGGED, evict=False)
    selection = kind.select(target, parameters)
    make(kind, target, selection, parameters)
    assert kind.landed(target, selection, parameters).seen
    assert target.ready() == []
    kind.recover(target, selection, parameters)
    assert kind.gone(target, selection, parameters).seen


def test_a_provider_that_was_replaced_never_heard_of_it(target: PlainTarget, bed: FakeBed, tmp_path: Path) -> None:
    injector, parameters = parts("provider_failure", tmp_path)
    selection = injector.select(target, parameters)
    make(injector, target, selection, parameters)
    bed.delete(pods.POD, "tiny", selection.names[0])
    bed.behaves = "normal"
    assert "no such instance" in injector.landed(target, selection, parameters).detail
    injector.recover(target, selection, parameters)
    assert injector.gone(target, selection, parameters).seen
