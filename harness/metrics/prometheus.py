"""Prometheus as a MetricSource: raw samples as scraped, with every error and warning kept.

Raw samples come from `selector[range]` at the end of the run, never from a step. The client library drops the answer's
`warnings` (a partial answer then looks whole), so its session is used and the answer read here. Prometheus 2 has ranges
closed at both ends, 3 open at the left: one millisecond more is asked for and cut off, so that both give [from, to].

Range selectors do not return staleness markers and remote read does, but drops the warnings: so both are asked, and the
markers are added. What remote read saw and the query did not return was cut off on its way. Without remote read the
judge infers an absence from `up`.

What is no series selector is evaluated by Prometheus itself over the same time and recorded as it answered.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from harness.journal import log
from harness.journal.layout import RunFolder
from harness.metrics import remote_read
from harness.metrics.answers import add_markers, points_of, seconds_of, table_of, wall_ns_of
from harness.metrics.evidence import save_answers
from harness.model.events import AlertSeen, ClockRead, RunOpened
from harness.model.evidence import MetricAnswer
from harness.model.promql import parse_selector

if TYPE_CHECKING:
    import pyarrow as pa
    from prometheus_api_client import PrometheusConnect

    from harness.metrics.remote_read import TimeSeries

TIMEOUT_S = 10.0
EVALUATE_EVERY_S = 1.0
# Prometheus refuses more steps than this in one answer: https://github.com/prometheus/prometheus/blob/main/web/api/v1/api.go
MOST_STEPS = 11_000


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
    interval_s: float | None = None  # as declared; None when Prometheus does not tell


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

            from harness.metrics.adapter import TrustingAdapter

            retry = Retry(total=0)
            self._connected = PrometheusConnect(url=self.url, retry=retry, timeout=math.ceil(self._timeout_s))
            self._connected._session.mount(self.url, TrustingAdapter(max_retries=retry))
        return self._connected

    def _ask(self, path: str, parameters: Mapping[str, str | float]) -> tuple[Any, tuple[str, ...]]:
        """(the answer's data, its warnings); Unanswered when there is none."""
        import requests

        session, url = self._client._session, f"{self.url}/api/v1/{path}"
        try:
            if path in ("query", "query_range"):  # by POST: a long selector does not fit into every proxy's URL
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
        try:
            parse_selector(selector)
        except ValueError:
            return self._evaluated(selector, from_ms, to_ms)
        markers = self._remote_read(selector, from_ms, to_ms)  # first: what it has, the query must have too
        span = max(to_ms - from_ms, 0) + 1
        asked = {"query": f"{selector}[{span}ms]", "time": f"{to_ms / 1000:.3f}"}
        return self._recorded(selector, "query", asked, from_ms, markers)

    def _evaluated(self, expression: str, from_ms: int, to_ms: int) -> tuple[pa.Table, MetricAnswer]:
        """What Prometheus makes of an expression every second, or as often as it allows, from `from` to `to`."""
        step_s = max(EVALUATE_EVERY_S, math.ceil((to_ms - from_ms) / 1000 / (MOST_STEPS - 1)))
        asked = {
            "query": expression,
            "start": f"{from_ms / 1000:.3f}",
            "end": f"{to_ms / 1000:.3f}",
            "step": f"{step_s:g}",
        }
        table, told = self._recorded(expression, "query_range", asked, from_ms, None)
        return table, replace(told, computed_every_s=step_s)

    def _recorded(
        self,
        query: str,
        path: str,
        parameters: Mapping[str, str | float],
        from_ms: int,
        seen: list[TimeSeries] | None,
    ) -> tuple[pa.Table, MetricAnswer]:
        """The answer as a table; `seen` is what remote read had, None when it was not asked or could not answer."""
        try:
            data, warnings = self._ask(path, parameters)
            if not isinstance(data, dict) or data.get("resultType") != "matrix":
                raise Unanswered(f"{query} gave no raw samples: it is not a series selector")
            found = points_of(data["result"], from_ms)
        except Unanswered as error:
            return table_of(query, {}), MetricAnswer(query, 0, 0, error=str(error))
        except (KeyError, TypeError, ValueError) as error:
            text = f"an answer of an unknown form: {type(error).__name__}: {error}"
            return table_of(query, {}), MetricAnswer(query, 0, 0, error=text)
        lost = add_markers(found, seen or [])
        if lost:
            warnings = (*warnings, f"truncated: Prometheus holds {lost} samples that its answer did not give")
        table = table_of(query, found)
        told = MetricAnswer(query, len(found), table.num_rows, warnings=warnings, stale=seen is not None)
        return table, told

    def _remote_read(self, selector: str, from_ms: int, to_ms: int) -> list[TimeSeries] | None:
        """All series with their staleness markers; None where this Prometheus does not offer it."""
        import requests

        url = f"{self.url}/api/v1/read"
        try:
            body = remote_read.question(selector, from_ms, to_ms)
            response = self._client._session.post(url, data=body, headers=remote_read.HEADERS, timeout=self._timeout_s)
            return remote_read.answer(response.content) if response.status_code == 200 else None
        except (requests.RequestException, ValueError):
            return None

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
                interval_s=seconds_of(target.get("scrapeInterval", "")),
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
                active_wall_ns=wall_ns_of(alert["activeAt"]),
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
                waiting = [t for t in self.targets() if t.up and wall_ns_of(t.last_scrape) / 1e9 <= after_wall_s]
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
    answers = tuple(_with_intervals(source, answer) for _, answer in found)
    save_answers(folder, answers)
    tables = [table for table, _ in found]
    pq.write_table(
        pa.concat_tables(tables) if tables else table_of("", {}), folder.table("samples"), compression="zstd"
    )
    return answers


def _with_intervals(source: PrometheusSource, answer: MetricAnswer) -> MetricAnswer:
    """The answer to `up` also carries how often each job is scraped; where two targets differ, the shorter counts."""
    if answer.query != "up" or answer.error:
        return answer
    told: dict[str, float] = {}
    try:
        for target in source.targets():
            if target.interval_s:
                told[target.job] = min(target.interval_s, told.get(target.job, math.inf))
    except (Unanswered, KeyError, TypeError):
        return answer
    return replace(answer, intervals=told)
