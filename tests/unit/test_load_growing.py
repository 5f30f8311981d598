"""What a run sees of a stream that grows is what the stream holds, however its rows came and however often it looks."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.journal.layout import RunFolder
from harness.load import engine, recorder
from harness.load.order import stream
from harness.model.records import REQUEST_COLUMNS


def row(number: int) -> list[object]:
    text = f"journey {number % 7}"
    return [number, text, number, number, number, 0, 200, 1, 1, "1.0.0", "sjc", f"api-{number % 3}"]


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    made = RunFolder(tmp_path / "run")
    made.work.mkdir(parents=True)
    return made


def test_before_the_first_row_it_is_empty_with_the_columns_of_the_contract(folder: RunFolder) -> None:
    assert engine.growing(folder, "requests")().schema.equals(recorder.schema(REQUEST_COLUMNS))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=30)
@given(portions=st.lists(st.integers(0, 5), max_size=12), chunks=st.integers(1, 4))
def test_each_look_gives_all_rows_once(folder: RunFolder, portions: list[int], chunks: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "CHUNKS", chunks)
        writer = recorder.Stream(stream(folder.work, "requests"), REQUEST_COLUMNS)
        look = engine.growing(folder, "requests")
        written = 0
        for portion in portions:
            for _ in range(portion):
                writer.append(row(written))
                written += 1
            writer.flush()
            seen = look()
            assert seen.to_pylist() == engine.rows(folder, "requests").to_pylist()
            assert seen.num_rows == written
            assert seen.column(0).num_chunks <= chunks
        writer.close()


def test_no_row_is_read_twice(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    tail = recorder.tail
    monkeypatch.setattr(recorder, "tail", lambda path, start: asked.append(start) or tail(path, start))
    writer = recorder.Stream(stream(folder.work, "requests"), REQUEST_COLUMNS)
    look = engine.growing(folder, "requests")
    for number in range(3):
        writer.append(row(number))
        writer.flush()
        look()
    writer.close()
    assert asked == [0, 1, 2]
