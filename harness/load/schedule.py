"""The declared schedule: when each request is due and which journey it is. Pure, seeded, the same everywhere.

Arrivals are the points 0, 1, 2, … (Poisson: the sums of seeded exponential distances) taken through the inverse of the
cumulative rate, so one formula serves every shape. What is drawn for an arrival depends on (seed, index) alone, by a
counter-based generator (SplitMix64: Steele, Lea and Flood, OOPSLA 2014); no arrival waits for another one's draw.
"""

from __future__ import annotations

import itertools
import math
import random
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping

from harness.errors import BadInput
from harness.model.load import Arrivals, Constant, Poisson, Ramp, Step

_MASK = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15


def arrivals(declared: Arrivals, seed: int, duration_s: float) -> Iterator[float]:
    """Offsets from the origin, in seconds, ascending, in [0, duration_s). An infinite duration never ends."""
    points = _exponential_sums(seed) if isinstance(declared, Poisson) else itertools.count()
    inverse = _inverse(declared)
    return itertools.takewhile(lambda offset: offset < duration_s, map(inverse, points))


def count(declared: Arrivals, seed: int, duration_s: float) -> int:
    """How many arrivals the schedule holds; constant time unless it is Poisson."""
    if isinstance(declared, Poisson):
        return sum(1 for _ in arrivals(declared, seed, duration_s))
    inverse = _inverse(declared)
    number = math.ceil(cumulative(declared, max(duration_s, 0.0)))
    while number > 0 and inverse(number - 1) >= duration_s:  # the ceiling of a rounded product may be one off
        number -= 1
    while inverse(number) < duration_s:
        number += 1
    return number


def rate_at(declared: Arrivals, offset_s: float) -> float:
    """Arrivals per second declared for this offset."""
    match declared:
        case Ramp():
            share = min(offset_s / declared.over, 1.0) if declared.over else 1.0
            return declared.rate + (declared.to - declared.rate) * share
        case Step():
            return declared.rate if offset_s < declared.at else declared.to
        case _:
            return declared.rate


def cumulative(declared: Arrivals, offset_s: float) -> float:
    """Expected number of arrivals before the offset: the integral of the rate."""
    match declared:
        case Ramp():
            rising = min(offset_s, declared.over)
            return (declared.rate + rate_at(declared, rising)) / 2 * rising + declared.to * (offset_s - rising)
        case Step():
            before = min(offset_s, declared.at)
            return declared.rate * before + declared.to * (offset_s - before)
        case _:
            return declared.rate * offset_s


def journeys(mix: Mapping[str, float], seed: int) -> Callable[[int], str]:
    """arrival index → journey, in the proportions of the mix; the order of the mix's keys does not matter."""
    names = sorted(mix)
    weights = [mix[name] for name in names]
    if any(not math.isfinite(weight) or weight < 0 for weight in weights) or sum(weights) <= 0:
        raise BadInput("the mix needs weights ≥ 0 and one above 0", key="load.mix", fix="chat: 3, search: 1")
    edges = list(itertools.accumulate(weights))
    total = edges[-1]
    last = max(position for position, weight in enumerate(weights) if weight > 0)

    def pick(index: int) -> str:
        return names[min(bisect_right(edges, uniform(seed, index) * total), last)]

    return pick


def draw(seed: int, index: int, number: int = 0) -> int:
    """The arrival's `number`-th draw: 64 even bits, a function of its arguments only."""
    state = (seed * 0xD1342543DE82EF95 + index * _GOLDEN + number * 0xDA942042E4DD58B5 + _GOLDEN) & _MASK
    state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & _MASK
    return state ^ (state >> 31)


def uniform(seed: int, index: int, number: int = 0) -> float:
    """The same draw as a number in [0, 1)."""
    return (draw(seed, index, number) >> 11) * 2.0**-53


def _inverse(declared: Arrivals) -> Callable[[float], float]:
    """Number of arrivals → the offset at which the cumulative rate reaches it."""
    match declared:
        case Ramp():
            start, end, over = declared.rate, declared.to, declared.over
            risen = (start + end) / 2 * over
            growth = end * end - start * start

            def ramp(number: float) -> float:
                if number >= risen:
                    return over + (number - risen) / end
                return 2 * number / (start + math.sqrt(start * start + growth * (number / risen)))

            return ramp
        case Step():
            before, rate, to, at = declared.rate * declared.at, declared.rate, declared.to, declared.at
            return lambda number: number / rate if number < before else at + (number - before) / to
        case Constant() | Poisson():
            rate = declared.rate
            return lambda number: number / rate


def _exponential_sums(seed: int) -> Iterator[float]:
    uniform01 = random.Random(f"arrivals:{seed}").random  # a text seeds the same everywhere
    return itertools.accumulate(-math.log(1.0 - uniform01()) for _ in itertools.count())
