"""The beacon against servers that refuse, hang, cut and come back."""

from __future__ import annotations

import os
import resource
import signal
import socket
import subprocess
import sys
import time

import pytest

from harness.journal.layout import RunFolder
from harness.load.beacon import Prober
from harness.load.beacon import main as beacon_main
from harness.load.engine import beacon_engine, rows
from harness.load.order import stream
from harness.load.recorder import Stream, read
from harness.model.load import Beacon
from harness.model.records import REQUEST_COLUMNS, Outcome
from harness.testing.authority import issue
from harness.testing.fake_edge import Behaviour, serving


def probe(tmp_path, url, seconds=0.4, *, every=0.02, timeout=0.2, meanwhile=lambda second: None):
    """Runs the prober here; `meanwhile` is called about once a second (at once the first time)."""
    record = Stream(tmp_path / "beacon.rows", REQUEST_COLUMNS)
    prober = Prober(url, every, timeout, record)
    signal.signal(signal.SIGALRM, lambda *_: setattr(prober, "stopping", True))
    signal.setitimer(signal.ITIMER_REAL, seconds)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        prober.run(lambda: meanwhile(prober))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    record.close()
    return prober, read(tmp_path / "beacon.rows").table.to_pylist()


@pytest.fixture(params=["http", "https"])
def edge(request, tmp_path, monkeypatch):
    """As `serving`, by http or by https."""
    if request.param == "http":
        return serving
    made = issue(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(made.certificate))
    return lambda behaviour=None: serving(behaviour, made.server())


@pytest.fixture(autouse=True)
def _alarm():
    before = signal.getsignal(signal.SIGALRM)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def test_each_probe_has_its_own_connection_and_row(edge, tmp_path):
    with edge(Behaviour(level=2, region="lax")) as (url, behaviour):
        prober, found = probe(tmp_path, f"{url}/api/ping")
        assert behaviour.connections == len(found)
    found.sort(key=lambda row: row["arrival"])  # they are written in the order in which they end
    assert [row["intended_ns"] - prober.origin_ns for row in found] == [n * 20_000_000 for n in range(len(found))]
    assert len(found) == prober.scheduled
    assert found[-1]["intended_ns"] < prober.until_ns <= prober.origin_ns + len(found) * 20_000_000
    told = {(r["journey"], r["outcome"], r["status"], r["level"], r["region"], r["instance"]) for r in found}
    assert told == {("beacon", Outcome.ANSWERED, 200, 2, "lax", "edge-1")}


def test_a_hung_server_holds_no_probe_back_and_cannot_use_up_descriptors(edge, tmp_path):
    with edge(Behaviour(hang=True)) as (url, _):
        prober, found = probe(tmp_path, f"{url}/api/ping", 0.5, timeout=0.2)
    sent = [row for row in found if row["outcome"] != Outcome.DROPPED]  # a starved machine may have to drop some
    assert {row["outcome"] for row in sent} == {Outcome.TIMEOUT}
    assert len(found) == prober.scheduled > len(sent) // 2 >= 5
    assert all(row["finished_ns"] - row["started_ns"] >= 200_000_000 for row in sent)


def test_what_is_above_the_bound_is_dropped_and_recorded(tmp_path):
    """Time stands still for the prober (SIGSTOP has the same effect): all that became due comes at once."""
    with serving(Behaviour(hang=True)) as (url, _):
        prober, found = probe(
            tmp_path, f"{url}/api/ping", 0.8, timeout=0.1, meanwhile=lambda p: time.sleep(0.5) if p.scheduled else None
        )
    dropped = [row for row in found if row["outcome"] == Outcome.DROPPED]
    assert prober.dropped == len(dropped) > 5
    assert all(row["started_ns"] == -1 for row in dropped)
    assert sorted(row["arrival"] for row in found) == list(range(prober.scheduled))


def test_nobody_listening_is_refused_and_answered_again_later(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        _, found = probe(tmp_path, f"http://127.0.0.1:{taken.getsockname()[1]}/")
    assert {row["outcome"] for row in found} == {Outcome.REFUSED}
    assert all(row["finished_ns"] >= row["started_ns"] > 0 for row in found)


@pytest.mark.parametrize("how", [Behaviour(cut=True)])
def test_a_response_cut_short_is_broken(edge, tmp_path, how):
    with edge(how) as (url, _):
        _, found = probe(tmp_path, f"{url}/api/ping", 0.2)
    assert {row["outcome"] for row in found} == {Outcome.BROKEN}


def test_statuses_are_recorded_as_they_are(edge, tmp_path):
    with edge(Behaviour(fail=1.0, chunked=True)) as (url, _):
        _, found = probe(tmp_path, f"{url}/api/ping?x=1", 0.2)
    assert {(row["outcome"], row["status"]) for row in found} == {(Outcome.ANSWERED, 503)}


def test_no_descriptor_left_is_a_drop_not_an_outage(tmp_path):
    def starve(prober):
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))

    prober, found = probe(tmp_path, "http://127.0.0.1:9/", 0.2, meanwhile=starve)
    assert [row["outcome"] for row in found] == [Outcome.REFUSED] + [Outcome.DROPPED] * prober.dropped
    assert prober.dropped > 5


def test_an_outage_is_timed_to_the_probe(edge, tmp_path):
    """Truth is known: the server failed between two times; the first bad and the next good probe lie around them."""
    folder = RunFolder(tmp_path / "run")
    with edge() as (url, behaviour):
        engine = beacon_engine(folder, Beacon(path="/api/ping"), url)
        engine.start()
        deadline = time.monotonic() + 20
        while engine.poll().recorded < 20 and time.monotonic() < deadline:
            time.sleep(0.02)
        behaviour.fail, began = 1.0, time.monotonic_ns()
        time.sleep(0.5)
        behaviour.fail, over = 0.0, time.monotonic_ns()
        time.sleep(0.5)
        state = engine.stop()
    assert (state.exit_code, state.problem) == (0, "")
    found = sorted(rows(folder, "beacon").to_pylist(), key=lambda row: row["intended_ns"])
    bad = [row for row in found if row["status"] == 503]
    assert began < bad[0]["finished_ns"]
    assert bad[-1]["started_ns"] < over
    good_again = next(row for row in found if row["intended_ns"] > bad[-1]["intended_ns"])
    assert bad[-1]["started_ns"] <= over <= good_again["finished_ns"]


def test_it_is_cheap(tmp_path):
    folder = RunFolder(tmp_path / "run")
    with serving() as (url, _):
        engine = beacon_engine(folder, Beacon(path="/api/ping"), url)
        engine.start()
        deadline = time.monotonic() + 20
        while engine.poll().recorded < 100 and time.monotonic() < deadline:
            time.sleep(0.05)
        cpu = engine.poll().cpu
        engine.stop()
    assert cpu < 0.1  # of a core; about 0.01 is usual


def test_a_record_that_cannot_be_written_ends_it(tmp_path):
    with serving() as (url, _):
        code = f"""
import resource, sys
from harness.load.beacon import main
unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, unlimited[1]))
code = main(["--url", "{url}/api/ping", "--record", "{tmp_path}"])
resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
sys.exit(code)
"""
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert done.returncode == 74
    assert "cannot write the record" in done.stderr
    assert "Traceback" not in done.stderr
    assert read(stream(tmp_path, "beacon")).table.num_rows > 5


@pytest.mark.parametrize(
    "argv",
    [
        ["--url", "https://h/"],
        ["--url", "http://no.such.host.invalid/"],
        ["--url", "http://127.0.0.1:1", "--every", "20"],
    ],
)
def test_wrong_options_are_told(tmp_path, capsys, argv):
    assert beacon_main([*argv, "--record", str(tmp_path)]) == 20
    assert capsys.readouterr().err.strip()


def test_sigterm_ends_it_as_well(tmp_path):
    with serving() as (url, _):
        argv = [sys.executable, "-m", "harness.load.beacon", "--url", f"{url}/api/ping", "--record", str(tmp_path)]
        child = subprocess.Popen(argv, env=os.environ | {"HARNESS_RUN": "mark"})
        deadline = time.monotonic() + 20
        while not (tmp_path / "beacon-status.json").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        child.terminate()
        assert child.wait(10) == 0
    assert b'"done":true' in (tmp_path / "beacon-status.json").read_bytes()
