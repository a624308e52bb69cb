"""Which columns of a file hold the values of a source column, whatever either is called.

Case, outer blanks and trailing zeros do not matter, nor base64 and hexadecimal. A column whose values were changed
(rounded, noised) holds no source column. Some values of each column of the file are looked up in the source, which is
streamed past them: nothing of it is kept.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sandbox.catalog.keys import trimmed
from sandbox.products.coded import CodedTable
from sandbox.products.compile import quote

if TYPE_CHECKING:
    import duckdb

SAMPLE = 2000
"""Distinct values of a column that are looked up, chosen by their hash."""
PLAIN = "plain"
DECODED = {PLAIN: "{c}", "base64": "TRY(decode(from_base64({c})))", "hex": "TRY(decode(unhex({c})))"}
_SHARE = 0.9
"""Share of them that any use of a held column asks for at least."""
_DECODABLE = 0.95
"""Share of them that can be decoded where a column is encoded."""
_NATIVE = re.compile(r"(U?(TINY|SMALL|BIG|HUGE)INT|U?INTEGER|DOUBLE|FLOAT|DECIMAL.*|DATE|BOOLEAN)")
"""Types of which a text that a value has (`plain`) is read as this value and no other."""


@dataclass(frozen=True, slots=True)
class Held:
    """Column `number` (from 1) of a table, once decoded from `how`: `hits` of `of` values are in a source column."""

    number: int
    input: str
    column: str
    how: str
    hits: int
    of: int

    @property
    def share(self) -> float:
        """Hits of the values looked up."""
        return self.hits / self.of


def held(
    con: duckdb.DuckDBPyConnection, cells: CodedTable, places: Sequence[int], columns: Mapping[str, Sequence[str]]
) -> list[Held]:
    """Every column at `places` (from 0) with every source column (input → names) that has nearly all of its values."""
    counts = _sampled(con, cells, places) if columns else {}
    found = []
    for alias, names in columns.items() if counts else ():
        kinds = kinds_of(con, alias)
        lengths = [n for (n,) in con.execute("SELECT DISTINCT strlen(v) FROM __d").fetchall()]
        for column in names:
            known = _texts(alias, column, kinds[column], lengths)
            query = f"SELECT n, how, count(*) FROM __v SEMI JOIN ({known}) ON s = v"
            for n, how, hits in con.execute(f"{query} GROUP BY ALL ORDER BY ALL").fetchall():
                if hits >= _SHARE * counts[n, how]:
                    found.append(Held(n, alias, column, how, hits, counts[n, how]))
    return found


def _sampled(
    con: duckdb.DuckDBPyConnection, cells: CodedTable, places: Sequence[int]
) -> dict[tuple[int, str], int]:  # fmt: skip
    """`__v`: some values of every column, as they are and decoded where nearly all can be; how many there are. `__d`:
    the same without the columns."""
    import polars as pl

    some = []
    for place in places:
        values = cells.column(place).values
        few = values.gather(values.hash(1).arg_sort().head(SAMPLE))
        some.append(pl.DataFrame({"n": pl.repeat(place + 1, len(few), dtype=pl.Int32, eager=True), "v": few}))
    con.register("__some", pl.concat(some).to_arrow() if some else pl.DataFrame(schema={"n": pl.Int32, "v": pl.String}))
    readings = " UNION ".join(
        f"SELECT n, '{how}' AS how, {plain(v, 'VARCHAR')} AS v FROM __some WHERE {v} IS NOT NULL"
        for how, v in ((how, sql.format(c="v")) for how, sql in DECODED.items())
    )
    con.execute(f"CREATE OR REPLACE TEMP TABLE __v AS SELECT * FROM ({readings}) WHERE v <> ''")
    con.unregister("__some")
    counts = {(n, how): k for n, how, k in con.execute("SELECT n, how, count(*) FROM __v GROUP BY ALL").fetchall()}
    for (n, how), k in list(counts.items()):
        if how != PLAIN and k < _DECODABLE * counts.get((n, PLAIN), 0):
            con.execute("DELETE FROM __v WHERE n = ? AND how = ?", [n, how])
            del counts[n, how]
    con.execute("CREATE OR REPLACE TEMP TABLE __d AS SELECT DISTINCT v FROM __v")
    return counts


def _texts(alias: str, column: str, kind: str, lengths: Sequence[int]) -> str:
    """SQL for the distinct texts `s` of a source column, of those at least that are in `__d`, where texts have so many
    bytes: a value of ASCII without blanks and points has as many as its text."""
    c, relation = quote(column), quote(alias)
    if kind == "VARCHAR":
        as_long = f"strlen({c}) IN ({', '.join(map(str, lengths))})"
        maybe = f"{as_long} OR strlen({c}) <> length({c}) OR contains({c}, ' ') OR contains({c}, '.')"
        texts = f"SELECT {plain(c, kind)} AS s FROM {relation} WHERE {maybe}"
        return f"SELECT DISTINCT s FROM ({texts}) SEMI JOIN __d ON s = v"
    if not _NATIVE.fullmatch(kind):
        return f"SELECT {plain('s', kind)} AS s FROM (SELECT DISTINCT {c} AS s FROM {relation})"
    known = f"SELECT DISTINCT TRY_CAST(v AS {kind}) AS w FROM __d WHERE TRY_CAST(v AS {kind}) IS NOT NULL"
    native = f"SELECT DISTINCT s FROM (SELECT {c} AS s FROM {relation}) SEMI JOIN ({known}) ON s = w"
    return f"SELECT {plain('s', kind)} AS s FROM ({native})"


def kinds_of(con: duckdb.DuckDBPyConnection, alias: str) -> dict[str, str]:
    """The columns of an input with their types."""
    told = con.execute(f"SELECT column_name, column_type FROM (DESCRIBE {quote(alias)})").fetchall()
    return {str(name): str(kind) for name, kind in told}


def plain(column: str, kind: str) -> str:
    """A value as text: case, outer blanks and trailing zeros do not make another one."""
    text = f"coalesce(CAST({column} AS VARCHAR), '')"
    if re.search(r"INT|DATE|BOOL|TIME", kind):
        return f"upper({text})"
    bare = trimmed(text)
    decimal = f"contains({text}, '.') AND regexp_full_match({bare}, '[+-]?[0-9]+[.][0-9]*')"
    return f"CASE WHEN {decimal} THEN rtrim(rtrim({bare}, '0'), '.') ELSE upper({bare}) END"
