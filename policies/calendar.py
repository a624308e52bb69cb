"""Which days of a year are worked, read from `policies/calendar/`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from pathlib import Path

from policies.editions import HOME, load, shipped
from policies.problems import CalendarMissing
from policies.text import Text

_SATURDAY = 5


@dataclass(frozen=True, slots=True)
class CalendarYear:
    """One year: weekdays that are off and weekend days that are worked (调休); every other day follows the week."""

    year: int
    edition: str
    digest: str
    off: frozenset[date]
    work: frozenset[date]

    def is_working_day(self, day: date) -> bool:
        """Whether `day` is worked; `CalendarMissing` when it is of another year."""
        if day.year != self.year:
            raise _missing(day.year)
        if day in self.work:
            return True
        return day.weekday() < _SATURDAY and day not in self.off


@lru_cache(maxsize=32)
def holidays(year: int, *, root: Path = HOME) -> CalendarYear:
    """The newest published calendar of `year`; `CalendarMissing` when there is none: working days are never guessed."""
    names = [name for name in shipped("calendar", root=root) if name[:4] == f"{year:04d}"]
    if not names:
        raise _missing(year)
    editions = [load("calendar", name, root=root) for name in names]
    newest = max(editions, key=lambda edition: (edition.effective_from, edition.edition))
    return CalendarYear(
        year,
        newest.edition,
        newest.digest,
        frozenset(day for rule in newest.rules for day in rule.parameters.off),
        frozenset(day for rule in newest.rules for day in rule.parameters.workdays),
    )


def is_working_day(day: date) -> bool:
    """Whether `day` is worked, by the published calendar of its year."""
    return holidays(day.year).is_working_day(day)


def _missing(year: int) -> CalendarMissing:
    return CalendarMissing(
        "policy.calendar_missing",
        Text(f"{year} 年的工作日历尚未发布，无法计算工作日", f"the working calendar of {year} is not published"),
        fix=Text(
            f"国务院公布 {year} 年放假安排后发布 policies/calendar/{year}.yaml",
            f"publish policies/calendar/{year}.yaml once the State Council has announced the holidays",
        ),
    )
