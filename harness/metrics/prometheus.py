"""Prometheus as a MetricSource: raw samples as scraped, with every error and warning kept.

Raw samples come from `selector[range]` at the end of the run, never from a step. The client library drops the answer's
`warnings` (a partial answer then looks whole), so its session is used and the answer read here. Range selectors do not
return staleness markers; the judge infers an absence from `up`. Prometheus 2 has ranges closed at both ends, 3 open at
the left: one millisecond more is asked for and cut off here, so that both give [from, to].
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.journal import log
from harness.journal.layout import RunFolder
from harness.metrics.evidence import save_answers
from harness.model.events import AlertSeen, ClockRead, RunOpened
from harness.model.evidence import MetricAnswer
from harness.model.records import SAMPLE_COLUMNS

if TYPE_CHECKING:
    import pyarrow as pa
    from prometheus_api_client import PrometheusConnect

TIMEOUT_S = 10.0


class Unanswered(Exception):
    """Prometheus gave no usable answer; the text says why."""


@dataclass(frozen=True)
class TargetHealth:
    """One scrape target as Prometheus sees it."""

    job: str
    instance: str
    url: str
    up: bool
    last_error: str
    last_scrape: str


class PrometheusSource:
    """One Prometheus server. Nothing is sent before the first question."""

    def __init__(self, url: str, timeout_s: float = TIMEOUT_S) -> None:
        self.url = url.rstrip("/")
        self._timeout_s = timeout_s
        self._connected: PrometheusConnect | None = None

    @property
    def _client(self) -> PrometheusConnect:
        if self._connected is None:
            from prometheus_api_client import PrometheusConnect
            from urllib3.util.retry import Retry

            self._connected = PrometheusConnect(url=self.url, retry=Retry(total=0), timeout=math.ceil(self._timeout_s))
        return self._connected

    def _ask(self, path: str, parameters: Mapping[str, str | float]) -> tuple[Any, tuple[str, ...]]:
        """(the answer's data, its warnings); Unanswered when there is none."""
        import requests

        session, url = self._client._session, f"{self.url}/api/v1/{path}"
        try:
            if path == "query":  # by POST: a long selector does not fit into every proxy's URL
                response = session.post(url, data=dict(parameters), timeout=self._timeout_s)
            else:
                response = session.get(url, params=dict(parameters), timeout=self._timeout_s)
        except requests.RequestException as error:
            raise Unanswered(f"no answer from {self.url}: {type(error).__name__}") from error
        try:
            answer = json.loads(response.content)
        except ValueError as error:
            raise Unanswered(f"{self.url} did not answer in JSON (HTTP {response.status_code})") from error
        if not isinstance(answer, dict) or answer.get("status") != "success":
            cause = answer.get("error", "no reason given") if isinstance(answer, dict) else "no object"
            raise Unanswered(f"{self.url} refused (HTTP {response.status_code}): {cause}")
        return answer.get("data"), tuple(str(text) for text in answer.get("warnings") or ())

    def samples(self, selector: str, from_wall_s: float, to_wall_s: float) -> tuple[pa.Table, MetricAnswer]:
        """All raw samples in [from, to], ascending in each series. Errors are in the answer, not raised."""
        from_ms, to_ms = math.floor(from_wall_s * 1000), math.ceil(to_wall_s * 1000)
        span = max(to_ms - from_ms, 0) + 1
        try:
            data, warnings = self._ask("query", {"query": f"{selector}[{span}ms]", "time": f"{to_ms / 1000:.3f}"})
            if not isinstance(data, dict) or data.get("resultType") != "matrix":
                raise Unanswered(f"{selector} gave no raw samples: it is not a series selector")
            table = _table(selector, data["result"], from_ms)
        except Unanswered as error:
            return _table(selector, [], from_ms), MetricAnswer(selector, 0, 0, error=str(error))
        except (KeyError, TypeError, ValueError) as error:
            text = f"an answer of an unknown form: {type(error).__name__}: {error}"
            return _table(selector, [], from_ms), MetricAnswer(selector, 0, 0, error=text)
        return table, MetricAnswer(selector, len(data["result"]), table.num_rows, warnings=warnings)

    def targets(self) -> tuple[TargetHealth, ...]:
        """The health of every scrape target. Raises Unanswered."""
        data, _ = self._ask("targets", {"state": "active"})
        return tuple(
            TargetHealth(
                job=target["labels"].get("job", ""),
                instance=target["labels"].get("instance", ""),
                url=target["scrapeUrl"],
                up=target["health"] == "up",
                last_error=target["lastError"],
                last_scrape=target["lastScrape"],
            )
            for target in data["activeTargets"]
        )

    def alerts(self) -> tuple[AlertSeen, ...]:
        """What is firing now, for live views; the judge reads the raw samples of ALERTS. Raises Unanswered."""
        data, _ = self._ask("alerts", {})
        now = time.time_ns()
        return tuple(
            AlertSeen(
                name=alert["labels"].get("alertname", ""),
                severity=alert["labels"].get("severity", ""),
                labels=alert["labels"],
                active_wall_ns=_wall_ns(alert["activeAt"]),
                firing_wall_ns=now,
            )
            for alert in data["alerts"]
            if alert["state"] == "firing"
        )

    def now(self) -> float:
        """Prometheus' own wall time in seconds, to the millisecond. Raises Unanswered."""
        data, _ = self._ask("query", {"query": "time()"})
        return float(data["result"][1])

    def wait_scraped(self, after_wall_s: float, within_s: float, sleep: Callable[[float], None] = time.sleep) -> bool:
        """Waits until every healthy target has been scraped after this time; False when it takes too long."""
        deadline = time.monotonic() + within_s
        while True:
            try:
                waiting = [t for t in self.targets() if t.up and _wall_ns(t.last_scrape) / 1e9 <= after_wall_s]
            except Unanswered:
                return False
            if not waiting:
                return True
            if time.monotonic() >= deadline:
                return False
            sleep(0.1)


def clock_offset(url: str) -> ClockRead | None:
    """Prometheus' clock less this host's wall clock, with half the round trip as its error; None without an answer."""
    source = PrometheusSource(url, timeout_s=2.0)
    before = time.time_ns()
    try:
        theirs = source.now()
    except (Unanswered, KeyError, IndexError, TypeError, ValueError):
        return None
    after = time.time_ns()
    return ClockRead(
        clock="prometheus",
        offset_ns=round(theirs * 1e9) - (before + after) // 2,
        error_ns=(after - before) // 2 + 1_000_000,
    )


def collect(url: str, selectors: Iterable[str], folder: RunFolder, margin_s: float = 10.0) -> tuple[MetricAnswer, ...]:
    """Writes evidence/samples.parquet and evidence/metrics.json for the time from the run's opening until now.

    Waits a moment for the scrape after the load's end; `margin_s` before the opening is asked for too, so that counters
    have a value to start from. Errors are in the answers.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    source = PrometheusSource(url)
    now = time.time()
    source.wait_scraped(now, within_s=3.0)
    opened = [event.wall_ns for event in log.read(folder.journal) if isinstance(event, RunOpened)]
    start = opened[0] / 1e9 if opened else now - 3600.0
    end = time.time()
    found = [source.samples(selector, start - margin_s, end) for selector in selectors]
    answers = tuple(answer for _, answer in found)
    save_answers(folder, answers)
    tables = [table for table, _ in found]
    pq.write_table(
        pa.concat_tables(tables) if tables else _table("", [], 0), folder.table("samples"), compression="zstd"
    )
    return answers


def _table(selector: str, result: Iterable[Mapping[str, Any]], from_ms: int) -> pa.Table:
    import pyarrow as pa

    series: list[str] = []
    times: list[int] = []
    values: list[float] = []
    for found in result:
        rows = [(round(at * 1000), float(value)) for at, value in found["values"]]
        rows = [row for row in rows if row[0] >= from_ms]
        series.extend([json.dumps(found["metric"], sort_keys=True, separators=(",", ":"))] * len(rows))
        times.extend(at for at, _ in rows)
        values.extend(value for _, value in rows)
    columns = {"query": [selector] * len(times), "series": series, "t_ms": times, "value": values}
    text = pa.dictionary(pa.int32(), pa.string())
    return pa.table(
        {
            name: pa.array(columns[name], type=text if kind == "string" else pa.type_for_alias(kind))
            for name, kind in SAMPLE_COLUMNS.items()
        }
    )


def _wall_ns(text: str) -> int:
    """RFC 3339 with any number of fractional digits; 0 for Prometheus' "never" (year 1)."""
    from datetime import datetime

    base, _, fraction = text.removesuffix("Z").partition(".")
    if base.startswith("0001-"):
        return 0
    digits, zone = fraction, "+00:00"
    for sign in "+-":
        if sign in fraction:
            digits, _, rest = fraction.partition(sign)
            zone = sign + rest
    if not fraction and len(base) > 19:
        base, zone = base[:19], base[19:]
    whole = datetime.fromisoformat(base + zone)
    return int(whole.timestamp()) * 1_000_000_000 + int((digits or "0")[:9].ljust(9, "0"))
