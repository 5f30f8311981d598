"""What counts as a duplicate, pure, and seeded examples with known answers to measure the detection with."""

from __future__ import annotations

import hashlib
import random
import re
from dataclasses import dataclass
from typing import Literal

NEAR = 0.85  # cosine similarity from which two texts say the same; one word in ten replaced gives about 0.9
Kind = Literal["exact", "near"]
_WORD = re.compile(r"\w+")


def normal(text: str) -> str:
    """Case, blanks and punctuation make no difference."""
    return " ".join(_WORD.findall(text.casefold()))


def fingerprint(text: str) -> str:
    """The same for texts that are the same apart from case, blanks and punctuation."""
    return hashlib.blake2b(normal(text).encode(), digest_size=16).hexdigest()


@dataclass(frozen=True, slots=True)
class Duplicate:
    """What a text is a duplicate of, and how near it is (1 for an exact one)."""

    kind: Kind
    of: str
    score: float


def judge(same: str | None, nearest: tuple[str, float] | None) -> Duplicate | None:
    """`same`: another key with the same fingerprint; `nearest`: the nearest other key by vector."""
    if same is not None:
        return Duplicate("exact", same, 1.0)
    if nearest is not None and nearest[1] >= NEAR:
        return Duplicate("near", nearest[0], nearest[1])
    return None


@dataclass(frozen=True, slots=True)
class Example:
    """A text, two duplicates of it, and a text that is none."""

    original: str
    exact: str
    near: str
    distinct: str


def example(seed: str, words: int = 14) -> Example:
    """Seeded: the exact duplicate differs in case, blanks and punctuation, the near one in a word and two swapped."""
    source = random.Random(f"duplicate-{seed}")

    def word() -> str:
        return "".join(source.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(source.randint(4, 9)))

    original = [word() for _ in range(words)]
    near = list(original)
    near[source.randrange(words)] = word()
    first, second = source.sample(range(words), 2)
    near[first], near[second] = near[second], near[first]
    return Example(
        " ".join(original),
        "  ".join(original).capitalize() + ".",
        " ".join(near),
        " ".join(word() for _ in range(words)),
    )
