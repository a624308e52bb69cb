"""Cron expressions: what is accepted, and when they fire next, against Prefect's own reading of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.kernel.clock import CITY
from sandbox.kernel.cron import Cron
from sandbox.kernel.errors import BadInput


@pytest.mark.parametrize(
    "text",
    ["", "* * * *", "* * * * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * * 13 *", "* * * * 8", "5-1 * * * *",
     "*/0 * * * *",
     "*/1 * * * *", "3-3 * * * *", "a * * * *", "@daily", "1,,2 * * * *", "-1 * * * *", "１ * * * *", "* * * jan *"],
)  # fmt: skip
def test_what_is_no_schedule_is_refused(text: str) -> None:
    with pytest.raises(BadInput):
        Cron.parse(text)


def test_a_day_that_never_comes_has_no_next_time() -> None:
    assert Cron.parse("0 0 31 2 *").next_after(datetime(2026, 1, 1, tzinfo=UTC)) is None


def _field(low: int, high: int) -> st.SearchStrategy[str]:
    number = st.integers(low, high)
    span = st.tuples(number, number).filter(lambda p: p[0] < p[1]).map(lambda p: f"{p[0]}-{p[1]}")
    step = st.integers(2, high).map(lambda n: f"*/{n}")
    return st.one_of(st.just("*"), number.map(str), span, step, st.lists(number, min_size=2, max_size=3).map(
        lambda many: ",".join(map(str, many))))  # fmt: skip


CRONS = st.tuples(_field(0, 59), _field(0, 23), _field(1, 28), _field(1, 12), _field(0, 6)).map(" ".join)
MOMENTS = st.datetimes(datetime(2024, 1, 1), datetime(2030, 1, 1)).map(lambda m: m.replace(tzinfo=UTC, microsecond=0))


@settings(max_examples=150, deadline=None)
@given(CRONS, MOMENTS)
def test_next_time_is_the_one_prefect_would_fire_at(text: str, moment: datetime) -> None:
    from prefect._vendor.croniter import croniter

    expected = croniter(text, moment.astimezone(CITY)).get_next(datetime)
    found = Cron.parse(text).next_after(moment)
    assert found is not None
    assert found == expected.astimezone(UTC)
    assert found - moment < timedelta(days=366 * 5)
