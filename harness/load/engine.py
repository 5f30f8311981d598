"""The load and the beacon as seen by a run: child processes that follow an order and leave streams behind."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import BadInput
from harness.journal.layout import RunFolder
from harness.load import recorder
from harness.load.child import Child
from harness.load.order import STREAMS, Order, status_file, stream
from harness.model.base import format_duration
from harness.model.load import Beacon, Load
from harness.model.records import GENERATOR_COLUMNS, LEDGER_COLUMNS, REQUEST_COLUMNS

if TYPE_CHECKING:
    import pyarrow as pa

COLUMNS = dict(zip(STREAMS, (REQUEST_COLUMNS, GENERATOR_COLUMNS, LEDGER_COLUMNS, REQUEST_COLUMNS), strict=True))
CHUNKS = 500  # of a table that grows; more make each use of it slow
TRACER = ("COVERAGE_",)  # a coverage tracer would make every start late


def locust_engine(
    folder: RunFolder,
    load: Load,
    url: str,
    *,
    seed: int,
    duration_s: float | None = None,
    locustfile: Path | None = None,
) -> Child:
    """The load as a Locust child, not yet started. Without a duration it goes on until `stop`.

    `locustfile` overrides the one of the load, which is taken as a path from the current directory.
    """
    file = (locustfile or Path(load.locustfile)).resolve()
    if not file.is_file():
        raise BadInput("no such locustfile", file=file, key="load.locustfile")
    folder.work.mkdir(parents=True, exist_ok=True)
    order = Order(
        run_id=folder.run_id, url=url, seed=seed, duration_s=duration_s, load=load, record=str(folder.work.resolve())
    )
    order_file = folder.work.resolve() / "load.json"
    order_file.write_text(order.model_dump_json(indent=1))
    argv = [sys.executable, "-m", "locust", "-f", str(file), "--headless", "-u", "1", "-r", "1", "--host", url]
    argv += ["--exit-code-on-error", "0", "--only-summary"]
    # Settings of the user's own Locust must not change a run: no LOCUST_… variables, no ./locust.conf.
    return Child(
        "load",
        argv,
        folder,
        env={"HARNESS_LOAD": str(order_file)},
        without=("LOCUST_", "LOAD_", *TRACER),
        cwd=folder.work.resolve(),
        log=folder.logs / "locust.log",
        status=status_file(folder.work, "load"),
        drain_s=load.drain,
    )


def beacon_engine(folder: RunFolder, beacon: Beacon, url: str) -> Child:
    """The beacon as a child, not yet started."""
    folder.work.mkdir(parents=True, exist_ok=True)
    argv = [sys.executable, "-m", "harness.load.beacon", "--url", url.rstrip("/") + beacon.path]
    argv += ["--every", format_duration(beacon.every), "--timeout", format_duration(beacon.timeout)]
    argv += ["--record", str(folder.work.resolve())]
    return Child(
        "beacon",
        argv,
        folder,
        env={},
        without=TRACER,
        cwd=folder.work,
        log=folder.logs / "beacon.log",
        status=status_file(folder.work, "beacon"),
        drain_s=beacon.timeout,
    )


def rows(folder: RunFolder, name: str) -> pa.Table:
    """What a stream (requests, generator, ledger, beacon) holds so far; empty before its first row."""
    path = stream(folder.work, name)
    return recorder.read(path).table if path.exists() else recorder.schema(COLUMNS[name]).empty_table()


def growing(folder: RunFolder, name: str) -> Callable[[], pa.Table]:
    """What a stream holds so far, at each call; for one thread. A row is read once, however long the run is."""
    import pyarrow as pa

    table = recorder.schema(COLUMNS[name]).empty_table()

    def so_far() -> pa.Table:
        nonlocal table
        path = stream(folder.work, name)
        if path.exists() and (more := recorder.tail(path, table.num_rows)).num_rows:
            table = pa.concat_tables([table, more])
            if table.column(0).num_chunks > CHUNKS:
                table = table.combine_chunks()
        return table

    return so_far


def collect(folder: RunFolder) -> list[str]:
    """Writes every stream as evidence/<name>.parquet and returns what was wrong with them, in words.

    A stream that is missing or unreadable leaves no table behind: missing evidence must not look like no events.
    """
    import pyarrow.parquet as pq

    problems = []
    folder.evidence.mkdir(parents=True, exist_ok=True)
    for name in STREAMS:
        try:
            record = recorder.read(stream(folder.work, name))
        except recorder.RecordError as error:
            problems.append(str(error))
            continue
        if record.torn:
            problems.append(f"{name}: the last row was torn, {record.torn} bytes left out")
        pq.write_table(record.table.cast(recorder.schema(COLUMNS[name])), folder.table(name), compression="zstd")
    return problems
