"""What looks right and may not be: found after reading, by cheap passes; nothing is changed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from pipelines.reading.findings import ReadFinding, finding
from pipelines.reading.recipe import Recipe
from pipelines.reading.source import Survey
from pipelines.reading.types import ColumnProfile

_DATED = re.compile(r"日期|时间|日$|出生|(?i:date|day$|_at$|birth)")
_SERIALS = (20_000, 60_000)  # days since 1899-12-30: 1954 to 2064
_LOST_DIGITS = r"^\d(\.\d+)?[eE]\+?(1[4-9]|[2-9]\d)$"
_WRAPPED = r"""^="[^"]*"$|^'\d"""
_CONTROL = r"[\x00-\x08\x0b\x0c\x0e-\x1f]"


def doubts(text: Path, recipe: Recipe, columns: Sequence[ColumnProfile]) -> list[ReadFinding]:
    """Integers in a column of dates that may be Excel's day numbers; long numbers that a spreadsheet has rounded;
    values wrapped against spreadsheets; control characters in cells of formats whose bytes do not show them."""
    frame = pl.scan_parquet(text)
    serial = [c.name for c in columns if c.type == "integer" and _DATED.search(c.name)]
    rounded = [c.name for c in columns if any(f.code == "exponent_numbers" for f in c.findings)]
    surveyed = recipe.format == "csv" and not (recipe.encoding or "").startswith("utf-16")
    plain = [] if surveyed else [c.name for c in columns if c.type == "text"]
    wrapped = _wrapped(frame, columns)
    value = {n: pl.col(n).str.strip_chars() for n in (*serial, *rounded)}
    asked = [
        *(value[n].cast(pl.Int64, strict=False).is_between(*_SERIALS).sum().alias(f"serial {n}") for n in serial),
        *(value[n].str.contains(_LOST_DIGITS).sum().alias(f"rounded {n}") for n in rounded),
        *(pl.col(n).str.contains(_CONTROL).sum().alias(f"control {n}") for n in plain),
        *(pl.col(n).str.contains(_WRAPPED).sum().alias(f"wrapped {n}") for n in wrapped),
    ]
    if not asked:
        return []
    counts = frame.select(asked).collect(engine="streaming").row(0, named=True)
    there = {c.name: c.rows - c.missing for c in columns}
    out = [
        finding("maybe_serial_dates", column=n, n=there[n])
        for n in serial
        if there[n] and counts[f"serial {n}"] == there[n]
    ]
    out += [
        finding("damaged_long_number", column=n, n=counts[f"rounded {n}"]) for n in rounded if counts[f"rounded {n}"]
    ]
    out += [finding("wrapped_values", column=n, n=counts[f"wrapped {n}"]) for n in wrapped]
    controls = sum(counts[f"control {n}"] for n in plain)
    return [*out, finding("control_characters", n=controls)] if controls else out


def _wrapped(frame: pl.LazyFrame, columns: Sequence[ColumnProfile]) -> list[str]:
    """Text columns whose first rows have values protected from a spreadsheet; few have, so few are counted."""
    texts = [c.name for c in columns if c.type == "text"]
    head = frame.select(texts).head(1000).select(pl.all().str.contains(_WRAPPED).any()).collect()
    return [n for n in texts if head[n].item()]


def control_characters(seen: Survey, delimiter: str) -> int:
    """Bytes below 0x20 other than tabs, line ends and the delimiter, as the survey counted them."""
    allowed = {9, 10, 13, *(delimiter.encode() if delimiter < " " else b"")}
    return sum(n for byte, n in enumerate(seen.low) if byte not in allowed)
