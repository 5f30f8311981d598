from pathlib import Path

import pytest

from harness.errors import BadInput, BadInputs
from harness.model.platform import Platform
from harness.model.scenario import Scenario
from harness.spec.yaml import load_document, read_documents

PLATFORM = """\
apiVersion: harness/v1
kind: Platform
metadata: {name: tiny}
spec:
  endpoints: {edge: "http://${web.http}"}
  services:
    - name: web
      command: [serve]
      ready_within: 5s
  phases:
    - {name: one, services: [web]}
"""


def write(folder: Path, text: str | bytes) -> Path:
    file = folder / "x.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


def test_a_good_document_is_a_value_and_knows_its_lines(tmp_path: Path) -> None:
    located = load_document(write(tmp_path, PLATFORM), Platform)
    assert located.value.spec.services[0].ready_within == 5.0
    assert located.line(("spec", "services", 0, "ready_within")) == 9
    assert located.line(("spec", "services", 0, "not there")) == 7


@pytest.mark.parametrize(
    ("old", "new", "line", "cause", "fix"),
    [
        ("ready_within", "ready_withn", 9, "unknown key 'ready_withn'", "did you mean 'ready_within'?"),
        ("5s", "5", 9, "5 is not a duration", "docs/reference"),
        ("5s", "5 parsecs", 9, "not a duration", "docs/reference"),
        ("name: web\n      command", "command", 7, "'name' is missing", "add 'name'"),
        ("name: web", "name: Web_", 7, "match pattern", "docs/reference"),
        ("kind: Platform", "kind: Plattform", 2, "'Platform'", "docs/reference"),
        ("metadata: {name: tiny}", "metadata: {name: tiny, name: b}", 3, "a second time", "keep one"),
        ("[serve]", "!!python/name:os.system ''", 8, "not allowed here", "quote"),
        ("[serve]", "[serve", 8, "expected", "indentation"),
    ],
)
def test_a_mistake_is_told_with_line_cause_and_fix(
    tmp_path: Path, old: str, new: str, line: int, cause: str, fix: str
) -> None:
    file = write(tmp_path, PLATFORM.replace(old, new))
    with pytest.raises(BadInput) as caught:
        load_document(file, Platform)
    text = str(caught.value)
    assert cause in text
    assert fix in text
    mistakes = caught.value.mistakes if isinstance(caught.value, BadInputs) else [caught.value]
    assert line in [mistake.line for mistake in mistakes] or (cause == "expected" and mistakes[0].line)
    assert str(file) in text


def test_every_mistake_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(BadInputs) as caught:
        load_document(write(tmp_path, PLATFORM.replace("5s", "5").replace("[serve]", "[]")), Platform)
    assert len(caught.value.mistakes) == 2


BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9)
)


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        ("", "empty"),
        ("# only a comment\n", "empty"),
        (b"\x80\x81\xff", "not UTF-8"),
        (b"a: \x00", "binary"),
        ("a: &a\n  b: *a\n", "nested too deeply"),
        ("a:\n  - " + "[" * 20_000, "nested too deeply"),
        (BOMB, "bomb"),
        ("[" * 500, "."),
        ("a: 1\n---\na: 2\n", "more than one document"),
        ("? [1, 2]\n: x\n", "plain word"),
        ("- 1\n", "valid dict"),
        ("just words", "valid dict"),
        ("a" * (3 * 1024 * 1024), "larger than"),
    ],
)
def test_hostile_files_are_refused_in_words(tmp_path: Path, content: str | bytes, cause: str) -> None:
    with pytest.raises(BadInput, match=cause):
        load_document(write(tmp_path, content), Scenario)


def test_missing_and_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no such file"):
        read_documents(tmp_path / "none.yaml")
    with pytest.raises(BadInput):
        read_documents(tmp_path)


def test_yaml_1_2_words_stay_words(tmp_path: Path) -> None:
    assert read_documents(write(tmp_path, "a: on\nb: no\nc: true\nd: 0o17\ne: 1_000\nf: 012\n"))[0].data == {
        "a": "on", "b": "no", "c": True, "d": 15, "e": 1000, "f": 12,
    }  # fmt: skip
