from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.kind import controls
from tests.e2e.kind.bed import BIN, KUBECONFIG, why_not
from tests.e2e.local.support import Harness

OWN_CLUSTERS = ("test_kind.py", "test_kind_provider.py", "test_two_kinds.py")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    mine = [item for item in items if Path(__file__).parent in item.path.parents]
    if bed := os.environ.get("TESTBED_REQUIRED"):  # docker or bare: only what is tested there, and nothing skipped
        others = [item for item in mine if (item.path.name in OWN_CLUSTERS) != (bed == "docker")]
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if item not in others]
        return
    reason = why_not() if mine else ""
    for item in mine:
        item.add_marker(pytest.mark.e2e)
        if reason and item.path.name not in OWN_CLUSTERS:
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture
def controls_leave_nothing() -> Iterator[None]:
    """The namespace of `controls.py` is empty before and after, and its node ports are reached meanwhile."""
    assert controls.left() == []
    with controls.ways_in():
        yield
    assert controls.left() == []


@pytest.fixture
def harness(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Harness]:
    monkeypatch.setenv("KUBECONFIG", str(KUBECONFIG))
    monkeypatch.setenv("HARNESS_PATH", os.pathsep.join([str(BIN), os.environ.get("HARNESS_PATH", "")]))
    monkeypatch.setenv("HARNESS_STATE", str(tmp_path / "state"))
    called = Harness(tmp_path)
    yield called
    for run in called.runs:
        if run.process.poll() is None:
            run.process.send_signal(signal.SIGINT)
            run.finish(240)
