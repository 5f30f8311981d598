"""A run's folder → Evidence. What is missing or cannot be read becomes a problem, never an exception.

A sealed folder (one with manifest.json) is compared with its seal first: a record that was changed proves nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING

from pydantic import ValidationError

from harness.journal import log, manifest
from harness.journal.layout import RunFolder
from harness.model.events import RunOpened
from harness.model.evidence import Evidence, MetricAnswer
from harness.model.load import Constant, Load
from harness.model.records import (
    GENERATOR_COLUMNS,
    LATER_COLUMNS,
    LEDGER_COLUMNS,
    PRIMARY_COLUMNS,
    READBACK_COLUMNS,
    REQUEST_COLUMNS,
    SAMPLE_COLUMNS,
)
from harness.model.scenario import ScenarioSpec, TargetRef

if TYPE_CHECKING:
    import pyarrow as pa

TABLES: dict[str, dict[str, str]] = {
    "requests": REQUEST_COLUMNS,
    "beacon": REQUEST_COLUMNS,
    "generator": GENERATOR_COLUMNS,
    "ledger": LEDGER_COLUMNS,
    "readback": READBACK_COLUMNS,
    "samples": SAMPLE_COLUMNS,
    "primaries": PRIMARY_COLUMNS,
}
SEALED = ("journal.jsonl", "inputs/", "evidence/")


def load_evidence(folder: RunFolder) -> Evidence:
    """Everything the judge looks at, from the folder alone."""
    problems = broken_seal(folder)
    events = log.read(folder.journal)
    opened = next((event for event in events if isinstance(event, RunOpened)), None)
    tables = {name: _table(folder, name, columns, problems) for name, columns in TABLES.items()}
    _give_back()
    return Evidence(
        run_id=opened.run_id if opened else folder.run_id,  # a copy may have another name
        scenario=_scenario(folder, problems),
        events=events,
        metrics=load_answers(folder, problems),
        problems=tuple(problems),
        **tables,
    )


def broken_seal(folder: RunFolder) -> list[str]:
    """How the journal, the inputs and the evidence differ from the folder's manifest.

    Reports may be made again and logs are not judged, so neither is looked at. A folder without a manifest was never
    sealed: it is judged as it stands, by the run itself before it closes it.
    """
    try:
        sealed = manifest.read(folder)
    except manifest.Damaged as damaged:
        return [str(damaged)]
    if sealed is None:
        return []
    differences = manifest.compare(folder, sealed, lambda name: name.startswith(SEALED))
    told = [one.text for one in differences]
    if folder.journal.name not in sealed.files:
        told.append(f"{folder.journal.name} is not in manifest.json")
    return told


def _table(folder: RunFolder, name: str, columns: dict[str, str], problems: list[str]) -> pa.Table | None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = folder.table(name)
    place = f"evidence/{file.name}"
    if not file.exists():
        problems.append(f"{place} is missing")
        return None
    try:
        there = pq.read_schema(file).names
        later = {name: text for name, text in LATER_COLUMNS.items() if name in columns and name not in there}
        wanted = {name: kind for name, kind in columns.items() if name not in later}
        # Not pq.read_table: it imports pyarrow.dataset, and that pandas, which takes longer than to judge a usual run.
        with pq.ParquetFile(file, read_dictionary=_texts(wanted), pre_buffer=False) as parquet:
            table = parquet.read(columns=list(wanted))
        for name, text in later.items():
            table = table.append_column(name, pa.repeat(text, table.num_rows))
        table = table.select(list(columns))
        table = table.cast(pa.schema([(name, _type(kind)) for name, kind in columns.items()]))
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        problems.append(f"{place} cannot be read: {str(error).splitlines()[0][:200]}")
        return None
    empty = [name for name in columns if table.column(name).null_count]
    if empty:
        problems.append(f"{place} cannot be used: empty cells in {', '.join(empty)}")
        return None
    return table


def _give_back() -> None:
    """What reading took and needs no more: for a long run a fifth of the whole."""
    import pyarrow as pa

    pa.default_memory_pool().release_unused()


def _texts(columns: dict[str, str]) -> list[str]:
    return [name for name, kind in columns.items() if kind == "string"]


def _type(kind: str) -> pa.DataType:
    import pyarrow as pa

    return pa.dictionary(pa.int32(), pa.string()) if kind == "string" else pa.type_for_alias(kind)


def _scenario(folder: RunFolder, problems: list[str]) -> ScenarioSpec:
    file = folder.inputs / "scenario.json"
    try:
        return ScenarioSpec.model_validate_json(file.read_text())
    except (OSError, UnicodeDecodeError, ValidationError) as error:
        problems.append(f"inputs/scenario.json cannot be read, so its limits are unknown: {_cause(error)}")
    return ScenarioSpec(
        target=TargetRef(platform="unknown"),
        load=Load(locustfile="unknown", arrivals=Constant(kind="constant", rate=1.0), mix={"unknown": 1.0}),
        slos=("slos",),
    )


def _cause(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return ": ".join(part for part in (".".join(map(str, first["loc"])), first["msg"]) if part)
    return str(getattr(error, "strerror", None) or error)


def save_answers(folder: RunFolder, answers: Iterable[MetricAnswer]) -> None:
    """Writes how Prometheus answered each selector to evidence/metrics.json."""
    text = json.dumps([asdict(answer) for answer in answers], indent=2)
    (folder.evidence / "metrics.json").write_text(text + "\n")


def load_answers(folder: RunFolder, problems: list[str]) -> tuple[MetricAnswer, ...]:
    """What save_answers wrote; a file that is missing or damaged is a problem."""
    file = folder.evidence / "metrics.json"
    try:
        rows = json.loads(file.read_text())
        if not isinstance(rows, list):
            raise TypeError("not a list of answers")
        return tuple(MetricAnswer(**{**row, "warnings": tuple(row["warnings"])}) for row in rows)
    except (OSError, ValueError, TypeError, KeyError) as error:
        problems.append(f"evidence/metrics.json cannot be read: {str(error).splitlines()[0][:200]}")
        return ()
