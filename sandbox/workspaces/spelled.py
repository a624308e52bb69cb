"""Values of a result as JSON, without loss. What JSON cannot hold has one stated spelling:

- whole numbers beyond ±(2⁵³ − 1), decimals with digits after the point, and numbers of 128 bits that big: text of the
  digits;  NaN and the infinities: "NaN", "Infinity", "-Infinity";
- dates "2026-03-02", times "09:30:00.5", moments "2026-03-02T09:30:00.5" (with time zone: in UTC, ending in "Z"), the
  endless ones "infinity" and "-infinity"; intervals as ISO 8601 durations "P1M2DT3.5S";
- bytes: Base64;  lists: arrays;  structures: objects;  maps: arrays of [key, value];  missing: null.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.types as kinds

_SAFE = 2**53 - 1
_SECOND = 10**9


def rows(batch: pa.RecordBatch | pa.Table) -> list[list[Any]]:
    """The rows of `batch` as lists of JSON values."""
    columns = [_column(column) for column in batch.columns]
    return [list(row) for row in zip(*columns, strict=True)]


def kind(type_: pa.DataType) -> str:
    """The family of a type, as people read it: integer, decimal, double, text, date, time, timestamp, boolean, binary,
    interval, list, struct, map or other."""
    for name, is_it in _KINDS:
        if is_it(type_):
            return name
    return kind(type_.value_type) if kinds.is_dictionary(type_) else "other"


def _column(column: pa.Array | pa.ChunkedArray) -> list[Any]:
    if isinstance(column, pa.ChunkedArray):
        return [value for chunk in column.chunks for value in array(chunk)]
    return array(column)


def array(values: pa.Array) -> list[Any]:
    """One column's values as JSON."""
    type_ = values.type
    if kinds.is_dictionary(type_):
        return array(values.dictionary_decode())
    if isinstance(type_, pa.BaseExtensionType):
        return array(values.storage)
    for is_nested, spell_nested in _NESTED:
        if is_nested(type_):
            return spell_nested(values)
    if kinds.is_temporal(type_) and not kinds.is_interval(type_) and not kinds.is_duration(type_):
        return _moments(values)
    spell = next((s for is_it, s in _SIMPLE if is_it(type_)), None)
    found = values.to_pylist()
    return found if spell is None else [None if v is None else spell(v) for v in found]


def _whole(value: int) -> int | str:
    return value if -_SAFE <= value <= _SAFE else str(value)


def _decimal(value: Decimal) -> int | str:
    return _whole(int(value)) if value.as_tuple().exponent == 0 else format(value, "f")


def _double(value: float) -> float | str:
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _bytes(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _interval(value: Any) -> str:
    seconds = Decimal(value.nanoseconds) / _SECOND
    parts = [f"{n}{unit}" for n, unit in ((value.months, "M"), (value.days, "D")) if n]
    shown = f"{seconds:f}"
    if seconds or not parts:
        parts.append(f"T{shown.rstrip('0').rstrip('.') if '.' in shown else shown}S")
    return "P" + "".join(parts)


def _moments(values: pa.Array) -> list[Any]:
    """Dates and times by Arrow's own text: Python's cannot hold the year 15000, nanoseconds or infinity."""
    zoned = kinds.is_timestamp(values.type) and values.type.tz is not None
    if zoned:
        values = values.cast(pa.timestamp(values.type.unit))  # as it is stored: UTC
    return [None if text is None else _moment(text, zoned) for text in values.cast(pa.string()).to_pylist()]


def _moment(text: str, zoned: bool) -> str:
    if text.startswith("<value out of range: "):
        return "-infinity" if "-" in text else "infinity"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return text.replace(" ", "T") + ("Z" if zoned else "")


def _lists(values: Any) -> list[Any]:
    inner, edges = array(values.values), values.offsets.to_pylist()
    return [None if null else inner[a:b] for null, a, b in _spans(values, edges)]


def _fixed_lists(values: Any) -> list[Any]:
    size = values.type.list_size
    inner = array(values.values)
    first = values.offset * size
    edges = [first + n * size for n in range(len(values) + 1)]
    return [None if null else inner[a:b] for null, a, b in _spans(values, edges)]


def _maps(values: Any) -> list[Any]:
    keys, items, edges = array(values.keys), array(values.items), values.offsets.to_pylist()
    pairs = [[k, v] for k, v in zip(keys, items, strict=True)]
    return [None if null else pairs[a:b] for null, a, b in _spans(values, edges)]


def _structs(values: Any) -> list[Any]:
    names = [field.name for field in values.type]
    columns = [array(part) for part in values.flatten()]
    nulls = values.is_null().to_pylist()
    made = [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)] if columns else [{}] * len(values)
    return [None if null else one for null, one in zip(nulls, made, strict=True)]


def _unions(values: Any) -> list[Any]:
    return [array(pa.array([v.as_py()]))[0] if v.is_valid else None for v in values]


def _spans(values: pa.Array, edges: list[int]) -> Any:
    return zip(values.is_null().to_pylist(), edges[:-1], edges[1:], strict=True)


_Is = Callable[[pa.DataType], bool]
_NESTED: tuple[tuple[_Is, Callable[[Any], list[Any]]], ...] = (
    (kinds.is_map, _maps), (kinds.is_fixed_size_list, _fixed_lists), (kinds.is_list, _lists),
    (kinds.is_large_list, _lists), (kinds.is_struct, _structs), (kinds.is_union, _unions),
)  # fmt: skip
_SIMPLE: tuple[tuple[_Is, Callable[[Any], Any]], ...] = (
    (kinds.is_integer, _whole), (kinds.is_decimal, _decimal), (kinds.is_floating, _double), (kinds.is_binary, _bytes),
    (kinds.is_large_binary, _bytes), (kinds.is_fixed_size_binary, _bytes), (kinds.is_interval, _interval),
)  # fmt: skip
_KINDS: tuple[tuple[str, _Is], ...] = (
    ("boolean", kinds.is_boolean), ("integer", kinds.is_integer),
    ("integer", lambda t: kinds.is_decimal(t) and t.scale == 0), ("decimal", kinds.is_decimal),
    ("double", kinds.is_floating), ("text", lambda t: kinds.is_string(t) or kinds.is_large_string(t)),
    ("date", kinds.is_date), ("time", kinds.is_time), ("timestamp", kinds.is_timestamp),
    ("interval", kinds.is_interval), ("map", kinds.is_map), ("struct", kinds.is_struct),
    ("list", lambda t: kinds.is_list(t) or kinds.is_large_list(t) or kinds.is_fixed_size_list(t)),
    ("binary", lambda t: kinds.is_binary(t) or kinds.is_large_binary(t)),
)  # fmt: skip
