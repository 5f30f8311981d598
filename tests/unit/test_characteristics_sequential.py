"""The table in the docs is what was simulated; peers' rules do what their documentation says."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.characteristics import peers
from benchmarks.characteristics.sequential import Cell, judged, table
from harness.judge.sequential.canary import Block

ROOT = Path(__file__).parents[2]
FOUND = [Cell(**one) for one in json.loads((ROOT / "benchmarks/characteristics/sequential.json").read_text())]


def test_the_docs_show_what_was_simulated():
    page = (ROOT / "docs/concepts/sequential.md").read_text()
    assert f"sequential.json -->\n\n{table(FOUND)}\n<!-- end -->" in page


def test_every_promise_held():
    assert [cell for cell in FOUND if cell.holds is False] == []
    assert all(cell.runs >= (100_000 if cell.level == 0.001 else 10_000) for cell in FOUND)


@pytest.mark.parametrize("share", ["10%", "50%"])
def test_a_bad_canary_is_found_within_1_2_times_the_events_of_the_test_that_knows_both_rates(share: str):
    known, ours = (
        next(cell.median for cell in FOUND if cell.name.startswith(name) and cell.stream.endswith(f"share {share}"))
        for name in ("drift-valid, both rates known", "independent, α = 0.001")
    )
    assert known and ours and ours <= 1.2 * known


def test_a_cell_fails_only_beyond_its_own_error():
    assert judged("n", "s", "false rollback", 115, 10_000, 0.01).holds
    assert judged("n", "s", "false rollback", 140, 10_000, 0.01).holds is False
    assert judged("n", "s", "false rollback", 9999, 10_000, None).holds is None


def minutes(*bad: float) -> list[Block]:
    """One run; the canary's bad ones among 100 in each minute, the baseline without any."""
    return [Block(*(np.array([float(x)]) for x in (one, 100, 0, 900))) for one in bad]


@pytest.mark.parametrize(
    ("rule", "bad", "at"),
    [
        (peers.argo_rollouts, (6, 6, 0, 6, 6, 0), 500),
        (peers.argo_rollouts, (6, 6, 0, 6, 5, 0), np.inf),
        (peers.flagger, (2, 0, 2, 2, 2, 2), 600),
        (peers.flagger, (1, 1, 1, 1, 1, 1), np.inf),
        (peers.three_in_a_row, (6, 6, 0, 6, 6, 6), 600),
        (peers.three_in_a_row, (6, 6, 0, 6, 6, 0), np.inf),
        (peers.kayenta, (9, 8, 7, 9, 8, 7, 9, 8, 7, 9), 1000),
        (peers.kayenta, (0, 0, 1, 0, 0, 0, 0, 0, 0, 0), np.inf),
    ],
)
def test_peers_rules(rule, bad, at):
    assert rule(minutes(*bad)).tolist() == [at]
