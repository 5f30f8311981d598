"""The platform's alert rules against invented series, by Prometheus' own test tool."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from ruamel.yaml import YAML

RULES = Path(__file__).parents[2] / "deploy" / "monitoring" / "alerts.yaml"
pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(shutil.which("promtool") is None, reason="no promtool: it comes with Debian's prometheus"),
]
SJC = 'up{service="weaviate",region="sjc",instance="weaviate-sjc-0"}'
LAX = 'up{service="weaviate",region="lax",instance="weaviate-lax-0"}'
DOWN = {"severity": "P1", "failure": "weaviate", "service": "weaviate", "region": "sjc"}
GONE = [(DOWN, "Weaviate does not answer in sjc")]
DEAD = [({**DOWN, "instance": "weaviate-sjc-0"}, "weaviate-sjc-0 does not answer in sjc")]


def check(
    tmp_path: Path, alert: str, series: dict[str, str], fires: dict[str, list[tuple[dict[str, str], str]]]
) -> None:
    """`series` in promtool's notation, a value a second; `fires`: moment → labels and summaries of what fires then."""
    shutil.copy(RULES, tmp_path / "alerts.yaml")
    test = {
        "interval": "1s",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "alert_rule_test": [
            {
                "eval_time": at,
                "alertname": alert,
                "exp_alerts": [
                    {"exp_labels": labels, "exp_annotations": {"summary": told}} for labels, told in expected
                ],
            }
            for at, expected in fires.items()
        ],
    }
    with (tmp_path / "test.yaml").open("w") as writer:
        YAML().dump({"rule_files": ["alerts.yaml"], "evaluation_interval": "1s", "tests": [test]}, writer)
    made = subprocess.run(
        ["promtool", "test", "rules", "test.yaml"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert made.returncode == 0, made.stderr + made.stdout


def test_an_instance_that_does_not_answer_is_told_until_it_does(tmp_path: Path) -> None:
    series = {SJC: "1x10 0x10 1x20", LAX: "1x60"}
    check(tmp_path, "WeaviateDown", series, {"9s": [], "14s": DEAD, "25s": []})


def test_a_pod_that_was_deleted_is_told_until_another_takes_its_place(tmp_path: Path) -> None:
    series = {SJC: "1x10 stale _x20 1x20", LAX: "1x60"}
    check(tmp_path, "WeaviateDown", series, {"9s": [], "14s": GONE, "30s": GONE, "35s": []})


def test_a_replacement_under_another_name_is_no_loss(tmp_path: Path) -> None:
    old, new = (f'up{{service="unified-api",region="sjc",instance="unified-api-sjc-{name}"}}' for name in ("a", "b"))
    check(tmp_path, "ServiceDown", {old: "1x10 stale _x30", new: "_x8 1x40"}, {"12s": [], "30s": []})


def test_a_service_outside_of_regions_can_be_gone_too(tmp_path: Path) -> None:
    labels = {"severity": "P1", "failure": "service", "service": "edge"}
    series = {'up{service="edge",instance="edge-0"}': "1x10 stale _x30"}
    check(tmp_path, "ServiceDown", series, {"14s": [(labels, "edge does not answer")]})


def test_a_container_that_was_restarted_between_two_scrapes_is_told(tmp_path: Path) -> None:
    restarts = f'kube_pod_container_status_restarts_{SJC.replace("up{", "total{").replace("}", "")},container="%s"}}'
    series = {SJC: "1x60", restarts % "weaviate": "0x10 1x50", restarts % "corpus": "0x30 1x30"}
    check(tmp_path, "WeaviateDown", series, {"9s": [], "14s": DEAD, "29s": [], "34s": []})


PRESENT = 'sophia_gpu_present{service="gpu-worker",region="%s",instance="gpu-worker-%s-0"}'
GPU = {"severity": "P1", "failure": "gpu", "region": "sjc"}


def test_a_gpu_is_lost_too_when_no_worker_is_there_to_tell(tmp_path: Path) -> None:
    """Its plug-in is away, and the pod that follows the old worker waits for a card."""
    series = {PRESENT % ("sjc", "sjc"): "1x10 stale _x20 1x20", PRESENT % ("lax", "lax"): "1x60"}
    told = [(GPU, "sjc has lost its GPU")]
    check(tmp_path, "GpuLost", series, {"9s": [], "14s": told, "30s": told, "35s": []})


def test_a_gpu_that_is_lost_is_told_by_its_worker(tmp_path: Path) -> None:
    labels = {**GPU, "service": "gpu-worker", "instance": "gpu-worker-sjc-0"}
    series = {PRESENT % ("sjc", "sjc"): "1x10 0x10 1x20"}
    check(tmp_path, "GpuLost", series, {"9s": [], "14s": [(labels, "gpu-worker-sjc-0 has lost its GPU")], "25s": []})


@pytest.mark.parametrize("result", ["throttled", "timeout", "failed"])
def test_a_provider_that_fails_is_told(tmp_path: Path, result: str) -> None:
    calls = f'sophia_provider_calls_total{{region="sjc",provider="atlas",result="{result}"}}'
    labels = {"severity": "P2", "failure": "external-api", "region": "sjc", "provider": "atlas"}
    told = [(labels, "Provider atlas does not answer as it should")]
    check(tmp_path, "ProviderFailing", {calls: "0x20 0+1x10 10x30"}, {"20s": [], "26s": told, "55s": []})


def test_a_database_that_takes_no_new_connections_is_told_unless_it_is_down(tmp_path: Path) -> None:
    names = {"service": "postgres", "region": "sjc", "instance": "postgres-sjc-0"}
    about = ",".join(f'{key}="{value}"' for key, value in names.items())
    told = [({"severity": "P2", "failure": "resources", **names}, "postgres-sjc-0 takes no new connections")]
    series = {f"sophia_postgres_accepts{{{about}}}": "1x10 0x30", f"sophia_postgres_up{{{about}}}": "1x20 0x20"}
    check(tmp_path, "DatabaseRefuses", series, {"9s": [], "16s": told, "25s": []})
