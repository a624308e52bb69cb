"""Working days: the vectors of the regulation, and the algebra of counting them."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.calendar import CalendarMissing, is_working_day
from sandbox.kernel.clock import city_date, working_days_after, working_days_between
from tests.factories import World


@pytest.mark.parametrize(
    ("start", "days", "last"),
    [
        (date(2026, 2, 6), 10, date(2026, 2, 27)),  # over the Spring Festival with its exchanged Saturday
        (date(2026, 9, 28), 5, date(2026, 10, 10)),  # over the National Day, ending on a worked Saturday
        (date(2026, 3, 2), 1, date(2026, 3, 3)),  # the day of receipt does not count
        (date(2026, 3, 6), 1, date(2026, 3, 9)),  # Friday to Monday
        (date(2026, 3, 2), 0, date(2026, 3, 2)),
    ],
)
def test_last_day_of_a_limit_follows_the_published_calendar(start: date, days: int, last: date) -> None:
    assert working_days_after(start, days) == last


def test_year_without_a_calendar_is_never_guessed() -> None:
    with pytest.raises(CalendarMissing):
        working_days_after(date(2026, 12, 30), 10)
    with pytest.raises(CalendarMissing):
        working_days_between(date(2031, 1, 1), date(2031, 1, 5))


STARTS = st.dates(date(2025, 1, 1), date(2026, 9, 30))


@given(STARTS, st.integers(0, 40))
def test_n_working_days_later_is_exactly_n_working_days_away(start: date, days: int) -> None:
    end = working_days_after(start, days)
    assert working_days_between(start, end) == days
    assert days == 0 or is_working_day(end)


@given(STARTS, st.integers(0, 20), st.integers(0, 20))
def test_limits_add_up(start: date, first: int, second: int) -> None:
    assert working_days_after(working_days_after(start, first), second) == working_days_after(start, first + second)


@given(STARTS, st.integers(1, 30))
def test_one_more_working_day_ends_later(start: date, days: int) -> None:
    assert working_days_after(start, days) > working_days_after(start, days - 1)


def test_no_working_days_lie_before_the_start() -> None:
    assert working_days_between(date(2026, 3, 5), date(2026, 3, 2)) == 0


def test_city_day_begins_at_sixteen_hours_utc() -> None:
    assert city_date(datetime(2026, 3, 2, 15, 59, tzinfo=UTC)) == date(2026, 3, 2)
    assert city_date(datetime(2026, 3, 2, 16, 0, tzinfo=UTC)) == date(2026, 3, 3)


def test_receipt_just_before_midnight_counts_from_that_city_day(world: World) -> None:
    """The same UTC day gives two due days, because the city's day ends in between."""
    from sandbox.kernel import clocks

    due = []
    for moment in (datetime(2026, 3, 2, 15, 59, tzinfo=UTC), datetime(2026, 3, 2, 16, 1, tzinfo=UTC)):
        world.advance(seconds=(moment - world.platform.clock.now()).total_seconds())
        with world.system() as unit:
            due.append(clocks.start(unit, "application_check", "application", f"app-{moment.minute}", "org").due)
    assert due == [date(2026, 3, 9), date(2026, 3, 10)]


def test_days_left_counts_down_to_zero_on_the_last_day(world: World) -> None:
    from sandbox.kernel import clocks

    with world.system() as unit:
        clock = clocks.start(unit, "application_check", "application", "app-1", "org")
    start = world.platform.clock.now()
    assert [clock.days_left(start + timedelta(days=n)) for n in range(8)] == [5, 4, 3, 2, 1, 1, 1, 0]
    assert not clock.overdue(datetime(2026, 3, 9, 15, 59, 59, tzinfo=UTC))
    assert clock.overdue(datetime(2026, 3, 9, 16, 0, tzinfo=UTC))
