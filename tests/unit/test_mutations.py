"""A few of the benchmark's mutations; all 100,000 are `python benchmarks/mutations.py`."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))

import mutations  # noqa: E402


def test_no_spoiled_file_makes_a_traceback_and_every_refusal_is_whole():
    tally = mutations.run(300, seed=20261125)
    assert not tally.wrong, "\n".join(tally.wrong)
    assert sum(tally.by_edit.values()) == 300
    assert "all" in mutations.table(tally)


def test_the_same_seed_makes_the_same_mutations():
    from random import Random

    text = (ROOT / "slos" / "gpu.yaml").read_text()
    assert mutations.mutated(text, Random("1:7")) == mutations.mutated(text, Random("1:7"))


def test_a_refusal_without_a_line_is_found(tmp_path, monkeypatch):
    from harness.errors import BadInput

    def refuse(_paths):
        raise BadInput("something is wrong", file=tmp_path / "a.yaml")

    monkeypatch.setattr(mutations, "load_slos", refuse)
    (tmp_path / "a.yaml").write_text("kind: Service\napiVersion: openslo/v1\nmetadata: {name: a}\n")
    with pytest.raises(AssertionError, match="no line"):
        mutations.check(tmp_path / "a.yaml", scenario=False)
