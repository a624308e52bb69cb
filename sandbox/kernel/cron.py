"""Five-field cron expressions: checked when somebody writes one, and told in the city's time when they fire next."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta

from policies.text import Text
from sandbox.kernel.clock import CITY
from sandbox.kernel.errors import BadInput

_BOUNDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
_FARTHEST = 366 * 5
"""days looked ahead: 29 February comes at least once"""


@dataclass(frozen=True, slots=True)
class Cron:
    """When something is due: minutes, hours, days of the month, months, days of the week (0 and 7 are Sunday).

    A day counts when either of its two fields names it, if both are restricted (as Prefect reads them).
    """

    text: str
    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    either_day: bool

    @classmethod
    def parse(cls, text: str) -> Cron:
        """Raises `BadInput` for anything but five fields of numbers, `*`, lists, ranges and steps."""
        fields = text.split()
        if len(fields) != len(_BOUNDS):
            raise _unclear(text)
        minutes, hours, days, months, weekdays = (
            _numbers(part, *bounds, text) for part, bounds in zip(fields, _BOUNDS, strict=True)
        )
        sundays_as_0 = frozenset(d % 7 for d in weekdays)
        either = len(days) < 31 and len(sundays_as_0) < 7
        return cls(" ".join(fields), minutes, hours, days, months, sundays_as_0, either)

    def next_after(self, moment: datetime) -> datetime | None:
        """The first time after `moment`, in UTC; None when there is none within five years."""
        local = moment.astimezone(CITY)
        for ahead in range(_FARTHEST):
            day = local.date() + timedelta(days=ahead)
            if not self._names(day.month, day.day, day.isoweekday() % 7):
                continue
            for hour in sorted(self.hours):
                for minute in sorted(self.minutes):
                    due = datetime.combine(day, time(hour, minute), CITY)
                    if due > local:
                        return due.astimezone(UTC)
        return None

    def _names(self, month: int, day: int, weekday: int) -> bool:
        if month not in self.months:
            return False
        by_day, by_weekday = day in self.days, weekday in self.weekdays
        return by_day or by_weekday if self.either_day else by_day and by_weekday


def _numbers(part: str, low: int, high: int, whole: str) -> frozenset[int]:
    found: set[int] = set()
    for piece in part.split(","):
        span, slash, step = piece.partition("/")
        first, dash, last = span.partition("-")
        if span == "*":
            first, last = str(low), str(high)
        elif not dash:
            last = str(high) if slash else first
        if not all(n.isascii() and n.isdigit() for n in (first, last, step if slash else "1")):
            raise _unclear(whole)
        start, end, stride = int(first), int(last), int(step) if slash else 1
        # Readings differ for a range of one value and a step of one, so neither is taken.
        if not low <= start <= end <= high or (slash and stride < 2) or (dash and start == end):
            raise _unclear(whole)
        found |= set(range(start, end + 1, stride))
    return frozenset(found)


def _unclear(text: str) -> BadInput:
    return BadInput(
        "schedule.cron",
        Text(f"看不懂的计划时间：{text[:80]}", f"This is no schedule: {text[:80]}"),
        fix=Text(
            "按“分 时 日 月 周”写五段，如每天 1:30 写作 30 1 * * *",
            "Write minute hour day month weekday, e.g. 30 1 * * * for every day at 1:30",
        ),
    )
