"""When a database on a cluster surely stands still: by the provider's and the kubelet's word, never by its silence."""

from __future__ import annotations

from typing import Any

import pytest

from harness.errors import TargetError
from harness.targets.kubernetes.api import LOG_BYTES, ApiError, Manifest
from harness.targets.kubernetes.standstill import TOLD_S, Standstill, _starts
from harness.targets.probe import Answer
from harness.testing.fake_cluster import FakeCluster, node

SPACE, PORT, GRACE = "sophia", 5432, 10


class Bed:
    """One database on one node, and the hands of whoever breaks them."""

    def __init__(self) -> None:
        self.time, self.off, self.listens = 0.0, False, True
        self.cluster = FakeCluster(self._answer)
        for name in (SPACE, "kube-node-lease"):
            self.cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        self.cluster.create(node("n2"))
        self.eye = Standstill(self.cluster, SPACE, {"app": "db"}, ("sql", PORT), lambda _: self.off, lambda: self.time)
        self.beat(1)
        self.start("u0")

    def _answer(self, *_: object) -> Answer:
        raise ApiError("error trying to reach service: EOF" if self.listens else "i/o timeout", 503)

    def pod(self, **status: Any) -> Manifest:
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "db-0", "namespace": SPACE, "labels": {"app": "db"}},
            "spec": {"nodeName": "n2", "terminationGracePeriodSeconds": GRACE, "containers": [{"name": "db"}]},
            "status": {"phase": "Pending", "conditions": [{"type": "Ready", "status": "True"}], **status},
        }

    def start(self, container: str) -> None:
        """A new pod whose container the kubelet has started."""
        running = {"name": "db", "containerID": f"c://{container}", "restartCount": 0, "state": {"running": {}}}
        self.cluster.create(self.pod(phase="Running", containerStatuses=[running]))

    def replace(self) -> None:
        """Another pod of the same name, not started yet."""
        self.drop()
        self.cluster.create(self.pod())

    def drop(self) -> None:
        self.cluster.delete("v1/Pod", SPACE, "db-0")

    def change(self, **values: Any) -> None:
        self.cluster.patch("v1/Pod", SPACE, "db-0", values)

    def doom(self) -> None:
        self.change(metadata={"deletionTimestamp": "2026-11-26T02:00:42Z"})

    def ready(self, is_ready: bool) -> None:
        conditions = [{"type": "Ready", "status": "True" if is_ready else "Unknown"}]
        self.cluster.patch("v1/Node", "", "n2", {"status": {"conditions": conditions}})

    def beat(self, number: int) -> None:
        lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "spec": {"renewTime": str(number)}}
        self.cluster.delete(f"{lease['apiVersion']}/Lease", "kube-node-lease", "n2")
        self.cluster.create({**lease, "metadata": {"name": "n2", "namespace": "kube-node-lease"}})


@pytest.fixture
def bed() -> Bed:
    return Bed()


def test_one_that_runs_and_listens_may_write(bed: Bed) -> None:
    assert not bed.eye.look()


def test_one_that_is_cut_off_may_write(bed: Bed) -> None:
    """A partition: neither the API server nor we get an answer, and its node may be Ready or not."""
    bed.listens = False
    assert not bed.eye.look()
    bed.ready(False)
    assert not bed.eye.look()
    bed.doom()
    assert not bed.eye.look()


@pytest.mark.parametrize("is_ready", [True, False], ids=["not noticed yet", "not Ready"])
def test_a_machine_that_its_provider_says_is_off(bed: Bed, is_ready: bool) -> None:
    bed.ready(is_ready)
    bed.off = True
    assert bed.eye.look()
    bed.off = False  # switched on: from now on it may start
    assert not bed.eye.look()


def test_a_provider_that_cannot_be_asked_says_nothing(bed: Bed) -> None:
    def fails(_: str) -> bool:
        raise TargetError("docker: no such program")

    bed.ready(False)
    bed.eye.is_off = fails
    assert not bed.eye.look()


def test_an_api_server_that_is_away_says_nothing(bed: Bed) -> None:
    bed.ready(False)
    bed.off = True
    bed.cluster.forbidden.add(("list", "pods"))
    assert not bed.eye.look()


def test_nobody_listens_from_outside_and_from_inside(bed: Bed) -> None:
    bed.cluster.closed.add(("db-0", PORT))
    assert bed.eye.look()


def test_a_firewall_that_refuses_for_it_proves_nothing(bed: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    bed.cluster.closed.add(("db-0", PORT))
    monkeypatch.setattr(bed.cluster, "refuses", lambda *_: False)
    assert not bed.eye.look()


def off_and_back(bed: Bed, told_to_end: bool) -> None:
    """The machine goes off, is seen off, and is switched on; nobody has heard of its kubelet yet."""
    bed.ready(False)
    bed.off = True
    if told_to_end:
        bed.doom()
    assert bed.eye.look()
    bed.off = False


def test_what_was_told_to_end_while_off_is_not_started_again(bed: Bed) -> None:
    off_and_back(bed, told_to_end=True)
    assert bed.eye.look()
    bed.ready(True)
    assert bed.eye.look()
    bed.replace()  # by a pod that waits for its kubelet
    bed.cluster.kubelets["n2"] = frozenset()
    assert bed.eye.look()
    del bed.cluster.kubelets["n2"]
    assert not bed.eye.look(), "what the API server has of it may be old"
    bed.drop()
    bed.start("u1")
    assert not bed.eye.look()


def test_what_was_not_told_to_end_may_start_again(bed: Bed) -> None:
    off_and_back(bed, told_to_end=False)
    assert not bed.eye.look()
    bed.doom()  # too late
    assert not bed.eye.look()
    bed.replace()
    assert not bed.eye.look()


def test_told_to_end_without_having_been_seen_off_it_may_go_on(bed: Bed) -> None:
    bed.ready(False)
    bed.doom()
    assert not bed.eye.look()
    bed.replace()
    assert not bed.eye.look()


def test_an_object_that_is_gone_proves_nothing_at_first(bed: Bed) -> None:
    """A forced deletion waits for nobody: its kubelet must be heard of, have had the time, and be heard of again."""
    bed.eye.note()
    bed.drop()
    bed.time = 1000.0  # cut off for long
    assert not bed.eye.look()
    bed.beat(2)  # only now it learns what was deleted
    assert not bed.eye.look()
    bed.time += GRACE + TOLD_S + 1
    assert not bed.eye.look()
    bed.beat(3)
    assert bed.eye.look()


def test_a_kubelet_that_may_be_asked_says_at_once_what_still_runs(bed: Bed) -> None:
    bed.eye.note()
    (pod,) = bed.cluster.list("v1/Pod", SPACE)
    bed.drop()
    bed.cluster.kubelets["n2"] = frozenset({pod["metadata"]["uid"], "another"})
    for number in range(2, 9):  # it is well, and has had more than its time
        bed.time += GRACE + TOLD_S
        bed.beat(number)
        assert not bed.eye.look()
    bed.cluster.kubelets["n2"] = frozenset({"another"})
    assert bed.eye.look()


def test_what_a_kubelet_knows_to_be_gone_and_does_not_run_is_over(bed: Bed) -> None:
    """Later it need not be asked about it again."""
    bed.eye.note()
    bed.drop()
    bed.cluster.kubelets["n2"] = frozenset()
    for number in range(1, 4):
        bed.beat(number)
        assert bed.eye.look()
        answers = bed.cluster.kubelets.pop("n2")
        assert bed.eye.look() is (number == 3), "it may be cut off, and not know yet that the pod was deleted"
        bed.cluster.kubelets["n2"] = answers
        bed.time += TOLD_S + 1


def test_what_is_gone_while_its_machine_is_off_is_over(bed: Bed) -> None:
    bed.eye.note()
    bed.drop()
    bed.off = True
    assert bed.eye.look()
    bed.off = False
    assert bed.eye.look()


def test_a_forced_deletion_on_a_node_that_is_cut_off_never_counts(bed: Bed) -> None:
    bed.eye.note()
    bed.ready(False)
    bed.drop()
    for bed.time in (1.0, 100.0, 1000.0):
        assert not bed.eye.look()


def test_what_its_kubelet_saw_end_it_may_have_started_again(bed: Bed) -> None:
    """Cut off, it starts containers of a pod that was deleted since, and nobody hears of it."""
    ended = {"name": "db", "containerID": "c://u0", "restartCount": 0, "state": {"terminated": {"exitCode": 137}}}
    bed.change(status={"containerStatuses": [ended]})
    bed.doom()
    assert not bed.eye.look()
    bed.cluster.kubelets["n2"] = frozenset()
    assert bed.eye.look()
    bed.drop()
    assert bed.eye.look()
    del bed.cluster.kubelets["n2"]
    assert not bed.eye.look()


def test_the_port_is_the_pods_own(bed: Bed) -> None:
    bed.cluster.closed.add(("db-0", PORT))
    assert bed.eye.look()
    bed.change(spec={"containers": [{"name": "db", "ports": [{"name": "sql", "containerPort": 5433}]}]})
    assert not bed.eye.look()


def test_what_its_kubelet_starts_again_may_write(bed: Bed) -> None:
    waits = {"waiting": {"reason": "CrashLoopBackOff"}}
    again = {"name": "db", "containerID": "c://u0", "restartCount": 1, "state": waits, "lastState": {"terminated": {}}}
    bed.change(status={"containerStatuses": [again]})
    assert not bed.eye.look()


def test_nobody_seen_ever_says_nothing(bed: Bed) -> None:
    bed.drop()
    assert not bed.eye.look()


# ---- what its logs tell afterwards


RUNS: Manifest = {"name": "db", "state": {"running": {}}}


def back_again(bed: Bed, restarts: int = 1) -> None:
    """Its machine was off, and is on again; its container was started again."""
    off_and_back(bed, told_to_end=False)
    bed.time += 1
    bed.change(status={"containerStatuses": [{**RUNS, "restartCount": restarts, "lastState": {"terminated": {}}}]})
    bed.cluster.written = {("db-0", False): "now", ("db-0", True): "before"}


def heard_of(bed: Bed, since_s: float) -> str | None:
    """The kubelet has its time, and is heard of."""
    assert bed.eye.logged([since_s]) == [None], "what the API server has may be old"
    bed.time += TOLD_S
    assert bed.eye.logged([since_s]) == [None], "its kubelet may be cut off"
    bed.beat(99)
    (told,) = bed.eye.logged([since_s])
    return told


@pytest.mark.parametrize(("restarts", "text"), [(0, "now"), (1, "now"), (2, "before\nnow"), (3, None)])
def test_the_logs_of_all_that_ran_since_it_stood_still(bed: Bed, restarts: int, text: str | None) -> None:
    back_again(bed, restarts)
    assert heard_of(bed, 0.0) == text


def test_one_that_ran_and_did_not_listen_yet_has_still_to_show_what_it_is(bed: Bed) -> None:
    """It starts its server out of sight, dies, and comes back as something else."""
    bed.cluster.closed.add(("db-0", PORT))
    bed.change(status={"containerStatuses": [{**RUNS, "restartCount": 0}]})
    assert bed.eye.look()
    bed.change(status={"containerStatuses": [{**RUNS, "restartCount": 1, "lastState": {"terminated": {}}}]})
    bed.cluster.written = {("db-0", False): "now", ("db-0", True): "before"}
    assert heard_of(bed, 0.0) == "before\nnow"


def test_a_beat_that_could_not_be_read_is_none_to_compare_with(bed: Bed) -> None:
    back_again(bed)
    bed.cluster.forbidden.add(("get", "leases"))
    assert bed.eye.logged([0.0]) == [None]
    bed.cluster.forbidden.clear()
    bed.time += TOLD_S
    assert bed.eye.logged([0.0]) == [None], "it may be as old as the absence"
    bed.beat(99)
    assert bed.eye.logged([0.0]) == [None]
    bed.time += TOLD_S
    assert bed.eye.logged([0.0]) == ["now"]


def test_a_log_too_long_to_be_read_whole_tells_nothing(bed: Bed) -> None:
    back_again(bed)
    bed.cluster.written["db-0", False] = "x" * LOG_BYTES
    assert heard_of(bed, 0.0) is None


def test_without_a_look_that_held_no_log_is_whole(bed: Bed) -> None:
    assert heard_of(bed, 100.0) is None
    back_again(bed)
    assert heard_of(bed, -1.0) is None


def test_what_is_gone_took_its_log_along(bed: Bed) -> None:
    back_again(bed)
    bed.eye.note()
    bed.replace()
    assert heard_of(bed, 0.0) is None


def test_what_was_over_before_has_logged_nothing_since(bed: Bed) -> None:
    off_and_back(bed, told_to_end=True)
    bed.drop()
    bed.start("u1")
    bed.cluster.written["db-0", False] = "of the new one"
    assert heard_of(bed, 0.0) == "of the new one"


def test_a_log_that_cannot_be_had_tells_nothing(bed: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> str:
        raise ApiError("previous terminated container not found", 400)

    back_again(bed)
    monkeypatch.setattr(bed.cluster, "logs", fails)
    assert heard_of(bed, 0.0) is None


@pytest.mark.parametrize(
    ("status", "number"),
    [
        ({"state": {"waiting": {}}}, 0),
        ({"state": {"running": {}}}, 1),
        ({"state": {"waiting": {}}, "lastState": {"terminated": {}}}, 1),
        ({"state": {"waiting": {}}, "lastState": {"terminated": {}}, "restartCount": 1}, 2),
        ({"state": {"terminated": {}}, "restartCount": 1}, 2),
    ],
)
def test_how_often_a_container_was_started(bed: Bed, status: Manifest, number: int) -> None:
    pod = bed.pod(containerStatuses=[{"name": "db", **status}])
    assert _starts({"u": pod}) == {("u", "db"): number}
