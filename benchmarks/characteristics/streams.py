"""Made-up traffic with a known share of bad events, as counts by block of time.

Time is in units of the declared correlation length L, arrivals are Poisson. Which events are bad:

independent   each for itself
bursts of x   time is cut into stretches of x·L, from a random place on; in each all events are bad or none is. Nothing
              hangs together more than this, at that length.
drifting      bursts of L that become three times as frequent from the start of the run to its end
diurnal       bursts of L whose frequency swings once by a sine over the run, between nothing and twice the mean

In all of them the mean share of bad events over the run is the one asked for.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

SLOTS = 2_000_000  # drawn at once


@dataclass(frozen=True)
class Stream:
    """`burst`: the length of a stretch in which all events share their fate, in L; 0: independent events."""

    name: str
    burst: float
    shape: Literal["flat", "drift", "day"] = "flat"

    @property
    def declared(self) -> bool:
        """Whether the stream is what the declared correlation length says: within it the judge's levels must hold."""
        return self.burst <= 1.0


STREAMS = (
    Stream("independent", 0.0),
    Stream("bursts of L/2", 0.5),
    Stream("bursts of L", 1.0),
    Stream("drifting, bursts of L", 1.0, "drift"),
    Stream("diurnal, bursts of L", 1.0, "day"),
    Stream("bursts of 2 L", 2.0),
    Stream("bursts of 5 L", 5.0),
)


def weight(stream: Stream, place: Floats) -> Floats:
    """How frequent trouble is at a place 0..1 of the run, relative to its mean."""
    if stream.shape == "drift":
        return 0.5 + place
    return 1.0 + np.sin(2.0 * np.pi * place) if stream.shape == "day" else np.ones_like(place)


def draw(
    stream: Stream, bad: float, length: int, rate: float, cuts: int, runs: int, rng: np.random.Generator
) -> Iterator[tuple[Ints, Ints]]:
    """(good, bad) events by block for some runs at a time: arrays [runs, blocks].

    `length` of a run in L, `rate` of events per L, `cuts` blocks per L. Bursts begin at the edge of half a block.
    """
    blocks = length * cuts
    slots = 2 * blocks
    for done in range(0, runs, max(1, SLOTS // slots)):
        some = min(runs - done, max(1, SLOTS // slots))
        if stream.burst:
            every = _arrivals(rate / (2 * cuts), (some, slots), rng)
            lost = every * _bursts(stream, bad, blocks, cuts, some, rng)
            kept = every - lost
        else:  # good and bad ones of independent events are two Poisson streams
            kept = _arrivals(rate / (2 * cuts) * (1.0 - bad), (some, slots), rng)
            place = rng.integers(0, some * slots, rng.poisson(bad * rate * length * some))
            lost = np.bincount(place, minlength=some * slots).reshape(some, slots)
        yield _by_block(kept), _by_block(lost)


def _by_block(slots: Ints) -> Ints:
    return slots[:, 0::2].astype(np.int64) + slots[:, 1::2]


def _arrivals(mean: float, shape: tuple[int, int], rng: np.random.Generator) -> Ints:
    """Poisson numbers, to 1 in 65,536, from a table: what arrives when does not bear on what the judge promises."""
    steps, chance, total, n = [], math.exp(-mean), 0.0, 0
    while len(steps) < 65536:
        total += chance
        steps += [n] * (min(65536, round(total * 65536)) - len(steps))
        n, chance = n + 1, chance * mean / (n + 1)
        if chance < 1e-9 and n > mean:
            steps += [n - 1] * (65536 - len(steps))
    return np.array(steps, dtype=np.int16)[rng.integers(0, 65536, shape, dtype=np.uint16)]  # type: ignore[return-value]


def _bursts(
    stream: Stream, bad: float, blocks: int, cuts: int, runs: int, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Which half-blocks lie in a bad stretch."""
    slots = 2 * blocks
    width = max(1, round(2 * cuts * stream.burst))
    cells = slots // width + 2
    first = rng.integers(0, width, (runs, 1))
    cell = (np.arange(slots)[None, :] + first) // width
    middle = np.clip((np.arange(cells)[None, :] * width + width / 2.0 - first) / slots, 0.0, 1.0)
    struck = rng.random((runs, cells)) < bad * weight(stream, middle)
    return np.take_along_axis(struck, cell, axis=1)
