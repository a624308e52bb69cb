"""Columns as the plan types them: cast on the way in, put on one scale for the engines, cast back on the way out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import polars as pl

from policies.text import Text, UserError
from synthetic.fields import Field

_TARGET: Mapping[str, Any] = {
    "text": pl.String(),
    "integer": pl.Int64(),
    "decimal": pl.Float64(),
    "date": pl.Date(),
    "timestamp": pl.Datetime("us"),
    "boolean": pl.Boolean(),
}
_FORMATS: Mapping[str, tuple[str, ...]] = {
    "date": ("%Y-%m-%d", "%Y%m%d", "%Y/%m/%d"),
    "timestamp": ("%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M", "%Y/%m/%d %H:%M:%S", "%Y%m%d%H%M%S"),
}
_WRITTEN: Mapping[str, str] = {"date": "%Y-%m-%d", "timestamp": "%Y-%m-%d %H:%M:%S%.f"}
"""how a date that is a label is written"""
_TICKS_US = (86_400_000_000, 3_600_000_000, 60_000_000, 1_000_000, 1_000, 1)
_MAX_DECIMALS = 6
SECOND_US = 1_000_000.0


@dataclass(frozen=True, slots=True)
class Conformed:
    """A frame in the plan's types, and the text format of the dates that came as text or as yyyymmdd numbers."""

    frame: pl.DataFrame
    formats: dict[str, str]


def conform(frame: pl.DataFrame, fields: Sequence[Field]) -> Conformed:
    """Cast every column to the type its field states, over all rows.

    Raises:
        UserError: `plan.type_mismatch` when any value does not fit (counts only, never the value).
    """
    columns, formats = [], {}
    for field in fields:
        series, layout = _cast(frame.get_column(field.name), field)
        columns.append(series)
        if layout:
            formats[field.name] = layout
    return Conformed(pl.DataFrame(columns), formats)


def restore(frame: pl.DataFrame, schema: Mapping[str, pl.DataType], formats: Mapping[str, str]) -> pl.DataFrame:
    """Give simulated columns the types of the source table; labels of a closed Enum become plain text."""
    columns = []
    for name, target in schema.items():
        series = frame.get_column(name)
        if name in formats:
            series = series.dt.strftime(formats[name])
        if isinstance(target, pl.Enum | pl.Categorical):
            target = pl.String()
        if isinstance(target, pl.Datetime) and target.time_zone:
            series = series.dt.replace_time_zone("UTC").dt.convert_time_zone(target.time_zone)
        if isinstance(target, pl.Decimal):
            most = _most(target)  # values drawn without looking at a row know nothing of the column's digits
            series = series.clip(-most, most)
        columns.append(series.cast(target))
    return pl.DataFrame(columns)


def _most(target: pl.Decimal) -> float:
    """The largest number that a decimal type of this precision and scale can hold."""
    digits = min(target.precision or 38, 15)
    return float((10**digits - 1) / 10**target.scale)


def _cast(series: pl.Series, field: Field) -> tuple[pl.Series, str | None]:
    if series.dtype.is_nested() or isinstance(series.dtype, pl.Binary | pl.Object | pl.Time | pl.Duration):
        raise _mismatch(field, len(series))
    if field.dtype in _FORMATS and (series.dtype == pl.String or series.dtype.is_integer()):
        # A number can only be written without separators.
        layouts = [f for f in _FORMATS[field.dtype] if series.dtype == pl.String or f.replace("%", "").isalpha()]
        return _parse(series.cast(pl.String), field, layouts)
    if isinstance(series.dtype, pl.Datetime) and series.dtype.time_zone:
        series = series.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    try:
        cast = series.cast(_TARGET[field.dtype], strict=False)
    except pl.exceptions.PolarsError as error:
        raise _mismatch(field, len(series)) from error
    if cast.dtype.is_float():
        cast = cast.set(cast.is_nan() | cast.is_infinite(), None)
        series = series.set(series.is_nan() | series.is_infinite(), None) if series.dtype.is_float() else series
    lost = cast.null_count() - series.null_count()
    if lost:
        raise _mismatch(field, lost)
    return cast, None


def _parse(series: pl.Series, field: Field, layouts: Sequence[str]) -> tuple[pl.Series, str]:
    target, fewest = _TARGET[field.dtype], len(series)
    for layout in layouts:
        parsed = series.str.strptime(target, layout, strict=False)
        lost = parsed.null_count() - series.null_count()
        if not lost:
            return parsed, layout
        fewest = min(fewest, lost)
    raise _mismatch(field, fewest)


def _mismatch(field: Field, count: int) -> UserError:
    return UserError(
        "plan.type_mismatch",
        Text("列 {c} 有 {n} 个值不是 {t} 类型。", "Column {c} holds {n} values that are not of type {t}.").fill(
            c=field.name, n=count, t=field.dtype
        ),
        fix=Text(
            "请先在治理流水线里修正类型,或在字段方案里改成正确的类型。",
            "Correct the type in the pipeline or in the field plan.",
        ),
        column=field.name,
        values=count,
    )


@dataclass(frozen=True, slots=True)
class Scale:
    """How a column looks to an engine: labels (String), or ticks (Float64) of `step` units.

    A tick is one day of a date, `step` microseconds of a timestamp, `step` of a number (0.01 for two decimals).
    """

    kind: Literal["label", "ticks"]
    dtype: str
    step: float = 1.0

    @classmethod
    def of(cls, field: Field, series: pl.Series | None = None) -> Scale:
        """The scale of a column; without a series (no row may be read) the type's usual one."""
        if not field.numeric:
            return cls("label", field.dtype)
        return cls("ticks", field.dtype, _default_step(field) if series is None else _finest_step(field, series))

    def encode(self, series: pl.Series) -> pl.Series:
        """Plan-typed column → what engines see."""
        if self.kind == "label":
            return series.cast(pl.String)
        return series.to_physical().cast(pl.Float64) / self.step

    def decode(self, series: pl.Series) -> pl.Series:
        """Engine values → plan-typed column; ticks are rounded to whole ones."""
        target = _TARGET[self.dtype]
        if self.kind == "label":
            if self.dtype == "boolean":
                return (series == "true").alias(series.name)
            if self.dtype in _WRITTEN:
                return series.str.strptime(target, _WRITTEN[self.dtype])
            return series.cast(target)
        ticks = series.round(0)
        if self.dtype == "decimal":
            return (ticks * self.step).round(_MAX_DECIMALS).cast(target)
        return (ticks * self.step).cast(pl.Int64).cast(target)


def _default_step(field: Field) -> float:
    return {"decimal": 0.01, "timestamp": SECOND_US}.get(field.dtype, 1.0)


def _finest_step(field: Field, series: pl.Series) -> float:
    """The coarsest unit that loses nothing: whole hours stay whole hours, two decimals stay two."""
    values = series.drop_nulls().to_physical().to_numpy()
    if field.dtype == "timestamp":
        return float(next(t for t in _TICKS_US if not (values % t).any()))
    if field.dtype == "decimal":
        for digits in range(_MAX_DECIMALS):
            if np.allclose(values, np.round(values, digits), rtol=1e-12, atol=1e-9):
                return float(10.0**-digits)
        return 10.0**-_MAX_DECIMALS
    return 1.0
