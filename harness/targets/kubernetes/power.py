"""Switching a machine of the cluster off and on, by whoever provides it."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

from harness import effort
from harness.errors import BadInput, TargetError
from harness.model.on_cluster import NodePower, OnCluster
from harness.targets.kubernetes import kind
from harness.targets.kubernetes.sources import installed, program

NAME = re.compile(r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$")
RUNS = "{{if .State.Running}}on{{else}}off{{end}}"


def how(on: OnCluster) -> NodePower:
    """How a node of this cluster is switched. Raises BadInput when nobody says so."""
    if on.nodes is not None:
        return on.nodes
    if on.provider == "kind":
        engine = kind.engine()
        return NodePower(off=(engine, "kill"), on=(engine, "start"), state=(engine, "inspect", "--format", RUNS))
    raise BadInput(
        "nobody says how a node of this cluster is switched off and on",
        fix="name the programs that do it: target.kubernetes.nodes, or use another fault",
    )


def check(on: OnCluster) -> None:
    """Raises BadInput when nobody says how a node is switched, or when a program for it is not here."""
    power = how(on)
    for words in (power.off, power.on, power.state):
        if words:
            program(words[0])


def switch_off(on: OnCluster, name: str) -> None:
    _run(how(on).off, name, how(on).within)


def switch_on(on: OnCluster, name: str) -> None:
    """Does nothing to a node that runs: the program is taken to be idempotent."""
    _run(how(on).on, name, how(on).within)


def is_off(on: OnCluster, name: str) -> bool:
    """Whether the provider says so, in just this word; False where nobody can be asked."""
    try:
        power = how(on)
    except BadInput:
        return False
    return bool(power.state) and _run(power.state, name, power.within).strip() == "off"


def _run(words: Sequence[str], name: str, within_s: float) -> str:
    """What the program printed, with the node's name as its last word. Raises TargetError with what it said."""
    if not NAME.match(name):
        raise BadInput(f"{name!r} is no name of a node")
    command = [installed(words[0]) or words[0], *words[1:], name]
    effort.ran(Path(command[0]).name)
    try:
        ran = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=within_s, check=False
        )
    except subprocess.TimeoutExpired:
        raise TargetError(f"{' '.join(command)} took more than {within_s:g} s") from None
    except OSError as error:
        raise TargetError(f"{words[0]}: {error.strerror}") from None
    if ran.returncode:
        last = (ran.stderr or ran.stdout).strip().splitlines()[-1:] or [f"exit code {ran.returncode}"]
        raise TargetError(f"{' '.join(command)}: {last[0]}")
    return ran.stdout
