"""Which pods Prometheus is told of, from what the API server says of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sophia.pod_targets import Targets


def pod(uid: str, *, ready: bool = True, restarts: int = 0, address: str = "10.244.2.5", **more: Any) -> dict[str, Any]:
    return {
        "metadata": {
            "name": f"weaviate-sjc-{uid}",
            "uid": uid,
            "labels": {
                "app.kubernetes.io/name": "weaviate",
                "topology.kubernetes.io/region": "sjc",
                "app.kubernetes.io/version": "1.0.0",
            },
            "annotations": {"prometheus.io/port": "2112"},
            **more.pop("metadata", {}),
        },
        "spec": {"nodeName": "n2"},
        "status": {
            "phase": "Running",
            "podIP": address,
            "conditions": [{"type": "Ready", "status": str(ready)}],
            "containerStatuses": [{"name": "weaviate", "restartCount": restarts}],
            **more,
        },
    }


def told(file: Path) -> list[str]:
    return [each["labels"]["instance"] for each in json.loads(file.read_text())]


def test_a_ready_pod_is_told_with_the_labels_that_objectives_select(tmp_path: Path) -> None:
    targets = Targets(tmp_path / "pods.json")
    targets.start_again([pod("0")])
    assert json.loads((tmp_path / "pods.json").read_text()) == [
        {
            "targets": ["10.244.2.5:2112"],
            "labels": {
                "service": "weaviate",
                "region": "sjc",
                "release": "1.0.0",
                "instance": "weaviate-sjc-0",
                "node": "n2",
                "__metrics_path__": "/metrics",
            },
        }
    ]


def test_one_that_still_starts_is_not_told_and_one_that_died_stays(tmp_path: Path) -> None:
    file = tmp_path / "pods.json"
    targets = Targets(file)
    targets.start_again([pod("0", ready=False)])
    assert told(file) == []
    targets.change("MODIFIED", pod("0"))
    assert told(file) == ["weaviate-sjc-0"]
    targets.change("MODIFIED", pod("0", ready=False))
    assert told(file) == ["weaviate-sjc-0"], "it is down, and must be seen to be down"
    targets.start_again([pod("0", ready=False)])
    assert told(file) == ["weaviate-sjc-0"], "the watch was started again meanwhile"


def test_a_pod_that_crashes_again_and_again_is_told_though_it_was_never_seen_ready(tmp_path: Path) -> None:
    targets = Targets(tmp_path / "pods.json")
    targets.start_again([pod("0", ready=False, restarts=3)])
    assert told(tmp_path / "pods.json") == ["weaviate-sjc-0"]


def test_one_that_is_told_to_end_or_is_gone_is_no_target(tmp_path: Path) -> None:
    file = tmp_path / "pods.json"
    targets = Targets(file)
    targets.start_again([pod("0"), pod("1"), pod("2", phase="Failed"), pod("3", address="")])
    assert told(file) == ["weaviate-sjc-0", "weaviate-sjc-1"]
    ends = {"deletionTimestamp": "2026-11-26T00:00:00Z"}
    targets.change("MODIFIED", pod("0", metadata=ends))
    targets.change("MODIFIED", pod("0", metadata=ends, ready=False, restarts=1))
    targets.change("DELETED", pod("1"))
    assert told(file) == []


def test_a_pod_of_a_lost_node_stays_until_it_is_gone(tmp_path: Path) -> None:
    file = tmp_path / "pods.json"
    targets = Targets(file)
    targets.start_again([pod("0")])
    targets.change("MODIFIED", pod("0", ready=False))
    lost = pod("0", ready=False, metadata={"deletionTimestamp": "2026-11-26T00:00:00Z"})
    targets.change("MODIFIED", lost)
    assert told(file) == ["weaviate-sjc-0"]
    targets.start_again([lost])
    assert told(file) == ["weaviate-sjc-0"]
    targets.change("DELETED", lost)
    assert told(file) == []


def test_a_pod_that_does_not_say_where_is_not_scraped(tmp_path: Path) -> None:
    targets = Targets(tmp_path / "pods.json")
    targets.start_again([pod("0", metadata={"annotations": {}})])
    assert told(tmp_path / "pods.json") == []


def test_restarts_are_told_of_every_target(tmp_path: Path) -> None:
    targets = Targets(tmp_path / "pods.json")
    targets.start_again([pod("0", restarts=2), pod("1", ready=False)])
    status, _, body = targets.metrics()
    name = "kube_pod_container_status_restarts_total"
    line = f'{name}{{service="weaviate",region="sjc",instance="weaviate-sjc-0",container="weaviate"}} 2'
    assert (status, body.decode().splitlines()) == (200, [f"# TYPE {name} counter", line])


def test_its_own_page_is_a_target_too(tmp_path: Path) -> None:
    own = {"targets": ["127.0.0.1:9095"], "labels": {"service": "prometheus", "instance": "prometheus-0/targets"}}
    targets = Targets(tmp_path / "pods.json", [own])
    targets.start_again([])
    assert json.loads((tmp_path / "pods.json").read_text()) == [own]
