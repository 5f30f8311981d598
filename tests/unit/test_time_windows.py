"""Where the windows of budgets begin and end: months of different length, clocks that change, rolling ones."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.judge.time_windows import window_at
from harness.model.slo import BudgetWindow

HOUR = 3600.0


def at(text: str, zone: str = "UTC") -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


def local(seconds: float, zone: str) -> str:
    return datetime.fromtimestamp(seconds, UTC).astimezone(ZoneInfo(zone)).strftime("%Y-%m-%d %H:%M")


def calendar(duration: str, start: str, zone: str) -> BudgetWindow:
    return BudgetWindow(duration=duration, start_time=start, time_zone=zone)


def test_a_rolling_window_ends_now():
    window = window_at(BudgetWindow(duration="28d"), at("2026-03-01 00:00"))
    assert (window.end_s, window.seconds) == (at("2026-03-01 00:00"), 28 * 24 * HOUR)
    assert not window.holds(window.end_s)
    assert window.holds(window.start_s)


@pytest.mark.parametrize(
    ("moment", "begins", "hours"),
    [
        ("2026-03-29 00:00", "2026-03-29 00:00", 23),  # the clocks go forward in Berlin
        ("2026-03-29 23:59", "2026-03-29 00:00", 23),
        ("2026-03-30 00:00", "2026-03-30 00:00", 24),
        ("2026-10-25 12:00", "2026-10-25 00:00", 25),  # and back
    ],
)
def test_a_day_follows_the_clocks(moment, begins, hours):
    window = window_at(calendar("1d", "2026-01-01 00:00:00", "Europe/Berlin"), at(moment, "Europe/Berlin"))
    assert local(window.start_s, "Europe/Berlin") == begins
    assert window.seconds == hours * HOUR


def test_hours_are_elapsed_time():
    window = window_at(calendar("24h", "2026-03-28 00:00:00", "Europe/Berlin"), at("2026-03-29 20:00", "Europe/Berlin"))
    assert window.seconds == 24 * HOUR
    assert local(window.end_s, "Europe/Berlin") == "2026-03-30 01:00"


@pytest.mark.parametrize(
    ("moment", "begins", "ends"),
    [
        ("2026-02-10 00:00", "2026-01-31 00:00", "2026-02-28 00:00"),
        ("2026-02-28 00:00", "2026-02-28 00:00", "2026-03-31 00:00"),  # and March's is not shortened by February
        ("2026-03-31 00:00", "2026-03-31 00:00", "2026-04-30 00:00"),
        ("2028-02-29 05:00", "2028-02-29 00:00", "2028-03-31 00:00"),
    ],
)
def test_months_of_different_length(moment, begins, ends):
    zone = "America/New_York"
    window = window_at(calendar("1M", "2026-01-31 00:00:00", zone), at(moment, zone))
    assert (local(window.start_s, zone), local(window.end_s, zone)) == (begins, ends)


def test_the_same_instant_is_another_day_elsewhere():
    moment = at("2026-06-01 03:00")  # still May in New York, June in Berlin
    berlin = window_at(calendar("1M", "2026-01-01 00:00:00", "Europe/Berlin"), moment)
    york = window_at(calendar("1M", "2026-01-01 00:00:00", "America/New_York"), moment)
    assert local(berlin.start_s, "Europe/Berlin") == "2026-06-01 00:00"
    assert local(york.start_s, "America/New_York") == "2026-05-01 00:00"


def test_a_local_time_that_does_not_exist_or_stands_twice():
    zone = "Europe/Berlin"
    spring = window_at(calendar("1d", "2026-03-01 02:30:00", zone), at("2026-03-29 12:00", zone))
    assert local(spring.start_s, zone) == "2026-03-29 03:30"
    autumn = window_at(calendar("1d", "2026-03-01 02:30:00", zone), at("2026-10-25 12:00", zone))
    assert autumn.start_s == at("2026-10-25 00:30")  # the first of the two


def test_before_its_start_there_is_no_window():
    assert window_at(calendar("1Q", "2026-01-01 00:00:00", "UTC"), at("2025-12-31 23:59")) is None
    assert window_at(calendar("1Q", "2026-01-01 00:00:00", "UTC"), at("2026-01-01 00:00")) is not None


zones = st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata"])
durations = st.sampled_from(["1m", "7h", "1d", "3d", "2w", "1M", "5M", "1Q", "1Y"])
moments = st.integers(1_600_000_000, 1_900_000_000)


@given(durations, zones, moments)
def test_windows_follow_one_another_without_gap(duration, zone, moment):
    window = calendar(duration, "2020-01-31 02:30:00", zone)
    here = window_at(window, moment)
    assert here.holds(moment)
    following = window_at(window, here.end_s)
    assert following.start_s == here.end_s
    assert window_at(window, here.end_s - 0.001).start_s == here.start_s
