from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.local.support import Harness


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.e2e)


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[Harness]:
    called = Harness(tmp_path)
    yield called
    for run in called.runs:
        if run.process.poll() is None:
            run.process.send_signal(signal.SIGINT)
            run.finish(60)
