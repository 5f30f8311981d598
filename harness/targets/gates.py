"""A gate looked at once, gates held to their deadlines, and what is kept of the attempts."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from harness.errors import TargetError
from harness.model.events import CheckDone, GateChecked
from harness.model.platform import Gate, HttpCheck
from harness.ports import Report
from harness.targets.folder import PlatformFolder
from harness.targets.probe import Attempt, Look, command_look, http_look, poll
from harness.targets.render import Context, base_environment, endpoint
from harness.targets.state import HOST, PlatformState

EVIDENCE_IN_EVENT = 500


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


def keep_attempts(file: Path, phase: str, gate: str, attempts: Sequence[Attempt]) -> None:
    """Appends every attempt to a file of JSON lines: when, how long, result, evidence."""
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
    descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
    with os.fdopen(descriptor, "w") as stream:
        stream.write("".join(json.dumps(line) + "\n" for line in lines))


def see_hold(phase: str, gates: Sequence[Gate], look: Callable[[Gate], Look], file: Path, report: Report) -> None:
    """All gates of a phase at once, each polled to its deadline; every attempt is kept in `file`.

    Raises TargetError with the gates that did not hold.
    """
    interrupted = threading.Event()

    def one_gate(gate: Gate) -> tuple[bool, list[Attempt], float]:
        begun = time.monotonic()
        ok, attempts = poll(
            lambda: look(gate), gate.within, gate.every, lambda: "interrupted" if interrupted.is_set() else ""
        )
        return ok, attempts, time.monotonic() - begun

    failures = []
    with ThreadPoolExecutor(max_workers=max(1, len(gates))) as pool:
        futures = [(gate, pool.submit(one_gate, gate)) for gate in gates]
        try:
            for gate, future in futures:
                ok, attempts, seconds = future.result()
                keep_attempts(file, phase, gate.name, attempts)
                evidence = attempts[-1].look.evidence[:EVIDENCE_IN_EVENT]
                report(
                    GateChecked(
                        phase=phase, gate=gate.name, ok=ok, attempts=len(attempts), seconds=seconds, evidence=evidence
                    )
                )
                if not ok:
                    where = f"gate {gate.name!r} of phase {phase!r}"
                    failures.append(f"{where} did not hold within {gate.within:g} s: {evidence}")
        except BaseException:
            interrupted.set()
            raise
    if failures:
        raise TargetError("\n".join(failures))


def see_checks(checks: Sequence[Gate], look: Callable[[Gate], Look], file: Path) -> list[CheckDone]:
    """The platform file's own checks, all at once: one that waits for its deadline does not keep the others."""

    def one(gate: Gate) -> CheckDone:
        ok, attempts = poll(lambda: look(gate), gate.within, gate.every)
        keep_attempts(file, "checks", gate.name, attempts)
        detail = "" if ok else attempts[-1].look.evidence[:500]
        return CheckDone(name=gate.name, passed=int(ok), of=1, detail=detail)

    with ThreadPoolExecutor(max_workers=max(1, len(checks))) as pool:
        return list(pool.map(one, checks))
