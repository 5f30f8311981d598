"""One OpenSLO document for several regions or services: `harness/for-each` and `${…}`, before anything is checked."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from harness.model.annotations import for_each
from harness.model.openslo import PREFIX
from harness.spec.yaml import KeyPath, Node

KEY = f"{PREFIX}for-each"
MOST = 500
_VARIABLE = re.compile(r"\$\{([a-z][a-z0-9-]*)\}")


def instances(node: Node) -> list[Node]:
    """The document once for each combination of values, named texts replaced; the document itself without for-each.

    Each instance keeps the lines of the one that was written. Raises BadInput for a variable that nothing gives, and
    for a name that would stand twice.
    """
    metadata = node.data.get("metadata") if isinstance(node.data, dict) else None
    notes = metadata.get("annotations") if isinstance(metadata, dict) else None
    text = notes.get(KEY) if isinstance(notes, dict) else None
    if not isinstance(text, str) or not isinstance(metadata, dict):
        return [node]
    path = ("metadata", "annotations", KEY)
    try:
        values = for_each(text)
    except ValueError as error:
        raise node.error(path, str(error), "see docs/reference/slos.md") from None
    name = str(metadata.get("name", ""))
    for variable, listed in values.items():
        if len(listed) > 1 and f"${{{variable}}}" not in name:
            raise node.error(
                ("metadata", "name"), "would be the name of several SLOs", f"put ${{{variable}}} into the name"
            )
    combined = list(itertools.islice(itertools.product(*values.values()), MOST + 1))
    if len(combined) > MOST:
        raise node.error(path, f"makes more than {MOST} SLOs of one", "name fewer values")
    return [_instance(node, dict(zip(values, chosen, strict=True))) for chosen in combined]


def _instance(node: Node, values: Mapping[str, str]) -> Node:
    made = with_values(node, values)
    metadata = {**made.data["metadata"]}
    kept = "; ".join(f"{name}={value}" for name, value in values.items())
    metadata["annotations"] = {**metadata["annotations"], KEY: kept}
    made = replace(made, data={**made.data, "metadata": metadata})
    refuse_unknown(made, (), made.data)
    return made


def with_values(node: Node, values: Mapping[str, str]) -> Node:
    """The node with `${name}` replaced in all its texts."""
    return replace(node, data=_replaced(node.data, values))


def _replaced(data: Any, values: Mapping[str, str]) -> Any:
    if isinstance(data, str):
        return _VARIABLE.sub(lambda found: values.get(found[1], found[0]), data)
    if isinstance(data, list):
        return [_replaced(item, values) for item in data]
    if isinstance(data, dict):
        return {key: _replaced(value, values) for key, value in data.items()}
    return data


def refuse_unknown(node: Node, path: KeyPath, data: Any) -> None:
    """Raises BadInput for a `${…}` that is left in a text below this path."""
    if isinstance(data, dict):
        for key, value in data.items():
            refuse_unknown(node, (*path, key), value)
    elif isinstance(data, list):
        for index, value in enumerate(data):
            refuse_unknown(node, (*path, index), value)
    elif isinstance(data, str) and (found := _VARIABLE.search(data)):
        raise node.error(
            path, f"nothing gives a value for {found[0]}", f'add the annotation {KEY}: "{found[1]}=first,second"'
        )
