"""Streams on disk: crash-safe, readable while they grow, and loud when the disk takes no more."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap

import pytest

from harness.load.recorder import RecordError, Stream, names_path, read, schema, tail
from harness.model.records import LEDGER_COLUMNS, REQUEST_COLUMNS

COLUMNS = {"number": "int64", "text": "string"}


def texts(table):
    return table["text"].to_pylist()


def test_rows_come_back_in_the_columns_of_the_contract(tmp_path):
    stream = Stream(tmp_path / "requests.rows", REQUEST_COLUMNS)
    stream.append([0, "chat", 10, 20, 30, 0, 200, 1, 3, "1.0.0", "sjc", "api-1"])
    stream.append([1, "chat", 11, -1, -1, 4, 0, 0, 0, "", "", ""])
    stream.close()
    table = read(tmp_path / "requests.rows").table
    assert table.schema.equals(schema(REQUEST_COLUMNS))
    assert table.to_pylist()[1] == dict(
        zip(REQUEST_COLUMNS, [1, "chat", 11, -1, -1, 4, 0, 0, 0, "", "", ""], strict=True)
    )


def test_nothing_is_on_disk_before_a_flush_and_everything_after(tmp_path):
    path = tmp_path / "x.rows"
    stream = Stream(path, COLUMNS)
    stream.append([1, "one"])
    assert read(path).table.num_rows == 0
    stream.flush()
    assert texts(read(path).table) == ["one"]


def test_a_growing_record_is_read_from_a_row_on(tmp_path):
    path, seen = tmp_path / "x.rows", []
    stream = Stream(path, COLUMNS)
    for number in range(5):
        stream.append([number, f"text {number % 2}"])
        stream.flush()
        seen += texts(tail(path, len(seen)))
    assert seen == ["text 0", "text 1", "text 0", "text 1", "text 0"]
    assert tail(path, 5).num_rows == 0
    assert tail(path, 99).num_rows == 0


def test_a_name_is_written_once_and_before_its_row(tmp_path):
    path = tmp_path / "x.rows"
    stream = Stream(path, COLUMNS)
    for number in range(1000):
        stream.append([number, "the same\nwith a line break and ünïcode"])
    stream.close()
    assert names_path(path).read_bytes().count(b"\n") == 1
    assert set(texts(read(path).table)) == {"the same\nwith a line break and ünïcode"}


def test_a_row_whose_name_is_missing_is_damage_not_a_guess(tmp_path):
    path = tmp_path / "x.rows"
    stream = Stream(path, COLUMNS)
    stream.append([1, "one"])
    stream.close()
    names_path(path).write_bytes(b"")
    with pytest.raises(RecordError, match="damaged"):
        read(path)


@pytest.mark.parametrize("content", [b"", b"\0\0\0\0", b"not json\n", b'{"columns": {"a": "int128"}}\n', b'{"columns'])
def test_a_foreign_file_is_refused(tmp_path, content):
    (tmp_path / "x.rows").write_bytes(content)
    with pytest.raises(RecordError, match="not a record"):
        read(tmp_path / "x.rows")


def test_a_missing_record_and_an_unwritable_folder_are_told(tmp_path):
    with pytest.raises(RecordError, match="No such file"):
        read(tmp_path / "none.rows")
    with pytest.raises(RecordError, match="cannot open the record"):
        Stream(tmp_path / "no" / "such" / "folder" / "x.rows", COLUMNS)


def test_a_reader_survives_a_row_that_is_only_half_there(tmp_path):
    path = tmp_path / "x.rows"
    stream = Stream(path, LEDGER_COLUMNS)
    for number in range(3):
        stream.append([f"key-{number}", "ab" * 32, number, number + 1, "sjc", "write"])
    stream.close()
    os.truncate(path, path.stat().st_size - 1)
    record = read(path)
    assert (record.table.num_rows, record.torn) == (2, 4 + 4 + 8 + 8 + 4 + 4 - 1)


def run_child(tmp_path, body):
    program = f"""
    import os, resource, signal, sys, time
    from pathlib import Path
    from harness.load.recorder import RecordError, Stream
    stream = Stream(Path({str(tmp_path / "x.rows")!r}), {COLUMNS!r})
    """
    code = textwrap.dedent(program) + textwrap.dedent(body)
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)


def test_a_kill_loses_only_what_was_not_flushed(tmp_path):
    done = run_child(
        tmp_path,
        """
        for number in range(1000):
            stream.append([number, f"name {number}"])
            if number == 899:
                stream.flush()
        os.kill(os.getpid(), signal.SIGKILL)
        """,
    )
    assert done.returncode == -signal.SIGKILL
    record = read(tmp_path / "x.rows")
    assert texts(record.table) == [f"name {number}" for number in range(900)]


def test_a_full_disk_is_an_error_and_what_was_written_can_be_read(tmp_path):
    """The file size limit stands for the disk: the kernel writes short, then refuses."""
    done = run_child(
        tmp_path,
        """
        unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, unlimited[1]))
        try:
            for number in range(5000):
                stream.append([number, "x"])
                if number % 100 == 99:
                    stream.flush()
        except RecordError as error:
            resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
            print(error)
            sys.exit(74)
        """,
    )
    assert done.returncode == 74
    assert "cannot write the record" in done.stdout
    assert "File too large" in done.stdout
    record = read(tmp_path / "x.rows")
    assert 700 < record.table.num_rows < 5000
    assert record.table["number"].to_pylist() == list(range(record.table.num_rows))


def test_writing_imports_neither_numpy_nor_pyarrow(tmp_path):
    done = run_child(tmp_path, "print(sorted({'numpy', 'pyarrow', 'gevent'} & set(sys.modules)))")
    assert done.stdout.strip() == "[]"
