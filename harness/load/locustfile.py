"""Which journeys a locustfile has, without running it: importing it would patch the whole process."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from harness.errors import BadInput


def journeys(file: Path) -> dict[str, int]:
    """journey → line of its @journey("…"). Raises BadInput when the file is not Python, has none, or has one twice."""
    try:
        tree = ast.parse(file.read_bytes(), str(file))
    except OSError as error:
        raise BadInput(f"cannot be read: {error.strerror}", file=file) from error
    except (SyntaxError, ValueError) as error:
        line = error.lineno if isinstance(error, SyntaxError) else None
        cause = error.msg if isinstance(error, SyntaxError) else str(error)
        raise BadInput(f"is not Python: {cause}", file=file, line=line) from error
    found: dict[str, int] = {}
    for name, line in _marks(tree):
        if name in found:
            raise BadInput(f"journey {name!r} was defined in line {found[name]} already", file=file, line=line)
        found[name] = line
    if not found:
        raise BadInput("has no journey", file=file, fix='mark a method of an OpenLoopUser with @journey("name")')
    return found


def _marks(tree: ast.AST) -> Iterator[tuple[str, int]]:
    methods = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))
    for mark in (mark for method in methods for mark in method.decorator_list):
        if isinstance(mark, ast.Call) and ast.unparse(mark.func).rpartition(".")[2] == "journey":
            match mark.args:
                case [ast.Constant(value=str() as name)]:
                    yield name, mark.lineno
