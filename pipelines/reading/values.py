"""Shapes and conversions of values: a shape is checked first, the cast comes second, and both must agree."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import polars as pl

from pipelines.reading.recipe import ColumnRecipe

# Digits are spelled out: `\d` also matches full-width digits, which no cast takes.
_WHOLE = r"(0|[1-9][0-9]{0,13})"
_GROUPED = r"([1-9][0-9]{0,2}(,[0-9]{3}){1,3}|[1-9][0-9]?(,[0-9]{3}){4})"
INTEGER = rf"^-?{_WHOLE}$"
DECIMAL = rf"^-?(0|[1-9][0-9]{{0,19}})?\.[0-9]+$|^-?{_WHOLE}\.$"
LEADING_ZERO = r"^0[0-9]+$"
LONG_DIGITS = r"^[0-9]{15,}$"
PHONE = r"^1[3-9][0-9]{9}$"
YEAR_MONTH = r"^(19|20)[0-9]{2}(0[1-9]|1[0-2])$"
THOUSANDS = rf"^-?{_GROUPED}(\.[0-9]+)?$"
EXPONENT = r"^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)[eE][+-]?[0-9]+$|^[+-]?(?i:nan|inf|infinity)$"
PERCENT = rf"^-?({_WHOLE}|{_GROUPED})(\.[0-9]+)?%$"
_UNITS = "万元|亿元|千元|元|万|亿|人|户|个|次|件|公里|千米|米|km|m|吨|公斤|千克|kg|平方米|㎡|亩|公顷|岁|天|小时|分钟"
UNIT = rf"^-?({_WHOLE}|{_GROUPED})(\.[0-9]+)?\s*({_UNITS})$"
UNIT_TAIL = r"([^\d\s.]+)$"
PARTIAL_DATE = r"^(19|20)[0-9]{2}年?$|^(19|20)[0-9]{2}[-年/.][0-9]{1,2}月?$"
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


_LEAP = "(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)"
_OURS, _OUR_LEAP = "(?:19|20)[0-9]{2}", "(?:(?:19|20)(?:0[48]|[2468][048]|[13579][26])|2000)"
_TIME = "(?:[01]?[0-9]|2[0-3]):[0-5][0-9]"


def _day(first: str, second: str, last: str = "", *, packed: bool = False) -> str:
    """A day that is in the calendar, leap years and all, so that whatever has the shape parses."""
    zero, years, leap = ("0", _OURS, _OUR_LEAP) if packed else ("0?", "[0-9]{4}", _LEAP)
    long = f"(?:{zero}[13578]|1[02]){second}(?:{zero}[1-9]|[12][0-9]|3[01])"
    short = f"(?:{zero}[469]|11){second}(?:{zero}[1-9]|[12][0-9]|30)"
    february = f"{zero}2{second}(?:{zero}[1-9]|1[0-9]|2[0-8])"
    return f"(?:{years}{first}(?:{long}|{short}|{february})|{leap}{first}{zero}2{second}29){last}"


def _dates() -> dict[str, DateFormat]:
    days = {
        "Y-m-d": (_day("-", "-"), "%Y-%m-%d"),
        "Y/m/d": (_day("/", "/"), "%Y/%m/%d"),
        "Y.m.d": (_day(r"\.", r"\."), "%Y.%m.%d"),
        "Y年m月d日": (_day("年", "月", "日"), "%Y年%m月%d日"),
    }
    found = {name: DateFormat(f"^{shape}$", form) for name, (shape, form) in days.items()}
    found["Ymd"] = DateFormat(f"^{_day('', '', packed=True)}$", "%Y%m%d")
    for name, (shape, form) in days.items():
        gap = "" if name == "Y年m月d日" else " "
        space = " ?" if name == "Y年m月d日" else " "
        found[f"{name} H:M"] = DateFormat(rf"^{shape}{space}{_TIME}$", f"{form}{gap}%H:%M", True)
        found[f"{name} H:M:S"] = DateFormat(
            rf"^{shape}{space}{_TIME}:[0-5][0-9](\.[0-9]{{1,9}})?$", f"{form}{gap}%H:%M:%S%.f", True
        )
    found["Y-m-d H:M:S z"] = DateFormat(
        rf"^{days['Y-m-d'][0]} {_TIME}:[0-5][0-9](\.[0-9]{{1,9}})?[+-][01][0-9]:?[0-5][0-9]$",
        "%Y-%m-%d %H:%M:%S%.f%z", True, True,
    )  # fmt: skip
    found["d/b/Y:H:M:S z"] = DateFormat(
        r"^[0-9]{1,2}/[A-Z][a-z]{2}/[0-9]{4}:[0-9]{2}:[0-9]{2}:[0-9]{2} [+-][0-9]{4}$", "%d/%b/%Y:%H:%M:%S %z",
        True, True,
    )  # fmt: skip
    found["YmdHMS"] = DateFormat(
        f"^{_day('', '', packed=True)}(?:[01][0-9]|2[0-3])[0-5][0-9][0-5][0-9]$",
        "%Y%m%d%H%M%S", True,
    )  # fmt: skip
    found["d/m/Y"] = DateFormat(r"^[0-9]{1,2}/[0-9]{1,2}/[0-9]{4}$", "%d/%m/%Y")
    found["m/d/Y"] = DateFormat(r"^[0-9]{1,2}/[0-9]{1,2}/[0-9]{4}$", "%m/%d/%Y")
    return found


DATES = _dates()
"""Name → format. `d/m/Y` and `m/d/Y` share a shape: which of them holds is decided by the values, or not at all."""

DIGITS_ONLY = frozenset({"Ymd", "YmdHMS"})
EITHER_ORDER = ("d/m/Y", "m/d/Y")
INEXACT = frozenset({*EITHER_ORDER, "d/b/Y:H:M:S z"})
"""Formats whose shape also takes days that are in no calendar: only parsing tells."""

MIDNIGHT = r"(?:[ 日]|^[0-9]{8})0?0:?00(?::?00(?:\.0+)?)?(?: ?[+-][0-9]{2}:?[0-9]{2})?$"
"""The end of a date-time whose time of day says nothing."""


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
        text = _replaced(text, "T", r"^([0-9]{4}-[0-9]{1,2}-[0-9]{1,2})T", "$1 ")
        text = _replaced(text, "分", r"([0-9]{1,2})时([0-9]{1,2})分(?:([0-9]{1,2})秒)?$", "$1:$2:$3", end=":")
    if any(f.offset for f in wanted):
        text = _replaced(text, "Z", r"^([0-9]{4}-.*:[0-9]{2}(?:\.[0-9]+)?)Z$", "$1+00:00")
    return text


def _replaced(text: pl.Expr, mark: str, pattern: str, by: str, *, end: str = "") -> pl.Expr:
    """`pattern` replaced where `mark` occurs at all: looking for one character is cheap, replacing is not."""
    some = pl.when(text.str.contains(mark, literal=True)).then(text).otherwise(None).str.replace(pattern, by)
    return pl.coalesce(some.str.strip_chars_end(end) if end else some, text)


def parsed_dates(text: pl.Expr, formats: tuple[str, ...], *, sure: bool = False) -> pl.Expr:
    """Local date-times by the first format whose shape fits; times with an offset become UTC.

    `sure`: every value is known to have the shape of one of the formats, so that a single one need not be looked for.
    """
    tried = []
    for name in formats:
        wanted = DATES[name]
        alone = sure and len(formats) == 1
        only = text if alone else pl.when(text.str.contains(wanted.shape)).then(text).otherwise(None)
        if name.startswith("Y年") and wanted.time:
            only = only.str.replace("日 ", "日", literal=True)
        parsed = _parsed(only, wanted)
        tried.append(parsed.dt.replace_time_zone(None) if wanted.offset else parsed)
    return pl.coalesce(tried) if tried else pl.lit(None, dtype=pl.Datetime("us"))


def _parsed(text: pl.Expr, wanted: DateFormat) -> pl.Expr:
    """By the strptime form; fractions of a second, which cost three times as much, only where there are any."""
    if not wanted.time:
        return text.str.to_date(wanted.form, strict=False).cast(pl.Datetime("us"))
    if "%.f" not in wanted.form:
        return text.str.to_datetime(wanted.form, strict=False, time_unit="us")
    has_fraction = text.str.contains(r":[0-9]+\.[0-9]")
    plain = pl.when(has_fraction).then(None).otherwise(text)
    finer = pl.when(has_fraction).then(text).otherwise(None)
    return pl.coalesce(
        plain.str.to_datetime(wanted.form.replace("%.f", ""), strict=False, time_unit="us"),
        finer.str.to_datetime(wanted.form, strict=False, time_unit="us"),
    )


def number_text(text: pl.Expr, column: ColumnRecipe, *, sure: bool = False) -> pl.Expr:
    """The digits of a number: without separators of thousands and without its unit.

    `sure`: every value is known to be a number as the recipe says.
    """
    text = folded(text) if column.fold_width else text
    if column.unit is not None:
        bare = text.str.strip_suffix(column.unit).str.strip_chars_end()
        text = bare if sure else pl.when(text.str.ends_with(column.unit)).then(bare).otherwise(None)
    if column.thousands:
        plain = text.str.replace_all(",", "", literal=True)
        text = plain if sure else pl.when(text.str.contains(THOUSANDS)).then(plain).otherwise(text)
    return text


def converted(column: ColumnRecipe, *, clean: bool = False, sure: bool = False) -> pl.Expr:
    """The value of a column by its recipe; null where it is missing or does not fit.

    `clean`: no cell has blanks at its ends or spells a missing value; `sure`: every other value fits the type. Both
    are known where all rows were looked at, and save the looking.
    """
    text = pl.col(column.name) if clean else present(trimmed(column.name), column.missing)
    return conversion(text, column, sure=sure).cast(polars_type(column)).alias(column.name)


def conversion(text: pl.Expr, column: ColumnRecipe, *, sure: bool = False) -> pl.Expr:
    """The value of a trimmed text that is no spelling of missing; `sure` as for `converted`."""
    if column.type in ("integer", "decimal"):
        text = number_text(text, column, sure=sure)
        fits = text if sure else pl.when(text.str.contains(number_shape(column))).then(text).otherwise(None)
        if column.type == "decimal":
            fits = fits.str.strip_chars_end(".")
        return fits.cast(polars_type(column), strict=False)
    if column.type in ("date", "timestamp"):
        return parsed_dates(date_text(text, column.formats, fold=column.fold_width), column.formats, sure=sure)
    if column.type == "boolean":
        text = text.str.to_lowercase()
        true, false = ["是", "y", "true"], ["否", "n", "false"]
        return pl.when(text.is_in(true)).then(True).when(text.is_in(false)).then(False).otherwise(None)
    return text


def fits(text: pl.Expr, column: ColumnRecipe) -> pl.Expr:
    """Whether a trimmed text would convert to the column's type; several times as fast as converting it, because shapes
    are exact."""
    if column.type in ("integer", "decimal"):
        return number_text(text, column).str.contains(number_shape(column)).fill_null(False)
    if column.type in ("date", "timestamp") and column.formats and not INEXACT & set(column.formats):
        text = date_text(text, column.formats, fold=column.fold_width)
        return text.str.contains("|".join(f"(?:{DATES[f].shape})" for f in column.formats)).fill_null(False)
    return conversion(text, column).is_not_null()


def number_shape(column: ColumnRecipe) -> str:
    """What a number of the column looks like without its unit and separators; no digit more than its scale keeps and
    its precision has room for."""
    if column.type == "integer":
        return INTEGER
    if column.scale is None:
        return "|".join(f"(?:{s})" for s in (INTEGER, DECIMAL, EXPONENT))
    room = max(0, (column.precision or 38) - column.scale)
    shapes = [rf"^-?{_at_most(min(14, room))}\.?$"]
    if column.scale:
        shapes.append(rf"^-?{_at_most(min(20, room))}?\.[0-9]{{1,{column.scale}}}0*$")
    return "|".join(f"(?:{s})" for s in shapes)


def _at_most(digits: int) -> str:
    """A whole number of so many digits, without zeros before it; of none, only zero itself."""
    return rf"(0|[1-9][0-9]{{0,{digits - 1}}})" if digits else "(0)"


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
