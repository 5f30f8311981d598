"""The time windows of error budgets: rolling, and aligned to a calendar in a time zone.

Rolling windows are of one length: months, quarters and years count as 30, 90 and 365 days. Calendar windows begin at
their local start time and again after each duration: days, weeks, months, quarters and years keep that local time, so
that a day is 23 or 25 hours long when the clocks change; minutes and hours are elapsed time. A month that is too short
for the day of the start has its window begin on its last day.
"""

from __future__ import annotations

import calendar
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from harness.model.openslo import shorthand_seconds
from harness.model.slo import BudgetWindow

MONTHS = {"M": 1, "Q": 3, "Y": 12}
DAYS = {"d": 1, "w": 7}


@dataclass(frozen=True)
class Stretch:
    """[start_s, end_s) of wall time, in seconds since 1970."""

    start_s: float
    end_s: float

    @property
    def seconds(self) -> float:
        return self.end_s - self.start_s

    def holds(self, at_s: float) -> bool:
        return self.start_s <= at_s < self.end_s


def window_at(window: BudgetWindow, at_s: float) -> Stretch | None:
    """The window to judge at this time: a rolling one ends there, a calendar one holds it; None before its start."""
    if not window.time_zone:
        return Stretch(at_s - shorthand_seconds(window.duration), at_s)
    start = datetime.fromisoformat(window.start_time)
    zone = ZoneInfo(window.time_zone)
    number = _guess(window, start, zone, at_s)
    while _begin(window, start, zone, number) > at_s:
        number -= 1
    while _begin(window, start, zone, number + 1) <= at_s:
        number += 1
    if number < 0:
        return None
    return Stretch(_begin(window, start, zone, number), _begin(window, start, zone, number + 1))


def _guess(window: BudgetWindow, start: datetime, zone: ZoneInfo, at_s: float) -> int:
    return int((at_s - _utc(start, zone)) // shorthand_seconds(window.duration))


def _begin(window: BudgetWindow, start: datetime, zone: ZoneInfo, number: int) -> float:
    """When the window with this number begins."""
    size, unit = int(window.duration[:-1]) * number, window.duration[-1]
    if unit in MONTHS:
        return _utc(_later(start, size * MONTHS[unit]), zone)
    if unit in DAYS:
        return _utc(start + timedelta(days=size * DAYS[unit]), zone)
    return _utc(start, zone) + shorthand_seconds(f"1{unit}") * size


def _later(start: datetime, months: int) -> datetime:
    """From the start itself, so that a short month does not shorten those after it."""
    year, month = divmod(start.year * 12 + start.month - 1 + months, 12)
    day = min(start.day, calendar.monthrange(year, month + 1)[1])
    return start.replace(year=year, month=month + 1, day=day)


def _utc(local: datetime, zone: ZoneInfo) -> float:
    """A local time that stands twice is its first; one that the clocks skip is that much after the last before it."""
    return local.replace(tzinfo=zone, fold=0).astimezone(UTC).timestamp()
