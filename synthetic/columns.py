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
    "date": ("%Y-%m-%d", "%Y%m%d", "%Y/%m/%d", "%Y.%m.%d", "%Y年%m月%d日"),
    "timestamp": ("%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M", "%Y/%m/%d %H:%M:%S", "%Y%m%d%H%M%S"),
}
_WRITTEN: Mapping[str, str] = {"date": "%Y-%m-%d", "timestamp": "%Y-%m-%d %H:%M:%S%.f"}
"""how a date that is a label is written"""
_TICKS_US = (86_400_000_000, 3_600_000_000, 60_000_000, 1_000_000, 1_000, 1)
_MAX_DECIMALS = 6
_EXACT = 2**53
"""whole numbers up to which every one has a float of its own"""
SECOND_US = 1_000_000.0
_DAY_US = 86_400_000_000
_ENDLESS = frozenset(
    int(np.datetime64(day, "D").astype(np.int64)) for day in ("9999-12-31", "9999-01-01", "3000-01-01", "2999-12-31",
                                                              "2999-01-01", "2100-01-01", "2099-12-31")
)  # fmt: skip
"""days that stand for "without end", since 1970 (usual in registers, assumed)"""
_YEARS = 20 * 365
_FEW = 20
"""rows below which a mark of endlessness is left out, and over which an end of a range is averaged"""


@dataclass(frozen=True, slots=True)
class Conformed:
    """A frame in the plan's types, and the text format of the dates that came as text or as yyyymmdd numbers."""

    frame: pl.DataFrame
    formats: dict[str, str]


def conform(frame: pl.DataFrame, fields: Sequence[Field]) -> Conformed:
    """Cast every column to the type its field states, over all rows.

    Raises:
        UserError: `plan.type_mismatch` when any value does not fit (counts only, never the value), and
            `plan.kind_unsupported` for nested, binary and duration columns, which have no simulated counterpart.
    """
    columns, formats = [], {}
    for field in fields:
        series, layout = _cast(frame.get_column(field.name), field)
        columns.append(series)
        if layout:
            formats[field.name] = layout
    return Conformed(pl.DataFrame(columns), formats)


def restore(frame: pl.DataFrame, schema: Mapping[str, pl.DataType], formats: Mapping[str, str]) -> pl.DataFrame:
    """Give simulated columns the types of the source table; labels of a closed Enum become plain text.

    Raises:
        UserError: `plan.type_mismatch` when the meaning planned for a column makes values its type cannot hold.
    """
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
        if target.is_integer() and series.dtype.is_integer():
            series = series.clip(*_range(target))
        try:
            columns.append(series.cast(target))
        except pl.exceptions.PolarsError as error:
            raise _unfit(name, str(target), series.len() - series.cast(target, strict=False).count()) from error
    return pl.DataFrame(columns)


def _range(target: pl.DataType) -> tuple[int, int]:
    """The whole numbers that both the type and the arithmetic of 64 bits can hold."""
    kind = np.iinfo(str(target).lower())
    return max(int(kind.min), -(2**63)), min(int(kind.max), 2**63 - 1)


def _most(target: pl.Decimal) -> float:
    """The largest number that a decimal type of this precision and scale can hold."""
    digits = min(target.precision or 38, 15)
    return float((10**digits - 1) / 10**target.scale)


def _cast(series: pl.Series, field: Field) -> tuple[pl.Series, str | None]:
    if series.dtype.is_nested() or isinstance(series.dtype, pl.Binary | pl.Object | pl.Time | pl.Duration):
        raise _unsupported(field, series.dtype)
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
    """Dates in one or several of the layouts, which exclude each other; the layout most values have is the column's."""
    parsed = pl.Series(field.name, [None] * len(series), dtype=_TARGET[field.dtype])
    read: dict[str, int] = {}
    for layout in layouts:
        found = series.str.strptime(_TARGET[field.dtype], layout, strict=False)
        read[layout] = found.count()
        parsed = parsed.zip_with(parsed.is_not_null(), found)
        if parsed.null_count() == series.null_count():
            return parsed, max(read, key=lambda one: read[one])
    raise _mismatch(field, parsed.null_count() - series.null_count())


_TYPE_WORDS = {
    "text": Text("文本", "text"), "integer": Text("整数", "a whole number"), "decimal": Text("小数", "a number"),
    "date": Text("日期", "a date"), "timestamp": Text("时间", "a time"), "boolean": Text("是否", "yes or no"),
}  # fmt: skip


def _mismatch(field: Field, count: int) -> UserError:
    return _unfit(field.name, _TYPE_WORDS[field.dtype], count)


def _unfit(name: str, kind: Text | str, count: int) -> UserError:
    zh, en = (kind, kind) if isinstance(kind, str) else (kind.zh, kind.en)
    return UserError(
        "plan.type_mismatch",
        Text(f"列 {name} 有 {count} 个值不是{zh}。", f"Column {name}: {count} values are not {en}."),
        fix=Text(
            "请先在治理流水线里修正类型;或在仿真方案里改成合适的内容(如编码),或去掉该列。",
            "Correct the type in the pipeline, or plan the column as something that fits (a code), or leave it out.",
        ),
        column=name,
        values=count,
    )


def _unsupported(field: Field, dtype: pl.DataType) -> UserError:
    return UserError(
        "plan.kind_unsupported",
        Text(
            f"列 {field.name} 是嵌套、二进制或时长类型({dtype}),不能生成仿真数据。",
            f"Column {field.name} is nested, binary or a duration ({dtype}); nothing can be simulated for it.",
        ),
        fix=Text(
            "请在治理流水线里把它展开或转成文本、数值,或在仿真方案里去掉该列。",
            "Unfold it or turn it into text or numbers in the pipeline, or leave the column out in the plan.",
        ),
        column=field.name,
    )


@dataclass(frozen=True, slots=True)
class Endless:
    """The value that stands for "without end", the last tick of the others, and the tick it gets instead of its own."""

    value: int
    last: float
    tick: float
    rare: bool
    """too few rows have it: it is left out, as rare labels are"""

    @classmethod
    def of(cls, field: Field, series: pl.Series, step: float) -> Endless | None:
        """None for a column without one, and for one whose other dates reach that far as well."""
        if field.dtype not in _FORMATS or not series.count():
            return None
        day = _DAY_US if field.dtype == "timestamp" else 1
        units = np.sort(series.drop_nulls().to_physical().to_numpy())
        value, others = int(units[-1]), units[units < units[-1]]
        if value // day not in _ENDLESS or not len(others) or value - others[-1] < _YEARS * day:
            return None
        last = float(np.floor(others[-_FEW:].mean() / step))
        room = max(1.0, (last - float(others[0]) / step) / 4)
        return cls(value, last, last + np.ceil(room), len(units) - len(others) < _FEW)

    def draw_near(self, ticks: pl.Series, units: pl.Series) -> pl.Series:
        """Ticks with the endless ones just beyond the others, whose end is averaged over several rows."""
        here = (units == self.value).fill_null(False)
        return ticks.clip(upper_bound=self.last).set(here, None if self.rare else self.tick)

    def send_back(self, ticks: pl.Series, step: float) -> pl.Series:
        """The endless tick and what is drawn nearer to it than to the others becomes the value again."""
        beyond = (ticks > (self.last + self.tick) / 2).fill_null(False)
        return ticks.clip(upper_bound=self.last).set(beyond, self.value / step)


@dataclass(frozen=True, slots=True)
class Scale:
    """How a column looks to an engine: labels (String), or ticks (Float64) of `step` units.

    A tick is one day of a date, `step` microseconds of a timestamp, `step` of a number (0.01 for two decimals). Ticks
    count from `origin`, so that whole numbers beyond 2^53 stay apart from their neighbours. A date that stands for
    "without end" (9999-12-31) is `endless`: it gets a tick of its own beyond all others, so that nothing is drawn
    between it and them.
    """

    kind: Literal["label", "ticks"]
    dtype: str
    step: float = 1.0
    origin: int = 0
    endless: Endless | None = None

    @classmethod
    def of(cls, field: Field, series: pl.Series | None = None) -> Scale:
        """The scale of a column; without a series (no row may be read) the type's usual one."""
        if not field.numeric:
            return cls("label", field.dtype)
        if series is None:
            return cls("ticks", field.dtype, _default_step(field))
        step = _finest_step(field, series)
        if endless := Endless.of(field, series, step):
            return cls("ticks", field.dtype, step, 0, endless)
        return cls("ticks", field.dtype, *_centred(step, series))

    def encode(self, series: pl.Series) -> pl.Series:
        """Plan-typed column → what engines see."""
        if self.kind == "label":
            return series.cast(pl.String)
        units = series.to_physical()
        if self.origin:
            units = units - self.origin  # in the middle of the range, so that the difference fits as well
        ticks = units.cast(pl.Float64) / self.step
        return self.endless.draw_near(ticks, units) if self.endless else ticks

    def decode(self, series: pl.Series) -> pl.Series:
        """Engine values → plan-typed column; ticks are rounded to whole ones."""
        target = _TARGET[self.dtype]
        if self.kind == "label":
            if self.dtype == "boolean":
                return (series == "true").alias(series.name)
            if self.dtype in _WRITTEN:
                return series.str.strptime(target, _WRITTEN[self.dtype])
            return series.cast(target)
        if self.endless:
            series = self.endless.send_back(series, self.step)
        ticks = series.round(0)
        if self.dtype == "decimal":
            return (ticks * self.step).round(_MAX_DECIMALS).cast(target)
        units = (ticks * self.step).cast(pl.Int64)
        return (units + self.origin if self.origin else units).cast(target)


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


def _centred(step: float, series: pl.Series) -> tuple[float, int]:
    """Step and origin by which whole numbers too large for a float are counted; small ones keep step and zero."""
    units = series.to_physical()
    if not units.dtype.is_integer() or not units.count():
        return step, 0
    low, high = (int(end) for end in (units.min(), units.max()))  # type: ignore[arg-type]
    if max(abs(low), abs(high)) < _EXACT:
        return step, 0
    while (high - low) / step >= _EXACT:
        step *= 2
    return step, (low + high) // 2
