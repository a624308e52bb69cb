"""A column looked at by its bytes tells what looking at every cell with plain text functions tells."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipelines.quality.batches import Cells
from pipelines.quality.rows import looks
from pipelines.quality.texts import Column
from pipelines.reading.recipe import ColumnRecipe
from pipelines.reading.values import conversion
from policies.editions import load
from policies.schema.quality import Range, Regex, UniqueKey

SAMPLES = 5
SPELLINGS = load("quality", "2026-01").by_check("missing_spellings").parameters.spellings
RECIPES = (
    ColumnRecipe(name="v"),
    ColumnRecipe(name="v", missing=("9", "none at all")),
    ColumnRecipe(name="v", type="integer"),
    ColumnRecipe(name="v", type="decimal", scale=2),
    ColumnRecipe(name="v", type="date", formats=("Y-m-d",)),
    ColumnRecipe(name="v", type="timestamp", formats=("Y-m-d H:M:S", "Ymd")),
    ColumnRecipe(name="v", type="date", formats=("Y年m月d日",)),
)
PATTERN = r"1[3-9]\d{3}"
RULES: tuple[list[Any], ...] = (
    [],
    [Regex(kind="regex", column="v", pattern=PATTERN)],
    [UniqueKey(kind="unique_key", columns=("v",))],
    [UniqueKey(kind="unique_key", columns=("v",)), Regex(kind="regex", column="v", pattern="[A-Z]{2}")],
    [Range(kind="range", column="v", min=0.0, max=99.0)],
)
_words = st.sampled_from(
    [
        "",
        "-",
        "NA",
        "ｎａ",
        "暂无",
        "空",
        "空空",
        "不详",
        "无数据",
        "9",
        "none at all",
        "0000-00-00",
        "\\N",
        "-5",
        "Nan",
    ]
)
_values = st.sampled_from(
    ["13800", "19", "5.25", "100.00", "1.5", "2024-02-29", "2023-02-29", "2024-01-31 08:00:00", "20240131", "甲",
     "示范市", "2024年1月2日", "示范市东湖区和平大道一百二十号", "x" * 60, "440524188001010014"]
)  # fmt: skip
_blanks = st.sampled_from(["", "", "", " ", "\t", "\u3000", "\u00a0", "\u2009", "\x1c"])
_cell = st.one_of(st.none(), st.builds("{}{}{}".format, _blanks, st.one_of(_words, _values), _blanks))
CELLS = st.builds(
    lambda some, times, odd: some * times + odd, st.lists(_cell, max_size=4), st.integers(1, 60), st.lists(_cell)
)


def plainly(column: Column, cells: pl.Series) -> tuple[pl.Series, pl.Series]:
    """The text of every cell, null where it is missing, and whether it is there without fitting the type."""
    text = cells.str.strip_chars()
    gone = text.is_null() | (text == "") | text.is_in([*column.recipe.missing, *column.spellings])
    text = text.to_frame("v").select(pl.when(pl.lit(gone)).then(None).otherwise(pl.col("v"))).to_series().alias("v")
    fits = text.to_frame().select(conversion(pl.col("v"), column.recipe).is_not_null()).to_series()
    return text, text.is_not_null() & ~fits


def by_code(cells: pl.Series) -> Cells:
    values = cells.unique(maintain_order=True)
    places = {value: place for place, value in enumerate(values.to_list())}
    return Cells(values, np.array([places[cell] for cell in cells.to_list()], dtype=np.int32))


def first(marked: pl.Series) -> tuple[int, ...]:
    return tuple(marked.arg_true().head(SAMPLES).to_list())


@settings(deadline=None)
@given(CELLS, st.sampled_from(RECIPES), st.sampled_from(RULES), st.booleans())
@example([" NA", "NA ", "甲 ", "甲"], RECIPES[0], RULES[2], False)
@example(["13800 "] * 3, RECIPES[0], RULES[1], False)
@example(["100.00"] * 30 + ["-5"] * 30 + ["暂无", "暂无 ", " "], RECIPES[3], RULES[4], False)
def test_a_column_is_told_as_cell_by_cell(
    texts: list[str | None], recipe: ColumnRecipe, rules: list[Any], coded: bool
) -> None:
    series = pl.Series("v", texts, dtype=pl.String)
    (column,) = looks(pl.Schema({"v": pl.String}), [recipe], SPELLINGS, rules)
    cells = by_code(series) if coded else Cells(series.clone())
    found = column.look(cells, SAMPLES, whole=True)
    text, bad = plainly(column, series)
    assert (found.missing, found.gaps) == (text.null_count(), first(text.is_null()))
    assert found.invalid == bad.sum()
    for rule, told in zip([r for r in rules if r.kind == "regex"], found.tests, strict=False):
        met = text.str.contains(f"^(?:{rule.pattern})$")
        there = len(text) - text.null_count()
        assert told == (met.sum(), there, first((~met).fill_null(False)))
    if "text" in column.spread:
        assert found.series[0].to_list() == text.to_list()
    assert found.lanes is not None
    delivered = [series.hash(lane).to_list() for lane in (0, 1)]
    assert [lane.tolist() for lane in found.lanes] == delivered, "looking at cells must leave them as delivered"
