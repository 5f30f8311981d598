"""Streams of both releases, block by block: (failure rate of the canary, of the stable release, factor on the traffic).

One block is one second of Poisson traffic, 60 requests, of which the canary gets its share by chance.

    steady        the same rates all the time
    drift         both rates grow twentyfold over the bake
    diurnal       both rates and the traffic go up and down threefold, in two minutes
    shared bursts one block in 20 holds half a block in which 30 % fail, on both sides
    long shared   bursts of 10 blocks on average with 30 % failures, on both sides
    own bursts    on each side by itself one block in 50 fails by half, all in it together
    long own      on each side by itself bursts of 5 blocks
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np

from harness.judge.sequential.canary import Block, Margin

RATE = 60.0
Stream = Callable[[np.random.Generator, int], Iterator[tuple[np.ndarray, np.ndarray, float]]]


def steady(canary: float, stable: float) -> Stream:
    def blocks(rng: np.random.Generator, runs: int) -> Iterator[tuple[np.ndarray, np.ndarray, float]]:
        while True:
            yield np.full(runs, canary), np.full(runs, stable), 1.0

    return blocks


def scaled(stable: float, margin: Margin, factor: Callable[[int], float], traffic: bool = False) -> Stream:
    """Both on the line, whatever the stable rate does."""

    def blocks(rng: np.random.Generator, runs: int) -> Iterator[tuple[np.ndarray, np.ndarray, float]]:
        k = 0
        while True:
            rate_ = min(stable * factor(k), 0.9)
            yield np.full(runs, margin.ratio * rate_ + margin.plus), np.full(runs, rate_), factor(k) if traffic else 1.0
            k += 1

    return blocks


def bursts(
    stable: float, margin: Margin, chance: float, length: float, inside: float, own: bool, part: float
) -> Stream:
    """Bursts begin in a block with this chance and go on for a geometric time; in one, `part` of a block is bad."""

    def blocks(rng: np.random.Generator, runs: int) -> Iterator[tuple[np.ndarray, np.ndarray, float]]:
        on = np.zeros((2, runs), dtype=bool)
        while True:
            starts, ends = rng.random((2, runs)) < chance, rng.random((2, runs)) < 1 / length
            on = np.where(on, ~ends, starts)
            mine = on if own else np.stack([on[0], on[0]])
            rates = np.where(mine, stable + part * (inside - stable), stable)
            yield margin.ratio * rates[0] + margin.plus, rates[1], 1.0

    return blocks


def drift(bake: int) -> Callable[[int], float]:
    return lambda k: 20.0 ** (k / bake)


def diurnal(k: int) -> float:
    return float(3.0 ** math.sin(2 * math.pi * k / 120))


def counts(
    stream: Stream, rng: np.random.Generator, runs: int, share: float, bake: int, together: bool = False
) -> Iterator[Block]:
    """The bake's blocks, each a Block of arrays of shape (runs,). `together`: a bad block of one side fails by half."""
    source = stream(rng, runs)
    for _ in range(bake):
        canary, stable, traffic = next(source)
        events = [rng.poisson(RATE * traffic * part, runs).astype(float) for part in (share, 1 - share)]
        if together:
            bad = [
                np.where(rng.random(runs) < p, np.ceil(n / 2), 0.0)
                for n, p in zip(events, (canary, stable), strict=True)
            ]
        else:
            bad = [rng.binomial(n.astype(int), p).astype(float) for n, p in zip(events, (canary, stable), strict=True)]
        yield Block(bad[0], events[0], bad[1], events[1])
