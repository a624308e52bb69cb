"""Shapes settled for whole columns of bytes say what their regexes say, cell by cell."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.quality.shapes import Templates, Texts, of_pattern, of_type
from pipelines.reading.recipe import ColumnRecipe
from pipelines.reading.values import conversion, fits

PATTERNS = (r"\d{17}[\dX]", r"1[3-9]\d{9}", r"T25\d{3}", "[A-Z]{2}-[0-9a-f]{4}", r"\d{2}\.\d", "男")
RECIPES = (
    ColumnRecipe(name="v", type="integer"),
    ColumnRecipe(name="v", type="integer", thousands=True, fold_width=True),
    ColumnRecipe(name="v", type="integer", unit="元"),
    ColumnRecipe(name="v", type="decimal", scale=2),
    ColumnRecipe(name="v", type="decimal", scale=1, precision=3),
    ColumnRecipe(name="v", type="decimal", scale=2, precision=2),
    ColumnRecipe(name="v", type="decimal", scale=0, precision=3),
    ColumnRecipe(name="v", type="decimal"),
    ColumnRecipe(name="v", type="date", formats=("Y-m-d",)),
    ColumnRecipe(name="v", type="date", formats=("Y/m/d", "Y-m-d", "Ymd")),
    ColumnRecipe(name="v", type="timestamp", formats=("Y-m-d H:M:S",)),
    ColumnRecipe(name="v", type="timestamp", formats=("Y.m.d H:M", "Y-m-d")),
)
_days = st.builds(
    "{:04d}{m}{:02d}{m}{:02d}".format, *map(st.integers, (1899, 0, 0), (2101, 14, 33)), m=st.sampled_from("-/.")
)
_times = st.builds(
    "{} {:02d}:{:02d}{}".format, _days, st.integers(0, 25), st.integers(0, 61), st.sampled_from(["", ":59", ":60"])
)
_numbers = st.builds("{}{:.{p}f}".format, st.sampled_from(["", "", "-", "0"]), st.floats(0, 1e15), p=st.integers(0, 3))
_codes = st.one_of(*(st.from_regex(f"^(?:{p})$", fullmatch=True) for p in PATTERNS))
_others = st.sampled_from(
    ["", "1２3", "440101199001011234", "44010119900101123x", "１３800138000", "T2512a", "5.", "00", "1,234", "100",
     "-0.25", "1000."]
)  # fmt: skip
cells = st.lists(st.one_of(st.none(), _days, _times, _numbers, _codes, _others), max_size=20)
columns = st.builds(lambda some, times, odd: some * times + odd, cells, st.integers(1, 40), cells)


def settled(series: pl.Series, templates: Templates | None, ask: Callable[[pl.Series], pl.Series]) -> list[bool]:
    texts = Texts(series)
    sure = texts.accepted(templates)
    assert not (pl.Series(sure) & ~ask(series).fill_null(False)).any(), "a template took what its regex refuses"
    return texts.settle(sure, series.is_null().to_numpy(), ask).tolist()


def fitting(recipe: ColumnRecipe) -> Callable[[pl.Series], pl.Series]:
    return lambda some: some.to_frame("v").select(fits(pl.col("v"), recipe)).to_series()


@given(columns, st.sampled_from(PATTERNS))
def test_a_pattern_is_met_by_the_cells_that_its_regex_matches(column: list[str | None], pattern: str) -> None:
    series, regex = pl.Series("v", column, dtype=pl.String), f"^(?:{pattern})$"
    found = settled(series, of_pattern(pattern), lambda some: some.str.contains(regex))
    assert found == series.str.contains(regex).fill_null(False).to_list()


@given(columns, st.sampled_from(RECIPES))
def test_a_cell_fits_its_type_as_its_conversion_says(column: list[str | None], recipe: ColumnRecipe) -> None:
    series = pl.Series("v", column, dtype=pl.String)
    converts = series.to_frame().select(conversion(pl.col("v"), recipe).is_not_null()).to_series()
    assert settled(series, of_type(recipe), fitting(recipe)) == converts.to_list()


@given(columns, st.sampled_from([r for r in RECIPES if r.formats]))
def test_a_moment_read_from_digits_is_the_one_that_its_format_parses(
    column: list[str | None], recipe: ColumnRecipe
) -> None:
    series = pl.Series("v", column, dtype=pl.String)
    sure = pl.Series(Texts(series).accepted(of_type(recipe)))
    quick = pl.Series("v", Texts(series).moments(of_type(recipe))).cast(pl.Datetime("us"))
    parsed = series.to_frame().select(conversion(pl.col("v"), recipe)).to_series()
    assert quick.filter(sure).to_list() == parsed.filter(sure).to_list()


@pytest.mark.parametrize("recipe", [r for r in RECIPES if r.formats])
def test_every_day_of_common_and_leap_years_and_every_hour_fits_as_the_regex_says(recipe: ColumnRecipe) -> None:
    days = [f"{y}-{m:02d}-{d:02d}" for y in (1900, 2000, 2023, 2024) for m in range(15) for d in range(34)]
    hours = [f"2024-02-28 {h:02d}:{m:02d}:{s}" for h in range(27) for m in range(0, 66, 5) for s in ("00", "59", "60")]
    series = pl.Series("v", days + [d.replace("-", "/") for d in days] + hours)
    assert settled(series, of_type(recipe), fitting(recipe)) == fitting(recipe)(series).to_list()


@pytest.mark.parametrize(
    "pattern", [r"\d+", r"(1|2)\d", r"[^0-9]{3}", r"\d{2,4}", "a?", ".{4}", r"\w", "", "[a-z&&x]", "[😀]"]
)
def test_a_pattern_that_is_no_row_of_characters_is_left_to_the_regex(pattern: str) -> None:
    assert of_pattern(pattern) is None
