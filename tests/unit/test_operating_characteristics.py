"""The committed simulation, the page made from it, and a small one that is run here."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.characteristics import fixed, table
from benchmarks.characteristics.cells import Cell
from benchmarks.characteristics.streams import STREAMS, draw
from benchmarks.operating_characteristics import RUNS


def test_the_page_shows_the_committed_results() -> None:
    page = table.PAGE.read_text()
    found = table.tables(table.read("fixed")) | {"lengths": table.lengths()}
    assert set(found) == {"fixed", "needed", "lengths"}
    assert page == table.put(page, found), "python benchmarks/operating_characteristics.py --tables"


def test_every_promise_held_in_enough_runs() -> None:
    cells = [cell for cell in table.read("fixed") if cell.level is not None]
    assert not [cell for cell in cells if cell.fails]
    assert all(cell.runs >= (10 * RUNS if cell.level == fixed.STRICT_ERROR else RUNS) for cell in cells)
    rows = {(run.name, stream.name) for run in fixed.RUNS for stream in STREAMS}
    assert rows <= {tuple(cell.row.split(", ", 1)) for cell in cells}


def test_beyond_the_declared_length_the_table_shows_where_it_breaks() -> None:
    """Negative control: the same simulation finds a judge that is told a wrong length."""
    broken = [cell for cell in table.read("fixed") if cell.above]
    assert any("bursts of 5 L" in cell.row for cell in broken)
    assert any("bursts of 5 events" in cell.row for cell in broken)


def test_a_small_simulation_is_decided_by_its_seed_and_keeps_its_promises() -> None:
    cells = [*fixed.cells("exact", 60, 1), *fixed.cells("0.95", 20, 1)]
    assert cells == [*fixed.cells("exact", 60, 1), *fixed.cells("0.95", 20, 1)]
    assert not [cell for cell in cells if cell.fails]
    assert cells != [*fixed.cells("exact", 60, 2), *fixed.cells("0.95", 20, 2)]


@pytest.mark.parametrize("stream", STREAMS, ids=lambda stream: stream.name)
def test_streams_have_the_share_of_bad_events_that_is_asked_for(stream) -> None:
    good = bad = 0
    for kept, lost in draw(stream, 0.05, 200, 8.0, 2, 400, np.random.default_rng(1)):
        assert kept.shape == lost.shape and kept.shape[1] == 400
        good, bad = good + int(kept.sum()), bad + int(lost.sum())
    assert (good + bad) / 400 == pytest.approx(200 * 8, rel=0.01)
    assert bad / (good + bad) == pytest.approx(0.05, rel=0.06)


def test_a_cell_fails_only_beyond_the_error_of_the_simulation() -> None:
    assert not Cell("t", "r", "c", 540, 10_000, 0.05).fails
    assert Cell("t", "r", "c", 560, 10_000, 0.05).fails
    assert not Cell("t", "r", "c", 5_000, 10_000, 0.05, declared=False).fails
    assert not Cell("t", "r", "c", 5_000, 10_000).fails, "power promises nothing"
