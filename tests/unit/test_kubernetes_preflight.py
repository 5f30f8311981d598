"""What the preflight finds, each with its negative control: a cluster on which all is well."""

from __future__ import annotations

import base64
import io
import json
import tarfile
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness import faults
from harness.errors import BadInput, TargetError
from harness.model.on_cluster import OnCluster
from harness.spec.platform import load_platform
from harness.targets.kubernetes import objects, rights, room, sources
from harness.targets.kubernetes.api import Resource
from harness.targets.kubernetes.architectures import Built, built
from harness.targets.kubernetes.finding import Finding, Intent
from harness.targets.kubernetes.preflight import findings, preflight
from harness.testing.fake_cluster import FakeCluster, node

CLUSTER = Path(__file__).parent.parent / "fixtures" / "cluster"
SPEC = load_platform(CLUSTER / "platform.yaml").value.spec


def manifests(**changes: Any) -> list[dict[str, Any]]:
    """The fixture's objects; `changes` go into the first container of the edge's pods."""
    found = sources.parse((CLUSTER / "manifests.yaml").read_text(), "manifests.yaml")
    mine = objects.prepared(found, "small-abcdef", "small", {}, ["small-secrets"])
    edge = next(each for each in mine if each["metadata"]["name"] == "edge")
    edge["spec"]["template"]["spec"]["containers"][0].update(changes)
    return mine


AMD64 = {"": frozenset({"amd64"})}


def looked(
    cluster: FakeCluster, chosen: list[dict[str, Any]] | None = None, built: Built | None = None
) -> dict[str, Finding]:
    intent = Intent(
        cluster, "small", "small-abcdef", chosen or manifests(), SPEC, built=AMD64 if built is None else built
    )
    return {each.name.split(" (")[0]: each for each in findings(intent)}


def wrong(found: dict[str, Finding]) -> dict[str, tuple[str, ...]]:
    return {name: each.wrong for name, each in found.items() if each.wrong}


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster(lambda *_: None)


def test_nothing_is_found_where_all_is_well(cluster: FakeCluster) -> None:
    found = looked(cluster)
    assert wrong(found) == {}
    assert all(each.of and not each.unknown for each in found.values())
    assert cluster.requests == []


def test_an_api_that_is_not_served(cluster: FakeCluster) -> None:
    strange = {"apiVersion": "example.org/v1", "kind": "Thing", "metadata": {"name": "x", "namespace": "small"}}
    assert wrong(looked(cluster, [*manifests(), strange])) == {"API versions are served": ("example.org/v1/Thing",)}


@pytest.mark.parametrize(
    ("verb", "resource", "told"),
    [("create", "namespaces", "create namespaces"), ("patch", "deployments", "patch deployments (apps)")],
)
def test_a_right_that_we_lack(cluster: FakeCluster, verb: str, resource: str, told: str) -> None:
    cluster.forbidden.add((verb, resource))
    assert wrong(looked(cluster)) == {"we have the rights": (told,)}


@pytest.mark.parametrize(
    ("kind", "verb", "resource", "told"),
    [
        ("scale_to_zero", "create", "rolebindings", "create rolebindings (rbac.authorization.k8s.io)"),
        ("node_drain", "patch", "nodes", "patch nodes"),
    ],
)
def test_a_right_that_a_fault_of_the_run_lacks(
    cluster: FakeCluster, kind: str, verb: str, resource: str, told: str
) -> None:
    cluster.forbidden.add((verb, resource))
    intent = Intent(cluster, "small", "small-abcdef", manifests(), SPEC)
    assert not any(each.wrong for each in findings(intent)), "without the fault it is not needed"
    needed = faults.load(kind).RIGHTS
    found = [each for each in findings(replace(intent, needs=needed)) if each.wrong]
    assert [(each.name, each.wrong) for each in found] == [("we have the rights", (told,))]


def test_nodes_that_we_may_not_see_are_not_taken_as_ready(cluster: FakeCluster) -> None:
    cluster.forbidden.add(("list", "nodes"))
    found = looked(cluster)
    assert wrong(found) == {}
    assert found["nodes are Ready"].unknown
    assert found["there is room"].unknown


def test_a_node_that_is_not_ready(cluster: FakeCluster) -> None:
    ill = node("node-2")
    ill["status"]["conditions"] = [{"type": "Ready", "status": "Unknown", "message": "no word from it"}]
    cluster.create(ill)
    assert wrong(looked(cluster)) == {"nodes are Ready": ("node-2 is not Ready: no word from it",)}


def test_a_cluster_without_a_node(cluster: FakeCluster) -> None:
    cluster.delete("v1/Node", "", "node-1")
    assert looked(cluster)["nodes are Ready"].wrong == ("there is no node",)


@pytest.mark.parametrize("resource", ["cpu", "memory", "nvidia.com/gpu"])
def test_what_no_node_has(cluster: FakeCluster, resource: str) -> None:
    amount = {"cpu": "5", "memory": "9Gi", "nvidia.com/gpu": "1"}[resource]
    (told,) = wrong(looked(cluster, manifests(resources={"limits": {resource: amount}})))["there is room"]
    assert told.startswith("Deployment small/edge finds no node")
    assert resource in told
    assert wrong(looked(cluster, manifests(resources={"requests": {"cpu": "3"}}))) == {}


def test_room_is_counted_together_with_what_runs(cluster: FakeCluster) -> None:
    runs: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "other", "namespace": "default"},
        "spec": {"nodeName": "node-1", "containers": [{"resources": {"requests": {"cpu": "3500m"}}}]},
        "status": {"phase": "Running", "conditions": []},
    }
    chosen = manifests(resources={"requests": {"cpu": "450m"}})
    assert wrong(looked(cluster, chosen)) == {}
    cluster.create(runs)
    (told,) = wrong(looked(cluster, chosen))["there is room"]
    assert "cpu" in told


def workload(name: str, replicas: int = 1, **asked: str) -> dict[str, Any]:
    pod = {"spec": {"containers": [{"name": "c", "image": "i", "resources": {"requests": asked}}]}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "small"},
        "spec": {"replicas": replicas, "template": pod},
    }


def sized(name: str, **amounts: str) -> dict[str, Any]:
    made = node(name, cpu="8")
    made["status"]["allocatable"] |= amounts
    return made


def test_what_could_go_anywhere_leaves_room_for_what_can_not() -> None:
    gpu = {"nvidia.com/gpu": "1"}  # on the roomiest node and on the smallest one
    nodes = [sized("g1", memory="6Gi", **gpu), sized("g2", memory="4Gi", **gpu)]
    nodes += [sized(name, memory="5Gi") for name in ("p1", "p2")]
    large, asked = workload("large", 2, memory="4Gi"), {"memory": "3Gi", **gpu}
    for those in (nodes, nodes[::-1]):
        assert room.placed([large, workload("worker", 2, **asked)], those, []) == (4, [])
    told = "Deployment small/worker finds no node: 1 nvidia.com/gpu asked, at most 0 free on one node"
    assert room.placed([large, workload("worker", 3, **asked)], nodes, []) == (5, [told])


@pytest.mark.parametrize(
    ("sizes", "pods", "fits"),
    [
        (("8Gi", "6Gi"), (("a", 1, "6Gi"), ("b", 2, "4Gi")), True),  # only close together
        (("8Gi", "8Gi"), (("a", 2, "4Gi"), ("b", 2, "4Gi")), True),
        (("8Gi", "6Gi"), (("a", 1, "6Gi"), ("b", 3, "4Gi")), False),
    ],
)
def test_what_fits_is_not_refused_for_the_order_of_nodes(sizes: Any, pods: Any, fits: bool) -> None:
    nodes = [sized(f"n{number}", memory=each) for number, each in enumerate(sizes)]
    chosen = [workload(name, count, memory=each) for name, count, each in pods]
    for those in (nodes, nodes[::-1]):
        assert (room.placed(chosen, those, [])[1] == []) is fits


def test_a_pod_goes_only_where_it_may(cluster: FakeCluster) -> None:
    chosen = manifests()
    pod = chosen[-1]["spec"]["template"]["spec"]
    pod["nodeSelector"] = {"zone": "far"}
    assert "there is room" in wrong(looked(cluster, chosen))
    far = node("node-2", {"zone": "far"})
    far["spec"]["taints"] = [{"key": "only", "value": "gpu", "effect": "NoSchedule"}]
    cluster.create(far)
    assert "there is room" in wrong(looked(cluster, chosen))
    pod["tolerations"] = [{"key": "only", "operator": "Equal", "value": "gpu", "effect": "NoSchedule"}]
    assert wrong(looked(cluster, chosen)) == {}


def test_a_pod_keeps_the_region_that_it_says(cluster: FakeCluster) -> None:
    region, chosen = "topology.kubernetes.io/region", manifests()
    spec = SPEC.model_copy(update={"kubernetes": None})  # the default label, which is also the nodes'
    pod = chosen[-1]["spec"]["template"]
    cluster.create(node("node-2", {region: "far"}))

    def told() -> tuple[str, ...]:
        found = {each.name: each for each in findings(Intent(cluster, "small", "small-abcdef", chosen[-1:], spec))}
        return found["regions are those of the nodes"].wrong

    assert told() == ("Deployment small/edge may run on node-2, which would make it 'far', not ''",)
    pod["metadata"]["labels"][region] = "near"
    assert told() == ("Deployment small/edge may run on node-2, which would make it 'far', not 'near'",)
    pod["metadata"]["labels"][region] = "far"
    assert told() == ()
    pod["metadata"]["labels"][region] = "near"
    pod["spec"]["nodeSelector"] = {region: "near"}
    assert told() == ()


def test_an_image_that_is_never_pulled_must_be_there(cluster: FakeCluster) -> None:
    chosen = manifests(imagePullPolicy="Never")
    assert wrong(looked(cluster, chosen)) == {"images are on the nodes": ("small.local/edge:1",)}
    known = node("node-2")
    known["status"]["images"] = [{"names": ["small.local/edge:1"]}]
    cluster.create(known)
    assert wrong(looked(cluster, chosen)) == {}


def test_a_node_for_which_an_image_is_not_built(cluster: FakeCluster) -> None:
    chosen = manifests()
    cluster.create(node("node-2", {"kubernetes.io/arch": "arm64"}, architecture="arm64"))
    told = wrong(looked(cluster, chosen))["images are built for the nodes"]
    assert "Deployment small/edge may run on node-2, which is arm64: small.local/edge:1 is amd64" in told
    assert len(told) == 5  # each workload once
    both = {"": frozenset({"amd64", "arm64"})}
    assert wrong(looked(cluster, chosen, both)) == {}
    for each in chosen:
        if "template" in each.get("spec", {}):
            each["spec"]["template"]["spec"]["nodeSelector"] = {"kubernetes.io/arch": "amd64"}
    cluster.create(
        node("node-1", {"kubernetes.io/arch": "amd64"})
        | {"metadata": {"name": "node-3", "labels": {"kubernetes.io/arch": "amd64"}}}
    )
    assert wrong(looked(cluster, chosen)) == {}


def test_what_nobody_says_of_an_image_is_unknown_and_passes_nothing(cluster: FakeCluster) -> None:
    known = {"small.local/edge:1": frozenset({"amd64"}), "small.local/app:1": frozenset({"amd64"})}
    found = looked(cluster, None, known)["images are built for the nodes"]
    assert found.wrong == ()
    assert found.unknown == "nobody says what small.local/base:1 is built for; nodes are amd64"
    edge = {"small.local/edge:1": frozenset({"arm64"})}
    assert wrong(looked(cluster, None, edge)) == {
        "images are built for the nodes": (
            "Deployment small/edge may run on node-1, which is amd64: small.local/edge:1 is arm64",
        )
    }


def test_an_archive_tells_what_it_is_built_for(tmp_path: Path) -> None:
    def archive(name: str, *files: tuple[str, object]) -> str:
        with tarfile.open(tmp_path / name, "w") as made:
            for member, content in files:
                data = json.dumps(content).encode()
                info = tarfile.TarInfo(member)
                info.size = len(data)
                made.addfile(info, io.BytesIO(data))
        return str(tmp_path / name)

    index = [{"Config": "c.json", "RepoTags": ["a.local/a:1", "a.local/a:2"], "Layers": []}]
    good = archive("good.tar", ("manifest.json", index), ("c.json", {"architecture": "arm64"}))
    other = archive("oci.tar", ("index.json", {}))
    torn = tmp_path / "torn.tar"
    torn.write_bytes(b"not a tar")
    on = OnCluster.model_validate(
        {
            "provider": "kind",
            "kind": {"archives": [good, other, str(torn), str(tmp_path / "absent.tar")]},
            "namespace": "small",
            "manifests": "m",
            "endpoints": {"edge": "http://127.0.0.1:1"},
        }
    )
    arm = frozenset({"arm64"})
    assert built(on) == {"a.local/a:1": arm, "a.local/a:2": arm}
    assert built(on.model_copy(update={"architectures": ("amd64",)}))[""] == frozenset({"amd64"})


def test_secrets_that_are_examples_and_addresses_of_the_internet(cluster: FakeCluster) -> None:
    chosen = manifests(env=[{"name": "KEY", "value": "changeme"}, {"name": "PEER", "value": "8.8.8.8"}])
    found = wrong(looked(cluster, chosen))
    assert found["no placeholder secret"] == ("Deployment small/edge: KEY",)
    assert found["no hard-coded public address"] == ("Deployment small/edge: 8.8.8.8",)


def test_what_pods_cannot_start_without(cluster: FakeCluster) -> None:
    chosen = manifests(
        envFrom=[{"configMapRef": {"name": "settings"}}, {"secretRef": {"name": "maybe", "optional": True}}]
    )
    pod = chosen[-1]["spec"]["template"]["spec"]
    pod["imagePullSecrets"] = [{"name": "registry"}]
    pod["volumes"] = [{"name": "v", "secret": {"secretName": "certificate"}}]
    told = wrong(looked(cluster, chosen))["what pods refer to is there"]
    assert told == ("ConfigMap settings", "Secret certificate", "Secret registry")
    settings = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings", "namespace": "small"}}
    told = wrong(looked(cluster, [*chosen, settings]))["what pods refer to is there"]
    assert told == ("Secret certificate", "Secret registry")


def theirs(**data: str) -> dict[str, Any]:
    coded = {name: base64.b64encode(value.encode()).decode() for name, value in data.items()}
    about = {"name": "theirs", "namespace": "small"}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": about, "data": coded}


def test_a_secret_that_is_there_already_may_hold_an_example(cluster: FakeCluster) -> None:
    cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "small"}})
    cluster.create(theirs(password="Zq8-long-and-real", user="sophia"))
    chosen = manifests(envFrom=[{"secretRef": {"name": "theirs"}}])
    found = looked(cluster, chosen)["no placeholder secret"]
    assert (found.wrong, found.unknown, found.of) == ((), "", len(chosen) + 1)
    cluster.apply(theirs(password="changeme", key="sk-xxxxxxxx"))
    assert wrong(looked(cluster, chosen)) == {"no placeholder secret": ("Secret small/theirs: key, password",)}
    cluster.forbidden.add(("get", "secrets"))
    found = looked(cluster, chosen)["no placeholder secret"]
    assert (found.wrong, found.unknown) == ((), "we may not look at Secret theirs")
    chosen = manifests(envFrom=[{"secretRef": {"name": "theirs"}}], env=[{"name": "KEY", "value": "changeme"}])
    assert looked(cluster, chosen)["no placeholder secret"].wrong == ("Deployment small/edge: KEY",)


@pytest.mark.parametrize("filled_in", [True, False])
def test_reading_secrets_is_demanded_only_where_urls_are_filled_in_with_them(filled_in: bool) -> None:
    asked = rights.needed([], {"GET"}, makes_namespace=False, fills_in_secrets=filled_in)
    assert [each.needed for each in asked if (each.resource, each.verb) == ("secrets", "get")] == [filled_in]
    assert [each.needed for each in asked if each.resource == "configmaps"] == [False]


@pytest.mark.parametrize("resource", ["secrets", "configmaps"])
def test_what_we_may_not_look_at_hides_no_other_finding(cluster: FakeCluster, resource: str) -> None:
    cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "small"}})
    refers = {"secrets": {"secretRef": {"name": "theirs"}}, "configmaps": {"configMapRef": {"name": "theirs"}}}
    kind = {"secrets": "Secret", "configmaps": "ConfigMap"}[resource]
    chosen = manifests(envFrom=[refers[resource]], env=[{"name": "PEER", "value": "8.8.8.8"}])
    cluster.forbidden.add(("get", resource))
    found = looked(cluster, chosen)
    assert found["what pods refer to is there"].unknown == f"we may not look at {kind} theirs"
    assert found["what pods refer to is there"].wrong == ()
    assert found["no hard-coded public address"].wrong == ("Deployment small/edge: 8.8.8.8",)
    cluster.forbidden.clear()
    assert looked(cluster, chosen)["what pods refer to is there"].wrong == (f"{kind} theirs",)


def test_claims_need_their_storage_class(cluster: FakeCluster) -> None:
    claim: dict[str, Any] = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "c"}, "spec": {}}
    claim["metadata"]["namespace"] = "small"
    fast = {**claim, "metadata": {"name": "f", "namespace": "small"}, "spec": {"storageClassName": "fast"}}
    chosen = [*manifests(), claim, fast]
    assert wrong(looked(cluster, chosen)) == {"storage classes are there": ("a default class", "fast")}
    marked = {"storageclass.kubernetes.io/is-default-class": "true"}
    cluster.create(
        {"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "fast", "annotations": marked}}
    )
    assert wrong(looked(cluster, chosen)) == {}


GI = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "10Gi"}}}


def claim(name: str, **spec: Any) -> dict[str, Any]:
    about = {"name": name, "namespace": "small"}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": about, "spec": {**GI, **spec}}


def volume(name: str, size: str, of: str = "by-hand", phase: str = "Available", **spec: Any) -> dict[str, Any]:
    made = {"storageClassName": of, "capacity": {"storage": size}, "accessModes": ["ReadWriteOnce"], **spec}
    about = {"name": name, "labels": {"disk": name}}
    return {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": about, "spec": made, "status": {"phase": phase}}


def storage_class(name: str, provisioner: str) -> dict[str, Any]:
    about = {"name": name}
    return {"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": about, "provisioner": provisioner}


def left(name: str, of: str = "fast", **told: str) -> dict[str, Any]:
    about = {"name": name, "namespace": "kube-system"}
    kind = {"apiVersion": "storage.k8s.io/v1", "kind": "CSIStorageCapacity"}
    return {**kind, "metadata": about, "storageClassName": of, **told}


def storage_of(cluster: FakeCluster, *claims: dict[str, Any]) -> Finding:
    return looked(cluster, [*manifests(), *claims])["claims find storage"]


@pytest.mark.parametrize(
    "other",
    [
        volume("small", "5Gi"),
        volume("taken", "20Gi", phase="Bound"),
        volume("kept", "20Gi", claimRef={"namespace": "small", "name": "another"}),
        volume("read-only", "20Gi", accessModes=["ReadOnlyMany"]),
        volume("raw", "20Gi", volumeMode="Block"),
        volume("elsewhere", "20Gi", of="other"),
    ],
    ids=lambda each: each["metadata"]["name"],
)
def test_a_claim_of_volumes_by_hand_needs_one_that_fits(cluster: FakeCluster, other: dict[str, Any]) -> None:
    cluster.create(storage_class("by-hand", "kubernetes.io/no-provisioner"))
    cluster.create(other)
    (told,) = storage_of(cluster, claim("data", storageClassName="by-hand")).wrong
    assert told.startswith("PersistentVolumeClaim small/data finds no volume for 10Gi that is free and fits: ")
    cluster.create(volume("good", "10Gi", claimRef={"namespace": "small", "name": "data"}))
    assert wrong(looked(cluster, [*manifests(), claim("data", storageClassName="by-hand")])) == {}


def test_each_claim_needs_a_volume_of_its_own(cluster: FakeCluster) -> None:
    some = claim("some", storageClassName="by-hand")
    that = claim("that", storageClassName="by-hand", selector={"matchLabels": {"disk": "a"}})
    cluster.create(volume("a", "10Gi"))
    cluster.create(volume("b", "10Gi"))
    for those in ((some, that), (that, some)):  # the one that may have any leaves the other one its own
        found = looked(cluster, [*manifests(), *those])
        assert wrong(found) == {}, "a class of which there are volumes needs no object"
        assert found["claims find storage"].of == 2
    (told,) = storage_of(cluster, some, that, claim("third", storageClassName="by-hand")).wrong
    assert "small/third" in told
    named = claim("named", storageClassName="by-hand", volumeName="c")
    assert "small/named" in storage_of(cluster, named).wrong[0]
    with_it = volume("c", "10Gi")
    assert storage_of(cluster, named, with_it).wrong == (), "it is applied together with the claim"


def test_claims_that_pods_make_are_counted_and_kept_ones_used(cluster: FakeCluster) -> None:
    cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "small"}})
    cluster.create(storage_class("by-hand", "kubernetes.io/no-provisioner"))
    cluster.create(volume("a", "10Gi"))
    chosen = manifests()
    base = next(each for each in chosen if each["kind"] == "StatefulSet")
    base["spec"]["volumeClaimTemplates"] = [
        {"metadata": {"name": "data"}, "spec": {**GI, "storageClassName": "by-hand"}}
    ]
    base["spec"]["replicas"] = 2
    name = base["metadata"]["name"]
    (told,) = looked(cluster, chosen)["claims find storage"].wrong
    assert told.startswith(f"claim data-{name}-1 of StatefulSet small/{name} finds no volume")
    cluster.create(claim(f"data-{name}-0"))
    assert looked(cluster, chosen)["claims find storage"].wrong == ()


def test_what_a_driver_has_left_is_compared(cluster: FakeCluster) -> None:
    cluster.create(storage_class("fast", "disks.example.org"))
    chosen = [claim(name, storageClassName="fast") for name in "ab"]
    unknown = storage_of(cluster, *chosen)
    assert (unknown.wrong, unknown.unknown) == ((), "nobody says what is left of storage class fast")
    cluster.create(left("one", capacity="8Gi"))
    assert len(storage_of(cluster, *chosen).wrong) == 2
    assert "may have 8Gi at most" in storage_of(cluster, *chosen).wrong[0]
    cluster.create(left("two", capacity="11Gi"))
    (told,) = storage_of(cluster, *chosen).wrong
    assert told.startswith("2 claims ask for")
    cluster.create(left("three", capacity="40Gi", maximumVolumeSize="10Gi"))
    found = storage_of(cluster, *chosen)
    assert (found.wrong, found.unknown, found.of) == ((), "", 2)
    assert storage_of(cluster, claim("picky", storageClassName="fast", selector={"matchLabels": {"disk": "a"}})).wrong


@pytest.mark.parametrize(
    ("resource", "told"),
    [
        ("csistoragecapacities", "we may not look at what drivers say is left of storage class fast"),
        ("persistentvolumes", "we may not look at volumes"),
        ("storageclasses", "we may not look at storage classes"),
    ],
)
def test_storage_that_we_may_not_look_at_is_unknown(cluster: FakeCluster, resource: str, told: str) -> None:
    cluster.create(storage_class("fast", "disks.example.org"))
    cluster.forbidden.add(("list", resource))
    found = looked(cluster, [*manifests(), claim("data", storageClassName="fast")])
    assert wrong(found) == {}
    assert found["claims find storage"].unknown == told


def test_what_is_there_already_and_is_not_ours(cluster: FakeCluster) -> None:
    cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "small"}})
    assert wrong(looked(cluster)) == {}
    cluster.create({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "base-east", "namespace": "small"}})
    (told,) = wrong(looked(cluster))["the place is free"]
    assert told == "Service small/base-east is there already, and is not of this run"


def test_everything_wrong_is_told_at_once_and_reported(cluster: FakeCluster) -> None:
    cluster.forbidden.add(("create", "namespaces"))
    chosen = manifests(env=[{"name": "KEY", "value": "changeme"}])
    events: list[Any] = []
    with pytest.raises(TargetError, match="nothing was touched") as refused:
        preflight({"": Intent(cluster, "small", "small-abcdef", chosen, SPEC)}, events.append)
    assert "create namespaces" in str(refused.value)
    assert "KEY" in str(refused.value)
    assert {each.name for each in events if each.passed != each.of} == {
        "preflight: we have the rights",
        "preflight: no placeholder secret",
    }


def test_a_new_cluster_is_given_time_to_settle(cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.targets.kubernetes.preflight.EVERY_S", 0.1)
    chosen = manifests(resources={"limits": {"nvidia.com/gpu": "1"}})
    intent = Intent(cluster, "small", "small-abcdef", chosen, SPEC)
    events: list[Any] = []

    def plug_in() -> None:
        allocatable = {"allocatable": {"nvidia.com/gpu": "1", "cpu": "4", "memory": "8Gi", "pods": "110"}}
        cluster.patch("v1/Node", "", "node-1", {"status": allocatable})

    later = threading.Timer(0.5, plug_in)
    later.start()
    preflight({"": intent}, events.append, settles_within_s=20)
    assert all(each.passed == each.of for each in events)
    assert "preflight: storage classes are there" not in {each.name for each in events}  # nothing claims any
    later.join()
    cluster.patch("v1/Node", "", "node-1", {"status": {"allocatable": {"nvidia.com/gpu": "0"}}})
    with pytest.raises(TargetError, match="nvidia"):
        preflight({"": intent}, events.append, settles_within_s=0.3)


# -- objects


def test_counts_must_be_those_of_the_platform_file() -> None:
    chosen = manifests()
    assert next(name for name, _ in objects.by_phase(chosen, SPEC, SPEC.kubernetes.labels)) == ""
    chosen[-1]["spec"]["replicas"] = 2
    with pytest.raises(BadInput, match="edge in no region: 2 in the manifests, 1 in the platform file"):
        objects.by_phase(chosen, SPEC, SPEC.kubernetes.labels)
    with pytest.raises(BadInput, match="0 in the manifests"):
        objects.by_phase(chosen[:-1], SPEC, SPEC.kubernetes.labels)


def test_a_label_that_names_no_service_is_refused() -> None:
    chosen = manifests()
    chosen[-1]["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/name"] = "stranger"
    with pytest.raises(BadInput, match="stranger"):
        objects.by_phase(chosen, SPEC, SPEC.kubernetes.labels)


def test_an_object_of_another_namespace_is_refused() -> None:
    strange = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x", "namespace": "elsewhere"}}
    with pytest.raises(BadInput, match="not in namespace small"):
        objects.prepared([strange], "run", "small", {"v1/ConfigMap": True}, [])


def test_a_generated_secret_may_stand_in_no_file() -> None:
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": {}}
    with pytest.raises(BadInput, match="has it made"):
        objects.prepared([secret], "run", "small", {}, ["s"])


@pytest.mark.parametrize(
    ("text", "number"), [("250m", 0.25), ("2", 2), (1, 1), ("1Gi", 2**30), ("1M", 10**6), ("1.5k", 1500), ("1e3", 1000)]
)
def test_quantities(text: str, number: float) -> None:
    assert float(objects.quantity(text)) == number


@pytest.mark.parametrize("text", ["", "x", "1Zi"])
def test_no_quantities(text: str) -> None:
    with pytest.raises(BadInput):
        objects.quantity(text)


@pytest.mark.parametrize("text", ["- just\n- a list", "kind: Pod", "apiVersion: v1\nkind: Pod\nmetadata: {}", "a: [b"])
def test_what_is_no_object(text: str) -> None:
    with pytest.raises(BadInput, match=r"x\.yaml"):
        sources.parse(text, "x.yaml")


def test_lists_are_taken_apart() -> None:
    text = "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Pod, metadata: {name: a}}\n---\n"
    assert [each["metadata"]["name"] for each in sources.parse(text, "x.yaml")] == ["a"]


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand-ins for kubectl and helm that print how they were called, as an object."""
    for name in ("kubectl", "helm"):
        file = tmp_path / name
        file.write_text('#!/bin/sh\n[ -z "$REFUSE" ] || { echo "no such folder" >&2; exit 1; }\n'
                        'echo "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: \'$*\'}"\n')  # fmt: skip
        file.chmod(0o755)
    monkeypatch.setattr(sources, "program_path", lambda: (str(tmp_path),))
    return tmp_path


def on(**given: Any) -> OnCluster:
    return OnCluster.model_validate({"context": "c", "namespace": "n", "endpoints": {"edge": "http://e"}, **given})


def test_kustomize_and_helm_are_called_as_documented(programs: Path) -> None:
    (kustomized,) = sources.rendered(on(kustomize="/k"))
    assert kustomized["metadata"]["name"] == "kustomize /k"
    (charted,) = sources.rendered(on(helm={"chart": "/c", "values": ["/v.yaml"], "set": {"a.b": "1.0"}}))
    told = "template n /c --namespace=n --values=/v.yaml --set-string=a.b=1.0 --include-crds --no-hooks"
    assert charted["metadata"]["name"] == told


def test_what_they_say_is_told(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REFUSE", "yes")
    with pytest.raises(BadInput, match="/k: no such folder"):
        sources.rendered(on(kustomize="/k"))
    (programs / "kubectl").unlink()
    with pytest.raises(BadInput, match="kubectl is not installed"):
        sources.rendered(on(kustomize="/k"))


# -- rights


def test_roles_have_exactly_the_rights() -> None:
    kinds = [Resource("apps", "v1", "deployments", True), Resource("", "v1", "persistentvolumes", False)]
    wanted = rights.needed(kinds, {"GET", "OPTIONS"}, makes_namespace=True)
    role, wide = rights.roles(wanted, "harness", "small")
    told = {
        (group, resource, verb)
        for each in (role, wide)
        for rule in each["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    assert told == {(each.group, f"{each.resource}/{each.subresource}".rstrip("/"), each.verb) for each in wanted}
    assert {rule["apiGroups"][0] for rule in wide["rules"]} == {"", "storage.k8s.io"}


def test_what_a_role_of_the_manifests_gives_must_be_ours_to_give(cluster: FakeCluster) -> None:
    rule = {"apiGroups": [""], "resources": ["pods/exec"], "verbs": ["watch"]}
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"name": "r", "namespace": "small"},
        "rules": [rule],
    }
    assert rights.granted([role]) == [rights.Right("", "pods", "watch", "exec")]
    assert wrong(looked(cluster, [*manifests(), role])) == {}
    cluster.forbidden.add(("watch", "pods"))
    assert wrong(looked(cluster, [*manifests(), role])) == {"we have the rights": ("watch pods/exec",)}
