"""What has the shape of a type converts to it, and nothing else does: counting shapes proves a column's type."""

from __future__ import annotations

import datetime as dt

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.reading.recipe import ColumnRecipe
from pipelines.reading.values import (
    DATES,
    DECIMAL,
    EXPONENT,
    INEXACT,
    INTEGER,
    MIDNIGHT,
    PERCENT,
    THOUSANDS,
    UNIT,
    conversion,
    fits,
)

NUMBER_TEXT = st.text(alphabet="0123456789.,-+eE%万元 ", max_size=24)
GROUPED = st.integers(-(10**16), 10**16).map(lambda n: f"{n:,}")
DATE_PARTS = st.tuples(
    st.integers(0, 9999), st.integers(0, 14), st.integers(0, 33), st.integers(0, 25), st.integers(0, 61), st.booleans()
)
EXACT = sorted(DATES.keys() - INEXACT)


def shaped(values: list[str], shape: str) -> list[bool]:
    return pl.Series(values).str.contains(shape).to_list()


def converts(values: list[str], column: ColumnRecipe, *, sure: bool = False) -> list[bool]:
    found = pl.DataFrame({"c": values}).select(conversion(pl.col("c"), column, sure=sure).is_not_null())
    return found.to_series().to_list()


@pytest.mark.parametrize(
    ("shape", "column"),
    [
        (INTEGER, ColumnRecipe(name="c", type="integer")),
        (rf"{INTEGER}|{DECIMAL}", ColumnRecipe(name="c", type="decimal", precision=38, scale=18)),
        (rf"{INTEGER}|{DECIMAL}|{EXPONENT}", ColumnRecipe(name="c", type="decimal")),
        (rf"{INTEGER}|{DECIMAL}|{THOUSANDS}", ColumnRecipe(name="c", type="decimal", thousands=True)),
        (PERCENT, ColumnRecipe(name="c", type="decimal", unit="%", thousands=True)),
    ],
    ids=["integers", "decimals", "floats", "thousands", "percent"],
)
@given(st.lists(NUMBER_TEXT | GROUPED | st.floats().map(str) | st.integers().map(str), min_size=1, max_size=30))
def test_a_number_converts_if_and_only_if_it_has_the_shape(shape: str, column: ColumnRecipe, values: list[str]) -> None:
    told = shaped(values, shape)
    if column.scale is not None:  # the scale of a decided column is the longest fraction there is
        told = [t and len(v.partition(".")[2]) <= column.scale for t, v in zip(told, values, strict=True)]
    if column.type == "decimal" and column.thousands and column.unit is None:
        told = [t or shaped([v], EXPONENT)[0] for t, v in zip(told, values, strict=True)]
    if column.unit:
        told = [t or (v.endswith("%") and exotic(v[:-1].rstrip(), column)) for t, v in zip(told, values, strict=True)]
    assert converts(values, column) == told
    assert fitting(values, column) == told


def fitting(values: list[str], column: ColumnRecipe) -> list[bool]:
    return pl.DataFrame({"c": values}).select(fits(pl.col("c"), column)).to_series().to_list()


def exotic(bare: str, column: ColumnRecipe) -> bool:
    """Numbers with a unit whose spelling is so odd that no shape expects it; converting them is right all the same."""
    return converts([bare], column.model_copy(update={"unit": None}))[0]


@pytest.mark.parametrize("name", EXACT)
@given(st.lists(DATE_PARTS, min_size=1, max_size=20))
def test_a_date_converts_if_and_only_if_it_has_the_shape(name: str, parts: list[tuple[int, ...]]) -> None:
    values = [spelled(name, *p) for p in parts]
    column = ColumnRecipe(name="c", type="timestamp", formats=(name,))
    told = shaped(values, DATES[name].shape)
    assert converts(values, column) == told
    assert fitting(values, column) == told
    sound = [v for v, t in zip(values, told, strict=True) if t]
    assert all(converts(sound, column, sure=True)) if sound else True


def spelled(
    name: str, year: int, month: int, day: int, hour: int, minute: int, padded: bool, second: str = "07"
) -> str:
    form = DATES[name].form.replace("%.f", "")
    two = "{:02d}" if padded or name in ("Ymd", "YmdHMS") else "{}"
    parts = {"%Y": f"{year:04d}", "%m": two.format(month), "%d": two.format(day), "%H": f"{hour:02d}",
             "%M": f"{minute:02d}", "%S": second, "%z": "+0800"}  # fmt: skip
    for mark, text in parts.items():
        form = form.replace(mark, text)
    return form


@pytest.mark.parametrize("name", [n for n in EXACT if DATES[n].time])
@given(st.datetimes(dt.datetime(1900, 1, 1), dt.datetime(2100, 1, 1)), st.booleans())
def test_midnight_is_told_from_other_times_of_day(name: str, moment: dt.datetime, midnight: bool) -> None:
    moment = moment.replace(hour=0, minute=0) if midnight else moment
    value = spelled(name, moment.year, moment.month, moment.day, moment.hour, moment.minute, True, "00")
    assert shaped([value], MIDNIGHT) == [moment.hour == 0 and moment.minute == 0]


def test_units_of_a_column_are_no_other_units() -> None:
    column = ColumnRecipe(name="c", type="decimal", precision=10, scale=2, unit="万元", thousands=True)
    values = ["3.5万元", "1,200万元", "3.5 万元", "3.5元", "3.5", "7人"]
    assert converts(values, column) == [True, True, True, False, False, False]
    assert shaped(values, UNIT) == [True, True, True, True, False, True]


def test_digits_beyond_the_scale_are_refused_not_rounded() -> None:
    column = ColumnRecipe(name="c", type="decimal", precision=6, scale=2)
    assert converts(["1.23", "1.2300", "1.239", "12345.1", "1234.1"], column) == [True, True, False, False, True]
