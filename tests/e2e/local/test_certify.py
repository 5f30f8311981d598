"""The main job as a user runs it, and what it must refuse to pass."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.e2e.local.support import ROOT, Harness, Run


def test_the_good_release_passes_and_can_be_judged_again(harness: Harness) -> None:
    run = harness("certify", "--profile", "quick")
    run.wait_for("stage", name="steady")
    state = json.loads((run.folder / "work/target.json").read_text())["target"].partition(":")[2]
    secrets = json.loads((Path(state) / "control/secrets.json").read_text()).values()
    assert secrets
    run.finish(300)
    assert run.code == 0, f"{run.output}\n{run.errors[-3000:]}\n{json.dumps(run.reasons(), indent=1)}"
    judgement = run.judgement()
    assert judgement["verdict"] == "PASS"
    assert {"kill-weaviate#1"} == {one["experiment"] for one in judgement["recoveries"]}
    assert judgement["recoveries"][0]["recovered"]
    assert all(row["lost"] == row["indeterminate"] == 0 for row in judgement["data_loss"])
    assert {row["region"] for row in judgement["data_loss"]} == {"sjc", "lax"}

    manifest = json.loads((run.folder / "manifest.json").read_text())
    sealed = manifest["files"] | manifest["reports"]
    for name, digest in sealed.items():
        assert hashlib.sha256((run.folder / name).read_bytes()).hexdigest() == digest
    assert set(sealed) == {str(path.relative_to(run.folder)) for path in run.folder.rglob("*") if path.is_file()} - {
        "manifest.json"
    }

    again = harness("judge", str(run.folder), "--json").finish()
    assert again.code == 0
    word = json.loads(again.output)
    assert word.pop("compared")["same"]
    assert word == judgement
    assert harness("verify", str(run.folder), "--root", manifest["root"]).finish().code == 0
    assert not run.left_behind()
    for path in (path for path in run.folder.rglob("*") if path.is_file()):
        content = path.read_bytes()
        assert not [secret for secret in secrets if secret.encode() in content], path


@pytest.mark.parametrize(
    ("release", "slo", "reason"),
    [
        ("bad-slow", "latency", "good"),
        ("bad-failing", "availability", "answered with|fail|status|good"),
        ("bad-answers", "availability", "wrong"),
        ("bad-degraded", "availability", "degraded"),
    ],
)
def test_a_bad_release_fails_for_the_right_reason(harness: Harness, release: str, slo: str, reason: str) -> None:
    run = harness("run", harness.scenario(), "--release", release)
    assert run.verdict() == "FAIL", run.judgement()["sentence"]
    assert run.code == 10
    failed = {name: text for name, text in run.reasons().items() if text.startswith("FAIL")}
    matching = [text for name, text in failed.items() if slo in name]
    assert matching, failed
    assert re.search(reason, " ".join(matching)), matching
    assert not run.left_behind()


def child_of(run: Run, word: str) -> psutil.Process:
    """The process of this run whose command line holds the word."""
    mark = str(run.folder.resolve())
    for process in psutil.process_iter():
        try:
            if word in " ".join(process.cmdline()) and process.environ().get("HARNESS_RUN") == mark:
                return process
        except psutil.Error:
            continue
    raise AssertionError(f"no {word} in this run")


def test_a_load_killed_in_mid_run_is_inconclusive(harness: Harness) -> None:
    run = harness("run", harness.scenario())
    run.wait_for("stage", name="steady")
    time.sleep(5)
    child_of(run, "locust").kill()
    assert run.verdict() == "INCONCLUSIVE", run.judgement()["sentence"]
    assert run.code == 11
    assert any("locust" in f["reason"] or "load" in f["reason"] for f in run.judgement()["findings"])
    assert not run.left_behind()


def test_a_generator_starved_of_cpu_is_inconclusive_not_fail(harness: Harness) -> None:
    run = harness("run", harness.scenario())
    run.wait_for("stage", name="steady")
    locust = child_of(run, "locust")
    stop = threading.Event()

    def starve() -> None:
        while not stop.is_set():
            locust.suspend()
            time.sleep(0.7)
            locust.resume()
            time.sleep(0.3)

    thread = threading.Thread(target=starve)
    thread.start()
    time.sleep(10)
    stop.set()
    thread.join()
    assert run.verdict() == "INCONCLUSIVE", (run.judgement()["sentence"], run.reasons())
    assert any("late" in finding["reason"] for finding in run.judgement()["findings"])


def test_a_metrics_outage_is_inconclusive(harness: Harness) -> None:
    run = harness("run", harness.scenario())
    run.wait_for("stage", name="steady")
    target = json.loads((run.folder / "work/target.json").read_text())["target"]
    from harness.chaos.attach import attach
    from harness.ports import Processes

    platform = attach(target)
    assert isinstance(platform, Processes)
    (prometheus,) = platform.instances("prometheus")
    platform.kill_and_hold(prometheus)
    assert run.verdict() == "INCONCLUSIVE", (run.judgement()["sentence"], run.reasons())
    assert run.code == 11
    assert not run.left_behind()


EXPERIMENT: dict[str, Any] = json.loads(
    json.dumps(
        {
            "title": "an experiment of a test",
            "description": "see its name",
            "steady-state-hypothesis": {
                "title": "answers",
                "probes": [
                    {
                        "type": "probe",
                        "name": "level 1",
                        "tolerance": True,
                        "provider": {
                            "type": "python",
                            "module": "harness.chaos.probes",
                            "func": "level_is",
                            "arguments": {"level": 1},
                        },
                    }
                ],
            },
        }
    )
)


def call(kind: str, module: str, func: str, **arguments: object) -> dict[str, object]:
    provider = {"type": "python", "module": f"harness.chaos.{module}", "func": func, "arguments": arguments}
    return {"type": kind, "name": " ".join([func, str(arguments.get("name", ""))]).strip(), "provider": provider}


def written(file: Path, method: list[dict[str, object]], rollbacks: list[dict[str, object]]) -> str:
    file.write_text(json.dumps({**EXPERIMENT, "method": method, "rollbacks": rollbacks}))
    return str(file)


def experiment(file: Path, fault: str, parameters: dict[str, str]) -> str:
    method = [
        call("action", "actions", "inject", fault=fault, parameters=parameters),
        call("probe", "probes", "landed", fault=fault, within="2s"),
        call("probe", "probes", "gone", fault=fault, within="10s"),
    ]
    return written(file, method, [call("action", "actions", "recover", fault=fault, within="10s")])


def test_an_experiment_that_matches_nothing_is_refused_before_anything_starts(harness: Harness, tmp_path: Path) -> None:
    file = experiment(tmp_path / "nothing.yaml", "process_kill", {"service": "no-such-service"})
    scenario = harness.scenario(lambda spec: spec.update(experiments=[{"file": file}]))
    for verb in ("plan", "run"):
        run = harness(verb, scenario).finish(30)
        assert run.code == 20
        assert "nothing.yaml" in run.errors
        assert "no-such-service" in run.errors or "selects nothing" in run.errors
        assert "Traceback" not in run.errors
    assert not list(harness.tmp.glob("reports-*/*"))


def both_providers_fail(file: Path) -> str:
    """Until every gateway's breakers are open; with nobody to ask, the swarm votes and answers are degraded."""
    faults = {
        name: {
            "service": f"llm-provider-{name}",
            "behaviour": "failing",
            "request": {"model": f"{name}-large", "question": "What is 20 plus 22?"},
        }
        for name in ("atlas", "borealis")
    }
    named = [{"fault": "provider_failure", "name": name} for name in faults]
    recover = [call("action", "actions", "recover", within="10s", **each) for each in named]
    method = [
        *(call("action", "actions", "inject", parameters=faults[each["name"]], **each) for each in named),
        *(call("probe", "probes", "landed", within="5s", **each) for each in named),
        call("probe", "probes", "holds", over="5s", **named[0]),
        *recover,
    ]
    return written(file, method, recover)


def test_users_served_badly_long_after_a_fault_fail_the_release(harness: Harness, tmp_path: Path) -> None:
    """Probes say that all is well, and the fault's window waits for users so long and no longer."""
    platform = shutil.copytree(ROOT / "deploy", tmp_path / "deploy") / "platform.yaml"
    good = platform.read_text()
    platform.write_text(good.replace('BREAKER_RECOVERY: "60"', 'BREAKER_RECOVERY: "600"'))
    assert platform.read_text() != good
    file = both_providers_fail(tmp_path / "both-providers.yaml")

    def change(spec: dict[str, Any]) -> None:
        spec["target"]["platform"] = str(platform)
        spec.update(quiet="15s", experiments=[{"file": file, "gap": "1s", "within": "30s", "blast_radius": 2}])

    run = harness("run", harness.scenario(change))
    assert run.verdict() == "FAIL", (run.judgement()["sentence"], run.reasons())
    assert [each["name"] for each in run.events("stage")].count("healing") == 1
    assert not run.events("problem")
    reasons = run.reasons()
    assert "degraded answer where full service was due" in reasons["unified-api-availability"]
    assert not run.left_behind()


def test_a_fault_that_does_not_land_never_passes(harness: Harness, tmp_path: Path) -> None:
    file = experiment(tmp_path / "dud.yaml", "tests.e2e.local.dud_fault", {})
    scenario = harness.scenario(
        lambda spec: spec.update(steady="5s", experiments=[{"file": file, "gap": "1s", "within": "30s"}])
    )
    run = harness("run", scenario, PYTHONPATH=str(ROOT))
    assert run.verdict() != "PASS"
    assert run.code == 11, run.judgement()["sentence"]
    assert any("land" in finding["reason"] for finding in run.judgement()["findings"])


def test_two_runs_at_once_do_not_meet(harness: Harness) -> None:
    shorter = harness.scenario(lambda spec: (spec.update(steady="5s"), spec["load"]["arrivals"].update(rate=10)))
    runs = [harness("run", shorter), harness("run", shorter)]
    for run in runs:
        run.wait_for("stage", name="steady")
    edges = {run.events("deployed")[0]["endpoints"]["edge"] for run in runs}
    assert len(edges) == 2
    for run in runs:
        assert run.finish().code in (0, 10, 11), run.errors[-2000:]
        assert run.judgement()["data_loss"], "the read-back is there"
        assert not run.left_behind()


def test_ctrl_c_cleans_up_and_says_so(harness: Harness) -> None:
    run = harness("run", harness.scenario())
    run.wait_for("stage", name="steady")
    run.process.send_signal(signal.SIGINT)
    run.finish(60)
    assert run.code == 130, run.errors[-2000:]
    assert run.events("run.closed")[0]["clean"]
    assert not run.left_behind()


def test_ctrl_c_twice_still_cleans_up(harness: Harness) -> None:
    run = harness("run", harness.scenario())
    run.wait_for("stage", name="deploy")
    time.sleep(3)
    run.process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    run.process.send_signal(signal.SIGINT)
    run.finish(60)
    assert run.code == 130, run.errors[-2000:]
    assert not run.left_behind()


def test_kill_9_in_mid_fault_lifts_it_and_leaves_nothing(harness: Harness) -> None:
    kill = {"file": str(ROOT / "experiments/kill-weaviate.yaml"), "gap": "1s", "within": "90s"}
    run = harness("run", harness.scenario(lambda spec: spec.update(steady="3s", experiments=[kill])))
    run.wait_for("fault.landed")
    os.kill(run.process.pid, signal.SIGKILL)
    run.finish(10)
    end = time.monotonic() + 30
    while not run.events("recovered") and time.monotonic() < end:
        time.sleep(0.1)
    (recovered,) = run.events("recovered")
    assert recovered["by"] == "watchdog"
    assert recovered["clean"]
    assert (recovered["mono_ns"] - run.events("fault.landed")[0]["mono_ns"]) / 1e9 < 15
    time.sleep(1)  # the watchdog itself ends
    assert not run.left_behind()
    again = harness("recover", str(run.folder)).finish(30)
    assert again.code == 0, again.errors


def test_a_platform_that_was_up_before_stays_up_and_becomes_ready(harness: Harness) -> None:
    up = harness("up", "--json").finish(120)
    assert up.code == 0, up.errors
    state = json.loads(up.output)["state"]
    try:
        kill = {"file": str(ROOT / "experiments/kill-weaviate.yaml"), "gap": "1s", "within": "90s"}
        scenario = harness.scenario(lambda spec: spec.update(steady="3s", experiments=[kill]))
        run = harness("run", scenario, "--state", state)
        run.wait_for("fault.landed")
        os.kill(run.process.pid, signal.SIGKILL)
        end = time.monotonic() + 60
        while not run.events("recovered") and time.monotonic() < end:
            time.sleep(0.1)
        assert run.events("recovered")[0]["clean"]
        rows = json.loads(harness("status", "--json").finish(30).output)
        (row,) = [row for row in rows if row["state"] == state]
        assert row["not_ready"] == []
    finally:
        down = harness("down", state).finish(60)
    assert down.code == 0, down.errors
