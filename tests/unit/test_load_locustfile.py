"""The journeys of a locustfile, read without running it."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import BadInput
from harness.load.locustfile import journeys

SOPHIA = Path(__file__).parents[2] / "loadtests" / "sophia.py"


def test_the_journeys_of_the_platform():
    found = journeys(SOPHIA)
    assert list(found) == ["chat", "memory-write", "memory-read", "memory-delete", "search"]
    assert all("@journey" in SOPHIA.read_text().splitlines()[line - 1] for line in found.values())


def test_nothing_of_the_file_is_run(tmp_path):
    (tmp_path / "x.py").write_text('raise SystemExit\nclass A:\n    @load.journey("one")\n    def one(self): ...\n')
    assert journeys(tmp_path / "x.py") == {"one": 3}


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"def broken(:\n", r"x\.py:1: is not Python"),
        (b"\0\0", r"x\.py.*is not Python"),
        (b"\xff\xfe", r"x\.py.*is not Python"),
        (b"", "has no journey"),
        (b"@other('a')\ndef a(): ...\n@journey(name)\ndef b(): ...\n@journey\ndef c(): ...", "has no journey"),
        (b"@journey('a')\ndef a(): ...\n@journey('a')\ndef b(): ...\n", r"x\.py:3: journey 'a' was defined in line 1"),
    ],
)
def test_a_file_without_clear_journeys_is_bad_input(tmp_path, content, told):
    (tmp_path / "x.py").write_bytes(content)
    with pytest.raises(BadInput, match=told):
        journeys(tmp_path / "x.py")


def test_a_missing_file_is_bad_input(tmp_path):
    with pytest.raises(BadInput, match="cannot be read"):
        journeys(tmp_path / "none.py")
