"""How each declared rule is evaluated over all rows: a row-wise test, a key, or a reference to another table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import polars as pl

from pipelines.reading.recipe import MISSING, ColumnRecipe
from pipelines.reading.values import (
    DATES,
    DECIMAL,
    EITHER_ORDER,
    INTEGER,
    conversion,
    date_text,
    number_text,
    parsed_dates,
    present,
)

_ROW = "\0row"
_FORMATS = tuple(f for f in DATES if f not in EITHER_ORDER)
_SCHEMES = {"resident_id": "resident_id", "uscc": "uscc", "org_code": "org_code", "luhn": "imei", "vin": "vin"}


@dataclass(frozen=True, slots=True)
class TableFiles:
    """What rules may need besides the table: other tables by name, the day of measuring, how many rows to name."""

    others: Mapping[str, list[str]]
    today: date
    samples: int


@dataclass(frozen=True, slots=True)
class Evaluated:
    """A of B elements meet a rule; None where it could not run."""

    a: int | None
    b: int | None
    failing: int = 0
    rows: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Table:
    """The columns as trimmed text, null where they say "missing" (for typed files: the value as text)."""

    frame: pl.LazyFrame
    recipes: Mapping[str, ColumnRecipe]
    stated: Mapping[str, pl.DataType]
    rows: int
    missing: Mapping[str, int]

    @classmethod
    def open(cls, files: Sequence[str], columns: Sequence[ColumnRecipe], spellings: tuple[str, ...]) -> Table:
        """Open the files; `spellings` are those of the policy, on top of what the recipes decided."""
        source = pl.scan_parquet(list(files))
        schema = source.collect_schema()
        recipes = {c.name: c for c in columns}
        more = tuple({_plain(s) for s in spellings} - {_plain(s) for s in MISSING})
        texts = [_text(c, schema[c.name], more) for c in columns]
        typed = [pl.col(c.name).alias(f"{c.name}\0typed") for c in columns if schema[c.name] != pl.String]
        frame = source.with_row_index(_ROW).select(_ROW, *texts, *typed)
        counts = frame.select(pl.len().alias(_ROW), *(pl.col(n).null_count() for n in recipes))
        counted = counts.collect(engine="streaming").row(0, named=True)
        stated = {c.name: schema[c.name] for c in columns}
        return cls(frame, recipes, stated, counted.pop(_ROW), counted)

    def value(self, name: str) -> pl.Expr:
        """The typed value by the column's recipe; null where it is missing or does not fit."""
        if self.stated[name] != pl.String:
            return pl.col(f"{name}\0typed")
        return conversion(pl.col(name), self.recipes[name])

    def number(self, name: str) -> pl.Expr:
        """The value as a floating number, whatever the column's type."""
        if self.stated[name].is_numeric():
            return pl.col(f"{name}\0typed").cast(pl.Float64)
        text = number_text(pl.col(name), self.recipes[name].model_copy(update={"thousands": True, "fold_width": True}))
        fits = text.str.contains(f"(?:{INTEGER})|(?:{DECIMAL})")
        return pl.when(fits).then(text.str.strip_chars_end(".")).otherwise(None).cast(pl.Float64, strict=False)

    def moment(self, name: str) -> pl.Expr:
        """The value as a local date-time, whatever the column's type."""
        if self.stated[name].is_temporal():
            return pl.col(f"{name}\0typed").cast(pl.Datetime("us"))
        formats = self.recipes[name].formats or _FORMATS
        return parsed_dates(date_text(pl.col(name), formats, fold=True), formats)


def _plain(text: str) -> str:
    import unicodedata

    return unicodedata.normalize("NFKC", text).strip().casefold()


def _text(column: ColumnRecipe, stated: pl.DataType, more: tuple[str, ...]) -> pl.Expr:
    if stated != pl.String:
        return pl.col(column.name).cast(pl.String)
    text = present(pl.col(column.name).str.strip_chars(), column.missing)
    said = text.str.normalize("NFKC").str.to_lowercase().is_in(list(more))
    return pl.when(said).then(None).otherwise(text).alias(column.name)


def wrong_types(table: Table) -> dict[str, tuple[int, int]]:
    """Per column of a type other than text: values that do not fit it, and values there are."""
    typed = [c for c in table.recipes.values() if c.type != "text" and table.stated[c.name] == pl.String]
    asked = [(pl.col(c.name).is_not_null() & table.value(c.name).is_null()).sum().alias(c.name) for c in typed]
    bad = table.frame.select(asked).collect(engine="streaming").row(0, named=True) if asked else {}
    kinds = [c.name for c in table.recipes.values() if c.type != "text"]
    return {n: (int(bad.get(n, 0)), table.rows - table.missing[n]) for n in kinds}


def repeated_rows(files: Sequence[str]) -> int:
    """Rows that repeat an earlier one, by MD5 of all cells as they are (DuckDB's `hash` is not fit for identity)."""
    import duckdb

    names = pl.scan_parquet(list(files)).collect_schema().names()
    quoted = ['"' + c.replace('"', '""') + '"' for c in names]
    cells = ", ".join(f"coalesce(length({q}::VARCHAR) || ':' || {q}::VARCHAR, '~')" for q in quoted)
    query = (
        "SELECT coalesce(sum(n - 1), 0)::BIGINT FROM (SELECT count(*) AS n"
        f" FROM read_parquet($files, union_by_name=true) GROUP BY md5_number(concat({cells})))"
    )
    with duckdb.connect(config={"memory_limit": "2GB"}) as con:
        ((total,),) = con.execute(query, {"files": list(files)}).fetchall()
    return int(total)


def evaluate(table: Table, rules: Sequence[Any], around: TableFiles) -> list[Evaluated]:
    """Every rule over all rows, in the order given."""
    special: dict[str, Callable[[Table, Any, TableFiles], Evaluated]] = {
        "unique_key": _unique, "reference": _reference, "expected_rows": _expected, "fresh_within": _fresh,
        "required": _required,
    }  # fmt: skip
    plain = [(i, _test(table, r)) for i, r in enumerate(rules) if r.kind not in special]
    asked = [e.alias(f"{i}{side}") for i, (b, ok) in plain for side, e in (("a", (b & ok).sum()), ("b", b.sum()))]
    counted = table.frame.select(asked).collect(engine="streaming").row(0, named=True) if asked else {}
    out: list[Evaluated] = []
    tests = dict(plain)
    for i, rule in enumerate(rules):
        if rule.kind in special:
            out.append(special[rule.kind](table, rule, around))
            continue
        a, b = int(counted[f"{i}a"]), int(counted[f"{i}b"])
        applies, ok = tests[i]
        out.append(Evaluated(a, b, b - a, _rows(table.frame.filter(applies & ~ok), around) if b > a else ()))
    return out


def _rows(failing: pl.LazyFrame, around: TableFiles) -> tuple[int, ...]:
    return tuple(failing.select(pl.col(_ROW)).head(around.samples).collect(engine="streaming")[_ROW].to_list())


def _test(table: Table, rule: Any) -> tuple[pl.Expr, pl.Expr]:
    """Which rows a rule evaluates, and which of them meet it (never null)."""
    if rule.kind == "date_order":
        return _ordered(table, rule)
    there = pl.col(rule.column).is_not_null()
    return there, _MEETS[rule.kind](table, rule).fill_null(False)


def _ordered(table: Table, rule: Any) -> tuple[pl.Expr, pl.Expr]:
    """Rows with at least two of the dates; each date is not before the last one that is there."""
    moments = [table.moment(c) for c in rule.columns]
    evaluated = pl.sum_horizontal(m.is_not_null().cast(pl.UInt32) for m in moments) >= 2
    ok = pl.lit(True)
    latest = moments[0]
    for moment in moments[1:]:
        ok &= (moment >= latest).fill_null(True)
        latest = pl.max_horizontal(latest, moment)
    return evaluated, ok


def _column_type(table: Table, rule: Any) -> pl.Expr:
    name = rule.column
    recipe = table.recipes[name].model_copy(update={"type": rule.type})
    if rule.type in ("date", "timestamp"):
        fits = table.moment(name).is_not_null()
    elif rule.type == "decimal":
        fits = table.number(name).is_not_null()
    elif rule.type == "text":
        fits = pl.lit(True)
    else:
        fits = conversion(pl.col(name), recipe).is_not_null()
    return fits & (pl.col(name).str.len_chars() <= rule.max_length) if rule.max_length else fits


def _range(table: Table, rule: Any) -> pl.Expr:
    dated = isinstance(rule.min, date) or isinstance(rule.max, date)
    value = table.moment(rule.column).dt.date() if dated else table.number(rule.column)
    ok = value.is_not_null()
    if rule.min is not None:
        ok &= value >= rule.min
    return ok & (value <= rule.max) if rule.max is not None else ok


def _check_digit(table: Table, rule: Any) -> pl.Expr:
    from sandbox.detection.checksums import valid

    scheme = _SCHEMES[rule.scheme]

    def judge(values: pl.Series) -> pl.Series:
        texts = values.fill_null("").to_list()
        digits = values.str.contains(r"^\d+$").fill_null(False) if rule.scheme == "luhn" else True
        return pl.Series(values.name, valid(scheme, texts)) & digits

    return pl.col(rule.column).map_batches(judge, return_dtype=pl.Boolean, is_elementwise=True)


def _period(table: Table, rule: Any) -> pl.Expr:
    return table.moment(rule.column).dt.date().is_between(rule.start, rule.end)


_MEETS: dict[str, Callable[[Table, Any], pl.Expr]] = {
    "column_type": _column_type,
    "range": _range,
    "regex": lambda _, rule: pl.col(rule.column).str.contains(f"^(?:{rule.pattern})$"),
    "code_list": lambda _, rule: pl.col(rule.column).is_in(list(rule.values)),
    "check_digit": _check_digit,
    "period": _period,
}


def _unique(table: Table, rule: Any, around: TableFiles) -> Evaluated:
    """A = different complete keys, B = rows: a repeated or incomplete key fails."""
    keys = list(rule.columns)
    whole = pl.all_horizontal(pl.col(k).is_not_null() for k in keys)
    groups = table.frame.filter(whole).group_by(keys).agg(pl.len().alias("\0n"), pl.col(_ROW).max().alias("\0last"))
    summary = groups.select(pl.len().alias("keys"), (pl.col("\0n") > 1).sum().alias("twice"))
    found = summary.collect(engine="streaming").row(0, named=True)
    failing = table.rows - int(found["keys"])
    rows: tuple[int, ...] = ()
    if failing:
        incomplete = table.frame.filter(~whole).select(_ROW)
        again = groups.filter(pl.col("\0n") > 1).select(pl.col("\0last").alias(_ROW))
        rows = tuple(sorted(_rows(pl.concat([again, incomplete]), around)))
    return Evaluated(int(found["keys"]), table.rows, failing, rows)


def _reference(table: Table, rule: Any, around: TableFiles) -> Evaluated:
    """A = complete references found in the other table, B = complete references."""
    files = around.others.get(rule.to_table)
    if files is None:
        return Evaluated(None, None)
    ours, theirs = list(rule.columns), list(rule.to_columns)
    names = [f"\0k{i}" for i in range(len(ours))]
    there = pl.all_horizontal(pl.col(c).is_not_null() for c in ours)
    left = table.frame.filter(there).select(_ROW, *(pl.col(c).alias(n) for c, n in zip(ours, names, strict=True)))
    known = pl.scan_parquet(files).select(
        pl.col(c).cast(pl.String).str.strip_chars().alias(n) for c, n in zip(theirs, names, strict=True)
    )
    orphans = left.join(known.unique(), on=names, how="anti")
    counted = pl.concat([left.select(pl.len()), orphans.select(pl.len())]).collect(engine="streaming")
    b, failing = (int(n) for n in counted.to_series())
    return Evaluated(b - failing, b, failing, tuple(sorted(_rows(orphans, around))) if failing else ())


def _required(table: Table, rule: Any, around: TableFiles) -> Evaluated:
    """B = every value expected to be assigned: rows times required columns; A = those that are."""
    b = table.rows * len(rule.columns)
    failing = sum(table.missing[c] for c in rule.columns)
    gaps = table.frame.filter(pl.any_horizontal(pl.col(c).is_null() for c in rule.columns))
    return Evaluated(b - failing, b, failing, _rows(gaps, around) if failing else ())


def _expected(table: Table, rule: Any, around: TableFiles) -> Evaluated:
    """A = records there are, at most as many as expected."""
    a = min(table.rows, rule.rows)
    return Evaluated(a, rule.rows, abs(rule.rows - table.rows))


def _fresh(table: Table, rule: Any, around: TableFiles) -> Evaluated:
    """One element: whether the newest date is young enough; without any date it cannot be told."""
    newest = table.frame.select(table.moment(rule.column).max()).collect(engine="streaming").item()
    if newest is None:
        return Evaluated(0, 0)
    good = newest.date() >= around.today - timedelta(days=rule.days)
    return Evaluated(int(good), 1, int(not good))
