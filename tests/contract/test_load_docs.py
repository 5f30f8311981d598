"""The guide's example runs as it stands, and the reference names everything that is recorded."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from harness.load.recorder import read
from harness.model.records import GENERATOR_COLUMNS, LEDGER_COLUMNS, REQUEST_COLUMNS, Content, Outcome
from harness.testing.fake_edge import serving

DOCS = Path(__file__).parents[2] / "docs"


def test_the_example_of_the_guide_runs(tmp_path):
    [code] = re.findall(r"```python\n(.*?)```", (DOCS / "guides" / "journeys.md").read_text(), re.DOTALL)
    (tmp_path / "sums.py").write_text(code)
    argv = [sys.executable, "-m", "locust", "-f", "sums.py", "--headless", "-u", "1", "-r", "1", "-t", "2s", "--json"]
    with serving() as (url, _):
        env = os.environ | {"LOAD_RECORD": str(tmp_path), "LOAD_RATE": "50"}
        done = subprocess.run([*argv, "--host", url], capture_output=True, text=True, timeout=60, cwd=tmp_path, env=env)
    assert done.returncode == 0, done.stderr
    assert [entry["name"] for entry in json.loads(done.stdout)] == ["sum"]
    assert set(read(tmp_path / "requests.rows").table["content"].to_pylist()) == {Content.RIGHT}


def test_the_reference_names_every_column_and_outcome():
    text = (DOCS / "reference" / "request-record.md").read_text()
    columns = {*REQUEST_COLUMNS, *GENERATOR_COLUMNS, *LEDGER_COLUMNS}
    assert [name for name in columns if f"`{name}`" not in text] == []
    assert [o.name for o in Outcome if f"| {o.value} | {o.name} |" not in text] == []
