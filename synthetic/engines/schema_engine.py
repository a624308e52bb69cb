"""Catalogue only: values from names, types and dictionaries. Structure, no statistics; no row is ever read."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from synthetic.columns import SECOND_US, Scale
from synthetic.engines.base import Unfitted
from synthetic.fields import Field

_FIRST_DAY = "2020-01-01"
_DAYS = 6 * 365
_LABELS = ("甲类", "乙类", "丙类", "丁类", "戊类")
_NULL_SHARE = 0.05
_SHARES = (("率", "比例", "占比", "rate", "ratio"), 1.0)
_AGES = (("年龄", "age"), 90.0)


class SchemaEngine:
    name = "schema"
    reads_rows = False
    conditional = False

    def version(self) -> str:
        return "schema/1 source: rules"

    def fit(self, frame: pl.DataFrame, fields: Sequence[Field], seed: int) -> Unfitted:
        """See `Engine.fit`; nothing is learned."""
        del frame, seed
        return Unfitted(self, fields)

    def fit_sample(self, frame: pl.DataFrame, fields: Sequence[Field], rows: int, seed: int) -> pl.DataFrame:
        """See `Maker.fit_sample`; `frame` is not used, not even its column types."""
        del frame
        rng = np.random.default_rng(seed)
        return pl.DataFrame([_column(field, rows, rng) for field in fields])


def rule_for(field: Field) -> str:
    """Which rule makes the column: an explicit dictionary, then its name or comment, then its type."""
    if field.codes:
        return "dictionary"
    if field.semantic in ("district", "street") or (field.numeric and _upper(field) is not None):
        return "name"
    return "type"


def _column(field: Field, rows: int, rng: np.random.Generator) -> pl.Series:
    values = _ticks(field, rows, rng) if field.numeric else _labels(field, rows, rng)
    series = pl.Series(field.name, values, dtype=pl.Float64 if field.numeric else pl.String)
    if not field.nullable:
        return series
    share = _NULL_SHARE if field.null_share is None else field.null_share
    return series.set(pl.Series(rng.random(rows) < share), None)


def _ticks(field: Field, rows: int, rng: np.random.Generator) -> np.ndarray:
    first = np.datetime64(_FIRST_DAY, "D").astype(np.int64)
    if field.dtype == "date":
        return first + rng.integers(0, _DAYS, rows).astype(np.float64)
    step = Scale.of(field).step
    if field.dtype == "timestamp":
        return first * 86_400.0 + rng.integers(0, _DAYS * 86_400, rows) * (SECOND_US / step)
    upper = _upper(field)
    if field.semantic == "amount" and upper is None:
        return np.round(rng.lognormal(5.0, 1.0, rows) / step)
    return np.round(rng.uniform(0, upper or 100.0, rows) / step)


def _upper(field: Field) -> float | None:
    words = f"{field.name} {field.comment}".lower()
    return next((upper for names, upper in (_SHARES, _AGES) if any(n in words for n in names)), None)


def _labels(field: Field, rows: int, rng: np.random.Generator) -> np.ndarray:
    if field.dtype == "boolean":
        choices: Sequence[str] = ("true", "false")
    elif field.codes:
        choices = field.codes
    elif field.semantic in ("district", "street"):
        choices = [f"{'示范区' if field.semantic == 'district' else '示范街道'}{i}" for i in range(1, 7)]
    elif field.dtype == "text":
        choices = [label[: field.length] for label in _LABELS]
    else:
        choices = [str(i) for i in range(1, 6)]
    return rng.choice(np.asarray(choices, dtype=object), rows)
