"""Blue-green and canary of a phase on a real cluster, while a user asks through a Service without a pause."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.errors import TargetError
from harness.model.events import AnyEvent, PhaseDeployed, PhaseStep
from harness.model.on_cluster import OnCluster
from harness.spec.platform import load_platform
from harness.targets import kubernetes
from tests.e2e.kind.bed import KUBECONFIG, everything, kubectl
from tests.e2e.kind.small import CLUSTER, manifests

NAME, REGION = "app.kubernetes.io/name", "small.example/region"
NEXT = ("app-east-next", "app-west-next")


def written(folder: Path) -> str:
    """The small platform's manifests: users come in where the pods of app-east are, which end as services should."""
    file = manifests(folder)
    made = list(yaml.safe_load_all(file.read_text()))
    for each in made:
        if each["kind"] == "Deployment":
            (container,) = each["spec"]["template"]["spec"]["containers"]
            container["lifecycle"] = {"preStop": {"sleep": {"seconds": 3}}}
        if (each["kind"], each["metadata"]["name"]) == ("Service", "edge"):
            each["spec"] |= {"selector": {NAME: "app", REGION: "east"}, "ports": [{"port": 8080, "nodePort": 30080}]}
    west = {"selector": {NAME: "app", REGION: "west"}, "ports": [{"port": 8080}]}
    made.append({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "app-west"}, "spec": west})
    file.write_text(yaml.safe_dump_all(made))
    return str(file)


@contextmanager
def user() -> Iterator[list[str]]:
    """Asks all the time, each time on a new connection: the releases that answered, and what went wrong."""
    seen: list[str] = []
    over = threading.Event()

    def ask() -> None:
        while not over.wait(0.02):
            connection = http.client.HTTPConnection("127.0.0.1", 30080, timeout=5)
            try:
                connection.request("GET", "/ping")
                seen.append(str(json.loads(connection.getresponse().read())["release"]))
            except (OSError, ValueError, http.client.HTTPException) as error:
                seen.append(repr(error))
            finally:
                connection.close()

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join(10)


@pytest.mark.parametrize("strategy", ["blue-green", "canary"])
def test_a_release_is_tried_beside_the_other_and_users_notice_nothing(tmp_path: Path, strategy: str) -> None:
    before = everything()
    (tmp_path / "platform.yaml").write_text(
        (CLUSTER / "platform.yaml").read_text().replace("strategy: rolling", f"strategy: {strategy}")
    )
    on = OnCluster.model_validate(
        {
            "kubeconfig": str(KUBECONFIG),
            "context": "bare",
            "namespace": "small",
            "manifests": written(tmp_path),
            "endpoints": {"edge": "http://127.0.0.1:30080"},
            "rollout_within": 60.0,
            "test": True,
        }
    )
    target = kubernetes.kubernetes(load_platform(tmp_path / "platform.yaml"), on, tmp_path / "state")
    events: list[AnyEvent] = []
    try:
        target.up("1", events.append)
        with user() as seen:
            target.deploy("2", events.append)
            switched = seen[:]
            with pytest.raises(TargetError, match="app is well"):
                target.deploy("ill", events.append)
        last: Any = events[-1]
        assert (last.event, last.verified) == ("phase.taken-back", True)
        assert {each.release for each in target.instances("app")} == {"2"}
        assert target.ready() == []
        there = kubectl("get", "deployments,pods,endpointslices", "-n", "small", "-o", "name")
        assert "next" not in there
        assert "version" not in kubectl("get", "services", "-n", "small", "-o", "jsonpath={.items[*].spec.selector}")
    finally:
        assert target.down().clean
    assert everything() == before
    steps = [(each.step, tuple(sorted(each.names))) for each in events if isinstance(each, PhaseStep)]
    told = [each.carried_out for each in events if isinstance(each, PhaseDeployed) and each.phase == "application"]
    assert told == ["all at once: nothing ran yet", ""]
    assert set(switched) == {"1", "2"}, switched
    if strategy == "blue-green":
        assert steps == [("beside", NEXT), ("switched", ("app-west", "edge"))]
        assert switched == sorted(switched), "one release, then the other"
        assert set(seen[len(switched) :]) == {"2"}, "no user met the ill one"
    else:
        assert steps == [("beside", NEXT)]
        assert set(seen[len(switched) :]) <= {"2", "ill"}
    assert seen[-1] == "2"
