"""The declared schedule: shapes, counts, and journeys drawn from the mix."""

from __future__ import annotations

import itertools
import math

import pytest

from harness.errors import BadInput
from harness.load.schedule import arrivals, count, draw, journeys, rate_at, uniform
from harness.model.load import Constant, Poisson, Ramp, Step

CONSTANT = Constant(kind="constant", rate=10)
RAMP = Ramp(kind="ramp", rate=10, to=30, over=10.0)
STEP = Step(kind="step", rate=10, to=100, at=2.0)


def test_constant_arrivals_have_equal_distances_and_exclude_the_end():
    assert list(arrivals(CONSTANT, 1, 0.3)) == [0.0, 0.1, 0.2]
    assert list(arrivals(CONSTANT, 1, 0.0)) == []


def test_an_endless_schedule_is_lazy():
    assert list(itertools.islice(arrivals(CONSTANT, 1, math.inf), 3)) == [0.0, 0.1, 0.2]


def test_a_step_changes_the_distances_at_its_time():
    offsets = list(arrivals(STEP, 1, 3.0))
    assert len(offsets) == 20 + 100
    assert offsets[19:22] == pytest.approx([1.9, 2.0, 2.01])


def test_a_ramp_holds_the_area_under_the_rate():
    offsets = list(arrivals(RAMP, 1, 20.0))
    assert len(offsets) == 200 + 300
    first, last = offsets[1] - offsets[0], offsets[-1] - offsets[-2]
    assert (1 / first, 1 / last) == pytest.approx((10, 30), rel=0.02)


def test_a_ramp_of_no_length_is_its_end():
    assert list(arrivals(Ramp(kind="ramp", rate=1, to=10, over=0.0), 1, 0.25)) == [0.0, 0.1, 0.2]


def test_the_rate_at_a_time():
    assert [rate_at(RAMP, t) for t in (0, 5, 10, 99)] == [10, 20, 30, 30]
    assert [rate_at(STEP, t) for t in (0, 1.99, 2)] == [10, 10, 100]
    assert rate_at(CONSTANT, 5) == 10


def test_poisson_is_seeded():
    declared = Poisson(kind="poisson", rate=50)
    assert list(arrivals(declared, 7, 5)) == list(arrivals(declared, 7, 5))
    assert list(arrivals(declared, 7, 5)) != list(arrivals(declared, 8, 5))


def test_the_schedule_of_a_seed_never_changes():
    """A run is judged again years later: these values are a promise."""
    assert list(itertools.islice(arrivals(Poisson(kind="poisson", rate=10), 1, 9), 3)) == pytest.approx(
        [0.047013112014, 0.080633720431, 0.154969273609], abs=1e-9
    )
    pick = journeys({"chat": 3, "search": 1}, 1)
    assert "".join(pick(index)[0] for index in range(8)) == "scsscccs"


def test_count_agrees_at_awkward_ends():
    for duration in (0.1, 0.3, 0.7, 1.1, 2.9, 33.3):
        for declared in (CONSTANT, RAMP, STEP, Constant(kind="constant", rate=0.3), Constant(kind="constant", rate=7)):
            assert count(declared, 1, duration) == len(list(arrivals(declared, 1, duration)))


def test_the_mix_does_not_depend_on_the_order_of_its_keys():
    one, other = journeys({"a": 1, "b": 2}, 3), journeys({"b": 2, "a": 1}, 3)
    assert [one(index) for index in range(100)] == [other(index) for index in range(100)]


def test_a_weight_of_zero_is_never_drawn():
    pick = journeys({"a": 1, "b": 0, "c": 0}, 3)
    assert {pick(index) for index in range(1000)} == {"a"}


@pytest.mark.parametrize("mix", [{"a": 0}, {"a": -1, "b": 2}, {"a": math.nan}, {"a": math.inf}])
def test_a_mix_that_says_nothing_is_refused(mix):
    with pytest.raises(BadInput, match="mix"):
        journeys(mix, 1)


def test_draws_are_even_and_independent_of_each_other():
    values = [uniform(5, index) for index in range(20_000)]
    assert abs(sum(values) / len(values) - 0.5) < 0.01
    pairs = [(uniform(5, index), uniform(5, index, 1)) for index in range(20_000)]
    covariance = sum((x - 0.5) * (y - 0.5) for x, y in pairs) / len(pairs)
    assert abs(covariance) < 0.002  # of a variance of 0.083
    assert draw(1, 2, 3) != draw(1, 3, 2) != draw(2, 1, 3)
