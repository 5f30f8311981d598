"""Everything the judge looks at: values only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from harness.model.events import AnyEvent
from harness.model.scenario import ScenarioSpec

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Evidence:
    """A run's record. Tables have the columns of harness.model.records; a table that could not be read is None.

    `problems` says why something is missing; it can only move a verdict towards INCONCLUSIVE.
    """

    run_id: str
    scenario: ScenarioSpec
    events: tuple[AnyEvent, ...]
    requests: pa.Table | None
    beacon: pa.Table | None
    generator: pa.Table | None
    ledger: pa.Table | None
    readback: pa.Table | None
    samples: pa.Table | None
    primaries: pa.Table | None
    metrics: tuple[MetricAnswer, ...] = ()
    problems: tuple[str, ...] = field(default=())


@dataclass(frozen=True)
class MetricAnswer:
    """How Prometheus answered one query over the whole run: errors and warnings are kept, never dropped.

    `computed_every_s` > 0: not a series selector but an expression, evaluated by Prometheus so often; else raw samples
    as scraped. `stale`: staleness markers are among them. `intervals` stand in the answer to `up`: each job's declared
    scrape interval in seconds.
    """

    query: str
    series: int
    samples: int
    error: str = ""
    warnings: tuple[str, ...] = ()
    computed_every_s: float = 0.0
    stale: bool = False
    intervals: Mapping[str, float] = field(default_factory=dict)
