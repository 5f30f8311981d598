"""What every kind of fault must keep. A new file in harness/faults is picked up by itself, and so is its how-to.

The how-to in a kind's docstring is not only text: its arguments are made, seen, undone and seen gone on real processes
(tests/fixtures/tiny: the reference platform's names, played by one tiny program).
"""

from __future__ import annotations

import dataclasses
import inspect
import textwrap
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from harness import faults
from harness.chaos.lifecycle import check_capabilities, check_parameters
from harness.errors import BadInput
from harness.faults.__main__ import pages
from harness.kube.ports import Kubernetes
from harness.model.platform import Platform
from harness.ports import FaultInjector, Observation, Processes, Target
from harness.spec.platform import load_platform
from harness.spec.yaml import read_documents
from harness.targets.local import LocalTarget, attach, local
from harness.testing.experiments import FAKE
from harness.testing.folder_target import FolderTarget

TINY = Path(__file__).parents[1] / "fixtures" / "tiny" / "platform.yaml"
REFERENCE = Path(__file__).parents[2] / "deploy" / "platform.yaml"
KINDS = faults.kinds()
ON_CLUSTERS = [
    kind for kind in KINDS if Kubernetes in faults.load(kind).REQUIRES
]  # test_kubernetes_faults.py makes them
TOLD = ("switchover", "traffic_shift")  # gone once it is as told, whatever that is: undone when it is not as injected
LOCAL = [kind for kind in KINDS if kind not in ON_CLUSTERS]


@dataclass(frozen=True)
class Case:
    """A kind, with parameters for a target on which it can be made."""

    kind: str
    injector: FaultInjector
    parameters: Any
    platform: Platform
    target: Target


def how_to(kind: str, tmp_path: Path) -> dict[str, Any]:
    """`arguments` of the example in the kind's docstring."""
    text = inspect.getdoc(faults.load(kind)) or ""
    lines = text.splitlines()
    start = next((number for number, line in enumerate(lines) if line.strip() == "provider:"), None)
    assert start is not None, f"{kind}: the docstring shows no provider to copy"
    block = []
    for line in lines[start:]:
        if line and not line.startswith("    "):
            break
        block.append(line)
    file = tmp_path / "how-to.yaml"
    file.write_text(textwrap.dedent("\n".join(block)))
    arguments = read_documents(file)[0].data["provider"]["arguments"]
    assert arguments["fault"] == kind
    return dict(arguments)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalTarget]:
    target = local(load_platform(TINY), tmp_path_factory.mktemp("state"))
    try:
        target.up("", lambda _: None)
        yield target
    finally:
        assert target.down().clean


@pytest.fixture(params=[*LOCAL, FAKE])
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Case:
    kind, platform = request.param, load_platform(TINY).value
    injector = faults.load(kind)
    if kind == FAKE:
        folder = tmp_path / "platform"
        folder.mkdir()
        (folder / "edge-0").touch()
        return Case(kind, injector, injector.Parameters(service="edge"), platform, FolderTarget(folder))
    parameters = check_parameters(injector, kind, how_to(kind, tmp_path)["parameters"])
    return Case(kind, injector, parameters, platform, request.getfixturevalue("tiny"))


def wait_for(look: Callable[[], Observation], seconds: float = 20) -> Observation:
    end = time.monotonic() + seconds
    while not (seen := look()).seen and time.monotonic() < end:
        time.sleep(0.05)
    return seen


@pytest.mark.parametrize("kind", [*KINDS, FAKE])
def test_a_kind_has_all_parts(kind: str) -> None:
    injector = faults.load(kind)
    assert issubclass(injector.Parameters, BaseModel)
    assert injector.Parameters.model_config["frozen"]
    assert injector.Parameters.model_config["extra"] == "forbid"
    assert injector.REQUIRES
    for name in ("predict", "select", "inject", "landed", "gone", "recover"):
        assert len(inspect.signature(getattr(injector, name)).parameters) == len(
            list(inspect.signature(getattr(FaultInjector, name)).parameters)[1:]
        ), f"{kind}.{name}"


@pytest.mark.parametrize("kind", KINDS)
def test_the_how_to_can_be_copied(kind: str, tmp_path: Path) -> None:
    arguments = how_to(kind, tmp_path)
    injector = faults.load(kind)
    parameters = check_parameters(injector, kind, arguments["parameters"])
    platform = load_platform(REFERENCE if kind in ON_CLUSTERS else TINY)
    names = injector.predict(platform.value.spec, parameters).names
    assert 1 <= len(names) <= arguments["blast_radius"]


@pytest.mark.parametrize("kind", KINDS)
def test_wrong_parameters_are_refused(kind: str, tmp_path: Path) -> None:
    parameters = how_to(kind, tmp_path)["parameters"]
    with pytest.raises(BadInput, match="colour"):
        check_parameters(faults.load(kind), kind, {**parameters, "colour": "red"})
    with pytest.raises(BadInput, match="parameters:"):
        check_parameters(faults.load(kind), kind, {})


@pytest.mark.parametrize("kind", KINDS)
def test_a_target_without_the_capability_is_refused(kind: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="needs the capability"):
        check_capabilities(faults.load(kind), kind, FolderTarget(tmp_path))


def test_selects_what_was_predicted(case: Case) -> None:
    predicted = case.injector.predict(case.platform.spec, case.parameters).names
    assert set(case.injector.select(case.target, case.parameters).names) == set(predicted)


def test_is_made_seen_undone_and_seen_gone(case: Case) -> None:
    injector, target, parameters = case.injector, case.target, case.parameters
    assert target.ready() == []
    selection = injector.select(target, parameters)
    before = injector.landed(target, selection, parameters)
    assert not before.seen, f"nothing was made yet: {before}"
    injector.inject(target, selection, parameters)
    try:
        seen = wait_for(lambda: injector.landed(target, selection, parameters))
        assert seen.seen, seen
        if not platform_heals(case):
            assert not injector.gone(target, selection, parameters).seen
    finally:
        injector.recover(target, selection, parameters)
    gone = wait_for(lambda: injector.gone(target, selection, parameters))
    assert gone.seen, gone
    assert target.ready() == []
    assert case.kind not in TOLD or not injector.landed(target, selection, parameters).seen
    injector.recover(target, selection, parameters)
    assert injector.gone(target, selection, parameters).seen, "undoing twice harms nothing"
    assert seen.observer
    assert gone.observer


def test_is_undone_by_a_cold_process(case: Case) -> None:
    """Nothing but selection and parameters: another handle on the target stands for another process."""
    injector, parameters = case.injector, case.parameters
    selection = injector.select(case.target, parameters)
    injector.inject(case.target, selection, parameters)
    cold = attach(case.target.reference) if isinstance(case.target, LocalTarget) else case.target
    injector.recover(cold, selection, parameters)
    assert wait_for(lambda: injector.gone(cold, selection, parameters)).seen
    assert cold.ready() == []
    assert case.kind not in TOLD or not injector.landed(cold, selection, parameters).seen


def platform_heals(case: Case) -> bool:
    """Whether the platform may have mended it by itself by now (it restarts what was killed)."""
    return case.kind in ("process_kill", *TOLD)


def test_a_region_stays_dead_until_it_is_undone(tiny: LocalTarget) -> None:
    kind = faults.load("region_loss")
    parameters = kind.Parameters(region="sjc")
    selection = kind.select(tiny, parameters)
    assert len(selection.names) == 4
    kind.inject(tiny, selection, parameters)
    try:
        time.sleep(1.0)  # longer than the restart policy waits
        assert kind.landed(tiny, selection, parameters).seen
        assert set(tiny.ready()) == set(selection.names), "the other region goes on"
    finally:
        kind.recover(tiny, selection, parameters)
    assert wait_for(lambda: kind.gone(tiny, selection, parameters)).seen


def test_a_kill_that_killed_nothing_is_not_seen_to_land(tiny: LocalTarget) -> None:
    kind = faults.load("process_kill")
    parameters = kind.Parameters(service="unified-api", region="sjc", count=1)
    selection = kind.select(tiny, parameters)
    assert selection.names == ("unified-api-sjc-0",)
    seen = kind.landed(tiny, selection, parameters)
    assert not seen.seen
    assert "still runs" in seen.detail


@pytest.mark.parametrize("kind", ["process_kill", "region_loss"])
def test_a_kill_that_never_came_is_gone_where_nobody_wrote_down_that_it_did(
    kind: str, tiny: LocalTarget, tmp_path: Path
) -> None:
    injector = faults.load(kind)
    parameters = check_parameters(injector, kind, how_to(kind, tmp_path)["parameters"])
    selection = injector.select(tiny, parameters)
    unmade = dataclasses.replace(selection, made=False)
    injector.recover(tiny, unmade, parameters)
    assert injector.gone(tiny, unmade, parameters).seen
    assert "still process" in injector.gone(tiny, selection, parameters).detail
    injector.inject(tiny, unmade, parameters)
    if kind == "region_loss":
        assert "no process" in injector.gone(tiny, unmade, parameters).detail
    injector.recover(tiny, unmade, parameters)
    assert wait_for(lambda: injector.gone(tiny, unmade, parameters)).seen


def test_a_container_of_a_process_is_refused(tiny: LocalTarget) -> None:
    kind = faults.load("process_kill")
    with pytest.raises(BadInput, match="container: an instance of this platform is a process"):
        kind.select(tiny, kind.Parameters(service="unified-api", container="proxy"))


def test_a_platform_that_does_not_restart_is_not_seen_healed(tiny: LocalTarget) -> None:
    assert isinstance(tiny, Processes)
    kind = faults.load("process_kill")
    parameters = kind.Parameters(service="weaviate")
    selection = kind.select(tiny, parameters)
    tiny.kill_and_hold(tiny.instances("weaviate")[0])
    try:
        assert kind.landed(tiny, selection, parameters).seen
        time.sleep(0.8)
        assert "no process" in kind.gone(tiny, selection, parameters).detail
    finally:
        kind.recover(tiny, selection, parameters)
    assert wait_for(lambda: kind.gone(tiny, selection, parameters)).seen


ATLAS = {"service": "llm-provider-atlas", "request": {"model": "m", "question": "?"}, "within": "500ms"}


@pytest.mark.parametrize("behaviour", ["throttled", "failing", "timeout"])
def test_a_provider_fails_as_it_was_told_to_until_its_deadline(tiny: LocalTarget, behaviour: str) -> None:
    """Nobody calls `recover`: it goes back by itself."""
    kind = faults.load("provider_failure")
    parameters = kind.Parameters.model_validate({**ATLAS, "behaviour": behaviour})
    selection = dataclasses.replace(kind.select(tiny, parameters), deadline_wall_ns=time.time_ns() + 2 * 10**9)
    kind.inject(tiny, selection, parameters)
    began = time.monotonic()
    assert kind.landed(tiny, selection, parameters).seen
    assert wait_for(lambda: kind.gone(tiny, selection, parameters)).seen
    assert 1.4 < time.monotonic() - began < 8


def test_a_provider_that_fails_otherwise_is_not_what_was_meant(tiny: LocalTarget) -> None:
    kind = faults.load("provider_failure")
    told, meant = (kind.Parameters.model_validate({**ATLAS, "behaviour": each}) for each in ("failing", "throttled"))
    selection = kind.select(tiny, told)
    kind.inject(tiny, selection, told)
    try:
        seen = kind.landed(tiny, selection, meant)
        assert (seen.seen, "a caller sees: failing" in seen.detail) == (False, True)
        with pytest.raises(BadInput, match="is failing already"):
            kind.select(tiny, meant)
    finally:
        kind.recover(tiny, selection, told)


def test_a_service_that_is_dead_is_no_time_out(tiny: LocalTarget) -> None:
    kind = faults.load("provider_failure")
    parameters = kind.Parameters.model_validate({**ATLAS, "behaviour": "timeout"})
    selection = kind.select(tiny, parameters)
    tiny.kill_and_hold(tiny.instances("llm-provider-atlas")[0])
    try:
        seen = kind.landed(tiny, selection, parameters)
        assert (seen.seen, "does not answer" in seen.detail) == (False, True)
    finally:
        tiny.start(tiny.instances("llm-provider-atlas")[0])
    assert wait_for(lambda: kind.gone(tiny, selection, parameters)).seen


def test_a_region_that_is_primary_already_is_refused(tiny: LocalTarget) -> None:
    kind = faults.load("switchover")
    with pytest.raises(BadInput, match="sjc is primary already"):
        kind.select(tiny, kind.Parameters(service="failover-agent", to="sjc", serves="unified-api"))


def test_a_change_of_primary_is_over_when_the_new_region_serves(tiny: LocalTarget) -> None:
    kind = faults.load("switchover")
    parameters = kind.Parameters(service="failover-agent", to="lax", serves="unified-api", port="http")
    selection = kind.select(tiny, parameters)
    (one,) = tiny.instances("unified-api", "lax")
    tiny.kill_and_hold(one)
    try:
        kind.inject(tiny, selection, parameters)
        assert kind.landed(tiny, selection, parameters).seen
        seen = kind.gone(tiny, selection, parameters)
        assert (seen.seen, "unified-api-lax-0 does not answer" in seen.detail) == (False, True)
    finally:
        tiny.start(one)
        kind.recover(tiny, selection, parameters)
    assert wait_for(lambda: kind.gone(tiny, selection, parameters)).seen
    assert not kind.landed(tiny, selection, parameters).seen, "sjc is primary again"


def test_an_unknown_kind_is_told_with_the_nearest() -> None:
    with pytest.raises(BadInput, match="process_kill"):
        faults.load("proces_kill")
    with pytest.raises(BadInput, match="no fault"):
        faults.load("nobody.wrote.this")


@pytest.mark.parametrize("name", sorted(pages()))
def test_the_reference_is_up_to_date(name: str) -> None:
    page = Path(__file__).parents[2] / "docs" / "reference" / name
    assert page.read_text() == pages()[name], "run: python -m harness.faults docs/reference"
