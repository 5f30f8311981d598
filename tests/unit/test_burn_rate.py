"""Burn-rate alerts: when they fire, when not, and when what is unknown decides."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.judge.burn_rate import Bin, Burn
from harness.judge.decide import Counts
from harness.model.slo import BurnRateAlert

MINUTE = 60.0


def bins(*bad: int, events: int = 100, unknown: int = 0) -> list[Bin]:
    """A bin a minute with so many bad ones."""
    return [Bin(n * MINUTE, (n + 1) * MINUTE, Counts(events - b - unknown, b, unknown)) for n, b in enumerate(bad)]


def alert(threshold: float = 10.0, over: float = 5, also: tuple[float, ...] = (), after: float = 0, op: str = "gte"):
    return BurnRateAlert(
        name="burn",
        policy="p",
        severity="page",
        op=op,
        threshold=threshold,
        over_s=over * MINUTE,
        also_over_s=tuple(one * MINUTE for one in also),
        after_s=after * MINUTE,
    )


QUIET, BURNING = [0] * 10, [20] * 5


def test_a_burn_rate_is_a_multiple_of_what_is_allowed():
    rate = Burn(bins(*QUIET, *BURNING), 0.99).rate(15 * MINUTE, 5 * MINUTE)
    assert rate.low == rate.high == pytest.approx(20.0)
    assert Burn(bins(*QUIET), 0.99).rate(10 * MINUTE, 5 * MINUTE).high == 0.0
    assert Burn(bins(*QUIET), 0.99).rate(99 * MINUTE, 5 * MINUTE) is None


def test_it_fires_while_the_budget_burns_and_not_before():
    (fired,) = Burn(bins(*QUIET, *BURNING, *QUIET), 0.99).firings(alert())
    assert fired.sure
    # 20 % bad in three of five minutes are twelve times what is allowed.
    assert (fired.from_s, fired.until_s) == (13 * MINUTE, 17 * MINUTE)
    assert fired.worst == pytest.approx(20.0)


def test_it_does_not_fire_below_its_threshold():
    assert Burn(bins(*QUIET, *BURNING), 0.99).firings(alert(threshold=20.1)) == ()
    assert Burn(bins(*QUIET), 0.99).firings(alert(threshold=1)) == ()


def test_a_second_window_ends_it_soon_after_its_cause():
    burn = Burn(bins(*QUIET, *BURNING, *QUIET), 0.99)
    (long,) = burn.firings(alert(threshold=5, over=10))
    (both,) = burn.firings(alert(threshold=5, over=10, also=(1,)))
    assert both.until_s == 15 * MINUTE
    assert long.until_s > both.until_s
    hour = Burn(bins(*[0] * 60, *BURNING, *QUIET), 0.99)
    assert hour.firings(alert(threshold=5, over=10, also=(60,))) == ()  # an hour did not burn so fast


def test_it_must_hold_for_a_while():
    burn = Burn(bins(*QUIET, *BURNING, *QUIET), 0.99)
    assert burn.firings(alert(after=4))[0].from_s == 17 * MINUTE
    assert burn.firings(alert(after=5)) == ()


def test_what_is_unknown_may_have_fired_it():
    (maybe,) = Burn(bins(*QUIET, unknown=50), 0.99).firings(alert())
    assert not maybe.sure
    unseen = [*bins(*QUIET), Bin(10 * MINUTE, 11 * MINUTE, Counts(0, 0, 1), unseen=True)]
    (dark,) = Burn(unseen, 0.99).firings(alert())
    assert not dark.sure


def test_no_data_is_told_apart():
    empty = [Bin(n * MINUTE, (n + 1) * MINUTE, Counts(0, 0)) for n in range(3)]
    burn = Burn(empty, 0.99)
    assert burn.firings(alert()) == ()
    assert burn.silent(alert()) == 3


def test_of_no_budget_the_first_bad_event_is_too_much():
    assert Burn(bins(0, 1), 1.0).firings(alert(threshold=1000))[0].sure
    assert Burn(bins(0, 0), 1.0).firings(alert(threshold=1000)) == ()


def test_a_condition_may_look_for_slow_burning():
    assert Burn(bins(*QUIET), 0.99).firings(alert(threshold=1, op="lt"))[0].sure


@given(st.lists(st.integers(0, 50), min_size=1, max_size=30), st.integers(0, 29), st.floats(0.5, 30))
def test_hiding_events_never_makes_it_surer(bad, place, threshold):
    place %= len(bad)
    known = bins(*bad)
    hidden = [*known]
    one = known[place]
    hidden[place] = Bin(one.start_s, one.end_s, Counts(0, 0, one.counts.events))
    for shown, dark in zip(_states(known, threshold), _states(hidden, threshold), strict=True):
        assert dark == shown or dark == "maybe"


def _states(found, threshold):
    firings = Burn(found, 0.99).firings(alert(threshold=threshold))
    return [
        next(("sure" if one.sure else "maybe" for one in firings if one.from_s <= bin_.end_s <= one.until_s), "no")
        for bin_ in found
    ]
