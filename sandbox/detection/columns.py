"""A column as detection sees it: distinct values as text, with the number of cells that hold each.

A column too large to be held at once comes in parts. A value and all its cells are always in one part (parts are told
by a hash of the value), so that what is counted over distinct values adds up over the parts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import polars as pl

from sandbox.detection import canon

# Spellings of "no value"; left out of shares, so that they do not dilute a column.
_MISSING: Final = ("", "-", "--", "—", "——", "/", "\\", "\\N", "?", "？", "na", "n/a", "nan", "null", "none")
_MISSING_ZH: Final = ("无", "暂无", "空", "未知", "不详", "不适用")
_NO_IDENTIFIERS: Final = (pl.Date, pl.Datetime, pl.Time, pl.Duration, pl.Boolean, pl.Null)
_SMALLEST_INTEGER: Final = 10**6
_SMALLEST_WHOLE_FLOAT: Final = 1e10
PART_BYTES: Final = 96_000_000  # text of one part; the scan holds some six times as much at its peak (measured)
_VALUE_BYTES: Final = 16  # what a value costs beside its characters


@dataclass(frozen=True, slots=True)
class Column:
    """`texts`: distinct non-missing values in canonical form, in order of first appearance; `counts`: cells of each.

    `looked_at`: places in `texts` whose values can hold an identifier (all of them for text columns).
    """

    name: str
    rows: int
    missing: int
    texts: pl.Series
    counts: pl.Series
    looked_at: pl.Series
    is_text: bool

    @property
    def distinct(self) -> int:
        return len(self.texts)


def sizes(frame: pl.LazyFrame, schema: Mapping[str, pl.DataType]) -> dict[str, int]:
    """Bytes that the distinct values of each column take as text: an upper bound for small columns, about right for
    those that may need parts."""
    lengths = [
        pl.col(name).str.len_bytes().cast(pl.Int64).sum().alias(str(place))
        for place, (name, dtype) in enumerate(schema.items())
        if dtype == pl.String
    ]
    measured = frame.select(pl.len().alias("rows"), *lengths).collect(engine="streaming").row(0, named=True)
    rows = measured["rows"]
    found = {name: (measured.get(str(place)) or 0) + rows * _VALUE_BYTES for place, name in enumerate(schema)}
    for name, size in found.items():
        if size > PART_BYTES and not schema[name].is_nested():
            different = frame.select(pl.col(name).approx_n_unique()).collect(engine="streaming").item()
            found[name] = size * min(rows, different) // rows
    return found


def parts(frame: pl.LazyFrame, name: str, dtype: pl.DataType, size: int) -> Iterator[Column]:
    """One column of all rows (`size` bytes of distinct text) with its values counted; at least one part."""
    value, worth = _expressions(name, dtype)
    cells = frame.select(value.alias("value"), worth.alias("worth"))
    wanted = max(1, -(-size // PART_BYTES))
    for part in range(wanted):  # reading again is cheaper than keeping: a pass decodes some 4 GB a second (measured)
        chosen = cells.filter(pl.col("value").hash(1) % wanted == part) if wanted > 1 else cells
        yield _tallied(chosen, name, dtype)


def _tallied(cells: pl.LazyFrame, name: str, dtype: pl.DataType) -> Column:
    bare = pl.col("value").str.strip_chars()
    gone = bare.is_null() | bare.str.to_lowercase().is_in([*_MISSING, *_MISSING_ZH])
    counted = cells.group_by("value", "worth", maintain_order=True).agg(pl.len().alias("cells"))
    tally = counted.with_columns(gone=gone).collect(engine="streaming")
    rows = int(tally["cells"].sum())
    tally = tally.filter(~pl.col("gone"))
    texts = canon.canonical_values(tally["value"])
    looked_at = (tally["worth"].fill_null(False) & (texts != "")).arg_true()
    is_text = not dtype.is_numeric() and not isinstance(dtype, _NO_IDENTIFIERS)
    return Column(name, rows, rows - int(tally["cells"].sum()), texts, tally["cells"], looked_at, is_text)


def _expressions(name: str, dtype: pl.DataType) -> tuple[pl.Expr, pl.Expr]:
    """(the value as text, whether it can hold an identifier) for a column of any type."""
    column = pl.col(name)
    yes, no = pl.lit(True), pl.lit(False)
    if isinstance(dtype, _NO_IDENTIFIERS):
        return column.cast(pl.String), no
    if dtype.is_integer():
        return column.cast(pl.String), column.cast(pl.Int128).abs() >= _SMALLEST_INTEGER
    if dtype.is_numeric():
        number = column.cast(pl.Float64)
        whole = (number == number.floor()) & number.abs().is_between(_SMALLEST_WHOLE_FLOAT, 9e18)
        plain = column.cast(pl.String)
        return pl.when(whole).then(number.cast(pl.Int64, strict=False).cast(pl.String)).otherwise(plain), whole
    if isinstance(dtype, pl.Binary):
        return column.map_elements(lambda b: b.decode("utf-8", "replace"), return_dtype=pl.String), yes
    if dtype.is_nested():
        return pl.struct(column).struct.json_encode(), yes
    if isinstance(dtype, pl.Object):
        return column.map_elements(str, return_dtype=pl.String), yes
    return column.cast(pl.String), yes
