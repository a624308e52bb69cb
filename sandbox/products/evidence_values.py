"""Result rows as one Arrow batch and back, each value with its Python type.

Arrow alone would give some values back as another type (an integer beyond 64 bits, a decimal, a zoned moment); digests
and comparisons are over the values, so the form of each column is written beside it.
"""

from __future__ import annotations

import hashlib
import math
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa

from sandbox.products.arrays import array_of, array_of_texts
from sandbox.workspaces.engine import TIME_ZONE

Row = tuple[Any, ...]
TOLERANCE = 1e-9
"""Relative difference of two floating sums that counts as equal: the order of additions is not fixed."""
_CITY = ZoneInfo(TIME_ZONE)
_INT64 = range(-(2**63), 2**63)


@dataclass(frozen=True, slots=True)
class Form:
    """How the values of one column travel."""

    arrow: pa.DataType
    write: Callable[[Any], Any]
    read: Callable[[Any], Any]


def _as_it_is(value: Any) -> Any:
    return value


FORMS = {
    "nothing": Form(pa.null(), _as_it_is, _as_it_is),
    "bool": Form(pa.bool_(), _as_it_is, _as_it_is),
    "int": Form(pa.int64(), _as_it_is, _as_it_is),
    "long": Form(pa.string(), str, int),
    "float": Form(pa.float64(), _as_it_is, _as_it_is),
    "decimal": Form(pa.string(), str, Decimal),
    "text": Form(pa.string(), _as_it_is, _as_it_is),
    "bytes": Form(pa.binary(), _as_it_is, _as_it_is),
    "date": Form(pa.date32(), _as_it_is, _as_it_is),
    "time": Form(pa.time64("us"), _as_it_is, _as_it_is),
    "moment": Form(pa.timestamp("us"), _as_it_is, _as_it_is),
    "zoned": Form(pa.timestamp("us", "UTC"), _as_it_is, lambda v: v.astimezone(_CITY)),
    "span": Form(pa.duration("us"), _as_it_is, _as_it_is),
    "uuid": Form(pa.string(), str, uuid.UUID),
}
_BY_TYPE = {
    bool: "bool", int: "int", float: "float", Decimal: "decimal", str: "text", bytes: "bytes", date: "date",
    time: "time", datetime: "moment", timedelta: "span", uuid.UUID: "uuid",
}  # fmt: skip


def form_of(values: Sequence[Any]) -> str:
    """The form that holds every value of a column. Raises ValueError where they have none in common."""
    kinds = {type(value) for value in values if value is not None}
    if len(kinds) > 1 or not kinds <= set(_BY_TYPE):
        raise ValueError(f"a column of {', '.join(sorted(k.__name__ for k in kinds))}")
    if not kinds:
        return "nothing"
    form = _BY_TYPE[kinds.pop()]
    if form == "int" and not all(v is None or v in _INT64 for v in values):
        return "long"
    if form == "moment" and any(v is not None and v.tzinfo is not None for v in values):
        return "zoned"
    return form


def same_rows(left: Sequence[Row], right: Sequence[Row], keys: int) -> bool:
    """Whether two results in the same order are equal: keys, counts and decimals exactly, floats to 1e-9 relative."""
    return len(left) == len(right) and all(
        a[:keys] == b[:keys] and all(map(same_value, a[keys:], b[keys:])) for a, b in zip(left, right, strict=True)
    )


def same_value(a: Any, b: Any) -> bool:
    """Equal values; two missing ones are equal, and so are two NaN."""
    if isinstance(a, float) or isinstance(b, float):
        if a is None or b is None:
            return a is b
        return math.isclose(a, b, rel_tol=TOLERANCE) or (math.isnan(a) and math.isnan(b))
    if isinstance(a, Decimal) or isinstance(b, Decimal):
        return a is not None and b is not None and Decimal(a) == Decimal(b)
    return bool(a == b)


def pack(rows: Sequence[Row], width: int) -> tuple[list[str], pa.RecordBatch]:
    """(form of every column, the rows as one batch). Raises ValueError for a value that has no form."""
    columns = [[row[i] for row in rows] for i in range(width)]
    forms = [form_of(values) for values in columns]
    arrays = [
        _array([None if v is None else FORMS[form].write(v) for v in values], FORMS[form].arrow)
        for form, values in zip(forms, columns, strict=True)
    ]
    return forms, pa.RecordBatch.from_arrays(arrays, schema=schema(forms))


def _array(values: Sequence[Any], form: pa.DataType) -> pa.Array:
    """The very bytes of `pa.array`, which would import pandas to see whether the values are its."""
    if form == pa.string():
        return array_of_texts(list(values))
    if form not in (pa.int64(), pa.float64()):
        return pa.array(values, form)
    there = np.array([v is not None for v in values], np.bool_)
    return array_of(np.array([0 if v is None else v for v in values], form.to_pandas_dtype()), there)


def digest_of(tables: Iterable[tuple[str, Sequence[str], Sequence[Row], Sequence[int]]]) -> str:
    """sha256 over (name, columns, rows, grouping of each row) of cubes in their order; floats count exactly.

    The rows are taken as one Arrow stream each: who reads them elsewhere gets the same digest. Raises ValueError for a
    value that has no form.
    """
    whole = hashlib.sha256()
    for name, columns, rows, groupings in tables:
        forms, batch = pack(rows, len(columns))
        numbers = pa.RecordBatch.from_arrays([_array(groupings, pa.int64())], names=["g"])
        for raw in (repr((name, list(columns), forms)).encode(), _stream(batch), _stream(numbers)):
            whole.update(len(raw).to_bytes(8))
            whole.update(raw)
    return whole.hexdigest()


def _stream(batch: pa.RecordBatch) -> memoryview:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return memoryview(sink.getvalue())


def schema(forms: Sequence[str]) -> pa.Schema:
    """Numbered columns: a name may hold any character, and says nothing about the values."""
    return pa.schema([(f"c{i}", FORMS[form].arrow) for i, form in enumerate(forms)])


def unpack(batch: pa.RecordBatch, forms: Sequence[str]) -> tuple[Row, ...]:
    """The rows of a batch that `pack` made. Raises ValueError (or a subclass) for one that it did not make."""
    if not batch.schema.equals(schema(forms)):
        raise ValueError("another schema")
    if not forms:
        raise ValueError("no columns")
    try:
        columns = [
            [None if v is None else FORMS[form].read(v) for v in array.to_pylist()]
            for form, array in zip(forms, batch.columns, strict=True)
        ]
    except (ArithmeticError, OverflowError) as error:  # decimal's own errors, dates beyond year 9999
        raise ValueError("a value beyond its type") from error
    return tuple(zip(*columns, strict=True))
