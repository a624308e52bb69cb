"""Rows of a file that are rows of the source: reordered, renamed, cut, rounded."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from sandbox.products.compile import quote
from sandbox.products.source import Source, file_columns

if TYPE_CHECKING:
    import duckdb

_SAMPLE = 2_000
"""Values of a column by which a renamed one is recognised."""
_ALIKE = 0.9
_PROJECTION = 4
"""Columns of the smallest projection tried: the ones with the most distinct values."""


@dataclass(frozen=True, slots=True)
class SharedRows:
    """Rows of the file that equal a source row on the columns shared, by name or by their values.

    `rows`: equal to a row that is unique on them; `contained`: equal to any row, of `of` rows; `how`: what the columns
    were recognised by.
    """

    input: str
    shared_columns: int
    rows: int
    contained: int = 0
    of: int = 0
    how: Literal["name", "values"] = "name"


@dataclass(frozen=True, slots=True)
class _Pair:
    """A column of the file (place from 1), the source column that it is, and the step that its numbers were rounded
    to (None: as they are)."""

    place: int
    column: str
    distinct: int
    step: str | None


def shared_rows(
    con: duckdb.DuckDBPyConnection, alias: str, source: Source, table: str, header: Sequence[str],
    looked: Sequence[int],
) -> Iterator[SharedRows]:  # fmt: skip
    """What rows of `table` are in the source `alias`: on all columns recognised, and on the most telling few.

    Only the columns at the places `looked` (from 0) are recognised by their values: numbers that the platform computed
    look like anything.
    """
    names = file_columns(source)
    by_name = {n: i for i, n in reversed(list(enumerate(header, start=1))) if n in names}
    told = _told(con, table, len(header))
    pairs = [_pair(con, alias, table, i, n, told) for n, i in by_name.items()]
    renamed = list(_renamed(con, alias, table, names, looked, by_name, told))
    how: Literal["name", "values"] = "values" if renamed else "name"
    every = [*pairs, *renamed]
    yield _compared(con, alias, table, every, how)
    few = sorted(every, key=lambda p: -p.distinct)[:_PROJECTION]
    if len(few) < len(every):
        yield _compared(con, alias, table, few, how)
    if renamed and len(pairs) > 1:
        yield _compared(con, alias, table, pairs, "name")


def _told(con: duckdb.DuckDBPyConnection, table: str, width: int) -> dict[int, tuple[int, int, int, float]]:
    """Column → (distinct values, those that are numbers, most decimals, least power of ten of whole ones)."""
    found = {}
    for i in range(1, width + 1):
        c = f"trim({quote(str(i))})"
        number = f"regexp_full_match({c}, '[+-]?[0-9]+([.][0-9]+)?')"
        row = con.execute(
            f"SELECT approx_count_distinct({c}), count(*) FILTER ({number}),"
            f" coalesce(max(length(regexp_extract({c}, '[.]([0-9]*)$', 1))) FILTER ({number}), 0),"
            f" coalesce(min(length({c}) - length(rtrim({c}, '0'))) FILTER ({number} AND {c} <> '0'), 0)"
            f" FROM (SELECT DISTINCT {quote(str(i))} FROM {table})"
        ).fetchall()[0]
        found[i] = row
    return found


def _pair(
    con: duckdb.DuckDBPyConnection, alias: str, table: str, place: int, column: str,
    told: dict[int, tuple[int, int, int, float]],
) -> _Pair:  # fmt: skip
    distinct, numbers, decimals, zeros = told[place]
    kind = str(con.execute(f"SELECT typeof({quote(column)}) FROM {quote(alias)} LIMIT 1").fetchall() or "")
    numeric = bool(numbers) and re.search(r"INT|DOUBLE|FLOAT|DECIMAL", kind) is not None
    step = f"{int(decimals) if decimals else -int(zeros)}" if numeric else None
    return _Pair(place, column, int(distinct), step)


def _renamed(
    con: duckdb.DuckDBPyConnection, alias: str, table: str, names: Sequence[str], looked: Sequence[int],
    by_name: dict[str, int], told: dict[int, tuple[int, int, int, float]],
) -> Iterator[_Pair]:  # fmt: skip
    """Columns of other names whose values are those of a source column that no other column of the file is."""
    taken, rest = set(by_name), [i + 1 for i in looked if i + 1 not in by_name.values()]
    free = [n for n in names if n not in taken]
    if not rest or not free:
        return
    con.execute("CREATE OR REPLACE TEMP TABLE __m (place INTEGER, v VARCHAR)")
    for i in rest:
        value = plain(quote(str(i)), "VARCHAR")
        con.execute(
            f"INSERT INTO __m SELECT {i}, v FROM (SELECT DISTINCT {value} AS v FROM {table} LIMIT {_SAMPLE})"
            " WHERE v <> ''"
        )
    sizes = dict(con.execute("SELECT place, count(*) FROM __m GROUP BY place").fetchall())
    scores = []
    for name in free:
        known = texts(con, alias, name)
        query = f"SELECT place, count(*) FROM __m WHERE v IN ({known}) GROUP BY place"
        scores += [(hits / sizes[i], sizes[i], i, name) for i, hits in con.execute(query).fetchall()]
    places: set[int] = set()
    for share, size, i, name in sorted(scores, key=lambda s: (-s[0], -s[1])):
        if share >= _ALIKE and size > 1 and i not in places and name not in taken:
            places.add(i)
            taken.add(name)
            yield _pair(con, alias, table, i, name, told)


def _compared(
    con: duckdb.DuckDBPyConnection, alias: str, table: str, pairs: Sequence[_Pair], how: Literal["name", "values"]
) -> SharedRows:
    if not pairs:
        return SharedRows(alias, 0, 0, how=how)
    ours = digests([_stepped(p, f"try_cast(trim({quote(str(p.place))}) AS DOUBLE)", quote(str(p.place)), "VARCHAR")
                    for p in pairs], table)  # fmt: skip
    theirs = digests([_theirs(con, alias, p) for p in pairs], quote(alias))
    query = (
        f"WITH f AS (SELECT d, e, count(*) AS n FROM ({ours}) GROUP BY d, e),"
        f" s AS (SELECT d, e, count(*) AS n FROM ({theirs}) SEMI JOIN f USING (d, e) GROUP BY d, e)"
        " SELECT coalesce(sum(f.n) FILTER (s.n = 1), 0), coalesce(sum(f.n) FILTER (s.n > 0), 0), sum(f.n)"
        " FROM f LEFT JOIN s USING (d, e)"
    )
    unique, contained, of = con.execute(query).fetchall()[0]
    return SharedRows(alias, len(pairs), int(unique), int(contained), int(of or 0), how)


def digests(parts: Sequence[str], relation: str) -> str:
    """SQL for 128 bits `d`, `e` of every row of `relation`: two hashes of its `parts`, in order and in reverse. They
    need not withstand anybody: rows that only seem alike make a file look worse, and the source is not a merchant's."""
    named = ", ".join(f"{part} AS c{i}" for i, part in enumerate(parts))
    names = [f"c{i}" for i in range(len(parts))]
    both = f"hash({', '.join(names)}) AS d, hash({', '.join(names[::-1])}, 1) AS e"
    return f"SELECT {both} FROM (SELECT {named} FROM {relation})"


def _theirs(con: duckdb.DuckDBPyConnection, alias: str, pair: _Pair) -> str:
    if pair.step is None:
        return _source_plain(con, alias, pair.column)
    return _stepped(pair, f"CAST({quote(pair.column)} AS DOUBLE)", quote(pair.column), "DOUBLE")


def _stepped(pair: _Pair, number: str, column: str, kind: str) -> str:
    if pair.step is None:
        return plain(column, kind)
    return f"round({number}, {pair.step}) + 0"


def _source_plain(con: duckdb.DuckDBPyConnection, alias: str, column: str) -> str:
    return plain(quote(column), kind_of(con, alias, column))


def kind_of(con: duckdb.DuckDBPyConnection, alias: str, column: str) -> str:
    """The type of a column of an input."""
    kind = con.execute(f"SELECT typeof({quote(column)}) FROM {quote(alias)} LIMIT 1").fetchall()
    return str(kind[0][0]) if kind else "VARCHAR"


def texts(con: duckdb.DuckDBPyConnection, alias: str, column: str) -> str:
    """SQL for the distinct values `s` of a column of an input as text."""
    native = f"SELECT DISTINCT {quote(column)} AS s FROM {quote(alias)}"
    return f"SELECT {plain('s', kind_of(con, alias, column))} AS s FROM ({native})"


def plain(column: str, kind: str) -> str:
    """A value as text: case, outer blanks and trailing zeros do not make another one."""
    text = f"coalesce(CAST({column} AS VARCHAR), '')"
    if re.search(r"INT|DATE|BOOL|TIME", kind):
        return f"upper({text})"
    text = f"upper(trim({text}))"
    decimal = f"contains({text}, '.') AND regexp_full_match({text}, '[+-]?[0-9]+[.][0-9]*')"
    return f"CASE WHEN {decimal} THEN rtrim(rtrim({text}, '0'), '.') ELSE {text} END"
