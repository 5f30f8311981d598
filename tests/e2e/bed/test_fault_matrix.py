"""Every fault on Kubernetes, for real: landed, judged by its effect, undone, and a second look finds nothing left.

The second look is not the harness's: kubectl for the API's objects, and the machine's own view for what is none (rules
in pods' network namespaces, processes in containers' cgroups).
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness import faults
from harness.chaos import lifecycle
from harness.chaos.lifecycle import Session
from harness.errors import BadInput, TargetError
from harness.faults import _cluster as on_cluster
from harness.journal.layout import RunFolder
from harness.kube import agent, pods
from harness.kube.programs.node import members
from harness.kube.rights import Right
from harness.targets.kubernetes import rights
from harness.targets.kubernetes.api import Cluster
from harness.testing.plain_target import PlainTarget
from tests.contract.test_fault_injectors import ON_CLUSTERS, how_to
from tests.e2e.bed.conftest import NAMESPACE, testbed

KINDS = [*ON_CLUSTERS, "process_kill", "region_loss", "device_loss", "provider_failure"]
GPU = {"device": "gpu-sjc", "worker": "gpu-worker", "metric": "sophia_gpu_present", "region": "sjc"}
RBAC = "rbac.authorization.k8s.io/v1"
LANDS_S, GOES_S = 90.0, 180.0
OUTLIVING = [
    "scale_to_zero", "bad_image", "node_drain", "network_partition", "memory_pressure", "device_plugin_loss",
    "provider_failure",
]  # fmt: skip


@pytest.fixture
def session(tmp_path: Path, target: PlainTarget) -> Session:
    whole(target)
    return Session(RunFolder(tmp_path / "run"), "matrix#1", target.reference, lambda _: target)


def arguments(kind: str, tmp_path: Path) -> dict[str, Any]:
    told = how_to(kind, tmp_path)
    own = {
        "cpu_pressure": {**told["parameters"], "workers": 1},
        "device_loss": GPU,
        "device_plugin_loss": {**told["parameters"], "label": "testbed/gpu"},
        "node_drain": {**told["parameters"], "others": "gateway"},  # a bed may have a Gateway controller
        "node_loss": {**told["parameters"], "others": "gateway"},
    }
    return {"parameters": own.get(kind, told["parameters"]), "blast_radius": told["blast_radius"]}


def whole(target: PlainTarget, within_s: float = GOES_S) -> None:
    end = time.monotonic() + within_s
    while left := [*target.ready(), *target._missing()]:
        assert time.monotonic() < end, left
        time.sleep(0.5)


def second_look(bed: dict[str, Any]) -> list[str]:
    """What of the harness can still be found, by others' eyes."""
    kinds = "pods,serviceaccounts,roles,rolebindings,clusterroles,clusterrolebindings,replicasets,controllerrevisions"
    found = []
    for selector in ("app.kubernetes.io/managed-by=sophia-harness", agent.FAULT):
        found += kubectl(bed, "get", kinds, "-A", "-o", "name", "-l", selector).split()
    tainted = kubectl(bed, "get", "nodes", "-o", "jsonpath={.items[?(@.spec.unschedulable)].metadata.name}")
    found += [f"{name} is cordoned" for name in tainted.split()]
    if agent.FAULT in kubectl(bed, "get", "nodes", "-o", "jsonpath={.items[*].metadata.annotations}"):
        found.append("a node is marked as held by a fault")
    plugged = kubectl(bed, "get", "nodes", "-l", "topology.kubernetes.io/region,!testbed/gpu", "-o", "name")
    found += [f"{name} lost its label" for name in plugged.split()]
    seen = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                space = (entry / "ns/net").readlink()
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if b"HARNESS_AGENT" in command:
                found.append(f"process {entry.name} of an agent")
            if space not in seen:
                seen.add(space)
                argv = ["nsenter", f"--net=/proc/{entry.name}/ns/net", "iptables", "-S"]
                rules = subprocess.run(argv, capture_output=True, text=True, check=False).stdout
                found += [rule for rule in rules.splitlines() if "HARNESS-" in rule]
    return found


def kubectl(bed: dict[str, Any], *argv: str) -> str:
    from testbed import build

    command = [str(build.program("kubectl")), "--kubeconfig", bed["kubeconfig"], "--context", "bare", *argv]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


def note(**values: Any) -> None:
    """Figures, one JSON object a line, where somebody asked for them."""
    if file := os.environ.get("FAULT_MATRIX"):
        with Path(file).open("a") as stream:
            stream.write(json.dumps(values) + "\n")


def as_account(bed: dict[str, Any], cluster: Cluster, folder: Path, name: str, allowed: Iterable[Right]) -> Cluster:
    """The cluster as somebody sees it who has these rights and no other."""
    wanted, subject = sorted(set(allowed)), {"kind": "ServiceAccount", "name": name, "namespace": NAMESPACE}
    cluster.create({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": NAMESPACE}})
    for prefix, namespaced in (("", True), ("Cluster", False)):
        about = {"name": name, **({"namespace": NAMESPACE} if namespaced else {})}
        rules = rights.rules([each for each in wanted if each.namespaced is namespaced])
        role = {"apiVersion": RBAC, "kind": f"{prefix}Role", "metadata": about}
        cluster.apply({**role, "rules": rules}, force=True)
        reference = {"apiGroup": RBAC.partition("/")[0], "kind": f"{prefix}Role", "name": name}
        cluster.apply({**role, "kind": f"{prefix}RoleBinding", "roleRef": reference, "subjects": [subject]}, force=True)
    token = kubectl(bed, "create", "token", name, "-n", NAMESPACE).strip()
    config = json.loads(kubectl(bed, "config", "view", "--raw", "--flatten", "-o", "json"))
    config["users"] = [{"name": each["context"]["user"], "user": {"token": token}} for each in config["contexts"]]
    file = folder / f"{name}.kubeconfig"
    file.write_text(json.dumps(config))
    return Cluster.connect(str(file), "bare")


@pytest.fixture
def limited(
    kind: str, bed: dict[str, Any], cluster: Cluster, target: PlainTarget, tmp_path: Path
) -> Iterator[PlainTarget]:
    """The target, for an account that may do what the kind says it needs, look at pods, and nothing else."""
    name = f"only-{kind.replace('_', '-')}"
    looking = [Right("", "pods", "get"), Right("", "pods", "list"), Right("", "pods", "get", "proxy")]
    api = as_account(bed, cluster, tmp_path, name, [*looking, *getattr(faults.load(kind), "RIGHTS", ())])
    yield dataclasses.replace(target, api=api)
    cluster.delete("v1/ServiceAccount", NAMESPACE, name)
    for each in ("RoleBinding", "Role"):
        cluster.delete(f"{RBAC}/{each}", NAMESPACE, name)
        cluster.delete(f"{RBAC}/Cluster{each}", "", name)


@pytest.mark.parametrize("kind", KINDS)
def test_it_lands_is_undone_and_leaves_nothing(
    kind: str, bed: dict[str, Any], target: PlainTarget, limited: PlainTarget, session: Session, tmp_path: Path
) -> None:
    session = dataclasses.replace(session, attach=lambda _: limited)
    told, began = arguments(kind, tmp_path), time.monotonic()
    try:
        lifecycle.inject(session, kind, kind, told["parameters"], told["blast_radius"], 300)
        injected = time.monotonic()
        seen = lifecycle.await_landed(session, kind, LANDS_S)
        landed = time.monotonic()
    finally:
        undoing = time.monotonic()
        lifecycle.recover(session, kind, GOES_S)
    gone = time.monotonic()
    whole(target)
    left = second_look(bed)
    note(
        kind=kind,
        made_s=round(injected - began, 2),
        landed_s=round(landed - injected, 2),
        gone_s=round(gone - undoing, 2),
        whole_s=round(time.monotonic() - undoing, 2),
        seen=seen.detail,
        left=len(left),
    )
    assert left == []


@pytest.mark.parametrize("kind", OUTLIVING)
def test_without_the_harness_the_cluster_undoes_it_at_the_deadline(
    kind: str, bed: dict[str, Any], target: PlainTarget, session: Session, tmp_path: Path
) -> None:
    """The harness is away: nobody calls `recover`. What it left of helpers goes when it comes back."""
    told = arguments(kind, tmp_path)
    lifecycle.inject(session, kind, kind, told["parameters"], told["blast_radius"], 25)
    made = time.monotonic()
    lifecycle.await_landed(session, kind, 24)
    token, _ = lifecycle._token(session, kind)
    injector, parameters, _ = lifecycle._resolve(session, token)
    end = time.monotonic() + 90
    while injector.landed(target, token.selected, parameters).seen:
        assert time.monotonic() < end, "the fault outlives its deadline"
        time.sleep(1)
    note(kind=kind, dead_mans_switch_s=round(time.monotonic() - made, 1), deadline_s=25)
    lifecycle.recover(session, kind, GOES_S)
    whole(target)
    assert second_look(bed) == []


def test_a_selector_that_matches_nothing_is_refused(session: Session) -> None:
    with pytest.raises(BadInput, match="selects nothing"):
        lifecycle.inject(session, "x", "pod_delete", {"service": "weaviate", "region": "mars"}, 1, 60)
    assert not session.folder.journal.exists(), "nothing was even intended"


def test_more_than_the_blast_radius_is_refused(session: Session) -> None:
    with pytest.raises(BadInput, match="blast radius is 1"):
        lifecycle.inject(session, "x", "pod_delete", {"service": "unified-api"}, 1, 60)
    assert not session.folder.journal.exists(), "nothing was even intended"


def test_a_role_that_lacks_the_verb_is_refused_before_anything(
    bed: dict[str, Any], target: PlainTarget, cluster: Cluster, tmp_path: Path
) -> None:
    """As an account that may look at everything here and delete nothing."""
    looks = ("pods", ""), ("deployments", "apps"), ("statefulsets", "apps"), ("endpointslices", "discovery.k8s.io")
    looking = [Right(group, resource, verb) for resource, group in looks for verb in ("get", "list")]
    weak = as_account(bed, cluster, tmp_path, "onlooker", looking)
    before = {pods.uid(pod) for pod in cluster.list(pods.POD, NAMESPACE)}
    onlooker = dataclasses.replace(target, api=weak)
    for kind in ("pod_delete", "process_kill", "scale_to_zero", "network_latency", "node_drain"):
        session = Session(RunFolder(tmp_path / kind), "matrix#1", "", lambda _: onlooker)
        told = arguments(kind, tmp_path)
        with pytest.raises(BadInput, match="would not allow"):
            lifecycle.inject(session, "x", kind, told["parameters"], told["blast_radius"], 60)
        assert not session.folder.journal.exists(), "nothing was even intended"
    assert {pods.uid(pod) for pod in cluster.list(pods.POD, NAMESPACE)} == before


def test_a_network_policy_that_nobody_enforces_is_no_partition(
    cluster: Cluster, target: PlainTarget, session: Session, tmp_path: Path
) -> None:
    """The API server takes the policy, the network plug-in has no engine: the pod must still be seen reachable."""
    injector = faults.load("network_partition")
    parameters = injector.Parameters(**arguments("network_partition", tmp_path)["parameters"])
    selection = injector.select(target, parameters)
    policy = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "deny-all", "namespace": NAMESPACE},
        "spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]},
    }
    cluster.create(policy)
    try:
        time.sleep(2)
        seen = injector.landed(target, selection, parameters)
        assert (seen.seen, "echoes come back" in seen.detail) == (False, True), seen
    finally:
        cluster.delete("networking.k8s.io/v1/NetworkPolicy", NAMESPACE, "deny-all")
        injector.recover(target, selection, parameters)


def test_echoes_that_something_else_blocks_are_no_partition(
    bed: dict[str, Any], target: PlainTarget, session: Session, tmp_path: Path
) -> None:
    """Refused before any packet is kept, and no fault that stays; with the echoes back it is made."""
    told = arguments("network_partition", tmp_path)
    injector = faults.load("network_partition")
    selection = injector.select(target, injector.Parameters(**told["parameters"]))
    uid = pods.read_mark(selection.before[selection.names[0]]).uid
    (pid, *_) = members(uid) or members(uid.replace("-", "_"))
    block = ["nsenter", f"--net=/proc/{pid}/ns/net", "iptables", "-w", "-I", "OUTPUT", "-p", "icmp", "-j", "DROP"]
    subprocess.run(block, check=True)
    try:
        with pytest.raises(BadInput, match=r"before the fault: .*100% of the echoes are lost"):
            lifecycle.inject(session, "blocked", "network_partition", told["parameters"], told["blast_radius"], 60)
        assert lifecycle.recover(session, "blocked", GOES_S).seen
    finally:
        subprocess.run(["-D" if word == "-I" else word for word in block], check=True)
    assert second_look(bed) == []
    try:
        lifecycle.inject(session, "made", "network_partition", told["parameters"], told["blast_radius"], 60)
        assert lifecycle.await_landed(session, "made", LANDS_S).seen
    finally:
        lifecycle.recover(session, "made", GOES_S)
    assert second_look(bed) == []


def test_a_budget_keeps_a_pod_from_being_drained(
    bed: dict[str, Any], cluster: Cluster, target: PlainTarget, session: Session
) -> None:
    kept = {"app.kubernetes.io/name": "weaviate", "topology.kubernetes.io/region": "sjc"}
    budget = {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "keep", "namespace": NAMESPACE},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": kept}},
    }
    cluster.create(budget)
    old = {pods.uid(pod) for pod in cluster.list(pods.POD, NAMESPACE, kept)}
    try:
        time.sleep(2)
        parameters = {"service": "weaviate", "region": "sjc", "within": "4s", "others": "gateway"}
        with pytest.raises(TargetError, match="may not go"):
            lifecycle.inject(session, "drain", "node_drain", parameters, 20, 60)
        lifecycle.recover(session, "drain", GOES_S)
    finally:
        cluster.delete("policy/v1/PodDisruptionBudget", NAMESPACE, "keep")
    now = {pods.uid(pod) for pod in cluster.list(pods.POD, NAMESPACE, kept)}
    assert old == now, "the pod that the budget keeps was not touched"
    assert second_look(bed) == []


@pytest.mark.parametrize("kind", ["process_kill", "region_loss", "pod_delete"])
def test_a_kill_that_never_came_is_gone_when_all_is_well(
    kind: str, bed: dict[str, Any], target: PlainTarget, session: Session, tmp_path: Path, monkeypatch: Any
) -> None:
    """Its agents wait on their nodes already, and nobody is there to let them kill."""

    def dies(*_: object) -> None:
        raise KeyboardInterrupt

    before = {pods.uid(pod) for pod in target._pods()}
    told = arguments(kind, tmp_path)
    monkeypatch.setattr(faults.load(kind), "inject", dies)
    with pytest.raises(KeyboardInterrupt):
        lifecycle.inject(session, kind, kind, told["parameters"], told["blast_radius"], 60)
    began = time.monotonic()
    lifecycle.recover(session, kind, GOES_S)
    note(kind=kind, never_came_s=round(time.monotonic() - began, 2))
    assert {pods.uid(pod) for pod in target._pods()} == before
    assert second_look(bed) == []


def test_a_side_car_is_killed_by_its_name(bed: dict[str, Any], target: PlainTarget, session: Session) -> None:
    where = ("apps/v1/Deployment", NAMESPACE, "unified-api-sjc")
    workload = target.api.read(*where)
    assert workload is not None
    containers = workload["spec"]["template"]["spec"]["containers"]
    side_car = {"name": "side-car", "image": target.agent_image, "command": ["sleep", "600"]}
    target.api.patch(*where, {"spec": {"template": {"spec": {"containers": [*containers, side_car]}}}})
    try:
        rolled_out(bed)
        told = {"service": "unified-api", "region": "sjc", "count": 1, "container": "side-car"}
        lifecycle.inject(session, "kill", "process_kill", told, 1, 60)
        seen = lifecycle.await_landed(session, "kill", LANDS_S)
        assert lifecycle.recover(session, "kill", GOES_S).seen, seen
        restarts = [
            {each["name"]: each["restartCount"] for each in pod["status"]["containerStatuses"]}
            for pod in target._pods()
            if pod["metadata"]["labels"].get("app.kubernetes.io/name") == "unified-api"
            and len(pod["spec"]["containers"]) == 2
        ]
        assert sorted(each["side-car"] for each in restarts) == [0, 1]
        assert {each["unified-api"] for each in restarts} == {0}
    finally:
        target.api.patch(*where, {"spec": {"template": {"spec": {"containers": containers}}}})
        rolled_out(bed)
    assert second_look(bed) == []


def rolled_out(bed: dict[str, Any]) -> None:
    kubectl(bed, "rollout", "status", "deployment/unified-api-sjc", "-n", NAMESPACE, "--timeout=50s")


def test_a_kill_that_did_not_happen_is_not_seen(target: PlainTarget, session: Session, tmp_path: Path) -> None:
    injector = faults.load("process_kill")
    parameters = injector.Parameters(service="weaviate", region="sjc")
    selection = injector.select(target, parameters)
    seen = injector.landed(target, selection, parameters)
    assert (seen.seen, "still runs" in seen.detail) == (False, True)


def test_a_switch_goes_on_until_an_api_server_that_was_away_has_taken_its_calls(
    bed: dict[str, Any], cluster: Cluster, target: PlainTarget, session: Session, tmp_path: Path
) -> None:
    """Away from before its deadline until after it, so that its first calls are lost. The last test here: controllers
    take nodes for lost that they heard nothing of meanwhile."""
    kind, told = "scale_to_zero", arguments("scale_to_zero", tmp_path)
    lifecycle.inject(session, kind, kind, told["parameters"], told["blast_radius"], 15)
    lifecycle.await_landed(session, kind, 12)
    token, _ = lifecycle._token(session, kind)
    (workload,) = on_cluster.workloads(token.selected)
    testbed("api", "stop")
    try:
        time.sleep(20)
        with pytest.raises(TargetError):
            cluster.read(pods.POD, NAMESPACE, token.selection[0])
    finally:
        testbed("api", "start")
    back = time.monotonic()
    while not _replicas(cluster, workload):
        assert time.monotonic() < back + 45, "nobody undid it"
        time.sleep(0.5)
    note(kind=kind, after_api_is_back_s=round(time.monotonic() - back, 1))
    lifecycle.recover(session, kind, GOES_S)
    for _ in range(2):
        whole(target)
        time.sleep(10)
    assert second_look(bed) == []


def _replicas(cluster: Cluster, workload: pods.Workload) -> int:
    """How many are asked for; 0 also while the API server is not quite back."""
    try:
        return int((cluster.read(workload.api_kind, NAMESPACE, workload.name) or {})["spec"]["replicas"])
    except TargetError:
        return 0
