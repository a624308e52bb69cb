"""Values that are counted once, of which several owners may have the same: the rows as sorted numbers.

A table of groups for every owner, value and cell of ten million rows is dear. Here a value is a number that follows
from the first row which has it, (value, cell) is one number a row, and whatever belongs together lies together once
these are sorted: rows that lie nearly by value are soon in order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

from sandbox.products.arrays import array_of, beside, column_of
from sandbox.products.contributions import fetch

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

PART = 1_500_000
"""Rows that are put in order at once"""
NOBODY = 2**32
"""The owner of rows that nobody owns: no code"""
NOWHERE = 2**20 - 1
"""The cell of a row that is in no cell of a grouping: more than the most cells there may be"""
CELL_BITS, _OWNER_BITS = 20, 33
_WHOLE = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER")
"""Types whose values are numbers of 64 bits"""

Numbers = npt.NDArray[Any]
_Found = TypeVar("_Found")


@dataclass(frozen=True, slots=True)
class Valued:
    """Rows of `table` with the columns of their `cells`, one for every grouping (NULL: none), the coarsest first; of
    the `value` that is counted, and of their `owner` as a number (`NOBODY`: none), as SQL."""

    table: str
    cells: Sequence[str]
    value: str
    owner: str


def repeated(con: duckdb.DuckDBPyConnection, rows: Valued, table: str) -> bool:
    """Make `table`: per (`__cell`, number of the owner `__o`), how many rows only repeat a value (`__many`); there may
    be several such rows. Returns whether a value has two owners in the coarsest cells."""
    shared, start = False, f"CREATE OR REPLACE TEMP TABLE {table} AS"
    for common, cells, owners, many in _gone_through(con, rows, rows.owner, _repeats):
        shared |= common
        told = {"__cell": cells.astype(np.uint32), "__o": owners, "__many": many.astype(np.uint32)}
        _write(con, start, told)
        start = f"INSERT INTO {table}"
    return shared


def by_halves(con: duckdb.DuckDBPyConnection, rows: Valued, mask: str, table: str) -> None:
    """Make `table`: per (`__cell`, `__mask`), how many values (`__many`) stay in these halves; there may be several
    such rows. `mask` (SQL): the halves of a row, as eight bits; a value stays where any of its rows does."""
    start = f"CREATE OR REPLACE TEMP TABLE {table} AS"
    for cells, masks, many in _gone_through(con, rows, mask, _in_halves):
        _write(con, start, {"__cell": cells.astype(np.uint32), "__mask": masks.astype(np.uint8), "__many": many})
        start = f"INSERT INTO {table}"


def _repeats(values: Numbers, cells: Sequence[Numbers], owners: Numbers) -> tuple[bool, Numbers, Numbers, Numbers]:
    """(whether a value has two owners in the first cells; cell, owner and repetitions) of some rows."""
    order = np.argsort((values << np.uint64(_OWNER_BITS)) | owners, kind="stable")
    values, owners, found = values[order], owners[order], list[Numbers]()
    there = cells[0][order] != NOWHERE
    own, whose = (values, owners) if there.all() else (values[there], owners[there])
    shared = bool(((own[1:] == own[:-1]) & (whose[1:] != whose[:-1])).any())
    for cell in cells:
        keys = (values << np.uint64(CELL_BITS)) | cell[order]
        again = np.argsort(keys, kind="stable")  # owners stay in order
        keys, whose = keys[again], owners[again]
        same = np.flatnonzero((keys[1:] == keys[:-1]) & (whose[1:] == whose[:-1])) + 1
        at = keys[same] & np.uint64(NOWHERE)
        found.append(((at << np.uint64(_OWNER_BITS)) | whose[same])[at != NOWHERE])
    pairs, many = np.unique(np.concatenate(found), return_counts=True)
    return shared, pairs >> np.uint64(_OWNER_BITS), pairs & np.uint64(2**_OWNER_BITS - 1), many


def _in_halves(values: Numbers, cells: Sequence[Numbers], masks: Numbers) -> tuple[Numbers, Numbers, Numbers]:
    """(cell, halves, how many values) of some rows."""
    found, masks = list[Numbers](), masks.astype(np.uint8)
    for cell in cells:
        keys = (values << np.uint64(CELL_BITS)) | cell
        order = np.argsort(keys, kind="stable")
        keys = keys[order]
        starts = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]])[: len(keys)])
        at = keys[starts] & np.uint64(NOWHERE)
        found.append(((at << np.uint64(8)) | np.bitwise_or.reduceat(masks[order], starts))[at != NOWHERE])
    places, many = _counted(np.concatenate(found).astype(np.intp))
    return places >> 8, places & 255, many


def _counted(of: Numbers) -> tuple[Numbers, Numbers]:
    """(numbers that occur, how often)."""
    if len(of) and of.max() < 4 * len(of):
        many = np.bincount(of)
        return np.flatnonzero(many), many[many > 0]
    return np.unique(of, return_counts=True)


def _gone_through(
    con: duckdb.DuckDBPyConnection, rows: Valued, of: str, work: Callable[..., _Found]
) -> Iterator[_Found]:
    """What `work` finds in (values as numbers, cells, what `of` is) of a part of the values after another, beside what
    the database does next."""
    kind = fetch(con, f"SELECT column_type FROM (DESCRIBE SELECT {rows.value} FROM {rows.table})")
    count = 1 + fetch(con, f"SELECT count(*) FROM {rows.table}") // PART
    cells = ", ".join(f"CAST(coalesce({cell}, {NOWHERE}) AS UINTEGER) AS k{g}" for g, cell in enumerate(rows.cells))

    def held(part: int) -> pa.Table:
        only = f" AND hash({rows.value}) % {count} = {part}" if count > 1 else ""
        text = f"FROM {rows.table} WHERE {rows.value} IS NOT NULL{only}"
        text = f"SELECT CAST({of} AS UBIGINT) AS o, {cells}, {rows.value} AS v {text}"
        return con.sql(text if kind in _WHOLE else _numbered(text)).to_arrow_table()

    def found(table: pa.Table) -> _Found:
        places = [column_of(table, f"k{g}") for g, _ in enumerate(rows.cells)]
        return work(_first_places(column_of(table, "v")), places, column_of(table, "o"))

    yield from beside(map(held, range(count)), found, ahead=1)


def _numbered(text: str) -> str:
    """The same rows with numbers for their values."""
    numbers = "SELECT v, row_number() OVER () AS n FROM (SELECT DISTINCT v FROM rows_of)"
    return f"WITH rows_of AS ({text}) SELECT r.* REPLACE (d.n AS v) FROM rows_of r JOIN ({numbers}) d ON d.v = r.v"


def _first_places(values: Numbers) -> Numbers:
    """For every value a number below how many there are, the same for the same: the first place that has it, where the
    values are close enough together to look it up."""
    if not len(values):
        return values.astype(np.uint64)
    least, most = int(values.min()), int(values.max())
    if most - least > 8 * len(values):
        return np.unique(values, return_inverse=True)[1].astype(np.uint64)
    places = values - values.dtype.type(least) if least > 0 else values.astype(np.int64) - least
    first = np.empty(most - least + 1, np.int64)
    first[places[::-1]] = np.arange(len(values) - 1, -1, -1)  # of several, the one that is written last stays
    return first[places].astype(np.uint64)


def _write(con: duckdb.DuckDBPyConnection, start: str, told: dict[str, Numbers]) -> None:
    import pyarrow as pa

    con.register("__found", pa.table({name: array_of(values) for name, values in told.items()}))
    con.execute(f"{start} SELECT * FROM __found")
    con.unregister("__found")
