"""Every fault on Kubernetes, judged: the harness runs a shipped experiment of each kind against a platform that is up
already, the reference platform in small, and says whether declared objectives were kept. Then the second look.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from harness.chaos.preview import load_experiment
from tests.e2e.bed import judged
from tests.e2e.bed.judged import EXPERIMENTS, NAMESPACE, scenario
from tests.e2e.bed.test_fault_matrix import KINDS, kubectl, note, second_look
from tests.e2e.kind.bed import BIN
from tests.e2e.kind.controls import reason, ways_in
from tests.e2e.local.support import Harness, Run

pytestmark = pytest.mark.timeout(900)  # the first test waits for the run of all of them


class Small(NamedTuple):
    """The platform that is up, and a harness that knows of it."""

    folder: Path
    harness: Harness
    state: str

    def run(self, name: str, experiments: dict[str, dict[str, Any]], within: float, **changes: str) -> Run:
        file = scenario(self.folder, name, experiments, self.state, **changes)
        run = self.harness("run", file).finish(within)
        assert list(run.reports.glob("*/judgement.json")), f"{run.code}: {run.errors[-3000:]}"
        return run


@pytest.fixture(scope="module")
def small(bed: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Small]:
    folder = tmp_path_factory.mktemp("judged")
    with pytest.MonkeyPatch.context() as patch, ways_in(judged.EDGE, judged.PROMETHEUS):
        patch.setenv("KUBECONFIG", bed["kubeconfig"])
        patch.setenv("HARNESS_PATH", os.pathsep.join([str(BIN), os.environ.get("HARNESS_PATH", "")]))
        patch.setenv("HARNESS_STATE", str(folder / "state"))
        harness = Harness(folder)
        up = harness("up", scenario(folder, "up")).finish(180)
        try:
            assert up.code == 0, up.errors[-3000:]
            (state,) = (folder / "state").glob("matrix-*")
            yield Small(folder, harness, f"kubernetes:{state}")
        finally:
            for run in harness.runs:
                if run.process.poll() is None:
                    run.finish(1)
            down = harness("down").finish(180)
    assert down.code == 0, down.errors[-3000:]
    assert kubectl(bed, "get", "namespace", NAMESPACE, "-o", "name", "--ignore-not-found") == ""
    assert second_look(bed) == []


@pytest.fixture(scope="module")
def run(small: Small) -> Run:
    """Of one experiment of every kind."""
    return small.run("every-fault", {each: {} for each in EXPERIMENTS}, 800)


def told(run: Run) -> str:
    return f"{run.output}\n{run.errors[-3000:]}\n{json.dumps(run.reasons(), indent=1)}"


def verdicts(run: Run, *slos: str) -> dict[str, str]:
    rows = run.judgement()["objectives"]
    return {row["slo"]: row["verdict"] for row in rows if not slos or row["slo"] in slos}


def kinds(experiment: str) -> set[str]:
    return {fault.kind for fault in load_experiment(judged.file_of(experiment), environ={}).faults}


def test_there_is_one_of_every_kind() -> None:
    made = [kind for each in EXPERIMENTS for kind in kinds(each)]
    assert sorted(made) == sorted(KINDS)


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_its_objectives_are_kept(experiment: str, run: Run) -> None:
    """Full service within a minute; meanwhile what users are promised; landed, and gone."""
    (kind,) = kinds(experiment)
    name = f"{experiment}#1"
    (recovery,) = [each for each in run.judgement()["recoveries"] if each["experiment"] == name]
    rows = {row["slo"]: row for row in run.judgement()["objectives"] if row["slo"].endswith(f"-{experiment}")}
    note(
        kind=kind,
        experiment=experiment,
        visible=recovery["visible"],
        full_service_s=recovery["full_service_s"],
        served=rows[f"served-{experiment}"]["measured"],
        requests=rows[f"served-{experiment}"]["events"],
    )
    kept = {row["slo"]: row["verdict"] for row in rows.values()}
    assert kept == {f"recovery-{experiment}": "PASS", f"served-{experiment}": "PASS"}, told(run)
    seen = [event for event in run.events() if event.get("experiment") == name]
    for event, field in (("fault.landed", "landed"), ("fault.gone", "gone")):
        assert [each for each in seen if each["event"] == event and each[field]], told(run)


def test_the_run_passes_and_is_sealed(run: Run, small: Small, bed: dict[str, Any]) -> None:
    """The verdict is whoever reads the record's too, and nothing is left on a platform that the run did not own."""
    assert run.code == 0, told(run)
    assert run.judgement()["verdict"] == "PASS"
    assert verdicts(run, "steady") == {"steady": "PASS"}
    verified = small.harness("verify", str(run.folder)).finish(60)
    assert (verified.code, "whole" in verified.output) == (0, True), verified.output
    again = small.harness("judge", str(run.folder), "--json").finish(120)
    assert again.code == 0, again.errors[-3000:]
    assert json.loads(again.output)["compared"]["same"], again.output
    assert second_look(bed) == []
    assert "deployed" not in {event["event"] for event in run.events()}
    assert kubectl(bed, "get", "deployment/edge", "-n", NAMESPACE, "-o", "name").strip() == "deployment.apps/edge"


def test_a_recovery_that_takes_too_long_fails(small: Small, bed: dict[str, Any]) -> None:
    run = small.run("too-tight", {"scale-to-zero": {}}, 240, slos="controls.yaml", steady="6s")
    assert run.code == 10, told(run)
    assert run.judgement()["verdict"] == "FAIL"
    assert verdicts(run) == {"steady": "PASS", "too-tight": "FAIL"}
    assert second_look(bed) == []


def test_a_fault_that_does_not_land_decides_nothing(small: Small, bed: dict[str, Any]) -> None:
    """The container's limit is half a core: four can never be seen in use."""
    never = {"cores": 4.0, "landed_within": "5s"}
    run = small.run("not-landed", {"cpu-pressure": never}, 240, slos="controls.yaml", steady="6s")
    assert run.code == 11, told(run)
    assert run.judgement()["verdict"] == "INCONCLUSIVE"
    assert "nobody saw the fault cpu-pressure#1/cpu_pressure land" in reason(run), told(run)
    assert verdicts(run) == {"steady": "PASS", "not-landed": "INCONCLUSIVE"}, told(run)
    assert not [event for event in run.events("fault.landed") if event["landed"]]
    assert [event for event in run.events("fault.gone") if event["gone"]], "what was made is undone"
    assert second_look(bed) == []
