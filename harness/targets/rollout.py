"""In which order instances are started and replaced: pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from harness.model.platform import Strategy
from harness.targets.state import InstanceState

Batch = list[InstanceState]


def first_batches(strategy: Strategy, instances: Sequence[InstanceState]) -> list[Batch]:
    """Batches of a first deployment, one started after the other has become ready.

    sequential: service after service · rolling: instance after instance · else all at once (there is nothing yet that
    blue-green or canary could stand beside).
    """
    if strategy == "sequential":
        return _grouped(instances)
    if strategy == "rolling":
        return [[each] for each in instances]
    return [list(instances)] if instances else []


def at_first(strategy: Strategy) -> str:
    """How a first deployment is carried out where that is not what the strategy says; "" where it is."""
    return "all at once: nothing ran yet" if strategy in ("blue-green", "canary") else ""


def replacing_batches(strategy: Strategy, old: Sequence[InstanceState]) -> list[Batch]:
    """Batches of old instances that are replaced together.

    blue-green: all · canary: the first of each service, then the others one by one · parallel: the n-th of every
    service together · rolling and sequential: one by one.
    """
    if strategy == "blue-green":
        return [list(old)] if old else []
    groups = _grouped(old)
    if strategy == "parallel":
        longest = max((len(group) for group in groups), default=0)
        return [[group[index] for group in groups if index < len(group)] for index in range(longest)]
    if strategy == "canary":
        first = [group[0] for group in groups]
        rest = [each for group in groups for each in group[1:]]
        return [*([first] if first else []), *([each] for each in rest)]
    return [[each] for each in old]


def _grouped(instances: Sequence[InstanceState]) -> list[Batch]:
    services = dict.fromkeys(each.service for each in instances)
    return [[each for each in instances if each.service == service] for service in services]


def unused(instances: Collection[InstanceState]) -> list[InstanceState]:
    """Retiring instances that nothing which stays was rendered with, not even through another one that is kept."""
    by_name = {each.name: each for each in instances}
    waiting = [each for each in instances if each.role != "retiring"]
    kept = {each.name for each in waiting}
    while waiting:
        for name in waiting.pop().uses:
            if name in by_name and name not in kept:
                kept.add(name)
                waiting.append(by_name[name])
    return [each for each in instances if each.name not in kept]
