"""Shapes and conversions of values: a shape is checked first, the cast comes second, and both must agree."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import polars as pl

from pipelines.reading.recipe import ColumnRecipe

INTEGER = r"^-?(0|[1-9]\d{0,13})$"
DECIMAL = r"^-?(0|[1-9]\d{0,19})?\.\d+$|^-?(0|[1-9]\d{0,13})\.$"
LEADING_ZERO = r"^0\d+$"
LONG_DIGITS = r"^\d{15,}$"
PHONE = r"^1[3-9]\d{9}$"
YEAR_MONTH = r"^(19|20)\d{2}(0[1-9]|1[0-2])$"
THOUSANDS = r"^-?[1-9]\d{0,2}(,\d{3})+(\.\d+)?$"
EXPONENT = r"^[+-]?(\d+(\.\d*)?|\.\d+)[eE][+-]?\d+$|^[+-]?(?i:nan|inf|infinity)$"
PERCENT = r"^-?(\d+|\d{1,3}(,\d{3})+)(\.\d+)?%$"
_UNITS = "万元|亿元|千元|元|万|亿|人|户|个|次|件|公里|千米|米|km|m|吨|公斤|千克|kg|平方米|㎡|亩|公顷|岁|天|小时|分钟"
UNIT = rf"^-?(\d+|\d{{1,3}}(,\d{{3}})+)(\.\d+)?\s*({_UNITS})$"
UNIT_TAIL = r"([^\d\s.]+)$"
PARTIAL_DATE = r"^(19|20)\d{2}年?$|^(19|20)\d{2}[-年/.]\d{1,2}月?$"
FULL_WIDTH = "[０-９．－％：／]"

NUMBERS = {
    "integer": INTEGER, "decimal": DECIMAL, "leading_zero": LEADING_ZERO, "long": LONG_DIGITS, "phone": PHONE,
    "year_month": YEAR_MONTH, "thousands": THOUSANDS, "exponent": EXPONENT, "percent": PERCENT, "unit": UNIT,
}  # fmt: skip
"""Name → shape; a column of numbers is decided by how many values have each."""


@dataclass(frozen=True, slots=True)
class DateFormat:
    """One spelling: its shape, the strptime form, whether it has a time of day and whether it has an offset."""

    shape: str
    form: str
    time: bool = False
    offset: bool = False


def _dates() -> dict[str, DateFormat]:
    days = {
        "Y-m-d": (r"\d{4}-\d{1,2}-\d{1,2}", "%Y-%m-%d"),
        "Y/m/d": (r"\d{4}/\d{1,2}/\d{1,2}", "%Y/%m/%d"),
        "Y.m.d": (r"\d{4}\.\d{1,2}\.\d{1,2}", "%Y.%m.%d"),
        "Y年m月d日": (r"\d{4}年\d{1,2}月\d{1,2}日", "%Y年%m月%d日"),
    }
    found = {name: DateFormat(f"^{shape}$", form) for name, (shape, form) in days.items()}
    found["Ymd"] = DateFormat(r"^(19|20)\d{6}$", "%Y%m%d")
    for name, (shape, form) in days.items():
        gap = "" if name == "Y年m月d日" else " "
        space = " ?" if name == "Y年m月d日" else " "
        found[f"{name} H:M"] = DateFormat(rf"^{shape}{space}\d{{1,2}}:\d{{2}}$", f"{form}{gap}%H:%M", True)
        found[f"{name} H:M:S"] = DateFormat(
            rf"^{shape}{space}\d{{1,2}}:\d{{2}}:\d{{2}}(\.\d{{1,9}})?$", f"{form}{gap}%H:%M:%S%.f", True
        )
    found["Y-m-d H:M:S z"] = DateFormat(
        r"^\d{4}-\d{1,2}-\d{1,2} \d{1,2}:\d{2}:\d{2}(\.\d{1,9})?[+-]\d{2}:?\d{2}$", "%Y-%m-%d %H:%M:%S%.f%z", True, True
    )
    found["d/b/Y:H:M:S z"] = DateFormat(
        r"^\d{1,2}/[A-Z][a-z]{2}/\d{4}:\d{2}:\d{2}:\d{2} [+-]\d{4}$", "%d/%b/%Y:%H:%M:%S %z", True, True
    )
    found["YmdHMS"] = DateFormat(r"^(19|20)\d{12}$", "%Y%m%d%H%M%S", True)
    found["d/m/Y"] = DateFormat(r"^\d{1,2}/\d{1,2}/\d{4}$", "%d/%m/%Y")
    found["m/d/Y"] = DateFormat(r"^\d{1,2}/\d{1,2}/\d{4}$", "%m/%d/%Y")
    return found


DATES = _dates()
"""Name → format. `d/m/Y` and `m/d/Y` share a shape: which of them holds is decided by the values, or not at all."""

DIGITS_ONLY = frozenset({"Ymd", "YmdHMS"})
EITHER_ORDER = ("d/m/Y", "m/d/Y")


def trimmed(name: str) -> pl.Expr:
    """The text of a cell without blanks at its ends (also full-width ones)."""
    return pl.col(name).str.strip_chars()


def present(text: pl.Expr, spellings: tuple[str, ...]) -> pl.Expr:
    """`text` (trimmed), null where it spells a missing value."""
    return pl.when(text.is_in(list(spellings))).then(None).otherwise(text)


def folded(text: pl.Expr) -> pl.Expr:
    """Full-width digits and signs made plain; other characters are never touched."""
    return pl.when(text.str.contains(FULL_WIDTH)).then(text.str.normalize("NFKC")).otherwise(text)


def date_text(text: pl.Expr, formats: Iterable[str], *, fold: bool) -> pl.Expr:
    """The form in which the shapes of `formats` are looked for: `T` as a blank, `Z` as an offset, 时分秒 as colons.

    Each step costs a pass over the values, so only those that the formats need are taken.
    """
    wanted = [DATES[f] for f in formats]
    text = folded(text) if fold else text
    if any(f.time for f in wanted):
        text = text.str.replace(r"^(\d{4}-\d{1,2}-\d{1,2})T", "$1 ")
        clock = text.str.replace(r"(\d{1,2})时(\d{1,2})分(?:(\d{1,2})秒)?$", "$1:$2:$3").str.strip_chars_end(":")
        text = pl.when(text.str.contains("分", literal=True)).then(clock).otherwise(text)
    if any(f.offset for f in wanted):
        text = text.str.replace(r"^(\d{4}-.*:\d{2}(?:\.\d+)?)Z$", "$1+00:00")
    return text


def parsed_dates(text: pl.Expr, formats: tuple[str, ...]) -> pl.Expr:
    """Local date-times by the first format whose shape fits; times with an offset become UTC."""
    tried = []
    for name in formats:
        wanted = DATES[name]
        only = pl.when(text.str.contains(wanted.shape)).then(text).otherwise(None)
        if name.startswith("Y年") and wanted.time:
            only = only.str.replace("日 ", "日", literal=True)
        parsed = only.str.to_datetime(wanted.form, strict=False, time_unit="us")
        tried.append(parsed.dt.replace_time_zone(None) if wanted.offset else parsed)
    return pl.coalesce(tried) if tried else pl.lit(None, dtype=pl.Datetime("us"))


def number_text(text: pl.Expr, column: ColumnRecipe) -> pl.Expr:
    """The digits of a number: without separators of thousands and without its unit."""
    text = folded(text) if column.fold_width else text
    if column.unit is not None:
        text = text.str.replace(UNIT_TAIL, "").str.strip_chars_end()
    if column.thousands:
        text = pl.when(text.str.contains(THOUSANDS)).then(text.str.replace_all(",", "", literal=True)).otherwise(text)
    return text


def converted(column: ColumnRecipe) -> pl.Expr:
    """The value of a column by its recipe; null where it is missing or does not fit."""
    return (
        conversion(present(trimmed(column.name), column.missing), column).cast(polars_type(column)).alias(column.name)
    )


def conversion(text: pl.Expr, column: ColumnRecipe) -> pl.Expr:
    """The value of a trimmed text that is no spelling of missing."""
    if column.type == "integer":
        text = number_text(text, column)
        return pl.when(text.str.contains(INTEGER)).then(text).otherwise(None).cast(pl.Int64, strict=False)
    if column.type == "decimal":
        text = number_text(text, column)
        # More digits than the scale would be rounded by the cast: such a value does not fit.
        shapes = [INTEGER, _decimal(column.scale)] if column.scale is not None else [INTEGER, DECIMAL, EXPONENT]
        fits = text.str.contains("|".join(f"(?:{s})" for s in shapes))
        return pl.when(fits).then(text.str.strip_chars_end(".")).otherwise(None).cast(polars_type(column), strict=False)
    if column.type in ("date", "timestamp"):
        return parsed_dates(date_text(text, column.formats, fold=column.fold_width), column.formats)
    if column.type == "boolean":
        text = text.str.to_lowercase()
        true, false = ["是", "y", "true"], ["否", "n", "false"]
        return pl.when(text.is_in(true)).then(True).when(text.is_in(false)).then(False).otherwise(None)
    return text


def _decimal(scale: int) -> str:
    return rf"^-?(0|[1-9]\d{{0,19}})?\.\d{{{1 if scale else 0},{scale}}}0*$|^-?(0|[1-9]\d{{0,13}})\.$"


def polars_type(column: ColumnRecipe) -> pl.DataType:
    """Where a column's values live: DECIMAL(p, s) when its scale is known, else a floating number."""
    if column.type == "decimal":
        return pl.Float64() if column.scale is None else pl.Decimal(column.precision or 38, column.scale)
    kinds: dict[str, pl.DataType] = {
        "integer": pl.Int64(), "date": pl.Date(), "timestamp": pl.Datetime("us"), "boolean": pl.Boolean()
    }  # fmt: skip
    return kinds.get(column.type, pl.String())


def is_bad(column: ColumnRecipe) -> pl.Expr:
    """A value that is there and does not fit its column's type."""
    text = present(trimmed(column.name), column.missing)
    return text.is_not_null() & conversion(text, column).is_null()
