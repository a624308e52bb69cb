"""Columns of a file that hold the values of a source column, and rows that are rows of the source under them.

Names do not matter, nor the order of rows and columns, case, outer blanks and trailing zeros, nor base64 and
hexadecimal. A column whose values were changed (rounded, noised) holds no source column and is left aside, so that the
rest of its row is still compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sandbox.products.compile import quote
from sandbox.products.matching_rows import digests, kind_of, plain, texts
from sandbox.products.source import Source, file_columns

if TYPE_CHECKING:
    import duckdb

    from sandbox.exports.contents import Table

SAMPLE = 2000
"""Distinct values of a column that are looked up."""
SHARE = 0.95
"""Share of them from which a source column is taken to hold the column."""
DISTINCT = 6
"""Distinct values below which a common value proves nothing: months and levels are values of every table."""
PLAIN = "plain"
_DECODED = {PLAIN: "{c}", "base64": "TRY(decode(from_base64({c})))", "hex": "TRY(decode(unhex({c})))"}


@dataclass(frozen=True, slots=True)
class Held:
    """Column `number` (from 1) of a table holds values of a source column, once decoded from `how`. `distinct`: about
    how many values the source column has."""

    number: int
    input: str
    column: str
    how: str
    distinct: int


@dataclass(frozen=True, slots=True)
class Copied:
    """`rows` of the file's rows equal, on `columns` columns, a row of `input` that is unique on them."""

    input: str
    columns: int
    rows: int


def held(con: duckdb.DuckDBPyConnection, table: Table, sources: Mapping[str, Source]) -> list[Held]:
    """Every column of the table with every source column that holds (nearly) all of its values."""
    counts = _sampled(con, table)
    found = []
    for alias, source in sources.items() if counts else ():
        for column in file_columns(source):
            known = texts(con, alias, column)
            query = f"SELECT n, how, count(*) FROM __v SEMI JOIN ({known}) ON s = v GROUP BY n, how"
            hits = [(n, how) for n, how, hits in con.execute(query).fetchall() if hits >= SHARE * counts[n, how]]
            if hits:
                size = con.execute(f"SELECT approx_count_distinct({quote(column)}) FROM {quote(alias)}").fetchall()
                found += [Held(n, alias, column, how, int(size[0][0])) for n, how in hits]
    return found


def _sampled(con: duckdb.DuckDBPyConnection, table: Table) -> dict[tuple[int, str], int]:
    """`__v`: some values of every column, as they are and decoded where (nearly) all can be; how many there are."""
    import polars as pl

    columns = [str(i + 1) for i in range(len(table.header))]
    some = [
        table.frame().select(pl.lit(int(c)).alias("n"), pl.col(c).drop_nulls().unique().sort().head(SAMPLE).alias("v"))
        for c in columns
    ]  # fmt: skip
    con.register("__some", pl.concat(some).collect(engine="streaming").to_arrow())
    read = {how: sql.format(c="v") for how, sql in _DECODED.items()}
    readings = " UNION ".join(
        f"SELECT n, '{how}' AS how, {plain(v, 'VARCHAR')} AS v FROM __some WHERE {v} IS NOT NULL"
        for how, v in read.items()
    )
    con.execute(f"CREATE OR REPLACE TEMP TABLE __v AS {readings}")
    con.unregister("__some")
    counts = {(n, how): k for n, how, k in con.execute("SELECT n, how, count(*) FROM __v GROUP BY n, how").fetchall()}
    kept = {key: k for key, k in counts.items() if k >= DISTINCT and k >= SHARE * counts[key[0], PLAIN]}
    for n, how in counts.keys() - kept.keys():
        con.execute("DELETE FROM __v WHERE n = ? AND how = ?", [n, how])
    return kept


def copied(con: duckdb.DuckDBPyConnection, table: Table, found: Sequence[Held]) -> list[Copied]:
    """Rows of the table that are unique rows of an input, over the columns that hold one of its columns each."""
    answer = []
    for alias in dict.fromkeys(one.input for one in found):
        pairs = _paired(table, [one for one in found if one.input == alias])
        if len(pairs) > 1:
            answer.append(Copied(alias, len(pairs), _rows(con, table, alias, pairs)))
    return answer


def _paired(table: Table, found: Iterable[Held]) -> list[Held]:
    """One source column for each column of the file and the other way round: the one of its name, else the one with
    the fewest values."""
    taken: dict[int, Held] = {}
    used: set[str] = set()
    for one in sorted(found, key=lambda h: (h.column != table.header[h.number - 1], h.distinct, h.number)):
        if one.number not in taken and one.column not in used:
            taken[one.number] = one
            used.add(one.column)
    return list(taken.values())


def _rows(con: duckdb.DuckDBPyConnection, table: Table, alias: str, pairs: Sequence[Held]) -> int:
    """Rows are compared by 128 bits; of the source only those are counted that may be in the file."""
    import polars as pl

    frame = table.frame().select(pl.col(str(p.number)).alias(f"f{i}") for i, p in enumerate(pairs))
    con.register("__file", frame.collect(engine="streaming").to_arrow())
    kinds = [kind_of(con, alias, p.column) for p in pairs]
    cells = [_DECODED[p.how].format(c=f"f{i}") for i, p in enumerate(pairs)]
    mine = digests([_as_number(c) if _number(k) else plain(c, "VARCHAR") for c, k in zip(cells, kinds, strict=True)],
                   "__file")  # fmt: skip
    theirs = digests([f"CAST({quote(p.column)} AS DOUBLE) + 0" if _number(k) else plain(quote(p.column), k)
                      for p, k in zip(pairs, kinds, strict=True)], quote(alias))  # fmt: skip
    query = (
        f"WITH f AS (SELECT d, e, count(*) AS n FROM ({mine}) GROUP BY d, e),"
        f" u AS (SELECT d, e FROM ({theirs}) SEMI JOIN f USING (d, e) GROUP BY d, e HAVING count(*) = 1)"
        " SELECT coalesce(sum(f.n), 0) FROM f SEMI JOIN u USING (d, e)"
    )
    rows = int(con.execute(query).fetchall()[0][0])
    con.unregister("__file")
    return rows


def _number(kind: str) -> bool:
    """Numbers that a double holds; whole ones of 64 bits may be longer."""
    return kind in ("DOUBLE", "FLOAT", "INTEGER", "SMALLINT", "TINYINT")


def _as_number(cell: str) -> str:
    return f"try_cast(trim({cell}) AS DOUBLE) + 0"
