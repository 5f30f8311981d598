"""Experiments as data, made to measure for tests: they break a FolderTarget's store and mend it."""

from __future__ import annotations

from typing import Any

FAKE = "harness.testing.fake_fault"


def python(module: str, func: str, **arguments: Any) -> dict[str, Any]:
    return {"type": "python", "module": module, "func": func, "arguments": arguments}


def probe(name: str, func: str, **arguments: Any) -> dict[str, Any]:
    return {"type": "probe", "name": name, "provider": python("harness.chaos.probes", func, **arguments)}


def action(name: str, func: str, **arguments: Any) -> dict[str, Any]:
    return {"type": "action", "name": name, "provider": python("harness.chaos.actions", func, **arguments)}


def experiment(**parameters: Any) -> dict[str, Any]:
    """Breaks the store, waits for level 3, mends it, waits for level 1."""
    return {
        "title": "the store breaks",
        "description": "the store breaks and is mended",
        "steady-state-hypothesis": {
            "title": "full service",
            "probes": [{**probe("level 1", "level_is", level=1), "tolerance": True}],
        },
        "method": [
            action("break", "inject", fault=FAKE, parameters={"service": "store", **parameters}),
            probe("broken", "landed", fault=FAKE, within="500ms"),
            probe("degraded", "level_becomes", level=3, within="1s", sustained="0.1s", every="20ms"),
            action("mend", "recover", fault=FAKE, within="500ms"),
            probe("full again", "level_becomes", level=1, within="1s", sustained="0.1s", every="20ms"),
        ],
        "rollbacks": [action("mend if broken", "recover", fault=FAKE, within="500ms")],
    }
