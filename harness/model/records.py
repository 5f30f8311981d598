"""What the load and the beacon write down for each arrival. Times are CLOCK_MONOTONIC nanoseconds of the host."""

from __future__ import annotations

import struct
from enum import IntEnum


class Outcome(IntEnum):
    """How an arrival ended, as the user saw it."""

    ANSWERED = 0  # an HTTP response was read to its end; `status` tells which
    TIMEOUT = 1  # no complete response within the declared time-out
    REFUSED = 2  # no connection could be made
    BROKEN = 3  # the connection ended before the response did
    DROPPED = 4  # never sent: the generator had its declared maximum in flight
    UNFINISHED = 5  # still in flight when the run ended
    SKIPPED = 6  # never sent because an earlier step it needs has failed (a read of a memory that was not acknowledged)


class Content(IntEnum):
    """Whether the answer's content was right."""

    UNCHECKED = 0  # no answer to check
    RIGHT = 1
    WRONG = 2


# Columns of evidence/requests.parquet and evidence/beacon.parquet (beacon: journey "beacon").
# name → Arrow type; strings are dictionary-encoded; "" where unknown.
REQUEST_COLUMNS: dict[str, str] = {
    "arrival": "int64",  # index in the schedule, from 0
    "journey": "string",
    "intended_ns": "int64",
    "started_ns": "int64",  # -1: never started
    "finished_ns": "int64",  # -1: never finished
    "outcome": "int8",
    "status": "int16",  # HTTP status, 0 without a response
    "content": "int8",
    "level": "int8",  # degradation level told by the response, 0 unknown
    "release": "string",
    "region": "string",
    "instance": "string",
}

# evidence/generator.parquet: one row per second of the load generator, to tell a late generator from a slow server.
GENERATOR_COLUMNS: dict[str, str] = {
    "at_ns": "int64",
    "scheduled": "int64",  # arrivals due so far
    "recorded": "int64",  # records written so far
    "late_p99_ms": "float64",  # start lateness within this second
    "cpu": "float64",  # share of one core this process used
    "run_delay_ms": "float64",  # time it was ready to run and had no core, per second
    "in_flight": "int64",
}

# evidence/ledger.parquet: one row per write or delete sent; the read-back adds one row per region in readback.parquet.
LEDGER_COLUMNS: dict[str, str] = {
    "key": "string",
    "text_sha256": "string",
    "sent_ns": "int64",
    "acknowledged_ns": "int64",  # -1: never acknowledged
    "region": "string",
    "operation": "string",  # write | delete; a delete's text_sha256 is ""
}

# evidence/readback.parquet: what each region's own database answered for each acknowledged key.
READBACK_COLUMNS: dict[str, str] = {
    "key": "string",
    "region": "string",
    "read_ns": "int64",
    "after": "string",  # which read-back: an experiment's id, or "end"
    "state": "string",  # present | deleted | lost | stale | duplicated | resurrected | indeterminate
    "text_sha256": "string",
}

# Columns that came after version 0.1.0, and what a table without them means.
LATER_COLUMNS: dict[str, str] = {"operation": "write"}

# evidence/samples.parquet: Prometheus samples as scraped; never resampled.
SAMPLE_COLUMNS: dict[str, str] = {
    "query": "string",  # the selector that was asked for
    "series": "string",  # the labels as canonical JSON
    "t_ms": "int64",  # wall time of the scrape, Prometheus' clock
    "value": "float64",  # NaN as scraped; the NaN with STALE_BITS is the marker that the series ended here
}
# https://github.com/prometheus/prometheus/blob/main/model/value/value.go
STALE_BITS = 0x7FF0000000000002


def is_stale(value: float) -> bool:
    """Whether a sample is Prometheus' staleness marker."""
    return bool(struct.unpack("<Q", struct.pack("<d", value))[0] == STALE_BITS)


# evidence/primaries.parquet: what each region's database said of itself, asked every few hundred milliseconds.
# refused: nothing takes connections there (no server listens, or it says itself that it is still starting), so nobody
# can write. unreachable: no answer for any other reason, so it may be writable all the same. stopped: no answer, and
# whoever runs it says that nothing of it runs: its machine is off, say. unwritten: told afterwards of all the time from
# asked_ns until answered_ns; by all that its servers have logged since, none of them took writes.
PRIMARY_COLUMNS: dict[str, str] = {
    "asked_ns": "int64",
    "answered_ns": "int64",
    "region": "string",
    "state": "string",  # writable | standby | refused | unreachable | stopped | unwritten
}
