"""Deterministic local embedders, one per tier: the normalised sum of seeded random token vectors.

Texts that share words are near each other, all others nearly orthogonal: enough to have known neighbours. The tiers'
dimensions are smaller than the real models' (1024) to spare the machine, their order is the same.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Sequence
from functools import lru_cache

TIERS = {"voyage-3": 128, "cohere-v3": 96, "bge": 64}
DEFAULT_TIER = "voyage-3"
TOKEN = re.compile(r"\w+")


@lru_cache(maxsize=8192)
def _token(token: str, tier: str) -> tuple[float, ...]:
    source = random.Random(f"{tier}:{token}")
    return tuple(source.gauss(0.0, 1.0) for _ in range(TIERS[tier]))


def embed(text: str, tier: str = DEFAULT_TIER) -> list[float]:
    """The unit vector of a text, of the tier's dimension. A text without words has the vector of the empty token."""
    tokens = TOKEN.findall(text.casefold()) or [""]
    total = [sum(components) for components in zip(*(_token(token, tier) for token in tokens), strict=True)]
    norm = math.sqrt(sum(x * x for x in total)) or 1.0
    return [x / norm for x in total]


def similarity(a: Sequence[float], b: Sequence[float]) -> float:
    """The cosine of two unit vectors."""
    return math.fsum(x * y for x, y in zip(a, b, strict=True))
