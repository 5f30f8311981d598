"""A gate looked at once, and what is kept of its attempts."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence

from harness.model.platform import Gate, HttpCheck
from harness.targets.folder import PlatformFolder
from harness.targets.probe import Attempt, Look, command_look, http_look
from harness.targets.render import Context, base_environment, endpoint
from harness.targets.state import HOST, PlatformState


def gate_look(folder: PlatformFolder, state: PlatformState, gate: Gate, names: Sequence[str] = ()) -> Look:
    """Whether a gate holds now. An HTTP gate of a service must hold for every one of its serving instances, or for
    those of `names`; one without a service goes to the edge."""
    context = Context(folder, state)
    if gate.command:
        argv = [context.fill(word) for word in gate.command.argv]
        return command_look(argv, base_environment(folder), folder.root, gate.command.timeout)
    assert gate.http is not None
    if not gate.http.service:
        return http_look(gate.http, endpoint(context, state.spec.endpoints.edge), context.fill)
    return _all_instances(folder, state, gate.http, names)


def _all_instances(folder: PlatformFolder, state: PlatformState, check: HttpCheck, names: Sequence[str]) -> Look:
    serving = [each for each in state.of(check.service) if each.started]
    chosen = [each for each in state.instances if each.name in names and each.service == check.service]
    looked = []
    for each in chosen if names else serving:
        url = f"http://{HOST}:{each.ports[check.port]}"
        look = http_look(check, url, Context(folder, state, each).fill)
        looked.append(Look(look.ok, f"{each.name}: {look.evidence}"))
    if not looked:
        return Look(False, f"service {check.service!r} has no instance to ask")
    return next((look for look in looked if not look.ok), looked[-1])


def keep_attempts(folder: PlatformFolder, phase: str, gate: str, attempts: Sequence[Attempt]) -> None:
    """Appends every attempt to gates.jsonl: when, how long, result, evidence."""
    lines = [
        {
            "phase": phase,
            "gate": gate,
            "at_ns": attempt.at_ns,
            "seconds": round(attempt.seconds, 6),
            "ok": attempt.look.ok,
            "evidence": attempt.look.evidence[:2000],
        }
        for attempt in attempts
    ]
    descriptor = os.open(folder.gates, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
    with os.fdopen(descriptor, "w") as stream:
        stream.write("".join(json.dumps(line) + "\n" for line in lines))
