"""What must hold of the comparison for every record."""

from __future__ import annotations

import dataclasses

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.judge.sequential import rate
from harness.judge.sequential.canary import Block, Margin, Null, begin
from harness.judge.sequential.record import CANARY, NAMELESS, STABLE, UNSENT, Record
from harness.judge.sequential.watch import Watch, watch
from harness.model.rollout import Comparison, ContentCriterion, ErrorCriterion, ShiftCriterion, SlowCriterion

S = 1_000_000_000
FROM_S, TO_S = 20, 26
COMPARE = Comparison(
    criteria=(
        ErrorCriterion(kind="errors", plus=0.01),
        SlowCriterion(kind="slow", above=0.2, ratio=1.5),
        ContentCriterion(kind="content", plus=0.02),
        ShiftCriterion(kind="shift", plus=0.05),
    )
)
ROWS = st.lists(
    st.tuples(
        st.integers(0, TO_S * 10 - 1),  # tenths of a second
        st.sampled_from([STABLE, CANARY]),
        st.booleans(),  # failed
        st.booleans(),  # right, if told
        st.booleans(),  # told
        st.sampled_from([0.1, 0.15, 0.3]),
        st.sampled_from([0.0, 0.1]),  # late
    ),
    max_size=60,
)
ASSUME = st.sampled_from(["independent", "together", "constant"])


def record(rows: list[tuple]) -> Record:
    columns = list(zip(*rows, strict=True)) or [[]] * 7
    at, side, failed, right, told, least, late = columns
    told = np.array(told, dtype=bool)
    least = np.array(least, dtype=float)
    return Record(
        np.array(at, dtype=np.int64) * (S // 10),
        np.array(side, dtype=np.int8),
        np.array(failed, dtype=bool),
        told & np.array(right, dtype=bool),
        told,
        least,
        least + np.array(late, dtype=float),
    )


# Enough of the stable release before, that there are quantiles.
HISTORY = [(n % 190, STABLE, n % 37 == 0, True, True, 0.1 + 0.001 * n, 0.0) for n in range(120)]


def folded(rows: list[tuple], null: Null, assume: str = "independent") -> Watch:
    whole = record([*HISTORY, *rows])
    spec = COMPARE.model_copy(update={"assume": assume})
    return watch(spec, null, whole.between(0, FROM_S * S), FROM_S * S).then(whole, TO_S * S)


def logs(one: Watch) -> np.ndarray:
    return np.array([one.log_evidence(index) for index in range(len(COMPARE.criteria))])


@settings(max_examples=60, deadline=None)
@given(ROWS, ASSUME, st.randoms())
def test_the_order_of_rows_does_not_matter(rows, assume, random):
    mixed = list(rows)
    random.shuffle(mixed)
    for null in Null:
        assert np.array_equal(logs(folded(rows, null, assume)), logs(folded(mixed, null, assume)))


@settings(max_examples=40, deadline=None)
@given(ROWS, st.integers(FROM_S, TO_S))
def test_folding_while_it_grows_is_folding_at_the_end(rows, looked_s):
    whole = record([*HISTORY, *rows])
    for null in Null:
        start = watch(COMPARE, null, whole.between(0, FROM_S * S), FROM_S * S)
        looked = start.then(whole.between(FROM_S * S, looked_s * S), looked_s * S)
        grown = looked.then(whole.between(looked.until_ns, TO_S * S), TO_S * S)
        assert np.array_equal(logs(grown), logs(start.then(whole, TO_S * S)))


@settings(max_examples=60, deadline=None)
@given(ROWS, st.data())
def test_a_canarys_event_that_turns_bad_never_lowers_harm_nor_raises_good_enough(rows, data):
    mine = [n for n, row in enumerate(rows) if row[1] == CANARY and row[0] >= FROM_S * 10]
    if not mine:
        return
    which = data.draw(st.sampled_from(mine))
    at, side, _, _, told, _, late = rows[which]
    worse = [*rows[:which], (at, side, True, False, told, 5.0, late), *rows[which + 1 :]]
    for assume in ("independent", "together"):
        harm, good = Null.NOT_WORSE, Null.WORSE
        assert (logs(folded(worse, harm, assume)) >= logs(folded(rows, harm, assume)) - 1e-9).all()
        assert (logs(folded(worse, good, assume)) <= logs(folded(rows, good, assume)) + 1e-9).all()


@settings(max_examples=60, deadline=None)
@given(
    ROWS, ASSUME, st.lists(st.tuples(st.integers(0, TO_S * 10 - 1), st.sampled_from([NAMELESS, UNSENT])), max_size=9)
)
def test_what_is_nobodys_never_makes_anything_easier(rows, assume, lost):
    """More failures without a release and more dropped arrivals: neither harm nor good enough is shown sooner."""
    more = [*rows, *((at, side, True, False, False, 0.1, 0.0) for at, side in lost)]
    for null in Null:
        assert (logs(folded(more, null, assume)) <= logs(folded(rows, null, assume)) + 1e-9).all()


@settings(deadline=None)
@given(st.integers(0, 8), st.integers(0, 8), st.integers(0, 40), st.integers(0, 40), st.data())
def test_swapping_the_releases_swaps_the_sides_of_the_line(n_canary, n_stable, extra, drops, data):
    """canary ≤ stable refuted by (x, y) is stable ≤ canary refuted by (y, x): the line without margin is symmetric."""
    from harness.judge.sequential.canary import log_ratio

    x, y = data.draw(st.integers(0, n_canary)), data.draw(st.integers(0, n_stable))
    bet = (0.3, 0.05)
    one = Block(*(np.array(float(v)) for v in (x, n_canary, y, n_stable)))
    other = Block(*(np.array(float(v)) for v in (y, n_stable, x, n_canary)))
    there = log_ratio(one, np.array(bet[0]), np.array(bet[1]), Margin(1, 0), Null.NOT_WORSE)
    back = log_ratio(other, np.array(bet[1]), np.array(bet[0]), Margin(1, 0), Null.WORSE)
    assert abs(float(there) - float(back)) < 1e-9


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 50), st.integers(0, 50), st.sampled_from([0.01, 0.05, 0.2]))
def test_one_more_bad_event_never_lowers_the_interval_of_a_rate(bad, good, alpha):
    before = [float(x) for x in rate.interval(bad, bad + good, alpha)]
    worse = [float(x) for x in rate.interval(bad + 1, bad + good + 1, alpha)]
    assert worse[0] >= before[0] - 2e-9 and worse[1] >= before[1] - 2e-9
    assert 0 <= before[0] <= before[1] <= 1


def test_many_rollouts_at_once_are_each_by_itself():
    """The simulations of the operating characteristics and the gate call the same functions, on arrays or numbers."""
    rng = np.random.default_rng(4)
    counts = [Block(*rng.integers(0, [[2], [9], [3], [40]], (4, 5)).astype(float)) for _ in range(20)]
    many = begin(Null.NOT_WORSE, Margin(1, 0.01), np.zeros(5), np.full(5, 200.0))
    for block in counts:
        many = many.then(block)
    for run in range(5):
        one = begin(Null.NOT_WORSE, Margin(1, 0.01), np.array(0.0), np.array(200.0))
        for block in counts:
            one = one.then(Block(*(getattr(block, field.name)[run] for field in dataclasses.fields(block))))
        assert abs(float(one.log_evidence) - many.log_evidence[run]) < 1e-9
