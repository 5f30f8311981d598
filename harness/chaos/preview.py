"""Experiment files, before anything starts: are they right, and what are their faults going to touch?

Chaos Toolkit's own check of a file knows no lines and stops at the first mistake, so what we know better is looked at
first, and its check last.
"""

from __future__ import annotations

import difflib
import importlib.util
import inspect
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from harness import faults
from harness.chaos import actions, probes
from harness.chaos.lifecycle import check_blast_radius, check_parameters
from harness.errors import BadInput, BadInputs
from harness.model.platform import Platform
from harness.ports import FaultInjector
from harness.spec.yaml import KeyPath, Node, read_documents

OURS = {actions.__name__: actions, probes.__name__: probes}
KEYS = {
    "version", "title", "description", "tags", "contributions", "configuration", "secrets", "controls", "extensions",
    "steady-state-hypothesis", "method", "rollbacks", "runtime", "experiment",
}  # fmt: skip
ACTIVITY_KEYS = {
    "type", "name", "provider", "tolerance", "pauses", "background", "controls", "ref", "timeout", "secrets",
}  # fmt: skip
VARIABLE = re.compile(r"\$\{([^{}]+)\}")
CASTS = {"int": int, "integer": int, "float": float, "number": float, "str": str, "string": str}


@dataclass(frozen=True)
class DeclaredFault:
    """A fault as its experiment declares it, variables replaced by their values."""

    kind: str
    name: str
    parameters: dict[str, JsonValue]
    blast_radius: int
    path: KeyPath
    injector: FaultInjector


@dataclass(frozen=True)
class Foreseen:
    """What a fault of an experiment is going to touch on a platform; `requires`: capabilities a target must have."""

    kind: str
    parameters: dict[str, JsonValue]
    selection: tuple[str, ...]
    blast_radius: int
    requires: tuple[type[Any], ...]
    file: Path
    line: int


@dataclass(frozen=True)
class Experiment:
    """A checked experiment file."""

    title: str
    description: str
    faults: tuple[DeclaredFault, ...]
    node: Node


def preview(
    file: Path,
    platform: Platform,
    blast_radius: int | None = None,
    environ: Mapping[str, str] | None = None,
    chosen: Mapping[str, JsonValue] | None = None,
) -> list[Foreseen]:
    """What each fault of the experiment will touch on this platform, in order.

    `blast_radius` is the most that the scenario allows, beside what the experiment itself declares; `environ` is the
    environment that the experiment will run in, `chosen` what its configuration is set to. Raises BadInput with file
    and line when the file is not right, or when a fault selects nothing or too much.
    """
    experiment = load_experiment(file, environ, chosen)
    foreseen = []
    for fault in experiment.faults:
        selection = fault.injector.predict(
            platform.spec, check_parameters(fault.injector, fault.kind, fault.parameters)
        ).names
        allowed = fault.blast_radius if blast_radius is None else min(fault.blast_radius, blast_radius)
        try:
            check_blast_radius(fault.kind, selection, allowed)
        except BadInput as mistake:
            path = (*fault.path, "provider", "arguments", "blast_radius" if selection else "parameters")
            raise experiment.node.error(path, mistake.cause, mistake.fix) from None
        foreseen.append(
            Foreseen(
                fault.kind,
                fault.parameters,
                selection,
                fault.blast_radius,
                fault.injector.REQUIRES,
                file,
                experiment.node.line(fault.path),
            )
        )
    return foreseen


def load_experiment(
    file: Path, environ: Mapping[str, str] | None = None, chosen: Mapping[str, JsonValue] | None = None
) -> Experiment:
    """Reads and checks an experiment file. Raises BadInputs with every mistake found: file, line, cause, fix."""
    nodes = read_documents(file)
    if len(nodes) > 1:
        raise BadInput("has more than one document", file=file, line=nodes[1].first_line, fix="split the file at ---")
    node = nodes[0]
    mistakes = list(_document(node))
    if mistakes:
        raise BadInputs(sorted(mistakes, key=lambda mistake: mistake.line or 0))
    values = _configuration(node, os.environ if environ is None else environ, chosen or {})
    declared = []
    for path, activity in _activities(node):
        if _function(activity) == "inject":
            try:
                declared.append(_fault(node, path, activity, values))
            except BadInput as mistake:
                mistakes.append(mistake)
    mistakes.extend(_coverage(node, declared))
    if mistakes:
        raise BadInputs(sorted(mistakes, key=lambda mistake: mistake.line or 0))
    _chaos_toolkit_agrees(node)
    return Experiment(node.data["title"], node.data["description"], tuple(declared), node)


def _document(node: Node) -> Iterator[BadInput]:
    data = node.data
    if not isinstance(data, dict):
        yield node.error(
            (), "is not a mapping", "an experiment has title, description, steady-state-hypothesis, method"
        )
        return
    for key in data:
        if key not in KEYS:
            yield node.error((key,), f"unknown key {key!r}", _nearest(key, KEYS))
    for key in ("title", "description"):
        if not isinstance(data.get(key), str) or not data[key].strip():
            yield node.error((key,), f"{key!r} must be a text", f"add {key}: …")
    if not isinstance(data.get("configuration", {}), dict):
        yield node.error(("configuration",), "must be a mapping", "write name: value, or name: {type: env, key: …}")
    hypothesis = data.get("steady-state-hypothesis")
    if not isinstance(hypothesis, dict) or not hypothesis.get("probes"):
        cause = "no steady state is declared: it must be proved before a fault is made"
        yield node.error(("steady-state-hypothesis",), cause, "add steady-state-hypothesis: {title: …, probes: […]}")
    elif not isinstance(hypothesis.get("title"), str):
        yield node.error(("steady-state-hypothesis", "title"), "'title' must be a text", "add title: …")
    if not isinstance(data.get("method"), list):
        yield node.error(("method",), "'method' must be a list of activities", "add method: […]")
    for path, activity in _activities(node):
        yield from _activity(node, path, activity)


def _activities(node: Node) -> Iterator[tuple[KeyPath, Any]]:
    """(path, activity) of hypothesis, method and roll-backs, in the order they are played."""
    hypothesis = node.data.get("steady-state-hypothesis")
    lists: list[tuple[tuple[str | int, ...], Any]] = [
        (("steady-state-hypothesis", "probes"), hypothesis.get("probes") if isinstance(hypothesis, dict) else []),
        (("method",), node.data.get("method")),
        (("rollbacks",), node.data.get("rollbacks")),
    ]
    for path, items in lists:
        if isinstance(items, list):
            yield from (((*path, index), item) for index, item in enumerate(items))


def _activity(node: Node, path: KeyPath, activity: Any) -> Iterator[BadInput]:
    if not isinstance(activity, dict):
        yield node.error(path, "an activity is a mapping", "write type, name and provider")
        return
    if "ref" in activity:
        return
    for key in activity:
        if key not in ACTIVITY_KEYS:
            yield node.error((*path, key), f"unknown key {key!r}", _nearest(key, ACTIVITY_KEYS))
    if activity.get("type") not in ("probe", "action"):
        yield node.error((*path, "type"), f"{activity.get('type')!r} is no type of activity", "write probe or action")
    if not isinstance(activity.get("name"), str):
        yield node.error((*path, "name"), "an activity needs a name", "add name: …")
    if path[0] == "steady-state-hypothesis" and "tolerance" not in activity:
        yield node.error(path, "a probe of the hypothesis needs a tolerance", "add tolerance: …")
    provider = activity.get("provider")
    if not isinstance(provider, dict) or provider.get("type") not in ("python", "process", "http"):
        yield node.error((*path, "provider"), "needs a provider of type python, process or http", "add provider: …")
    elif provider["type"] == "python":
        yield from _python(node, (*path, "provider"), provider)
    elif "timeout" not in provider:
        yield node.error(
            (*path, "provider"), f"a {provider['type']} provider without time-out can hang", "add timeout: …"
        )


def _python(node: Node, path: KeyPath, provider: dict[str, Any]) -> Iterator[BadInput]:
    module, name, arguments = provider.get("module"), provider.get("func"), provider.get("arguments", {})
    if not isinstance(module, str) or not isinstance(name, str):
        yield node.error(path, "a python provider needs module and func", "add module: … and func: …")
        return
    if not isinstance(arguments, dict):
        yield node.error((*path, "arguments"), "must be a mapping", "write name: value")
        return
    if module not in OURS:
        if not _importable(module):
            yield node.error((*path, "module"), f"no module {module!r}", _nearest(module, OURS))
        return
    functions = _public(module)
    if name not in functions:
        yield node.error((*path, "func"), f"{module} has no function {name!r}", _nearest(name, functions))
        return
    signature = inspect.signature(functions[name])
    known = [parameter for parameter in signature.parameters if parameter != "configuration"]
    for argument in arguments:
        if argument not in known:
            cause = f"{name} has no argument {argument!r}"
            yield node.error((*path, "arguments", argument), cause, _nearest(argument, known))
    for parameter in known:
        if signature.parameters[parameter].default is inspect.Parameter.empty and parameter not in arguments:
            yield node.error((*path, "arguments"), f"{name} needs the argument {parameter!r}", f"add {parameter}: …")


def _public(module: str) -> dict[str, Any]:
    members = inspect.getmembers(OURS[module], inspect.isfunction)
    return {name: each for name, each in members if each.__module__ == module and not name.startswith("_")}


def _importable(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def _configuration(node: Node, environ: Mapping[str, str], chosen: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """The values that `${name}` stands for, as Chaos Toolkit will find them; unknown until it runs: left out."""
    values: dict[str, JsonValue] = {}
    declared = node.data.get("configuration") or {}
    for name in chosen:
        if name not in declared:
            raise node.error(("configuration",), f"has no {name!r}, which a scenario sets", _nearest(name, declared))
    for name, value in declared.items():
        path = ("configuration", name)
        if name in chosen:
            values[name] = chosen[name]
        elif not (isinstance(value, dict) and "type" in value):
            values[name] = value
        elif value["type"] == "env":
            if value.get("key") not in environ and "default" not in value:
                raise node.error(path, f"the environment has no {value.get('key')}", "set it, or declare a default")
            cast = value.get("env_var_type")
            if cast is not None and cast not in CASTS:
                raise node.error(path, f"unknown env_var_type {cast!r}", f"one of {', '.join(CASTS)}")
            raw = environ.get(value["key"], value.get("default"))
            try:
                values[name] = CASTS[cast](raw) if cast else raw
            except (TypeError, ValueError):
                cause = f"{value['key']}={raw!r} is not of type {cast}"
                raise node.error(path, cause, f"set {value['key']} to a number") from None
    return values


def _substituted(node: Node, path: KeyPath, value: Any, values: Mapping[str, JsonValue]) -> Any:
    """`${name}` alone keeps the value's type; within a text it becomes text."""
    if isinstance(value, dict):
        return {key: _substituted(node, (*path, key), item, values) for key, item in value.items()}
    if isinstance(value, list):
        return [_substituted(node, (*path, index), item, values) for index, item in enumerate(value)]
    if not isinstance(value, str):
        return value
    for name in VARIABLE.findall(value):
        if name not in values:
            raise node.error(path, f"${{{name}}} is not in the configuration", _nearest(name, values))
    whole = VARIABLE.fullmatch(value)
    return values[whole[1]] if whole else VARIABLE.sub(lambda found: str(values[found[1]]), value)


def _function(activity: Any) -> str:
    """Name of our function that an activity calls, else ""."""
    provider = activity.get("provider") if isinstance(activity, dict) else None
    return str(provider.get("func")) if isinstance(provider, dict) and provider.get("module") in OURS else ""


def _fault(node: Node, path: KeyPath, activity: Any, values: Mapping[str, JsonValue]) -> DeclaredFault:
    place = (*path, "provider", "arguments")
    arguments = _substituted(node, place, activity["provider"]["arguments"], values)
    if path[0] != "method":
        raise node.error(path, "a fault is made in the method only", "move this activity to method")
    kind, parameters = arguments["fault"], arguments["parameters"]
    if not isinstance(parameters, dict):
        raise node.error((*place, "parameters"), "must be a mapping", "write name: value")
    try:
        injector = faults.load(str(kind))
    except BadInput as mistake:
        raise node.error((*place, "fault"), mistake.cause, mistake.fix) from None
    try:
        check_parameters(injector, kind, parameters)
    except BadInput as mistake:
        raise node.error((*place, "parameters", mistake.key), mistake.cause, mistake.fix) from None
    radius = arguments.get("blast_radius", 1)
    if not isinstance(radius, int) or isinstance(radius, bool) or radius < 1:
        raise node.error(
            (*place, "blast_radius"), f"{radius!r} is no number of instances", "write a whole number from 1"
        )
    return DeclaredFault(kind, arguments.get("name") or kind, parameters, radius, path, injector)


def _coverage(node: Node, declared: list[DeclaredFault]) -> Iterator[BadInput]:
    """Every fault is looked for after it was made, seen gone, and undone by a roll-back whatever happens."""
    calls = [(path[0], _function(activity), _named(activity)) for path, activity in _activities(node)]
    for fault in declared:
        for place, functions, what in (
            ("method", {"landed"}, "a `landed` probe in method: it must be seen by somebody else"),
            ("method", {"gone", "recover"}, "a `gone` probe (or a `recover` action) in method: it must be seen gone"),
            ("rollbacks", {"recover"}, "a `recover` action in rollbacks: it must be undone whatever happens"),
        ):
            if not any(where == place and name in functions and of == fault.name for where, name, of in calls):
                yield node.error(fault.path, f"the fault {fault.name!r} lacks {what}", "see docs/guides/experiments.md")
    names = [fault.name for fault in declared]
    for index, fault in enumerate(declared):
        if fault.name in names[:index]:
            yield node.error(fault.path, f"the fault {fault.name!r} stands here twice", "give one of them a `name`")


def _named(activity: Any) -> str:
    arguments = (activity.get("provider") or {}).get("arguments") or {} if isinstance(activity, dict) else {}
    return str(arguments.get("name") or arguments.get("fault")) if isinstance(arguments, dict) else ""


def _chaos_toolkit_agrees(node: Node) -> None:
    from chaoslib.exceptions import ChaosException
    from chaoslib.experiment import ensure_experiment_is_valid

    try:
        ensure_experiment_is_valid(node.data)
    except ChaosException as refusal:
        raise BadInput(
            f"Chaos Toolkit refuses it: {refusal}",
            file=node.file,
            line=node.first_line,
            fix=f"chaos validate {node.file}",
        ) from None


def _nearest(name: str, known: Any) -> str:
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(sorted(known))}"
