"""Degradation levels: what an instance can serve, given what it can reach."""

from __future__ import annotations

from dataclasses import dataclass

FULL, CPU_SWARM, CACHED_EMBEDDINGS, EMERGENCY = 1, 2, 3, 4


@dataclass(frozen=True, slots=True)
class Dependencies:
    """What an instance can reach now."""

    gpu: bool = True
    vectors: bool = True
    database: bool = True
    models: bool = True


def level(dependencies: Dependencies) -> int:
    """1 full, 2 GPU lost, 3 vector search lost, 4 emergency; of several losses the worst counts."""
    if not (dependencies.database and dependencies.models):
        return EMERGENCY
    if not dependencies.vectors:
        return CACHED_EMBEDDINGS
    return FULL if dependencies.gpu else CPU_SWARM
