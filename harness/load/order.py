"""What a load child is told (`work/load.json`) and what it tells back (`work/load-status.json`)."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from pydantic import ValidationError

from harness.errors import BadInput
from harness.model.base import Frozen
from harness.model.load import Load


class Order(Frozen):
    """The whole task of a load child. Without a duration it goes on until it is stopped; `record` is the folder of its
    streams, "" for none."""

    run_id: str
    url: str
    seed: int
    duration_s: float | None = None
    load: Load
    record: str = ""


class Status(Frozen):
    """Rewritten every second. Times are monotonic nanoseconds, -1 while unknown; `problem` ends the load."""

    origin_ns: int = -1
    until_ns: int = -1
    scheduled: int = 0
    recorded: int = 0
    in_flight: int = 0
    dropped: int = 0
    late_p99_ms: float = 0.0
    cpu: float = 0.0
    mistakes: int = 0
    mistake: str = ""
    problem: str = ""
    done: bool = False


RECORD_LOST = 74  # exit code of a child that could not write its record (EX_IOERR)
STREAMS = ("requests", "generator", "ledger", "beacon")


def stream(folder: Path, name: str) -> Path:
    return folder / f"{name}.rows"


def status_file(folder: Path, name: str) -> Path:
    return folder / f"{name}-status.json"


def write_status(path: Path, status: Status) -> None:
    """Replaces the file in one step, so that a reader sees the old one or the new one. Raises OSError."""
    draft = path.with_suffix(".draft")
    draft.write_text(status.model_dump_json())
    draft.replace(path)


def read_status(path: Path) -> Status | None:
    """None while there is none."""
    try:
        return Status.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None


def read_order(path: Path) -> Order:
    try:
        return Order.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise BadInput(f"not a load order: {error}", file=path) from error


def plain_order(url: str, journeys: Iterable[str]) -> Order:
    """The order of a plain `locust -f`, from the environment:

    LOAD_RATE (20 per second), LOAD_KIND (constant | poisson), LOAD_SEED (1), LOAD_MIX (`chat=3,search=1`; all evenly),
    LOAD_TIMEOUT (5s), LOAD_CONNECTIONS (kept | new), LOAD_RECORD (a folder for the record; none is written without).
    """
    env = os.environ.get
    try:
        mix = dict.fromkeys(journeys, 1.0)
        if "LOAD_MIX" in os.environ:
            mix = {name: float(weight) for name, weight in (p.split("=") for p in os.environ["LOAD_MIX"].split(","))}
        load = Load.model_validate(
            {
                "locustfile": "",
                "arrivals": {"kind": env("LOAD_KIND", "constant"), "rate": float(env("LOAD_RATE", "20"))},
                "mix": mix,
                "timeout": env("LOAD_TIMEOUT", "5s"),
                "connections": env("LOAD_CONNECTIONS", "kept"),
            }
        )
        seed = int(env("LOAD_SEED", "1"))
    except ValueError as error:
        raise BadInput(
            f"the environment's LOAD_… is wrong: {error}", fix="LOAD_RATE=20 LOAD_MIX=chat=3,search=1"
        ) from error
    record = env("LOAD_RECORD", "")
    return Order(run_id=env("HARNESS_RUN", f"plain-{os.getpid()}"), url=url, seed=seed, load=load, record=record)
