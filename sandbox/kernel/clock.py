"""Time: the platform's clock, and working days of the Chinese calendar (调休 included)."""

from __future__ import annotations

import time
from datetime import UTC, date, datetime, timedelta
from typing import Protocol
from zoneinfo import ZoneInfo

from policies.calendar import is_working_day

CITY = ZoneInfo("Asia/Shanghai")


class Clock(Protocol):
    """Anything that tells the time."""

    def now(self) -> datetime:
        """The present moment, in UTC."""

    def wait(self, seconds: float) -> None:
        """Come back when `seconds` have passed."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def wait(self, seconds: float) -> None:
        time.sleep(seconds)


class FixedClock:
    """A clock that tests set by hand."""

    def __init__(self, moment: datetime) -> None:
        self.moment = moment

    def now(self) -> datetime:
        return self.moment

    def wait(self, seconds: float) -> None:
        self.moment += timedelta(seconds=seconds)


def city_date(moment: datetime) -> date:
    """The calendar day of a moment in the city's time zone."""
    return moment.astimezone(CITY).date()


def working_days_after(start: date, days: int) -> date:
    """The last day of a period of `days` working days; the day of receipt (`start`) does not count.

    Raises `policies.calendar.CalendarMissing` when a year on the way has no published calendar: the platform never
    guesses a holiday. Source: 民法典 201 and 203 (assumed), reference table of the State Council's yearly notices.
    """
    day = start
    while days > 0:
        day += timedelta(days=1)
        if is_working_day(day):
            days -= 1
    return day


def working_days_between(start: date, end: date) -> int:
    """Working days after `start` up to and including `end`; negative days count as zero."""
    day, count = start, 0
    while day < end:
        day += timedelta(days=1)
        count += is_working_day(day)
    return count
