"""The kubernetes target against a cluster in memory: phases, gates, taking back, claims, the end."""

from __future__ import annotations

import copy
import json
import stat
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from harness.errors import BadInput, TargetError
from harness.kube import holds
from harness.model.events import AnyEvent
from harness.model.on_cluster import OnCluster
from harness.ports import Artifacts, Logs, Releases, Target
from harness.spec.platform import load_platform
from harness.targets import kubernetes as kind
from harness.targets.kubernetes import rollout
from harness.targets.kubernetes.api import ApiError
from harness.targets.kubernetes.claim import LEASE, LEASE_KIND
from harness.targets.kubernetes.gates import Gates, Place
from harness.targets.kubernetes.objects import RUN
from harness.targets.kubernetes.rollout import wait_for_add_ons
from harness.targets.kubernetes.target import KubernetesTarget
from harness.targets.probe import Answer
from harness.testing.fake_cluster import FakeCluster

CLUSTER = Path(__file__).parent.parent / "fixtures" / "cluster"


class _Edge(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def edge() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Edge)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


class Made:
    """A target on a fake cluster; `said` is every request that a pod was asked."""

    def __init__(self, tmp_path: Path, edge: str) -> None:
        self.said: list[tuple[str, str, str]] = []
        self.ill: set[str] = set()  # paths that answer 503
        self.cluster = FakeCluster(self._answer)
        self.edge, self.root = edge, tmp_path
        self.events: list[AnyEvent] = []
        self.target = self.another()

    def another(self, **changes: Any) -> KubernetesTarget:
        given: dict[str, Any] = {
            "context": "fake",
            "namespace": "small",
            "manifests": str(CLUSTER / "manifests.yaml"),
            "endpoints": {"edge": self.edge, "databases": {"east": "base://${secret.base}@host/db"}},
            "rollout_within": 1.0,
            "down_within": 1.0,
        }
        on = OnCluster.model_validate({**given, **changes})
        target = kind.kubernetes(load_platform(CLUSTER / "platform.yaml"), on, self.root)
        target.__dict__["cluster"] = self.cluster
        return target

    def attached(self) -> KubernetesTarget:
        """As another process has it."""
        target = kind.attach(self.target.reference)
        target.__dict__["cluster"] = self.cluster
        return target

    def up(self, release: str = "") -> None:
        self.target.up(release, self.events.append)

    def _answer(self, pod: dict[str, Any], port: int, method: str, path: str, body: str | None) -> Answer:
        self.said.append((pod["metadata"]["name"], method, path))
        return Answer(503 if path in self.ill else 200, {}, json.dumps({"path": path}))


@pytest.fixture
def made(tmp_path: Path, edge: str) -> Made:
    return Made(tmp_path, edge)


def names(events: list[AnyEvent]) -> list[str]:
    return [each.event for each in events if each.event not in ("check", "stand-in")]


def test_is_a_target_with_its_capabilities(made: Made) -> None:
    for protocol in (Target, Artifacts, Logs, Releases):
        assert isinstance(made.target, protocol)


def test_comes_up_phase_by_phase(made: Made) -> None:
    made.up()
    assert names(made.events) == [
        "gate.checked",
        "phase.deployed",
        "gate.checked",
        "phase.deployed",
        "gate.checked",
        "phase.deployed",
        "deployed",
    ]
    assert made.target.ready() == []
    found = made.target.instances()
    assert [each.name for each in found] == [
        "base-east-0",
        "base-west-0",
        "app-east-x0",
        "app-east-x1",
        "app-west-x0",
        "edge-x0",
    ]
    assert {each.release for each in found if each.service == "app"} == {"1"}
    assert {each.release for each in found if each.service == "base"} == {""}
    assert [each.name for each in made.target.instances("app", "east")] == ["app-east-x0", "app-east-x1"]
    assert ("app-east-x0", "POST", "/ready") in made.said
    order = [each for each in made.cluster.requests if each.startswith("apply apps")]
    assert [each.rpartition(" ")[2] for each in order] == ["base-east", "base-west", "app-east", "app-west", "edge"]
    with pytest.raises(TargetError, match="brought up before"):
        made.up()


def test_every_object_is_labelled_and_of_the_namespace(made: Made) -> None:
    made.up()
    run = made.target.folder.id
    for each in ("v1/Namespace", "v1/Service", "v1/Pod", "v1/Secret", "apps/v1/Deployment", LEASE_KIND):
        found = [one for one in made.cluster.list(each) if one["metadata"]["name"] not in ("kube-system", "default")]
        assert found, each
        assert {one["metadata"]["labels"][RUN] for one in found} == {run}, each
    (namespace,) = made.cluster.list("v1/Namespace", labels={RUN: run})
    assert namespace["metadata"]["labels"]["purpose"] == "tests"


def test_a_release_sets_its_label_and_what_it_names(made: Made) -> None:
    made.up("2")
    east = made.cluster.read("apps/v1/Deployment", "small", "app-east")
    base = made.cluster.read("apps/v1/StatefulSet", "small", "base-east")
    assert east and base
    (container,) = east["spec"]["template"]["spec"]["containers"]
    assert {one["name"]: one["value"] for one in container["env"]} == {"KEPT": "yes", "NOTE": "two"}
    assert east["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/version"] == "2"
    assert "app.kubernetes.io/version" not in base["spec"]["template"]["metadata"]["labels"]


def test_the_secret_is_made_and_is_in_no_file(made: Made) -> None:
    made.up()
    url = made.target.endpoints().databases["east"]
    secret = url.removeprefix("base://").removesuffix("@host/db")
    assert len(secret) > 20
    for file in made.root.rglob("*"):
        if file.is_file():
            assert secret not in file.read_text()
    assert stat.S_IMODE(made.target.folder.state.stat().st_mode) == 0o600
    assert made.attached().endpoints().databases["east"] == url


def test_a_gate_that_fails_takes_its_phase_back_and_no_other(made: Made) -> None:
    made.ill.add("/ready")
    with pytest.raises(TargetError, match="app is well"):
        made.up()
    assert names(made.events) == ["gate.checked", "phase.deployed", "gate.checked", "phase.taken-back"]
    assert made.events[-1].verified
    assert [each.service for each in made.target.instances()] == ["base", "base"]
    assert made.cluster.list("apps/v1/Deployment") == []
    assert made.target.state().status == "failed"
    assert made.target.down().clean


def test_an_image_that_is_not_there_fails_before_the_deadline(made: Made) -> None:
    made.cluster.broken.add("small.local/app:1")
    target = made.another(rollout_within=60.0)
    with pytest.raises(TargetError, match="ImagePullBackOff"):
        target.up("", made.events.append)
    assert made.events[-1].event == "phase.taken-back"
    assert made.events[-1].verified


def test_what_controllers_complain_of_is_told(made: Made) -> None:
    created = made.cluster.create

    def complain(manifest: dict[str, Any]) -> dict[str, Any]:
        event = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": "e", "namespace": "small"},
            "type": "Warning",
            "reason": "FailedCreate",
            "message": "quota exceeded",
            "involvedObject": {"kind": "StatefulSet", "name": "base-west"},
        }
        answer = created(manifest)
        if manifest["kind"] == "Secret":
            created(event)
        return answer

    made.cluster.create = complain
    made.cluster._pods_of = lambda workload: None  # controllers that do nothing
    with pytest.raises(TargetError, match="base-west: FailedCreate: quota exceeded"):
        made.up()


def test_another_release_takes_over_and_a_bad_one_is_taken_back(made: Made) -> None:
    made.up()
    made.target.deploy("2", made.events.append)
    assert {each.release for each in made.target.instances("app")} == {"2"}
    assert made.target.state().release == "2"
    made.ill.add("/ready")
    with pytest.raises(TargetError, match="app is well"):
        made.target.deploy("1", made.events.append)
    assert made.events[-1].event == "phase.taken-back"
    assert made.events[-1].verified
    assert {each.release for each in made.target.instances("app")} == {"2"}
    assert made.target.state().status == "up"
    with pytest.raises(BadInput, match="no release"):
        made.target.deploy("none", made.events.append)


def test_canaries_come_and_go_beside_the_serving_pods(made: Made) -> None:
    made.up()
    serving = [each.name for each in made.target.instances("app")]
    added = made.target.add_instances("app", "east", 2, "2", made.events.append)
    assert [each.name for each in added] == ["app-east-canary-x0", "app-east-canary-x1"]
    assert [each.release for each in added] == ["2", "2"]
    east = [each.name for each in made.target.instances("app", "east")]
    assert east == [*serving[:2], *(each.name for each in added)]
    stable = made.cluster.read("apps/v1/Deployment", "small", "app-east")
    assert stable
    assert stable["spec"]["replicas"] == 2
    for _ in range(2):
        made.target.remove_instances(added)
    assert [each.name for each in made.target.instances("app")] == serving
    assert made.target.ready() == []


def test_a_canary_that_does_not_start_leaves_nothing(made: Made) -> None:
    made.up()
    serving = [each.name for each in made.target.instances()]
    made.cluster.broken.add("small.local/app:1")
    with pytest.raises(TargetError, match="ImagePullBackOff"):
        made.target.add_instances("app", "west", 1, "2", made.events.append)
    assert [each.name for each in made.target.instances()] == serving
    with pytest.raises(BadInput, match="no releases"):
        made.target.add_instances("base", "east", 1, "2", made.events.append)
    with pytest.raises(BadInput, match="not in region"):
        made.target.add_instances("app", "north", 1, "2", made.events.append)


def test_checks_tell_what_is_right_and_what_is_not(made: Made) -> None:
    made.up()
    found: list[Any] = []
    made.target.check(found.append)
    assert [each.name for each in found if each.passed != each.of] == []
    made.cluster.patch("v1/Service", "small", "base-east", {"spec": {"selector": {"app.kubernetes.io/name": "nobody"}}})
    made.target.check(found.clear() or found.append)
    assert [each.name for each in found if each.passed != each.of] == ["every Service has endpoints"]
    made.target.check(found.clear() or found.append)
    assert {"every health endpoint answers", "logs show success", "a program that is told of a pod"} <= {
        each.name for each in found
    }
    made.ill.add("/health")
    made.target.check(found.clear() or found.append)
    (health,) = [each for each in found if each.name == "every health endpoint answers"]
    assert health.passed == 1  # the edge, which has no health check of its own


def test_a_program_is_told_where_the_scenario_says(made: Made) -> None:
    made.target = made.another(endpoints={"edge": made.edge, "services": {"base@west": "elsewhere:1"}})
    made.up()
    gate = made.target.state().spec.checks[0]
    argv = ("${python}", "-c", "import sys; print(sys.argv[1])", "${base@west.http}")
    told = gate.model_copy(update={"command": gate.command.model_copy(update={"argv": argv})})
    where = Place(made.cluster, made.target.state(), made.target.folder.root)
    seen = Gates((where,), made.target.folder, made.target.state()).look(told)
    assert seen.ok
    assert seen.evidence.endswith("elsewhere:1")


def test_images_and_manifests_are_told_by_digest(made: Made) -> None:
    made.up()
    found = made.target.artifacts()
    assert set(found) == {
        "manifests",
        "image small.local/base:1",
        "image small.local/app:1",
        "image small.local/edge:1",
    }
    assert all(len(str(digest)) == 64 for digest in found.values())
    assert made.another().plan("").state.manifests_sha256 == found["manifests"]


def test_logs_are_fetched(made: Made) -> None:
    made.up()
    files = {file.name: file.read_text() for file in made.target.logs()}
    assert files["base-east-0.base.log"] == "Server is up\n"
    assert "gates.jsonl" in files


def test_two_runs_never_meet(made: Made) -> None:
    made.up()
    other = made.another()
    before = list(made.cluster.requests)
    with pytest.raises(TargetError, match="nothing was touched") as refused:
        other.up("", made.events.append)
    assert made.target.folder.id in str(refused.value)
    assert made.cluster.requests == before
    assert other.down().clean
    assert made.cluster.requests == before


def test_a_lease_that_is_taken_in_between_is_respected(made: Made) -> None:
    plan = made.target.plan("")
    made.up()
    from harness.targets.kubernetes import claim

    other = plan.state.model_copy(update={"id": "small-000000"})
    with pytest.raises(TargetError, match="is taken by"):
        claim.claim(made.cluster, other, {}, {})


def test_down_leaves_nothing_and_may_be_called_twice(made: Made) -> None:
    made.up()
    attached = made.attached()
    assert attached.down().clean
    assert made.cluster.list("v1/Pod") == []
    assert [each["metadata"]["name"] for each in made.cluster.list("v1/Namespace")] == ["kube-system", "default"]
    assert not made.target.folder.root.exists()
    assert made.target.down().clean
    with pytest.raises(TargetError):
        made.target.ready()


def test_a_namespace_that_was_there_stays_and_what_is_not_ours_too(made: Made) -> None:
    made.cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "small"}})
    made.cluster.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "theirs", "namespace": "small"}})
    made.up()
    assert made.cluster.read(LEASE_KIND, "small", LEASE)
    assert made.target.down().clean
    assert made.cluster.read("v1/ConfigMap", "small", "theirs")
    assert made.cluster.read(LEASE_KIND, "small", LEASE) is None
    for each in ("v1/Pod", "v1/Service", "v1/Secret", "apps/v1/Deployment"):
        assert made.cluster.list(each) == [], each


def test_a_release_may_name_images(made: Made) -> None:
    made.up()
    made.cluster.broken.add("small.local/nothing:0")
    with pytest.raises(TargetError, match="no such image"):
        made.target.deploy("lost", made.events.append)
    assert (made.events[-1].event, made.events[-1].verified) == ("phase.taken-back", True)
    images = {each["spec"]["containers"][0]["image"] for each in made.cluster.list("v1/Pod")}
    assert images == {"small.local/app:1", "small.local/base:1", "small.local/edge:1"}
    assert {each.release for each in made.target.instances("app")} == {"1"}


def test_what_is_taken_back_waits_for_pods_that_are_beyond_help(made: Made) -> None:
    """On a cluster they are there for a while after the good release was applied again."""
    made.up()
    app = made.cluster.read("apps/v1/Deployment", "small", "app-east")
    pod = made.cluster.list("v1/Pod", "small", {"app.kubernetes.io/name": "app"})[0]
    lost = {**pod, "metadata": {**pod["metadata"], "name": "app-lost", "ownerReferences": []}}
    waiting = {"state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}}
    lost["status"] = {"conditions": [], "containerStatuses": [{**pod["status"]["containerStatuses"][0], **waiting}]}
    made.cluster._put(lost)
    looks: list[None] = []
    missing = rollout._missing

    def late(cluster: Any, one: Any) -> str:
        looks.append(None)
        return "is not taken up yet" if len(looks) == 1 else missing(cluster, one)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(rollout, "_missing", late)
        with pytest.raises(TargetError, match="no such image"):
            rollout.wait_for_rollout(made.cluster, made.target.state(), [app])
        looks.clear()
        rollout.wait_for_rollout(made.cluster, made.target.state(), [app], early=False)


BACKING_OFF = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}}


def _crashing(made: Made, name: str, crashes: int, **labels: str) -> None:
    """A pod like one of app-east that backs off after so many restarts, now."""
    pods = made.cluster.list("v1/Pod", "small", {"app.kubernetes.io/name": "app", "small.example/region": "east"})
    (status,) = pods[0]["status"]["containerStatuses"]
    about = {**pods[0]["metadata"], "name": name, "ownerReferences": []}
    about["labels"] = {**about["labels"], **labels}
    broken = {"conditions": [], "containerStatuses": [{**status, "restartCount": crashes, "state": BACKING_OFF}]}
    made.cluster._put({**pods[0], "metadata": about, "status": broken})


@pytest.mark.parametrize(
    ("labels", "since", "given_up"),
    [
        ({}, 3, True),
        ({}, 2, False),  # it has five restarts in all
        ({"app.kubernetes.io/name": "base"}, 3, False),
        ({"app.kubernetes.io/version": "of before"}, 3, False),
        ({"sophia-harness/track": "app-east-canary"}, 3, False),
    ],
)
def test_a_rollout_is_given_up_for_what_its_own_pods_do_since(
    made: Made, labels: dict[str, str], since: int, given_up: bool
) -> None:
    made.up()
    app = made.cluster.read("apps/v1/Deployment", "small", "app-east")
    _crashing(made, "old", 3, **labels)
    before = rollout.restarts(made.cluster, made.target.state())
    _crashing(made, "old", 3 + since, **labels)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(rollout, "_missing", lambda *_: "is not taken up yet")
        with pytest.raises(TargetError) as raised:
            rollout.wait_for_rollout(made.cluster, made.target.state(), [app], before=before)
    assert ("not rolled out within" not in str(raised.value)) == given_up


def test_a_pod_that_was_beyond_help_before_does_not_end_its_mending(made: Made) -> None:
    made.up()
    made.cluster.broken.add("small.local/app:1")
    for pod in made.cluster.list("v1/Pod", "small"):
        made.cluster.delete("v1/Pod", "small", pod["metadata"]["name"])  # others come, and cannot start
    app = made.cluster.read("apps/v1/Deployment", "small", "app-east")
    before = rollout.restarts(made.cluster, made.target.state())
    with pytest.raises(TargetError, match="not rolled out within"):
        rollout.wait_for_rollout(made.cluster, made.target.state(), [app], before=before)
    with pytest.raises(TargetError, match=r"^Deployment small/app-east: .*ImagePullBackOff"):
        rollout.wait_for_rollout(made.cluster, made.target.state(), [app])


def test_what_a_stateful_set_holds_on_to_is_let_go(made: Made) -> None:
    """It replaces no pod that never became Ready, whatever is applied afterwards."""
    made.up()
    now = made.target.state()
    good = made.cluster.read("apps/v1/StatefulSet", "small", "base-west")
    assert good
    made.cluster.broken.add("small.local/nothing:0")
    bad = copy.deepcopy(good)
    bad["spec"]["template"]["spec"]["containers"][0]["image"] = "small.local/nothing:0"
    made.cluster.apply(bad)
    made.cluster.list("v1/Pod", "small")  # controllers act when somebody looks
    made.cluster.apply(good)
    with pytest.raises(TargetError, match="0 of 1 ready"):
        rollout.wait_for_rollout(made.cluster, now, [good])
    rollout.wait_for_rollout(made.cluster, now, [good], early=False)
    (pod,) = [each for each in made.cluster.list("v1/Pod", "small") if each["metadata"]["name"] == "base-west-0"]
    assert pod["spec"]["containers"][0]["image"] == "small.local/base:1"


ROLE = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole"}


def test_what_a_switch_left_outside_of_the_namespace_goes_too(made: Made) -> None:
    made.up()
    run = made.target.folder.id
    made.cluster.create({**ROLE, "metadata": {"name": "harness-undo-1", "labels": {RUN: run}}})
    made.cluster.create({**ROLE, "metadata": {"name": "theirs", "labels": {RUN: "another"}}})
    left = made.target.down()
    assert (left.clean, left.unseen) == (True, ())
    assert [each["metadata"]["name"] for each in made.cluster.list(f"{ROLE['apiVersion']}/ClusterRole")] == ["theirs"]


def test_a_node_that_a_fault_still_holds_keeps_the_switch_that_will_free_it(made: Made) -> None:
    made.up()
    rule = {"apiGroups": [""], "resources": ["nodes"], "resourceNames": ["node-1"], "verbs": ["patch"]}
    about = {"name": "harness-undo-1", "labels": {RUN: made.target.folder.id}}
    made.cluster.create({**ROLE, "metadata": about, "rules": [rule]})
    made.cluster.patch("v1/Node", "", "node-1", {"spec": {"unschedulable": True}})
    with pytest.raises(TargetError, match="still has hold of node node-1"):
        made.target.down()
    assert made.target.ready() == []
    made.cluster.patch("v1/Node", "", "node-1", {"spec": {"unschedulable": False}})
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {**about, "namespace": "small"}, "spec": {"containers": []}}
    made.cluster.create({**pod, "status": {"phase": "Running", "conditions": []}})  # a label is all that it took
    with pytest.raises(TargetError, match="still has hold of node node-1"):
        made.target.down()
    made.cluster.patch("v1/Pod", "small", "harness-undo-1", {"status": {"phase": "Succeeded"}})
    assert made.target.down().clean


def test_a_node_that_is_marked_as_held_keeps_the_platform_up(made: Made) -> None:
    """As by the loss of a node, for which there is no switch: it is off, and only the run knows."""
    made.up()
    held = {"metadata": {"annotations": {holds.HOLDER: "small/0123"}}}
    made.cluster.patch("v1/Node", "", "node-1", held)
    with pytest.raises(TargetError, match=r"still has hold of node node-1(.|\n)*kubectl annotate node node-1"):
        made.target.down()
    assert made.target.ready() == []
    made.cluster.patch("v1/Node", "", "node-1", {"metadata": {"annotations": {holds.HOLDER: "another/0123"}}})
    assert made.target.down().clean, "what another run holds is not ours"


def test_nodes_that_we_may_not_see_keep_nothing_up(made: Made) -> None:
    made.up()
    made.cluster.forbidden.add(("list", "nodes"))
    assert made.target.down().clean


def test_what_we_may_not_look_for_is_told_and_no_reason_to_stay(made: Made) -> None:
    made.up()
    made.cluster.forbidden |= {("list", "clusterroles"), ("list", "clusterrolebindings")}
    left = made.target.down()
    assert (left.clean, left.unseen) == (True, ("clusterrolebindings", "clusterroles"))


def test_what_stays_is_told_and_the_folder_too(made: Made) -> None:
    made.up()
    made.cluster.stuck.add("small")
    left = made.target.down()
    assert not left.clean
    assert left.objects == ("Namespace small",)
    assert made.target.folder.root.exists()
    made.cluster.stuck.clear()
    assert made.target.down().clean


def test_an_api_server_that_is_away_for_a_moment_is_waited_for(made: Made) -> None:
    away = [ApiError("away")] * 3
    read = made.cluster.read

    def sometimes(kind: str, namespace: str, name: str) -> Any:
        if (kind.startswith("apps/") or name == "small") and made.cluster.requests and away:
            raise away.pop()
        return read(kind, namespace, name)

    made.cluster.read = sometimes
    made.target = made.another(rollout_within=10.0)
    made.up()
    assert away == []
    away += [ApiError("away")] * 2
    made.cluster.stuck.clear()
    target = made.attached()
    with pytest.raises(ApiError):
        target.down()
    away.clear()
    assert target.down().clean


def test_another_cluster_of_the_same_context_is_left_alone(made: Made) -> None:
    made.up()
    stranger = FakeCluster(made._answer)
    for _ in range(5):
        next(stranger._numbers)
    stranger.delete("v1/Namespace", "", "kube-system")
    stranger.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "kube-system"}})
    stranger.requests.clear()
    attached = made.attached()
    attached.__dict__["cluster"] = stranger
    with pytest.raises(TargetError, match="is not the cluster any more"):
        attached.down()
    assert stranger.requests == []


def test_of_a_cluster_that_is_to_be_made_only_files_and_programs_are_looked_at(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.targets.kubernetes.kind.preflight", lambda: None)
    target = made.another(context="", provider="kind", kind={})
    (found,) = target.examine("")
    assert (found.wrong, found.unknown) == ((), "")
    with pytest.raises(BadInput, match="may do everything"):
        target.roles()
    assert made.cluster.requests == []


def test_the_parts_of_a_new_cluster_are_waited_for(made: Made) -> None:
    names = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "coredns", "namespace": "kube-system"},
        "spec": {"template": {"metadata": {"labels": {}}, "spec": {"containers": [{"name": "c", "image": "dns:1"}]}}},
    }
    wait_for_add_ons(made.cluster, 1)
    made.cluster.broken.add("dns:1")
    made.cluster.create(names)
    with pytest.raises(TargetError, match="Deployment kube-system/coredns: 0 of 1 ready"):
        wait_for_add_ons(made.cluster, 0.1)
    made.cluster.broken.clear()
    made.cluster.delete("v1/Pod", "kube-system", "coredns-x0")
    wait_for_add_ons(made.cluster, 1)


def test_status_lists_it_and_says_when_the_cluster_is_away(made: Made) -> None:
    made.up()
    (row,) = kind.status(made.root)  # no kubeconfig leads anywhere here
    assert (row.reference, row.status, row.release) == (made.target.reference, "unreachable", "1")


@pytest.mark.parametrize("namespace", ["default", "kube-system", "kube-x"])
def test_protected_namespaces_are_refused(made: Made, namespace: str) -> None:
    with pytest.raises(BadInput, match="protected"):
        made.another(namespace=namespace).up("", made.events.append)
    assert made.cluster.requests == []
