"""Digests of tables inside a proof: SHA-256 over the values of each column, in an order that the rows themselves fix.

The bytes are those of Arrow's columns, so that no row is made a text. Where batches or parts of a table end does not
matter. Floating values count to twenty bits of their mantissa: the order of additions is not fixed, so that their last
digits differ from run to run.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from sandbox.products.arrays import beside, present, values_of
from sandbox.products.compile import quote

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

_BATCH = 200_000
_MANTISSA_BITS = 20
_AS_THEY_ARE = (
    "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "VARCHAR",
    "DOUBLE", "FLOAT",
)  # fmt: skip
"""Types whose Arrow bytes say the value; others are told by their text"""


def digest(con: duckdb.DuckDBPyConnection, table: str, parts: Iterable[str] = ("TRUE",), order: str = "") -> str:
    """`sha256:` and the digest (hex) of a table's columns, names and types. Its rows are those of one of the `parts`
    after another, each by `order`; without, as they lie in the table."""
    described = con.execute(f"SELECT column_name, column_type FROM (DESCRIBE {table})").fetchall()
    columns = [_Column() for _ in described]
    values = [f"t.{quote(n)}" if t in _AS_THEY_ARE else f"CAST(t.{quote(n)} AS VARCHAR)" for n, t in described]
    shown = ", ".join(f"{value} AS c{i}" for i, value in enumerate(values))
    by = f" ORDER BY {order}" if order else ""

    def add(batch: pa.RecordBatch) -> None:
        for column, held in zip(columns, batch.columns, strict=True):
            column.add(held)

    texts = (f"SELECT {shown} FROM {table} t WHERE {part}{by}" for part in parts)
    for _ in beside((batch for text in texts for batch in con.sql(text).to_arrow_reader(_BATCH)), add):
        pass  # hashed while the next part is put in order
    whole = hashlib.sha256(repr(described).encode())
    for column in columns:
        whole.update(column.digest())
    return f"sha256:{whole.hexdigest()}"


class _Column:
    """Values, where there are none, and lengths of texts or exponents of numbers: each a stream of its own."""

    def __init__(self) -> None:
        self._rows = 0
        self._values, self._missing, self._lengths = hashlib.sha256(), hashlib.sha256(), hashlib.sha256()

    def add(self, held: pa.Array) -> None:
        """Take the next rows."""
        there = present(held) if held.null_count else None
        if there is not None:
            self._missing.update((np.flatnonzero(~there) + self._rows).astype("<i8").tobytes())
        self._rows += len(held)
        self._add(held, there)

    def _add(self, held: pa.Array, there: npt.NDArray[np.bool_] | None) -> None:
        import pyarrow as pa

        if pa.types.is_string(held.type):
            held = held if there is None else held.drop_null()
            if len(held):
                raw = held.buffers()
                ends = np.frombuffer(raw[1], "<i4")[held.offset : held.offset + len(held) + 1]
                self._lengths.update(np.diff(ends).tobytes())
                self._values.update(raw[2][int(ends[0]) : int(ends[-1])])
            return
        values = values_of(held) if there is None else values_of(held)[there]
        if pa.types.is_floating(held.type):
            mantissa, exponent = np.frexp(values.astype(np.float64))
            rounded = np.round(mantissa * 2**_MANTISSA_BITS) + 0.0  # no zero below zero
            self._values.update(np.where(np.isnan(rounded), np.nan, rounded).tobytes())
            self._lengths.update(exponent.astype("<i4").tobytes())
        else:
            self._values.update(np.ascontiguousarray(values).data)

    def digest(self) -> bytes:
        """Of all three, and of how many rows there were."""
        ends = (one.digest() for one in (self._values, self._missing, self._lengths))
        return self._rows.to_bytes(8, "little") + b"".join(ends)
