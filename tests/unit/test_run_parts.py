"""Read-back, sealing, history, guards: the parts of a run that need no platform."""

import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlparse

import pyarrow as pa
import pytest

from harness.errors import HarnessError
from harness.journal import log
from harness.journal.layout import RunFolder
from harness.judge.ledger import Expectation, expectations
from harness.model.events import RunClosed, RunOpened
from harness.model.records import LEDGER_COLUMNS, Outcome
from harness.model.scenario import ReadBack
from harness.run.context import new_run_folder
from harness.run.healing import error_share, healed_since, users_healed
from harness.run.history import history
from harness.run.primaries import collect_primaries
from harness.run.read_back import read_back, to_table
from harness.run.seal import seal, sha256_of
from harness.testing.evidence import table

S = 1_000_000_000


def beacon(rows: list[tuple[float, int, int, int]]) -> pa.Table:
    """Rows of (intended in s, outcome, status, level)."""
    intended, outcome, status, level = zip(*rows, strict=True) if rows else ((), (), (), ())
    return pa.table(
        {
            "intended_ns": pa.array([int(t * S) for t in intended], pa.int64()),
            "outcome": pa.array(outcome, pa.int8()),
            "status": pa.array(status, pa.int16()),
            "level": pa.array(level, pa.int8()),
        }
    )


GOOD, DEGRADED, FAILED, LOST = (0, 200, 1), (0, 200, 3), (0, 503, 4), (int(Outcome.TIMEOUT), 0, 0)


@pytest.mark.parametrize(("bad", "healed"), [(None, True), (DEGRADED, False), (FAILED, False), (LOST, False)])
def test_healed_means_every_probe_of_the_stretch_was_good(bad: tuple[int, int, int] | None, healed: bool) -> None:
    rows = [(t / 10, *GOOD) for t in range(100)]
    if bad:
        rows[85] = (8.5, *bad)
    assert healed_since(beacon(rows), 10 * S, sustained_s=2.0) is healed


def test_an_old_failure_does_not_count_and_no_probe_is_not_healed() -> None:
    rows = [(t / 10, *(GOOD if t > 50 else FAILED)) for t in range(100)]
    assert healed_since(beacon(rows), 10 * S, sustained_s=2.0)
    assert not healed_since(beacon(rows), 10 * S, sustained_s=2.0, since_ns=8 * S), "the stretch began before the fault"
    assert not healed_since(beacon([]), 10 * S, sustained_s=2.0)
    assert not healed_since(beacon(rows), 20 * S, sustained_s=2.0)


@pytest.mark.parametrize(
    ("bad", "share", "healed"),
    [
        (FAILED, 0.0, True),
        (FAILED, 0.005, True),
        (FAILED, 0.02, False),
        (DEGRADED, 0.005, True),
        (DEGRADED, 0.5, False),
    ],
)
def test_users_are_well_when_hardly_anybody_is_not(bad: tuple[int, int, int], share: float, healed: bool) -> None:
    rows = [(7.5 + t / 500, *(bad if t < share * 1000 else GOOD)) for t in range(1000)]
    assert users_healed(beacon(rows), 10 * S, sustained_s=2.0) is healed
    assert users_healed(beacon(rows), 13 * S, sustained_s=2.0), "it is over"
    assert users_healed(beacon([]), 10 * S, sustained_s=2.0), "nobody asked"


def test_guards_count_failures_of_the_last_seconds() -> None:
    rows = [(t / 10, *(FAILED if t >= 90 else GOOD)) for t in range(100)]
    assert error_share(beacon(rows), 10 * S, 2.0) == (0.5, 20)
    assert error_share(beacon([]), 10 * S, 2.0) == (0.0, 0)


def expected(*operations: tuple[str, str | None, int], before_ns: int = 100) -> Callable[[], dict[str, Expectation]]:
    """(key, text or None for a delete, when acknowledged), each sent 1 ns before that."""
    rows = [
        {
            "key": key,
            "text_sha256": digest(text) if text is not None else "",
            "sent_ns": abs(at) - 1,
            "acknowledged_ns": at,
            "region": "sjc",
            "operation": "delete" if text is None else "write",
        }
        for key, text, at in operations
    ]
    return lambda: expectations(table(LEDGER_COLUMNS, rows), before_ns)


def test_what_was_never_acknowledged_or_too_late_is_not_read_back() -> None:
    found = expected(("a", "1", 5), ("b", "2", -1), ("c", "3", 50), ("a", "4", 7), before_ns=20)()
    assert list(found) == ["a"]
    assert [one.text_sha256 for one in found["a"].last] == [digest("4")]


@pytest.fixture
def region() -> Iterator[Callable[[dict[str, tuple[str, int]], int], str]]:
    """A region's API: memories, and how many requests answer 503 first."""
    servers = []

    def start(memories: dict[str, tuple[str, int]], fail_first: int) -> str:
        failing = [fail_first]

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if failing[0] > 0:
                    failing[0] -= 1
                    self.send_error(503)
                    return
                keys = parse_qs(urlparse(self.path).query)["keys"][0].split(",")
                found = [
                    {"key": key, "text": memories[key][0], "version": 1, "count": memories[key][1]}
                    for key in keys
                    if key in memories
                ]
                body = json.dumps({"memories": found}).encode()
                self.send_response(200)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None: ...

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


HOW = ReadBack(path="/api/memory", batch=2, within=1.0)


def test_every_class_of_a_read_back(region: Callable[..., str]) -> None:
    url = region({"kept": ("x", 1), "old": ("y", 1), "twice": ("x", 2), "undead": ("x", 1)}, 0)
    states = {
        "kept": "present",
        "gone": "lost",
        "old": "stale",
        "twice": "duplicated",
        "deleted": "deleted",
        "undead": "resurrected",
    }
    writes = expected(*((key, "x", 5) for key in states), ("deleted", None, 9), ("undead", None, 9))
    rows = read_back(writes, {"sjc": url, "lax": "http://127.0.0.1:1"}, HOW, "end")
    assert {row["key"]: row["state"] for row in rows if row["region"] == "sjc"} == states
    assert {row["state"] for row in rows if row["region"] == "lax"} == {"indeterminate"}
    assert to_table(rows).num_rows == 12


def test_a_region_that_answers_late_is_asked_again(region: Callable[..., str]) -> None:
    rows = read_back(expected(("kept", "x", 5)), {"sjc": region({"kept": ("x", 1)}, 1)}, HOW, "end")
    assert [row["state"] for row in rows] == ["present"]


def test_a_key_that_load_deletes_meanwhile_is_not_waited_for(region: Callable[..., str]) -> None:
    asked = [expected(("a", "x", 5)), expected(("a", "x", 5)), expected(("a", "x", 5), ("a", None, -7))]
    ledgers = iter(asked)
    patient = HOW.model_copy(update={"within": 30.0})
    rows = read_back(lambda: next(ledgers)(), {"sjc": region({}, 0)}, patient, "end")
    assert [row["state"] for row in rows] == ["deleted"]


def test_the_primaries_files_become_a_table_without_the_torn_line(tmp_path: Path) -> None:
    line = json.dumps({"asked_ns": 1, "answered_ns": 2, "region": "sjc", "state": "writable"})
    (tmp_path / "primaries-sjc.jsonl").write_text(f'{line}\n{line}\n{{"asked_ns": 3, "an')
    assert collect_primaries(tmp_path).num_rows == 2
    assert collect_primaries(tmp_path / "none").num_rows == 0


def test_the_root_stands_for_every_file(tmp_path: Path) -> None:
    folder = new_run_folder(tmp_path, "x")
    (folder.evidence / "a.parquet").write_bytes(b"1")
    (folder.work / "raw").write_bytes(b"not sealed")
    first = seal(folder)
    files = json.loads(folder.manifest.read_text())["files"]
    assert list(files) == ["evidence/a.parquet"]
    assert seal(folder) == first
    (folder.evidence / "a.parquet").write_bytes(b"2")
    assert seal(folder) != first


def test_a_folder_has_a_digest_that_byte_code_does_not_change(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("1")
    first = sha256_of(tmp_path)
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__/a.pyc").write_text("x")
    assert sha256_of(tmp_path) == first
    (tmp_path / "a.py").rename(tmp_path / "b.py")
    assert sha256_of(tmp_path) != first


def test_two_runs_never_share_a_folder(tmp_path: Path) -> None:
    names = {new_run_folder(tmp_path, "x").root for _ in range(3)}
    assert len(names) == 3


def test_a_reports_folder_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "reports").write_text("a file")
    with pytest.raises((OSError, HarnessError)):
        new_run_folder(tmp_path / "reports", "x")


def opened(run_id: str) -> RunOpened:
    return RunOpened(
        run_id=run_id, scenario="s", user="u", host="h", version="0", commit="c", seed=1, python="3", machine="m",
        argv=(), release="1.0.0",
    )  # fmt: skip


def test_the_history_hides_nothing(tmp_path: Path) -> None:
    whole, killed, damaged = (new_run_folder(tmp_path, name) for name in ("a", "b", "c"))
    for folder in (whole, killed, damaged):
        log.append(folder.journal, opened(folder.run_id))
    log.append(whole.journal, RunClosed(reason="interrupted", clean=True))
    damaged.judgement.write_text("{")
    rows = {row.run_id: row.verdict for row in history(tmp_path)}
    assert rows == {whole.run_id: "ended early", killed.run_id: "running", damaged.run_id: "unreadable"}
    assert history(tmp_path / "none") == []


def test_run_folder_names_every_part(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    assert folder.table("requests") == tmp_path / "run/evidence/requests.parquet"
    assert folder.undo.parent == folder.work
