"""Experiment files are refused before anything starts: each mistake with file, line, cause and fix."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from harness import faults
from harness.chaos.preview import load_experiment, preview
from harness.chaos.runner import ExperimentRun, command
from harness.errors import BadInput
from harness.journal.layout import RunFolder
from harness.kube.ports import Kubernetes
from harness.model.platform import Platform
from harness.ports import Processes
from harness.spec.openslo import load_slos
from harness.spec.platform import load_platform

ROOT = Path(__file__).parents[2]
SHIPPED = sorted((ROOT / "experiments").glob("*.yaml"))
GOOD = (ROOT / "experiments" / "kill-weaviate.yaml").read_text()


def platform(**instances: dict[str, int]) -> Platform:
    services: list[dict[str, Any]] = [
        {"name": name.replace("_", "-"), "command": ["true"], "instances": counts} for name, counts in instances.items()
    ]
    return Platform.model_validate(
        {
            "apiVersion": "harness/v1",
            "kind": "Platform",
            "metadata": {"name": "p"},
            "spec": {
                "regions": ["sjc", "lax"],
                "endpoints": {"edge": "http://e"},
                "services": services,
                "phases": [{"name": "all", "services": [service["name"] for service in services]}],
                "devices": [{"name": "gpu0", "region": "sjc", "path": "/x"}],
            },
        }
    )


PLATFORM = platform(weaviate={"sjc": 1, "lax": 1}, api={"sjc": 2, "lax": 1}, edge={"": 1})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "kill.yaml"


def line_of(text: str, needle: str) -> int:
    return next(number for number, line in enumerate(text.splitlines(), 1) if needle in line)


IN_STEPS = {"fail-back": 4}  # of which each is undone by itself; any other one makes one fault


@pytest.mark.parametrize("shipped", SHIPPED, ids=lambda path: path.stem)
def test_the_shipped_experiments_are_right(shipped: Path) -> None:
    experiment = load_experiment(shipped, environ={})
    assert experiment.title
    assert len(experiment.faults) == IN_STEPS.get(shipped.stem, 1)


def test_there_are_the_three_of_the_contract() -> None:
    assert {path.stem for path in SHIPPED} >= {"kill-weaviate", "gpu-loss", "region-failover"}


@pytest.mark.parametrize(
    ("name", "touched"),
    [
        ("kill-weaviate", 1),
        ("gpu-loss", 1),
        ("region-failover", 5),
        ("bad-image", 2),
        ("network-partition", 2),
        ("node-loss", 5),
        ("gpu-plugin-loss", 1),
        ("connections-exhausted", 1),
        ("llm-timeout", 1),
        ("cpu-pressure", 1),
        ("memory-pressure", 1),
        ("disk-pressure", 1),
        ("crash-loop", 2),
        ("readiness-broken", 2),
        ("scale-to-zero", 1),
        ("pod-delete", 1),
        ("node-drain", 5),
        ("network-latency", 1),
        ("network-loss", 1),
    ],
)
def test_the_shipped_experiments_find_something_on_the_reference_platform(name: str, touched: int) -> None:
    reference = load_platform(ROOT / "deploy" / "platform.yaml").value
    for fault in preview(ROOT / "experiments" / f"{name}.yaml", reference, environ={}):
        assert len(fault.selection) >= touched


def test_every_shipped_fault_has_an_objective() -> None:
    judged = {slo.annotations.experiment for slo in load_slos([ROOT / "slos"])}
    assert [path.stem for path in SHIPPED if path.stem not in judged] == []


def test_every_kind_on_kubernetes_has_an_experiment() -> None:
    made = {fault.kind for path in SHIPPED for fault in load_experiment(path, environ={}).faults}
    assert [kind for kind in faults.kinds() if Kubernetes in faults.load(kind).REQUIRES and kind not in made] == []


def test_what_will_be_touched_is_known_from_the_platform_file(file: Path) -> None:
    file.write_text(GOOD)
    (fault,) = preview(file, PLATFORM, environ={})
    assert (fault.kind, fault.selection, fault.requires) == ("process_kill", ("weaviate-sjc-0",), (Processes,))
    assert fault.parameters == {"service": "weaviate", "region": "sjc"}
    assert fault.line == line_of(GOOD, "- type: action")


def test_the_environment_decides_as_it_will_for_chaos(file: Path) -> None:
    file.write_text(GOOD)
    environ = {"FAULT_SERVICE": "api", "FAULT_REGION": "lax"}
    assert preview(file, PLATFORM, environ=environ)[0].selection == ("api-lax-0",)


def test_a_scenario_sets_what_an_experiment_declares(file: Path) -> None:
    file.write_text(GOOD)
    environ = {"FAULT_SERVICE": "weaviate", "FAULT_REGION": "mars"}
    chosen = {"service": "api", "region": "lax"}
    assert preview(file, PLATFORM, environ=environ, chosen=chosen)[0].selection == ("api-lax-0",)
    with pytest.raises(BadInput, match="has no 'regoin', which a scenario sets") as refused:
        preview(file, PLATFORM, environ=environ, chosen={"regoin": "lax"})
    assert "did you mean 'region'?" in str(refused.value)


def test_chaos_is_told_what_a_scenario_sets_with_its_type(tmp_path: Path) -> None:
    run = ExperimentRun("x#1", tmp_path / "x.yaml", "t", "e", 1, 1, 1.0, {"region": "lax", "count": 2, "share": 0.5})
    words = command(RunFolder(tmp_path), run)
    told = [after for word, after in pairwise(words) if word == "--var"]
    assert told == ["region:str=lax", "count:int=2", "share:float=0.5"]
    assert words[-1] == str(tmp_path / "x.yaml")


@pytest.mark.parametrize(
    ("environ", "told"),
    [
        ({"FAULT_SERVICE": "nobody"}, "selects nothing"),
        ({"FAULT_REGION": "mars"}, "selects nothing"),
        ({"FAULT_SERVICE": "api"}, "would touch 2 (api-sjc-0, api-sjc-1), but the blast radius is 1"),
        ({"FAULT_BLAST_RADIUS": "many"}, "FAULT_BLAST_RADIUS='many' is not of type int"),
        ({"FAULT_BLAST_RADIUS": "0"}, "0 is no number of instances"),
    ],
)
def test_a_selector_that_finds_nothing_or_too_much_is_refused(file: Path, environ: dict[str, str], told: str) -> None:
    file.write_text(GOOD)
    with pytest.raises(BadInput) as refused:
        preview(file, PLATFORM, environ=environ)
    assert told in str(refused.value)
    assert re.match(rf"{re.escape(str(file))}:\d+: ", str(refused.value))


def test_the_scenario_may_allow_less_than_the_experiment(file: Path) -> None:
    file.write_text(GOOD)
    environ = {"FAULT_SERVICE": "api", "FAULT_BLAST_RADIUS": "9"}
    assert len(preview(file, PLATFORM, environ=environ)[0].selection) == 2
    with pytest.raises(BadInput, match="blast radius is 1"):
        preview(file, PLATFORM, blast_radius=1, environ=environ)


@pytest.mark.parametrize(
    ("before", "after", "at", "told"),
    [
        ("title: Weaviate dies", "titel: Weaviate dies", "titel", "unknown key 'titel'"),
        ("title: Weaviate dies\n", "", "", "'title' must be a text"),
        ("method:", "methods:", "methods:", "did you mean 'method'"),
        ("fault: process_kill\n", "fault: proces_kill\n", "proces_kill", "did you mean 'process_kill'"),
        ("{service: ", "{servise: ", "servise", "servise: Extra inputs are not permitted"),
        ('service: "${service}"', "service: 3", "service: 3", "service: Input should be a valid string"),
        ("parameters: {", "parameters: {x: [", "", "fix: "),
        ("blast_radius: ${blast_radius}", "blast: 3", "blast: 3", "inject has no argument 'blast'"),
        (', within: "${landed_within}"', "", "arguments: {fault: process_kill}", "landed needs the argument 'within'"),
        ("func: landed", "func: lands", "func: lands", "did you mean 'landed'"),
        ("func: inject", "func: Any", "func: Any", "no function 'Any'"),
        ("module: harness.chaos.actions", "module: harness.chaos.acts", "chaos.acts", "no module"),
        ('"${service}"', '"${servise}"', "${servise}", "${servise} is not in the configuration"),
        ("tolerance: true", "pauses: {after: 1}", "- type: probe", "needs a tolerance"),
        ("type: action\n", "type: deed\n", "deed", "'deed' is no type of activity"),
        ("name: kill Weaviate", "nam: kill", "nam:", "unknown key 'nam'"),
        ("env_var_type: int", "env_var_type: whole", "whole", "unknown env_var_type"),
        ("FAULT_SERVICE, default: weaviate", "FAULT_SERVICE", "FAULT_SERVICE", "the environment has no FAULT_SERVICE"),
    ],
)
def test_each_mistake_is_told_with_its_line(file: Path, before: str, after: str, at: str, told: str) -> None:
    assert before in GOOD
    text = GOOD.replace(before, after, 1)
    file.write_text(text)
    with pytest.raises(BadInput) as refused:
        preview(file, PLATFORM, environ={})
    mistakes = getattr(refused.value, "mistakes", [refused.value])
    mistake = next(each for each in mistakes if told in str(each))
    assert "fix: " in str(mistake)
    if at:
        assert mistake.line == line_of(text, at)


def without(text: str, first: str, until: str) -> str:
    start = text.index(first)
    end = text.index(until, start) if until else len(text)
    return text[:start] + text[end:]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (without(GOOD, "steady-state-hypothesis:", "method:"), "no steady state is declared"),
        (without(GOOD, "  - type: probe\n    name: Weaviate is dead", "  - type: probe\n    name: users"), "`landed`"),
        (without(GOOD, "  - type: probe\n    name: Weaviate was", "  - type: probe\n    name: users get"), "`gone`"),
        (without(GOOD, "rollbacks:", ""), "`recover` action in rollbacks"),
        (GOOD + GOOD[GOOD.index("rollbacks:") :], "stands here a second time"),
        (GOOD + "---\n" + GOOD, "more than one document"),
        (GOOD.replace("  title: Users get full service\n", "", 1), "'title' must be a text"),
        (without(GOOD, "configuration:", "steady") + "configuration: [1]\n", "write name: value"),
        (without(GOOD, "method:", "rollbacks:") + "method: {}\n", "'method' must be a list"),
        (without(GOOD, "method:", "rollbacks:") + "method: [1]\n", "an activity is a mapping"),
        (GOOD.replace("    name: kill Weaviate\n", "", 1), "an activity needs a name"),
        (GOOD.replace("      func: inject\n", "", 1), "needs module and func"),
        (GOOD.replace("      type: python\n", "      type: perl\n", 1), "of type python, process or http"),
        (GOOD.replace("arguments: {level: 1}", "arguments: [1]", 1), "write name: value"),
        (GOOD.replace("harness.chaos.actions", ".actions", 1), "no module '.actions'"),
        (
            GOOD.replace("func: recover", "func: inject").replace(", within: 60s}", ", parameters: {service: x}}"),
            "in the method only",
        ),
        (
            GOOD.replace('parameters: {service: "${service}", region: "${region}"}', "parameters: 3"),
            "write name: value",
        ),
        (GOOD.replace("over: 1s", "over: 1s, over: 2s"), "a second time"),
        ("", "empty"),
        ("[]", "is not a mapping"),
        ("{", "fix"),
        ("\x00\x01", "binary"),
        ("a: &a [x,x]\nb: &b [*a,*a]\n", "unknown key"),
    ],
    ids=lambda value: None if "\n" in value or "\x00" in value else value,
)
def test_what_is_missing_or_malformed_is_refused(file: Path, text: str, told: str) -> None:
    file.write_text(text)
    with pytest.raises(BadInput) as refused:
        preview(file, PLATFORM, environ={})
    assert told in str(refused.value)


def test_all_mistakes_are_told_at_once(file: Path) -> None:
    file.write_text(GOOD.replace("title: W", "titel: W", 1).replace("func: landed", "func: lands"))
    with pytest.raises(BadInput) as refused:
        load_experiment(file, environ={})
    assert "titel" in str(refused.value)
    assert "lands" in str(refused.value)


def test_a_process_without_time_out_is_refused(file: Path) -> None:
    activity = "  - {type: action, name: sh, provider: {type: process, path: 'true'}}\nrollbacks:"
    file.write_text(GOOD.replace("rollbacks:", activity))
    with pytest.raises(BadInput, match="without time-out can hang"):
        load_experiment(file, environ={})


def test_chaos_toolkit_has_the_last_word(file: Path) -> None:
    activity = "  - {ref: nobody}\nrollbacks:"
    file.write_text(GOOD.replace("rollbacks:", activity))
    with pytest.raises(BadInput, match="Chaos Toolkit refuses it"):
        load_experiment(file, environ={})


def test_two_faults_of_a_kind_need_names(file: Path) -> None:
    start, end = (
        GOOD.index("  - type: action\n    name: kill"),
        GOOD.index("  - type: probe\n    name: Weaviate is dead"),
    )
    file.write_text(GOOD[:end] + GOOD[start:end] + GOOD[end:])
    with pytest.raises(BadInput, match="stands here twice"):
        load_experiment(file, environ={})
