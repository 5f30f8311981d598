"""One contract for every MetricSource: the fake, and the adapter on a real Prometheus."""

from __future__ import annotations

import json
import math
import re
import signal
import socket
import struct
import subprocess
import threading
import time
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from harness.journal import log
from harness.journal.layout import RunFolder
from harness.judge.counters import increase
from harness.judge.samples import Samples
from harness.metrics.answers import seconds_of
from harness.metrics.evidence import load_answers
from harness.metrics.prometheus import PrometheusSource, Unanswered, clock_offset, collect
from harness.metrics.remote_read import _bytes, _text, _varint
from harness.model.events import RunOpened
from harness.model.evidence import MetricAnswer
from harness.model.records import SAMPLE_COLUMNS, STALE_BITS
from harness.ports import MetricSource
from harness.testing.fake_metrics import FakeMetrics

LABELS = {"__name__": "votes_total", "job": "exporter", "instance": "one", "result": "agreed"}


@dataclass
class Setting:
    """A source that has seen a counter for a while, and between which wall times."""

    source: MetricSource
    from_s: float
    to_s: float


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.real)])
def setting(request) -> Setting:
    if request.param == "real":
        live: Live = request.getfixturevalue("live")
        return Setting(PrometheusSource(live.url), live.from_s, live.to_s)
    points = [(1000.0 + second, float(second)) for second in range(60)]
    return Setting(FakeMetrics([(LABELS, points), ({**LABELS, "result": "failed"}, points)]), 1000.0, 1059.0)


def test_raw_samples_with_their_labels(setting):
    table, answer = setting.source.samples('votes_total{result="agreed"}', setting.from_s, setting.to_s)
    assert table.column_names == list(SAMPLE_COLUMNS)
    assert (answer.error, answer.warnings, answer.series) == ("", (), 1)
    assert answer.samples == table.num_rows >= 3
    labels = json.loads(table.column("series")[0].as_py())
    assert labels.items() >= {"__name__": "votes_total", "result": "agreed"}.items()
    times = table.column("t_ms").to_pylist()
    assert times == sorted(set(times))
    assert setting.from_s * 1000 <= times[0] <= times[-1] <= setting.to_s * 1000


def test_no_sample_from_outside_of_the_asked_time(setting):
    table, _ = setting.source.samples("votes_total", setting.from_s, setting.to_s)
    times = sorted(set(table.column("t_ms").to_pylist()))
    middle = times[1] / 1000
    inner, _ = setting.source.samples("votes_total", middle, setting.to_s)
    assert inner.column("t_ms").to_pylist()[0] == times[1]  # both ends are closed
    early, answer = setting.source.samples("votes_total", setting.from_s - 500, setting.from_s - 400)
    assert (early.num_rows, answer.series, answer.error) == (0, 0, "")


def test_several_series(setting):
    _, answer = setting.source.samples("votes_total", setting.from_s, setting.to_s)
    assert answer.series == 2


def test_a_series_that_is_absent_is_no_error(setting):
    table, answer = setting.source.samples("nothing_total", setting.from_s, setting.to_s)
    assert (table.num_rows, answer.series, answer.samples, answer.error) == (0, 0, 0, "")
    assert table.schema.names == list(SAMPLE_COLUMNS)


def test_what_is_no_selector_is_an_error_and_no_exception(setting):
    table, answer = setting.source.samples("sum(votes_total", setting.from_s, setting.to_s)
    assert table.num_rows == 0
    assert answer.error


# ---- the real one ---------------------------------------------------------------------------------------------------


class Exporter:
    """Counts one vote for each scrape; can be told to fail."""

    def __init__(self) -> None:
        self.votes = 0
        self.broken = False
        exporter = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                exporter.votes += 1
                self.send_response(500 if exporter.broken else 200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.end_headers()
                self.wfile.write(
                    f'votes_total{{result="agreed"}} {exporter.votes}\nvotes_total{{result="failed"}} 0\n'
                    f"share NaN\n".encode()
                )

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server.server_port}"


@dataclass
class Live:
    url: str
    exporter: Exporter
    from_s: float
    to_s: float


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def live(tmp_path_factory) -> Iterator[Live]:
    folder: Path = tmp_path_factory.mktemp("prometheus")
    exporter, port = Exporter(), free_port()
    (folder / "alerts.yaml").write_text(
        "groups: [{name: a, rules: [{alert: Always, expr: 'vector(1)', labels: {severity: P3}}]}]"
    )
    (folder / "prometheus.yaml").write_text(
        "global: {scrape_interval: 200ms, evaluation_interval: 200ms}\n"
        f"rule_files: [alerts.yaml]\n"
        f"scrape_configs: [{{job_name: exporter, static_configs: [{{targets: ['{exporter.address}']}}]}}]\n"
    )
    child = subprocess.Popen(
        ["prometheus", f"--config.file={folder}/prometheus.yaml", f"--storage.tsdb.path={folder}/data",
         f"--web.listen-address=127.0.0.1:{port}", "--log.level=error"],
        start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    try:
        source = PrometheusSource(url)
        begun = time.time()
        deadline = time.monotonic() + 20
        while exporter.votes < 8 and time.monotonic() < deadline:
            time.sleep(0.1)
        assert source.wait_scraped(time.time(), within_s=10), "Prometheus did not scrape"
        yield Live(url, exporter, begun, time.time())
    finally:
        child.send_signal(signal.SIGTERM)
        child.wait(10)
        exporter.server.shutdown()


@pytest.mark.real
def test_targets_clock_and_alerts_of_a_real_prometheus(live):
    source = PrometheusSource(live.url)
    (target,) = source.targets()
    assert (target.job, target.up) == ("exporter", True)
    read = clock_offset(live.url)
    assert read is not None
    assert abs(read.offset_ns) <= read.error_ns + 1_000_000  # the same host's clock
    assert any(alert.name == "Always" and alert.severity == "P3" for alert in source.alerts())
    alerts, _ = source.samples("ALERTS", live.from_s, time.time())
    assert '"alertstate":"firing"' in alerts.column("series")[-1].as_py()


@pytest.mark.real
def test_nan_comes_through_and_up_tells_of_a_broken_target(live):
    source = PrometheusSource(live.url)
    share, _ = source.samples("share", live.from_s, live.to_s)
    assert all(math.isnan(value) for value in share.column("value").to_pylist())
    live.exporter.broken = True
    try:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline and source.targets()[0].up:
            time.sleep(0.1)
        up, _ = source.samples("up", live.from_s, time.time())
        assert up.column("value").to_pylist()[-1] == 0.0
    finally:
        live.exporter.broken = False


@pytest.mark.real
def test_collect_writes_samples_and_answers(live, tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.evidence.mkdir(parents=True)
    opened = RunOpened(
        run_id="run",
        scenario="s",
        user="u",
        host="h",
        version="0",
        commit="c",
        seed=1,
        python="3",
        machine="m",
        argv=(),
    )
    log.append(folder.journal, opened)
    answers = collect(live.url, ["up", "votes_total", "nothing_total"], folder)
    assert [answer.series for answer in answers] == [1, 2, 0]
    problems: list[str] = []
    assert load_answers(folder, problems) == answers
    assert problems == []
    import pyarrow.parquet as pq

    assert pq.read_table(folder.table("samples")).num_rows == sum(answer.samples for answer in answers)


def test_no_prometheus_at_all(tmp_path):
    url = f"http://127.0.0.1:{free_port()}"
    _, answer = PrometheusSource(url).samples("up", 0.0, 1.0)
    assert "no answer" in answer.error
    assert clock_offset(url) is None
    with pytest.raises(Unanswered):
        PrometheusSource(url).targets()
    folder = RunFolder(tmp_path / "run")
    folder.evidence.mkdir(parents=True)
    assert [bool(answer.error) for answer in collect(url, ["up", "ALERTS"], folder)] == [True, True]
    assert not PrometheusSource(url).wait_scraped(0.0, within_s=1.0)


# ---- answers that a healthy server does not give --------------------------------------------------------------------


@pytest.fixture
def says():
    """A server that answers every question with this body."""
    servers: list[ThreadingHTTPServer] = []

    def inner(body: str, status: int = 200) -> PrometheusSource:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                self.do_GET()

            def do_GET(self) -> None:
                self.send_response(status)
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return PrometheusSource(f"http://127.0.0.1:{server.server_port}", timeout_s=5)

    yield inner
    for server in servers:
        server.shutdown()
        server.server_close()


MATRIX = {"resultType": "matrix", "result": [{"metric": {"__name__": "up"}, "values": [[5.001, "1"], [6, "NaN"]]}]}


def test_warnings_are_kept(says):
    body = json.dumps({"status": "success", "data": MATRIX, "warnings": ["partial: a store did not answer"]})
    table, answer = says(body).samples("up", 5.0, 7.0)
    assert answer.warnings == ("partial: a store did not answer",)
    assert table.column("t_ms").to_pylist() == [5001, 6000]
    assert math.isnan(table.column("value").to_pylist()[1])


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ('{"status": "error", "errorType": "timeout", "error": "query timed out"}', 503, "query timed out"),
        ('{"status": "error", "errorType": "execution", "error": "query processing would load too many samples"}', 422,
         "too many samples"),
        ("<html>bad gateway</html>", 502, "did not answer in JSON (HTTP 502)"),
        ("[]", 200, "refused"),
        ('{"status": "success", "data": {"resultType": "vector", "result": []}}', 200, "no raw samples"),
        ('{"status": "success", "data": {"resultType": "matrix", "result": [{}]}}', 200, "unknown form"),
        ('{"status": "success", "data": {"resultType": "matrix", "result": [{"metric": {}, "values": [[1, "x"]]}]}}',
         200, "unknown form"),
        ("", 200, "did not answer in JSON"),
    ],
)  # fmt: skip
def test_errors_are_answers(says, body, status, words):
    table, answer = says(body, status).samples("up", 0.0, 10.0)
    assert words in answer.error
    assert (table.num_rows, answer.samples) == (0, 0)


def test_a_clock_that_cannot_be_read_is_none(says):
    source = says('{"status": "success", "data": {"resultType": "scalar", "result": "soon"}}')
    assert clock_offset(source.url) is None


# ---- staleness, edges and expressions -------------------------------------------------------------------------------


@pytest.mark.real
def test_a_series_that_ended_leaves_its_staleness_marker(live):
    source = PrometheusSource(live.url)
    live.exporter.broken = True
    try:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline and source.targets()[0].up:
            time.sleep(0.1)
        time.sleep(0.5)
        table, answer = source.samples('votes_total{result="agreed"}', live.from_s, time.time())
    finally:
        live.exporter.broken = False
    assert answer.stale
    assert (answer.warnings, answer.error) == ((), "")
    assert answer.samples == table.num_rows
    (one,) = Samples(table, (answer,)).series(answer.query)
    assert len(one.stale_ms) >= 1
    up, told = source.samples("up", live.from_s, time.time())
    (health,) = Samples(up, (told,)).series("up")
    failed = set(health.t_ms[health.value == 0].tolist())
    assert set(one.stale_ms.tolist()) <= failed  # the marker stands at the scrape that failed


@pytest.mark.real
def test_collect_tells_the_declared_scrape_interval(live, tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.evidence.mkdir(parents=True)
    (answer,) = collect(live.url, ["up"], folder)
    assert answer.intervals == {"exporter": 0.2}
    assert load_answers(folder, []) == (answer,)


@pytest.mark.real
def test_an_expression_is_recorded_as_prometheus_answered_it(live):
    table, answer = PrometheusSource(live.url).samples("vector(0.25)", live.from_s, live.from_s + 5)
    assert (answer.error, answer.computed_every_s, answer.series) == ("", 1.0, 1)
    assert table.column("value").to_pylist() == [0.25] * 6
    assert table.column("query").to_pylist() == ["vector(0.25)"] * 6


SCRAPED = [1000 * second for second in range(10, 21)]


@pytest.fixture
def prometheus_like():
    """A server that answers range selectors as Prometheus 2 does (closed ranges), or as 3 does (left-open)."""
    servers: list[ThreadingHTTPServer] = []

    def inner(left_open: bool, read: bytes | None = None, lost: int = 0) -> PrometheusSource:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                if self.path.endswith("/read"):
                    self.send_response(404 if read is None else 200)
                    self.end_headers()
                    self.wfile.write(read or b"")
                    return
                asked = {name: values[0] for name, values in urllib.parse.parse_qs(body.decode()).items()}
                end = round(float(asked["time"]) * 1000)
                start = end - int(re.search(r"\[(\d+)ms\]", asked["query"]).group(1))
                inside = [at for at in SCRAPED if (start < at if left_open else start <= at) and at <= end]
                values = [[at / 1000, str(at // 100)] for at in inside[lost:]]
                result = [{"metric": {"__name__": "votes_total"}, "values": values}] if values else []
                self.send_response(200)
                self.end_headers()
                data = {"resultType": "matrix", "result": result}
                self.wfile.write(json.dumps({"status": "success", "data": data}).encode())

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return PrometheusSource(f"http://127.0.0.1:{server.server_port}", timeout_s=5)

    yield inner
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("from_s", [9.0, 10.0, 10.001, 12.0])
@pytest.mark.parametrize("to_s", [15.0, 17.999, 20.0, 30.0])
def test_windows_have_the_same_edges_on_prometheus_2_and_3(prometheus_like, from_s, to_s):
    closed, _ = prometheus_like(left_open=False).samples("votes_total", from_s, to_s)
    left_open, _ = prometheus_like(left_open=True).samples("votes_total", from_s, to_s)
    assert closed.equals(left_open)
    assert closed.column("t_ms").to_pylist() == [at for at in SCRAPED if from_s * 1000 <= at <= to_s * 1000]
    spans = [(from_s * 1000, to_s * 1000)]
    two, three = (
        increase(Samples(table, (MetricAnswer("votes_total", 1, table.num_rows),)), "votes_total", spans)
        for table in (closed, left_open)
    )
    assert (two.least, two.unknown) == (three.least, three.unknown)


def message(*points: tuple[int, float]) -> bytes:
    """An answer of remote read with one series votes_total."""
    import pyarrow as pa

    sample = lambda at, value: b"\x09" + struct.pack("<d", value) + b"\x10" + _varint(at)  # noqa: E731
    series = _bytes(1, _text(1, "__name__") + _text(2, "votes_total"))
    series += b"".join(_bytes(2, sample(at, value)) for at, value in points)
    return pa.Codec("snappy").compress(_bytes(1, _bytes(1, series)), asbytes=True)


STALE = struct.unpack("<d", struct.pack("<Q", STALE_BITS))[0]


def test_markers_are_added_to_what_the_query_returned(prometheus_like):
    read = message(*[(at, at / 100) for at in SCRAPED], (20_500, STALE))
    table, answer = prometheus_like(left_open=False, read=read).samples("votes_total", 10.0, 25.0)
    assert (answer.stale, answer.warnings, answer.samples) == (True, (), len(SCRAPED) + 1)
    assert Samples(table, (answer,)).series("votes_total")[0].stale_ms.tolist() == [20_500]


def test_an_answer_that_lacks_samples_which_prometheus_holds_is_told_as_truncated(prometheus_like):
    read = message(*[(at, at / 100) for at in SCRAPED])
    table, answer = prometheus_like(left_open=False, read=read, lost=3).samples("votes_total", 10.0, 25.0)
    assert answer.warnings == ("truncated: Prometheus holds 3 samples that its answer did not give",)
    assert "in part only" in Samples(table, (answer,)).trouble("votes_total")


@pytest.mark.parametrize("read", [None, b"", b"\xff" * 40, b"not snappy at all", message((10_000, 1.0))[:-3]])
def test_without_a_usable_remote_read_the_query_alone_counts(prometheus_like, read):
    table, answer = prometheus_like(left_open=False, read=read).samples("votes_total", 10.0, 25.0)
    assert (answer.stale, answer.warnings, answer.error) == (False, (), "")
    assert table.num_rows == len(SCRAPED)


@pytest.mark.parametrize(
    ("text", "seconds"), [("15s", 15.0), ("1m30s", 90.0), ("200ms", 0.2), ("", None), ("soon", None)]
)
def test_durations_of_prometheus(text, seconds):
    assert seconds_of(text) == seconds
