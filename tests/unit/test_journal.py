import multiprocessing
import os
from pathlib import Path

import pytest

from harness.journal import log
from harness.model.events import EVENT, Problem, Stage


def test_events_come_back_as_they_were_written(tmp_path: Path) -> None:
    journal = tmp_path / "journal.jsonl"
    written = log.append(journal, Stage(name="steady", title="undisturbed"))
    assert log.read(journal) == (written,)
    assert written.pid == os.getpid()
    assert written.mono_ns > 0


def test_a_torn_line_is_a_problem_not_an_exception(tmp_path: Path) -> None:
    journal = tmp_path / "journal.jsonl"
    log.append(journal, Stage(name="steady"))
    whole = journal.read_bytes()
    journal.write_bytes(whole + whole[: len(whole) // 2])
    events = log.read(journal)
    assert isinstance(events[0], Stage)
    assert isinstance(events[1], Problem)
    assert "journal.jsonl:2" in events[1].where


def test_a_missing_journal_is_a_problem(tmp_path: Path) -> None:
    (event,) = log.read(tmp_path / "none.jsonl")
    assert isinstance(event, Problem)


def _write_many(journal: Path, name: str) -> None:
    for number in range(50):
        log.append(journal, Stage(name=name, title=f"{number} " + "x" * 5000))


def test_lines_of_several_processes_stay_whole(tmp_path: Path) -> None:
    journal = tmp_path / "journal.jsonl"
    writers = [
        multiprocessing.get_context("fork").Process(target=_write_many, args=(journal, f"w{n}")) for n in range(3)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    events = log.read(journal)
    assert len(events) == 150
    assert all(isinstance(event, Stage) for event in events)


def test_a_full_disk_is_an_error_and_loses_nothing_before(tmp_path: Path) -> None:
    import resource

    journal = tmp_path / "journal.jsonl"
    log.append(journal, Stage(name="first"))

    def fill() -> None:
        import signal

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (journal.stat().st_size + 10, resource.RLIM_INFINITY))
        try:
            log.append(journal, Stage(name="second"))
        except OSError:
            os._exit(7)
        os._exit(0)

    child = multiprocessing.get_context("fork").Process(target=fill)
    child.start()
    child.join()
    assert child.exitcode == 7
    assert log.read(journal)[0] == EVENT.validate_json(journal.read_bytes().split(b"\n")[0])


@pytest.mark.parametrize("line", [b"{}", b"[]", b"null", b'{"event": "unknown"}', b"\xff\xfe", b'{"event":"stage"}'])
def test_foreign_lines_are_problems(tmp_path: Path, line: bytes) -> None:
    journal = tmp_path / "journal.jsonl"
    journal.write_bytes(line + b"\n")
    (event,) = log.read(journal)
    assert isinstance(event, Problem)


def test_following_tells_each_whole_line_once(tmp_path: Path) -> None:
    journal = tmp_path / "journal.jsonl"
    first = log.append(journal, Stage(name="a"))
    with journal.open("ab") as stream:
        stream.write(b'{"event":"sta')
    events, offset = log.read_from(journal, 0)
    assert events == (first,)
    with journal.open("ab") as stream:
        stream.write(b'ge","name":"b"}\n')
    events, offset = log.read_from(journal, offset)
    assert [event.name for event in events if isinstance(event, Stage)] == ["b"]
    assert log.read_from(journal, offset) == ((), offset)
