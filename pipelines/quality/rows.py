"""Row-wise rules over one batch of rows: which elements a rule evaluates, and which of them meet it."""

from __future__ import annotations

import itertools
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Any

import polars as pl

from pipelines.quality.shapes import of_pattern
from pipelines.quality.texts import Column, Test
from pipelines.reading.recipe import MISSING, ColumnRecipe
from pipelines.reading.values import conversion
from policies.schema.quality import columns_of

_SCHEMES = {"resident_id": "resident_id", "uscc": "uscc", "org_code": "org_code", "luhn": "imei", "vin": "vin"}
_MASKS = "[*＊×●•■█]"
_MEN, _WOMEN = ["男", "男性", "1"], ["女", "女性", "2"]
_WIDE = 0xFEE0  # from an ASCII character to its full-width form
_ROUNDING = 1e-9  # of sums of binary fractions; far below any unit of a table


def looks(
    schema: pl.Schema, columns: Sequence[ColumnRecipe], spellings: Sequence[str], rules: Sequence[Any]
) -> list[Column]:
    """How to look at each column for the sake of the rules.

    `spellings` are those of the policy, on top of what the recipes decided. Afterwards `name` is a column as trimmed
    text, `name\\0number` and `name\\0moment` are its values as far as rules ask for them.
    """
    decided = {plain(s) for s in MISSING}
    more = tuple(w for s in spellings if plain(s) not in decided for w in writings(s))
    recipes = {c.name: c for c in columns}
    wants: dict[str, set[str]] = {c.name: set() for c in columns}
    spread: dict[str, set[str]] = {c.name: set() for c in columns}
    for rule in rules:
        for name in columns_of(rule) if rule.kind != "required" else ():  # which values are missing is known anyway
            asked = {_face(rule, name, recipes[name].type)}
            if rule.kind not in _BY_KIND:
                asked.add("text")
            wants[name] |= asked
            if not is_alone(rule):
                spread[name] |= asked
    tests = {n: [_alone(recipes, r) for r in rules if is_alone(r) and r.column == n] for n in recipes}
    return [
        Column.of(place, c, schema[c.name], more, wants[c.name], spread[c.name], tests[c.name])
        for place, c in enumerate(columns)
    ]


def _alone(recipes: Recipes, rule: Any) -> Test:
    return Test(_MEETS[rule.kind](recipes, rule), of_pattern(rule.pattern) if rule.kind == "regex" else None)


_BY_TYPE = {"date": "moment", "timestamp": "moment", "decimal": "number", "integer": "number"}
_BY_KIND = {"date_order": "moment", "period": "moment", "fresh_within": "moment", "total": "number"}
"""rules that ask for values alone, whichever way they are written"""


def _face(rule: Any, name: str, kind: str) -> str:
    """What a rule asks of a column of type `kind`: "text", "number" or "moment"."""
    if rule.kind == "range":
        return "moment" if isinstance(rule.min, date) or isinstance(rule.max, date) else "number"
    if rule.kind == "column_type":
        return _BY_TYPE.get(rule.type, "text") if rule.type != "integer" else "text"
    if rule.kind == "encoded" and rule.part == "birth" and name == rule.column:
        return "moment"
    if rule.kind in ("same_data", "truth") and name == rule.column:
        return _BY_TYPE.get(kind, "text")
    return _BY_KIND.get(rule.kind, "text")


def number(name: str) -> pl.Expr:
    """The value as a floating number."""
    return pl.col(f"{name}\0number")


def moment(name: str) -> pl.Expr:
    """The value as a local date-time."""
    return pl.col(f"{name}\0moment")


def plain(text: str) -> str:
    """A spelling without regard to case and to full or half width."""
    return unicodedata.normalize("NFKC", text).strip().casefold()


def writings(spelling: str) -> tuple[str, ...]:
    """Every way to write a spelling: upper or lower case, full or half width, character by character.

    Spellings are short words; a word of more than seven letters is written in one case and one width only.
    """
    text = plain(spelling)
    ways = [sorted({c, c.upper(), _wide(c), _wide(c.upper())}) for c in text]
    if len(text) > 7:
        return tuple({text, text.upper(), "".join(map(_wide, text)), "".join(map(_wide, text.upper()))})
    return (spelling.strip(), *("".join(way) for way in itertools.product(*ways)))


def _wide(character: str) -> str:
    return chr(ord(character) + _WIDE) if "!" <= character <= "~" else character


def comparable(recipe: ColumnRecipe) -> pl.Expr:
    """A value in one form whichever way it was written: dates and numbers by their value, everything else by text."""
    face = _BY_TYPE.get(recipe.type)
    return pl.col(recipe.name if face is None else f"{recipe.name}\0{face}")


def is_alone(rule: Any) -> bool:
    """Whether each value of one column alone tells if it meets the rule."""
    return rule.kind in _MEETS


def is_row_wise(rule: Any) -> bool:
    """Whether several values of one row tell if it meets the rule."""
    return rule.kind in _SEVERAL


def test(rule: Any) -> tuple[pl.Expr, pl.Expr]:
    """Which rows a row-wise rule evaluates, and which of them meet it (never null)."""
    applies, ok = _SEVERAL[rule.kind](rule)
    return applies, ok.fill_null(False)


Recipes = Mapping[str, ColumnRecipe]


# ---- rules about one column ----------------------------------------------------------------------------------------
def _column_type(recipes: Recipes, rule: Any) -> pl.Expr:
    name = rule.column
    if rule.type in ("date", "timestamp"):
        fits = moment(name).is_not_null()
    elif rule.type == "decimal":
        fits = number(name).is_not_null()
    elif rule.type == "text":
        fits = pl.lit(True)
    else:
        fits = conversion(pl.col(name), recipes[name].model_copy(update={"type": rule.type})).is_not_null()
    return fits & (pl.col(name).str.len_chars() <= rule.max_length) if rule.max_length else fits


def _range(recipes: Recipes, rule: Any) -> pl.Expr:
    dated = isinstance(rule.min, date) or isinstance(rule.max, date)
    value = moment(rule.column).dt.date() if dated else number(rule.column)
    ok = value.is_not_null()
    if rule.min is not None:
        ok &= value >= rule.min
    return ok & (value <= rule.max) if rule.max is not None else ok


def _valid(name: str, scheme: str) -> pl.Expr:
    from sandbox.detection.checksums import valid

    def judge(values: pl.Series) -> pl.Series:
        digits = values.str.contains(r"^\d+$").fill_null(False) if scheme == "luhn" else True
        return pl.Series(values.name, valid(_SCHEMES[scheme], values.fill_null("").to_list())) & digits

    return pl.col(name).map_batches(judge, return_dtype=pl.Boolean, is_elementwise=True)


def _masked(_: Recipes, rule: Any) -> pl.Expr:
    return pl.col(rule.column).str.count_matches(_MASKS) >= rule.hidden


_MEETS: dict[str, Callable[[Recipes, Any], pl.Expr]] = {
    "column_type": _column_type,
    "range": _range,
    "regex": lambda _, rule: pl.col(rule.column).str.contains(f"^(?:{rule.pattern})$"),
    "code_list": lambda _, rule: pl.col(rule.column).is_in(list(rule.values)),
    "check_digit": lambda _, rule: _valid(rule.column, rule.scheme),
    "period": lambda _, rule: moment(rule.column).dt.date().is_between(rule.start, rule.end),
    "masked": _masked,
}


# ---- rules about several columns of a row --------------------------------------------------------------------------
def _date_order(rule: Any) -> tuple[pl.Expr, pl.Expr]:
    """Rows with at least two of the dates; each date is not before the last one that is there."""
    moments = [moment(c) for c in rule.columns]
    evaluated = pl.sum_horizontal(m.is_not_null().cast(pl.UInt32) for m in moments) >= 2
    ok = pl.lit(True)
    latest = moments[0]
    for later in moments[1:]:
        ok &= (later >= latest).fill_null(True)
        latest = pl.max_horizontal(latest, later)
    return evaluated, ok


def _condition(rule: Any) -> tuple[pl.Expr, pl.Expr]:
    applies = pl.col(rule.column).is_in(list(rule.values)).fill_null(False)
    then = pl.col(rule.then_column)
    return applies, then.is_not_null() if rule.then_values is None else then.is_in(list(rule.then_values))


def _encoded(rule: Any) -> tuple[pl.Expr, pl.Expr]:
    """Positions 7–14 of a resident ID are the birth date, position 17 is odd for men (GB 11643-1999)."""
    number, value = pl.col(rule.id_column), pl.col(rule.column)
    applies = (number.str.len_bytes() == 18) & value.is_not_null() & _valid(rule.id_column, "resident_id")
    if rule.part == "birth":
        return applies.fill_null(False), moment(rule.column).dt.to_string("%Y%m%d") == number.str.slice(6, 8)
    man = number.str.slice(16, 1).is_in(["1", "3", "5", "7", "9"])
    return applies.fill_null(False), (man & value.is_in(_MEN)) | (~man & value.is_in(_WOMEN))


def _total(rule: Any) -> tuple[pl.Expr, pl.Expr]:
    whole, parts = number(rule.column), [number(c) for c in rule.parts]
    applies = pl.all_horizontal(n.is_not_null() for n in (whole, *parts))
    difference = whole
    for part in parts:
        difference = difference - part
    return applies, difference.abs() <= rule.tolerance + _ROUNDING * pl.max_horizontal(whole.abs(), 1.0)


_SEVERAL: dict[str, Callable[[Any], tuple[pl.Expr, pl.Expr]]] = {
    "date_order": _date_order, "condition": _condition, "encoded": _encoded, "total": _total,
}  # fmt: skip
