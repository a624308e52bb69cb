"""The shuffle of P3: the values of one column moved between the rows that have one, exactly repeatable from a seed.

The order is an integer bijection, so that it is the same on every machine and with every version of a library: random
generators change their streams between versions, and a sort by a hash costs ten times as much.
"""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from sandbox.products.arrays import Values, array_of, present, values_of
from sandbox.products.compile import quote
from sandbox.products.contributions import fetch
from sandbox.products.source import THREADS

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

EDITION = "2"
"""Which order a recorded seed means. Without one it is the first: rows by DuckDB's hash of their number
and seed. What moved in its shuffles comes out otherwise when it is repeated"""
_ROUNDS = 12
_AT_ONCE = 2**16
"""Numbers that are mixed at once: they stay in the caches"""
_BY_BYTES = (
    "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "FLOAT", "DOUBLE",
    "DECIMAL", "DATE", "TIME", "TIMESTAMP",
)  # fmt: skip
"""Types (with whatever stands behind them in brackets) whose values are so many bytes each in an Arrow array"""


def shuffle(con: duckdb.DuckDBPyConnection, table: str, column: str, seed: int, name: str) -> None:
    """Make the table `name`: the rows of a table, in their order, with the values of a column shuffled among the rows
    that have one. Missing values and all other columns stay where they are. `seed`: 64 bits."""
    import pyarrow as pa

    c = quote(column)
    type_ = fetch(con, f"SELECT column_type FROM (DESCRIBE SELECT {c} FROM {table})")
    by_bytes = type_.split("(")[0] in _BY_BYTES
    values = c if by_bytes else f"CASE WHEN {c} IS NOT NULL THEN CAST(rowid AS UINTEGER) END"
    held = con.sql(f"SELECT {values} AS v FROM {table}").to_arrow_table().column(0).combine_chunks()
    con.register("__mixed", pa.table({"__v": _shuffled(held, seed) if by_bytes else _places(held, seed)}))
    given = "__mixed"
    if not by_bytes:  # texts and the like never leave the database: they may be longer than the memory
        given = f"(SELECT a.{c} AS __v FROM {table} a POSITIONAL JOIN __mixed b ORDER BY b.__v)"
    value = f"CAST(b.__v AS {type_}) AS {c}"
    con.execute(f"CREATE TABLE {name} AS SELECT a.* REPLACE ({value}) FROM {table} a POSITIONAL JOIN {given} b")
    con.unregister("__mixed")


def _shuffled(held: pa.Array, seed: int) -> pa.Array:
    """The values of an array shuffled, those that are missing left where they are."""
    width = held.type.bit_width // 8
    raw = np.frombuffer(held.buffers()[1], f"u{width}" if width <= 8 else f"V{width}")
    values = raw[held.offset : held.offset + len(held)]
    if not held.null_count:
        return array_of(mixed(values, seed), type_=held.type)
    there, moved = present(held), values.copy()
    moved[there] = mixed(values[there], seed)
    return array_of(moved, there, held.type)


def _places(rows: pa.Array, seed: int) -> pa.Array:
    """The row to which each row's value goes when the numbers of the rows that have one are shuffled."""
    there, places = present(rows), np.arange(len(rows), dtype=np.uint32)
    places[values_of(_shuffled(rows, seed))[there]] = np.flatnonzero(there)
    return array_of(places)


def mixed(values: Values, seed: int) -> Values:
    """The values (at most 2^32 - 1) in an order that follows from their number and the seed (64 bits).

    It is that of a bijection of all numbers of as many bits as it takes, of which those that are a place are kept in
    the order they come in: each comes once, and a part of a random order is a random order (Mitchell, Stokes, Frank,
    Holmes, "Bandwidth-Optimal Random Shuffling for GPUs", 2021). Every round adds one secret number and multiplies by
    another, odd one, in so many bits, and lays the upper half over the lower one: each step can be undone, so no two
    numbers meet. A product carries low bits up, the fold brings high bits down: after four rounds every bit hangs on
    every other one, and twelve let orders of three to six values, where there are few bits to mix, come equally often.
    The numbers are drawn from the seed by SHAKE-256; nothing here looks at a value or at its row.
    """
    bits = max((len(values) - 1).bit_length(), 1)
    drawn = np.frombuffer(hashlib.shake_256(seed.to_bytes(8, "little")).digest(8 * _ROUNDS), "<u4").astype(np.uint32)
    rounds = list(zip(drawn[::2], drawn[1::2] | np.uint32(1), strict=True))
    mask, half, end = np.uint32(2**bits - 1), np.uint32((bits + 1) // 2), np.uint32(len(values))

    def part(first: int) -> Values:
        x = np.arange(first, min(first + _AT_ONCE, 2**bits), dtype=np.uint32)
        high = np.empty_like(x)
        for add, times in rounds:
            x += add
            x *= times
            x &= mask
            np.right_shift(x, half, out=high)
            x ^= high
        return values[x[x < end]]

    with ThreadPoolExecutor(THREADS) as threads:
        return np.concatenate([*threads.map(part, range(0, 2**bits, _AT_ONCE))])
