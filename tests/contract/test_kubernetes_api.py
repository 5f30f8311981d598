"""What every cluster does, the fake and a real API server alike; and what only a real one can say."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.errors import BadInput
from harness.targets.kubernetes import api, claim, connection, rights
from harness.targets.kubernetes.api import ApiError, Cluster, Resource
from harness.targets.kubernetes.objects import RUN
from harness.testing.fake_cluster import FakeCluster
from tests.contract import api_server

real = pytest.mark.skipif(
    bool(api_server.MISSING), reason=f"no {', '.join(api_server.MISSING)} in {api_server.BIN}: python -m testbed build"
)


@pytest.fixture(scope="module")
def kubeconfig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with api_server.api_server(tmp_path_factory.mktemp("api-server")) as file:
        yield file


@pytest.fixture(params=["fake", pytest.param("real", marks=[pytest.mark.real, real])])
def cluster(request: pytest.FixtureRequest) -> Any:
    if request.param == "fake":
        return FakeCluster(lambda *_: None)
    return Cluster.connect(str(request.getfixturevalue("kubeconfig")), "admin")


@pytest.fixture
def admin(kubeconfig: Path) -> Cluster:
    return Cluster.connect(str(kubeconfig), "admin")


def config_map(name: str, labels: dict[str, str] | None = None, **data: str) -> dict[str, Any]:
    about = {"name": name, "namespace": "default", "labels": labels or {}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": about, "data": data}


def test_what_is_not_there_is_no_error(cluster: Any) -> None:
    assert cluster.read("v1/ConfigMap", "default", "nobody") is None
    assert cluster.delete("v1/ConfigMap", "default", "nobody") is False


def test_a_kind_that_is_not_served(cluster: Any) -> None:
    with pytest.raises(ApiError) as refused:
        cluster.list("example.org/v1/Thing")
    assert refused.value.status == 404


def test_create_read_list_delete(cluster: Any) -> None:
    made = cluster.create(config_map("one", {"who": "me"}, key="value"))
    assert made["metadata"]["uid"]
    with pytest.raises(ApiError) as refused:
        cluster.create(config_map("one"))
    assert (refused.value.status, refused.value.reason) == (409, "AlreadyExists")
    (found,) = cluster.list("v1/ConfigMap", "default", {"who": "me"})
    assert (found["apiVersion"], found["kind"], found["data"]) == ("v1", "ConfigMap", {"key": "value"})
    assert cluster.list("v1/ConfigMap", "default", {"who": "you"}) == []
    assert cluster.list("v1/ConfigMap", "", {"who": "me"}) == [found]
    with pytest.raises(ApiError) as refused:
        cluster.delete("v1/ConfigMap", "default", "one", uid="another")
    assert refused.value.status == 409
    assert cluster.delete("v1/ConfigMap", "default", "one", uid=made["metadata"]["uid"])
    assert cluster.read("v1/ConfigMap", "default", "one") is None


def test_apply_makes_and_changes(cluster: Any) -> None:
    cluster.apply(config_map("two", first="1"))
    cluster.apply(config_map("two", first="2", second="2"))
    assert cluster.read("v1/ConfigMap", "default", "two")["data"] == {"first": "2", "second": "2"}
    cluster.apply(config_map("three"), dry_run=True)
    assert cluster.read("v1/ConfigMap", "default", "three") is None
    cluster.delete("v1/ConfigMap", "default", "two")


def test_patch_respects_what_was_read(cluster: Any) -> None:
    made = cluster.create(config_map("four", key="1"))
    cluster.patch("v1/ConfigMap", "default", "four", {"data": {"key": "2"}})
    stale = {"metadata": {"resourceVersion": made["metadata"]["resourceVersion"]}, "data": {"key": "3"}}
    with pytest.raises(ApiError) as refused:
        cluster.patch("v1/ConfigMap", "default", "four", stale)
    assert refused.value.status == 409
    assert cluster.read("v1/ConfigMap", "default", "four")["data"] == {"key": "2"}
    cluster.delete("v1/ConfigMap", "default", "four")


def test_a_namespace_that_is_not_there(cluster: Any) -> None:
    strange = config_map("five")
    strange["metadata"]["namespace"] = "nowhere"
    with pytest.raises(ApiError) as refused:
        cluster.create(strange)
    assert refused.value.status == 404


def test_who_may_everything(cluster: Any) -> None:
    assert cluster.allowed("create", "", "pods", "exec", "default")
    assert cluster.version().startswith("v")
    assert claim.cluster_uid(cluster)


# -- only a real API server can say this


@real
@pytest.mark.real
def test_a_field_of_somebody_else_is_a_conflict(admin: Cluster) -> None:
    admin.create(config_map("six", key="1"))  # by create, which is another manager than by apply
    with pytest.raises(ApiError) as refused:
        admin.apply(config_map("six", key="2"))
    assert refused.value.status == 409
    assert any("data.key" in cause for cause in refused.value.causes)
    admin.apply(config_map("six", key="2"), force=True)
    admin.delete("v1/ConfigMap", "default", "six")


@real
@pytest.mark.real
def test_a_field_that_does_not_exist_is_refused(admin: Cluster) -> None:
    with pytest.raises(ApiError, match="nonsense"):
        admin.apply({**config_map("seven"), "nonsense": 1})


@real
@pytest.mark.real
def test_lists_longer_than_a_page(admin: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.targets.kubernetes.api.PAGE", 2)
    for number in range(5):
        admin.create(config_map(f"many-{number}", {"many": "yes"}))
    assert len(admin.list("v1/ConfigMap", "default", {"many": "yes"})) == 5
    for number in range(5):
        admin.delete("v1/ConfigMap", "default", f"many-{number}")


@real
@pytest.mark.real
def test_a_right_that_is_missing_is_known_before_and_told_after(kubeconfig: Path) -> None:
    plain = Cluster.connect(str(kubeconfig), "plain")
    assert not plain.allowed("list", "", "pods", "", "default")
    with pytest.raises(ApiError, match="harness rbac") as refused:
        plain.list("v1/Pod", "default")
    assert refused.value.status == 403
    assert claim.cluster_uid(plain) == ""


@real
@pytest.mark.real
def test_the_role_that_we_write_gives_exactly_the_rights(kubeconfig: Path, admin: Cluster) -> None:
    admin.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "mine", "labels": {RUN: "x"}}})
    kinds = rights.by_kind(admin, ["apps/v1/Deployment", "v1/ConfigMap", "v1/Secret", "v1/Service"])
    wanted = rights.needed(kinds.values(), {"GET", "POST", "OPTIONS"}, makes_namespace=False)
    role, wide = rights.roles(wanted, "harness", "mine")
    subject = {"kind": "User", "name": "plain", "apiGroup": "rbac.authorization.k8s.io"}
    for each, kind, place in ((role, "Role", {"namespace": "mine"}), (wide, "ClusterRole", {})):
        admin.apply(each)
        admin.apply(
            {
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": f"{kind}Binding",
                "metadata": {"name": "harness", **place},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": "harness"},
                "subjects": [subject],
            }
        )
    plain = Cluster.connect(str(kubeconfig), "plain")
    assert rights.denied(plain, "mine", wanted) == []
    for namespace, status in (("mine", 404), ("default", 403)):  # there is no such pod; we may not ask
        with pytest.raises(ApiError) as refused:
            plain.forward(namespace, "nobody", 80)
        assert refused.value.status == status
    assert rights.denied(plain, "default", [each for each in wanted if each.namespaced]) != []
    assert not plain.allowed("create", "", "pods", "exec", "mine")
    assert not plain.allowed("delete", "", "namespaces")
    assert not plain.allowed("list", "", "secrets")
    admin.delete("rbac.authorization.k8s.io/v1/ClusterRoleBinding", "", "harness")


@real
@pytest.mark.real
def test_credentials_that_are_not_known(kubeconfig: Path) -> None:
    with pytest.raises(ApiError, match="renew the credentials") as refused:
        Cluster.connect(str(kubeconfig), "stranger").list("v1/Pod")
    assert refused.value.status == 401


def config(tmp_path: Path, server: str = "https://127.0.0.1:1", extra: str = "") -> str:
    file = tmp_path / "config"
    file.write_text(
        f"apiVersion: v1\nkind: Config\nclusters:\n- name: c\n  cluster: {{server: '{server}'{extra}}}\n"
        "users:\n- name: u\n  user: {token: secret-token}\ncontexts:\n- name: c\n  context: {cluster: c, user: u}\n"
    )
    return str(file)


def test_a_server_that_is_away_is_told_without_the_token(tmp_path: Path) -> None:
    cluster = Cluster.connect(config(tmp_path), "c")
    with pytest.raises(ApiError, match="does not answer") as refused:
        cluster.version()
    assert refused.value.status == 0
    assert "secret-token" not in str(refused.value)


class Hanging:
    """A server on 127.0.0.1 that takes connections and says nothing, or ends the first of them and then answers."""

    def __init__(self, answers: bool = False) -> None:
        self.taken = 0
        self._kept: list[socket.socket] = []
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._server.getsockname()[1]}"
        self._answers = answers
        threading.Thread(target=self._take, daemon=True).start()

    def _take(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                made, _ = self._server.accept()
                self.taken += 1
                if self._answers:
                    made.recv(65536)
                    if self.taken > 1:
                        made.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 24\r\n\r\n{"gitVersion":"v1.36.3"}')
                    made.close()
                else:
                    self._kept.append(made)

    def close(self) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        for each in (*self._kept, self._server):
            each.close()


POD = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "n"}}
CALLS: dict[str, Callable[[Cluster], object]] = {
    "read": lambda cluster: cluster.read("v1/Pod", "n", "p"),
    "list": lambda cluster: cluster.list("v1/Pod", "n"),
    "create": lambda cluster: cluster.create(POD),
    "patch": lambda cluster: cluster.patch("v1/Pod", "n", "p", {}, "scale"),
    "delete": lambda cluster: cluster.delete("v1/Pod", "n", "p"),
    "evict": lambda cluster: cluster.evict("n", "p"),
    "allowed": lambda cluster: cluster.allowed("get", "", "pods"),
    "logs": lambda cluster: cluster.logs("n", "p", "c", within_s=0.3),
    "proxy": lambda cluster: cluster.proxy("n", "p", 80, "GET", "/", timeout_s=0.3),
    "exec": lambda cluster: cluster.exec("n", "p", "c", ["true"], 0.3),
    "forward": lambda cluster: cluster.forward("n", "p", 80),
    "running": lambda cluster: cluster.running("node", 0.3),
    "refuses": lambda cluster: cluster.refuses("n", "p", 80, 0.3),
}


@pytest.mark.parametrize("known", [True, False], ids=["kinds known", "nothing known"])
@pytest.mark.parametrize("call", CALLS)
def test_a_server_that_hangs_is_given_up_at_the_deadline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, known: bool
) -> None:
    for module in (api, connection):
        monkeypatch.setattr(module, "TIMEOUT_S", 0.3)
    server = Hanging()
    try:
        cluster = Cluster.connect(config(tmp_path, server.url), "c")
        if known:
            cluster._resources["v1"] = {"Pod": Resource("", "v1", "pods", True)}
        began = time.monotonic()
        with pytest.raises(ApiError) as refused:
            CALLS[call](cluster)
        assert time.monotonic() - began < 1
        assert (refused.value.status, refused.value.passing) == (0, True)
        assert server.taken == 1, "silence is not asked again"
    finally:
        server.close()


def test_a_get_whose_connection_was_ended_is_sent_again(tmp_path: Path) -> None:
    server = Hanging(answers=True)
    try:
        assert Cluster.connect(config(tmp_path, server.url), "c").version() == "v1.36.3"
        assert server.taken == 2
    finally:
        server.close()


@pytest.mark.parametrize(
    ("server", "extra"), [("https://127.0.0.1:1", ", insecure-skip-tls-verify: true"), ("http://10.0.0.1", "")]
)
def test_tls_is_always_verified(tmp_path: Path, server: str, extra: str) -> None:
    with pytest.raises(BadInput, match="without verified TLS"):
        Cluster.connect(config(tmp_path, server, extra), "c")


def test_a_context_must_be_named_and_be_there(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no context is named"):
        Cluster.connect(config(tmp_path), "")
    with pytest.raises(BadInput, match="'d'"):
        Cluster.connect(config(tmp_path), "d")
    with pytest.raises(BadInput):
        Cluster.connect(str(tmp_path / "none"), "c")


@pytest.mark.parametrize("name", [".", ".."])
def test_names_stay_within_their_path(name: str) -> None:
    with pytest.raises(BadInput):
        Resource("", "v1", "pods", True).path("default", name)
    assert Resource("", "v1", "pods", True).path("a/b", "c?d") == "/api/v1/namespaces/a%2Fb/pods/c%3Fd"


@real
@pytest.mark.real
def test_a_nodes_region_is_written_over_that_of_a_pod(admin: Cluster) -> None:
    """What harness.targets.kubernetes.room.relabelled guards against."""
    region = "topology.kubernetes.io/region"
    admin.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "far-away", "labels": {region: "far"}}})
    about = {"name": "bound", "namespace": "default"}
    spec = {"containers": [{"name": "main", "image": "none.local/none:1"}]}
    admin.create({"apiVersion": "v1", "kind": "Pod", "metadata": {**about, "labels": {region: "near"}}, "spec": spec})
    target = {"apiVersion": "v1", "kind": "Node", "name": "far-away"}
    binding = {"apiVersion": "v1", "kind": "Binding", "metadata": about, "target": target}
    admin._connection.json("POST", "/api/v1/namespaces/default/pods/bound/binding", body=binding)
    pod = admin.read("v1/Pod", "default", "bound")
    assert pod
    assert pod["metadata"]["labels"][region] == "far"
    admin.delete("v1/Pod", "default", "bound", grace_s=0)
    admin.delete("v1/Node", "", "far-away")
