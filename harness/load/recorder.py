"""Crash-safe streams of fixed-width rows, and how they are read, also while they grow.

A stream is two files: `NAME.rows` (one JSON line with the columns, then rows without padding) and `NAME.names` (one
JSON string per line; a row holds the line's number). Rows are gathered in memory and handed to the kernel by `flush`,
names before the rows that use them, so a SIGKILL can tear the last row at most; rows handed over survive it.
Writing needs neither numpy nor pyarrow.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import HarnessError

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

_CODES = {"int64": "q", "int16": "h", "int8": "b", "float64": "d", "string": "I"}
_DTYPES = {"int64": "<i8", "int16": "<i2", "int8": "i1", "float64": "<f8", "string": "<u4"}


class RecordError(HarnessError):
    """The record cannot be written (full disk, lost folder): what is not recorded must not go on."""


class _Names(dict[str, int]):
    """text → number; a new text is queued for the names file."""

    def __init__(self) -> None:
        super().__init__()
        self.queued = bytearray()

    def __missing__(self, text: str) -> int:
        number = self[text] = len(self)
        self.queued += json.dumps(text).encode() + b"\n"
        return number


class Stream:
    """Appends rows; one writer. `columns` maps names to Arrow types as in harness.model.records."""

    def __init__(self, path: Path, columns: Mapping[str, str]) -> None:
        self._path = path
        self._pack = struct.Struct("<" + "".join(_CODES[kind] for kind in columns.values())).pack
        self._texts = [position for position, kind in enumerate(columns.values()) if kind == "string"]
        self._names = _Names()
        self._rows = bytearray()
        self.written = 0
        draft = path.with_suffix(".draft")
        try:
            self._names_file = os.open(names_path(path), os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
            self._rows_file = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
            self._write(self._rows_file, bytearray(json.dumps({"columns": dict(columns)}).encode() + b"\n"))
            draft.rename(path)  # a record that can be seen has its first line
        except OSError as error:
            raise RecordError(f"cannot open the record {path}: {error.strerror}") from error

    def append(self, row: list[Any]) -> None:
        """Takes one row, a value per column; the list is used up. About a microsecond, never blocks, never fails."""
        names = self._names
        for position in self._texts:
            row[position] = names[row[position]]
        self._rows += self._pack(*row)
        self.written += 1

    def flush(self) -> None:
        """Hands everything to the kernel; raises RecordError when it does not take all of it."""
        self._write(self._names_file, self._names.queued)
        self._write(self._rows_file, self._rows)

    def close(self) -> None:
        try:
            self.flush()
        finally:
            os.close(self._names_file)
            os.close(self._rows_file)

    def _write(self, descriptor: int, data: bytearray) -> None:
        try:
            while data:  # a short write is told by the error of the next one
                del data[: os.write(descriptor, data)]
        except OSError as error:
            raise RecordError(f"cannot write the record {self._path}: {error.strerror}") from error


@dataclass(frozen=True)
class Record:
    """A stream as read: the whole rows, and how many bytes of a torn last row were left out."""

    table: pa.Table
    torn: int


def names_path(path: Path) -> Path:
    return path.with_suffix(".names")


def read(path: Path) -> Record:
    """All whole rows. Raises RecordError when the file is missing or was not written by a Stream."""
    return _read(path, 0)


def tail(path: Path, from_row: int) -> pa.Table:
    """The whole rows from this one on, of a stream that may still grow; the next call starts num_rows later."""
    return _read(path, from_row).table


def _read(path: Path, from_row: int) -> Record:
    import numpy as np

    try:
        with path.open("rb") as file:
            columns = _columns(path, file.readline(65536))
            dtype = np.dtype([(name, _DTYPES[kind]) for name, kind in columns.items()])
            file.seek(from_row * dtype.itemsize, os.SEEK_CUR)
            data = file.read()  # before the names: a name is always on disk before the row that uses it
        names = _read_names(names_path(path)) if "string" in columns.values() else []
    except OSError as error:
        raise RecordError(f"cannot read the record {path}: {error.strerror}") from error
    whole = len(data) // dtype.itemsize
    rows = np.frombuffer(data, dtype, whole)
    return Record(_table(path, columns, rows, names), len(data) - whole * dtype.itemsize)


def _columns(path: Path, line: bytes) -> dict[str, str]:
    try:
        columns = json.loads(line)["columns"]
        if not line.endswith(b"\n") or not all(kind in _CODES for kind in columns.values()):
            raise ValueError
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RecordError(f"{path} is not a record: its first line does not name the columns") from error
    return dict(columns)


def _read_names(path: Path) -> list[str]:
    whole = path.read_bytes().rpartition(b"\n")[0]
    return [json.loads(line) for line in whole.split(b"\n")] if whole else []


def _table(path: Path, columns: Mapping[str, str], rows: np.ndarray[Any, Any], names: Sequence[str]) -> pa.Table:
    import numpy as np
    import pyarrow as pa

    def texts(values: np.ndarray[Any, Any]) -> pa.Array:
        used, indices = np.unique(values, return_inverse=True)
        if len(used) and used[-1] >= len(names):
            raise RecordError(f"{path} is damaged: a row uses name {used[-1]} of {len(names)}")
        return pa.DictionaryArray.from_arrays(
            pa.array(indices.astype(np.int32)), pa.array([names[number] for number in used], pa.string())
        )

    def column(name: str, kind: str) -> pa.Array:
        values = np.ascontiguousarray(rows[name])
        return texts(values) if kind == "string" else pa.array(values)

    return pa.table({name: column(name, kind) for name, kind in columns.items()})


def schema(columns: Mapping[str, str]) -> pa.Schema:
    """The Arrow schema of these columns; strings are dictionary-encoded."""
    import pyarrow as pa

    plain: Callable[[str], Any] = pa.type_for_alias
    kinds = {
        name: pa.dictionary(pa.int32(), pa.string()) if kind == "string" else plain(kind)
        for name, kind in columns.items()
    }
    return pa.schema(list(kinds.items()))
