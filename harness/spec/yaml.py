"""YAML → frozen model, keeping the line of every key so that an error can name its place."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from harness.errors import BadInput, BadInputs

MAX_BYTES = 2 * 1024 * 1024
MAX_NODES = 200_000
MAX_DEPTH = 60
_BRACKETS = re.compile(r"[\[\]{}]")
KeyPath = Sequence[str | int]
T = TypeVar("T", bound=BaseModel)


@dataclass(frozen=True)
class Node:
    """Plain data together with the line (1-based) of every mapping key and list item below it."""

    file: Path
    data: Any
    lines: dict[tuple[str | int, ...], int]
    first_line: int = 1

    def line(self, path: KeyPath) -> int:
        """Line of the innermost part of the path that stands in the file."""
        parts = tuple(path)
        while parts and parts not in self.lines:
            parts = parts[:-1]
        return self.lines.get(parts, self.first_line)

    def below(self, path: KeyPath, data: Any) -> Node:
        """A part of the document as a node of its own, so that mistakes in it keep their lines."""
        parts = tuple(path)
        lines = {key[len(parts) :]: line for key, line in self.lines.items() if key[: len(parts)] == parts}
        return Node(self.file, data, lines, self.line(parts))

    def key(self, path: KeyPath) -> str:
        """How the path is told."""
        return dotted(path)

    def error(self, path: KeyPath, cause: str, fix: str = "") -> BadInput:
        """A BadInput that points at this path of the file."""
        return BadInput(cause, file=self.file, line=self.line(path), key=dotted(path), fix=fix)


@dataclass(frozen=True)
class Located(Generic[T]):
    """A checked value and where its parts stand."""

    value: T
    node: Node

    @property
    def file(self) -> Path:
        return self.node.file

    def line(self, path: KeyPath) -> int:
        return self.node.line(path)

    def error(self, path: KeyPath, cause: str, fix: str = "") -> BadInput:
        return self.node.error(path, cause, fix)


def dotted(path: KeyPath) -> str:
    """spec.objectives[0].target"""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else (f".{part}" if text else str(part))
    return text


def read_text(file: Path) -> str:
    """The text of a file; BadInput when it cannot be read, is too large, or is not UTF-8 text."""
    try:
        if file.stat().st_size > MAX_BYTES:
            raise BadInput(f"larger than {MAX_BYTES // 1024} KiB", file=file, fix="is this the right file?")
        raw = file.read_bytes()
    except FileNotFoundError:
        raise BadInput("no such file", file=file, fix="check the path; it counts from the folder you are in") from None
    except OSError as error:
        raise BadInput(error.strerror or str(error), file=file, fix="make the file readable") from None
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise BadInput("not UTF-8 text", file=file, line=1, fix="save the file as UTF-8 YAML") from None
    if "\x00" in text:
        raise BadInput("a binary file", file=file, line=1, fix="name a YAML file")
    return text


def read_documents(file: Path) -> list[Node]:
    """All YAML documents of a file as plain data with lines. Duplicate keys, bombs and empty files are refused."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError
    from ruamel.yaml.nodes import Node as RawNode

    text = read_text(file)
    _check_nesting(text, file)
    yaml = YAML(typ="safe", pure=True)
    yaml.version = (1, 2)  # YAML 1.2: `on` and `no` are strings
    nodes: list[Node] = []
    try:
        loader_nodes: Iterable[RawNode] = yaml.compose_all(text)
        for raw in loader_nodes:
            if raw is None:
                continue
            lines: dict[tuple[str | int, ...], int] = {}
            budget = [MAX_NODES]
            data = _plain(raw, (), lines, budget, file, yaml)
            nodes.append(Node(file, data, lines, raw.start_mark.line + 1))
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise BadInput(
            str(error.problem or error.context or "not YAML").split("\n")[0],
            file=file,
            line=mark.line + 1 if mark else 1,
            fix="check indentation, quotes and colons on this line",
        ) from None
    except (YAMLError, ValueError, RecursionError) as error:
        raise BadInput(
            f"not YAML: {str(error).splitlines()[0][:200]}", file=file, line=1, fix="check the file"
        ) from None
    if not nodes:
        raise BadInput("the file is empty", file=file, line=1, fix="see the examples in docs/")
    return nodes


def _check_nesting(text: str, file: Path) -> None:
    """Refuses a tower of brackets before the parser, whose time grows with the square of its height, sees it."""
    depth = 0
    for number, line in enumerate(text.splitlines(), 1):
        for bracket in _BRACKETS.findall(line):
            depth = depth + 1 if bracket in "[{" else max(0, depth - 1)
            if depth > MAX_DEPTH:
                raise BadInput("nested too deeply", file=file, line=number, fix="close the brackets, or flatten it")


def _plain(
    raw: Any,
    path: tuple[str | int, ...],
    lines: dict[tuple[str | int, ...], int],
    budget: list[int],
    file: Path,
    yaml: Any,
) -> Any:
    budget[0] -= 1
    line = raw.start_mark.line + 1
    if budget[0] < 0:
        raise BadInput("expands to too many values (a YAML bomb?)", file=file, line=line, fix="remove nested aliases")
    if len(path) > MAX_DEPTH:
        raise BadInput("nested too deeply", file=file, line=line, fix="flatten the document")
    lines.setdefault(path, line)
    kind = type(raw).__name__
    if kind == "MappingNode":
        mapping: dict[str, Any] = {}
        for key_node, value_node in raw.value:
            key = key_node.value
            place = key_node.start_mark.line + 1
            if not isinstance(key, str):
                raise BadInput("a key must be a plain word", file=file, line=place, fix="quote or rename the key")
            if key in mapping:
                raise BadInput(
                    f"{key!r} stands here a second time",
                    file=file,
                    line=place,
                    key=dotted((*path, key)),
                    fix="keep one",
                )
            lines[(*path, key)] = place
            mapping[key] = _plain(value_node, (*path, key), lines, budget, file, yaml)
        return mapping
    if kind == "SequenceNode":
        return [_plain(item, (*path, index), lines, budget, file, yaml) for index, item in enumerate(raw.value)]
    try:
        return _scalar(raw)
    except ValueError as error:
        raise BadInput(str(error), file=file, line=line, key=dotted(path), fix="quote the value") from None


def _scalar(raw: Any) -> Any:
    tag, value = str(raw.tag), raw.value
    short = tag.rsplit(":", 1)[-1]
    if short == "null":
        return None
    if short == "bool":
        return value.lower() == "true"
    if short == "int":
        return int(value.replace("_", ""), 0) if value.lower().startswith(("0x", "0o")) else int(value.replace("_", ""))
    if short == "float":
        return float(value.replace("_", "").replace(".inf", "inf").replace(".nan", "nan"))
    if short in ("str", "timestamp"):
        return value
    raise ValueError(f"the tag {tag} is not allowed here")


def parse(node: Node, model: type[T]) -> Located[T]:
    """The node as a value of the model. Raises BadInputs: one entry per mistake, with file, line, cause and fix."""
    try:
        return Located(model.model_validate(node.data), node)
    except ValidationError as invalid:
        details = invalid.errors()
        # A list whose only item is wrong is also reported as too short: that mistake is a consequence, not told.
        causes = [one for one in details if not any(_below(other["loc"], one["loc"]) for other in details)]
        raise BadInputs([_mistake(node, dict(detail), model) for detail in causes]) from None


def _below(path: tuple[int | str, ...], other: tuple[int | str, ...]) -> bool:
    return len(path) > len(other) and path[: len(other)] == other


def load_document(file: Path, model: type[T]) -> Located[T]:
    """The single document of a file as a value of the model."""
    nodes = read_documents(file)
    if len(nodes) > 1:
        raise BadInput("has more than one document", file=file, line=nodes[1].first_line, fix="split the file at ---")
    return parse(nodes[0], model)


def _mistake(node: Node, detail: dict[str, Any], model: type[BaseModel]) -> BadInput:
    path = [
        part
        for part in detail["loc"]
        if not (isinstance(part, str) and part.startswith(("function-", "tagged-", "json-")))
    ]
    kind, cause, fix = detail["type"], str(detail["msg"]), ""
    if kind == "extra_forbidden":
        known = _fields_at(model, path[:-1])
        close = difflib.get_close_matches(str(path[-1]), known, n=1)
        cause = f"unknown key {path[-1]!r}"
        fix = (
            f"did you mean {close[0]!r}?"
            if close
            else f"known keys: {', '.join(sorted(known))}"
            if known
            else "remove it"
        )
    elif kind == "missing":
        cause, fix = f"{path[-1]!r} is missing", f"add {path[-1]!r}"
    elif kind == "too_short":
        cause, fix = "must not be empty", "see the reference of this file in docs/reference/"
    elif kind == "value_error":
        cause = cause.removeprefix("Value error, ")
        fix = "see the reference of this file in docs/reference/"
    else:
        given = detail.get("input")
        cause = f"{cause} (given: {str(given)[:60]!r})" if isinstance(given, str | int | float | bool) else cause
        fix = "see the reference of this file in docs/reference/"
    return node.error(path, cause, fix)


def _fields_at(model: Any, path: Sequence[str | int]) -> list[str]:
    """Names a mapping at this path may have, as written in YAML; empty where the type is not a model."""
    current: Any = model
    for part in path:
        current = next(iter(_models(current)), None)
        if current is None:
            return []
        if isinstance(part, int):
            continue
        fields = {field.alias or name: field.annotation for name, field in current.model_fields.items()}
        if part not in fields:
            continue
        current = fields[part]
    found = next(iter(_models(current)), None)
    return [field.alias or name for name, field in found.model_fields.items()] if found else []


def _models(annotation: Any) -> list[type[BaseModel]]:
    import typing

    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in typing.get_args(annotation) for model in _models(argument)]
