"""Degradation levels: what an instance can serve, given what it can reach."""

from __future__ import annotations

from dataclasses import dataclass

FULL, CPU_SWARM, CACHED_EMBEDDINGS, EMERGENCY = 1, 2, 3, 4


@dataclass(frozen=True, slots=True)
class Dependencies:
    """What an instance can reach now. `swarm`: the GPU and the gateway, so nobody votes for them on the CPU."""

    swarm: bool = True
    vectors: bool = True
    database: bool = True


def level(dependencies: Dependencies) -> int:
    """1 full, 2 CPU swarm, 3 cached embeddings only, 4 emergency; of several losses the worst counts."""
    if not dependencies.database:
        return EMERGENCY
    if not dependencies.vectors:
        return CACHED_EMBEDDINGS
    return FULL if dependencies.swarm else CPU_SWARM
